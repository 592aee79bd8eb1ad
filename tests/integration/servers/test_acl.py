# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""examples/acl/larry.acl: enough for everything, and nothing in it that is not needed.

What is enough for the whole protocol is shown by the tests of the protocol themselves, which run as this user with
LARRY_TEST_SERVER=acl. Here each right is taken away in turn and something must fail or be missing.
"""

from __future__ import annotations

import fnmatch
import re
import time
from typing import Any

import pytest
import redis
import servers

from ansible_collections.cortex.larry.plugins.module_utils._coordination.barriers import BarrierService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.budgets import BudgetService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.connection import connect
from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import CoordinationError, SettingsError
from ansible_collections.cortex.larry.plugins.module_utils._coordination.events import EventService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.lua.scripts import SCRIPTS
from ansible_collections.cortex.larry.plugins.module_utils._coordination.phases import PhaseService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.runs import RunService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.session import Session
from ansible_collections.cortex.larry.plugins.module_utils._coordination.slots import SlotService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.snapshot import (
    overview,
    server_version,
    take_snapshot,
)
from ansible_collections.cortex.larry.plugins.module_utils._coordination.tasks import TaskService

# What the library sends beside the scripts; `role` only where Sentinels name the server.
SENT = {"eval", "evalsha", "exec", "get", "hget", "hgetall", "hmget", "info", "mget", "multi", "ping", "role"} | {
    *("smembers", "time", "xrange", "xread", "xrevrange", "config|get")
}


@pytest.fixture(scope="module")
def acl(start: Any) -> servers.Servers:
    """A Valkey whose user larry has the rights of the shipped file."""
    return start("acl")


def commands_of(rules: list[str]) -> set[str]:
    """The commands that rules allow."""
    return {rule[1:] for rule in rules if rule[0] == "+"}


def test_the_file_names_what_the_code_calls() -> None:
    called = {name.lower() for text in SCRIPTS.values() for name in re.findall(r"redis\.p?call\('([A-Z]+)'", text)}
    assert commands_of(servers.acl_rules()) == called | SENT
    computed = [text for text in SCRIPTS.values() if re.search(r"redis\.p?call\((?!')", text)]
    assert not computed, "a command whose name is computed cannot be counted"


def test_the_servers_load_the_file_as_it_is(acl: servers.Servers, tmp_path: Any) -> None:
    for program in (servers.valkey_program, servers.redis_program):
        try:
            found = program()
        except servers.NotHere:
            continue
        directory = servers.new_directory()
        one = servers.Process(found, directory / "p", [f"include {servers.ACL_FILE}"]).start()
        try:
            with one.client() as client:
                assert commands_of(client.acl_getuser("larry")["commands"]) == commands_of(servers.acl_rules())
                # It has no password, so nobody can be it yet.
                with pytest.raises(redis.AuthenticationError):
                    one.client(username="larry", password="").ping()
        finally:
            one.kill()


def test_it_may_do_nothing_else(acl: servers.Servers, locks_at: Any) -> None:
    client = connect(locks_at(acl.connection, "").settings)
    for words in (
        ("GET", "somebody:else"),
        ("SET", "somebody:else", "1"),
        ("PUBLISH", "somebody", "1"),
        ("EVAL", "return redis.call('GET', 'somebody:else')", "0"),
        ("FLUSHALL",),
        ("KEYS", "*"),
        ("CONFIG", "SET", "maxmemory", "0"),
        ("ACL", "LIST"),
        ("SCRIPT", "FLUSH"),
        ("SHUTDOWN",),
        ("REPLICAOF", "NO", "ONE"),
    ):
        with pytest.raises(redis.ResponseError) as caught:
            client.execute_command(*words)
        assert re.search("permission|can't run|ACL failure", str(caught.value)), words


PLAN: dict[str, Any] = {
    "name": "a-test", "title": "A test", "cluster": "test", "time_scale": 1000.0, "nodes": {},
    "larrys": {"l": {"id": "l", "domain": "d", "node": "n", "phase_s": 60_000, "checkpoints": [], "masters": {},
                     "tokens": 100, "workers": ["w"]}},
    "workers": {"w": {"id": "w", "name": "w", "larry": "l", "node": "n", "tokens": 100, "capabilities": ["cap"]}},
    "tasks": {}, "budgets": {"emergency": 10},
}  # fmt: skip
for _index, _name in enumerate(("a", "b", "c")):
    PLAN["tasks"][_name] = {
        "id": _name, "larry": "l", "index": _index, "capability": "cap", "worker": None,
        "depends_on": ["a"] if _name == "b" else [], "after": ["b"] if _name == "c" else [], "touches": ["thing"],
        "metered": True, "planned_s": 10_000, "deadline_s": 20_000, "attempts": 1, "backoff_s": 0.05,
    }  # fmt: skip


def tour(acl: servers.Servers, make: Any) -> None:
    """Everything that the protocol does, in small; raises or fails an assertion if anything is missing."""
    locks = make(acl.connection)
    settings, controller = locks.settings, locks.session.controller
    key = locks.session.key
    with acl.primary.client() as plain:
        # Outside of a run: a lock, a barrier, an event.
        locks.take("db", ttl_ms=5_000)
        locks.extend("db")
        assert locks.look("db")["mine"]
        with pytest.raises(CoordinationError):
            make(acl.connection, settings.prefix).take("db", wait_s=0.02)
        assert locks.release("db")["status"] == "released"
        plain.set(key("lock:db"), "somebody", px=20)
        locks.take("db", wait_s=2)
        plain.delete(key("lock:db"))
        assert locks.look("db").get("mine") is None
        outside = Session(settings, controller, "h", keep=False)
        for member in ("x", "y"):
            barrier = BarrierService(outside).meet("b", member=member, members=["x", "y"], turn_s=0, keep=False)
        assert barrier["status"] == "open"
        BarrierService(outside).meet("c", member="x", count=2, turn_s=0, keep=False)
        assert BarrierService(outside).leave("c", "x")
        EventService(outside).publish("something")
        with plain.pubsub(ignore_subscribe_messages=True) as ears:
            ears.subscribe(key("larry:alerts"))
            ears.get_message(timeout=1)
            EventService(outside).publish("critical_cve", alert=True)
            assert any(ears.get_message(timeout=1) for _number in range(3)), "no message came"

        # A run.
        member = Session(settings, controller, "w", member=True, keep=False)
        runs = RunService(member)
        plain.config_set("maxmemory-policy", "allkeys-lru")
        try:
            with pytest.raises(SettingsError, match="evicts keys"):
                runs.join(PLAN, "d" * 64)
        finally:
            plain.config_set("maxmemory-policy", "noeviction")
        member.client.ping()
        runs.join(PLAN, "d" * 64)
        for slot in ("l", "w"):
            assert SlotService(member).take(slot)["status"] == "held"
        PhaseService(member).start("l")
        budget = BudgetService(member, "l")
        hold = budget.reserve("w", 95)["hold"]
        budget.settle(hold, 95)
        budget.reserve("w", 3, hold_s=0.01)
        assert budget.look()["used"] >= 95
        tasks = TaskService(member)
        task = tasks.claim("w")
        assert task["task"] == "a"
        for verb in ("pause", "resume"):
            assert PhaseService(member).control(verb, "larry", ["l"]) == ["l"]
            assert PhaseService(member).control(verb, "thing", ["thing"]) == ["thing"]
        tasks.checkpoint("a", task["fence"], percent=50)
        assert tasks.why("b")
        tasks.settle("a", task["fence"], "failed", worker="w", cause="it must")
        time.sleep(0.02)
        member.call("renew")
        assert runs.reopen(PLAN)
        task = tasks.claim("w")
        figures = {"metrics": {"n": 1}, "phase": {"inventory:n": 2}, "findings": {"high": 1}}
        tasks.settle("a", task["fence"], "completed", worker="w", result={"public": figures})
        task = tasks.claim("w")
        plain.delete(key("task:lock:b"))
        member.call("renew")
        with pytest.raises(CoordinationError):
            tasks.settle("b", task["fence"], "completed", worker="w")
        PhaseService(member).control("cancel", "larry", ["l"])
        member.call("renew")
        PhaseService(member).turn("l")
        assert overview(member)["larrys"]
        assert take_snapshot(member, {**PLAN}, "0")["tasks"]["a"]["status"] == "completed"
        assert server_version(member).startswith("valkey")
        assert runs.wait_finished("another", 0.01)
        member.wait_for({"run": "0-0"}, 0.01)
        member.call("gone", {"cause": "the end"})
        assert runs.delete(force=True)
        assert not list(plain.scan_iter(settings.prefix + "larry:task:*"))


def test_the_tour_works_with_every_right(acl: servers.Servers, locks_at: Any) -> None:
    with acl.primary.client() as plain:
        servers.set_user(plain, servers.acl_rules(("", "t*:")))
        plain.config_resetstat()
        tour(acl, locks_at)
        used = {name.removeprefix("cmdstat_") for name in plain.info("commandstats")}
    missed = commands_of(servers.acl_rules()) - used
    assert missed == {"role"}, f"the tour does not come to {missed}"


PATTERNS = [rule for rule in servers.acl_rules() if rule[0] in "~&"]


@pytest.mark.parametrize("right", sorted(commands_of(servers.acl_rules()) - {"role"}) + PATTERNS)
def test_one_right_less_breaks_it(acl: servers.Servers, locks_at: Any, right: str) -> None:
    whole = servers.acl_rules(("t*:",))
    gone = right[0] + "t*:" + right[1:] if right[0] in "~&" else "+" + right
    assert gone in whole
    with acl.primary.client() as plain:
        servers.set_user(plain, [rule for rule in whole if rule != gone])
        plain.script_flush()  # so that EVAL is needed as well
        plain.acl_log_reset()
        with pytest.raises((CoordinationError, redis.RedisError, AssertionError, pytest.fail.Exception)):
            tour(acl, locks_at)
        # It failed for want of this right and for nothing else: the server says what it refused.
        denied = {(entry["reason"], entry["object"]) for entry in plain.acl_log(100)}
    kind = {"~": "key", "&": "channel"}.get(right[0], "command")
    assert {reason for reason, _name in denied} == {kind}, denied
    wanted = gone[1:] if kind != "command" else right
    assert all(fnmatch.fnmatchcase(name, wanted) for _reason, name in denied), denied


def test_sentinels_need_the_right_to_ask_for_the_role(start: Any, locks_at: Any) -> None:
    """The one right that only a connection through Sentinels needs."""
    started = start("sentinel")
    servers.settled(started)
    login = started.connection["url"].replace("redis+sentinel://", f"redis+sentinel://larry:{servers.ACL_PASSWORD}@")

    def take(rules: list[str]) -> Any:
        for name, one in started.processes.items():
            if not name.startswith("sentinel"):
                with one.client() as plain:
                    servers.set_user(plain, rules)
        return locks_at({"url": login}).take()

    whole = servers.acl_rules(("t*:",))
    assert take(whole).fence
    with pytest.raises(CoordinationError, match="'role'"):
        take([rule for rule in whole if rule != "+role"])
