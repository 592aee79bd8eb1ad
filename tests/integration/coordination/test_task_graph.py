# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task graph: readiness, settling once, retries, affinity, lapses, and what a result publishes."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from typing import Any

import pytest

from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import Fenced, Refused

ONE = {"larry-01": {"w1": ["cap"], "w2": ["cap"]}}


def states(place: Any, *names: str) -> list[str]:
    return [place.get(f"task:status:{name}") for name in names]


# --- readiness ------------------------------------------------------------------------------------------------------


def test_hard_and_soft_dependencies(place: Any, crew: Any, plan_of: Any) -> None:
    plan = plan_of(
        ONE,
        [{"id": "a"}, {"id": "b", "depends_on": ["a"]}, {"id": "c", "after": ["a"]}, {"id": "d", "after": ["b", "c"]}],
    )
    one = crew(plan).lead()
    task, fence = one.claimed("w1")
    assert task == "a"
    assert one.claim("w2")["why"] == "nothing_ready"
    one.settle("w1", task, fence, "failed", cause="it broke", retry=False)
    assert states(place, "a", "b", "c", "d") == ["failed", "skipped", "pending", "pending"]
    assert place.log("task_skipped")[0]["cause"] == "blocked by a"
    assert one.do("w1") == "c"
    assert one.do("w1") == "d"
    assert one.claim("w1")["status"] == "done"
    assert states(place, "a", "b", "c", "d") == ["failed", "skipped", "completed", "completed"]


def test_a_diamond_is_joined_once(place: Any, crew: Any, plan_of: Any) -> None:
    plan = plan_of(
        ONE,
        [
            {"id": "top"},
            {"id": "left", "depends_on": ["top"]},
            {"id": "right", "depends_on": ["top"]},
            {"id": "bottom", "depends_on": ["left", "right"]},
        ],
    )
    one = crew(plan).lead()
    assert one.do("w1") == "top"
    assert one.do("w1") == "left"
    assert place.get("task:status:bottom") == "pending"
    assert one.do("w2") == "right"
    assert one.do("w2") == "bottom"
    assert [entry["task_id"] for entry in place.log("task_ready")].count("bottom") == 1


def test_a_long_chain_behind_a_failure_is_skipped_to_its_end(place: Any, crew: Any, plan_of: Any) -> None:
    work = [{"id": "t0"}] + [{"id": f"t{number}", "depends_on": [f"t{number - 1}"]} for number in range(1, 700)]
    one = crew(plan_of(ONE, work)).lead()
    one.do("w1", "failed", cause="no", retry=False)
    for _number in range(20):
        one.tick()
    assert Counter(states(place, *(task["id"] for task in work))) == {"failed": 1, "skipped": 699}
    assert one.claim("w1")["status"] == "done"
    assert place.log("task_skipped")[-1]["cause"] == "blocked by t698"


def test_a_fan_out_of_a_thousand(place: Any, crew: Any, plan_of: Any) -> None:
    work = [{"id": "root"}] + [{"id": f"t{number}", "depends_on": ["root"]} for number in range(1000)]
    one = crew(plan_of(ONE, work)).lead()
    one.do("w1")
    for _number in range(10):
        one.tick()
    ready = [entry["task_id"] for entry in place.log("task_ready")]
    assert len(ready) == len(set(ready)) == 1001
    assert one.do("w1") == "t0"


def test_dependencies_across_larrys(place: Any, crew: Any, plan_of: Any) -> None:
    plan = plan_of(
        {"larry-01": {"w1": ["cap"]}, "larry-02": {"w2": ["cap"]}},
        [{"id": "a"}, {"id": "b", "larry": "larry-02", "depends_on": ["a"]}],
    )
    first = crew(plan).lead("larry-01")
    second = crew(plan).lead("larry-02")
    assert second.claim("w2")["why"] == "nothing_ready"
    first.do("w1")
    assert second.do("w2") == "b"


