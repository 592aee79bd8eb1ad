# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checker of the chaos harness: it passes a history that is right, and finds each single thing that is wrong.

The history is written by hand: two Larrys, four tasks, a lapse, a refused completion, a failure that blocks a task, a
lock, a budget and a barrier. Each case changes one thing in it and names the law that must be found broken.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "chaos"))

from call_records import Call
from history_checker import check

pytestmark = pytest.mark.main_core

History = dict[str, Any]


def task_of(name: str, larry: str, depends_on: list[str], after: list[str]) -> dict[str, Any]:
    return {"id": name, "larry": larry, "capability": "dig", "depends_on": depends_on, "after": after}


def right_history() -> History:
    """A history in which everything is right."""
    plan = {
        "larrys": {"east": {"workers": ["e1", "e2"], "tokens": 100}, "west": {"workers": ["w1"], "tokens": 100}},
        "workers": {
            "e1": {"larry": "east", "capabilities": ["dig"]},
            "e2": {"larry": "east", "capabilities": ["dig"]},
            "w1": {"larry": "west", "capabilities": ["dig"]},
        },
        "tasks": {
            "a": task_of("a", "east", [], []),
            "b": task_of("b", "west", ["a"], []),
            "c": task_of("c", "east", [], ["a"]),
            "d": task_of("d", "east", ["c"], []),
        },
        "budgets": {"emergency": 10},
    }
    log: list[dict[str, Any]] = []

    def tell(event: str, **fields: Any) -> None:
        number = str(len(log) + 1)
        log.append({"at": number + "-0", "id": number, "event": event, "run": "r", **fields})

    def claimed(task: str, larry: str, worker: str, fence: int, attempt: int) -> None:
        tell("task_claimed", task_id=task, larry=larry, worker=worker, fence=str(fence), attempt=attempt)

    tell("run_created", tasks=4)
    tell("phase_started", larry="east")
    tell("phase_started", larry="west")
    tell("task_ready", task_id="a", larry="east")
    claimed("a", "east", "e1", 100, 1)
    tell("lease_lapsed", resource="task:lock:a", holder="e1", fence="100")
    tell("task_requeued", task_id="a", larry="east", cause="the lease of e1 lapsed", attempt=1)
    claimed("a", "east", "e2", 200, 2)
    tell("completion_fenced", task_id="a", larry="east", worker="e1", fence="100", cause="e2 holds it now")
    tell("task_completed", task_id="a", larry="east", worker="e2", fence="200", attempt=2)
    tell("task_ready", task_id="b", larry="west")
    tell("task_ready", task_id="c", larry="east")
    claimed("b", "west", "w1", 300, 1)
    claimed("c", "east", "e1", 310, 1)
    tell("lease_acquired", resource="lock:door", holder="e1", fence="400", slot=1)
    tell("lease_released", resource="lock:door", holder="e1", fence="400")
    tell("lease_acquired", resource="lock:door", holder="w1", fence="410", slot=1)
    tell("lease_lapsed", resource="lock:door", holder="w1", fence="410")
    tell("task_completed", task_id="b", larry="west", worker="w1", fence="300", attempt=1)
    tell("phase_complete", larry="west", completed=1, failed=0, skipped=0)
    tell("task_failed", task_id="c", larry="east", worker="e1", fence="310", attempt=1, final=True)
    tell("task_skipped", task_id="d", larry="east", cause="blocked by c")
    tell("phase_failed", larry="east", completed=1, failed=1, skipped=1)
    tell("barrier_arrived", barrier="converge", member="west", generation=1)
    tell("barrier_arrived", barrier="converge", member="east", generation=1)
    tell("barrier_open", barrier="converge", generation=1, members=["east", "west"])
    tell("run_complete", state="completed")

    def ended(state: str, fence: str | None, attempt: int) -> dict[str, Any]:
        record = {"state": state, "attempt": str(attempt)} | ({"fence": fence} if fence else {})
        return {"record": record, "status": state, "lease": {}, "lock": None}

    def larry(status: str, used: int, **counts: int) -> dict[str, Any]:
        told = {state: str(count) for state, count in counts.items()}
        return {
            "record": {"status": status, **told},
            "status": status,
            "progress": "100",
            "tokens": {"used": str(used), "held": "0", "drawn": "0"},
            "used": str(used),
            "metrics": {f"tasks_{state}": count for state, count in told.items()},
            "running": [],
            "queue": [],
        }

    return {
        "plan": plan,
        "prefix": "p:",
        "run": {"id": "r", "state": "finished", "seq": str(len(log))},
        "log": log,
        "standalone_log": [],
        "standalone_sequence": None,
        "tasks": {
            "a": ended("completed", "200", 2),
            "b": ended("completed", "300", 1),
            "c": ended("failed", "310", 1),
            "d": ended("skipped", None, 0),
        },
        "larrys": {
            "east": larry("failed", 30, completed=1, failed=1, skipped=1),
            "west": larry("completed", 0, completed=1),
        },
        "workers": {name: {"record": {"task": ""}, "queue": []} for name in plan["workers"]},
        "locks": {"door": {"fence": "410", "acquisitions": "2", "slots": "1"}},
        "timers": [],
        "cascade": [],
        "holds": {},
        "reserve": None,
        "counters": {"acquisitions": "4", "fenced_completions": "1"},
        "barriers": {"converge": {"generation": "1"}},
        "samples": [
            {
                "seq": 5,
                "log": 5,
                "reserve": 0,
                "phases": {"east": "in_progress", "west": "pending"},
                "tokens": {"east": [0, 40, 0], "west": [0, 0, 0]},
                "live": {"a": {"state": "in_progress", "token": "x", "deadline": "9", "timer": 9.0}},
            },
            {
                "seq": 24,
                "log": 24,
                "reserve": 0,
                "phases": {"east": "failed", "west": "completed"},
                "tokens": {"east": [30, 0, 0], "west": [0, 0, 0]},
                "live": {},
            },
        ],
        "outside_before": {"canary": "sings"},
        "outside_after": {"canary": "sings"},
        "left": [],
    }


