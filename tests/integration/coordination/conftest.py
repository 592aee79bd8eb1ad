# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the protocol's tests: a prefix on the real server, controllers, plans, and a plain client beside them.

What they hand out is in tests/tools/crews.py.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from crews import Crew, Place, build_plan, until
from durable_server import DurableServer
from virtual_time import Clock, load_scripts, timed_scripts

from ansible_collections.cortex.larry.plugins.module_utils._coordination import barriers, locks, runs, slots, tasks
from ansible_collections.cortex.larry.plugins.module_utils._coordination.connection import disconnect
from ansible_collections.cortex.larry.plugins.module_utils._coordination.identity import Controller
from ansible_collections.cortex.larry.plugins.module_utils._coordination.settings import Settings


@pytest.fixture(autouse=True)
def _own_runtime_directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What controllers remember goes with the test; each new one would look through all the records that are left."""
    directory = tempfile.mkdtemp(prefix="larry-")
    monkeypatch.setenv("XDG_RUNTIME_DIR", directory)
    yield
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def place(valkey_server: Any) -> Iterator[Place]:
    """A fresh prefix on the session's server."""
    with valkey_server.client() as plain:
        prefix = valkey_server.prefix(f"t{uuid.uuid4().hex[:8]}")
        settings = Settings.of({**valkey_server.connection, "prefix": prefix})
        yield Place(settings, plain)
        disconnect(settings)
        left = list(plain.scan_iter(settings.prefix + "*", count=1000))
        if left:
            plain.unlink(*left)


@pytest.fixture
def bare_place(valkey: Any) -> Iterator[Place]:
    """The emptied server with no prefix at all."""
    if valkey.prefix("a") != "a:":
        pytest.skip("A Cluster wants a prefix with a hash tag.")
    with valkey.client() as plain:
        settings = Settings.of(valkey.connection)
        yield Place(settings, plain)
        disconnect(settings)
        plain.flushall()


@pytest.fixture(autouse=True)
def _no_keepers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the fixture `processes` nothing renews a lease: the protocol alone is tested."""
    if "processes" not in request.fixturenames:
        for module in (barriers, locks, runs, slots, tasks):
            monkeypatch.setattr(module, "ensure_keeper", lambda session: None)


@dataclass
class Processes:
    """Real processes that play controllers, and their keepers (which this test process starts)."""

    runtime: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def controller(self) -> tuple[Controller, subprocess.Popen[bytes]]:
        """A controller that is a process of its own."""
        process = subprocess.Popen(
            [sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True, stdin=subprocess.DEVNULL
        )
        self.started.append(process)
        return Controller.of_process(process.pid), process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """SIGKILL, and gone when this returns."""
        process.kill()
        process.wait()

    @staticmethod
    def keepers() -> list[int]:
        """Keepers that this process started and that run."""
        found = []
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            try:
                fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) == os.getpid() and fields[0] != "Z":
                    if b"larry-keeper" in Path(f"/proc/{name}/cmdline").read_bytes():
                        found.append(int(name))
            except OSError:
                continue
        return found

    def end(self) -> None:
        """Ends the controllers, and with them their keepers."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()
        deadline = time.monotonic() + 5
        while self.keepers() and time.monotonic() < deadline:
            time.sleep(0.02)
        for pid in self.keepers():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Processes]:
    """Controllers that are processes, with real keepers in a runtime directory of their own."""
    directory = Path(tempfile.mkdtemp(prefix="larry-"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(directory))
    made = Processes(directory)
    yield made
    made.end()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def crew_at() -> Callable[..., Crew]:
    """Return a function that makes a controller within the run of a plan, joined, at any place."""

    def make(place: Place, plan: dict[str, Any], controller: Controller | None = None) -> Crew:
        made = Crew(place, plan, controller)
        made.join()
        return made

    return make


@pytest.fixture
def crew(place: Place) -> Callable[..., Crew]:
    """Return a function that makes a controller within the run of a plan, joined."""

    def make(plan: dict[str, Any], controller: Controller | None = None, *, join: bool = True) -> Crew:
        made = Crew(place, plan, controller)
        if join:
            made.join()
        return made

    return make


@pytest.fixture
def plan_of() -> Callable[..., dict[str, Any]]:
    """The builder of canonical plans."""
    return build_plan


@pytest.fixture
def wait_until() -> Callable[..., Any]:
    """See `until`."""
    return until


@pytest.fixture
def durable() -> Iterator[DurableServer]:
    """A server of this test alone that keeps every write, to be killed and started again."""
    directory = Path(tempfile.mkdtemp(prefix="larry-"))
    server = DurableServer(directory).start()
    yield server
    server.kill()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def clock(place: Any) -> Iterator[Clock]:
    """The test's clock under the prefix of the test; the scripts of this process read it."""
    with timed_scripts():
        load_scripts(place.plain)
        yield Clock(place.plain, place.settings.prefix)