def test_two_thousand_tasks_settle_each_once(place: Any, crew: Any, plan_of: Any) -> None:
    chance = random.Random(7)
    work: list[dict[str, Any]] = []
    for number in range(2000):
        before = chance.sample(range(number), min(number, chance.randrange(3)))
        hard = [f"t{one}" for one in before[:1]]
        work.append({"id": f"t{number}", "depends_on": hard, "after": [f"t{one}" for one in before[1:]]})
    one = crew(plan_of(ONE, work)).lead()
    outcome: dict[str, str] = {}
    while True:
        reply = one.claim("w1", wait_s=1)
        if reply["status"] == "done":
            break
        assert reply["status"] == "claimed", reply
        outcome[reply["task"]] = "failed" if chance.random() < 0.01 else "completed"
        one.settle("w1", reply["task"], reply["fence"], outcome[reply["task"]], retry=False, cause="no")
    # The model: a plain walk in the order of the plan.
    expected: dict[str, str] = {}
    for task in work:
        blocked = any(expected[parent] != "completed" for parent in task["depends_on"])
        expected[task["id"]] = "skipped" if blocked else outcome[task["id"]]
    assert dict(zip(expected, states(place, *expected), strict=True)) == expected
    settled = Counter(
        entry["task_id"]
        for entry in place.log()
        if entry["event"] in ("task_completed", "task_skipped") or entry.get("final")
    )
    assert set(settled.values()) == {1} and len(settled) == 2000
    assert place.get("phase:larry-01:progress") == "100"
    assert place.get("metrics:larry-01:tasks_skipped") == str(Counter(expected.values())["skipped"])


# --- the public lease -----------------------------------------------------------------------------------------------


def test_the_lease_as_an_operator_sees_it(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(ONE, [{"id": "a", "deadline_s": 60_000}])).lead()
    assert place.get("task:lock:a") is None
    task, fence = one.claimed("w1", ttl_ms=9_000)
    assert place.get("task:lock:a") == "larry-01"
    assert 8_000 < place.plain.pttl(place.key("task:lock:a")) <= 9_000
    assert place.get("task:status:a") == "in_progress"
    assert place.get("worker:w1:status") == "busy"
    one.settle("w1", task, fence)
    assert place.get("task:lock:a") is None
    assert place.get("worker:w1:status") == "idle"


def test_a_claim_beyond_the_attempts_deadline_ends_there(place: Any, crew: Any, plan_of: Any, wait_until: Any) -> None:
    one = crew(plan_of(ONE, [{"id": "a", "planned_s": 100, "deadline_s": 600}])).lead()
    one.claimed("w1", ttl_ms=9_000)
    assert place.plain.pttl(place.key("task:lock:a")) <= 600
    one.session.call("renew")
    assert place.plain.pttl(place.key("task:lock:a")) <= 600
    wait_until(lambda: place.get("task:lock:a") is None)
    one.tick()
    assert place.log("task_requeued")[0]["cause"] == "the deadline of the attempt passed"
    assert [entry["task_id"] for entry in place.log("overdue")] == ["a"]


def test_a_deleted_lock_fences_its_holder(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(ONE, [{"id": "a"}])).lead()
    task, fence = one.claimed("w1")
    place.plain.delete(place.key("task:lock:a"))
    assert one.tasks("w1").checkpoint(task, fence)["status"] == "lost"
    with pytest.raises(Fenced, match="result of a from w1 was refused"):
        one.settle("w1", task, fence, result={"summary": {}})
    assert place.plain.exists(place.key("task:result:a")) == 0
    again, later = one.claimed("w2")
    assert again == "a" and int(later) > int(fence)
    with pytest.raises(Fenced, match="w2 holds it now"):
        one.settle("w1", task, fence)
    one.settle("w2", again, later)
    names = place.names()
    assert names.count("lease_revoked") == 1 and names.count("task_completed") == 1
    assert names.count("completion_fenced") == 2
    assert place.log("task_completed")[0]["fence"] == later


def test_a_lock_set_beforehand_is_honoured(place: Any, crew: Any, plan_of: Any, wait_until: Any) -> None:
    one = crew(plan_of(ONE, [{"id": "a"}])).lead()
    assert place.plain.set(place.key("task:lock:a"), "someone", nx=True, px=700)
    for _number in range(5):
        assert one.claim("w1")["status"] == "none"
    began = time.monotonic()
    task, _fence = one.claimed("w1", wait_s=5)
    assert task == "a" and time.monotonic() - began < 1.5
    assert [(entry["task_id"], entry["owner"]) for entry in place.log("task_conflict")] == [("a", "someone")]


