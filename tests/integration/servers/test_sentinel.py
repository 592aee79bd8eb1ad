# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sentinels: calls go to whoever is the primary, also while that changes, and never to a replica."""

from __future__ import annotations

import time
from typing import Any

import pytest
import redis
import servers

from ansible_collections.cortex.larry.plugins.module_utils._coordination.connection import connect
from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import (
    CoordinationError,
    ServerUnavailable,
    SettingsError,
)


@pytest.fixture(scope="module")
def sentinel(start: Any) -> servers.Servers:
    """A primary, two replicas and three Sentinels."""
    return start("sentinel")


def replicated(primary: servers.Process) -> None:
    """Waits until both replicas have all that the primary has: what they lack may be lost in a fail-over."""
    with primary.client() as client:
        client.set("marker", "1")
        assert client.wait(2, 5000) == 2


def test_a_killed_primary_is_replaced_within_a_call(sentinel: servers.Servers, locks_at: Any) -> None:
    primary = servers.settled(sentinel)
    locks = locks_at(sentinel.connection)
    before = locks.take("db", ttl_ms=600_000)
    replicated(primary)
    primary.kill()
    began = time.monotonic()
    assert locks.release("db")["status"] == "released"  # the same connection, which is dead now
    assert time.monotonic() - began < locks.settings.patience_s
    now = sentinel.make_client.primary()
    assert now.port != primary.port
    # The new primary has never seen a script of ours, and its clock goes on.
    after = locks_at(sentinel.connection, locks.settings.prefix).take("db")
    assert int(after.fence) > int(before.fence)
    with now.client() as plain:
        assert plain.hget(locks.settings.prefix + "larry:lock:db", "fence") == after.fence


def test_a_demoted_primary_is_left(sentinel: servers.Servers, locks_at: Any) -> None:
    primary = servers.settled(sentinel)
    locks = locks_at(sentinel.connection)
    locks.take("db", ttl_ms=600_000)
    replicated(primary)
    with sentinel.processes["sentinel-1"].client() as client:
        servers.wait_for(lambda: client.sentinel_failover(servers.SERVICE), "a fail-over to begin")
    servers.wait_for(lambda: primary.client().role()[0] == "slave", "the primary to follow another one")
    assert locks.look("db")["mine"]
    assert locks.take("other").fence
    assert connect(locks.settings).role()[0] == "master"


