# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the integration tests: a real Valkey server, the checkout, and Ansible commands as processes.

The environment variable LARRY_TEST_SERVER names another kind of server for the tests of the protocol (servers.KINDS).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
import servers
from servers import start_valkey

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass
class Server:
    """A running Valkey: its TCP port on the loopback address, its Unix socket, and its directory.

    Of another kind of server, `started` says how it is reached, and what a prefix must look like there.
    """

    port: int
    socket: Path
    directory: Path
    started: servers.Servers | None = None

    @property
    def url(self) -> str:
        """The URL by TCP."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def socket_url(self) -> str:
        """The URL by Unix socket."""
        return f"unix://{self.socket}"

    @property
    def connection(self) -> dict[str, Any]:
        """What a user writes to reach it: a mapping with a URL and its options."""
        return dict(self.started.connection) if self.started else {"url": self.socket_url}

    def prefix(self, name: str) -> str:
        """A prefix of this name; on a Cluster it holds a hash tag."""
        return self.started.tag.format(name) if self.started else f"{name}:"

    def client(self, **options: Any) -> redis.Redis:
        """Return a new client whose replies are strings."""
        if self.started:
            return self.started.make_client(**options)
        return redis.Redis(unix_socket_path=str(self.socket), decode_responses=True, **options)


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    """A directory with a path short enough for a Unix socket, which pytest's own are not."""
    directory = Path(tempfile.mkdtemp(prefix="larry-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[Server]:
    """A Valkey server for the whole session, by TCP and Unix socket, that never evicts and keeps nothing."""
    kind = servers.kind_wanted()
    if kind != "valkey":
        try:
            started = servers.start(kind)
            servers.let_be(started)
        except servers.NotHere as error:
            pytest.skip(str(error))
        try:
            yield Server(started.primary.port, started.primary.socket, started.directory, started)
        finally:
            started.stop()
        return
    directory = Path(tempfile.mkdtemp(prefix="larry-"))
    server = start_valkey(directory)
    try:
        yield Server(server.port, directory / "s", directory)
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def valkey(valkey_server: Server) -> Iterator[Server]:
    """The session's server, emptied."""
    with valkey_server.client() as client:
        client.flushall()
    yield valkey_server


@dataclass
class Commands:
    """Starts Ansible commands of the environment under test in an environment of their own, and ends what is left.

    `variables` is what each command gets; a test may add to it.
    """

    variables: dict[str, str]
    cwd: Path = ROOT
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, program: str, *arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
        """Start a command in a process group of its own; stdout and stderr come together unless `options` differ."""
        executable = Path(sys.executable).parent / program
        settings: dict[str, Any] = {
            "cwd": self.cwd,
            "env": self.variables,
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
            "text": True,
            "start_new_session": True,
        }
        process = subprocess.Popen([str(executable), *map(str, arguments)], **(settings | options))
        self.started.append(process)
        return process

    def run(
        self, program: str, *arguments: str | Path, timeout: float = 120, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end and return its code and output; the output is shown when the test fails."""
        process = self.start(program, *arguments, **options)
        output, errors = process.communicate(timeout=timeout)
        print(f"$ {program} {' '.join(map(str, arguments))}\n{output or ''}{errors or ''}")
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    def playbook(
        self, playbook: str | Path, *arguments: str | Path, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run ansible-playbook to its end."""
        return self.run("ansible-playbook", playbook, *arguments, **options)

    def end(self) -> None:
        """Kill the process groups of whatever still runs."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.fixture
def make_commands(tmp_path: Path) -> Iterator[Callable[..., Commands]]:
    """Return a function that makes `Commands`: `make_commands(configured=False)` runs without any ansible.cfg."""
    made: list[Commands] = []

    def make(configured: bool = True, cwd: Path = ROOT, **variables: str) -> Commands:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "LARRY_"))}
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        environment["HOME"] = str(home)
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', os.defpath)}"
        environment["LARRY_EMBEDDED_IDLE_S"] = "10"
        environment["ANSIBLE_NOCOLOR"] = "1"
        if configured:
            environment["ANSIBLE_CONFIG"] = str(ROOT / "ansible.cfg")
        else:
            # An empty file, since Ansible would otherwise find the one in the current directory.
            empty = tmp_path / "empty.cfg"
            empty.touch()
            environment["ANSIBLE_CONFIG"] = str(empty)
        commands = Commands(environment | variables, cwd)
        made.append(commands)
        return commands

    yield make
    for commands in made:
        commands.end()


@pytest.fixture
def commands(make_commands: Callable[..., Commands]) -> Commands:
    """Ansible commands run in the checkout with its ansible.cfg."""
    return make_commands()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the library alone run once and not for every ansible-core."""
    of_library = {Path(__file__).parent / name for name in ("client", "coordination", "linearizability", "servers")}
    for item in items:
        if of_library & set(item.path.parents):
            item.add_marker(pytest.mark.main_core)
