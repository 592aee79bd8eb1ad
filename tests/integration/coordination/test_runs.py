# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The run: one for everybody, refused for others, replaced when finished, and deleted by name alone."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from ansible_collections.cortex.larry.plugins.module_utils._coordination import runs as runs_module
from ansible_collections.cortex.larry.plugins.module_utils._coordination.barriers import BarrierService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.budgets import BudgetService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.definition import load_steps
from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import (
    NotJoined,
    Refused,
    RunConflict,
    SettingsError,
)
from ansible_collections.cortex.larry.plugins.module_utils._coordination.events import EventService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.identity import Controller
from ansible_collections.cortex.larry.plugins.module_utils._coordination.locks import LockService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.runs import RunService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.session import Session
from ansible_collections.cortex.larry.plugins.module_utils._coordination.snapshot import take_snapshot

ONE = {"larry-01": {"w1": ["cap"], "w2": ["cap", "other"]}}
TASKS = [{"id": f"t{number}"} for number in range(300)]


def _join(settings: Any, plan: dict[str, Any], out: Any) -> None:
    session = Session(settings, Controller.of_process(os.getpid()), "c", member=True)
    joined = RunService(session).join(plan, "d" * 64)
    out.put((joined.run, joined.how))


def test_many_at_once_make_one_run(place: Any, plan_of: Any) -> None:
    context = multiprocessing.get_context("fork")
    out = context.Queue()
    plan = plan_of(ONE, TASKS)
    joiners = [context.Process(target=_join, args=(place.settings, plan, out)) for _number in range(6)]
    for one in joiners:
        one.start()
    answers = [out.get(timeout=30) for _number in joiners]
    for one in joiners:
        one.join(10)
    assert len({run for run, _how in answers}) == 1
    assert sorted(how for _run, how in answers).count("created") == 1
    assert place.names().count("run_created") == 1
    assert place.names().count("run_joined") == 6
    assert place.plain.llen(place.key("larry:tasks")) == 300
    assert place.get("task:status:t299") == "pending"


def test_joining_twice_is_being_in_once(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(ONE, TASKS[:1]))
    assert one.join().how == "member"
    assert place.names().count("run_joined") == 1


def test_how_one_came_in(place: Any, crew: Any, plan_of: Any) -> None:
    plan = plan_of(ONE, TASKS[:1])
    first = crew(plan, join=False)
    assert first.join().how == "created"
    first.lead()
    second = crew(plan, join=False)
    assert second.join().how == "joined"
    first.session.call("gone", {"cause": "killed"})
    assert crew(plan, join=False).join().how == "resumed"


def test_another_plan_is_refused_and_told_who_is_there(place: Any, crew: Any, plan_of: Any) -> None:
    first = crew(plan_of(ONE, TASKS[:1]))
    run = first.runs.look()["id"]
    other = crew(plan_of(ONE, TASKS[:2]), join=False)
    with pytest.raises(RunConflict, match=rf"not finished: {run} of the plan a-test, led by nobody now"):
        other.join("e" * 64)
    first.lead()
    with pytest.raises(RunConflict, match=rf"led by larry-01 \(controller {first.controller.id[:8]}"):
        other.join("e" * 64)
    assert place.names().count("run_joined") == 1
    with pytest.raises(NotJoined):
        other.slots.take("w1")


def test_a_pinned_run(place: Any, crew: Any, plan_of: Any) -> None:
    first = crew(plan_of(ONE, TASKS[:1]), join=False)
    assert first.join(run="mine").run == "mine"
    with pytest.raises(RunConflict, match="is mine, and yours was asked for"):
        crew(plan_of(ONE, TASKS[:1]), join=False).join(run="yours")
    assert place.plain.hget(place.key("larry:run"), "id") == "mine"


def test_a_finished_run_is_archived_and_replaced(place: Any, crew: Any, plan_of: Any) -> None:
    plan = plan_of(ONE, TASKS[:1])
    first = crew(plan).lead()
    first.do("w1", result={"public": {"phase": {"figure": 1}, "metrics": {"m": 1}}})
    first.phases.turn("larry-01", finish=True)
    for slot in ("w1", "w2", "larry-01"):
        first.slots.leave(slot)
    assert place.plain.hget(place.key("larry:run"), "state") == "running"
    first.runs.finish("completed", "report", "head")
    first.runs.finish("failed", "report", "head")
    assert place.plain.hget(place.key("larry:run"), "outcome") == "completed"
    assert place.names().count("run_complete") == 1
    archived: list[str] = []
    second = crew(plan, join=False)
    joined = second.join("f" * 64, archive=lambda record: archived.append(record["id"]))
    assert joined.replaced == archived[0] != joined.run
    assert place.get("task:status:t0") == "pending"
    assert place.get("phase:larry-01:figure") is None and place.get("metrics:larry-01:m") is None
    assert place.names()[0] == "run_created"
    with pytest.raises(NotJoined, match="has not joined the run"):
        first.slots.take("w1")


