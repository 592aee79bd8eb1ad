# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Barriers: together or not at all, the dead noticed at once, one outcome for each generation."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.cortex.larry.plugins.module_utils._coordination.barriers import BarrierService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import (
    BarrierFailed,
    Refused,
    SettingsError,
)

TWO = {"larry-01": {"w1": ["cap"]}, "larry-02": {"w2": ["cap"]}}
NAMES = ["larry-01", "larry-02"]


def service(place: Any, host: str = "h", **options: Any) -> BarrierService:
    return BarrierService(place.session(host=host, **options))


def together(calls: list[Callable[[], Any]]) -> list[Any]:
    """Results, or what was raised, of calls made at once."""
    out: list[Any] = [None] * len(calls)

    def run(place: int) -> None:
        try:
            out[place] = calls[place]()
        except Exception as error:
            out[place] = error

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return out


def test_nobody_passes_early_and_all_pass_together(place: Any) -> None:
    count, loops = 16, 3
    arrived = [0] * loops
    guard = threading.Lock()
    early: list[int] = []

    def member(number: int) -> list[int]:
        one = service(place, f"h{number}")
        generations = []
        for loop in range(loops):
            with guard:
                arrived[loop] += 1
            reply = one.meet("b", count=count, timeout_s=25, keep=False)
            with guard:
                if arrived[loop] < count:
                    early.append(loop)
            generations.append(reply["generation"])
        return generations

    answers = together([lambda number=number: member(number) for number in range(count)])
    assert answers == [[1, 2, 3]] * count
    assert early == []
    log = [entry["m"] for _id, entry in place.plain.xrange(place.key("larry:standalone:log"))]
    assert sum('"barrier_open"' in text for text in log) == loops


def test_thirty_two_wait_for_the_last(place: Any) -> None:
    waiting = [service(place, f"h{number}") for number in range(31)]
    done: list[float] = []
    threads = [
        threading.Thread(target=lambda one=one: done.append(one.meet("b", count=32, timeout_s=30)["generation"]))
        for one in waiting
    ]
    for thread in threads:
        thread.start()
    time.sleep(1.0)
    assert done == []
    service(place, "last").meet("b", count=32)
    for thread in threads:
        thread.join(20)
    assert done == [1] * 31


def test_by_names(place: Any) -> None:
    calls = [
        lambda name=name: service(place, name).meet("b", member=name, members=["x", "y", "z"], timeout_s=20)
        for name in ("x", "y", "z")
    ]
    assert [reply["members"] for reply in together(calls)] == [["x", "y", "z"]] * 3


def test_a_name_that_is_no_member_is_refused(place: Any) -> None:
    with pytest.raises(Refused, match="q is not among the members"):
        service(place).meet("b", member="q", members=["x"])


def test_who_expects_others_is_refused(place: Any) -> None:
    service(place, "a").meet("b", count=2, turn_s=0)
    with pytest.raises(Refused, match="expects 2"):
        service(place, "c").meet("b", count=3, turn_s=0)
    with pytest.raises(Refused, match="same members or the same count"):
        service(place, "c").meet("b", member="x", members=["x", "y"], turn_s=0)


@pytest.mark.parametrize("options", [{}, {"count": 2, "members": ["a"]}, {"count": 0}, {"count": 1, "policy": "hope"}])
def test_bad_arguments_are_refused(place: Any, options: Any) -> None:
    with pytest.raises(SettingsError):
        service(place).meet("b", **options)


def test_one_is_enough_where_one_is_expected(place: Any) -> None:
    assert service(place).meet("b", count=1)["status"] == "open"


def test_the_time_out_names_who_is_missing_and_withdraws(place: Any) -> None:
    with pytest.raises(BarrierFailed, match=r"did not open within 0.3 s: 1 of 2 arrived. Missing: y: has not arrived"):
        service(place, "a").meet("b", member="x", members=["x", "y"], timeout_s=0.3)
    assert place.plain.exists(place.key("larry:arrived:b")) == 0
    reply = service(place, "c").meet("b", member="y", members=["x", "y"], turn_s=0)
    assert reply["status"] == "waiting"


def test_a_generation_keeps_its_outcome(place: Any) -> None:
    first, second = service(place, "a"), service(place, "b")
    assert first.meet("b", count=2, turn_s=0)["generation"] == 1
    assert second.meet("b", count=2, turn_s=0)["status"] == "open"
    for _number in range(3):
        assert first.meet("b", count=2, generation=1)["status"] == "open"
    assert first.meet("b", count=2, turn_s=0)["generation"] == 2
    with pytest.raises(Refused, match="not its next one"):
        first.meet("b", count=2, generation=9, turn_s=0)


@pytest.mark.parametrize("who", ["the last", "a waiter"])
def test_an_arrival_whose_answer_was_lost_is_not_a_second_one(place: Any, who: str) -> None:
    """The client sends the very same command again (law 3), and the barrier has opened in between."""
    mine, other = service(place, "a"), service(place, "b")
    call = {
        "name": "b", "member": "a", "count": 2, "policy": "fail", "join_within_us": 1, "token": "T", "ttl_ms": 9000,
        "first": True,
    }  # fmt: skip
    if who == "the last":
        other.meet("b", count=2, turn_s=0)
    mine.session.call("barrier_meet", call, "op-1")
    if who == "a waiter":
        other.meet("b", count=2, turn_s=0)
    again = mine.session.call("barrier_meet", call, "op-1")
    assert (again["status"], again["generation"]) == ("open", 1)