def right_calls() -> list[Call]:
    """What the clients saw of it. Times are made up, in the order of the log."""

    def call(who: str, what: str, begin: float, asked: dict[str, Any], **answer: Any) -> Call:
        return Call(who, "controller-" + who, what, begin, asked, begin + 0.5, answer)

    def met(who: str, begin: float, end: float) -> Call:
        asked = {"barrier": "converge", "member": who, "members": ["east", "west"]}
        return Call(who, "controller-" + who, "meet", begin, asked, end, {"status": "open", "generation": 1})

    done = {"outcome": "completed"}
    return [
        call("e1", "claim", 5, {"worker": "e1"}, status="claimed", task="a", fence="100", resumed=False),
        call("e1", "checkpoint", 6, {"task": "a", "fence": "100"}, status="held"),
        call("e2", "claim", 8, {"worker": "e2"}, status="claimed", task="a", fence="200", resumed=False),
        call("e1", "settle", 9, {"task": "a", "fence": "100", "operation": "1"} | done, error="Fenced"),
        call("e2", "settle", 10, {"task": "a", "fence": "200", "operation": "2"} | done, status="settled"),
        call("w1", "claim", 13, {"worker": "w1"}, status="claimed", task="b", fence="300", resumed=False),
        call("e1", "claim", 14, {"worker": "e1"}, status="claimed", task="c", fence="310", resumed=False),
        call("e1", "lock", 15, {"lock": "door", "slots": 1}, fence="400", already=False),
        call("e1", "extend", 15.6, {"lock": "door", "slots": 1, "fence": "400"}),
        call("w1", "lock", 17, {"lock": "door", "slots": 1}, fence="410", already=False),
        call(
            "e1", "reserve", 17.6, {"larry": "east", "amount": 40, "operation": "h"}, hold="h", used=0, held=40, drawn=0
        ),
        call("e1", "spend", 18.2, {"larry": "east", "hold": "h", "spent": 30}, used=30, held=0, drawn=0),
        call("w1", "settle", 19, {"task": "b", "fence": "300", "operation": "3"} | done, status="settled"),
        call(
            "e1", "settle", 21, {"task": "c", "fence": "310", "operation": "4", "outcome": "failed"}, status="settled"
        ),
        met("west", 24, 27),
        met("east", 25, 27),
        call("op", "set_task_lock", 1, {"task": "d", "seconds": 3.0}, done=True),
    ]


def entry(history: History, event: str, number: int = 0, **fields: Any) -> dict[str, Any]:
    """An entry of the log."""
    found = [one for one in history["log"] if one["event"] == event and all(one.get(k) == v for k, v in fields.items())]
    return found[number]


