# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directed tests of the run, budgets, events and barriers: each fails without one guard of the scripts."""

from __future__ import annotations

from typing import Any

import pytest
from virtual_time import Clock

from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import NotJoined
from ansible_collections.cortex.larry.plugins.module_utils._coordination.identity import Controller

BEGIN = {
    "run": "r1", "digest": "d", "plan": "p", "epoch": "1", "host": "h", "ttl_ms": 1_000, "definition": "{}",
    "emergency": 0, "time_scale": 1,
}  # fmt: skip


def caller(place: Any, name: str) -> Any:
    """Calls of a controller outside a run."""
    session = place.session(Controller(name, 1, "0", "host"), name)

    def call(script: str, operation: str | None = None, **arguments: Any) -> dict[str, Any]:
        return session.call(script, arguments, operation)

    return call


def record(place: Any, field: str) -> str | None:
    return place.plain.hget(place.key("larry:run"), field)


def test_one_creates_it(place: Any, clock: Clock) -> None:
    a, b = caller(place, "a"), caller(place, "b")
    assert a("run_begin", token="a", **BEGIN)["status"] == "begun"
    assert b("run_begin", token="b", **{**BEGIN, "run": "r2"})["status"] == "busy"
    assert b("run_load", token="b", ttl_ms=1_000)["status"] == "creation_lost"
    assert b("run_open", token="b", tasks=0)["status"] == "creation_lost"
    assert record(place, "id") == "r1" and record(place, "state") == "creating"
    assert b("run_join", digest="d")["status"] == "busy"
    assert a("run_open", token="a", tasks=1)["status"] == "incomplete"
    clock.advance(1_000)
    assert a("run_load", token="a", ttl_ms=1_000)["status"] == "creation_lost"
    assert a("run_open", token="a", tasks=0)["status"] == "creation_lost"
    assert b("run_join", digest="d")["status"] == "abandoned"
    assert b("run_begin", token="b", **{**BEGIN, "run": "r2"})["status"] == "exists"
    assert record(place, "id") == "r1"


def test_a_begin_sent_again_is_one(place: Any, clock: Clock) -> None:
    a = caller(place, "a")
    assert a("run_begin", token="a", **BEGIN)["status"] == "begun"
    assert a("run_begin", token="a", **BEGIN)["status"] == "begun"
    first = a("run_open", "op", token="a", tasks=0)
    assert first["status"] == "running"
    assert a("run_open", "op", token="a", tasks=0)["status"] == "running"
    assert place.names().count("run_created") == 1
    assert a("run_open", "other", token="a", tasks=0)["status"] == "creation_lost"
    assert caller(place, "b")("run_begin", token="b", **BEGIN)["status"] == "exists"


def test_a_chunk_sent_again_is_loaded_once(place: Any, crew: Any, plan_of: Any) -> None:
    a = caller(place, "a")
    a("run_begin", token="a", **BEGIN)
    task = {
        "id": "t0", "larry": "x", "index": 0, "capability": "cap", "worker": "", "weight": 1, "planned_us": 1,
        "deadline_us": 1, "attempts": 1, "backoff_us": 1, "touches": "", "waiting": 0, "depends_on": "[]",
        "after": "[]", "dependents": [], "metered": 0,
    }  # fmt: skip
    blocked = {**task, "id": "t1", "waiting": 1}
    for _number in range(2):
        a("run_load", token="a", ttl_ms=1_000, tasks=[task, blocked])
    assert place.plain.lrange(place.key("larry:tasks"), 0, -1) == ["t0", "t1"]
    assert place.plain.lrange(place.key("larry:roots"), 0, -1) == ["t0"]


def test_a_log_without_a_run_stops_it(place: Any) -> None:
    place.plain.xadd(place.key("larry:log"), {"m": "{}"})
    assert caller(place, "a")("run_begin", token="a", **BEGIN)["status"] == "leftovers"


def test_joining(place: Any, crew: Any, plan_of: Any, clock: Clock) -> None:
    one = crew(plan_of({"x": {"w": ["cap"]}}, [{"id": "t0"}], time_scale=1.0))
    one.lead(ttl_ms=20_000)
    b = caller(place, "b")
    assert b("run_join", digest="other")["status"] == "other_digest"
    assert b("run_join", digest="d" * 64, run="another")["status"] == "other_run"
    assert not place.plain.hexists(place.key("larry:controllers"), "b")
    one.claim("w", ttl_ms=1_000)
    clock.advance(1_000)
    assert b("run_join", digest="d" * 64, host="h", pid=1)["status"] == "joined"
    assert place.get("task:status:t0") == "pending"  # what was due was worked off
    assert b("run_join", digest="d" * 64, host="h", pid=1).get("changed") is None
    assert place.names().count("run_joined") == 2
    one.runs.finish("completed", "r", "h")
    assert b("run_join", digest="d" * 64)["status"] == "finished"
    place.plain.hset(place.key("larry:run"), "state", "deleting")
    assert b("run_join", digest="d" * 64)["status"] == "abandoned"


