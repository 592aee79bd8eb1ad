# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence files: written whole or not at all, only when they differ, and read back only if as promised."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import tempfile
import typing as t

from .errors import EvidenceError

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")
MAX_EVIDENCE_BYTES = 512 * 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Written:
    """One evidence file: title, path relative to the coordination directory, digest, size, and whether bytes differ."""

    title: str
    path: str
    sha256: str
    bytes: int
    changed: bool
    before: str
    after: str

    def as_evidence(self) -> dict[str, t.Any]:
        """The record that a task result carries."""
        return {"title": self.title, "path": self.path, "sha256": self.sha256, "bytes": self.bytes}


def to_json(value: t.Any) -> str:
    """*value* as JSON text with sorted names, so that the same findings give the same bytes."""
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def write_evidence(
    coordination_dir: str, task_id: str, name: str, title: str, text: str, *, check_mode: bool = False
) -> Written:
    """Write *text* to `evidence/<task_id>/<name>` below *coordination_dir* and describe it.

    The file is replaced in one step and only if its bytes differ; with *check_mode* nothing is written.
    Raises EvidenceError for names that are no plain file names and when writing fails.
    """
    for what, value in (("task id", task_id), ("file name", name)):
        if not _NAME.fullmatch(value):
            raise EvidenceError(f"The {what} '{value}' is not made of a-z, 0-9, '.' and '-'; choose another.")
    # Lone surrogates (hostile JSON escapes) cannot be encoded; replaced, the evidence can still be written.
    data = text.encode("utf-8", "backslashreplace")
    directory = os.path.join(coordination_dir, "evidence", task_id)
    target = os.path.join(directory, name)
    before = _read_if_there(target)
    changed = before != data
    if changed and not check_mode:
        try:
            os.makedirs(directory, exist_ok=True)
            _replace(directory, target, data)
        except OSError as error:
            raise EvidenceError(f"The evidence file {target} cannot be written: {error.strerror}.") from error
    return Written(
        title=title,
        path=f"evidence/{task_id}/{name}",
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        changed=changed,
        before=describe_bytes(before),
        after=describe_bytes(data),
    )


def describe_bytes(data: bytes | None) -> str:
    """A line for diff mode: evidence can be megabytes, so size and digest stand for it."""
    return "absent\n" if data is None else f"{len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}\n"


def _read_if_there(path: str) -> bytes | None:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return None


def _replace(directory: str, target: str, data: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=directory, prefix=".writing-")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp makes files for the owner alone; evidence is meant to be read by whoever reads the report.
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def read_evidence(coordination_dir: str, path: str, sha256: str | None = None) -> t.Any:
    """The JSON in the evidence file *path* (relative to *coordination_dir*), if its digest is *sha256*.

    Raises EvidenceError when it is missing, outside, too large, not the promised one or not JSON.
    """
    root = os.path.realpath(coordination_dir)
    full = os.path.realpath(os.path.join(root, path))
    if not full.startswith(root + os.sep):
        raise EvidenceError(f"The evidence '{path}' lies outside the coordination directory; it is not read.")
    try:
        if os.path.getsize(full) > MAX_EVIDENCE_BYTES:
            raise EvidenceError(f"The evidence '{path}' is larger than {MAX_EVIDENCE_BYTES} bytes.")
        with open(full, "rb") as stream:
            data = stream.read()
    except OSError as error:
        raise EvidenceError(
            f"The evidence '{path}' cannot be read: {error.strerror}; run the task that writes it first."
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if sha256 and found != sha256:
        raise EvidenceError(
            f"The evidence '{path}' has the sha256 {found} and not {sha256}; run the task that writes it again."
        )
    try:
        return json.loads(data)
    except ValueError as error:
        raise EvidenceError(f"The evidence '{path}' is not valid JSON: {error}.") from error