def test_a_finished_run_that_another_controller_replaces_is_joined(place: Any, crew: Any, plan_of: Any) -> None:
    plan = plan_of(ONE, TASKS[:1])
    first = crew(plan).lead()
    first.runs.finish("completed", "report", "head")
    first.slots.leave("larry-01")
    second, third = crew(plan, join=False), crew(plan, join=False)
    made = []

    def too_late(record: dict[str, str]) -> None:
        """Between this controller's look at the finished run and its reading of it, the other one replaces it."""
        made.append(third.join("f" * 64))
        take_snapshot(second.session, plan, "0", record["id"])

    joined = second.join("f" * 64, archive=too_late)
    assert len(made) == 1 and made[0].how == "created"
    assert joined.run == made[0].run and joined.replaced is None
    assert place.plain.hget(place.key("larry:run"), "state") == "running"


@pytest.mark.parametrize("change", [{"state": "deleting"}, {"id": "another"}], ids=["deleting", "another"])
def test_a_record_of_a_run_that_is_deleted_meanwhile_is_refused(
    place: Any, crew: Any, plan_of: Any, monkeypatch: pytest.MonkeyPatch, change: dict[str, str]
) -> None:
    plan = plan_of(ONE, TASKS[:1])
    first = crew(plan).lead()
    first.runs.finish("completed", "report", "head")
    everything = EventService.everything
    before = place.plain.hgetall(place.key("larry:run"))

    def meanwhile(service: EventService) -> Any:
        yield from everything(service)
        place.plain.hset(place.key("larry:run"), mapping=change)

    with monkeypatch.context() as patch, pytest.raises(NotJoined, match="There is no run"):
        patch.setattr(EventService, "everything", meanwhile)
        take_snapshot(first.session, plan, "0")
    place.plain.hset(place.key("larry:run"), mapping=before)
    assert take_snapshot(first.session, plan, "0")["run"]["state"] == "finished"


def test_a_look_changes_nothing(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(ONE, TASKS[:1]), join=False)
    assert one.join(probe=True).how == "created"
    assert place.own_keys() == set()
    one.join()
    before = place.own_keys(), len(place.log())
    assert crew(plan_of(ONE, TASKS[:1]), join=False).join(probe=True).how == "joined"
    assert (place.own_keys(), len(place.log())) == before