def test_it_finishes_once(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of({"x": {"w": ["cap"]}}, [{"id": "t0"}]))
    arguments = {"outcome": "completed", "report": "r", "log_head": "h"}
    one.session.call("run_finish", arguments, "op")
    one.session.call("run_finish", {**arguments, "outcome": "failed"}, "other")
    assert record(place, "outcome") == "completed"
    place.plain.hset(place.key("larry:run"), "state", "running")
    one.session.call("run_finish", arguments, "op")
    assert record(place, "state") == "running"
    assert place.names().count("run_complete") == 1


def test_nothing_is_told_after_the_end(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of({"x": {"w": ["cap"]}}, [{"id": "t0"}]))
    one.runs.finish("completed", "r", "h")
    length = place.plain.xlen(place.key("larry:log"))
    one.session.call("control", {"verb": "pause", "scope": "larry", "names": ["x"]})
    assert place.plain.xlen(place.key("larry:log")) == length
    reply = one.session.call("run_reopen", {"tasks": [{"id": "t0", "state": "failed", "waiting": 0, "parents": []}]})
    assert reply["status"] == "not_running"


def test_only_what_failed_is_opened_again(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of({"x": {"w": ["cap"]}}, [{"id": "t0", "attempts": 1}, {"id": "t1"}, {"id": "t2"}]))
    one.lead()
    one.do("w", "failed")
    one.do("w")
    task = {"waiting": 0, "parents": []}
    wanted = [
        {"id": "t0", "state": "failed", **task}, {"id": "t1", "state": "completed", **task},
        {"id": "t2", "state": "failed", **task},
    ]  # fmt: skip
    phase = one.place.plain.hgetall(place.key("larry:larry:x"))
    assert not one.session.call("run_reopen", {"tasks": [{**wanted[0], "state": "skipped"}]})["tasks"]
    reply = one.session.call("run_reopen", {"tasks": wanted}, "op")
    assert reply["tasks"] == ["t0"]
    assert one.place.plain.hget(place.key("larry:larry:x"), "deadline") == phase["deadline"]
    assert [place.get(f"task:status:{name}") for name in ("t0", "t1", "t2")] == ["pending", "completed", "pending"]
    one.do("w", "failed")
    again = one.session.call("run_reopen", {"tasks": wanted}, "op")
    assert again["tasks"] == ["t0"] and place.get("task:status:t0") == "failed"
    assert place.get("metrics:x:tasks_failed") == "1"


@pytest.mark.parametrize("outcome", ["completed", "failed"])
def test_an_ended_phase_goes_on_with_what_is_opened(place: Any, crew: Any, plan_of: Any, outcome: str) -> None:
    one = crew(plan_of({"x": {"w": ["cap"]}}, [{"id": "t0", "attempts": 1}, {"id": "t1", "depends_on": ["t0"]}]))
    one.lead()
    one.do("w", "failed")
    one.phases.turn("x", finish=True)
    place.plain.hset(place.key("larry:larry:x"), "status", outcome)
    tasks = [
        {"id": "t0", "state": "failed", "waiting": 0, "parents": []},
        {"id": "t1", "state": "skipped", "waiting": 1, "parents": [{"id": "t0", "kind": "h"}]},
    ]
    one.session.call("run_reopen", {"tasks": tasks})
    assert place.get("phase:x:status") == "in_progress"
    assert one.claimed("w")[0] == "t0"
    assert place.plain.hget(place.key("larry:task:t1"), "state") == "pending"


