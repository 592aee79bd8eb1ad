# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directed tests of the history, of absences, of the recovery and of journals: each fails without one guard.

What a controller has seen is set by the test in place of its file, and the time is the test's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from virtual_time import Clock

from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import HistoryLost, NotJoined
from ansible_collections.cortex.larry.plugins.module_utils._coordination.history import Seen
from ansible_collections.cortex.larry.plugins.module_utils._coordination.identity import Controller

DIGEST = "d" * 64
LONG = 3_600_000


class Known:
    """What a controller has seen, as the test wants it."""

    def __init__(self) -> None:
        self.seen: Seen | None = None

    def read(self) -> Seen | None:
        return self.seen

    def note(self, _history: Any) -> None:
        """Nothing is learned."""

    def note_away(self) -> float:
        return 0.0

    def note_back(self) -> None:
        """Nothing is learned."""

    def forget(self) -> None:
        """Nothing is learned."""


class Group:
    """A run of the Larrys x and y: a leads everything, b is a member too."""

    def __init__(self, place: Any, crew: Any, plan: dict[str, Any]) -> None:
        self.place = place
        self.a, self.b = crew(plan).lead(ttl_ms=LONG), crew(plan)
        self.known = {}
        for one in (self.a, self.b):
            self.known[one.controller.id] = one.session._memory = Known()
        self.run = str(self.field("id"))

    def field(self, name: str) -> str | None:
        """A field of the run's record."""
        return self.place.plain.hget(self.place.key("larry:run"), name)

    def write(self, **fields: Any) -> None:
        """Changes the run's record as no script would."""
        self.place.plain.hset(self.place.key("larry:run"), mapping=fields)

    def record(self, kind: str, name: str, field: str) -> str | None:
        """A field of the record of a lease, task or Larry."""
        return self.place.plain.hget(self.place.key(f"larry:{kind}:{name}"), field)

    @property
    def end(self) -> Seen:
        """The end of the log, read by a plain client."""
        return Seen(self.run, *(int(self.field(name) or 0) for name in ("epoch", "seq", "seq_at")))

    def call(self, one: Any, script: str, operation: str | None = None, **arguments: Any) -> dict[str, Any]:
        """What a script answers to a controller."""
        return one.session.call(script, arguments, operation)

    def after(self, seen: Seen | None, script: str = "event_publish", **arguments: Any) -> str:
        """How a call of b ends that has seen this: its status, or why it is refused."""
        self.known[self.b.controller.id].seen = seen
        try:
            return self.call(self.b, script, **(arguments or {"event": "mine"}))["status"]
        except HistoryLost as error:
            return error.facts["why"]
        except NotJoined as error:
            return error.facts["status"]
        finally:
            self.known[self.b.controller.id].seen = None

    def claim(self, worker: str = "x1", ttl_ms: int = 5_000) -> tuple[str, str]:
        """Task and fence of a claim of a."""
        reply = self.call(self.a, "task_claim", worker=worker, ttl_ms=ttl_ms)
        return reply["task"], reply["fence"]

    def lock(self, name: str, ttl_ms: int = 5_000) -> dict[str, Any]:
        """A lock of the run, taken by a."""
        arguments = {"name": name, "slots": 1, "token": "t", "owner": "o", "ttl_ms": ttl_ms, "first": True}
        return self.call(self.a, "lock_acquire", **arguments)

    def missed(self, one: Any = None) -> None:
        """A call of a controller that did not reach the server before."""
        one = one or self.a
        one.session._missed = True
        self.call(one, "phase_turn", larry="x")


@pytest.fixture
def group(
    place: Any,
    crew: Any,
    plan_of: Any,
    clock: Clock,
) -> Callable[..., Group]:
    """Return a function that makes a group; planned seconds are real ones."""

    def make(work: list[dict[str, Any]] | None = None, **options: Any) -> Group:
        larrys = {"x": {"x1": ["cap"], "x2": ["cap"]}, "y": {"y1": ["cap"]}}
        tasks = work or [{"id": "t0"}, {"id": "t1"}]
        made = Group(place, crew, plan_of(larrys, tasks, **{"time_scale": 1.0, **options}))
        clock.advance(10)
        return made

    return make