def test_a_dead_member_is_noticed(place: Any) -> None:
    dead, other = service(place, "a"), service(place, "b")
    dead.meet("b", member="x", members=["x", "y", "z"], turn_s=0, ttl_ms=1000)
    began = time.monotonic()
    with pytest.raises(BarrierFailed, match="x: it arrived and no longer renews its arrival"):
        other.meet("b", member="y", members=["x", "y", "z"], timeout_s=20)
    assert time.monotonic() - began < 3


def test_a_waiter_hears_of_the_end_of_a_controller(place: Any) -> None:
    dead, other = service(place, "a"), service(place, "b")
    dead.meet("b", count=3, turn_s=0, ttl_ms=60_000)
    out: list[Any] = []
    thread = threading.Thread(target=lambda: out.append(together([lambda: other.meet("b", count=3, timeout_s=20)])[0]))
    thread.start()
    time.sleep(0.3)
    began = time.monotonic()
    dead.session.call("gone", {"cause": "killed"})
    thread.join(10)
    assert time.monotonic() - began < 2
    assert isinstance(out[0], BarrierFailed)


def test_a_name_with_a_slash_is_as_good(place: Any) -> None:
    dead, other = service(place, "a"), service(place, "b")
    other.meet("a/b", count=3, turn_s=0, ttl_ms=60_000)
    dead.meet("a/b", count=3, turn_s=0, ttl_ms=60_000)
    bell = place.plain.xrevrange(place.key("larry:bell:barrier:a/b"), count=1)
    dead.session.call("gone", {"cause": "killed"})
    assert place.plain.xrevrange(place.key("larry:bell:barrier:a/b"), count=1) != bell
    with pytest.raises(BarrierFailed):
        other.meet("a/b", count=3, turn_s=0)


def test_shrink_goes_on_without_the_dead(place: Any) -> None:
    dead, other, last = service(place, "a"), service(place, "b"), service(place, "c")
    options = {"members": ["x", "y", "z"], "policy": "shrink", "timeout_s": 20}
    other.meet("b", member="y", turn_s=0, ttl_ms=60_000, **options)
    dead.meet("b", member="x", turn_s=0, ttl_ms=1000, **options)
    time.sleep(1.1)
    reply = last.meet("b", member="z", **options)
    assert reply["members"] == ["y", "z"]
    assert [one["member"] for one in reply["missing"]] == ["x"]


def test_wait_waits_for_the_dead_to_come_back(place: Any) -> None:
    dead, other = service(place, "a"), service(place, "b")
    options = {"members": ["x", "y"], "policy": "wait"}
    dead.meet("b", member="x", turn_s=0, ttl_ms=1000, **options)
    time.sleep(1.1)
    assert other.meet("b", member="y", turn_s=0.1, **options)["status"] == "waiting"
    assert service(place, "again").meet("b", member="x", timeout_s=5, **options)["status"] == "open"


def test_yesterdays_dead_do_not_break_todays_barrier(place: Any) -> None:
    """A playbook was stopped while it waited. Started again, it must work."""
    yesterday = service(place, "a")
    yesterday.meet("b", count=2, turn_s=0)
    yesterday.session.call("gone", {"cause": "Ctrl-C"})
    first, second = service(place, "a"), service(place, "c")
    assert first.meet("b", count=2, turn_s=0)["status"] == "waiting"
    assert second.meet("b", count=2, turn_s=0)["status"] == "open"


def test_yesterdays_count_does_not_bind_today(place: Any) -> None:
    yesterday = service(place, "a")
    yesterday.meet("b", count=5, turn_s=0)
    yesterday.session.call("gone", {"cause": "Ctrl-C"})
    assert service(place, "a").meet("b", count=1, turn_s=0)["status"] == "open"


def test_a_member_that_arrived_elsewhere_is_not_doubled(place: Any) -> None:
    service(place, "a").meet("b", member="x", members=["x", "y"], turn_s=0)
    with pytest.raises(Refused, match="arrived at the barrier b from another controller"):
        service(place, "a").meet("b", member="x", members=["x", "y"], turn_s=0)


# --- the barrier of a run -------------------------------------------------------------------------------------------


def converge(one: Any, larry: str, **options: Any) -> Any:
    session = one.place.session(one.controller, larry, member=True)
    return BarrierService(session).meet("converge", member=larry, members=NAMES, **{"turn_s": 0, **options})


def test_not_yet_joined_is_not_dead(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(TWO, [{"id": "a"}])).lead("larry-01")
    reply = converge(one, "larry-01", join_within_s=300)
    assert reply["missing"] == [{"member": "larry-02", "why": "it has not joined yet"}]