def test_a_run_is_deleted_by_its_id_and_not_while_it_is_led(place: Any, crew: Any, plan_of: Any, clock: Clock) -> None:
    one = crew(plan_of({"x": {"w": ["cap"]}}, [{"id": "t0"}]))
    one.lead(ttl_ms=5_000)
    b, c = caller(place, "b"), caller(place, "c")
    run = record(place, "id")
    arguments = {"token": "b", "host": "h", "ttl_ms": 1_000}
    assert b("run_delete", run="other", **arguments)["status"] == "other_run"
    assert b("run_delete", run=run, **arguments)["status"] == "led"
    assert record(place, "state") == "running"
    assert b("run_delete", run=run, **{**arguments, "token": "f"}, force=True)["status"] == "deleted"
    one = crew(one.plan)
    one.lead(ttl_ms=5_000)
    run = record(place, "id")
    place.plain.hset(place.key("larry:run"), "state", "deleting")
    place.plain.hset(place.key("larry:lease:creation"), mapping={
        "token": "c", "controller": "c", "deadline": clock.now_us + 1, "public": "", "fence": 1,
    })  # fmt: skip
    assert b("run_delete", run=run, **arguments)["status"] == "busy"
    place.plain.delete(place.key("larry:lease:creation"))
    place.plain.rpush(place.key("larry:tasks"), *(f"more{number}" for number in range(600)))
    c("lock_acquire", name="db", slots=1, token="c", owner="c", ttl_ms=1_000)
    place.plain.sadd(place.key(f"larry:held:{one.controller.id}"), "lock/db/1")
    assert b("run_delete", run=run, **arguments)["status"] == "deleting"
    assert record(place, "state") == "deleting"
    assert b("run_delete", run=run, **arguments)["status"] == "deleted"
    assert place.plain.smembers(place.key(f"larry:held:{one.controller.id}")) == {"lock/db/1"}
    assert b("run_delete", run=run, **arguments)["status"] == "absent"


def test_a_finished_run_is_deleted_although_somebody_leads(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of({"x": {"w": ["cap"]}}, [{"id": "t0"}]))
    one.lead()
    one.runs.finish("completed", "r", "h")
    arguments = {"token": "b", "host": "h", "ttl_ms": 1_000, "run": record(place, "id")}
    assert caller(place, "b")("run_delete", **arguments)["status"] == "deleted"


def test_controls_without_a_run(place: Any) -> None:
    with pytest.raises(NotJoined):
        caller(place, "a")("control", verb="pause", scope="thing", names=["db"])
    assert not place.own_keys()


class Purse:
    """The budgets of two Larrys of 100 tokens with a pool of 30."""

    def __init__(self, place: Any, crew: Any, plan_of: Any) -> None:
        self.place = place
        self.crew = crew(plan_of({"x": {"w": ["cap"]}, "y": {"v": ["cap"]}}, [{"id": "t0"}], limit=100, emergency=30))

    def reserve(self, amount: float, operation: str | None = None, larry: str = "x", account: str = "w") -> Any:
        arguments = {"larry": larry, "account": account, "amount": amount, "hold_ms": 1_000}
        return self.crew.session.call("tokens_reserve", arguments, operation)

    def settle(self, hold: str, spent: float, operation: str | None = None, larry: str = "x") -> Any:
        return self.crew.session.call("tokens_settle", {"larry": larry, "hold": hold, "spent": spent}, operation)

    def book(self, larry: str = "x") -> tuple[int, ...]:
        fields = self.place.plain.hgetall(self.place.key(f"larry:tokens:{larry}"))
        return tuple(int(fields.get(name, 0)) for name in ("used", "held", "drawn"))


@pytest.fixture
def purse(place: Any, crew: Any, plan_of: Any, clock: Clock) -> Purse:
    return Purse(place, crew, plan_of)


def test_the_cap(purse: Purse) -> None:
    first = purse.reserve(80)
    assert (first["drawn"], first["reserve_left"]) == (0, 30)
    assert purse.reserve(10)["status"] == "reserved" and purse.book() == (0, 90, 0)
    assert purse.reserve(41)["status"] == "over_budget"
    assert purse.reserve(20)["status"] == "reserved" and purse.book() == (0, 110, 20)
    assert purse.reserve(20)["status"] == "reserved" and purse.book() == (0, 130, 30)
    assert purse.reserve(1)["status"] == "over_budget"
    assert purse.reserve(95, larry="y", account="v")["status"] == "reserved"
    assert purse.book("y") == (0, 95, 0)
    assert purse.place.get("larry:reserve") == "30"
    assert len(purse.place.log("tokens_reserve_deployed")) == 2


@pytest.mark.parametrize("amount", ["5", 0, -1, 1.5])
def test_a_nonsense_amount(purse: Purse, amount: Any) -> None:
    assert purse.reserve(amount)["status"] == "bad_amount"
    assert purse.book() == (0, 0, 0)


