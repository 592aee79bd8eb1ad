# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Phases, slots and the controls: who leads, when a phase ends, and what pause, drain and cancel do."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import Fenced, Refused

ONE = {"larry-01": {"w1": ["cap"], "w2": ["cap"]}}
TWO = {"larry-01": {"w1": ["cap"]}, "larry-02": {"w2": ["cap"]}}


def test_a_phase_from_start_to_finish(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(ONE, [{"id": "a"}]))
    assert place.get("phase:larry-01:status") == "pending"
    assert place.get("phase:larry-01:workers") == '["w1","w2"]'
    assert place.get("phase:larry-01:tasks") == '["a"]'
    with pytest.raises(Refused, match="does not hold larry-01"):
        one.phases.start("larry-01")
    one.lead()
    assert place.get("phase:larry-01:status") == "in_progress"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", place.get("phase:larry-01:started_at"))
    assert one.phases.start("larry-01")["changed"] is False
    assert one.phases.turn("larry-01", finish=True)["phase"] == "in_progress"
    one.do("w1")
    assert place.get("phase:larry-01:completed_at") is None
    assert one.phases.turn("larry-01", finish=True, wait_s=1)["phase"] == "completed"
    assert one.phases.turn("larry-01", finish=True)["changed"] is False
    assert place.get("phase:larry-01:status") == "completed"
    assert place.get("phase:larry-01:completed_at") > place.get("phase:larry-01:started_at")
    done = place.log("phase_complete")
    assert [(entry["completed"], entry["failed"], entry["skipped"]) for entry in done] == [(1, 0, 0)]


def test_a_failed_task_fails_the_phase(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(ONE, [{"id": "a"}])).lead()
    one.do("w1", "failed", cause="no", retry=False)
    one.phases.turn("larry-01", finish=True)
    assert place.get("phase:larry-01:status") == "failed"
    assert place.log("phase_failed")[0]["cause"] == "1 of its tasks failed"


def test_skipped_tasks_do_not_fail_the_phase(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(ONE, [{"id": "a"}])).lead()
    one.do("w1", "skipped", cause="nothing to scan with")
    one.phases.turn("larry-01", finish=True)
    assert place.get("phase:larry-01:status") == "completed"
    assert place.get("task:status:a") == "skipped"
    assert place.log("task_skipped")[0]["cause"] == "nothing to scan with"


def test_a_larry_without_tasks_completes(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of({**ONE, "larry-02": {}}, [{"id": "a"}])).lead("larry-02")
    assert one.phases.turn("larry-02", finish=True)["phase"] == "completed"
    assert place.get("phase:larry-02:progress") in ("0", "100")


def test_past_the_deadline_the_rest_is_skipped(place: Any, crew: Any, plan_of: Any, wait_until: Any) -> None:
    work = [{"id": "a", "deadline_s": 60_000}] + [{"id": f"t{number}", "after": ["a"]} for number in range(300)]
    one = crew(plan_of(ONE, work, phase_s=800)).lead()
    task, fence = one.claimed("w1")
    time.sleep(0.9)
    assert one.claim("w2")["why"] == "sweep"
    wait_until(lambda: one.tick() or place.get("task:status:t299") == "skipped")
    assert {entry["cause"] for entry in place.log("task_skipped")} == {"deadline"}
    # What runs may still end, within its own deadline.
    assert one.phases.turn("larry-01", finish=True)["phase"] == "in_progress"
    one.settle("w1", task, fence)
    assert one.phases.turn("larry-01", finish=True, wait_s=1)["phase"] == "failed"
    assert place.log("phase_failed")[0]["cause"] == "the deadline of the phase passed"
    assert [entry["larry"] for entry in place.log("overdue")] == ["larry-01"]


def test_a_failed_attempt_after_the_deadline_is_not_tried_again(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(ONE, [{"id": "a", "deadline_s": 60_000}], phase_s=400)).lead()
    task, fence = one.claimed("w1")
    time.sleep(0.5)
    one.tick()
    one.settle("w1", task, fence, "failed", cause="no")
    assert place.get("task:status:a") == "skipped"
    assert one.claim("w1")["status"] == "done"


def test_behind_plan(place: Any, crew: Any, plan_of: Any) -> None:
    points = [{"at_s": 200, "progress": 40}, {"at_s": 400, "progress": 60}]
    one = crew(plan_of(ONE, [{"id": "a"}, {"id": "b"}], checkpoints=points)).lead()
    one.do("w1")
    time.sleep(0.5)
    one.tick()
    seen = [(entry["at_s"], entry["expected"], entry["progress"]) for entry in place.log("behind_plan")]
    assert seen == [(400, 60, 50)]