def test_a_foreign_lock_given_up_early_frees_the_task(place: Any, crew: Any, plan_of: Any) -> None:
    """Whoever set the lock may delete it again; the task must not wait for the expiry that it had."""
    one = crew(plan_of(ONE, [{"id": "a"}])).lead()
    place.plain.set(place.key("task:lock:a"), "someone", nx=True, ex=3600)
    assert one.claim("w1")["status"] == "none"
    place.plain.delete(place.key("task:lock:a"))
    assert one.claim("w1", wait_s=6)["status"] == "claimed"


def test_a_completion_sent_again_counts_once(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(ONE, [{"id": "a"}, {"id": "b", "depends_on": ["a"]}])).lead()
    claims = [one.session.call("task_claim", {"worker": "w1", "ttl_ms": 9000}, "op-c") for _number in range(3)]
    assert {reply["fence"] for reply in claims} == {claims[0]["fence"]}
    assert place.names().count("task_claimed") == 1
    result = {"public": {"metrics": {"found": 3}, "findings": {"high": 2}}}
    for _number in range(3):
        one.settle("w1", "a", claims[0]["fence"], result=result, operation="op-s")
    assert place.get("metrics:larry-01:found") == "3"
    assert place.plain.hgetall(place.key("phase:larry-01:findings")) == {"high": "2"}
    assert place.names().count("task_completed") == 1
    assert place.get("metrics:larry-01:tasks_completed") == "1"


def test_a_refused_completion_sent_again_is_logged_once(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(ONE, [{"id": "a"}])).lead()
    task, _fence = one.claimed("w1")
    for _number in range(2):
        with pytest.raises(Fenced):
            one.settle("w1", task, "1", operation="op")
    assert place.names().count("completion_fenced") == 1


# --- attempts -------------------------------------------------------------------------------------------------------


def test_retries_with_back_off_then_failed_for_good(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(ONE, [{"id": "a", "attempts": 3, "backoff_s": 0.2}])).lead()
    with place.plain.pubsub(ignore_subscribe_messages=True) as ears:
        ears.subscribe(place.key("larry:alerts"))
        ears.get_message(timeout=1)
        gaps = []
        for attempt in (1, 2, 3):
            began = time.monotonic()
            reply = one.claim("w1", wait_s=5)
            gaps.append(time.monotonic() - began)
            assert (reply["task"], reply["attempt"]) == ("a", attempt)
            one.settle("w1", "a", reply["fence"], "failed", cause=f"no {attempt}")
        assert gaps[0] < 0.15 and 0.15 < gaps[1] < 0.6 and 0.35 < gaps[2] < 1.0
        alert = None
        while alert is None or json.loads(alert["data"])["event"] != "worker_failure":
            alert = ears.get_message(timeout=2)
            assert alert
    assert place.get("task:status:a") == "failed"
    assert [entry["final"] for entry in place.log("task_failed")] == [False, False, True]
    assert place.get("metrics:larry-01:tasks_failed") == "1"
    assert one.claim("w1")["status"] == "done"


def test_every_attempt_is_a_number_in_the_log(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(ONE, [{"id": "a", "attempts": 2}])).lead()
    for _number in range(2):
        one.claimed("w1", wait_s=1)
        place.plain.delete(place.key("task:lock:a"))
        one.claim("w2")
    kinds = {(entry["event"], type(entry["attempt"])) for entry in place.log() if "attempt" in entry}
    assert {kind for _name, kind in kinds} == {int}, kinds


# --- who may do it --------------------------------------------------------------------------------------------------


def test_affinity_and_capability(place: Any, crew: Any, plan_of: Any) -> None:
    larrys = {"larry-01": {"w1": ["cap"], "w2": ["cap"], "w3": ["other"]}}
    one = crew(plan_of(larrys, [{"id": "a", "worker": "w1"}, {"id": "b", "capability": "other"}])).lead()
    assert one.claim("w2")["status"] == "none"
    assert one.do("w3") == "b"
    assert one.do("w1") == "a"


def test_after_a_lapse_a_second_worker_takes_over(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(ONE, [{"id": "a", "worker": "w1"}])).lead()
    task, fence = one.claimed("w1", ttl_ms=500)
    began = time.monotonic()
    assert one.claimed("w2", wait_s=3)[0] == task
    assert time.monotonic() - began < 1.5
    with pytest.raises(Fenced):
        one.settle("w1", task, fence)
    assert place.names().count("lease_lapsed") == 1


