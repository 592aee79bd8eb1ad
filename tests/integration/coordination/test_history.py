# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Law 10: a server that lost a part of the history is noticed by whoever has seen more, until it is recovered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from durable_server import DurableServer

from ansible_collections.cortex.larry.plugins.module_utils._coordination.barriers import BarrierService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.connection import disconnect
from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import (
    Fenced,
    HistoryLost,
    NotJoined,
    ServerUnavailable,
)
from ansible_collections.cortex.larry.plugins.module_utils._coordination.events import EventService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.locks import LockService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.session import new_operation
from ansible_collections.cortex.larry.plugins.module_utils._coordination.settings import Settings

DIGEST = "d" * 64
ONE = {"larry-01": {"w1": ["cap"], "w2": ["cap"]}}
WORK = [{"id": f"task-{number}"} for number in range(6)]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Return a function that makes this process a controller of another machine: one with other memories."""

    def become(name: str) -> None:
        directory = tmp_path / name
        directory.mkdir(mode=0o700, exist_ok=True)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(directory))

    become("here")
    return become


@pytest.fixture
def there(durable: DurableServer, place: Any, machine: Any) -> Iterator[Any]:
    """A place, as the fixture `place` makes it, on the server that is killed and started again."""
    settings = Settings.of({"url": durable.url, "prefix": "p:", "patience": 0.3})
    with durable.client() as plain:
        yield type(place)(settings, plain)
    disconnect(settings)


@pytest.fixture
def crew(there: Any, crew_at: Callable[..., Any], plan_of: Callable[..., Any]) -> Any:
    """A controller that leads a run of six tasks and has completed two."""
    made = crew_at(there, plan_of(ONE, WORK)).lead()
    made.do("w1")
    made.do("w1")
    return made


def everything_is_refused(crew: Any, task: str, fence: str) -> None:
    """Whatever a controller can ask for within the run fails closed."""
    session = crew.session
    for what in (
        lambda: crew.claim("w1"),
        lambda: crew.settle("w2", task, fence),
        lambda: crew.tasks("w2").checkpoint(task, fence),
        lambda: crew.slots.take("w1"),
        lambda: crew.phases.turn("larry-01"),
        lambda: BarrierService(session).meet("converge", member="larry-01", members=["larry-01"], turn_s=0.01),
        lambda: LockService(session).acquire("thing", keep=False),
        lambda: EventService(session).publish("told", {}),
        lambda: crew.runs.finish("completed", "r", "h"),
        lambda: crew.session.call("renew"),
        crew.join,
    ):
        with pytest.raises(HistoryLost, match="state=recovered"):
            what()


def test_an_emptied_server(there: Any, crew: Any, crew_at: Any) -> None:
    """FLUSHALL: nothing goes on, and nobody on this machine makes a new run of it, until it is recovered."""
    run, fences = there.log()[0]["run"], [int(entry["fence"]) for entry in there.log("task_claimed")]
    task, fence = crew.claimed("w2")
    last = int(there.log()[-1]["id"])
    there.plain.flushall()
    everything_is_refused(crew, task, fence)
    with pytest.raises(HistoryLost, match="there is no run under this prefix any more"):
        crew_at(there, crew.plan)  # a controller that has seen nothing, on the machine that noticed the loss
    assert there.own_keys() == set(), "a refused call wrote something"

    recovered = crew.runs.recover(crew.plan, DIGEST)
    assert (recovered.run, recovered.changed, recovered.epoch, recovered.old_epoch) == (run, True, 2, 1)
    (event,) = there.log("run_recovered")
    assert (event["epoch"], event["old_epoch"], event["sequence"], event["seen"]) == (2, 1, 0, last)
    assert there.plain.hget(there.key("larry:run"), "id") == run
    with pytest.raises(NotJoined, match=r"epoch 2 now.*start the controller again"):
        crew.claim("w1")
    again = crew_at(there, crew.plan).lead()
    while again.claim("w1")["status"] == "claimed":
        again.do("w1")
    assert all(int(entry["fence"]) > max(*fences, int(fence)) for entry in there.log("task_claimed"))
    assert [there.get(f"task:status:task-{number}") for number in range(6)] == ["completed"] * 6


def test_a_state_from_the_middle_of_the_creation(there: Any, crew: Any, crew_at: Any) -> None:
    """The end of the append-only file is cut off where the run was being made: there is nothing to mark as lost."""
    task, fence = crew.claimed("w2")
    run = there.key("larry:run")
    there.plain.hset(run, mapping={"state": "creating", "seq": "0"})
    there.plain.delete(there.key("larry:log"))
    everything_is_refused(crew, task, fence)
    recovered = crew.runs.recover(crew.plan, DIGEST)
    assert (recovered.changed, recovered.epoch) == (True, 2)
    assert there.plain.hmget(run, "state", "epoch") == ["running", "2"]
    again = crew_at(there, crew.plan).lead()
    while again.claim("w1")["status"] == "claimed":
        again.do("w1")
    assert [there.get(f"task:status:task-{number}") for number in range(6)] == ["completed"] * 6


@pytest.mark.parametrize("loss", ["snapshot", "truncated"])
def test_an_older_state(there: Any, crew: Any, crew_at: Any, durable: Any, machine: Any, loss: str) -> None:
    """Started from an older copy, or with the end of the append-only file cut off."""
    task, fence = crew.claimed("w2")
    durable.kill()
    kept = durable.keep_data("kept")
    durable.start()
    done, done_fence = crew.claimed("w1")
    crew.settle("w1", done, done_fence)
    seen = int(there.log()[-1]["id"])
    durable.kill()
    if loss == "snapshot":
        durable.put_data(kept)
    else:
        durable.cut_log(1)
    durable.start()
    before = there.log()
    assert len(before) < seen
    with pytest.raises(HistoryLost, match="its log ends before what this controller has seen"):
        crew.claim("w1")
    everything_is_refused(crew, task, fence)
    # The server is marked: who knows nothing of what there was is refused as well.
    machine("elsewhere")
    with pytest.raises(HistoryLost, match="another controller noticed that"):
        crew_at(there, crew.plan)
    assert there.log() == before, "a refused call changed the log"
    with pytest.raises(HistoryLost):
        crew.runs.join(crew.plan, DIGEST)
    machine("here")
    states = {f"task-{n}": there.get(f"task:status:task-{n}") for n in range(6)}

    recovered = crew.runs.recover(crew.plan, DIGEST)
    assert (recovered.changed, recovered.epoch, recovered.sequence, recovered.seen) == (True, 2, len(before), seen)
    (event,) = there.log("run_recovered")
    assert (event["old_epoch"], event["epoch"], event["seen"]) == (1, 2, seen)
    # Settled tasks stay as the server has them; whatever was held is free, in the record and in the key to read.
    for name, state in states.items():
        assert there.get(f"task:status:{name}") == ("pending" if state == "in_progress" else state)
    assert list(there.plain.scan_iter("p:task:lock:*")) == []
    for key in there.plain.scan_iter("p:larry:lease:*"):
        assert there.plain.hget(key, "token") is None, key
    with pytest.raises(NotJoined, match="start the controller again"):
        crew.settle("w2", task, fence)
    machine("elsewhere")
    again = crew_at(there, crew.plan).lead()
    with pytest.raises(Fenced):
        again.settle("w1", task, fence)
    claims = {}
    while (reply := again.claim("w1"))["status"] == "claimed":
        claims[reply["task"]] = int(reply["fence"])
        again.settle("w1", reply["task"], reply["fence"])
    assert claims[task] > int(fence) and claims.get(done, int(done_fence) + 1) > int(done_fence)
    log = there.log()
    assert [entry["id"] for entry in log] == [str(number + 1) for number in range(len(log))]
    settled = [entry["task_id"] for entry in log if entry["event"] == "task_completed"]
    assert sorted(settled) == [f"task-{number}" for number in range(6)]


def test_a_history_that_went_on_without_us(there: Any, crew: Any, crew_at: Any, durable: Any, machine: Any) -> None:
    """A replica that was behind took over, and others went on there: its log is longer, and tells something else."""
    durable.kill()
    kept = durable.keep_data("kept")
    durable.start()
    task, fence = crew.claimed("w2")
    durable.kill()
    durable.put_data(kept)
    durable.start()
    machine("elsewhere")
    other = crew_at(there, crew.plan)
    for _number in range(30):
        EventService(other.session).publish("went_on", {})
    machine("here")
    with pytest.raises(HistoryLost, match="tells something else"):
        crew.settle("w2", task, fence)
    machine("elsewhere")
    with pytest.raises(HistoryLost, match="another controller noticed that"):
        EventService(other.session).publish("went_on", {})
    assert other.runs.recover(crew.plan, DIGEST).changed


def test_an_equally_long_history(there: Any, crew: Any, crew_at: Any, durable: Any, machine: Any) -> None:
    """As many entries as were seen, and the last one is another one."""
    durable.kill()
    kept = durable.keep_data("kept")
    durable.start()
    EventService(crew.session).publish("here", {})
    EventService(crew.session).publish("here", {})
    seen = len(there.log())
    durable.kill()
    durable.put_data(kept)
    durable.start()
    machine("elsewhere")
    EventService(crew_at(there, crew.plan).session).publish("there", {})
    assert len(there.log()) == seen, "joining and the event are as many entries as the two"
    machine("here")
    with pytest.raises(HistoryLost, match="tells something else"):
        crew.claim("w1")


def test_an_earlier_epoch(there: Any, crew: Any, crew_at: Any, durable: Any, machine: Any) -> None:
    """The state from before a recovery, on which others went on until its log was longer."""
    durable.kill()
    kept = durable.keep_data("kept")
    durable.start()
    crew.runs.recover(crew.plan, DIGEST, force=True)
    again = crew_at(there, crew.plan)
    durable.kill()
    durable.put_data(kept)
    durable.start()
    with pytest.raises(HistoryLost, match="in an earlier epoch"):
        again.claim("w1")
    assert again.runs.recover(crew.plan, DIGEST).epoch == 3


def test_whoever_remembers_nothing_joins_again_as_well(there: Any, crew: Any) -> None:
    """A module on a target has no memory of the controller; after a recovery it is outside all the same."""
    session = type(crew.session)(there.settings, crew.controller, "w1", member=True, keep=False)
    session.call("phase_turn", {"larry": "larry-01"})
    crew.runs.recover(crew.plan, DIGEST, force=True)
    with pytest.raises(NotJoined):
        session.call("phase_turn", {"larry": "larry-01"})


def test_nothing_is_lost(there: Any, crew: Any, durable: Any) -> None:
    """A server that was killed and has all that it had is the same server; recovery leaves it alone unless forced."""
    task, fence = crew.claimed("w2")
    durable.kill()
    durable.start()
    crew.settle("w2", task, fence)
    names = there.names()
    assert not crew.runs.recover(crew.plan, DIGEST).changed
    assert crew.runs.recover(crew.plan, DIGEST, force=True, probe=True).changed
    assert there.names() == names
    crew.do("w1")
    forced = crew.runs.recover(crew.plan, DIGEST, force=True)
    assert (forced.changed, forced.epoch) == (True, 2)


def test_recovery_is_one_operation(there: Any, crew: Any) -> None:
    """Sent again, as after a lost reply, it answers the same and opens no further epoch."""
    operation = new_operation()
    asked = {"digest": DIGEST, "force": True}
    first = crew.session.call("run_recover", asked, operation)
    assert first["status"] == "recovered"
    assert crew.session.call("run_recover", asked, operation) == first
    assert [entry["epoch"] for entry in there.log("run_recovered")] == [2]


def test_fences_wait_for_the_clock(there: Any, crew: Any) -> None:
    """Where the new server's clock is behind the lost history, the epoch is not opened before it has caught up."""
    run = there.log()[0]["run"]
    known = {"run": run, "epoch": 1, "seq": "999", "at": str(there.now_us() + 3_600_000_000)}
    reply = crew.session.call("run_recover", {"digest": DIGEST, "known": known})
    assert reply["status"] == "clock_behind" and 3_590_000 < reply["left_ms"] <= 3_600_000
    assert not there.log("run_recovered")


