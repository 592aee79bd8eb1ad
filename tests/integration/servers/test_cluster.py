# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Cluster: all keys of a prefix in one slot, the owner found, and nothing done while the slot is moved."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest
import redis
import servers

from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import ServerUnavailable, SettingsError


@pytest.fixture(scope="module")
def cluster(start: Any) -> servers.Servers:
    """Three nodes, each with a third of the slots."""
    return start("cluster")


def slot_of(node: servers.Process, name: str) -> int:
    """The slot of a key, as a server counts it."""
    with node.client() as client:
        return int(client.execute_command("CLUSTER", "KEYSLOT", name))


def owner_of(cluster: servers.Servers, name: str) -> tuple[str, servers.Process]:
    """The node that has the slot of a key, found by asking each for it."""
    for label, node in cluster.processes.items():
        with node.client(retry=None) as client:
            try:
                client.exists(name)
                if client.role()[0] == "master":
                    return label, node
            except redis.RedisError:
                continue
    raise AssertionError(f"nobody owns the slot of {name}")


def prefix_at(cluster: servers.Servers, node: servers.Process) -> str:
    """A prefix whose slot belongs to this node."""
    while True:
        prefix = f"{{t{uuid.uuid4().hex[:8]}}}:"
        if owner_of(cluster, prefix)[1] is node:
            return prefix


def nodes(cluster: servers.Servers, *chosen: servers.Process) -> dict[str, Any]:
    """A connection that names these nodes."""
    return {"url": "redis+cluster://" + ",".join(f"127.0.0.1:{one.port}" for one in chosen)}


@pytest.mark.parametrize("prefix", ["", "larry:", "{}larry:", "larry{", "}larry{:", "a{}b{c}"])
def test_a_prefix_without_a_hash_tag_is_refused(locks_at: Any, prefix: str) -> None:
    with pytest.raises(SettingsError, match=r"write \{larry\}: instead of"):
        locks_at({"url": "redis+cluster://127.0.0.1:1"}, prefix)


@pytest.mark.parametrize("prefix", ["{a}:", "x{a}", "x{a}y{b}", "{a}{}", "{{a}", "{a}}:"])
def test_every_key_of_a_prefix_is_in_one_slot(cluster: servers.Servers, locks_at: Any, prefix: str) -> None:
    """The server's own count of slots is the second route; names with braces of their own are the hard ones."""
    locks = locks_at(cluster.connection, prefix)
    for name in ("db", "a{b}c", "}{", "{}"):
        locks.take(name)
        locks.release(name)
    written = list(cluster.make_client().scan_iter(prefix.replace("{", "?") + "*"))
    mine = [key for key in written if key.startswith(prefix)]
    assert len(mine) > 4
    assert len({slot_of(cluster.primary, key) for key in mine}) == 1
    cluster.make_client().delete(*mine)


def test_the_owner_is_found_wherever_one_begins(cluster: servers.Servers, locks_at: Any) -> None:
    for named in cluster.processes.values():
        for owner in cluster.processes.values():
            locks = locks_at(nodes(cluster, named), prefix_at(cluster, owner))
            fence = locks.take().fence
            with owner.client() as plain:
                assert plain.hget(locks.settings.prefix + "larry:lock:db", "fence") == fence


def test_a_node_that_is_gone_is_passed_over(cluster: servers.Servers, locks_at: Any) -> None:
    locks = locks_at({"url": f"redis+cluster://127.0.0.1:1,127.0.0.1:2,127.0.0.1:{cluster.primary.port}"})
    assert locks.take().fence


def test_a_call_of_a_new_process_costs_at_most_one_detour(cluster: servers.Servers, locks_at: Any) -> None:
    first, second = list(cluster.processes.values())[:2]
    for _number in range(2):  # both servers know the script after the first turn
        prefix = prefix_at(cluster, first)
        with servers.counted(cluster.processes) as near:
            locks_at(nodes(cluster, first, second), prefix).take()
        prefix = prefix_at(cluster, second)
        with servers.counted(cluster.processes) as far:
            locks_at(nodes(cluster, first, second), prefix).take()
    assert [calls for calls in near.values() if calls] == [{"evalsha": 1}]
    # MOVED is an answer to a call that was not made, so the server does not count it.
    assert [calls for calls in far.values() if calls] == [{"evalsha": 1}]