def insert(history: History, place: int, event: str, **fields: Any) -> None:
    """Puts an entry at a place of the log and numbers the log anew, so that this one thing alone is wrong."""
    history["log"].insert(place, {"event": event, "run": "r", **fields})
    number_anew(history)


def number_anew(history: History) -> None:
    for number, one in enumerate(history["log"], 1):
        one["id"], one["at"] = str(number), f"{number}-0"
    history["run"]["seq"] = str(len(history["log"]))


def drop(history: History, event: str, **fields: Any) -> None:
    history["log"].remove(entry(history, event, **fields))
    number_anew(history)


def swap(history: History, first: dict[str, Any], second: dict[str, Any]) -> None:
    one, two = history["log"].index(first), history["log"].index(second)
    history["log"][one], history["log"][two] = second, first
    number_anew(history)


Case = tuple[str, str, Callable[[History, list[Call]], Any]]
CASES: list[Case] = []


def case(law: str) -> Callable[[Callable[[History, list[Call]], Any]], None]:
    """Register a change that breaks a law; its name is that of the function."""

    def register(change: Callable[[History, list[Call]], Any]) -> None:
        CASES.append((law, change.__name__, change))

    return register


# --- L1 ---------------------------------------------------------------------------------------------------------------


@case("L1 completion")
def completed_twice(history: History, calls: list[Call]) -> None:
    insert(history, 10, "task_completed", task_id="a", larry="east", worker="e1", fence="100", attempt=1)


@case("L1 completion")
def completed_with_an_old_fence(history: History, calls: list[Call]) -> None:
    entry(history, "task_completed", task_id="a")["fence"] = "100"
    calls[:] = [one for one in calls if one.asked.get("operation") != "2"]


@case("L1 completion")
def holder_refused(history: History, calls: list[Call]) -> None:
    entry(history, "completion_fenced")["fence"] = "200"


@case("L1 completion")
def skipped_after_its_end(history: History, calls: list[Call]) -> None:
    insert(history, 20, "task_skipped", task_id="b", larry="west", cause="cancelled")
    insert(history, 1, "cancelled", scope="larry", name="west")


@case("L1 completion")
def failure_of_somebody_else(history: History, calls: list[Call]) -> None:
    entry(history, "task_failed")["worker"] = "e2"


@case("L1 completion")
def two_results_acknowledged(history: History, calls: list[Call]) -> None:
    again = copy.deepcopy(next(one for one in calls if one.asked.get("operation") == "2"))
    again.asked["operation"] = "9"
    again.begin, again.end = 12, 12.5
    calls.append(again)


@case("L1 holder")
def stale_holder_is_told_that_it_holds(history: History, calls: list[Call]) -> None:
    calls[1].begin, calls[1].end = 9, 9.5


@case("L1 holder")
def stale_lock_is_extended(history: History, calls: list[Call]) -> None:
    late = next(one for one in calls if one.what == "extend")
    late.begin, late.end = 18, 18.5


@case("L1 lock")
def lock_with_two_holders(history: History, calls: list[Call]) -> None:
    drop(history, "lease_released")


# --- L2 ---------------------------------------------------------------------------------------------------------------


@case("L2 fence")
def fence_repeats(history: History, calls: list[Call]) -> None:
    entry(history, "task_claimed", fence="200")["fence"] = "100"
    entry(history, "task_completed", task_id="a")["fence"] = "100"
    history["tasks"]["a"]["record"]["fence"] = "100"
    drop(history, "completion_fenced")
    history["counters"]["fenced_completions"] = "0"
    del calls[0:5]


@case("L2 fence")
def fence_of_a_lock_falls(history: History, calls: list[Call]) -> None:
    for name in ("lease_acquired", "lease_lapsed"):
        entry(history, name, fence="410")["fence"] = "390"
    history["locks"]["door"]["fence"] = "390"
    calls[:] = [one for one in calls if one.what not in ("lock", "extend")]


@case("L2 fence")
def client_gets_a_smaller_fence_later(history: History, calls: list[Call]) -> None:
    late = next(one for one in calls if one.said("fence") == "400")
    late.begin, late.end = 30, 30.5


@case("L2 fence")
def two_clients_get_one_fence(history: History, calls: list[Call]) -> None:
    next(one for one in calls if one.said("fence") == "410").answer["fence"] = "400"