def test_what_ends_in_order_is_no_loss(there: Any, crew: Any, crew_at: Any, plan_of: Any, machine: Any) -> None:
    """A run that was finished and replaced, or deleted from this machine, was not lost."""
    machine("elsewhere")
    other = crew_at(there, crew.plan)
    other.runs.finish("completed", "r", "h")
    replaced = other.runs.join(plan_of(ONE, WORK[:1]), "e" * 64)
    assert replaced.how == "created" and replaced.replaced
    machine("here")
    with pytest.raises(NotJoined, match="has not joined the run") as error:
        crew.claim("w1")
    assert not isinstance(error.value, HistoryLost)
    with pytest.raises(NotJoined):
        crew.claim("w1")

    machine("elsewhere")
    other.runs.delete(force=True)
    with pytest.raises(NotJoined) as error:
        EventService(other.session).publish("told", {})
    assert not isinstance(error.value, HistoryLost)
    assert crew_at(there, crew.plan).runs.look()["state"] == "running"


def test_deleted_from_another_machine(there: Any, crew: Any, crew_at: Any, machine: Any) -> None:
    """It cannot be told from a loss: refused, with the way out; clean-up on this machine says that it was meant."""
    machine("elsewhere")
    crew_at(there, crew.plan).runs.delete(force=True)
    machine("here")
    with pytest.raises(HistoryLost, match=r"run playbooks/cleanup\.yml here as well"):
        crew.claim("w1")
    with pytest.raises(HistoryLost):
        crew_at(there, crew.plan)
    crew.runs.delete()
    assert crew_at(there, crew.plan).runs.look()["state"] == "running"


