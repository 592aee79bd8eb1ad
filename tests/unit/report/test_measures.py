# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures of a run: each measured from the log and the tasks, or not measured with a reason."""

from __future__ import annotations

import pytest

from ansible_collections.cortex.larry.plugins.module_utils._plan.schema import RUN_MEASURES
from ansible_collections.cortex.larry.plugins.module_utils._report import events as log
from ansible_collections.cortex.larry.plugins.module_utils._report import measures


@pytest.mark.parametrize("count", [1, 3, 7])
def test_a_run_in_which_all_went_well(fixture, count):
    values, reasons = fixture.measure(fixture.record(count))
    assert values["duplicated_tasks"] == 0
    assert values["settled_once"] == values["total_tasks"] == values["completed_tasks"] == 2 * count
    assert values["acquisitions"] == 2 * count
    assert (values["refusals"], values["takeovers"], values["fenced_completions"], values["revoked"]) == (0, 0, 0, 0)
    assert values["log_complete"] is True and values["barrier_clean"] is True
    assert values["workers_off_node"] == 0
    assert set(reasons) == {"tokens_used_percent", "catalogue_difference"}


def test_every_figure_is_documented_and_every_documented_one_is_there(fixture):
    values, _reasons = fixture.measure(fixture.record())
    assert set(values) == set(RUN_MEASURES)


def test_a_null_figure_always_has_a_reason(fixture):
    record = fixture.record()
    record.update(larrys={}, tasks={}, tokens={}, events=[])
    record["run"] = {"log_entries": 0}
    values, reasons = fixture.measure(record)
    assert {name for name, value in values.items() if value is None} == set(reasons)
    assert all(reason.endswith(".") for reason in reasons.values())


def test_a_second_completion_is_a_duplicate(fixture):
    record = fixture.record()
    fixture.add(record, 15, "task_completed", task_id="first-01", larry="larry-01", worker="w", fence="1", attempt=1)
    values, _reasons = fixture.measure(record)
    assert values["duplicated_tasks"] == 1
    assert values["settled_once"] == 5


def test_without_the_whole_log_nothing_is_said_of_duplicates(fixture):
    record = fixture.record()
    del record["events"][10:12]
    values, reasons = fixture.measure(record)
    assert values["log_complete"] is False
    for name in ("duplicated_tasks", "settled_once", "acquisitions", "retries"):
        assert values[name] is None
        assert reasons[name] == "The event log lacks the entries 11 to 12."


def test_files_that_disagree_make_the_log_incomplete(fixture):
    values, reasons = fixture.measure(fixture.record(), conflicting=[3])
    assert values["log_complete"] is False and values["duplicated_tasks"] is None
    assert "disagree on the log entries 3" in reasons["duplicated_tasks"]


def test_the_lock_log_counts_what_happened(fixture):
    record = fixture.record()
    record["events"] = [event for event in record["events"] if event["event"] != "x"]
    fixture.add(record, 3, "lease_lapsed", resource="task:lock:first-01", holder="w1")
    fixture.add(record, 3.1, "task_requeued", task_id="first-01", larry="larry-01", cause="lapsed", attempt=1)
    fixture.add(record, 3.2, "task_claimed", task_id="first-01", larry="larry-01", worker="w2", attempt=2)
    fixture.add(record, 3.3, "completion_fenced", task_id="first-01", larry="larry-01", worker="w1", fence="1")
    fixture.add(record, 4, "slot_taken_over", slot="larry-02", controller="c2", previous="c1")
    fixture.add(record, 5, "lease_refused", resource="lock:deploy", owner="a", by="b")
    fixture.add(record, 6, "lease_revoked", resource="task:lock:first-02")
    fixture.add(record, 7, "task_conflict", task_id="first-03", larry="larry-03", owner="someone")
    counts = measures.lock_log(record["plan"], record["events"])
    # The second claim after the lapse and the slot; the first claim of first-02 follows its revoked lock.
    assert counts == {
        "acquisitions": 7, "refusals": 1, "takeovers": 3, "fenced_completions": 1, "revoked": 1, "conflicts": 1,
    }  # fmt: skip
    own = measures.lock_log(record["plan"], record["events"], "larry-01")
    assert own["takeovers"] == 1 and own["fenced_completions"] == 1 and own["conflicts"] == 0
    assert fixture.measure(record)[0]["retries"] == 1


def test_a_lock_that_is_named_like_a_task_is_not_that_task(fixture):
    plan = fixture.plan()
    assert log.task_of({"resource": "task:lock:first-01"}, plan) == "first-01"
    assert log.task_of({"resource": "task/first-01"}, plan) is None
    assert log.task_of({"resource": "lock:first-01"}, plan) is None
    assert log.task_of({"task_id": ["first-01"]}, plan) is None


def test_overhead_is_waiting_against_execution(fixture):
    """Each task of the fixture waits 0.5 s and executes 9.5 s; those that wait for others wait from their readiness."""
    values, _reasons = fixture.measure(fixture.record())
    assert values["coordination_overhead_percent"] == pytest.approx(100 * 0.5 / 10, abs=1e-3)


def test_waiting_begins_when_the_worker_is_free_not_when_the_task_is_ready(fixture):
    record = fixture.record(1)
    record["tasks"]["second-01"]["ready_at"] = fixture.at(0)
    found = measures.waits(record["tasks"], record["events"])
    assert found["second-01"]["waited"] == pytest.approx(0.5)
    assert found["first-01"]["waited"] == pytest.approx(0.5)


def test_no_executed_task_has_no_overhead(fixture):
    record = fixture.record(1)
    for state in record["tasks"].values():
        state["status"] = "skipped"
    values, reasons = fixture.measure(record)
    assert values["coordination_overhead_percent"] is None
    assert reasons["coordination_overhead_percent"] == "No task was executed."


