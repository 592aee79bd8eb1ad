# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directed tests of tasks, slots, phases and timers: each fails without one guard of the scripts.

Where no sequence of calls leads to the state that a guard is for, the test writes that state with a plain client.
"""

from __future__ import annotations

from typing import Any

import pytest
from virtual_time import Clock

from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import NotJoined

PAIR = {"x": {"x1": ["cap"], "x2": ["cap"]}}


class Team:
    """A run with the controllers a (which leads everything) and b; the answers are those of the scripts."""

    def __init__(self, place: Any, crew: Any, plan: dict[str, Any], lead: bool = True) -> None:
        self.place = place
        self.a = crew(plan)
        self.b = crew(plan)
        if lead:
            self.a.lead(ttl_ms=3_600_000)

    def call(self, one: Any, script: str, operation: str | None = None, **arguments: Any) -> dict[str, Any]:
        return one.session.call(script, arguments, operation)

    def claim(self, worker: str, operation: str | None = None, one: Any = None, ttl_ms: int = 5_000) -> Any:
        return self.call(one or self.a, "task_claim", operation, worker=worker, ttl_ms=ttl_ms)

    def settle(
        self,
        task: str,
        fence: Any,
        outcome: str = "completed",
        operation: str | None = None,
        one: Any = None,
        **more: Any,
    ) -> Any:
        arguments = {"task": task, "fence": str(fence), "outcome": outcome, "worker": "x1", "cause": "c", **more}
        return self.call(one or self.a, "task_settle", operation, **arguments)

    def checkpoint(self, task: str, fence: Any, one: Any = None) -> str:
        return self.call(one or self.a, "task_checkpoint", task=task, fence=str(fence))["status"]

    def status(self, task: str) -> str | None:
        return self.place.get(f"task:status:{task}")

    def record(self, kind: str, name: str, field: str) -> str | None:
        return self.place.plain.hget(self.place.key(f"larry:{kind}:{name}"), field)

    def write(self, kind: str, name: str, **fields: Any) -> None:
        self.place.plain.hset(self.place.key(f"larry:{kind}:{name}"), mapping=fields)

    def due(self, *timers: str) -> None:
        """These timers are due now, and are worked off."""
        self.place.plain.zadd(self.place.key("larry:timers"), {timer: 1 for timer in timers})
        self.a.tick()


@pytest.fixture
def team(place: Any, crew: Any, plan_of: Any, clock: Clock) -> Any:
    """Return a function that makes a team with a plan; planned seconds are real ones."""

    def make(work: list[dict[str, Any]], larrys: Any = None, lead: bool = True, **options: Any) -> Team:
        return Team(place, crew, plan_of(larrys or PAIR, work, **{"time_scale": 1.0, **options}), lead)

    return make


def test_a_result_needs_the_lease(team: Any, clock: Clock) -> None:
    one = team([{"id": "t0"}])
    fence = one.claim("x1")["fence"]
    clock.advance(5_000)
    answer = one.settle("t0", fence)
    assert (answer["status"], answer["cause"]) == ("fenced", "the lease is no longer held")
    assert one.status("t0") == "pending"


def test_a_result_needs_the_fence(team: Any) -> None:
    one = team([{"id": "t0"}])
    fence = int(one.claim("x1")["fence"])
    answer = one.settle("t0", fence - 1)
    assert (answer["status"], answer["cause"]) == ("fenced", f"x1 holds it now with fence {fence}")
    assert one.checkpoint("t0", fence - 1) == "lost"
    assert one.status("t0") == "in_progress"
    assert one.checkpoint("t0", fence) == "held"


def test_a_result_needs_the_controller(team: Any) -> None:
    one = team([{"id": "t0"}])
    fence = one.claim("x1")["fence"]
    assert one.settle("t0", fence, one=one.b)["status"] == "fenced"
    assert one.checkpoint("t0", fence, one.b) == "lost"
    assert one.status("t0") == "in_progress"


@pytest.mark.parametrize("outcome", ["completed", "failed", "skipped"])
def test_a_result_after_the_result(team: Any, outcome: str) -> None:
    one = team([{"id": "t0"}])
    fence = one.claim("x1")["fence"]
    one.settle("t0", fence, outcome)
    answer = one.settle("t0", fence, "completed")
    assert (answer["status"], answer["cause"]) == ("fenced", f"the task is {outcome} already")
    assert one.checkpoint("t0", fence) == "lost"
    assert one.status("t0") == outcome
    assert one.place.get(f"metrics:x:tasks_{outcome}") == "1"


def test_a_refused_result_works_off_what_is_due(team: Any, clock: Clock) -> None:
    one = team([{"id": "t0"}, {"id": "t1"}])
    one.claim("x1")
    fence = one.claim("x2", ttl_ms=8_000)["fence"]
    clock.advance(6_000)
    assert one.settle("t1", int(fence) - 1)["status"] == "fenced"
    assert one.status("t0") == "pending"


def test_a_result_sent_again_has_no_second_effect(team: Any) -> None:
    one = team([{"id": "t0", "attempts": 3}])
    fence = one.claim("x1")["fence"]
    first = one.settle("t0", fence, "failed", "op", retry=True)
    assert first["state"] == "requeued"
    again = one.settle("t0", fence, "failed", "op", retry=True)
    assert (again["status"], again["state"]) == ("settled", "requeued")
    assert one.record("task", "t0", "failures") == "1"
    assert "completion_fenced" not in one.place.names()
    one.settle("t0", fence, "failed", "late")
    one.settle("t0", fence, "failed", "late")
    assert one.place.names().count("completion_fenced") == 1


def test_a_claim_sent_again_claims_once(team: Any) -> None:
    one = team([{"id": "t0"}, {"id": "t1"}])
    first = one.claim("x1", "op")
    one.settle("t0", first["fence"])
    again = one.claim("x1", "op")
    assert (again["task"], again["fence"]) == ("t0", first["fence"])
    assert one.status("t1") == "pending"


def test_attempts_are_counted_and_lapses_are_not(team: Any, clock: Clock) -> None:
    one = team([{"id": "t0", "attempts": 1, "deadline_s": 20}, {"id": "t1", "attempts": 2, "backoff_s": 1}])
    one.claim("x1")
    clock.advance(5_000)
    one.a.tick()
    assert one.status("t0") == "pending"
    one.claim("x1", ttl_ms=60_000)
    clock.advance(20_000)
    one.a.tick()
    assert one.status("t0") == "failed"  # this time it outlived the deadline of its attempt
    fence = one.claim("x1")["fence"]
    assert one.settle("t1", fence, "failed", retry=True)["state"] == "requeued"
    assert one.claim("x1")["status"] == "none"
    clock.advance(1_000)
    fence = one.claim("x1")["fence"]
    assert one.settle("t1", fence, "failed", retry=True)["state"] == "failed"


def test_ten_lapses_are_too_many(team: Any, clock: Clock) -> None:
    one = team([{"id": "t0", "attempts": 1}])
    for number in range(10):
        assert one.status("t0") == "pending", number
        assert one.claim("x1", ttl_ms=1_000)["status"] == "claimed"
        clock.advance(1_000)
        one.a.tick()
    assert one.status("t0") == "failed"


def test_a_final_failure_is_not_tried_again(team: Any) -> None:
    one = team([{"id": "t0", "attempts": 3}])
    fence = one.claim("x1")["fence"]
    assert one.settle("t0", fence, "failed")["state"] == "failed"


def test_a_success_is_never_tried_again(team: Any) -> None:
    one = team([{"id": "t0", "attempts": 3}])
    fence = one.claim("x1")["fence"]
    assert one.settle("t0", fence, "completed", retry=True)["state"] == "completed"
    assert "worker_failure" not in one.place.names()
    assert "task_failed" not in one.place.names()


def test_who_is_blocked_twice_is_skipped_once(team: Any) -> None:
    one = team([{"id": "t0"}, {"id": "t1"}, {"id": "t2", "depends_on": ["t0", "t1"]}, {"id": "t3", "after": ["t0"]}])
    for worker in ("x1", "x2"):
        claimed = one.claim(worker)
        one.settle(claimed["task"], claimed["fence"], "failed")
    assert one.status("t2") == "skipped"
    assert one.place.get("metrics:x:tasks_skipped") == "1"
    assert one.claim("x1")["task"] == "t3"


def test_the_last_dependency_makes_it_ready(team: Any) -> None:
    one = team([{"id": "t0"}, {"id": "t1"}, {"id": "t2", "depends_on": ["t0", "t1"]}])
    first, second = one.claim("x1"), one.claim("x2")
    one.settle("t0", first["fence"])
    assert one.claim("x1")["status"] == "none"
    one.settle("t1", second["fence"])
    assert one.claim("x1")["task"] == "t2"


def test_a_retry_that_comes_too_late_changes_nothing(team: Any) -> None:
    one = team([{"id": "t0"}, {"id": "t1", "depends_on": ["t0"]}])
    one.claim("x1")
    one.due("retry:t0", "retry:t1")
    assert one.status("t0") == "in_progress" and one.record("task", "t0", "state") == "in_progress"
    assert one.claim("x2")["status"] == "none"


def test_a_lease_without_its_task_changes_no_state(team: Any, clock: Clock) -> None:
    one = team([{"id": "t0"}])
    one.claim("x1")
    one.write("task", "t0", state="completed")
    clock.advance(5_000)
    one.a.tick()
    assert one.record("task", "t0", "state") == "completed"


def test_only_the_workers_own_task_is_taken_from_it(team: Any) -> None:
    one = team([{"id": "t0"}])
    fence = one.claim("x1")["fence"]
    one.write("worker", "x1", task="another")
    one.settle("t0", fence)
    assert one.record("worker", "x1", "task") == "another"


def test_a_foreign_lock_is_honoured_until_it_is_gone(team: Any, clock: Clock) -> None:
    one = team([{"id": "t0"}, {"id": "t1"}])
    plain, key = one.place.plain, one.place.key
    plain.set(key("task:lock:t0"), "stranger", pxat=clock.now_ms + 1_000)
    plain.set(key("task:lock:t1"), "stranger")
    assert one.claim("x1")["status"] == "none"
    timers = dict(plain.zrangebyscore(key("larry:timers"), 0, clock.now_us + 3_000_000, withscores=True))
    assert timers["retry:t0"] == clock.now_us + 1_001_000 and timers["retry:t1"] == clock.now_us + 3_000_000
    clock.advance(1_001)
    assert one.claim("x1")["task"] == "t0"
    assert one.place.get("task:lock:t1") == "stranger"
    assert [entry["owner"] for entry in one.place.log("task_conflict")] == ["stranger", "stranger"]
    clock.advance(2_000)
    assert one.claim("x2")["status"] == "none"
    assert len(one.place.log("task_conflict")) == 2


def test_a_stale_entry_of_a_queue_is_not_claimed(team: Any) -> None:
    one = team([{"id": "t0"}, {"id": "t1"}])
    fence = one.claim("x1")["fence"]
    one.settle("t0", fence)
    one.place.plain.zadd(one.place.key("larry:ready:c:x:cap"), {"t0": 0})
    assert one.claim("x1")["task"] == "t1"
    assert one.status("t0") == "completed"


def test_nothing_is_claimed_that_touches_what_is_paused(team: Any) -> None:
    one = team([{"id": "t0", "touches": ["db"]}])
    one.call(one.b, "control", verb="pause", scope="thing", names=["db"])
    assert one.claim("x1")["status"] == "none"
    one.call(one.b, "control", verb="resume", scope="thing", names=["db"])
    fence = one.claim("x1")["fence"]
    one.call(one.b, "control", verb="pause", scope="thing", names=["db"])
    assert one.checkpoint("t0", fence) == "paused"


@pytest.mark.parametrize("verb, why", [("pause", "paused"), ("drain", "draining"), ("cancel", "cancelled")])
def test_a_larry_that_does_not_run_claims_nothing(team: Any, verb: str, why: str) -> None:
    one = team([{"id": "t0"}, {"id": "t1"}])
    fence = one.claim("x1")["fence"]
    one.call(one.b, "control", verb=verb, scope="larry", names=["x"])
    assert one.claim("x2").get("why") == why
    assert one.checkpoint("t0", fence) == ("held" if verb == "drain" else why)


def test_nothing_is_claimed_without_a_phase_a_leader_or_time(team: Any, clock: Clock) -> None:
    one = team([{"id": "t0"}], lead=False, phase_s=100.0)
    for slot in ("x", "x1"):
        one.call(one.a, "slot_take", slot=slot, owner="o", ttl_ms=3_600_000)
    assert one.claim("x1")["why"] == "phase_pending"
    one.a.phases.start("x")
    one.call(one.a, "slot_leave", slot="x", state="completed")
    assert one.claim("x1")["why"] == "no_leader"
    one.call(one.a, "slot_take", slot="x", owner="o", ttl_ms=3_600_000)
    one.write("larry", "x", sweep="deadline")
    assert one.claim("x1")["why"] == "sweep"
    one.write("larry", "x", sweep="", deadline=clock.now_us)
    assert one.claim("x1")["why"] == "sweep"
    assert one.status("t0") == "pending"


def test_a_worker_has_one_task(team: Any, clock: Clock) -> None:
    one = team([{"id": "t0"}, {"id": "t1"}], lead=False)
    one.a.lead(workers=False, ttl_ms=3_600_000)
    one.call(one.a, "slot_take", slot="x1", owner="o", ttl_ms=1_000)
    first = one.claim("x1", ttl_ms=15_000)
    again = one.claim("x1")
    assert (again["task"], again["fence"], again["resumed"]) == ("t0", first["fence"], True)
    clock.advance(1_000)
    one.call(one.b, "slot_take", slot="x1", owner="o", ttl_ms=60_000)
    assert one.claim("x1", one=one.b)["why"] == "held_by_previous_controller"
    # The new holder of the place does not give up what the old one still works on.
    one.call(one.b, "slot_leave", slot="x1", state="completed")
    assert one.status("t0") == "in_progress" and one.checkpoint("t0", first["fence"]) == "held"


def test_a_worker_that_leaves_gives_its_task_up(team: Any) -> None:
    one = team([{"id": "t0"}])
    one.claim("x1")
    assert one.call(one.b, "slot_leave", slot="x1", state="failed")["status"] == "not_held"
    assert one.status("t0") == "in_progress"
    one.call(one.a, "slot_leave", slot="x1", state="failed")
    assert one.status("t0") == "pending"
    assert one.place.get("worker:x1:status") == "failed"


def test_who_lost_a_place_may_take_it_again_unless_it_left(team: Any, clock: Clock) -> None:
    one = team([{"id": "t0"}], lead=False)
    turn = {"larry": "x", "lead": True}
    one.call(one.a, "slot_take", slot="x", owner="o", ttl_ms=1_000)
    clock.advance(1_000)
    lost = one.call(one.a, "phase_turn", **turn)
    assert (lost["status"], lost["lapsed"]) == ("slot_lost", True)
    assert "lapsed" not in one.call(one.b, "phase_turn", **turn)
    one.call(one.a, "slot_take", slot="x", owner="o", ttl_ms=1_000)
    one.call(one.a, "slot_leave", slot="x", state="completed")
    assert one.record("lease", "slot/x", "lapsed_at")
    assert "lapsed" not in one.call(one.a, "phase_turn", **turn)


def test_a_place_that_lapsed_is_not_left_again(team: Any, clock: Clock) -> None:
    one = team([{"id": "t0"}], lead=False)
    one.call(one.a, "slot_take", slot="x1", owner="o", ttl_ms=1_000)
    clock.advance(1_000)
    assert one.call(one.a, "slot_leave", slot="x1", state="completed")["status"] == "not_held"
    one.a.tick()
    assert one.place.get("worker:x1:status") == "lost"


def test_a_place_has_one_holder(team: Any, clock: Clock) -> None:
    one = team([{"id": "t0"}], lead=False)
    take = {"slot": "x1", "owner": "o", "ttl_ms": 1_000}
    assert one.call(one.a, "slot_take", **take)["changed"] is True
    assert one.call(one.b, "slot_take", **take)["status"] == "standby"
    assert one.call(one.a, "slot_take", **take)["changed"] is False
    assert one.place.names().count("worker_registered") == 1
    clock.advance(1_000)
    assert one.call(one.a, "slot_take", **take)["status"] == "held"
    assert "slot_taken_over" not in one.place.names()  # by itself
    clock.advance(1_000)
    assert one.call(one.b, "slot_take", **take)["status"] == "held"
    assert one.place.names().count("slot_taken_over") == 1
    assert one.place.log("lease_lapsed")[0]["resource"] == "slot:x1"
    assert one.call(one.a, "slot_take", slot="nobody", owner="o", ttl_ms=1_000)["status"] == "no_slot"


def test_only_the_leader_acts_for_a_larry(team: Any, clock: Clock) -> None:
    one = team([{"id": "t0"}])
    assert one.call(one.b, "phase_start", larry="x")["status"] == "slot_of_other"
    assert one.call(one.b, "phase_turn", larry="x", lead=True, finish=True)["status"] == "slot_of_other"
    assert one.call(one.b, "phase_turn", larry="x")["status"] == "seen"
    assert one.claim("x1", one=one.b)["status"] == "slot_of_other"
    clock.advance(3_600_000)
    assert one.call(one.a, "phase_turn", larry="x", lead=True)["status"] == "slot_lost"
    assert one.claim("x1")["status"] == "slot_lost"


def test_a_phase_of_nobody_is_refused(team: Any) -> None:
    one = team([{"id": "t0"}])
    assert one.call(one.a, "phase_turn", larry="nobody")["status"] == "no_larry"


def test_a_phase_starts_once_and_ends_once(team: Any, clock: Clock) -> None:
    one = team([{"id": "t0"}])
    started = one.place.get("phase:x:started_at")
    clock.advance(10)
    assert one.call(one.a, "phase_start", larry="x")["changed"] is False
    assert one.place.get("phase:x:started_at") == started
    assert one.call(one.a, "phase_turn", larry="x", finish=True)["changed"] is False
    one.settle("t0", one.claim("x1")["fence"])
    assert one.call(one.a, "phase_turn", larry="x")["phase"] == "in_progress"
    assert one.call(one.a, "phase_turn", larry="x", finish=True)["phase"] == "completed"
    ended = one.place.get("phase:x:completed_at")
    clock.advance(10)
    assert one.call(one.a, "phase_turn", larry="x", finish=True)["changed"] is False
    assert one.place.get("phase:x:completed_at") == ended
    assert one.place.get("phase:x:status") == "completed"


def test_a_phase_ends_as_failed_with_a_failed_task(team: Any) -> None:
    one = team([{"id": "t0"}])
    one.settle("t0", one.claim("x1")["fence"], "failed")
    one.call(one.a, "phase_turn", larry="x", finish=True)
    assert one.place.log("phase_failed")[0]["cause"] == "1 of its tasks failed"
    assert one.place.get("phase:x:status") == "failed"


def test_timers_about_what_is_over_say_nothing(team: Any, clock: Clock) -> None:
    one = team([{"id": "t0"}, {"id": "t1"}], checkpoints=[])
    one.due("overdue:t0", "checkpoint:x/10/0")
    assert one.place.log("overdue") == [] and one.place.log("behind_plan") == []
    one.claim("x1", ttl_ms=60_000)
    one.call(one.b, "control", verb="pause", scope="larry", names=["x"])
    one.due("overdue:t0", "overdue:x", "checkpoint:x/10/40", "phase:x")
    assert one.place.log("overdue") == [] and one.place.log("behind_plan") == []
    assert not one.record("larry", "x", "sweep")
    one.call(one.b, "control", verb="resume", scope="larry", names=["x"])
    one.due("overdue:t0", "overdue:x", "checkpoint:x/10/40", "sweep:x")
    assert [entry.get("task_id") for entry in one.place.log("overdue")] == ["t0", None]
    assert len(one.place.log("behind_plan")) == 1
    assert (one.status("t0"), one.status("t1")) == ("in_progress", "pending")
    for task, worker in (("t0", "x1"), ("t1", "x1")):
        one.settle(task, one.claim(worker)["fence"])
    one.call(one.a, "phase_turn", larry="x", finish=True)
    one.due("overdue:t0", "overdue:x", "checkpoint:x/20/200", "phase:x")
    assert len(one.place.log("overdue")) == 2 and len(one.place.log("behind_plan")) == 1
    assert not one.record("larry", "x", "failure")


def test_the_time_of_a_phase_stands_still_without_a_leader(team: Any, clock: Clock) -> None:
    one = team([{"id": "t0"}], phase_s=100.0)
    before = int(one.record("larry", "x", "deadline") or 0)
    one.call(one.a, "slot_leave", slot="x", state="completed")
    one.due("phase:x")
    assert not one.record("larry", "x", "sweep")
    clock.advance(5_000)
    one.call(one.b, "slot_take", slot="x", owner="o", ttl_ms=1_000)
    assert int(one.record("larry", "x", "deadline") or 0) == before + 5_000_000
    assert one.place.plain.zscore(one.place.key("larry:timers"), "phase:x") == before + 5_000_000


def test_a_phase_that_has_ended_gets_no_new_deadline(team: Any, clock: Clock) -> None:
    one = team([{"id": "t0"}], phase_s=100.0)
    one.settle("t0", one.claim("x1")["fence"])
    one.call(one.a, "phase_turn", larry="x", finish=True)
    before = one.record("larry", "x", "deadline")
    one.call(one.a, "slot_leave", slot="x", state="completed")
    clock.advance(1_000)
    one.call(one.b, "slot_take", slot="x", owner="o", ttl_ms=1_000)
    assert one.record("larry", "x", "deadline") == before
    assert one.place.plain.zscore(one.place.key("larry:timers"), "phase:x") is None
    clock.advance(1_000)
    one.a.tick()
    assert "worker_failure" not in one.place.names()  # nobody misses who led what is over


def test_roots_and_queues_are_opened_once(team: Any, clock: Clock) -> None:
    one = team([{"id": "t0"}, {"id": "t1", "worker": "x2"}])
    one.claim("x1")
    one.place.plain.rpush(one.place.key("larry:roots"), "t0")
    one.due("roots:", "join:x2")
    assert one.record("task", "t0", "state") == "in_progress"
    assert one.record("worker", "x2", "absent") != "1"
    assert one.claim("x1", one=one.a)["task"] == "t0"
    assert one.place.plain.zrange(one.place.key("larry:ready:w:x2"), 0, -1) == ["t1"]


def test_a_bound_task_is_shared_only_without_its_worker(team: Any) -> None:
    one = team([{"id": "t0"}, {"id": "t1", "depends_on": ["t0"], "worker": "x2"}, {"id": "t2", "depends_on": ["t0"]}])
    one.settle("t0", one.claim("x1")["fence"])
    assert one.claim("x1")["task"] == "t2"
    assert one.claim("x2")["task"] == "t1"


def test_a_percentage_is_kept_in_its_bounds(team: Any) -> None:
    one = team([{"id": "t0"}, {"id": "t1"}])
    fence = one.claim("x1")["fence"]
    for percent, shown in ((50, "25"), (500, "50"), (-40, "0")):
        one.call(one.a, "task_checkpoint", task="t0", fence=fence, percent=percent)
        assert one.place.get("phase:x:progress") == shown
    assert one.record("task", "t0", "partial") == "0"
    one.call(one.a, "task_checkpoint", task="t0", fence=fence, percent=50)
    one.call(one.b, "control", verb="pause", scope="larry", names=["x"])
    one.call(one.a, "task_checkpoint", task="t0", fence=fence, percent=90)
    assert one.place.get("phase:x:progress") == "25"
    one.write("larry", "x", weight_done=10**6)
    one.settle("t0", fence)
    assert one.place.get("phase:x:progress") == "100"
    one.call(one.b, "control", verb="resume", scope="larry", names=["x"])
    one.write("larry", "x", weight_done=-(10**8))
    one.settle("t1", one.claim("x1")["fence"])
    assert one.place.get("phase:x:progress") == "0"


def test_a_control_sent_again_has_no_second_effect(team: Any, clock: Clock) -> None:
    one = team([{"id": "t0"}])
    arguments = {"verb": "pause", "scope": "larry", "names": ["x"], "reason": "r"}
    one.call(one.b, "control", "op", **arguments)
    at = one.record("larry", "x", "paused_at")
    clock.advance(10)
    assert not one.call(one.b, "control", **arguments)["changed"]
    assert one.record("larry", "x", "paused_at") == at
    one.call(one.b, "control", verb="resume", scope="larry", names=["x"])
    assert one.call(one.b, "control", "op", **arguments)["changed"] == ["x"]
    assert one.record("larry", "x", "mode") == "running"
    assert one.call(one.b, "control", "probe", **arguments, probe=True)["changed"] == ["x"]
    assert one.record("larry", "x", "mode") == "running"
    one.call(one.b, "control", "probe", **arguments)
    assert one.record("larry", "x", "mode") == "paused"
    one.call(one.b, "control", verb="cancel", scope="larry", names=["x"])
    one.call(one.b, "control", verb="resume", scope="larry", names=["x"])
    assert one.record("larry", "x", "mode") == "cancelled"


def test_a_pause_of_a_thing(team: Any, clock: Clock) -> None:
    one = team([{"id": "t0", "touches": ["db"]}, {"id": "t1", "touches": ["web"]}, {"id": "t2", "touches": ["db"]}])
    one.claim("x1")
    one.claim("x2")
    paused, hard = one.place.key("larry:paused"), one.record("lease", "task/t1", "hard")
    arguments = {"verb": "pause", "scope": "thing", "names": ["db"], "reason": "r"}
    assert one.call(one.b, "control", **arguments, probe=True)["changed"] == ["db"]
    assert one.place.plain.hget(paused, "db") is None
    one.call(one.b, "control", **arguments)
    at = one.place.plain.hget(one.place.key("larry:paused_at"), "db")
    clock.advance(1_000)
    assert not one.call(one.b, "control", **arguments)["changed"]
    assert one.place.plain.hget(one.place.key("larry:paused_at"), "db") == at
    before = int(one.record("lease", "task/t0", "hard") or 0)
    resume = {"verb": "resume", "scope": "thing", "names": ["db"]}
    assert one.call(one.b, "control", **resume, probe=True)["changed"] == ["db"]
    assert one.place.plain.hget(paused, "db") == "r"
    one.place.plain.sadd(one.place.key("larry:parked:db"), "t0")
    one.call(one.b, "control", **resume)
    assert one.record("task", "t0", "state") == "in_progress"
    assert int(one.record("lease", "task/t0", "hard") or 0) == before + 1_000_000
    assert one.record("lease", "task/t1", "hard") == hard
    assert not one.call(one.b, "control", **resume)["changed"]


def test_the_deadline_of_an_attempt_ends_its_renewal(team: Any, clock: Clock) -> None:
    one = team([{"id": "t0", "deadline_s": 8}])
    one.claim("x1", ttl_ms=5_000)
    until = one.place.plain.pexpiretime(one.place.key("task:lock:t0"))
    clock.advance(4_000)
    assert one.call(one.b, "renew", only=["task/t0"])["answers"][0]["state"] == "lost"
    one.call(one.a, "renew", only=["task/t0"])
    assert one.place.plain.pexpiretime(one.place.key("task:lock:t0")) == until + 3_000
    clock.advance(4_000)
    assert one.call(one.a, "renew", only=["task/t0"])["answers"][0]["state"] == "lost"
    assert one.status("t0") == "pending"


def test_the_keeper_is_told_of_pause_and_cancel(team: Any, clock: Clock) -> None:
    one = team([{"id": "t0", "deadline_s": 8, "touches": ["db"]}])
    one.claim("x1", ttl_ms=5_000)

    def state() -> str:
        return one.call(one.a, "renew", only=["task/t0"])["answers"][0]["state"]

    assert state() == "kept"
    one.call(one.b, "control", verb="pause", scope="thing", names=["db"])
    assert state() == "paused"
    one.call(one.b, "control", verb="resume", scope="thing", names=["db"])
    one.call(one.b, "control", verb="pause", scope="larry", names=["x"])
    assert state() == "paused"
    one.call(one.b, "control", verb="cancel", scope="larry", names=["x"])
    assert state() == "cancelled"


def test_a_controller_ends_and_its_tasks_are_free(team: Any, clock: Clock) -> None:
    one = team([{"id": "t0"}])
    fence = one.claim("x1")["fence"]
    one.place.plain.sadd(one.place.key(f"larry:held:{one.b.controller.id}"), "task/t0", "slot/x")
    one.call(one.b, "gone", cause="c")
    assert one.checkpoint("t0", fence) == "held"
    assert "controller_gone" not in one.place.names()
    one.call(one.a, "gone", cause="c")
    assert one.status("t0") == "pending" and one.place.get("task:lock:t0") is None
    assert one.place.names().count("controller_gone") == 1
    assert one.call(one.b, "slot_take", slot="x", owner="o", ttl_ms=1_000)["status"] == "held"


OUTSIDERS = {
    "task_claim": {"worker": "x1", "ttl_ms": 1_000},
    "task_settle": {"task": "t0", "fence": "1", "outcome": "completed", "worker": "x1"},
    "task_checkpoint": {"task": "t0", "fence": "1"},
    "slot_take": {"slot": "x2", "owner": "o", "ttl_ms": 1_000},
    "slot_leave": {"slot": "x1", "state": "completed"},
    "phase_start": {"larry": "x"},
    "phase_turn": {"larry": "x"},
    "run_finish": {"outcome": "completed", "report": "r", "log_head": "h"},
    "run_reopen": {"tasks": []},
    "tokens_reserve": {"larry": "x", "account": "x1", "amount": 1, "hold_ms": 1_000},
    "tokens_settle": {"larry": "x", "hold": "h", "spent": 1},
    "event_publish": {"event": "mine"},
    "barrier_meet": {
        "name": "b", "member": "x", "members": ["x"], "policy": "fail", "token": "t", "ttl_ms": 1_000, "first": True,
        "join_within_us": 1,
    },
    "lock_acquire": {"name": "db", "slots": 1, "token": "t", "owner": "o", "ttl_ms": 1_000},
    "lock_release": {"name": "db", "slots": 1, "token": "t"},
    "lock_extend": {"name": "db", "token": "t", "ttl_ms": 1_000},
    "journal_deliver": {"records": [{"kind": "event", "op": "op", "event": "mine"}]},
}  # fmt: skip


@pytest.mark.parametrize("script", OUTSIDERS)
@pytest.mark.parametrize("who", ["stranger", "creating", "deleting"])
def test_who_has_not_joined_changes_nothing(team: Any, script: str, who: str) -> None:
    one = team([{"id": "t0"}], lead=False)
    session = one.a.session
    if who == "stranger":
        session = one.place.session(member=True)
    else:
        one.place.plain.hset(one.place.key("larry:run"), "state", who)
    before = one.place.own_keys()
    length = one.place.plain.xlen(one.place.key("larry:log"))
    with pytest.raises(NotJoined):
        session.call(script, OUTSIDERS[script])
    assert one.place.own_keys() == before
    assert one.place.plain.xlen(one.place.key("larry:log")) == length


def test_who_asks_for_a_task_that_nobody_holds_changes_nothing(team: Any) -> None:
    one = team([{"id": "t0"}])
    before = one.place.names()
    assert one.checkpoint("t0", 1) == "lost"
    assert one.place.names() == before and one.record("task", "t0", "state") == "ready"


@pytest.mark.parametrize("revoked", [True, False])
def test_a_lost_attempt_is_told_and_ready_at_once(team: Any, clock: Clock, revoked: bool) -> None:
    one = team([{"id": "t0", "attempts": 1}])
    fence = one.claim("x1")["fence"]
    if revoked:
        one.place.plain.delete(one.place.key("task:lock:t0"))
    else:
        clock.advance(5_000)
    assert one.checkpoint("t0", fence) == "lost"
    assert one.record("task", "t0", "state") == "ready"
    told = [name for name in one.place.names() if name.startswith("lease_")]
    assert told == ["lease_revoked" if revoked else "lease_lapsed"]


def test_a_failed_attempt_in_a_swept_phase_is_skipped(team: Any) -> None:
    one = team([{"id": "t0", "attempts": 3}])
    fence = one.claim("x1")["fence"]
    one.write("larry", "x", sweep="deadline")
    assert one.settle("t0", fence, "failed", retry=True)["state"] == "skipped"
    assert one.status("t0") == "skipped"
    assert one.place.plain.hget(one.place.key("larry:counters"), "retries") is None


def test_a_sweep_without_a_cause_skips_nothing(team: Any) -> None:
    one = team([{"id": "t0"}])
    one.write("larry", "x", sweep="")
    one.due("sweep:x")
    assert one.status("t0") == "pending"


def test_only_the_last_task_settles_the_phase(team: Any) -> None:
    one = team([{"id": "t0"}, {"id": "t1"}])
    one.settle("t0", one.claim("x1")["fence"])
    assert one.record("larry", "x", "all_settled_at") is None
    one.settle("t1", one.claim("x1")["fence"])
    assert one.record("larry", "x", "all_settled_at") is not None


def test_an_absent_worker_is_asked_for_once(team: Any) -> None:
    one = team([{"id": "t0", "worker": "x2"}], lead=False)
    one.a.lead(workers=False, ttl_ms=3_600_000)
    one.due("join:x2")
    assert one.place.plain.zscore(one.place.key("larry:timers"), "share:x2") is None
    one.call(one.a, "slot_take", slot="x1", owner="o", ttl_ms=60_000)
    assert one.claim("x1")["task"] == "t0"


@pytest.mark.parametrize("status", ["completed", "failed"])
def test_nobody_misses_who_led_what_is_over(team: Any, clock: Clock, status: str) -> None:
    one = team([{"id": "t0"}], lead=False)
    one.call(one.a, "slot_take", slot="x", owner="o", ttl_ms=1_000)
    one.write("larry", "x", status=status)
    clock.advance(1_000)
    one.a.tick()
    assert one.place.names().count("lease_lapsed") == 1
    assert "worker_failure" not in one.place.names()


def test_a_larry_without_tasks_shows_a_hundred(team: Any) -> None:
    one = team([{"id": "t0"}], {**PAIR, "y": {"y1": ["cap"]}})
    one.due("checkpoint:y/10/40")
    assert one.place.get("phase:y:progress") == "100"


PUBLIC = [
    ("reserved_name", {"phase": {"status": 1}}),
    ("reserved_name", {"phase": {"Not-A-Name": 1}}),
    ("bad_figure", {"phase": {"figure": True}}),
    ("reserved_name", {"metrics": {"tasks_completed": 1}}),
    ("reserved_name", {"metrics": {"Not-A-Name": 1}}),
    ("bad_figure", {"metrics": {"figure": 1.5}}),
    ("reserved_name", {"findings": {"Not-A-Name": 1}}),
    ("bad_figure", {"findings": {"high": 1.5}}),
]


@pytest.mark.parametrize("status, public", PUBLIC)
def test_a_bad_figure_leaves_nothing_behind(team: Any, status: str, public: dict[str, Any]) -> None:
    one = team([{"id": "t0"}])
    fence = one.claim("x1")["fence"]
    before = one.place.own_keys()
    good = {"phase": {"a": 1}, "metrics": {"a": 1}}
    mixed = {kind: {**good.get(kind, {}), **public.get(kind, {})} for kind in {*good, *public}}
    assert one.settle("t0", fence, public=mixed)["status"] == status
    assert one.place.own_keys() == before and one.status("t0") == "in_progress"
    assert one.place.get("phase:x:status") == "in_progress"
    assert one.settle("t0", fence, public=good)["status"] == "settled"


def test_nothing_is_done_with_what_is_not_there(team: Any) -> None:
    one = team([{"id": "t0"}])
    length = one.place.plain.xlen(one.place.key("larry:log"))
    assert one.claim("nobody")["status"] == "no_worker"
    assert one.settle("nothing", 1)["status"] == "no_task"
    assert one.checkpoint("nothing", 1) == "no_task"
    control = {"verb": "pause", "scope": "larry", "names": ["x", "nobody"]}
    assert one.call(one.b, "control", **control)["status"] == "no_larry"
    assert one.record("larry", "x", "mode") == "running"
    fence = one.claim("x1")["fence"]
    assert one.settle("t0", fence, "wonderful")["status"] == "bad_outcome"
    assert one.status("t0") == "in_progress" and one.place.plain.xlen(one.place.key("larry:log")) == length + 1


def test_the_first_task_of_all_queues(team: Any) -> None:
    work = [{"id": "t0", "capability": "cap"}, {"id": "t1", "capability": "other"}]
    one = team(work, {"x": {"x1": ["cap", "other"]}})
    assert one.claim("x1")["task"] == "t0"


def test_who_has_done_everything_is_told_so(team: Any) -> None:
    one = team([{"id": "t0"}])
    one.settle("t0", one.claim("x1")["fence"])
    assert one.claim("x1")["status"] == "done"


def test_a_foreign_lock_is_looked_at_again_soon(team: Any, clock: Clock) -> None:
    one = team([{"id": "t0"}])
    one.place.plain.set(one.place.key("task:lock:t0"), "stranger", pxat=clock.now_ms + 10_000)
    one.claim("x1")
    assert one.place.plain.zscore(one.place.key("larry:timers"), "retry:t0") == clock.now_us + 3_000_000


def test_a_second_attempt_is_a_take_over(team: Any, clock: Clock) -> None:
    one = team([{"id": "t0"}])
    one.claim("x1", ttl_ms=1_000)
    assert one.place.plain.hget(one.place.key("larry:counters"), "takeovers") is None
    clock.advance(1_000)
    one.claim("x1")
    assert one.place.plain.hget(one.place.key("larry:counters"), "takeovers") == "1"


def test_a_place_that_was_left_is_not_taken_over(team: Any) -> None:
    one = team([{"id": "t0"}])
    one.call(one.a, "slot_leave", slot="x1", state="completed")
    assert one.call(one.b, "slot_take", slot="x1", owner="o", ttl_ms=1_000)["status"] == "held"
    assert "slot_taken_over" not in one.place.names()


def test_a_worker_that_leaves_loses_a_lapsed_task_once(team: Any, clock: Clock) -> None:
    one = team([{"id": "t0"}])
    one.claim("x1", ttl_ms=1_000)
    clock.advance(1_000)
    one.call(one.a, "slot_leave", slot="x1", state="completed")
    assert one.record("task", "t0", "lapses") == "1"


def test_a_pause_of_a_thing_is_not_for_others(team: Any) -> None:
    one = team([{"id": "t0", "touches": ["web"]}])
    fence = one.claim("x1")["fence"]
    one.call(one.b, "control", verb="pause", scope="thing", names=["db"])
    assert one.checkpoint("t0", fence) == "held"


def test_a_start_works_off_what_is_due(team: Any, clock: Clock) -> None:
    one = team([{"id": "t0"}])
    one.claim("x1", ttl_ms=1_000)
    clock.advance(1_000)
    one.call(one.a, "phase_start", larry="x")
    assert one.status("t0") == "pending"


@pytest.mark.parametrize("phase_s, grace_s", [(100.0, 10), (1_000.0, 30)])
def test_an_absent_worker_is_awaited_for_a_while(team: Any, clock: Clock, phase_s: float, grace_s: int) -> None:
    one = team([{"id": "t0"}], lead=False, phase_s=phase_s)
    one.a.lead(workers=False)
    assert one.place.plain.zscore(one.place.key("larry:timers"), "join:x2") == clock.now_us + grace_s * 1_000_000


def test_a_phase_past_its_deadline_says_so(team: Any, clock: Clock) -> None:
    one = team([{"id": "t0"}], phase_s=100.0)
    clock.advance(100_000)
    one.a.tick()
    one.call(one.a, "phase_turn", larry="x", finish=True)
    assert one.place.log("phase_failed")[0]["cause"] == "the deadline of the phase passed"


def test_a_pause_moves_deadlines_by_its_time(team: Any, clock: Clock) -> None:
    one = team([{"id": "t0"}, {"id": "t1"}, {"id": "t2"}], phase_s=100.0)
    one.claim("x1", ttl_ms=60_000)
    one.claim("x2", ttl_ms=1_000)
    hard = int(one.record("lease", "task/t0", "hard") or 0)
    deadline = int(one.record("larry", "x", "deadline") or 0)
    lapsed = one.record("lease", "task/t1", "deadline")
    clock.advance(1_000)
    one.call(one.b, "control", verb="pause", scope="larry", names=["x"])
    assert one.record("lease", "task/t1", "deadline") == lapsed  # nothing is brought back
    clock.advance(2_000)
    one.call(one.b, "control", verb="resume", scope="larry", names=["x"])
    assert int(one.record("larry", "x", "deadline") or 0) == deadline + 2_000_000
    assert one.place.plain.zscore(one.place.key("larry:timers"), "phase:x") == deadline + 2_000_000
    assert int(one.record("lease", "task/t0", "hard") or 0) == hard + 2_000_000
    one.call(one.b, "control", verb="pause", scope="larry", names=["x"])
    clock.advance(2_000)
    one.write("lease", "task/t0", since=clock.now_us - 500_000)  # as if it had been taken in the pause
    one.call(one.b, "control", verb="resume", scope="larry", names=["x"])
    assert int(one.record("lease", "task/t0", "hard") or 0) == hard + 2_500_000


def test_a_pause_before_the_start_moves_less(team: Any, clock: Clock) -> None:
    one = team([{"id": "t0"}], lead=False, phase_s=100.0)
    one.call(one.b, "control", verb="pause", scope="larry", names=["x"])
    clock.advance(5_000)
    one.a.lead()
    deadline = clock.now_us + 100_000_000
    clock.advance(2_000)
    one.call(one.b, "control", verb="resume", scope="larry", names=["x"])
    assert int(one.record("larry", "x", "deadline") or 0) == deadline + 2_000_000


def test_a_pause_after_the_end_sets_no_deadline(team: Any) -> None:
    one = team([{"id": "t0"}])
    one.settle("t0", one.claim("x1")["fence"])
    one.call(one.a, "phase_turn", larry="x", finish=True)
    for verb in ("pause", "resume"):
        one.call(one.b, "control", verb=verb, scope="larry", names=["x"])
    assert one.place.plain.zscore(one.place.key("larry:timers"), "phase:x") is None


def test_waiters_are_woken_by_a_change_alone(team: Any) -> None:
    one = team([{"id": "t0"}])
    pause = {"verb": "pause", "scope": "thing", "names": ["db"]}

    def bell() -> Any:
        return one.place.plain.xrevrange(one.place.key("larry:bell:larry:x"), count=1)[0][0]

    before = bell()
    one.call(one.b, "control", **pause, probe=True)
    assert bell() == before
    one.call(one.b, "control", **pause)
    rung = bell()
    assert rung != before
    one.call(one.b, "control", **pause)
    assert bell() == rung


def test_nothing_is_due_in_a_finished_run(team: Any, clock: Clock) -> None:
    one = team([{"id": "t0"}])
    one.claim("x1", ttl_ms=1_000)
    one.a.runs.finish("completed", "r", "h")
    clock.advance(1_000)
    one.a.tick()
    assert one.status("t0") == "in_progress"


def test_the_end_of_a_controller_changes_no_task_that_is_settled(team: Any) -> None:
    one = team([{"id": "t0"}])
    one.claim("x1")
    one.write("task", "t0", state="completed")
    one.call(one.a, "gone", cause="c")
    assert one.record("task", "t0", "state") == "completed"


def test_the_end_of_a_controller_without_its_run(team: Any) -> None:
    one = team([{"id": "t0"}])
    one.claim("x1")
    run = one.place.plain.hgetall(one.place.key("larry:run"))
    one.place.plain.delete(one.place.key("larry:run"))
    assert not one.call(one.a, "gone", cause="c")["released"]
    assert one.record("task", "t0", "state") == "in_progress"
    assert one.place.get("task:lock:t0") is None
    assert run and one.place.get("worker:x1:status") == "busy"


def test_the_end_of_a_controller_is_not_told_while_the_run_is_deleted(team: Any) -> None:
    one = team([{"id": "t0"}])
    one.claim("x1")
    one.place.plain.hset(one.place.key("larry:run"), "state", "deleting")
    one.call(one.a, "gone", cause="c")
    assert "controller_gone" not in one.place.names()