def moved(seen: Seen, **more: int) -> Seen:
    """What was seen, with other numbers: `epoch`, `seq`, `at` are added to."""
    return dataclasses.replace(seen, **{name: getattr(seen, name) + by for name, by in more.items()})


def test_whoever_has_seen_more_is_refused(group: Any) -> None:
    one = group()
    length = one.place.plain.xlen(one.place.key("larry:log"))
    for why, seen in (
        ("behind", moved(one.end, seq=1)),
        ("diverged", moved(one.end, at=1)),
        ("epoch", moved(one.end, epoch=1)),
        ("other_run", dataclasses.replace(one.end, run="another")),
    ):
        assert one.after(seen) == why
        one.place.plain.hdel(one.place.key("larry:run"), "lost")
    assert one.place.plain.xlen(one.place.key("larry:log")) == length
    assert one.after(one.end) == "published"
    assert one.place.plain.xlen(one.place.key("larry:log")) == length + 1


def test_an_entry_that_was_seen_must_be_in_the_log(group: Any, clock: Clock) -> None:
    one = group()
    seen = one.end
    for _number in range(3):
        clock.advance(1)
        one.call(one.a, "event_publish", event="mine")
    assert one.after(seen) == "published"
    assert one.after(moved(seen, at=1)) == "diverged"
    one.place.plain.hdel(one.place.key("larry:run"), "lost")
    one.place.plain.xdel(one.place.key("larry:log"), f"{seen.seq}-0")
    assert one.after(seen) == "diverged"


def test_nothing_there_is_a_loss_for_whoever_saw_a_run(group: Any) -> None:
    one = group()
    seen = one.end
    one.place.plain.delete(one.place.key("larry:run"))
    assert one.after(seen) == "gone"
    assert one.after(None) == "no_run"


def test_a_run_that_was_replaced_in_order_is_no_loss(group: Any) -> None:
    one = group()
    seen = one.end
    one.write(id="next", previous=one.run)
    one.place.plain.delete(one.place.key("larry:controllers"))
    assert one.after(seen) == "not_joined"
    assert one.after(dataclasses.replace(seen, run="another")) == "other_run"


def test_a_run_that_is_being_deleted_is_no_loss(group: Any) -> None:
    one = group()
    one.write(state="deleting")
    assert one.after(moved(one.end, seq=1)) == "no_run"


def test_a_loss_is_marked_once_and_for_everybody(group: Any) -> None:
    one = group()
    assert one.after(None) == "published"
    assert one.after(moved(one.end, seq=1)) == "behind"
    assert one.field("lost") == "behind"
    assert one.after(moved(one.end, at=1)) == "diverged"
    assert one.field("lost") == "behind"
    assert one.after(one.end) == "told"
    assert one.after(None) == "told"
    with pytest.raises(HistoryLost):
        one.a.session.call("run_join", {"digest": DIGEST, "host": "h", "pid": 1})


def test_a_finished_run_is_not_marked(group: Any) -> None:
    one = group()
    one.a.runs.finish("completed", "r", "h")
    assert one.after(moved(one.end, seq=1)) == "behind"
    assert one.field("lost") is None


def test_after_a_recovery_all_join_again(group: Any) -> None:
    one = group()
    seen = moved(one.end, seq=5)
    one.write(epoch="2")
    assert one.after(seen) == "other_epoch"
    assert one.after(seen, "run_join", digest=DIGEST, host="h", pid=1) == "joined"
    assert one.after(moved(seen, epoch=1, seq=-5)) == "published"


def test_a_keeper_that_has_seen_more_renews_nothing(group: Any, clock: Clock) -> None:
    one = group()
    task, _fence = one.claim()
    until = one.place.plain.pexpiretime(one.place.key(f"task:lock:{task}"))
    clock.advance(1_000)
    known = one.known[one.a.controller.id]
    known.seen = moved(one.end, seq=1)
    with pytest.raises(HistoryLost):
        one.call(one.a, "renew")
    assert one.place.plain.pexpiretime(one.place.key(f"task:lock:{task}")) == until
    one.place.plain.hdel(one.place.key("larry:run"), "lost")
    known.seen = one.end
    one.call(one.a, "renew")
    assert one.place.plain.pexpiretime(one.place.key(f"task:lock:{task}")) == until + 1_000