# --- slots ----------------------------------------------------------------------------------------------------------


def test_a_second_controller_is_standby_and_takes_over(place: Any, crew: Any, plan_of: Any) -> None:
    plan = plan_of(ONE, [{"id": "a"}])
    first, second = crew(plan), crew(plan)
    assert first.slots.take("larry-01", ttl_ms=700)["changed"] is True
    assert first.slots.take("larry-01", ttl_ms=700)["changed"] is False
    assert second.slots.take("larry-01")["status"] == "standby"
    with pytest.raises(Refused):
        second.phases.start("larry-01")
    assert second.slots.take("larry-01", wait_s=5)["status"] == "held"
    with pytest.raises(Refused, match="its standby and may not act for it"):
        first.phases.start("larry-01")
    assert [(one["controller"], one["previous"]) for one in place.log("slot_taken_over")] == [
        (second.controller.id, first.controller.id)
    ]


def test_a_standby_is_woken_when_the_slot_is_left(place: Any, crew: Any, plan_of: Any) -> None:
    plan = plan_of(ONE, [{"id": "a"}])
    first, second = crew(plan), crew(plan)
    first.slots.take("w1")
    assert place.get("worker:w1:status") == "idle"
    assert (place.get("worker:w1:master"), place.get("worker:w1:node")) == ("larry-01", "n")
    first.slots.leave("w1")
    assert place.get("worker:w1:status") == "completed"
    assert second.slots.take("w1", wait_s=5)["status"] == "held"
    assert {one["node"] for one in place.log("worker_registered")} == {"n"}


def test_a_phase_goes_on_where_its_controller_ended(place: Any, crew: Any, plan_of: Any) -> None:
    plan = plan_of(ONE, [{"id": "a"}, {"id": "b"}])
    first = crew(plan).lead()
    first.do("w1")
    first.claimed("w2")
    first.session.call("gone", {"cause": "killed"})
    second = crew(plan, join=False)
    assert second.join().how == "resumed"
    second.lead()
    assert second.do("w1") == "b"
    assert second.phases.turn("larry-01", finish=True)["phase"] == "completed"
    assert place.names().count("task_completed") == 2
    assert place.names().count("phase_started") == 1


def test_time_without_a_leader_does_not_count(place: Any, crew: Any, plan_of: Any) -> None:
    """The one controller was killed and started again later than its phase would have lasted: it resumes."""
    plan = plan_of(ONE, [{"id": "a"}], phase_s=600)
    first = crew(plan).lead()
    first.session.call("gone", {"cause": "killed"})
    time.sleep(0.8)
    second = crew(plan).lead()
    assert second.claim("w1")["status"] == "claimed"


# --- controls -------------------------------------------------------------------------------------------------------


def test_a_paused_larry(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(ONE, [{"id": "a", "deadline_s": 1000}, {"id": "b"}], phase_s=1500)).lead()
    task, fence = one.claimed("w1")
    assert one.phases.control("pause", "larry", ["larry-01"], "lunch", probe=True) == ["larry-01"]
    assert place.log("paused") == []
    one.phases.control("pause", "larry", ["larry-01"], "lunch")
    one.phases.control("pause", "larry", ["larry-01"], "lunch")
    assert [(entry["scope"], entry["reason"]) for entry in place.log("paused")] == [("larry", "lunch")]
    assert one.tasks("w1").checkpoint(task, fence)["status"] == "paused"
    assert one.claim("w2")["why"] == "paused"
    for _number in range(9):
        time.sleep(0.2)
        one.session.call("renew")
    # Longer than the attempt's and the phase's deadline: both have moved.
    one.phases.control("resume", "larry", ["larry-01"])
    assert one.tasks("w1").checkpoint(task, fence)["status"] == "held"
    assert one.do("w2") == "b"
    one.settle("w1", task, fence)
    assert one.phases.turn("larry-01", finish=True)["phase"] == "completed"


def test_the_deadline_of_an_attempt_moves_by_the_pause_only(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(ONE, [{"id": "a", "deadline_s": 3000}])).lead()
    one.claimed("w1")
    hard = int(place.plain.hget(place.key("larry:lease:task/a"), "hard"))
    one.phases.control("pause", "larry", ["larry-01"])
    time.sleep(0.4)
    one.phases.control("resume", "larry", ["larry-01"])
    moved = int(place.plain.hget(place.key("larry:lease:task/a"), "hard")) - hard
    assert 350_000 < moved < 1_500_000