# --- L3, L8 -----------------------------------------------------------------------------------------------------------


@case("L3 once")
def charged_twice(history: History, calls: list[Call]) -> None:
    history["larrys"]["east"]["tokens"]["used"] = history["larrys"]["east"]["used"] = "60"


@case("L3 once")
def charge_lost(history: History, calls: list[Call]) -> None:
    history["larrys"]["east"]["tokens"]["used"] = history["larrys"]["east"]["used"] = "0"


@case("L3 once")
def published_twice(history: History, calls: list[Call]) -> None:
    for _number in range(2):
        insert(history, 12, "chaos_note", name="n")
    calls.append(Call("e1", "c", "publish", 12, {"name": "n"}, 12.5, {}))


@case("L3 once")
def publishing_lost(history: History, calls: list[Call]) -> None:
    calls.append(Call("e1", "c", "publish", 12, {"name": "n"}, 12.5, {}))


@case("L8 budget")
def reply_above_the_cap(history: History, calls: list[Call]) -> None:
    next(one for one in calls if one.what == "reserve").answer.update(used=61, drawn=0)


@case("L8 budget")
def moment_above_the_cap(history: History, calls: list[Call]) -> None:
    history["samples"][0]["tokens"]["east"] = [70, 31, 0]


@case("L8 budget")
def more_drawn_than_the_pool_has(history: History, calls: list[Call]) -> None:
    history["larrys"]["east"]["tokens"]["drawn"] = history["reserve"] = "11"


@case("L8 budget")
def pool_and_books_differ(history: History, calls: list[Call]) -> None:
    history["reserve"] = "3"


@case("L8 budget")
def held_without_a_hold(history: History, calls: list[Call]) -> None:
    history["larrys"]["east"]["tokens"]["held"] = "5"
    history["larrys"]["east"]["tokens"]["used"] = history["larrys"]["east"]["used"] = "25"


# --- L4, L6 -----------------------------------------------------------------------------------------------------------


@case("L4 deadline")
def live_task_without_a_deadline(history: History, calls: list[Call]) -> None:
    history["samples"][0]["live"]["a"]["deadline"] = None


@case("L4 deadline")
def live_task_that_nobody_watches(history: History, calls: list[Call]) -> None:
    history["samples"][0]["live"]["a"]["timer"] = None


@case("L6 ready")
def ready_before_its_dependency(history: History, calls: list[Call]) -> None:
    swap(history, entry(history, "task_ready", task_id="b"), entry(history, "task_completed", task_id="a"))


@case("L6 ready")
def ready_before_its_soft_dependency(history: History, calls: list[Call]) -> None:
    swap(history, entry(history, "task_ready", task_id="c"), entry(history, "completion_fenced"))


@case("L6 claim")
def claimed_without_being_ready(history: History, calls: list[Call]) -> None:
    drop(history, "task_ready", task_id="b")


@case("L6 claim")
def claimed_while_it_is_held(history: History, calls: list[Call]) -> None:
    drop(history, "task_requeued")


@case("L6 claim")
def claimed_by_a_worker_that_is_busy(history: History, calls: list[Call]) -> None:
    entry(history, "task_claimed", task_id="b")["worker"] = "e1"
    history["plan"]["tasks"]["b"]["larry"] = "east"


@case("L6 claim")
def claimed_by_a_worker_of_another_larry(history: History, calls: list[Call]) -> None:
    for name in ("task_claimed", "task_completed"):
        entry(history, name, task_id="b")["worker"] = "e2"


@case("L6 claim")
def claimed_without_the_capability(history: History, calls: list[Call]) -> None:
    history["plan"]["workers"]["w1"]["capabilities"] = ["saw"]


@case("L6 claim")
def claimed_before_its_phase(history: History, calls: list[Call]) -> None:
    swap(history, entry(history, "phase_started", larry="east"), entry(history, "lease_lapsed", fence="100"))


@case("L6 claim")
def claimed_after_a_cancel(history: History, calls: list[Call]) -> None:
    insert(history, 5, "cancelled", scope="larry", name="east")


@case("L6 ready")
def blocked_by_a_task_that_completed(history: History, calls: list[Call]) -> None:
    entry(history, "task_skipped")["cause"] = "blocked by a"


@case("L6 ready")
def completed_although_its_dependency_failed(history: History, calls: list[Call]) -> None:
    history["plan"]["tasks"]["b"]["depends_on"] = ["a", "c"]