def test_redis_pys_own_client_costs_more(cluster: servers.Servers) -> None:
    """Why it is not used; when this fails, it can be looked at again."""
    with servers.counted(cluster.processes) as cost:
        redis.RedisCluster(host="127.0.0.1", port=cluster.primary.port).get("{a}")
    sent = {name for calls in cost.values() for name in calls}
    assert sent & {"cluster|slots", "cluster|shards"}
    assert sum(number for calls in cost.values() for number in calls.values()) >= 3


def test_a_plain_url_to_a_node_is_told(cluster: servers.Servers, locks_at: Any) -> None:
    first, second = list(cluster.processes.values())[:2]
    locks = locks_at({"url": f"redis://127.0.0.1:{first.port}"}, prefix_at(cluster, second))
    began = time.monotonic()
    with pytest.raises(ServerUnavailable, match=r"write redis\+cluster://"):
        locks.take()
    assert time.monotonic() - began < 5


def test_a_cluster_url_to_a_single_server_works(start: Any, locks_at: Any) -> None:
    """A single server answers every slot."""
    port = start("valkey").primary.port
    assert locks_at({"url": f"redis+cluster://127.0.0.1:{port}"}).take().fence


def test_nothing_is_done_while_the_slot_is_moved(cluster: servers.Servers, locks_at: Any) -> None:
    """The node that receives a slot has a part of the keys, and a script there would see a run that is not whole."""
    source, target = list(cluster.processes.values())[:2]
    prefix = prefix_at(cluster, source)
    locks = locks_at(cluster.connection, prefix, patience=0.3)
    held = locks.take("db", ttl_ms=600_000)
    with source.client() as old, target.client() as new:
        slot = slot_of(source, prefix)
        ids = [client.execute_command("CLUSTER", "MYID") for client in (old, new)]
        new.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
        old.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
        keys = sorted(key for key in old.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100))
        assert prefix + "lock:db" in keys and len(keys) > 3
        expires = old.pexpiretime(prefix + "lock:db")
        moved, left = keys[::2], keys[1::2]
        old.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *moved)
        for call in (lambda: locks.take("db"), lambda: locks.release("db"), lambda: locks.look("db")):
            with pytest.raises(ServerUnavailable, match="moves the slot"):
                call()
        assert sorted(old.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100)) == left
        assert sorted(new.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100)) == moved
        old.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *left)
        for client in (new, old, *(one.client() for one in list(cluster.processes.values())[2:])):
            client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[1])
        servers.wait_for(lambda: owner_of(cluster, prefix)[1] is target, "the slot to be moved")
        # The same client, which knew the old owner; and the lock is the one that was taken.
        assert locks.look("db")["fence"] == held.fence
        if new.pexpiretime(prefix + "lock:db") <= expires + 250:
            assert locks.release("db")["status"] == "released"
            assert locks.take("db").fence > held.fence
        else:
            # MIGRATE hands over what is left of the time. Where that took longer than a quarter of a second, the key
            # counts as changed by somebody: the lease is revoked, as docs/servers.md says.
            assert locks.release("db")["status"] == "not_held"


@pytest.fixture
def with_replicas(start: Any) -> Any:
    """A Cluster of three nodes with a replica each."""
    started = servers.Servers("cluster", servers.new_directory(), {}, {}, lambda: None)
    servers.start_cluster(started, replicas=3)
    yield started
    started.stop()


def test_a_replica_takes_over_within_a_call(with_replicas: servers.Servers, locks_at: Any) -> None:
    cluster = with_replicas
    owner = list(cluster.processes.values())[1]
    locks = locks_at(cluster.connection, prefix_at(cluster, owner))
    before = locks.take("db", ttl_ms=600_000)
    with owner.client() as plain:
        plain.set(locks.settings.prefix + "marker", "1")
        assert plain.wait(1, 5000) == 1
    owner.kill()
    began = time.monotonic()
    assert locks.release("db")["status"] == "released"
    assert time.monotonic() - began < locks.settings.patience_s
    assert int(locks.take("db").fence) > int(before.fence)
    label, now = owner_of(cluster, locks.settings.prefix)
    assert now is not owner and label in ("node-4", "node-5", "node-6")