def test_a_phase_started_while_paused_gets_no_more_than_the_pause(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(ONE, [{"id": "a"}]))
    one.phases.control("pause", "larry", ["larry-01"])
    time.sleep(1.0)
    one.lead()
    before = int(place.plain.hget(place.key("larry:larry:larry-01"), "deadline"))
    one.phases.control("resume", "larry", ["larry-01"])
    assert int(place.plain.hget(place.key("larry:larry:larry-01"), "deadline")) - before < 900_000


def test_pausing_a_thing_stops_what_touches_it(place: Any, crew: Any, plan_of: Any) -> None:
    work = [{"id": "a", "touches": ["db", "net"]}, {"id": "b"}, {"id": "c", "touches": ["db"]}]
    one = crew(plan_of(ONE, work)).lead()
    task, fence = one.claimed("w1")
    assert one.phases.control("pause", "thing", ["db", "net"], "a backup") == ["db", "net"]
    assert one.tasks("w1").checkpoint(task, fence)["status"] == "paused"
    assert one.do("w2") == "b"
    assert one.claim("w2")["status"] == "none"
    one.phases.control("resume", "thing", ["net"])
    assert one.tasks("w1").checkpoint(task, fence)["status"] == "paused"
    one.phases.control("resume", "thing", ["db"])
    assert one.tasks("w1").checkpoint(task, fence)["status"] == "held"
    assert one.do("w2") == "c"
    assert [(entry["scope"], entry["name"]) for entry in place.log("resumed")] == [("thing", "net"), ("thing", "db")]


def test_a_long_queue_behind_a_paused_thing_hides_nothing(place: Any, crew: Any, plan_of: Any) -> None:
    work = [{"id": f"p{number}", "touches": ["db"]} for number in range(60)] + [{"id": "free"}]
    one = crew(plan_of(ONE, work)).lead()
    one.phases.control("pause", "thing", ["db"])
    assert one.claimed("w1", wait_s=1)[0] == "free"


def test_draining_claims_nothing_new(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(ONE, [{"id": "a"}, {"id": "b"}])).lead()
    task, fence = one.claimed("w1")
    one.phases.control("drain", "larry", ["larry-01"])
    assert one.claim("w2", wait_s=5)["why"] == "draining"
    assert one.tasks("w1").checkpoint(task, fence)["status"] == "held"
    one.settle("w1", task, fence)
    assert place.get("task:status:b") == "pending"
    one.phases.control("resume", "larry", ["larry-01"])
    assert one.do("w2") == "b"


def test_cancelling_settles_everything(place: Any, crew: Any, plan_of: Any) -> None:
    plan = plan_of(TWO, [{"id": "a"}, {"id": "b"}, {"id": "c", "larry": "larry-02", "depends_on": ["b"]}])
    one = crew(plan).lead()
    task, fence = one.claimed("w1")
    one.phases.control("cancel", "larry", ["larry-01"], "not today")
    assert one.tasks("w1").checkpoint(task, fence)["status"] == "cancelled"
    one.tick()
    assert [place.get(f"task:status:{name}") for name in "abc"] == ["in_progress", "skipped", "skipped"]
    one.settle("w1", task, fence, "skipped", cause="cancelled")
    assert one.claim("w1")["status"] == "done"
    assert one.phases.control("resume", "larry", ["larry-01"]) == []


def test_a_cancelled_phase_is_not_completed(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(ONE, [{"id": "a"}])).lead()
    one.phases.control("cancel", "larry", ["larry-01"])
    one.tick()
    one.phases.turn("larry-01", finish=True)
    assert place.get("phase:larry-01:status") == "failed"


def test_controls_of_nobody_are_refused(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(ONE, [{"id": "a"}]))
    with pytest.raises(Refused, match="knows no larry larry-99"):
        one.phases.control("pause", "larry", ["larry-01", "larry-99"])
    assert place.log("paused") == []


def test_a_hung_attempt_ends_with_its_deadline(place: Any, crew: Any, plan_of: Any) -> None:
    """Renewed all the time and never settled: the deadline bounds it (law 5)."""
    one = crew(plan_of(ONE, [{"id": "a", "deadline_s": 700, "attempts": 1}])).lead()
    task, fence = one.claimed("w1", ttl_ms=400)
    for _number in range(30):
        time.sleep(0.05)
        one.session.call("renew")
        if place.get("task:status:a") != "in_progress":
            break
    assert place.get("task:status:a") == "failed"
    with pytest.raises(Fenced):
        one.settle("w1", task, fence)