def test_a_creator_that_was_killed_leaves_no_half_made_run(
    place: Any, crew: Any, plan_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(ONE, TASKS)
    killed = place.session(member=True)
    begun = {
        "token": "x", "run": "half", "digest": "0" * 64, "plan": "half", "epoch": "e", "host": "h", "ttl_ms": 500,
        "definition": '{"capabilities":["cap"]}', "emergency": 1, "time_scale": 1,
    }  # fmt: skip
    assert killed.call("run_begin", begun)["status"] == "begun"
    steps = list(load_steps(plan_of({"larry-09": {"w9": ["cap"]}}, [{"id": "strange", "larry": "larry-09"}])))
    for step in steps:
        killed.call("run_load", {**step, "token": "x", "ttl_ms": 500})
    assert place.get("task:status:strange") == "pending"
    began = time.monotonic()
    assert crew(plan, join=False).join().how == "created"
    assert 0.3 < time.monotonic() - began < 10
    assert place.get("task:status:strange") is None and place.get("phase:larry-09:status") is None
    assert place.plain.llen(place.key("larry:tasks")) == 300
    assert killed.call("run_load", {**steps[0], "token": "x", "ttl_ms": 500})["status"] == "creation_lost"
    assert killed.call("run_open", {"token": "x", "tasks": 1})["status"] == "creation_lost"


def test_a_creator_is_waited_for(place: Any, crew: Any, plan_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(ONE, TASKS[:1])
    begun = {
        "token": "x", "run": "slow", "digest": "d" * 64, "plan": "slow", "epoch": "e", "host": "h", "ttl_ms": 60_000,
        "definition": "{}", "emergency": 1, "time_scale": 1,
    }  # fmt: skip
    creator = place.session(member=True)
    creator.call("run_begin", begun)
    monkeypatch.setattr(runs_module, "_CREATION_WAIT_S", 0.3)
    with pytest.raises(RunConflict, match="is preparing a run"):
        crew(plan, join=False).join()


def test_a_log_without_a_run_is_said(place: Any, plan_of: Any) -> None:
    """An operator deleted larry:run by hand: the next controller must say so, not spin for ever."""
    place.plain.xadd(place.key("larry:log"), {"m": "{}"})
    code = (
        "import sys, json; from ansible_collections.cortex.larry.plugins.module_utils._coordination import runs,"
        " session, settings, identity; s = session.Session(settings.Settings.of(sys.argv[1], prefix=sys.argv[2]),"
        " identity.Controller('c', 1, '0', 'h'), 'h', member=True);"
        " runs.ensure_keeper = lambda s: None; runs.RunService(s).join(json.loads(sys.argv[3]), 'd' * 64)"
    )
    plan = json.dumps(plan_of(ONE, TASKS[:1]))
    command = [sys.executable, "-c", code, place.settings.server, place.settings.prefix, plan]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=4, check=False)
    assert process.returncode == 0 or "larry:log" in process.stderr


def test_a_run_that_is_led_is_not_deleted(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(ONE, TASKS[:1])).lead()
    with pytest.raises(Refused, match="is led by the controller"):
        crew(plan_of(ONE, TASKS[:1])).runs.delete()
    assert place.get("task:status:t0") == "pending"
    one.runs.delete(force=True)
    assert place.get("task:status:t0") is None
    with pytest.raises(NotJoined, match="There is no run under the prefix"):
        one.claim("w1")


@pytest.mark.parametrize("bare", [False, True])
def test_clean_up_takes_its_own_keys_and_no_others(request: Any, crew_at: Any, plan_of: Any, bare: bool) -> None:
    """Law 11: the complete list of keys before and after, with strangers' keys that look alike."""
    place = request.getfixturevalue("bare_place" if bare else "place")
    for name in (
        "task:lock:theirs", "task:status:theirs", "phase:larry-77:status", "phase:larry-01:status:old", "metrics:x:y",
        "worker:w77:node", "lock:theirs", "tokens:larry-77:used", "larry:theirs", "phase:larry-01:own",
    ):  # fmt: skip
        place.plain.set(place.key(name), "a stranger's")
    place.plain.set("elsewhere:" + place.key("task:lock:t0"), "a stranger's")
    stranger = LockService(place.session(host="stranger"))
    stranger.acquire("a stranger's lock")
    before = place.every_key()
    plan = plan_of(ONE, [{"id": "a", "touches": ["db"]}, {"id": "b", "depends_on": ["a"]}, *TASKS, {"id": "o",
                         "capability": "other", "worker": "w2"}], checkpoints=[{"at_s": 1, "progress": 9}])  # fmt: skip
    one = crew_at(place, plan).lead()
    result = {"public": {"phase": {"figure": 1}, "metrics": {"m": 2}, "findings": {"low": 1}}}
    one.do("w1", result=result)
    one.claimed("w1")
    one.do("w2")
    one.claimed("w2")
    one.phases.control("pause", "thing", ["db", "net"])
    budget = BudgetService(one.session, "larry-01")
    budget.reserve("w1", 9_500)
    one.slots.leave("w2", "failed", "no")
    BarrierService(one.session).meet("converge", member="larry-01", members=["larry-01", "larry-02"], turn_s=0)
    one.session.call("event_publish", {"event": "own_event", "data": '"a":1'})
    assert len(place.every_key()) > len(before) + 600
    one.runs.finish("completed", "r", "h")
    assert one.runs.delete(force=True)
    after = place.every_key()
    assert before - after == set()
    assert after - before == set()


def test_a_half_made_run_is_deleted_whole(place: Any, crew: Any, plan_of: Any) -> None:
    """Whoever began it is no controller of it yet: its list of held leases must go too."""
    killed = place.session(member=True)
    begun = {
        "token": "x", "run": "half", "digest": "0" * 64, "plan": "half", "epoch": "e", "host": "h", "ttl_ms": 100,
        "definition": "{}", "emergency": 1, "time_scale": 1,
    }  # fmt: skip
    killed.call("run_begin", begun)
    time.sleep(0.2)
    one = crew(plan_of(ONE, TASKS[:1]))
    one.runs.delete(force=True)
    assert place.own_keys() == set()


def test_an_evicting_server_is_refused(place: Any, crew: Any, plan_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunService, "_eviction_policy", lambda self: "allkeys-lru")
    with pytest.raises(SettingsError, match="maxmemory-policy noeviction"):
        crew(plan_of(ONE, TASKS[:1]))
    assert place.own_keys() == set()


def test_waiting_for_the_end(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(ONE, TASKS[:1]))
    run = one.runs.look()["id"]
    assert one.runs.wait_finished(run, 0.2) is False
    ended: list[bool] = []
    thread = threading.Thread(target=lambda: ended.append(one.runs.wait_finished(run, 20)))
    thread.start()
    time.sleep(0.3)
    began = time.monotonic()
    one.runs.finish("completed", "r", "h")
    thread.join(10)
    assert ended == [True] and time.monotonic() - began < 2


def test_nothing_is_logged_after_the_end(place: Any, crew: Any, plan_of: Any) -> None:
    """The head of the log's chain is in the report: what comes after it would belie it (law 9)."""
    one = crew(plan_of(ONE, TASKS[:1])).lead()
    one.do("w1")
    one.phases.turn("larry-01", finish=True)
    one.runs.finish("completed", "r", "h")
    one.session.call("gone", {"cause": "the process is gone"})
    assert place.names()[-1] == "run_complete"