def test_a_lock_beside_a_lost_run_is_renewed(group: Any, place: Any, clock: Clock) -> None:
    one = group()
    one.write(lost="behind")
    session = place.session(Controller("alone", 1, "0", "host"))
    arguments = {"name": "db", "slots": 1, "token": "t", "owner": "o", "ttl_ms": 5_000, "first": True}
    assert session.call("lock_acquire", arguments)["status"] == "held"
    clock.advance(1_000)
    assert [answer["state"] for answer in session.call("renew")["answers"]] == ["kept"]
    assert place.plain.pexpiretime(place.key("lock:db")) == clock.now_ms + 5_000


def away(one: Group, clock: Clock, milliseconds: int) -> int:
    """A member calls, then the server is away; returns that time in microseconds."""
    clock.advance(600)  # so that the call is noted
    one.call(one.a, "phase_turn", larry="x")
    assert int(one.field("alive_at") or 0) == clock.now_us
    clock.advance(milliseconds)
    return milliseconds * 1_000


def test_the_time_of_an_absence_counts_for_nobody(group: Any, clock: Clock) -> None:
    one = group(phase_s=100.0)
    task, fence = one.claim()
    hard, since = int(one.record("lease", f"task/{task}", "hard")), one.record("lease", f"task/{task}", "since")
    deadline = int(one.record("larry", "x", "deadline"))
    meeting = {"name": "m", "member": "x", "members": ["x", "y"], "policy": "wait", "token": "t", "first": True}
    one.call(one.a, "barrier_meet", **meeting, ttl_ms=5_000, join_within_us=10**9)
    arrived = int(one.record("lease", "arrival/m/x", "since"))
    # A resource that somebody else holds by now, and one that nobody holds, are left over in b's list.
    held = one.place.key(f"larry:held:{one.b.controller.id}")
    one.place.plain.sadd(held, f"task/{task}", "task/t1")
    one.place.plain.hset(one.place.key("larry:lease:task/t1"), "controller", one.b.controller.id)
    gap = away(one, clock, 20_000)
    one.missed()
    assert one.call(one.a, "task_checkpoint", task=task, fence=fence)["status"] == "held"
    assert one.place.plain.pexpiretime(one.place.key(f"task:lock:{task}")) == clock.now_ms + 5_000
    assert int(one.record("lease", f"task/{task}", "hard")) == hard + gap
    assert one.record("lease", f"task/{task}", "since") == since
    assert int(one.record("lease", "arrival/m/x", "since")) == arrived + gap
    assert int(one.record("larry", "x", "deadline")) == deadline + gap
    assert one.place.plain.zscore(one.place.key("larry:timers"), "phase:x") == deadline + gap
    (told,) = one.place.log("server_away")
    assert told["seconds"] == 20
    # Three slots of workers, two of Larrys, the task and the arrival, each once.
    assert told["kept"] == 7


def test_an_absence_is_two_things_together(group: Any, clock: Clock) -> None:
    one = group()
    away(one, clock, 20_000)
    one.call(one.a, "phase_turn", larry="x")  # a long silence, and nobody missed the server
    away(one, clock, 1_000)
    one.missed()
    away(one, clock, 6_000)
    one.place.plain.script_flush()  # a short silence
    one.call(one.a, "phase_turn", larry="x")
    assert one.place.log("server_away") == []
    away(one, clock, 1_001)
    one.missed()
    assert len(one.place.log("server_away")) == 1
    away(one, clock, 6_001)
    one.place.plain.script_flush()
    one.call(one.a, "phase_turn", larry="x")
    assert len(one.place.log("server_away")) == 2


def test_a_run_that_nobody_has_used_has_missed_nothing(group: Any) -> None:
    one = group()
    one.place.plain.hdel(one.place.key("larry:run"), "alive_at")
    one.place.plain.script_flush()
    one.missed()
    assert "server_away" not in one.place.names()


def test_what_had_lapsed_before_is_not_brought_back(group: Any, clock: Clock) -> None:
    one = group()
    one.lock("early", ttl_ms=1_000)
    one.lock("late", ttl_ms=5_000)
    clock.advance(1_000)
    away(one, clock, 20_000)
    one.missed()
    assert (one.place.get("lock:early"), one.place.get("lock:late")) == (None, "o")