def test_a_lost_workers_ready_tasks_go_to_others(place: Any, crew: Any, plan_of: Any) -> None:
    plan = plan_of(ONE, [{"id": "a", "worker": "w1"}])
    one = crew(plan).lead(workers=False)
    one.slots.take("w1", ttl_ms=300)
    one.slots.take("w2")
    assert one.claim("w2")["status"] == "none"
    assert one.claimed("w2", wait_s=3)[0] == "a"
    assert place.get("worker:w1:status") == "lost"
    assert [entry["worker"] for entry in place.log("worker_failure")] == ["w1"]


def test_a_lost_workers_later_tasks_go_to_others_too(place: Any, crew: Any, plan_of: Any) -> None:
    """A task bound to a worker that is gone already when the task becomes ready."""
    one = crew(plan_of(ONE, [{"id": "a", "worker": "w2"}, {"id": "b", "worker": "w1", "depends_on": ["a"]}])).lead()
    one.slots.leave("w1", "failed", "unreachable")
    assert one.do("w2") == "a"
    assert one.claim("w2", wait_s=1)["status"] == "claimed"


def test_a_worker_that_never_comes_does_not_keep_its_tasks(place: Any, crew: Any, plan_of: Any) -> None:
    """Its node is down from the start: a second capable worker is there for that."""
    one = crew(plan_of(ONE, [{"id": "a", "worker": "w1"}], phase_s=3_000)).lead(workers=False)
    one.slots.take("w2")
    statuses = []
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and place.get("task:status:a") == "pending":
        statuses.append(one.claim("w2", wait_s=0.5)["status"])
    assert place.get("task:status:a") == "in_progress", place.log()[-1]


def test_a_worker_that_leaves_as_failed_gives_its_task_up_at_once(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(ONE, [{"id": "a", "worker": "w1"}])).lead()
    task, fence = one.claimed("w1")
    one.slots.leave("w1", "failed", "unreachable")
    assert place.get("worker:w1:status") == "failed"
    assert place.get("task:lock:a") is None
    assert one.claimed("w2")[0] == task
    with pytest.raises(Fenced):
        one.settle("w1", task, fence)


def test_a_controller_that_ends_gives_all_up_at_once(place: Any, crew: Any, plan_of: Any) -> None:
    plan = plan_of(ONE, [{"id": "a"}, {"id": "b"}])
    first, second = crew(plan).lead(), crew(plan)
    first.claimed("w1")
    first.claimed("w2")
    assert second.slots.take("w1")["status"] == "standby"
    first.session.call("gone", {"cause": "the process is gone"})
    assert place.get("task:lock:a") is None and place.get("task:lock:b") is None
    second.lead()
    assert {second.do("w1"), second.do("w2")} == {"a", "b"}
    assert place.log("controller_gone")[0]["controller"] == first.controller.id
    assert {entry["slot"] for entry in place.log("slot_taken_over")} == {"larry-01", "w1", "w2"}


def test_a_worker_asks_again_and_gets_its_own_task(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(ONE, [{"id": "a"}, {"id": "b"}])).lead()
    first, again = one.claim("w1"), one.claim("w1")
    assert (again["task"], again["fence"], again["attempt"]) == (first["task"], first["fence"], 1)
    assert again["resumed"] is True
    assert place.get("task:status:b") == "pending"


def test_a_stranger_does_nothing(place: Any, crew: Any, plan_of: Any) -> None:
    plan = plan_of(ONE, [{"id": "a"}])
    first, second = crew(plan).lead(), crew(plan)
    task, fence = first.claimed("w1")
    with pytest.raises(Refused, match="led by another controller"):
        second.claim("w2")
    with pytest.raises(Fenced):
        second.settle("w1", task, fence)
    with pytest.raises(Refused, match="knows no worker nobody"):
        first.claim("nobody")
    with pytest.raises(Refused, match="knows no task nothing"):
        first.tasks("w1").settle("nothing", "1", "completed", worker="w1")


# --- what a result publishes ----------------------------------------------------------------------------------------