@pytest.mark.parametrize("spent", ["5", -1, 0.5])
def test_a_nonsense_settlement(purse: Purse, spent: Any) -> None:
    purse.reserve(10, "h")
    assert purse.settle("h", spent)["status"] == "bad_amount"
    assert purse.book() == (0, 10, 0)


def test_a_reservation_and_its_settlement_sent_again(purse: Purse) -> None:
    purse.reserve(10, "h")
    purse.reserve(10, "h")
    assert purse.book() == (0, 10, 0)
    purse.settle("h", 4, "s")
    assert purse.settle("h", 4, "s")["status"] == "settled"
    purse.reserve(10, "h")
    assert purse.book() == (4, 0, 0)


def test_who_may_settle_what(purse: Purse) -> None:
    purse.reserve(10, "h")
    assert purse.settle("h", 11)["status"] == "over_hold"
    assert purse.settle("h", 1, larry="y")["status"] == "no_hold"
    assert purse.settle("other", 1)["status"] == "no_hold"
    assert purse.reserve(1, account="v")["status"] == "no_account"
    assert purse.reserve(1, larry="z")["status"] == "no_larry"
    assert purse.book() == (0, 10, 0)


def test_a_hold_that_expired_is_charged_by_whoever_comes(purse: Purse, clock: Clock) -> None:
    purse.reserve(10, "h")
    clock.advance(999)
    assert purse.book() == (0, 10, 0)
    clock.advance(1)
    assert purse.settle("h", 1)["status"] == "no_hold"
    assert purse.book() == (10, 0, 0)
    purse.reserve(10, "h2")
    clock.advance(1_000)
    purse.reserve(1)
    assert purse.book() == (20, 1, 0)


def test_a_hold_that_is_over_is_forgotten_and_not_charged_again(purse: Purse, clock: Clock) -> None:
    purse.reserve(10, "h")
    purse.settle("h", 4)
    clock.advance(600_000 - 1)
    purse.crew.tick()
    assert purse.place.plain.hexists(purse.place.key("larry:holds"), "h")
    clock.advance(1)
    purse.crew.tick()
    assert not purse.place.plain.hexists(purse.place.key("larry:holds"), "h")
    assert purse.book() == (4, 0, 0) and not purse.place.log("tokens_hold_expired")


def test_an_event_sent_again_is_one(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of({"x": {"w": ["cap"]}}, [{"id": "t0"}]))
    arguments = {"event": "mine", "data": '"n": 1'}
    first = one.session.call("event_publish", arguments, "op")
    assert one.session.call("event_publish", arguments, "op")["id"] == first["id"]
    assert len(place.log("mine")) == 1
    b = caller(place, "b")
    for _number in range(2):
        b("event_publish", "op", event="mine")
    assert len(place.log("mine")) == 1
    assert place.plain.xlen(place.key("larry:standalone:log")) == 1


class Gate:
    """A barrier of a and b outside a run."""

    def __init__(self, place: Any, policy: str = "fail") -> None:
        self.place, self.policy, self.number = place, policy, 0

    def meet(self, member: str, token: str, **more: Any) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "name": "gate", "member": member, "members": ["a", "b"], "policy": self.policy, "token": token,
            "ttl_ms": 1_000, "first": True, "join_within_us": 1,
        }  # fmt: skip
        controller = more.pop("controller", member)
        session = self.place.session(Controller(controller, 1, "0", "host"), member)
        return session.call("barrier_meet", {**arguments, **more})

    def leave(self, member: str, controller: str | None = None) -> str:
        session = self.place.session(Controller(controller or member, 1, "0", "host"), member)
        return session.call("barrier_leave", {"name": "gate", "member": member})["status"]


def test_nobody_passes_alone(place: Any, clock: Clock) -> None:
    gate = Gate(place)
    assert gate.meet("a", "t1")["status"] == "waiting"
    assert gate.meet("a", "t1")["status"] == "waiting"
    assert gate.meet("b", "t2")["status"] == "open"
    assert (gate.meet("a", "t1")["status"], gate.meet("b", "t2")["generation"]) == ("open", 1)
    assert gate.meet("b", "late", generation=1)["members"] == ["a", "b"]
    assert gate.meet("a", "t3")["status"] == "waiting"  # the next generation
    assert gate.meet("a", "new", generation=1)["status"] == "open"
    assert gate.meet("a", "new", generation=3)["status"] == "early_generation"
    assert gate.meet("a", "t1", generation=2)["status"] == "waiting"
    assert place.plain.hget(place.key("larry:barrier:gate"), "generation") == "1"