def test_whoever_never_joins_is_dead_after_a_while(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(TWO, [{"id": "a"}])).lead("larry-01")
    time.sleep(0.3)
    with pytest.raises(BarrierFailed, match="larry-02: it did not join within 0 s"):
        converge(one, "larry-01", join_within_s=0.2)


def test_whoever_never_joins_is_noticed_while_waiting(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(TWO, [{"id": "a"}])).lead("larry-01")
    began = time.monotonic()
    with pytest.raises(BarrierFailed):
        converge(one, "larry-01", join_within_s=0.5, turn_s=None, timeout_s=4)
    assert time.monotonic() - began < 3


def test_a_dead_controller_breaks_it_at_once(place: Any, crew: Any, plan_of: Any) -> None:
    plan = plan_of(TWO, [{"id": "a"}])
    one, two = crew(plan).lead("larry-01"), crew(plan).lead("larry-02")
    out: list[Any] = []
    thread = threading.Thread(
        target=lambda: out.append(together([lambda: converge(one, "larry-01", turn_s=None, timeout_s=20)])[0])
    )
    thread.start()
    time.sleep(0.3)
    began = time.monotonic()
    two.session.call("gone", {"cause": "killed"})
    thread.join(10)
    assert time.monotonic() - began < 2
    assert "larry-02: its controller" in str(out[0])
    assert place.log("barrier_failed")[0]["missing"][0]["member"] == "larry-02"


def test_a_generation_advances_only_when_it_opens(place: Any, crew: Any, plan_of: Any) -> None:
    """A broken meeting is met again under the same number (law 7), so a run that was resumed can converge."""
    plan = plan_of(TWO, [{"id": "a"}])
    one, two = crew(plan).lead("larry-01"), crew(plan).lead("larry-02")
    two.session.call("gone", {"cause": "killed"})
    with pytest.raises(BarrierFailed):
        converge(one, "larry-01", generation=1)
    back = crew(plan).lead("larry-02")
    assert converge(one, "larry-01", generation=1)["status"] == "waiting"
    assert converge(back, "larry-02", generation=1)["generation"] == 1


def test_a_standby_keeps_it_whole(place: Any, crew: Any, plan_of: Any) -> None:
    """The others wait already when a controller dies whose standby is there: the standby goes on, nothing breaks."""
    plan = plan_of(TWO, [{"id": "a"}])
    one, two, standby = crew(plan).lead("larry-01"), crew(plan).lead("larry-02"), crew(plan)
    assert converge(one, "larry-01")["status"] == "waiting"
    assert standby.slots.take("larry-02")["status"] == "standby"
    two.session.call("gone", {"cause": "killed"})
    assert converge(one, "larry-01")["status"] == "waiting"
    standby.lead("larry-02")
    assert converge(standby, "larry-02")["status"] == "open"


def test_a_failed_phase_is_waited_for_while_its_controller_lives(place: Any, crew: Any, plan_of: Any) -> None:
    plan = plan_of(TWO, [{"id": "a", "larry": "larry-02"}])
    one, two = crew(plan).lead("larry-01"), crew(plan).lead("larry-02")
    two.do("w2", "failed", cause="no", retry=False)
    two.phases.turn("larry-02", finish=True)
    assert converge(one, "larry-01")["status"] == "waiting"
    two.slots.leave("larry-02")
    with pytest.raises(BarrierFailed, match="larry-02: its phase failed and its controller left"):
        converge(one, "larry-01")


def test_a_failed_larry_that_arrived_counts(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(TWO, [{"id": "a", "larry": "larry-02"}])).lead()
    one.do("w2", "failed", cause="no", retry=False)
    one.phases.turn("larry-02", finish=True)
    assert converge(one, "larry-02")["status"] == "waiting"
    assert converge(one, "larry-01")["status"] == "open"


def test_it_stays_shut_while_a_larry_is_paused(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(TWO, [{"id": "a"}])).lead()
    one.phases.control("pause", "larry", ["larry-02"])
    assert converge(one, "larry-01")["status"] == "waiting"
    assert converge(one, "larry-02")["missing"] == [{"member": "larry-02", "why": "it is paused"}]
    one.phases.control("resume", "larry", ["larry-02"])
    assert converge(one, "larry-02")["status"] == "open"
    assert place.log("barrier_open")[0]["members"] == NAMES


def test_a_pause_does_not_count_against_the_time_out(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(TWO, [{"id": "a"}])).lead()
    one.phases.control("pause", "larry", ["larry-02"])
    converge(one, "larry-01", timeout_s=0.4)
    time.sleep(0.6)
    assert converge(one, "larry-01", timeout_s=0.4)["status"] == "waiting"


def test_shrink_in_a_run(place: Any, crew: Any, plan_of: Any) -> None:
    plan = plan_of(TWO, [{"id": "a"}])
    one, two = crew(plan).lead("larry-01"), crew(plan).lead("larry-02")
    two.session.call("gone", {"cause": "killed"})
    assert converge(one, "larry-01", policy="shrink")["members"] == ["larry-01"]
    back = crew(plan).lead("larry-02")
    one.slots.leave("larry-01")
    assert converge(back, "larry-02", policy="shrink")["status"] == "open"
