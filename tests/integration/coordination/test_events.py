# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log and its messages: gapless, complete, the same by both routes, and enough to tell the state."""

from __future__ import annotations

import datetime
import json
import re
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cortex.larry.plugins.module_utils._coordination.barriers import BarrierService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.budgets import BudgetService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import SettingsError
from ansible_collections.cortex.larry.plugins.module_utils._coordination.events import EventService, chain
from ansible_collections.cortex.larry.plugins.module_utils._coordination.snapshot import take_snapshot
from ansible_collections.cortex.larry.plugins.module_utils._plan import load_plan

TWO = {"larry-01": {"w1": ["cap"], "w1b": ["cap"]}, "larry-02": {"w2": ["cap"]}}
ROOT = Path(__file__).resolve().parents[3]

# What each event says beside id, from, event, timestamp and run; a question mark stands before what may be missing.
FIELDS = {
    "run_created": "digest plan tasks",
    "run_joined": "controller host pid",
    "run_complete": "state ?report",
    "phase_started": "larry ?deadline",
    "phase_complete": "larry completed failed skipped",
    "phase_failed": "larry cause ?completed ?failed ?skipped",
    "behind_plan": "larry at_s expected progress",
    "overdue": "?larry ?task_id ?worker",
    "worker_registered": "worker larry node controller machine",
    "task_ready": "task_id larry",
    "task_claimed": "task_id larry worker node controller fence attempt deadline",
    "task_completed": "task_id larry worker fence attempt",
    "task_failed": "task_id larry worker attempt cause final ?fence",
    "task_skipped": "task_id larry cause ?worker ?attempt ?fence",
    "task_requeued": "task_id larry cause attempt",
    "lease_acquired": "resource holder fence slot",
    "lease_released": "resource holder fence ?cause",
    "lease_revoked": "resource ?holder ?fence ?cause",
    "lease_lapsed": "resource holder ?fence",
    "lease_refused": "resource owner by",
    "completion_fenced": "task_id larry worker fence cause",
    "task_conflict": "task_id owner ?larry",
    "worker_failure": "worker larry cause ?task_id ?barrier",
    "slot_taken_over": "slot controller previous",
    "tokens_reserve_deployed": "larry drawn left",
    "tokens_hold_expired": "larry account amount",
    "paused": "scope name ?reason",
    "resumed": "scope name ?reason",
    "draining": "scope name ?reason",
    "cancelled": "scope name ?reason",
    "barrier_arrived": "barrier member generation",
    "barrier_open": "barrier generation members ?without",
    "barrier_failed": "barrier cause missing ?generation",
    "controller_gone": "controller cause released",
}
ALERTS = {"task_conflict", "worker_failure", "critical_cve", "rollback_initiated", "tokens_reserve_deployed"}


def eventful(crew: Any, place: Any, plan_of: Any) -> Any:
    """A run in which nearly everything happens."""
    work = [
        {"id": "a"}, {"id": "b", "attempts": 2}, {"id": "c", "depends_on": ["b"]}, {"id": "d", "planned_s": 50},
        {"id": "e", "larry": "larry-02"}, {"id": "f", "larry": "larry-02", "touches": ["db"]},
    ]  # fmt: skip
    plan = plan_of(TWO, work, checkpoints=[{"at_s": 50, "progress": 90}], limit=1000, emergency=500)
    one = crew(plan)
    place.plain.set(place.key("task:lock:e"), "someone", px=200)
    one.lead()
    one.claim("w2")
    one.do("w1")
    for _number in range(2):
        task, fence = one.claimed("w1", wait_s=2)
        assert task == "b"
        one.settle("w1", task, fence, "failed", cause="no")
        if place.get("task:status:b") == "pending":
            assert one.claimed("w1b")[0] == "d"
    time.sleep(0.2)
    place.plain.delete(place.key("task:lock:d"))
    one.tasks("w1b").checkpoint("d", "0")
    try:
        one.settle("w1b", "d", "0")
    except Exception as error:
        assert "refused" in str(error)
    for verb in ("pause", "resume", "drain", "resume"):
        one.phases.control(verb, "larry", ["larry-02"], "why")
    one.phases.control("pause", "thing", ["db"], "why")
    one.phases.control("resume", "thing", ["db"])
    budget = BudgetService(one.session, "larry-01")
    budget.reserve("larry-01-master", 950, hold_s=0.05)
    two = crew(plan)
    two.slots.take("w2")
    one.claimed("w2", wait_s=2)
    one.session.call("gone", {"cause": "killed"})
    time.sleep(0.1)
    two.lead()
    while two.claim("w1")["status"] == "claimed":
        two.do("w1")
    while two.claim("w2")["status"] == "claimed":
        two.do("w2")
    for larry in TWO:
        two.phases.turn(larry, finish=True)
        names = list(TWO)
        BarrierService(place.session(two.controller, larry, member=True)).meet(
            "converge", member=larry, members=names, turn_s=0, policy="wait"
        )
    return two