def test_a_result_is_published(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(ONE, [{"id": "a"}, {"id": "b"}])).lead()
    result = {
        "summary": {"assets": 163},
        "public": {
            "phase": {"inventory:assets_discovered": 163},
            "metrics": {"assets_cataloged": 163},
            "findings": {"critical": 1, "low": 4},
        },
    }
    one.do("w1", result=result)
    assert place.get("phase:larry-01:inventory:assets_discovered") == "163"
    assert place.get("metrics:larry-01:assets_cataloged") == "163"
    one.do("w1", result={"public": {"findings": {"low": 2}, "metrics": {"assets_cataloged": 7}}})
    assert place.plain.hgetall(place.key("phase:larry-01:findings")) == {"critical": "1", "low": "6"}
    assert place.get("metrics:larry-01:assets_cataloged") == "170"
    kept = place.plain.hgetall(place.key("task:result:a"))
    assert json.loads(kept["result"]) == result
    assert (kept["outcome"], kept["worker"], kept["attempt"]) == ("completed", "w1", "1")
    assert kept["fence"] == place.log("task_completed")[0]["fence"]


@pytest.mark.parametrize("value, shown", [(4.2, "4.2"), (0.1, "0.1"), (3, "3"), (2**53, "9007199254740992")])
def test_figures_are_published_as_they_are(place: Any, crew: Any, plan_of: Any, value: float, shown: str) -> None:
    one = crew(plan_of(ONE, [{"id": "a"}])).lead()
    one.do("w1", result={"public": {"phase": {"testing:coverage_increase": value}}})
    assert place.get("phase:larry-01:testing:coverage_increase") == shown


@pytest.mark.parametrize(
    "public",
    [
        {"phase": {"status": 1}},
        {"phase": {"progress": 1}},
        {"phase": {"tasks": 1}},
        {"phase": {"Bad Name": 1}},
        {"metrics": {"tasks_completed": 1}},
        {"metrics": {"a:b": 1}},
    ],
)
def test_reserved_names_are_refused_and_nothing_changes(place: Any, crew: Any, plan_of: Any, public: Any) -> None:
    one = crew(plan_of(ONE, [{"id": "a"}])).lead()
    task, fence = one.claimed("w1")
    before = {name: place.plain.type(name) for name in place.own_keys()}
    with pytest.raises(Refused, match="may not publish under the name"):
        one.settle("w1", task, fence, result={"public": public})
    assert {name: place.plain.type(name) for name in place.own_keys()} == before
    assert place.get("task:status:a") == "in_progress" and place.get("task:lock:a") == "larry-01"
    one.settle("w1", task, fence)


@pytest.mark.parametrize(
    "public",
    [
        {"metrics": {"coverage": 12.5}},
        {"metrics": {"coverage": "many"}},
        {"findings": {"critical": "x"}},
        {"findings": {"critical": 0.5}},
        {"phase": {"figure": {"a": 1}}},
        {"phase": {"figure": True}},
    ],
)
def test_figures_that_are_none_leave_the_task_held_or_settled(place: Any, crew: Any, plan_of: Any, public: Any) -> None:
    """A bad figure must not leave a task that is in progress for ever: validate all before anything changes (law 3)."""
    one = crew(plan_of(ONE, [{"id": "a"}])).lead()
    task, fence = one.claimed("w1")
    try:
        one.settle("w1", task, fence, result={"public": public})
    except Exception:
        assert place.get("task:lock:a") == "larry-01"
        one.settle("w1", task, fence)
    assert place.get("task:status:a") == "completed"


def test_the_findings_hash_cannot_be_overwritten_by_a_figure(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(ONE, [{"id": "a"}])).lead()
    task, fence = one.claimed("w1")
    with pytest.raises(Refused):
        one.settle("w1", task, fence, result={"public": {"phase": {"findings": 3}}})


@pytest.mark.parametrize("name", ["metrics:larry-01:tasks_completed", "phase:larry-01:findings", "metrics:larry-01:x"])
@pytest.mark.parametrize("value", ["100", "rubbish"])
def test_a_hand_edited_figure_has_no_meaning(place: Any, crew: Any, plan_of: Any, name: str, value: str) -> None:
    """Section 6: no hand-edited key but task:lock means anything, least of all an end to the run."""
    one = crew(plan_of(ONE, [{"id": "a"}])).lead()
    task, fence = one.claimed("w1")
    place.plain.set(place.key(name), value)
    one.settle("w1", task, fence, result={"public": {"findings": {"low": 1}, "metrics": {"x": 1}}})
    assert place.get("metrics:larry-01:tasks_completed") == "1"
    assert place.get("metrics:larry-01:x") == "1"
    assert place.plain.hgetall(place.key("phase:larry-01:findings")) == {"low": "1"}