def test_a_key_that_somebody_set_meanwhile_is_honoured(group: Any, clock: Clock) -> None:
    one = group()
    task, fence = one.claim()
    away(one, clock, 20_000)
    until = clock.now_ms + 50_000
    one.place.plain.set(one.place.key(f"task:lock:{task}"), "stranger", pxat=until)
    one.missed()
    assert one.place.get(f"task:lock:{task}") == "stranger"
    assert one.place.plain.pexpiretime(one.place.key(f"task:lock:{task}")) == until
    assert one.call(one.a, "task_checkpoint", task=task, fence=fence)["status"] == "lost"


def test_the_time_of_a_phase_moves_only_while_it_runs(group: Any, clock: Clock) -> None:
    one = group([{"id": "t0"}, {"id": "t1", "larry": "y"}], phase_s=100.0)
    task, fence = one.claim()
    one.call(one.a, "task_settle", task=task, fence=fence, outcome="completed", worker="x1")
    one.call(one.a, "phase_turn", larry="x", finish=True)
    one.call(one.b, "control", verb="pause", scope="larry", names=["y"])
    before = [one.record("larry", larry, "deadline") for larry in ("x", "y")]
    away(one, clock, 20_000)
    one.missed()
    assert [one.record("larry", larry, "deadline") for larry in ("x", "y")] == before
    assert one.place.plain.zscore(one.place.key("larry:timers"), "phase:x") is None


def test_a_finished_run_is_left_as_it_is(group: Any, clock: Clock) -> None:
    one = group()
    one.a.runs.finish("completed", "r", "h")
    before, until = one.field("alive_at"), one.record("lease", "slot/x", "deadline")
    clock.advance(20_000)
    one.missed()
    assert (one.field("alive_at"), one.record("lease", "slot/x", "deadline")) == (before, until)


def test_a_call_is_noted_at_most_twice_a_second(group: Any, clock: Clock) -> None:
    one = group()
    away(one, clock, 0)
    before = one.field("alive_at")
    clock.advance(500)
    one.call(one.a, "phase_turn", larry="x")
    assert one.field("alive_at") == before
    clock.advance(1)
    one.call(one.a, "phase_turn", larry="x")
    assert one.field("alive_at") == str(clock.now_us)


def recover(one: Group, operation: str | None = None, seen: Seen | None = None, **more: Any) -> dict[str, Any]:
    """What the recovery answers to somebody who knows of this."""
    known = seen.sent() if seen else None
    return one.b.session.call("run_recover", {"digest": DIGEST, "known": known, **more}, operation)


def test_a_recovery_frees_everything_of_the_run(group: Any, place: Any, clock: Clock) -> None:
    one = group()
    one.claim()
    _task, fence = one.claim("x2")
    one.place.plain.hset(one.place.key("larry:task:t1"), "state", "completed")  # as if it had been settled
    one.lock("own")
    beside = place.session(one.a.controller)
    arguments = {"name": "beside", "slots": 1, "token": "t", "owner": "o", "ttl_ms": 50_000, "first": True}
    beside.call("lock_acquire", arguments)
    held = one.place.key(f"larry:held:{one.b.controller.id}")
    one.place.plain.sadd(held, "task/t9")
    one.place.plain.hset(one.place.key("larry:lease:task/t9"), "fence", "1")  # nobody holds it any more
    reply = recover(one, force=True)
    # Three slots of workers, two of Larrys, two tasks, one lock.
    assert (reply["status"], reply["epoch"], reply["voided"]) == ("recovered", "2", 8)
    assert (one.place.get("lock:own"), one.place.get("lock:beside")) == (None, "o")
    assert (one.record("task", "t0", "state"), one.record("task", "t1", "state")) == ("ready", "completed")
    assert one.place.get("task:lock:t0") is None and int(fence) > 0
    assert one.field("epoch") == "2" and not one.place.plain.exists(one.place.key("larry:controllers"))
    assert one.after(None) == "not_joined"


def test_a_recovery_sent_again_is_one(group: Any) -> None:
    one = group()
    first = recover(one, "op", force=True)
    assert recover(one, "op", force=True) == first
    assert one.field("epoch") == "2"
    assert [entry["epoch"] for entry in one.place.log("run_recovered")] == [2]


