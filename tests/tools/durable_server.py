# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Valkey that keeps every write (append-only file, appendfsync always) and that tests kill and start again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import redis
from servers import free_port

from ansible_collections.cortex.larry.plugins.module_utils._coordination.embedded import find_program


class DurableServer:
    """A server on one port and one socket `s` in its directory, whichever process it is at the moment."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.socket = directory / "s"
        self.data = directory / "data"
        self.data.mkdir()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL by Unix socket."""
        return f"unix://{self.socket}"

    def client(self) -> redis.Redis:
        """A new plain client."""
        return redis.Redis(unix_socket_path=str(self.socket), decode_responses=True, socket_timeout=10)

    def start(self, timeout: float = 30) -> DurableServer:
        """Start the server on the data that there is; return when it answers."""
        settings = {
            "port": self.port, "bind": "127.0.0.1", "unixsocket": self.socket, "unixsocketperm": "700",
            "dir": self.data, "appendonly": "yes", "appendfsync": "always", "save": "",
            "maxmemory-policy": "noeviction", "daemonize": "no", "logfile": self.directory / "server.log",
            "aof-load-truncated": "yes",
        }  # fmt: skip
        options = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
        self.process = subprocess.Popen([find_program(), *options], start_new_session=True, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + timeout
        while True:
            try:
                with self.client() as client:
                    client.ping()
                return self
            except (redis.exceptions.ConnectionError, redis.exceptions.BusyLoadingError):
                assert time.monotonic() < deadline, (self.directory / "server.log").read_text()[-2000:]
                time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL; what was answered is on the disk."""
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
        self.process = None

    def keep_data(self, name: str) -> Path:
        """A copy of the data as they are; the server does not run."""
        assert self.process is None
        return Path(shutil.copytree(self.data, self.directory / name))

    def put_data(self, kept: Path | None) -> None:
        """Replace the data by a copy that was kept, or by nothing; the server does not run."""
        assert self.process is None
        shutil.rmtree(self.data)
        if kept is None:
            self.data.mkdir()
        else:
            shutil.copytree(kept, self.data)

    def cut_log(self, entries: int) -> None:
        """Cut the append-only file so that about so many of its last commands are lost; the server does not run."""
        assert self.process is None
        (path,) = (self.data / "appendonlydir").glob("*.incr.aof")
        content = path.read_bytes()
        # Each script is a transaction in the file.
        ends = [at for at in range(len(content)) if content.startswith(b"*1\r\n$4\r\nEXEC\r\n", at)]
        path.write_bytes(content[: ends[-1 - entries] + len(b"*1\r\n$4\r\nEXEC\r\n")])