def test_progress_is_weighted_by_planned_duration(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(ONE, [{"id": "a", "planned_s": 3000}, {"id": "b", "planned_s": 1000}])).lead()
    assert place.get("phase:larry-01:progress") == "0"
    task, fence = one.claimed("w1")
    one.tasks("w1").checkpoint(task, fence, percent=50)
    assert place.get("phase:larry-01:progress") == "37"
    one.tasks("w1").checkpoint(task, fence, percent=20)
    assert place.get("phase:larry-01:progress") == "15"
    one.settle("w1", task, fence)
    assert place.get("phase:larry-01:progress") == "75"
    one.do("w1")
    assert place.get("phase:larry-01:progress") == "100"
    # Progress ticks are messages, no log entries (law 9).
    assert "progress_update" not in place.names()


def test_partial_progress_of_a_lost_attempt_is_taken_back(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(ONE, [{"id": "a"}, {"id": "b"}])).lead()
    task, fence = one.claimed("w1")
    one.tasks("w1").checkpoint(task, fence, percent=90)
    one.settle("w1", task, fence, "failed", cause="no")
    one.do("w2")
    assert place.get("phase:larry-01:progress") == "50"


@pytest.mark.parametrize("percent", [1000, -50])
def test_a_percentage_out_of_range_does_not_distort(place: Any, crew: Any, plan_of: Any, percent: float) -> None:
    work = [{"id": f"t{number}"} for number in range(4)]
    one = crew(plan_of(ONE, work)).lead()
    one.do("w2")
    task, fence = one.claimed("w1")
    try:
        one.tasks("w1").checkpoint(task, fence, percent=percent)
    except Exception as error:
        assert "percent" in str(error)
    assert 25 <= int(place.get("phase:larry-01:progress")) <= 50


# --- why is it not running ------------------------------------------------------------------------------------------


def test_why_not_names_each_cause(place: Any, crew: Any, plan_of: Any) -> None:
    work = [
        {"id": "a", "touches": ["db"], "backoff_s": 60},
        {"id": "b", "depends_on": ["a"]},
        {"id": "c", "capability": "nobody-has-it"},
        {"id": "d", "worker": "w1"},
    ]
    one = crew(plan_of(ONE, work))

    def why(task: str) -> str:
        return " ".join(one.tasks("w1").why(task)["because"])

    assert "phase of larry-01 has not started" in why("a")
    assert "start a controller with one of w1, w2" in why("a")
    one.lead()
    assert "claimed as soon as a worker asks" in why("a")
    assert "waits for a, which is ready and must complete first" in why("b")
    assert "No worker of larry-01 has the capability nobody-has-it" in why("c")
    one.phases.control("pause", "thing", ["db"], "a backup runs")
    assert "touches db, which is paused: a backup runs" in why("a")
    one.phases.control("resume", "thing", ["db"])
    one.phases.control("pause", "larry", ["larry-01"], "lunch")
    assert "larry-01 is paused: lunch" in why("a")
    one.phases.control("resume", "larry", ["larry-01"])
    place.plain.set(place.key("task:lock:a"), "someone", ex=50)
    assert "task:lock:a was set by another client (someone)" in why("a")
    place.plain.delete(place.key("task:lock:a"))
    task, fence = one.claimed("w1")
    assert task == "a"
    assert "a runs on w1 (attempt 1 of 3" in why("a")
    assert "Its worker w1 is busy with a" in why("d")
    one.settle("w1", "a", fence, "failed", cause="no")
    assert "tried again in" in why("a") and "attempt 2 of 3" in why("a")
    assert one.do("w1") == "d"
    assert why("d") == "d is completed."


def test_why_changes_nothing(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(ONE, [{"id": "a"}])).lead()
    one.claimed("w1", ttl_ms=300)
    time.sleep(0.4)
    before = {name: place.plain.dump(name) for name in place.own_keys()}
    one.tasks("w1").why("a")
    assert {name: place.plain.dump(name) for name in place.own_keys()} == before