def in_background(what: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Starts a call that waits for the server; its answer or error is put into the list."""
    answers: list[Any] = []

    def run() -> None:
        try:
            answers.append(what())
        except Exception as error:
            answers.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, answers


def test_the_time_of_an_absence_counts_for_nobody(there: Any, crew: Any, crew_at: Any, durable: Any) -> None:
    """Away for longer than the TTL: who held a lease holds it still, also those who did not notice."""
    other = crew_at(there, crew.plan)
    task, fence = crew.claimed("w2", ttl_ms=1_500)
    crew.slots.leave("w1")
    assert other.slots.take("w1", ttl_ms=1_500)["status"] == "held"
    held, held_fence = other.claimed("w1", ttl_ms=1_500)
    LockService(there.session(crew.controller, member=True)).acquire("thing", ttl_ms=1_500, keep=False)
    hard = int(there.plain.hget(f"p:larry:lease:task/{held}", "hard"))
    durable.kill()
    began = time.monotonic()
    thread, answers = in_background(lambda: crew.settle("w2", task, fence))
    time.sleep(3.5)
    assert thread.is_alive(), answers
    durable.start()
    away = time.monotonic() - began
    thread.join(10)
    assert answers[0]["state"] == "completed", answers
    # The attempt has as much time left as before.
    moved = int(there.plain.hget(f"p:larry:lease:task/{held}", "hard")) - hard
    assert 3_000_000 < moved <= (away + 1.5) * 1_000_000
    assert there.get("lock:thing") is not None and there.get(f"task:lock:{held}") == "larry-01"
    assert other.settle("w1", held, held_fence)["state"] == "completed"
    (event,) = there.log("server_away")
    assert 3 < event["seconds"] <= away + 1.5, event
    assert event["kept"] >= 3
    assert not there.log("lease_lapsed") and not there.log("task_requeued") and not there.log("completion_fenced")


def test_who_died_meanwhile_is_noticed(there: Any, crew: Any, durable: Any) -> None:
    """A lease that is kept over an absence still has a deadline: one TTL after the server came back."""
    task, _fence = crew.claimed("w2", ttl_ms=1_500)
    durable.kill()
    thread, _answers = in_background(lambda: crew.phases.turn("larry-01"))
    time.sleep(2.5)
    durable.start()
    thread.join(10)
    assert there.get(f"task:status:{task}") == "in_progress"
    time.sleep(1.6)
    crew.phases.turn("larry-01")
    assert there.get(f"task:status:{task}") == "pending"
    assert there.log("lease_lapsed")[0]["resource"] == f"task:lock:{task}"


def test_a_pause_of_everybody_is_no_absence(there: Any, crew: Any) -> None:
    """Nobody called for a while, but nobody missed the server either: leases lapse as ever."""
    task, _fence = crew.claimed("w2", ttl_ms=1_000)
    time.sleep(1.6)
    crew.phases.turn("larry-01")
    assert there.get(f"task:status:{task}") == "pending"
    assert not there.log("server_away")


def test_the_wait_has_an_end(there: Any, crew: Any, durable: Any) -> None:
    """Away for longer than redis_outage: a sentence, and whoever asks then is not kept waiting a second time."""
    task, fence = crew.claimed("w2")
    durable.kill()
    service = crew.tasks("w2")
    service.session.outage_s = 1.5
    began = time.monotonic()
    with pytest.raises(ServerUnavailable, match=r"waits no longer than 1\.5 s \(redis_outage\)"):
        service.settle(task, fence, "completed", worker="w2")
    assert 1.5 <= time.monotonic() - began < 4
    began = time.monotonic()
    with pytest.raises(ServerUnavailable, match="redis_outage"):
        service.settle(task, fence, "failed", worker="w2")
    assert time.monotonic() - began < 1.5
    durable.start()
    assert service.settle(task, fence, "completed", worker="w2")["state"] == "completed"


def test_who_never_joined_does_not_wait(there: Any, durable: Any) -> None:
    """A wrong address is an error at once."""
    durable.kill()
    began = time.monotonic()
    with pytest.raises(ServerUnavailable):
        there.session(member=True).call("run_join", {"digest": DIGEST})
    assert time.monotonic() - began < 3