@case("L6 ready")
def skipped_for_a_cancel_that_never_was(history: History, calls: list[Call]) -> None:
    entry(history, "task_skipped")["cause"] = "cancelled"


# --- L7 ---------------------------------------------------------------------------------------------------------------


@case("L7 barrier")
def barrier_opens_without_an_arrival(history: History, calls: list[Call]) -> None:
    drop(history, "barrier_arrived", member="west")


@case("L7 barrier")
def barrier_opens_early(history: History, calls: list[Call]) -> None:
    swap(history, entry(history, "barrier_open"), entry(history, "barrier_arrived", member="east"))


@case("L7 barrier")
def barrier_opens_for_some(history: History, calls: list[Call]) -> None:
    entry(history, "barrier_open")["members"] = ["east"]


@case("L7 barrier")
def generation_is_left_out(history: History, calls: list[Call]) -> None:
    for generation in (3,):
        for member in ("east", "west"):
            insert(history, -1, "barrier_arrived", barrier="converge", member=member, generation=generation)
        insert(history, -1, "barrier_open", barrier="converge", generation=generation, members=["east", "west"])
    history["barriers"]["converge"]["generation"] = "3"


@case("L7 barrier")
def arrival_of_another_generation(history: History, calls: list[Call]) -> None:
    entry(history, "barrier_arrived", member="east")["generation"] = 7


@case("L7 barrier")
def member_passes_before_another_has_come(history: History, calls: list[Call]) -> None:
    calls[-3].end = 24.5  # west was let through before east asked


@case("L9 replay")
def barrier_key_differs(history: History, calls: list[Call]) -> None:
    history["barriers"]["converge"]["generation"] = "2"


# --- phases -----------------------------------------------------------------------------------------------------------


@case("phases")
def phase_goes_back(history: History, calls: list[Call]) -> None:
    history["samples"][1]["phases"]["east"] = "pending"


@case("phases")
def phase_starts_twice(history: History, calls: list[Call]) -> None:
    insert(history, 12, "phase_started", larry="east")


@case("phases")
def phase_ends_with_open_tasks(history: History, calls: list[Call]) -> None:
    swap(history, entry(history, "phase_complete"), entry(history, "task_completed", task_id="b"))


@case("phases")
def phase_is_complete_although_a_task_failed(history: History, calls: list[Call]) -> None:
    entry(history, "phase_failed")["event"] = "phase_complete"
    history["larrys"]["east"]["status"] = history["larrys"]["east"]["record"]["status"] = "completed"


# --- L9 ---------------------------------------------------------------------------------------------------------------


@case("L9 log")
def gap_in_the_log(history: History, calls: list[Call]) -> None:
    history["log"].remove(entry(history, "lease_lapsed", fence="410"))


@case("L9 log")
def end_of_the_log_missing(history: History, calls: list[Call]) -> None:
    history["run"]["seq"] = str(len(history["log"]) + 1)


@case("L9 log")
def entry_of_another_run(history: History, calls: list[Call]) -> None:
    entry(history, "phase_started")["run"] = "q"


@case("L9 log")
def run_created_twice(history: History, calls: list[Call]) -> None:
    insert(history, 3, "run_created", tasks=4)


@case("L9 log")
def something_after_the_end(history: History, calls: list[Call]) -> None:
    insert(history, len(history["log"]), "overdue", larry="east")


@case("L9 log")
def log_and_sequence_differ_for_a_moment(history: History, calls: list[Call]) -> None:
    history["samples"][0]["log"] = 4


@case("L9 log")
def unknown_task(history: History, calls: list[Call]) -> None:
    insert(history, 12, "task_ready", task_id="z", larry="east")


@case("L9 lost")
def acknowledged_claim_is_lost(history: History, calls: list[Call]) -> None:
    calls.append(Call("w1", "c", "claim", 40, {}, 40.5, {"status": "claimed", "task": "b", "fence": "900"}))


@case("L9 lost")
def acknowledged_result_is_lost(history: History, calls: list[Call]) -> None:
    entry(history, "task_completed", task_id="b").update(event="task_failed", final=True)
    history["tasks"]["b"].update(status="failed")
    history["tasks"]["b"]["record"]["state"] = "failed"


@case("L9 replay")
def record_differs(history: History, calls: list[Call]) -> None:
    history["tasks"]["b"]["record"]["state"] = "failed"