def test_who_is_expected_is_fixed_by_the_first(place: Any, clock: Clock) -> None:
    gate = Gate(place)
    assert gate.meet("c", "t")["status"] == "no_member"
    gate.meet("a", "t1")
    assert gate.meet("b", "t2", members=["b"])["status"] == "other_members"
    assert gate.meet("b", "t2", members=None, count=1)["status"] == "other_members"
    assert place.plain.hgetall(place.key("larry:arrived:gate")) == {"a": "t1"}
    assert gate.leave("a") == "left"
    assert gate.meet("b", "t2", members=["b"])["status"] == "open"
    assert gate.meet("a", "t3", members=None, count=2)["status"] == "waiting"
    assert gate.meet("b", "t4", members=None, count=1)["status"] == "other_members"
    assert gate.meet("b", "t4", members=None, count=2)["status"] == "open"


def test_a_member_is_in_once(place: Any, clock: Clock) -> None:
    gate = Gate(place)
    gate.meet("a", "t1")
    gate.meet("a", "t1")
    assert place.plain.hget(place.key("larry:barrier:gate"), "outcomes") is None
    assert gate.meet("a", "t2", controller="thief")["status"] == "member_taken"
    assert gate.leave("a", "thief") == "not_arrived"
    assert gate.meet("a", "t2")["status"] == "waiting"  # the same controller, started anew
    assert place.plain.hgetall(place.key("larry:arrived:gate")) == {"a": "t2"}
    assert place.plain.xlen(place.key("larry:standalone:log")) == 1


def test_an_arrival_that_lapsed(place: Any, clock: Clock) -> None:
    gate = Gate(place)
    gate.meet("a", "t1")
    clock.advance(1_000)
    assert gate.leave("a") == "not_arrived"
    assert gate.meet("a", "t1", first=None, generation=1)["status"] == "failed"
    assert gate.meet("b", "t2", first=None)["status"] == "failed"  # a is dead
    assert place.plain.hget(place.key("larry:barrier:gate"), "generation") is None
    assert gate.meet("b", "t2")["status"] == "failed"
    assert gate.meet("b", "t3")["status"] == "waiting"
    clock.advance(1_000)
    assert gate.meet("a", "t4")["status"] == "waiting"  # nobody of the old attempt is there any more
    assert gate.meet("b", "t5")["status"] == "open"


def test_shrink_and_wait(place: Any, clock: Clock) -> None:
    for policy, answer in (("shrink", "open"), ("wait", "waiting")):
        gate = Gate(place, policy)
        assert gate.meet("a", policy + "1")["status"] == "waiting"
        clock.advance(500)
        assert gate.meet("c", policy + "3", members=["a", "b", "c"])["status"] == "other_members"
        clock.advance(500)
        assert gate.meet("b", policy + "2", first=None)["status"] == answer
    assert gate.meet("a", "back")["status"] == "open"


def test_a_barrier_of_a_run_opens_when_nobody_is_paused(place: Any, crew: Any, plan_of: Any, clock: Clock) -> None:
    one = crew(plan_of({"x": {"w": ["cap"]}, "y": {"v": ["cap"]}}, [{"id": "t0"}]))
    one.lead(ttl_ms=60_000)
    arguments = {
        "name": "converge", "members": ["x", "y"], "policy": "fail", "ttl_ms": 60_000, "first": True,
        "join_within_us": 1_000_000,
    }  # fmt: skip
    one.session.call("control", {"verb": "pause", "scope": "larry", "names": ["y"]})
    for member in ("x", "y"):
        reply = one.session.call("barrier_meet", {**arguments, "member": member, "token": member})
        assert (reply["status"], reply["paused"]) == ("waiting", "y")
    clock.advance(1_000)
    one.session.call("control", {"verb": "resume", "scope": "larry", "names": ["y"]})
    reply = one.session.call("barrier_meet", {**arguments, "member": "x", "token": "x", "first": None})
    assert reply["status"] == "open"


def test_a_waiter_looks_again_at_the_first_change_and_tells_of_the_dead_once(place: Any, clock: Clock) -> None:
    gate = Gate(place, "wait")
    members = ["a", "b", "c"]
    gate.meet("a", "t1", members=members, ttl_ms=1_000)
    assert gate.meet("b", "t2", members=members, ttl_ms=5_000)["next_ms"] == 1_000
    assert place.plain.pttl(place.key("larry:barrier:gate")) > 0
    clock.advance(1_000)
    for _number in range(2):
        gate.meet("b", "t2", members=members, first=None)
    log = place.plain.xrange(place.key("larry:standalone:log"))
    assert sum("worker_failure" in fields["m"] for _id, fields in log) == 1


