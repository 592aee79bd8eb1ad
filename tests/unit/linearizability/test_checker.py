# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checker of histories: right ones are accepted, each kind of wrong one is found, and a plain search agrees."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
from checker import Model, Operation, check, shortest, until
from hypothesis import given, settings
from hypothesis import strategies as st
from models import LockModel, RegisterModel

TTL_MS = 1000
SECOND = 1_000_000


class History:
    """Builds a history; times are in milliseconds, and the server's clock is the callers'."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def add(self, kind: str, call: float, back: float | None, result: Any = None, **arguments: Any) -> History:
        """An operation from `call` to `back`; None is one without an answer."""
        end = float("inf") if back is None else back * 1000
        self.operations.append(
            Operation(
                len(self.operations) + 1, "p", "lock/l", kind, arguments, result, call * 1000, end, call * 1000, end
            )
        )
        return self

    def acquire(self, token: str, call: float, back: float | None, fence: int = 0, at: float = 0.0) -> History:
        """Granted at the moment `at`, or without an answer."""
        granted = {"status": "held", "fence": fence, "deadline": int(at + TTL_MS) * 1000}
        return self.add("acquire", call, back, None if back is None else granted, token=token, ttl_ms=TTL_MS)

    def busy(self, token: str, call: float, back: float, fence: int, deadline: float) -> History:
        """Refused, since somebody else holds it."""
        holders = [{"fence": fence, "deadline": int(deadline) * 1000}]
        return self.add("acquire", call, back, {"status": "busy", "holders": holders}, token=token, ttl_ms=TTL_MS)

    def extend(self, token: str, call: float, back: float | None, fence: int = 0, at: float = 0.0) -> History:
        """Extended at the moment `at`."""
        kept = {"status": "held", "fence": fence, "deadline": int(at + TTL_MS) * 1000}
        return self.add("extend", call, back, None if back is None else kept, token=token, ttl_ms=TTL_MS)

    def release(self, token: str, call: float, back: float | None, fence: int = 0) -> History:
        """Released."""
        gone = {"status": "released", "released": [{"fence": fence}], "holders": []}
        return self.add("release", call, back, None if back is None else gone, token=token)

    def nothing(self, kind: str, token: str, call: float, back: float) -> History:
        """A release, an extension or a force that found nothing to do."""
        answer = {"status": "not_held", "holders": [], "released": []}
        return self.add(kind, call, back, answer, token=token, ttl_ms=TTL_MS)

    def force(self, call: float, back: float | None, fence: int = 0) -> History:
        """Taken from whoever held it."""
        gone = {"status": "released", "released": [{"fence": fence}], "holders": []}
        return self.add("force", call, back, None if back is None else gone, token="")

    def look(self, token: str, call: float, back: float, last: int, *holders: tuple[int, float], mine: bool) -> History:
        """Seen."""
        shown = [{"fence": fence, "deadline": int(deadline) * 1000} for fence, deadline in holders]
        answer = {"status": "seen", "last": last, "holders": shown, "mine": mine}
        return self.add("look", call, back, answer, token=token)

    def claim(self, call: float, back: float, fence: int, value: int | None) -> History:
        """Of a register; None is refused."""
        return self.add("claim", call, back, {"accepted": value is not None, "value": value or 0}, fence=fence)

    def write(self, call: float, back: float | None, fence: int, value: int, accepted: bool = True) -> History:
        """Of a register."""
        answer = None if back is None else {"accepted": accepted, "value": value}
        return self.add("write", call, back, answer, fence=fence, value=value)


def plain_search(history: list[Operation], model: Model) -> bool:
    """Tries every order; shares the model with the checker and nothing else."""

    def go(state: Any, clock: float, left: list[Operation]) -> bool:
        if all(one.pending for one in left):
            return True
        for one in left:
            if any(other.back < one.call for other in left):
                continue
            outcome = model.step(state, clock, one)
            if outcome is not None and go(*outcome, [other for other in left if other is not one]):
                return True
        return False

    return go(model.initial(), float("-inf"), history)


RIGHT = {
    "nothing at all": History(),
    "one after the other": History().acquire("a", 0, 1, 10, 0.5).release("a", 2, 3, 10).acquire("b", 4, 5, 20, 4.5),
    "both at once, one waits for the other's release": (
        History().acquire("a", 0, 9, 10, 0.5).acquire("b", 0, 9, 20, 3.5).release("a", 1, 4, 10)
    ),
    "an answer before the grant that it shows has come back": (
        History().acquire("a", 0, 50, 10, 0.5).busy("b", 1, 2, 10, 1000).release("a", 51, 52, 10)
    ),
    "a lapse": (
        History().acquire("a", 0, 1, 10, 0.5).acquire("b", 1000, 1002, 20, 1001).nothing("extend", "a", 1003, 1004)
    ),
    "an extension moves the lapse": (
        History().acquire("a", 0, 1, 10, 0).extend("a", 900, 901, 10, 900).busy("b", 1500, 1501, 10, 1900)
        .acquire("b", 1900, 1901, 20, 1900)
    ),
    "taken by force": (
        History().acquire("a", 0, 1, 10, 0).force(2, 3, 10).acquire("b", 4, 5, 20, 4).nothing("extend", "a", 6, 7)
    ),
    "the process was killed before its call arrived": History().acquire("a", 0, None).acquire("b", 1, 2, 10, 1),
    "the process was killed before its answer arrived": (
        History().acquire("a", 0, None).busy("b", 10, 11, 7, 1003).acquire("b", 1003, 1004, 20, 1003)
    ),
    "it was killed in a release that happened much later": (
        History().acquire("a", 0, 1, 10, 0).release("a", 2, None).busy("b", 3, 4, 10, 1000).acquire("b", 5, 6, 20, 5)
    ),
    "it was killed in an extension that happened": (
        History().acquire("a", 0, 1, 10, 0).extend("a", 2, None).busy("b", 500, 501, 10, 1400)
    ),
    "stopped for longer than the lease": (
        History().acquire("a", 0, 3000, 10, 0.5).acquire("b", 1500, 1501, 20, 1500).nothing("extend", "a", 3001, 3002)
    ),
    "the same holder again": (
        History().acquire("a", 0, 1, 10, 0)
        .add("acquire", 2, 3, {"status": "held", "fence": 10, "deadline": TTL_MS * 1000, "already": True}, token="a",
             ttl_ms=TTL_MS)
    ),
    "granted, lost, asked again too late": (
        History().add("acquire", 0, 2000, {"status": "over", "fence": 10}, token="a", ttl_ms=TTL_MS)
        .busy("b", 100, 101, 10, 1050).acquire("c", 1100, 1101, 20, 1100)
    ),
    "a look sees it come and go": (
        History().look("b", 0, 1, 0, mine=False).acquire("a", 2, 3, 10, 2).look("b", 4, 5, 10, (10, 1002), mine=False)
        .look("a", 6, 7, 10, (10, 1002), mine=True).look("b", 1002, 1003, 10, mine=False)
    ),
}  # fmt: skip

WRONG = {
    "two holders": History().acquire("a", 0, 1, 10, 0).acquire("b", 2, 3, 20, 2),
    "it lapsed before its deadline": History().acquire("a", 0, 1, 10, 0).acquire("b", 990, 995, 20, 992),
    "it is held beyond its deadline": History().acquire("a", 0, 1, 10, 0).busy("b", 1001, 1002, 10, 1000),
    "a fence for the second time": (
        History().acquire("a", 0, 1, 10, 0).release("a", 2, 3, 10).acquire("b", 4, 5, 10, 4)
    ),
    "a smaller fence": History().acquire("a", 0, 1, 10, 0).release("a", 2, 3, 10).acquire("b", 4, 5, 9, 4),
    "a release that did nothing": (
        History().acquire("a", 0, 1, 10, 0).release("a", 2, 3, 10).busy("b", 4, 5, 10, 1000)
    ),
    "a stranger releases": History().acquire("a", 0, 1, 10, 0).release("b", 2, 3, 10),
    "a stranger extends": History().acquire("a", 0, 1, 10, 0).extend("b", 2, 3, 10, 2),
    "a stale holder releases the next one's": (
        History().acquire("a", 0, 1, 10, 0).acquire("b", 1000, 1001, 20, 1000).release("a", 1002, 1003, 20)
    ),
    "a lapsed lease is extended": History().acquire("a", 0, 1, 10, 0).extend("a", 1500, 1501, 10, 1500),
    "an extension that was not kept": (
        History().acquire("a", 0, 1, 10, 0).extend("a", 900, 901, 10, 900).acquire("b", 1100, 1101, 20, 1100)
    ),
    "a deadline too early": History().acquire("a", 100, 101, 10, 50),
    "a deadline too late": History().acquire("a", 100, 101, 10, 150),
    "another deadline than was granted": History().acquire("a", 0, 1, 10, 0).busy("b", 2, 3, 10, 1500),
    "another fence than was granted": History().acquire("a", 0, 1, 10, 0).busy("b", 2, 3, 11, 1000),
    "held by nobody": History().busy("b", 2, 3, 10, 1000),
    "a holder is refused for itself": History().acquire("a", 0, 1, 10, 0).busy("a", 2, 3, 10, 1000),
    "a holder is told that it holds nothing": History().acquire("a", 0, 1, 10, 0).nothing("release", "a", 2, 3),
    "nothing to take by force": History().acquire("a", 0, 1, 10, 0).nothing("force", "", 2, 3),
    "force on what is free": History().acquire("a", 0, 1, 10, 0).release("a", 2, 3, 10).force(4, 5, 10),
    "a killed process that comes after everybody saw it was not there": (
        # The call came at 100, so it cannot have been what was seen at 50.
        History().busy("b", 50, 51, 7, 1040).acquire("a", 100, None)
    ),
    "a killed process holds it for longer than its ttl": (
        History().acquire("a", 0, None).busy("b", 100, 101, 7, 1200)
    ),
    "a killed process took it twice": (
        History().acquire("a", 0, None).busy("b", 10, 11, 7, 1003).busy("b", 1500, 1501, 8, 2400)
    ),
    "a look that sees what is over": (
        History().acquire("a", 0, 1, 10, 0).release("a", 2, 3, 10).look("b", 4, 5, 10, (10, 1000), mine=False)
    ),
    "a look that does not see what is there": (
        History().acquire("a", 0, 1, 10, 0).look("b", 4, 5, 10, mine=False)
    ),
    "a look that takes another's for its own": (
        History().acquire("a", 0, 1, 10, 0).look("b", 4, 5, 10, (10, 1000), mine=True)
    ),
    "a look whose fence went back": (
        History().acquire("a", 0, 1, 10, 0).release("a", 2, 3, 10).look("b", 4, 5, 9, mine=False)
    ),
    "granted twice to a call that was lost": (
        History().add("acquire", 0, 2000, {"status": "over", "fence": 10}, token="a", ttl_ms=TTL_MS)
        .busy("b", 100, 101, 10, 1050).busy("c", 1060, 1061, 12, 2055)
    ),
}  # fmt: skip

RIGHT_REGISTER = {
    "in the order of fences": History().claim(0, 1, 10, 0).write(2, 3, 10, 1).claim(4, 5, 20, 1).write(6, 7, 20, 2),
    "a stale writer is refused": (
        History().claim(0, 1, 10, 0).claim(2, 3, 20, 0).write(4, 5, 10, 1, accepted=False).write(6, 7, 20, 1)
    ),
    "a write without an answer": History()
    .claim(0, 1, 10, 0)
    .write(2, None, 10, 1)
    .claim(4, 5, 20, 0)
    .claim(6, 7, 30, 0),
    "a write without an answer that is seen": History().claim(0, 1, 10, 0).write(2, None, 10, 1).claim(4, 5, 20, 1),
}
WRONG_REGISTER = {
    "a stale write is accepted": History().claim(0, 1, 10, 0).claim(2, 3, 20, 0).write(4, 5, 10, 1),
    "a fresh write is refused": History().claim(0, 1, 10, 0).write(4, 5, 10, 1, accepted=False),
    "an update is lost": History().claim(0, 1, 10, 0).write(2, 3, 10, 1).claim(4, 5, 20, 0),
    "a claim below one that was accepted": History().claim(0, 1, 20, 0).claim(2, 3, 10, 0),
    "a write without an answer that is seen and gone again": (
        History().claim(0, 1, 10, 0).write(2, None, 10, 1).claim(4, 5, 20, 1).claim(6, 7, 30, 0)
    ),
}


def cases() -> list[Any]:
    """(history, model, verdict) with names."""
    return [
        pytest.param(history.operations, model, right, id=name)
        for histories, model, right in (
            (RIGHT, LockModel(), True),
            (WRONG, LockModel(), False),
            (RIGHT_REGISTER, RegisterModel(), True),
            (WRONG_REGISTER, RegisterModel(), False),
        )
        for name, history in histories.items()
    ]


@pytest.mark.parametrize(("history", "model", "right"), cases())
def test_histories_made_by_hand(history: list[Operation], model: Model, right: bool) -> None:
    assert check(history, model).linearizable is right
    assert plain_search(history, model) is right
    # The order in which operations were read in means nothing.
    assert check(history[::-1], model).linearizable is right


def test_the_order_that_explains_a_history_is_told() -> None:
    verdict = check(RIGHT["both at once, one waits for the other's release"].operations, LockModel())
    assert verdict.order == (1, 3, 2)
    verdict = check(WRONG["two holders"].operations, LockModel())
    assert (verdict.order, verdict.stuck and verdict.stuck.number) == ((1,), 2)


def test_a_search_without_end_is_given_up() -> None:
    history = History()
    for number in range(12):
        history.add("write", 0, None, fence=number + 1, value=number)
    history.claim(1, 2, 100, 99)
    assert check(history.operations, RegisterModel(), most_states=500).linearizable is None
    assert check(history.operations, RegisterModel()).linearizable is False


def test_a_wrong_history_is_made_short() -> None:
    """Much that is right before, beside and after what is wrong: two operations remain."""
    history = History()
    for number in range(20):
        begin = number * 10
        history.acquire(f"t{number}", begin, begin + 1, number + 1, begin).busy(
            "x", begin + 2, begin + 3, number + 1, begin + 1000
        )
        history.release(f"t{number}", begin + 4, begin + 5, number + 1)
    history.acquire("a", 300, 301, 100, 300).look("z", 302, 303, 100, (100, 1300), mine=False)
    history.acquire("b", 304, 305, 101, 304)
    for number in range(20):
        history.nothing("release", "q", 2000 + number, 2000.5 + number)
    left = shortest(history.operations, LockModel())
    assert [(one.kind, one.arguments["token"]) for one in left] == [("acquire", "a"), ("acquire", "b")]
    assert check(left, LockModel()).linearizable is False


@dataclasses.dataclass
class RealLock:
    """A lock that is right, written a second time and in another way: it is asked moment by moment, in order."""

    token: str | None = None
    fence: int = 0
    deadline: int = 0

    def ask(self, kind: str, token: str, now: int) -> dict[str, Any]:
        """The answer at a moment in microseconds."""
        if self.token is not None and now >= self.deadline:
            self.token = None
        shown = [] if self.token is None else [{"fence": self.fence, "deadline": self.deadline}]
        granted = (now // 1000 + TTL_MS) * 1000
        if kind == "look":
            return {"status": "seen", "holders": shown, "mine": self.token == token, "last": self.fence}
        if kind == "acquire" and self.token is None:
            self.token, self.fence, self.deadline = token, max(self.fence + 1, now), granted
            return {"status": "held", "fence": self.fence, "deadline": granted}
        if kind == "acquire" and self.token == token:
            return {"status": "held", "already": True, **shown[0]}
        if kind == "acquire":
            return {"status": "busy", "holders": shown}
        if kind == "extend" and self.token == token:
            self.deadline = granted
            return {"status": "held", "fence": self.fence, "deadline": granted}
        if kind == "extend" or self.token is None or (kind == "release" and self.token != token):
            return {"status": "not_held", "holders": shown if kind == "release" else [], "released": []}
        self.token = None
        return {"status": "released", "holders": [], "released": [{"fence": shown[0]["fence"]}]}


@st.composite
def recorded(draw: st.DrawFn, most: int) -> list[Operation]:
    """A history of a lock that is right: moments in order, calls before and returns after them, some answers lost."""
    lock, found, now = RealLock(), [], 0
    for number in range(draw(st.integers(1, most))):
        now += draw(st.sampled_from([1, 700, 300_000, 1_000_000]))
        kind = draw(st.sampled_from(["acquire", "acquire", "extend", "release", "force", "look"]))
        token = draw(st.sampled_from("abc"))
        answer = lock.ask(kind, token, now)
        lost = draw(st.integers(0, 5)) == 0
        call = now - draw(st.sampled_from([0, 1, 500, 400_000]))
        back = float("inf") if lost else now + draw(st.sampled_from([0, 1, 500, 400_000]))
        arguments = {"token": token, "ttl_ms": TTL_MS}
        found.append(
            Operation(number, token, "lock/l", kind, arguments, None if lost else answer, call, back, call, back)
        )
    return found


@settings(max_examples=200, deadline=None)
@given(recorded(most=30))
def test_whatever_a_right_lock_answers_is_linearizable(history: list[Operation]) -> None:
    assert check(history, LockModel()).linearizable is True


def falsified(history: list[Operation], place: int, how: int) -> list[Operation]:
    """The history with one answer changed; it may be right still."""
    one = history[place % len(history)]
    answer = {"status": "not_held", "holders": [], "released": [], "last": 0, "mine": False} | (one.result or {})
    changes = [
        {"fence": answer.get("fence", 0) + 1},
        {"fence": 1},
        {"deadline": answer.get("deadline", 0) + 5_000},
        {"status": "not_held", "holders": [], "released": [], "last": 0, "mine": False},
        {"status": "busy", "holders": [{"fence": 1, "deadline": 1_000_000}]},
    ]
    answer |= changes[how % len(changes)]
    if one.kind == "acquire" and answer["status"] == "not_held":
        answer["status"] = "held"
    if answer["status"] == "held" and not {"fence", "deadline"} <= set(answer):
        answer |= {"fence": 5, "deadline": 2_000_000}
    if answer["status"] == "busy" and one.kind != "acquire":
        answer["status"] = "not_held"
    back = one.back if not one.pending else one.call + 1
    changed = dataclasses.replace(one, result=answer, back=back, latest=back)
    return [changed if other is one else other for other in history]


@settings(max_examples=300, deadline=None)
@given(recorded(most=6), st.integers(0, 100), st.integers(0, 100))
def test_a_plain_search_agrees_about_falsified_histories(history: list[Operation], place: int, how: int) -> None:
    changed = falsified(history, place, how)
    right = plain_search(changed, LockModel())
    assert check(changed, LockModel()).linearizable is right
    if not right:
        left = shortest(changed, LockModel())
        assert not plain_search(left, LockModel())


@settings(max_examples=100, deadline=None)
@given(recorded(most=12), st.data())
def test_what_is_left_out_to_shorten_makes_no_right_history_wrong(
    history: list[Operation], data: st.DataObject
) -> None:
    model = LockModel()
    groups = [*model.together(history), *({one.number} for one in history if model.passive(one))]
    out = set(itertools.chain.from_iterable(data.draw(st.lists(st.sampled_from(groups or [set()])))))
    assert check([one for one in history if one.number not in out], model).linearizable is True


@settings(max_examples=100, deadline=None)
@given(recorded(most=12), st.floats(0, 5e6))
def test_each_beginning_of_a_right_history_is_right(history: list[Operation], moment: float) -> None:
    assert check(until(history, moment), LockModel()).linearizable is True
