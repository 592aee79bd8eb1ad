# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server answers when it cannot take a call: a sentence that says what to do, and patience where it passes.

Answers that a server gives by itself are made by a real one; the others are put in by a proxy before a real one.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import servers

from ansible_collections.cortex.larry.plugins.module_utils._coordination.connection import connect
from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import ServerUnavailable

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def single(start: Any) -> servers.Servers:
    """One Valkey."""
    return start("valkey")


class Proxy:
    """Stands before a server; answers the next calls of scripts with an error instead of handing them on."""

    def __init__(self, port: int) -> None:
        self.answer = b""
        self.left = 0
        self.seen = 0
        self._server = port
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _address = self._socket.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, socket.create_connection(("127.0.0.1", self._server)) as server:
            while True:
                # A client of ours sends one command and waits for its reply, and each fits into one packet here.
                asked = client.recv(1 << 20)
                if not asked:
                    return
                if b"EVALSHA" in asked[:40]:
                    self.seen += 1
                    if self.left > 0:
                        self.left -= 1
                        client.sendall(self.answer)
                        continue
                server.sendall(asked)
                client.sendall(server.recv(1 << 20))

    def close(self) -> None:
        """Take no more connections."""
        self._socket.close()


@pytest.fixture
def proxy(single: servers.Servers, locks_at: Any) -> Iterator[Proxy]:
    """A proxy before the server, which knows the script: its text would not fit into one packet."""
    locks_at(single.connection).take()
    made = Proxy(single.primary.port)
    yield made
    made.close()


PASSING = {
    "LOADING Redis is loading the dataset in memory": "still loading",
    "READONLY You can't write against a read only replica.": "is a replica",
    "MASTERDOWN Link with MASTER is down": "lost its primary",
    "CLUSTERDOWN The cluster is down": "a Cluster that is down",
    "TRYAGAIN Multiple keys request during rehashing of slot": "moves the slot",
    "BUSY Redis is busy running a script.": "SCRIPT KILL",
    "NOREPLICAS Not enough good replicas to write.": "min-replicas-to-write",
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable": "its disk",
    "OOM command not allowed when used memory > 'maxmemory'.": "maxmemory",
    "UNBLOCKED force unblock from blocking operation, instance state changed": "stopped being the primary",
    "ERR user_script:5: OOM command not allowed when used memory > 'maxmemory'. script: x": "maxmemory",
}
LASTING = {
    "NOPERM No permissions to access a key": "examples/acl/larry.acl",
    "CROSSSLOT Keys in request don't hash to the same slot": "hash tag",
    "MOVED 866 127.0.0.1:7001": "write redis+cluster://",
    "WRONGPASS invalid username-password pair or user is disabled.": "refused the user or the password",
    "NOAUTH Authentication required.": "refused the user or the password",
    "ERR something that nobody has heard of": "answered with an error",
}


@pytest.mark.parametrize("answer", PASSING)
def test_what_passes_is_asked_again_and_then_told(proxy: Proxy, locks_at: Any, answer: str) -> None:
    locks = locks_at({"url": f"redis://127.0.0.1:{proxy.port}", "patience": 5})
    proxy.answer, proxy.left = f"-{answer}\r\n".encode(), 2
    assert locks.take().fence, "it was asked again until it was possible"
    assert proxy.seen == 3
    impatient = locks_at({"url": f"redis://127.0.0.1:{proxy.port}", "patience": 0.1})
    proxy.left = 1_000
    with pytest.raises(ServerUnavailable) as caught:
        impatient.take()
    said = caught.value.sentence
    assert PASSING[answer] in said and f"127.0.0.1:{proxy.port}" in said and said.count("Traceback") == 0


@pytest.mark.parametrize("answer", LASTING)
def test_what_stays_is_told_at_once(proxy: Proxy, locks_at: Any, answer: str) -> None:
    locks = locks_at({"url": f"redis://127.0.0.1:{proxy.port}", "patience": 30})
    proxy.answer, proxy.left = f"-{answer}\r\n".encode(), 1_000
    with pytest.raises(ServerUnavailable) as caught:
        locks.take()
    assert proxy.seen == 1
    assert LASTING[answer] in caught.value.sentence


