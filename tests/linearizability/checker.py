# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides whether a recorded history of concurrent operations is linearizable; knows nothing of what is recorded.

A history is linearizable if every operation can be given one moment between its call and its return at which it
happened as a whole, so that all results are those of a sequential model (Herlihy and Wing 1990). The search is that of
Wing and Gong ("Testing and verifying concurrent objects", 1993) with Lowe's memory of configurations that failed
("Testing for linearizability", 2017), in the form that Porcupine made popular: the calls and returns in the order of
time are a linked list; what is linearized is lifted out of it and put back when the search turns round. Histories of
different objects are checked one by one, which is sound because linearizability is local.

Two things are added:

- *Pending operations.* One without an answer (its process was killed) has happened at any time after its call, or
  never. So the search is over as soon as every operation with an answer is linearized.
- *Time.* The model of a lease depends on the server's clock. Each operation carries a window of server time in which
  its moment must lie, and the moments must not go back along the linearization. The model is asked for the earliest
  moment that is possible. Where the clock is earlier, whatever was possible later still is (a wait can be added), so
  of two configurations that differ in the clock only the earlier one is searched; likewise only the one that has used
  fewer of the pending operations.
"""

from __future__ import annotations

import dataclasses
import typing as t

State = t.Hashable


@dataclasses.dataclass(frozen=True)
class Operation:
    """One operation as its caller saw it.

    Attributes:
        number: unique within the history.
        process: who called.
        key: the object; histories of different keys are checked one by one.
        kind: what was asked, such as ``acquire``.
        arguments: of the call.
        result: what came back; None if nothing did.
        call: when it was called, on a clock that all callers share.
        back: when it returned, on that clock; infinity if it did not.
        earliest: the earliest moment on the server's clock at which it can have happened, in microseconds.
        latest: the latest such moment.
    """

    number: int
    process: str
    key: str
    kind: str
    arguments: dict[str, t.Any]
    result: dict[str, t.Any] | None
    call: float
    back: float
    earliest: float
    latest: float

    @property
    def pending(self) -> bool:
        """True if no answer came."""
        return self.result is None


class Model(t.Protocol):
    """A sequential object."""

    def initial(self) -> State:
        """The state before the first operation."""

    def step(self, state: State, clock: float, operation: Operation) -> tuple[State, float] | None:
        """The state after the operation and its earliest possible moment, not before `clock`; None if it cannot be.

        For a pending operation: the state if it happened; None also if it would have changed nothing, since that is the
        same as never.
        """

    def passive(self, operation: Operation) -> bool:
        """True if the operation can be left out of a history without making a right one wrong: it changed nothing."""

    def together(self, history: t.Sequence[Operation]) -> list[set[int]]:
        """Numbers of operations that can be left out together without making a right history wrong."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the checker found.

    Attributes:
        linearizable: whether an order was found; None if the search was given up at its limit.
        operations: number of operations.
        states: number of configurations that were visited.
        order: numbers of the operations in an order that explains the history, or the longest such beginning.
        stuck: the operation that must return next in the longest beginning, and cannot.
    """

    linearizable: bool | None
    operations: int
    states: int
    order: tuple[int, ...]
    stuck: Operation | None = None


class _Entry:
    """A call or a return in the list."""

    __slots__ = ("after", "before", "match", "operation", "place", "time")

    def __init__(self, operation: Operation, place: int, time: float) -> None:
        self.operation = operation
        self.place = place
        self.time = time
        self.match: _Entry | None = None  # the return of a call; None for a return
        self.before: _Entry = self
        self.after: _Entry | None = None


def _entries(history: t.Sequence[Operation]) -> tuple[_Entry, list[_Entry]]:
    """The list of calls and returns, after a head that is none of them; and the calls that never returned."""
    entries: list[tuple[float, int, _Entry]] = []
    pending = []
    for place, operation in enumerate(history):
        call = _Entry(operation, place, operation.call)
        if operation.pending:
            pending.append(call)
            continue
        call.match = _Entry(operation, place, operation.back)
        entries += [(call.time, 0, call), (call.match.time, 1, call.match)]
    # At the same time a call goes before a return: then the two operations may have been concurrent.
    entries.sort(key=lambda one: one[:2])
    head = last = _Entry(t.cast(Operation, None), -1, float("-inf"))
    for _time, _kind, entry in entries:
        last.after, entry.before = entry, last
        last = entry
    return head, sorted(pending, key=lambda one: one.time)


def _lift(call: _Entry) -> None:
    """Takes a call and its return out of the list."""
    for entry in (call, call.match):
        if entry is not None:
            entry.before.after = entry.after
            if entry.after is not None:
                entry.after.before = entry.before


def _put_back(call: _Entry) -> None:
    """Undoes the last `_lift`."""
    for entry in (call.match, call):
        if entry is not None:
            entry.before.after = entry
            if entry.after is not None:
                entry.after.before = entry


def _next(head: _Entry, pending: list[_Entry], used: int) -> t.Iterator[_Entry]:
    """What can be linearized next: whatever was called before the first return of what is not linearized yet.

    Pending operations come last: mostly they did not happen, and those that did are tried where nothing else fits.
    """
    entry = head.after
    while entry is not None and entry.match is not None:
        yield entry
        entry = entry.after
    limit = entry.time if entry is not None else float("inf")
    for call in pending:
        if call.time > limit:
            return
        if not used >> call.place & 1:
            yield call


class _Visited:
    """The configurations that were visited.

    One is as good as another with the same answers explained and the same state, if it has used no pending operation
    that the other has not, and its clock is not later: whatever can follow on the other can follow on it.
    """

    def __init__(self) -> None:
        self.count = 0
        self._known: dict[tuple[int, State], list[tuple[int, float]]] = {}

    def is_new(self, done: int, used: int, state: State, clock: float) -> bool:
        """Notes a configuration; False if one that is as good was visited."""
        known = self._known.setdefault((done, state), [])
        if any(one & ~used == 0 and then <= clock for one, then in known):
            return False
        known[:] = [(one, then) for one, then in known if used & ~one or clock > then]
        known.append((used, clock))
        self.count += 1
        return True


def check(history: t.Sequence[Operation], model: Model, most_states: int = 2_000_000) -> Verdict:
    """Looks for an order of the operations of one object that the model explains.

    Args:
        history: operations with one key, in any order.
        model: the sequential object.
        most_states: the search is given up after so many configurations.
    """
    head, pending = _entries(history)
    visited = _Visited()
    # Of the operations with and without an answer, those that are linearized (by place), and the model's state.
    done, used, state, clock = 0, 0, model.initial(), float("-inf")
    path: list[tuple[_Entry, t.Iterator[_Entry], int, int, State, float]] = []
    choices = _next(head, pending, used)
    longest: tuple[int, ...] = ()
    stuck: Operation | None = None
    while head.after is not None:
        for call in choices:
            outcome = model.step(state, clock, call.operation)
            if outcome is None:
                continue
            bit = 1 << call.place
            after = (done | bit, used) if call.match is not None else (done, used | bit)
            if not visited.is_new(*after, *outcome):
                continue
            if visited.count > most_states:
                return Verdict(None, len(history), visited.count, longest, stuck)
            path.append((call, choices, done, used, state, clock))
            (done, used), (state, clock) = after, outcome
            if call.match is not None:
                _lift(call)
            choices = _next(head, pending, used)
            break
        else:
            # Nothing fits: what was chosen last was wrong.
            if stuck is None or len(path) > len(longest):
                longest = tuple(one[0].operation.number for one in path)
                stuck = next(one for one in _list(head) if one.match is None).operation
            if not path:
                return Verdict(False, len(history), visited.count, longest, stuck)
            call, choices, done, used, state, clock = path.pop()
            if call.match is not None:
                _put_back(call)
    return Verdict(True, len(history), visited.count, tuple(one[0].operation.number for one in path))


def _list(head: _Entry) -> t.Iterator[_Entry]:
    entry = head.after
    while entry is not None:
        yield entry
        entry = entry.after


def until(history: t.Sequence[Operation], moment: float) -> list[Operation]:
    """The history as it was at `moment`: later calls are not there yet, later answers have not come."""
    return [
        operation
        if operation.back <= moment
        else dataclasses.replace(operation, result=None, back=float("inf"), latest=float("inf"))
        for operation in history
        if operation.call <= moment
    ]


def shortest(history: t.Sequence[Operation], model: Model) -> list[Operation]:
    """A short history that is still not linearizable, out of one that is not.

    First the shortest beginning: if one is not linearizable no longer one is, so it can be found by halving. Then
    operations are left out as long as what is left is wrong. Only those are left out whose absence cannot make a right
    history wrong (the model knows them), so what remains is a witness.
    """
    moments = sorted(operation.back for operation in history if not operation.pending)
    low, high = 0, len(moments) - 1
    while low < high:
        middle = (low + high) // 2
        if check(until(history, moments[middle]), model).linearizable is False:
            high = middle
        else:
            low = middle + 1
    left = until(history, moments[low])
    for group in [*model.together(left), *({one.number} for one in left if model.passive(one))]:
        fewer = [one for one in left if one.number not in group]
        if len(fewer) < len(left) and check(fewer, model).linearizable is False:
            left = fewer
    return sorted(left, key=lambda one: one.call)


def told(history: t.Sequence[Operation]) -> str:
    """The operations line by line, in the order of their calls, for a person; times are ms after the first call."""
    if not history:
        return "no operations"
    begin = min(operation.call for operation in history)
    lines = []
    for one in sorted(history, key=lambda one: one.call):
        back = "        -" if one.pending else f"{(one.back - begin) / 1e6:9.1f}"
        answer = "no answer" if one.result is None else one.result
        call = (one.call - begin) / 1e6
        lines.append(
            f"#{one.number:<4} {call:9.1f} .. {back} ms  {one.process:10} {one.kind} {one.arguments} -> {answer}"
        )
    return "\n".join(lines)