class Meeting:
    """The barrier of a run of x, which a leads and which meets, and y, which b may lead."""

    def __init__(self, place: Any, crew: Any, plan: dict[str, Any], policy: str = "fail") -> None:
        self.place, self.policy = place, policy
        self.a, self.b = crew(plan), crew(plan)
        self.a.lead("x", ttl_ms=3_600_000)

    def meet(self, name: str = "converge", one: Any = None, member: str = "x", **more: Any) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "name": name, "member": member, "members": ["x", "y"], "policy": self.policy, "token": member,
            "ttl_ms": 60_000, "join_within_us": 10_000_000, "first": True,
        }  # fmt: skip
        return (one or self.a).session.call("barrier_meet", {**arguments, **more})


@pytest.fixture
def meeting(place: Any, crew: Any, plan_of: Any, clock: Clock) -> Any:
    """Return a function that makes a meeting; planned seconds are real ones."""

    def make(policy: str = "fail") -> Meeting:
        larrys = {"x": {"x1": ["cap"]}, "y": {"y1": ["cap"]}}
        return Meeting(place, crew, plan_of(larrys, [{"id": "t0"}, {"id": "t1", "larry": "y"}], time_scale=1.0), policy)

    return make


def test_who_never_joins_is_given_up(meeting: Any, clock: Clock) -> None:
    one = meeting()
    reply = one.meet()
    assert (reply["status"], reply["missing"]) == ("waiting", [{"member": "y", "why": "it has not joined yet"}])
    assert reply["next_ms"] == 10_000
    clock.advance(10_000)
    assert one.meet(first=None)["status"] == "waiting"
    clock.advance(1)
    assert one.meet(first=None)["cause"] == "y: it did not join within 10 s"


def test_who_is_led_is_awaited(meeting: Any, clock: Clock) -> None:
    one = meeting()
    one.b.lead("y", ttl_ms=3_600_000)
    clock.advance(20_000)
    assert one.meet()["missing"] == [{"member": "y", "why": "its phase is in_progress"}]


def test_who_lost_its_controller_is_given_up_unless_a_standby_is_there(meeting: Any, clock: Clock) -> None:
    one = meeting()
    one.b.lead("y", ttl_ms=5_000)
    one.a.session.call("slot_take", {"slot": "y", "owner": "o", "ttl_ms": 5_000})
    clock.advance(5_000)
    reply = one.meet()
    assert [entry["why"] for entry in reply["missing"]] == ["its controller is gone; a standby takes over"]
    clock.advance(20_000)
    assert one.meet(first=None)["cause"] == f"y: its controller {one.b.controller.id} is gone"


def test_who_arrived_and_is_gone_is_given_up(meeting: Any, clock: Clock) -> None:
    one = meeting()
    one.b.lead("y", ttl_ms=1_000)
    assert one.meet(one=one.b, member="y", ttl_ms=1_000)["status"] == "waiting"
    clock.advance(1_000)
    assert one.meet(first=None)["cause"] == "y: it arrived and no longer renews its arrival"


def test_a_member_that_is_no_larry_is_awaited(meeting: Any, clock: Clock) -> None:
    one = meeting()
    clock.advance(20_000)
    reply = one.meet("own", members=["x", "other"])
    assert reply["missing"] == [{"member": "other", "why": "has not arrived yet"}]


def test_a_barrier_of_a_run_goes_with_the_run(meeting: Any) -> None:
    one = meeting()
    one.meet("own")
    place = one.place
    assert "larry:barrier:own" in place.plain.smembers(place.key("larry:extra"))
    for name in ("barrier:own", "arrived:own", "bell:barrier:own"):
        assert place.plain.pttl(place.key("larry:" + name)) == -1, name


def test_meeting_works_off_what_is_due(meeting: Any, clock: Clock) -> None:
    one = meeting()
    one.a.claim("x1", ttl_ms=1_000)
    clock.advance(1_000)
    one.meet()
    assert one.place.get("task:status:t0") == "pending"


def test_a_barrier_beside_a_run_knows_no_pause(meeting: Any) -> None:
    one = meeting()
    one.a.session.call("control", {"verb": "pause", "scope": "larry", "names": ["x"]})
    gate = Gate(one.place)
    assert gate.meet("a", "t1").get("paused") is None
    assert gate.meet("b", "t2")["status"] == "open"