def test_a_full_server_changes_nothing_and_goes_on_when_there_is_room(single: servers.Servers, locks_at: Any) -> None:
    locks = locks_at(single.connection, patience=0.2)
    with single.primary.client() as plain:
        plain.config_set("maxmemory", 1)
        try:
            with pytest.raises(ServerUnavailable, match="has no memory left"):
                locks.take()
            assert plain.keys(locks.settings.prefix + "*") == []
        finally:
            plain.config_set("maxmemory", 0)
    assert locks.take().fence


def test_a_server_that_is_kept_busy_is_waited_for(single: servers.Servers, locks_at: Any) -> None:
    locks = locks_at(single.connection, timeout=1)
    with single.primary.client(socket_timeout=30) as plain:
        plain.config_set("busy-reply-threshold", 50)
        busy = threading.Thread(
            target=lambda: plain.eval(
                "local e = redis.call('TIME') repeat local t = redis.call('TIME') until t[1] - e[1] >= 2 return 1", 0
            )
        )
        busy.start()
        time.sleep(0.2)
        assert locks.take().fence
        busy.join()


def test_a_replica_by_its_own_url_is_told(start: Any, locks_at: Any) -> None:
    sentinel = start("sentinel")
    replica = sentinel.processes["replica-1"]
    locks = locks_at({"url": f"redis://127.0.0.1:{replica.port}", "patience": 0.2})
    with pytest.raises(ServerUnavailable, match=r"is a replica; name the primary"):
        locks.take()


def test_a_server_that_starts_again_within_a_call(single: servers.Servers, locks_at: Any) -> None:
    one = servers.Process(servers.valkey_program(), single.directory / "again").start()
    single.processes["again"] = one
    locks = locks_at({"url": f"redis://127.0.0.1:{one.port}"})
    assert locks.take().fence
    one.kill()
    threading.Timer(1.0, one.start).start()
    assert locks.take().fence


def test_nobody_there_ends_when_it_is_said(locks_at: Any) -> None:
    """redis-py retries within a retry; together they must not take longer than the patience."""
    locks = locks_at({"url": "redis://127.0.0.1:1", "patience": 1})
    began = time.monotonic()
    with pytest.raises(ServerUnavailable, match="does not answer"):
        locks.take()
    assert 1.0 <= time.monotonic() - began < 3.5


def test_a_lost_connection_ends_when_it_is_said(single: servers.Servers, locks_at: Any) -> None:
    one = servers.Process(servers.valkey_program(), single.directory / "gone").start()
    locks = locks_at({"url": f"redis://127.0.0.1:{one.port}", "patience": 1})
    connect(locks.settings).ping()
    one.kill()
    began = time.monotonic()
    with pytest.raises(ServerUnavailable, match="does not answer"):
        locks.take()
    assert 1.0 <= time.monotonic() - began < 3.5


def test_a_call_of_a_new_process_is_one_command(single: servers.Servers, locks_at: Any) -> None:
    locks_at(single.connection).take()
    with servers.counted(single.processes) as cost:
        locks_at({"url": f"redis://127.0.0.1:{single.primary.port}"}).take()
    assert cost["primary"] == {"evalsha": 1}


def test_a_password_costs_one_command_more(start: Any, locks_at: Any) -> None:
    acl = start("acl")
    locks_at(acl.connection).take()
    with servers.counted(acl.processes) as cost:
        locks_at(acl.connection).take()
    assert cost["primary"] == {"auth": 1, "evalsha": 1}


def ask(words: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the prompt with one command."""
    import os

    kept = {name: value for name, value in os.environ.items() if not name.startswith("LARRY_")}
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "redis_prompt.py"), "--raw", *words],
        env=kept | environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["tls", "acl", "sentinel", "cluster"])
def test_the_prompt_reaches_every_kind_from_the_environment(start: Any, locks_at: Any, kind: str) -> None:
    started = start(kind)
    locks = locks_at(started.connection)
    fence = locks.take().fence
    names = {name: f"LARRY_REDIS_{name.upper()}" for name in started.connection} | {"url": "LARRY_REDIS"}
    environment = {names[name]: str(value) for name, value in started.connection.items()}
    environment["LARRY_PREFIX"] = locks.settings.prefix
    answer = ask(["HGET", locks.settings.prefix + "larry:lock:db", "fence"], **environment)
    assert (answer.returncode, answer.stdout.strip()) == (0, fence), answer.stderr