def test_a_replica_is_never_spoken_to(
    sentinel: servers.Servers, locks_at: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Sentinel that does not know yet names the old primary; what is read there would be old."""
    primary = servers.settled(sentinel)
    replica = next(
        one for name, one in sentinel.processes.items() if not name.startswith("sentinel") and one.port != primary.port
    )
    from ansible_collections.cortex.larry.plugins.module_utils._coordination.connection import SentinelLocator

    monkeypatch.setattr(SentinelLocator, "find", lambda self: ("127.0.0.1", replica.port))
    locks = locks_at(sentinel.connection, patience=0.2)
    with pytest.raises(ServerUnavailable, match="is a replica now"):
        connect(locks.settings)
        locks.look("db")
    with replica.client() as plain:
        assert "cmdstat_evalsha" not in plain.info("commandstats")


def test_the_next_sentinel_is_asked(sentinel: servers.Servers, locks_at: Any) -> None:
    servers.settled(sentinel)
    live = sentinel.processes["sentinel-1"].port
    url = f"redis+sentinel://127.0.0.1:1,127.0.0.1:{live}/{servers.SERVICE}"
    assert locks_at({"url": url}).take().fence


def test_no_sentinel_answers(locks_at: Any) -> None:
    locks = locks_at({"url": "redis+sentinel://127.0.0.1:1,127.0.0.1:2/larry", "patience": 0.2})
    with pytest.raises(ServerUnavailable, match="none of the Sentinels 127.0.0.1:1, 127.0.0.1:2 answers"):
        locks.take()


def at_once(locks: Any) -> CoordinationError:
    """The error of a call that need not be tried again."""
    began = time.monotonic()
    with pytest.raises(CoordinationError) as caught:
        locks.take()
    assert time.monotonic() - began < 5
    return caught.value


def test_a_service_that_is_not_known(sentinel: servers.Servers, locks_at: Any) -> None:
    url = sentinel.connection["url"].replace("/larry/", "/harry/")
    assert "know no service harry" in at_once(locks_at({"url": url})).sentence


def test_a_server_that_is_no_sentinel(sentinel: servers.Servers, locks_at: Any) -> None:
    primary = servers.settled(sentinel)
    error = at_once(locks_at({"url": f"redis+sentinel://127.0.0.1:{primary.port}/larry"}))
    assert isinstance(error, SettingsError) and "is no Sentinel" in error.sentence


def test_a_user_of_the_sentinels_needs_one_right(sentinel: servers.Servers, locks_at: Any) -> None:
    servers.settled(sentinel)
    rules = ["resetkeys", "resetchannels", "-@all", "+sentinel|get-master-addr-by-name"]
    secret = "hunter2-planted"
    for name, one in sentinel.processes.items():
        if name.startswith("sentinel"):
            one.client().execute_command("ACL", "SETUSER", "asker", "on", f">{secret}", *rules)
    locks = locks_at(sentinel.connection, sentinel_username="asker", sentinel_password=secret)
    assert locks.take().fence
    error = at_once(locks_at(sentinel.connection, sentinel_username="asker", sentinel_password=secret + "!"))
    assert "redis_sentinel_password" in error.sentence
    for name, one in sentinel.processes.items():
        if name.startswith("sentinel"):
            one.client().execute_command("ACL", "SETUSER", "asker", "-sentinel|get-master-addr-by-name")
    error = at_once(locks_at(sentinel.connection, sentinel_username="asker", sentinel_password=secret))
    assert "permission" in error.sentence
    assert secret not in error.sentence + repr(error)


def test_a_call_of_a_new_process_costs_little(sentinel: servers.Servers, locks_at: Any) -> None:
    """One question to one Sentinel; ROLE and the call to the primary."""
    primary = servers.settled(sentinel)
    locks_at(sentinel.connection).take()  # the server knows the script now
    watching = [one.client() for name, one in sentinel.processes.items() if name.startswith("sentinel")]

    def connections() -> int:  # a Sentinel has no statistics of commands
        return sum(client.info("stats")["total_connections_received"] for client in watching)

    before = connections()
    with servers.counted({"primary": primary}) as cost:
        locks_at(sentinel.connection).take()
    assert cost["primary"] == {"role": 1, "evalsha": 1}
    assert connections() - before == 1


def test_a_primary_without_enough_replicas_takes_nothing(sentinel: servers.Servers, locks_at: Any) -> None:
    """What docs/servers.md says about min-replicas-to-write: refused, retried, and done once when they are back."""
    primary = servers.settled(sentinel)
    locks = locks_at(sentinel.connection, patience=0.5)
    with primary.client() as plain:
        plain.config_set("min-replicas-to-write", 3)
        try:
            with pytest.raises(ServerUnavailable, match="fewer replicas"):
                locks.take()
            assert plain.keys(locks.settings.prefix + "*") == []
        finally:
            plain.config_set("min-replicas-to-write", 0)
    assert locks.take().fence


def test_redis_py_itself_would_not_follow(sentinel: servers.Servers) -> None:
    """Why the library's own client for Sentinels is not used; when this fails, it can be looked at again."""
    primary = servers.settled(sentinel)
    hosts = [("127.0.0.1", one.port) for name, one in sentinel.processes.items() if name.startswith("sentinel")]
    client = redis.Sentinel(hosts).master_for(servers.SERVICE, socket_timeout=1)
    client.ping()
    connection = client.connection_pool.get_connection()
    connection.disconnect()
    connection.host, connection.port = "127.0.0.1", 1  # where the primary was before a fail-over
    with pytest.raises(redis.ConnectionError):
        connection.send_command("PING")
    assert primary.port != 1