def test_tokens_are_measured_only_with_a_metered_request(fixture):
    record = fixture.record()
    record["tokens"]["larry-01"].update(used=23400)
    assert fixture.measure(record)[0]["tokens_used_percent"] is None
    record["tokens"]["larry-01"].update(metered_requests=3)
    assert fixture.measure(record)[0]["tokens_used_percent"] == pytest.approx(10)


def test_several_nodes_on_one_machine_are_not_measured(fixture):
    record = fixture.record()
    for state in record["tasks"].values():
        state["machine"]["machine_id"] = "one"
    values, reasons = fixture.measure(record)
    assert values["workers_off_node"] is None
    assert reasons["workers_off_node"].startswith("The nodes node-01, node-02, node-03 are one machine here")


def test_a_task_without_evidence_of_its_machine_is_not_measured(fixture):
    record = fixture.record()
    record["tasks"]["second-02"]["machine"] = None
    values, reasons = fixture.measure(record)
    assert values["workers_off_node"] is None
    assert "second-02 has no evidence" in reasons["workers_off_node"]


def test_a_task_on_another_machine_is_off_its_node(fixture):
    record = fixture.record()
    record["tasks"]["second-02"]["machine"] = {"hostname": "elsewhere.example", "machine_id": "m-else"}
    assert fixture.measure(record)[0]["workers_off_node"] == 1
    record["tasks"]["second-02"]["machine"].update(addresses=["10.0.0.2"])
    assert fixture.measure(record)[0]["workers_off_node"] == 0


@pytest.mark.parametrize(
    ("members", "clean"), [(["larry-01"], False), (["larry-01", "larry-02", "larry-03"], True), (3, True), (2, False)]
)
def test_a_barrier_is_clean_with_all_larrys(fixture, members, clean):
    record = fixture.record()
    next(event for event in record["events"] if event["event"] == "barrier_open")["members"] = members
    assert fixture.measure(record)[0]["barrier_clean"] is clean


def test_a_barrier_that_failed_once_is_not_clean_and_one_that_never_opened_not_measured(fixture):
    record = fixture.record()
    fixture.add(record, 1, "barrier_failed", barrier="convergence", cause="dead", missing=["larry-02"])
    assert fixture.measure(record)[0]["barrier_clean"] is False
    record["events"] = [event for event in record["events"] if not event["event"].startswith("barrier")]
    assert fixture.measure(record)[0]["barrier_clean"] is None


def test_catalogue_difference_comes_from_validation_or_from_the_tasks(fixture):
    record = fixture.record()
    assert fixture.measure(record)[0]["catalogue_difference"] is None
    record["tasks"]["first-03"]["result"]["validation"] = {"catalogue_difference": 2}
    record["tasks"]["second-03"]["result"]["validation"] = {"catalogue_difference": True}
    assert fixture.measure(record)[0]["catalogue_difference"] == 2
    found = [{"title": "x", "state": "met", "measures": {"catalogue_difference": 0}}]
    assert fixture.measure(record, validation=found)[0]["catalogue_difference"] == 0


def test_the_longest_larry_is_not_known_while_a_phase_is_open(fixture):
    record = fixture.record()
    # The fixture's second and third Larry take 30.2 s at 60 planned seconds a second.
    assert fixture.measure(record)[0]["longest_larry_minutes"] == 30.2
    record["larrys"]["larry-02"]["completed_at"] = None
    values, reasons = fixture.measure(record)
    assert values["longest_larry_minutes"] is None
    assert reasons["longest_larry_minutes"] == "The phase of larry-02 is not over."


def test_exactly_the_planned_minutes_are_not_more(fixture):
    record = fixture.record()
    for state in record["larrys"].values():
        state.update(started_at="2026-11-21T07:40:00.100000Z", completed_at="2026-11-21T07:40:30.100000Z")
    assert fixture.measure(record)[0]["longest_larry_minutes"] == 30


def test_the_critical_path_is_the_longest_chain_of_dependencies(fixture):
    record = fixture.record()
    record["tasks"]["second-03"]["settled_at"] = fixture.at(60)
    chain = measures.critical_path(record["plan"], record["tasks"])
    assert [one["task"] for one in chain] == ["first-01", "first-03", "second-03"]
    assert sum(one["seconds"] for one in chain) == pytest.approx(9.5 + 9.5 + 39.2)


def test_the_planned_schedule_waits_for_dependencies_and_for_workers(fixture):
    plan = fixture.plan(2)
    plan["tasks"]["second-01"]["depends_on"] = []
    assert measures.planned_schedule(plan) == {
        "first-01": (0.0, 600.0), "second-01": (600.0, 1200.0),
        "first-02": (600.0, 1200.0), "second-02": (1200.0, 1800.0),
    }  # fmt: skip


def test_a_cycle_in_a_hostile_plan_does_not_hang(fixture):
    plan = fixture.plan(1)
    plan["tasks"]["first-01"]["depends_on"] = ["second-01"]
    assert measures.topological(plan) == []
    assert measures.critical_path(plan, {}) == []


def test_gaps_and_merging(fixture):
    events = fixture.record()["events"]
    merged, conflicts = log.merge_events([events[:20], events[10:], events])
    assert merged == events and conflicts == []
    changed = {**events[4], "event": "other"}
    assert log.merge_events([events, [changed]])[1] == [5]
    assert log.log_gaps(events, len(events)) == []
    assert log.log_gaps(events[1:-2], len(events)) == [(1, 1), (len(events) - 1, len(events))]
    assert log.format_gaps([(1, 1), (3, 5)]) == "1, 3 to 5"
    assert log.log_gaps([{"id": "x"}, {"id": True}, {}], 2) == [(1, 2)]
