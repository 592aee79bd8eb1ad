# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Archives of finished runs: reports, summary, plan, state and event log in one file, named after the run."""

from __future__ import annotations

import io
import json
import os
import tarfile
import time
import typing as t

from ._coordination.session import Session
from ._coordination.snapshot import take_snapshot
from ._plan import Plan
from .options import Context
from .plan_access import coordination_directory
from .version import COLLECTION_VERSION


def archive_of(context: Context, plan: Plan) -> t.Callable[[dict[str, str]], str]:
    """A function that archives the run that is there and returns the archive's path."""

    def archive(record: dict[str, str]) -> str:
        return write_archive(context.session(member=True), plan, coordination_directory(context, plan), record["id"])

    return archive


def write_archive(session: Session, plan: Plan, directory: str, run_id: str | None = None) -> str:
    """Writes `<directory>/archive/<run>.tar.gz`; an archive of this run that is there already is replaced.

    Args:
        run_id: of the run that is meant; the one that is there by default.

    Raises:
        NotJoined: there is no such run, or it was deleted meanwhile; no archive was written then.
    """
    record = take_snapshot(session, plan.canonical(), COLLECTION_VERSION, run_id)
    run = record["run"]["id"]
    target = os.path.join(directory, "archive", f"{run}.tar.gz")
    os.makedirs(os.path.dirname(target), exist_ok=True)
    temporary = f"{target}.{os.getpid()}.part"
    with tarfile.open(temporary, "w:gz") as archive:
        events = record.pop("events")
        _add(archive, f"{run}/events.jsonl", "".join(json.dumps(event, sort_keys=True) + "\n" for event in events))
        _add(archive, f"{run}/state.json", json.dumps(record, indent=2, sort_keys=True))
        _add(archive, f"{run}/plan.larry.yml", plan.path.read_text(encoding="utf-8"))
        for folder in ("reports", "execution-plans", "evidence"):
            path = os.path.join(directory, folder)
            if os.path.isdir(path):
                archive.add(path, f"{run}/{folder}")
    os.replace(temporary, target)
    return target


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    content = text.encode()
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = len(content), int(time.time()), 0o644
    archive.addfile(entry, io.BytesIO(content))