@case("L9 replay")
def public_key_differs(history: History, calls: list[Call]) -> None:
    history["tasks"]["b"]["status"] = "in_progress"


@case("L9 replay")
def fence_in_the_record_differs(history: History, calls: list[Call]) -> None:
    history["tasks"]["b"]["record"]["fence"] = "299"


@case("L9 replay")
def attempts_differ(history: History, calls: list[Call]) -> None:
    history["tasks"]["b"]["record"]["attempt"] = "2"


@case("L9 replay")
def metric_differs(history: History, calls: list[Call]) -> None:
    history["larrys"]["east"]["metrics"]["tasks_completed"] = "2"


@case("L9 replay")
def counter_differs(history: History, calls: list[Call]) -> None:
    history["counters"]["fenced_completions"] = "0"


@case("L9 replay")
def lock_counts_differ(history: History, calls: list[Call]) -> None:
    history["locks"]["door"]["acquisitions"] = "3"


@case("L9 replay")
def lock_ends_twice(history: History, calls: list[Call]) -> None:
    insert(history, 18, "lease_released", resource="lock:door", holder="w1", fence="410")


@case("L9 replay")
def state_of_the_run_differs(history: History, calls: list[Call]) -> None:
    history["run"]["state"] = "running"


# --- L11, the end, locks by hand --------------------------------------------------------------------------------------


@case("L11 prefix")
def foreign_key_changed(history: History, calls: list[Call]) -> None:
    history["outside_after"]["canary"] = "is silent"


@case("L11 prefix")
def foreign_key_made(history: History, calls: list[Call]) -> None:
    history["outside_after"]["task:lock:a"] = "east"


@case("L11 prefix")
def foreign_key_deleted(history: History, calls: list[Call]) -> None:
    history["outside_after"] = {}


@case("L11 clean-up")
def key_left_after_the_clean_up(history: History, calls: list[Call]) -> None:
    history["left"] = ["p:larry:log"]


@case("ends")
def task_never_settled(history: History, calls: list[Call]) -> None:
    drop(history, "task_skipped")
    history["tasks"]["d"]["record"]["state"] = history["tasks"]["d"]["status"] = "pending"


@case("ends")
def lease_left(history: History, calls: list[Call]) -> None:
    history["tasks"]["a"]["lease"] = {"token": "x", "deadline": "9"}


@case("ends")
def task_left_in_a_queue(history: History, calls: list[Call]) -> None:
    history["workers"]["e1"]["queue"] = ["a"]


@case("ends")
def worker_left_with_a_task(history: History, calls: list[Call]) -> None:
    history["workers"]["e1"]["record"]["task"] = "a"


@case("ends")
def progress_not_complete(history: History, calls: list[Call]) -> None:
    history["larrys"]["west"]["progress"] = "99"


@case("ends")
def settled_task_with_dependents_left(history: History, calls: list[Call]) -> None:
    history["cascade"] = ["a"]


@case("lock by hand")
def lock_by_hand_not_honoured(history: History, calls: list[Call]) -> None:
    by_hand = calls[-1]
    by_hand.asked = {"task": "b", "seconds": 3.0}
    by_hand.begin, by_hand.end = 12, 12.1


def test_a_right_history_passes() -> None:
    """Without a change there is nothing to find."""
    assert [str(one) for one in check(right_history(), right_calls())] == []


@pytest.mark.parametrize(("law", "change"), [(law, change) for law, _name, change in CASES], ids=[c[1] for c in CASES])
def test_each_violation_is_found(law: str, change: Callable[[History, list[Call]], Any]) -> None:
    """One thing is wrong, and it is found under its law."""
    history, calls = right_history(), right_calls()
    change(history, calls)
    found = check(history, calls)
    assert law in {one.law for one in found}, [str(one) for one in found]


@pytest.mark.parametrize(("west_ends", "found"), [(27.0, False), (24.3, True)])
def test_who_asked_before_a_recovery_may_be_there_after_it(west_ends: float, found: bool) -> None:
    """A history was lost and recovered at 24.4: west asked before that, and east passed after it."""
    history, calls = right_history(), right_calls()
    history["losses"], history["recoveries"] = [24.2], [24.4]
    calls[-3].end = west_ends
    said = [one.sentence for one in check(history, calls) if one.law == "L7 barrier"]
    assert ("east passed converge 1 without west" in said) is found, said
