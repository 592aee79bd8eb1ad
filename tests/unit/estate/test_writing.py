# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence files: atomic, idempotent, verified."""

from __future__ import annotations

import hashlib
import os
import pathlib

import pytest

from ansible_collections.cortex.larry.plugins.module_utils._estate import writing
from ansible_collections.cortex.larry.plugins.module_utils._estate.errors import EvidenceError


def test_written_once_and_again_only_when_bytes_differ(tmp_path: pathlib.Path) -> None:
    first = writing.write_evidence(str(tmp_path), "a-task", "x.json", "X", '{"a": 1}')
    target = tmp_path / first.path
    assert first.changed and first.before == "absent\n"
    assert first.sha256 == hashlib.sha256(target.read_bytes()).hexdigest() and first.bytes == 8
    before = target.stat().st_mtime_ns, target.stat().st_ino
    assert not writing.write_evidence(str(tmp_path), "a-task", "x.json", "X", '{"a": 1}').changed
    assert (target.stat().st_mtime_ns, target.stat().st_ino) == before
    assert writing.write_evidence(str(tmp_path), "a-task", "x.json", "X", '{"a": 2}').changed
    assert [path.name for path in target.parent.iterdir()] == ["x.json"]


def test_check_mode_writes_nothing(tmp_path: pathlib.Path) -> None:
    assert writing.write_evidence(str(tmp_path), "t", "x.json", "X", "{}", check_mode=True).changed
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = writing.write_evidence(str(tmp_path), "t", "x.json", "X", "old")

    def fail(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(EvidenceError, match="No space left"):
        writing.write_evidence(str(tmp_path), "t", "x.json", "X", "new")
    assert (tmp_path / written.path).read_text() == "old"
    assert len(list((tmp_path / "evidence" / "t").iterdir())) == 1


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "A", "a\n"])
def test_names_that_lead_elsewhere_are_refused(tmp_path: pathlib.Path, name: str) -> None:
    with pytest.raises(EvidenceError):
        writing.write_evidence(str(tmp_path), name, "x.json", "X", "{}")
    with pytest.raises(EvidenceError):
        writing.write_evidence(str(tmp_path), "t", name, "X", "{}")


def test_reading_verifies(tmp_path: pathlib.Path) -> None:
    written = writing.write_evidence(str(tmp_path), "t", "x.json", "X", '{"a": 1}')
    assert writing.read_evidence(str(tmp_path), written.path, written.sha256) == {"a": 1}
    with pytest.raises(EvidenceError, match="and not"):
        writing.read_evidence(str(tmp_path), written.path, "0" * 64)
    with pytest.raises(EvidenceError, match="outside"):
        writing.read_evidence(str(tmp_path), "../x.json")
    with pytest.raises(EvidenceError, match="run the task"):
        writing.read_evidence(str(tmp_path), "evidence/t/none.json")
    (tmp_path / "link.json").symlink_to("/etc/hostname")
    with pytest.raises(EvidenceError, match="outside"):
        writing.read_evidence(str(tmp_path), "link.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(EvidenceError, match="not valid JSON"):
        writing.read_evidence(str(tmp_path), "bad.json")


def test_lone_surrogates_can_be_written(tmp_path: pathlib.Path) -> None:
    written = writing.write_evidence(str(tmp_path), "t", "x.json", "X", writing.to_json({"a": "\ud800"}))
    assert (tmp_path / written.path).read_bytes().isascii()