def test_the_log_is_gapless_and_complete(place: Any, crew: Any, plan_of: Any) -> None:
    eventful(crew, place, plan_of).runs.finish("failed", "r", "h")
    log = place.log()
    assert [entry["id"] for entry in log] == [str(number) for number in range(1, len(log) + 1)]
    assert {entry["run"] for entry in log} == {place.plain.hget(place.key("larry:run"), "id")}
    stamps = [entry["timestamp"] for entry in log]
    assert stamps == sorted(stamps)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", stamp) for stamp in stamps)
    seen = set()
    for entry in log:
        wanted = FIELDS[entry["event"]].split()
        must = {name for name in wanted if not name.startswith("?")}
        may = {name.lstrip("?") for name in wanted}
        has = set(entry) - {"id", "from", "event", "timestamp", "run"}
        assert must <= has <= may, entry
        assert entry["from"]
        seen.add(entry["event"])
    missed = set(FIELDS) - seen
    assert missed <= {
        "lease_acquired", "lease_released", "lease_refused", "barrier_failed", "cancelled", "phase_complete",
    }, missed  # fmt: skip


def test_the_clock_of_the_log_is_the_servers(place: Any, crew: Any, plan_of: Any) -> None:
    before = place.now_us()
    crew(plan_of(TWO, [{"id": "a"}]))
    after = place.now_us()
    moment = datetime.datetime.fromisoformat(place.log()[0]["timestamp"].replace("Z", "+00:00"))
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    assert before <= (moment - epoch) // datetime.timedelta(microseconds=1) <= after


def test_messages_are_the_log_on_the_right_channels(place: Any, crew: Any, plan_of: Any) -> None:
    with place.plain.pubsub(ignore_subscribe_messages=True) as ears:
        ears.subscribe(place.key("larry:coordination"), place.key("larry:alerts"))
        for _number in range(2):
            ears.get_message(timeout=1)
        eventful(crew, place, plan_of)
        heard: list[dict[str, Any]] = []
        while (message := ears.get_message(timeout=0.5)) is not None:
            heard.append(json.loads(message["data"]) | {"channel": message["channel"]})
    for message in heard:
        channel = message.pop("channel").removeprefix(place.settings.prefix)
        assert channel == ("larry:alerts" if message["event"] in ALERTS else "larry:coordination")
    ticks = [message for message in heard if message["event"] == "progress_update"]
    assert ticks and all("." in message["id"] for message in ticks)
    assert [message for message in heard if message["event"] != "progress_update"] == place.log()


def replay(log: list[dict[str, Any]]) -> dict[str, str]:
    """The public status of each task and phase from the log alone."""
    state: dict[str, str] = {}
    for entry in log:
        name, event = entry.get("task_id"), entry["event"]
        if event == "task_claimed":
            state[f"task:status:{name}"] = "in_progress"
        elif event == "task_requeued":
            state[f"task:status:{name}"] = "pending"
        elif event in ("task_completed", "task_skipped") or entry.get("final") and event == "task_failed":
            state[f"task:status:{name}"] = event.removeprefix("task_")
        elif event in ("phase_started", "phase_complete", "phase_failed"):
            state[f"phase:{entry['larry']}:status"] = {
                "phase_started": "in_progress", "phase_complete": "completed", "phase_failed": "failed",
            }[event]  # fmt: skip
    return state


def test_replay_gives_the_state(place: Any, crew: Any, plan_of: Any) -> None:
    eventful(crew, place, plan_of)
    state = replay(place.log())
    assert len(state) == 8
    assert {name: place.get(name) for name in state} == state


def test_an_event_of_ones_own(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(TWO, [{"id": "a"}]))
    data = {"severity": "critical", "data": {"cve_id": "CVE-1", "cvss": 9.8}, "id": "99", "run": "another"}
    reply = EventService(one.session).publish("critical_cve", data)
    entry = place.log("critical_cve")[0]
    assert entry["id"] == reply["id"] == str(len(place.log()))
    assert entry["run"] != "another" and entry["data"] == {"cve_id": "CVE-1", "cvss": 9.8}
    call = {"event": "mine", "data": ""}
    ids = {one.session.call("event_publish", call, "op")["id"] for _number in range(3)}
    assert len(ids) == 1 and place.names().count("mine") == 1


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({"n": 1795251087616116}),
        pytest.param({"n": 2**53}),
        pytest.param({"list": []}),
        {"nothing": None, "map": {}},
        {"f": 0.1},
        {"s": "ä\n"},
    ],
)
def test_an_events_data_arrives_as_it_was_sent(place: Any, crew: Any, plan_of: Any, data: dict[str, Any]) -> None:
    one = crew(plan_of(TWO, [{"id": "a"}]))
    EventService(one.session).publish("mine", data)
    entry = place.log("mine")[0]
    assert {name: entry.get(name) for name in data} == data


