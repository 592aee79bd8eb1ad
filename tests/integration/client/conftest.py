# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures for the Python face: an emptied server, and scripts as processes with keepers of their own.

A keeper lives as long as its process, and the process of a test lives on after it. So in the test process itself no
keeper is started (what asks for one is noted), and what is about keepers runs in scripts.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from ansible_collections.cortex.larry.plugins.module_utils import client as larry
from ansible_collections.cortex.larry.plugins.module_utils._coordination import barriers, locks

HERE = Path(__file__).parent
COLLECTIONS = HERE.parents[2] / "playbooks" / "collections"


@pytest.fixture(autouse=True)
def _no_settings_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("LARRY_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The controllers for which a keeper was asked for in this process."""
    asked: list[str] = []

    def ask(session: Any) -> None:
        if session.keep:
            asked.append(session.controller.id)

    for module in (barriers, locks):
        monkeypatch.setattr(module, "ensure_keeper", ask)
    return asked


@pytest.fixture
def plain(valkey: Any) -> Iterator[redis.Redis]:
    """A redis-py client on the emptied server: what users have, and the second route to what is there."""
    with redis.Redis(unix_socket_path=str(valkey.socket), decode_responses=True) as client:
        yield client


@pytest.fixture
def make(valkey: Any) -> Callable[..., larry.Lock]:
    """Return a function that makes a lock on the emptied server."""

    def lock(name: str = "l", **options: Any) -> larry.Lock:
        return larry.Lock(valkey.socket_url, name, **options)

    return lock


class Scripts:
    """Python scripts as users start them, with the collection on the path."""

    def __init__(self, server: str, directory: Path) -> None:
        self.directory = directory
        self.started: list[subprocess.Popen[str]] = []
        self.variables = {name: value for name, value in os.environ.items() if not name.startswith("LARRY_")}
        self.variables |= {
            "LARRY_REDIS": server, "XDG_RUNTIME_DIR": str(directory), "PYTHONPATH": str(COLLECTIONS),
        }  # fmt: skip

    def start(self, text: str, *arguments: str) -> subprocess.Popen[str]:
        """Starts a script; `larry` is the client in it."""
        head = "from ansible_collections.cortex.larry.plugins.module_utils import client as larry\n"
        path = self.directory / f"script_{len(self.started)}.py"
        path.write_text(head + textwrap.dedent(text), encoding="utf-8")
        process = subprocess.Popen(
            [sys.executable, str(path), *arguments], env=self.variables, text=True, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=self.directory,
        )  # fmt: skip
        self.started.append(process)
        return process

    def said(self, process: subprocess.Popen[str], line: str) -> None:
        """Waits for a line of a script."""
        assert process.stdout is not None
        seen = []
        for text in process.stdout:
            seen.append(text)
            if text.strip() == line:
                return
        raise AssertionError(f"{line!r} was not said:\n{''.join(seen)}")

    def end(self) -> None:
        """Kills the scripts; their keepers end with them."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


@pytest.fixture
def scripts(valkey: Any) -> Iterator[Scripts]:
    """Scripts on the emptied server."""
    directory = Path(tempfile.mkdtemp(prefix="larry-"))
    made = Scripts(valkey.socket_url, directory)
    yield made
    made.end()
    shutil.rmtree(directory, ignore_errors=True)
