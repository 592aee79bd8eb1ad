# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the sockets, locks and logs of a user lie, and what is refused."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ansible_collections.cortex.larry.plugins.module_utils._coordination import runtime_directory as place
from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import SettingsError

FALLBACK = f"/tmp/cortex-larry-{os.geteuid()}"


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory such as a session manager makes it, named by XDG_RUNTIME_DIR."""
    path = tmp_path / "runtime"
    path.mkdir(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(path))
    return path


def test_the_directory_of_the_session_is_used(runtime: Path) -> None:
    assert place.runtime_directory() == str(runtime / "cortex-larry")
    assert stat.S_IMODE((runtime / "cortex-larry").stat().st_mode) == 0o700
    assert place.runtime_directory() == str(runtime / "cortex-larry")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to another user")
def test_the_directory_of_another_user_is_not(runtime: Path) -> None:
    """After su or sudo the variable names the directory of whoever logged in."""
    os.chown(runtime, 12345, 12345)
    assert place.runtime_path() == FALLBACK
    assert list(runtime.iterdir()) == []


def test_a_directory_open_to_others_is_not(runtime: Path) -> None:
    runtime.chmod(0o777)
    assert place.runtime_path() == FALLBACK


@pytest.mark.parametrize("value", [None, "", "relative", "/dev/null", "/dev/null/below", "/nowhere/at/all"])
def test_without_one_there_is_a_place_of_its_own(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    if value is not None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", value)
    # Two processes of one user that differ in it have to meet all the same.
    monkeypatch.setenv("TMPDIR", "/nowhere")
    assert place.runtime_path() == FALLBACK


def test_what_is_not_private_is_refused_by_name(runtime: Path) -> None:
    ours = runtime / "cortex-larry"
    ours.mkdir(0o700)
    ours.chmod(0o750)
    with pytest.raises(SettingsError, match=rf"{ours} .*mode 0750.*chmod 700 {ours}"):
        place.runtime_directory()
    ours.rmdir()
    ours.symlink_to(runtime)
    with pytest.raises(SettingsError, match=rf"{ours} .*is not a directory; remove it"):
        place.runtime_directory()
    with pytest.raises(SettingsError, match="lies below something that is not a directory"):
        place.private_directory("/dev/null/below")