@pytest.mark.parametrize("name", ["task_completed", "run_complete", "lease_lapsed"])
def test_the_protocols_own_events_cannot_be_forged(place: Any, crew: Any, plan_of: Any, name: str) -> None:
    """The report counts completions by the log."""
    one = crew(plan_of(TWO, [{"id": "a"}]))
    with pytest.raises(SettingsError):
        EventService(one.session).publish(name, {"task_id": "a"})
    assert name not in place.names()


@pytest.mark.parametrize("name", ["", "Bad", "a b", "1a", "x" * 65])
def test_a_bad_name_of_an_event_is_refused(place: Any, name: str) -> None:
    with pytest.raises(SettingsError):
        EventService(place.session()).publish(name)


def test_too_much_data_is_refused(place: Any) -> None:
    with pytest.raises(SettingsError, match="exceeds 65536 bytes"):
        EventService(place.session()).publish("mine", {"a": "x" * 70_000})


def test_a_late_reader_misses_nothing(place: Any) -> None:
    service = EventService(place.session())
    for number in range(1205):
        place.plain.incr(place.key("unrelated")) if number % 400 == 0 else None
        service.publish("tick", {"n": number})
    assert [entry["n"] for entry in service.everything()] == list(range(1205))
    assert [entry["n"] for entry in service.read(since="1200")] == [1200, 1201, 1202, 1203, 1204]
    heard: list[int] = []

    def follow() -> None:
        for entry in service.follow(since="1203", timeout_s=1.0):
            heard.append(entry["n"])

    thread = threading.Thread(target=follow)
    thread.start()
    time.sleep(0.2)
    service.publish("tick", {"n": 1205})
    thread.join(10)
    assert heard == [1203, 1204, 1205]


def test_the_chain_covers_every_entry(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(TWO, [{"id": "a"}])).lead()
    log = list(EventService(one.session).everything())
    assert log == place.log()
    head = chain(log)
    assert re.fullmatch("[0-9a-f]{64}", head)
    for place_ in range(len(log)):
        assert chain(log[:place_] + log[place_ + 1 :]) != head


@pytest.mark.parametrize("name", ["inventories/embedded/three-larrys.larry.yml", "tests/plans/seven-larrys.larry.yml"])
def test_a_whole_run_of_a_shipped_plan(place: Any, crew: Any, name: str) -> None:
    """One controller for each Larry, each worker in turn, to the end; the state by the public keys and by the log."""
    plan = load_plan(str(ROOT / name)).canonical()
    crews = {larry: crew(plan).lead(larry) for larry in plan["larrys"]}
    done: set[str] = set()
    for _number in range(200):
        for larry, one in crews.items():
            for worker in plan["larrys"][larry]["workers"]:
                reply = one.claim(worker)
                if reply["status"] == "claimed":
                    assert plan["tasks"][reply["task"]]["capability"] in plan["workers"][worker]["capabilities"]
                    assert set(plan["tasks"][reply["task"]]["depends_on"]) <= done
                    assert place.get("task:lock:" + reply["task"]) == larry
                    one.settle(worker, reply["task"], reply["fence"], result={"summary": {}})
                    done.add(reply["task"])
        if len(done) == len(plan["tasks"]):
            break
    assert done == set(plan["tasks"])
    for larry, one in crews.items():
        assert one.phases.turn(larry, finish=True)["phase"] == "completed"
        assert place.get(f"phase:{larry}:progress") == "100"
        assert json.loads(place.get(f"phase:{larry}:workers")) == plan["larrys"][larry]["workers"]
        assert place.get(f"tokens:{larry}:limit") == str(plan["larrys"][larry]["tokens"])
    names = list(crews)
    replies = [
        BarrierService(place.session(crews[larry].controller, larry, member=True)).meet(
            "converge", member=larry, members=names, turn_s=0
        )["status"]
        for larry in names
    ]
    assert replies == ["waiting"] * (len(names) - 1) + ["open"]
    crews[names[0]].runs.finish("completed", "r", "h")
    completed = [entry["task_id"] for entry in place.log("task_completed")]
    assert sorted(completed) == sorted(plan["tasks"])
    state = replay(place.log())
    assert {key: place.get(key) for key in state} == state
    record = take_snapshot(crews[names[0]].session, plan, "0")
    assert record["events"] == place.log()
    assert {task: one["status"] for task, one in record["tasks"].items()} == dict.fromkeys(plan["tasks"], "completed")
    if name.startswith("inventories"):
        assert place.get("tokens:larry-01:limit") == "111000"