def test_only_what_is_lost_is_recovered(group: Any, clock: Clock) -> None:
    one = group()
    assert recover(one)["status"] == "whole"
    assert recover(one, seen=one.end)["status"] == "whole"
    one.write(previous="before")
    assert recover(one, seen=dataclasses.replace(one.end, run="before"))["status"] == "whole"
    for seen in (moved(one.end, seq=1), dataclasses.replace(one.end, run="another")):
        assert recover(one, seen=seen, probe=True)["status"] == "would_recover"
    one.write(lost="behind")  # another machine noticed what this one knows nothing of
    assert recover(one, seen=one.end, probe=True)["status"] == "would_recover"
    assert one.field("epoch") == "1" and one.field("lost") == "behind"
    assert recover(one, seen=one.end)["status"] == "recovered"
    assert one.field("lost") is None


@pytest.mark.parametrize("there, known, opened", [(1, 4, "5"), (6, 4, "7")])
def test_an_epoch_follows_all_that_are_known(group: Any, there: int, known: int, opened: str) -> None:
    one = group()
    one.write(epoch=str(there))
    assert recover(one, seen=dataclasses.replace(one.end, epoch=known), force=True)["epoch"] == opened


def test_a_recovery_waits_for_the_clock(group: Any, clock: Clock) -> None:
    one = group()
    seen = dataclasses.replace(one.end, seq=999, at=clock.now_us + 2_000)
    assert recover(one, seen=seen)["status"] == "clock_behind"
    clock.advance(2)
    assert recover(one, seen=seen)["status"] == "clock_behind"
    assert one.field("epoch") == "1"
    clock.advance(1)
    assert recover(one, seen=seen)["status"] == "recovered"


def test_a_recovery_is_not_for_every_run(group: Any) -> None:
    one = group()
    assert recover(one, digest="other", force=True)["status"] == "other_digest"
    for state, status in (("creating", "abandoned"), ("deleting", "abandoned"), ("finished", "finished")):
        one.write(state=state)
        assert recover(one, force=True)["status"] == status
    assert one.field("epoch") == "1"
    one.place.plain.delete(one.place.key("larry:run"))
    assert recover(one, force=True)["status"] == "absent"
    assert not one.place.plain.exists(one.place.key("larry:run"))


def deliver(one: Group, *records: dict[str, Any]) -> dict[str, Any]:
    """Delivers records of a journal."""
    return one.call(one.b, "journal_deliver", records=list(records))


def test_a_record_of_a_journal_is_taken_in_once(group: Any) -> None:
    one = group()
    told = {"kind": "event", "op": "op", "event": "told", "from": "h", "run": one.run, "data": '"n": 1'}
    assert deliver(one, told)["taken"] == 1
    assert deliver(one, told, {**told, "op": "op2"})["taken"] == 1
    # Its call had arrived after all.
    one.call(one.a, "event_publish", "op3", event="told", data='"n": 2', journal=True)
    assert deliver(one, {**told, "op": "op3", "data": '"n": 2'})["taken"] == 0
    assert [entry["n"] for entry in one.place.log("told")] == [1, 1, 2]


def test_a_finished_run_takes_no_journal(group: Any) -> None:
    one = group()
    one.a.runs.finish("completed", "r", "h")
    assert deliver(one, {"kind": "event", "op": "op", "event": "told"})["status"] == "not_running"
    assert not one.place.plain.exists(one.place.key("larry:published"))


def test_progress_of_a_journal_is_for_whoever_holds_the_task(group: Any, clock: Clock) -> None:
    one = group()
    task, fence = one.claim()
    number = 0

    def shown(percent: int, **more: Any) -> str | None:
        nonlocal number
        number += 1
        record = {"kind": "progress", "op": f"op{number}", "task": task, "fence": fence, "percent": percent}
        assert deliver(one, {**record, "controller": one.a.controller.id, **more})["taken"] == 1
        return one.record("task", task, "partial")

    half = shown(50)
    full = shown(100)
    assert int(full or 0) == 2 * int(half or 0) > 0
    assert shown(50) == half
    assert shown(90, fence=str(int(fence) - 1)) == half
    assert shown(90, controller=one.b.controller.id) == half
    assert shown(90, task="another") == half
    assert shown(500) == full
    assert shown(-40) == "0"
    assert shown(50) == half
    clock.advance(5_000)  # the lease has lapsed, and nobody has put it away yet
    assert shown(90) == half
