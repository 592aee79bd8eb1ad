# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lock with a lapse and a register behind a fence may answer: the sequential objects for the checker.

Written from docs/protocol.md ("Leases, fences and the keeper") and not from the code: nothing of the collection is
imported here. Times are microseconds of the server's clock.

The lock. It is free, or held by a token with a fence until a deadline. The deadline is in every answer that grants or
shows a lease, and is the time of the grant or the extension plus the ttl (cut to milliseconds). Before the deadline
the lock is held, from the deadline on it is free: that is the lapse, and the only thing that happens without an
operation. Of an acquire or extension without an answer the deadline is unknown; it is kept as the two bounds between
which it must lie, and the first answer that shows the lease settles it.
"""

from __future__ import annotations

import dataclasses
import math
import typing as t

from checker import Operation

MILLISECOND = 1000.0


@dataclasses.dataclass(frozen=True)
class Lock:
    """State of the lock.

    Attributes:
        token: of the holder; None if it is free.
        fence: of the holder; None if it is not known (its answer was lost).
        low: the lease is held until then at least;
        high: and at most until then. Both are the deadline once that is known.
        ttl: of a deadline that is not known, else 0.
        last: the greatest fence that was given out.
    """

    token: str | None = None
    fence: int | None = None
    low: float = 0.0
    high: float = 0.0
    ttl: float = 0.0
    last: int = 0


def _free(state: Lock) -> Lock:
    return Lock(last=state.last)


class LockModel:
    """acquire, extend, release, force and look; every answer must be that of one lock."""

    def initial(self) -> Lock:
        """Never used."""
        return Lock()

    def passive(self, operation: Operation) -> bool:
        """True for a look and for what was refused."""
        if operation.kind == "look":
            return True
        return operation.result is not None and operation.result["status"] in ("busy", "not_held")

    def together(self, history: t.Sequence[Operation]) -> list[set[int]]:
        """See `checker.Model`: what one token did, and all answers that show its lease.

        Without both, the lock is free where that token held it, and nothing that is left says anything else.
        """
        by_token: dict[str, set[int]] = {}
        fences: dict[int, str] = {}
        unknown = set()
        for one in history:
            token = one.arguments.get("token")
            if one.kind == "acquire" and token:
                by_token.setdefault(token, set())
                if one.result is None:
                    unknown.add(token)  # it may have a fence that cannot be told from a wrong one
                elif "fence" in one.result:
                    fences[one.result["fence"]] = token
        for one in history:
            token = one.arguments.get("token")
            if token in by_token:
                by_token[token].add(one.number)
            answer = one.result or {}
            for shown in [answer, *answer.get("holders", []), *answer.get("released", [])]:
                if shown.get("fence") in fences:
                    by_token[fences[shown["fence"]]].add(one.number)
        return [numbers for token, numbers in by_token.items() if token not in unknown]

    def step(self, state: Lock, clock: float, operation: Operation) -> tuple[Lock, float] | None:
        """See `checker.Model`."""
        begin, end = max(clock, operation.earliest), operation.latest
        if begin > end:
            return None
        if state.ttl:
            # Whatever gave the unknown deadline happened before this operation.
            state = dataclasses.replace(state, high=min(state.high, end + state.ttl))
        answer = operation.result
        if answer is None:
            return self._pending(state, begin, operation)
        if answer["status"] == "held" and not answer.get("already"):
            # A deadline tells when it was set.
            given = answer["deadline"] - operation.arguments["ttl_ms"] * MILLISECOND
            begin, end = max(begin, given), min(end, given + MILLISECOND)
            if begin > end:
                return None
        return getattr(self, "_" + operation.kind)(state, begin, end, operation.arguments, answer)

    def _pending(self, state: Lock, begin: float, operation: Operation) -> tuple[Lock, float] | None:
        """It happened, and nobody was told."""
        token = operation.arguments.get("token")
        ttl = operation.arguments.get("ttl_ms", 0) * MILLISECOND
        # The deadline is cut to milliseconds, so it can be so much earlier.
        unknown = {"low": begin + ttl - MILLISECOND, "high": math.inf, "ttl": ttl}
        if operation.kind == "acquire":
            free = self._lapsed(state, begin, math.inf)
            if free is None:
                return None
            state, begin = free
            unknown["low"] = begin + ttl - MILLISECOND
            return dataclasses.replace(state, token=token, fence=None, **unknown), begin
        if operation.kind == "extend" and state.token == token:
            live = self._live(state, begin)
            return live and (dataclasses.replace(live[0], **unknown), begin)
        if (operation.kind == "release" and state.token == token) or (operation.kind == "force" and state.token):
            live = self._live(state, begin)
            return live and (_free(live[0]), begin)
        return None

    @staticmethod
    def _live(state: Lock, begin: float) -> tuple[Lock, float] | None:
        """The lock is held at `begin`, so its deadline is later."""
        if state.token is None or begin >= state.high:
            return None
        return dataclasses.replace(state, low=max(state.low, begin)), begin

    @staticmethod
    def _lapsed(state: Lock, begin: float, end: float) -> tuple[Lock, float] | None:
        """The lock is free: nobody holds it, or the deadline has passed, if need be by waiting for it."""
        if state.token is None:
            return state, begin
        begin = max(begin, state.low)
        return (_free(state), begin) if begin <= end else None

    def _seen(
        self, state: Lock, begin: float, end: float, holders: list[dict[str, t.Any]]
    ) -> tuple[Lock, float] | None:
        """An answer showed the lease: fence and deadline must be those of the holder, and settle what is not known."""
        if len(holders) != 1:
            return None
        # What another client set has neither; none does in these histories, so an answer must not say so.
        fence, deadline = holders[0].get("fence", 0), holders[0].get("deadline", 0)
        live = self._live(state, begin)
        if live is None or not begin < deadline:
            return None
        if state.fence is None:
            if fence <= state.last:
                return None
        elif fence != state.fence:
            return None
        if not state.low <= deadline <= state.high:
            return None
        last = max(state.last, fence)
        return dataclasses.replace(state, fence=fence, low=deadline, high=deadline, ttl=0.0, last=last), begin

    def _acquire(
        self, state: Lock, begin: float, end: float, asked: dict[str, t.Any], answer: dict[str, t.Any]
    ) -> tuple[Lock, float] | None:
        if answer["status"] == "busy":
            return None if state.token == asked["token"] else self._seen(state, begin, end, answer["holders"])
        if answer.get("already"):
            return self._seen(state, begin, end, [answer]) if state.token == asked["token"] else None
        free = self._lapsed(state, begin, end)
        if free is None or answer["fence"] <= state.last:
            return None
        if answer["status"] == "over":
            # It was granted, the answer was lost, and when it was asked again the lease had ended.
            ttl = asked["ttl_ms"] * MILLISECOND
            bounds = {"low": free[1] + ttl - MILLISECOND, "high": math.inf, "ttl": ttl}
        else:
            bounds = {"low": answer["deadline"], "high": answer["deadline"]}
        return Lock(asked["token"], answer["fence"], last=answer["fence"], **bounds), free[1]

    def _extend(
        self, state: Lock, begin: float, end: float, asked: dict[str, t.Any], answer: dict[str, t.Any]
    ) -> tuple[Lock, float] | None:
        if answer["status"] == "not_held":
            return self._not_mine(state, begin, end, asked)
        live = self._live(state, begin)
        if live is None or state.token != asked["token"] or state.fence not in (None, answer["fence"]):
            return None
        if state.fence is None and answer["fence"] <= state.last:
            return None
        deadline, fence = answer["deadline"], answer["fence"]
        return Lock(state.token, fence, deadline, deadline, last=max(state.last, fence)), begin

    def _release(
        self, state: Lock, begin: float, end: float, asked: dict[str, t.Any], answer: dict[str, t.Any]
    ) -> tuple[Lock, float] | None:
        if answer["status"] == "not_held":
            if answer["holders"]:
                return None if state.token == asked["token"] else self._seen(state, begin, end, answer["holders"])
            return self._lapsed(state, begin, end)
        return self._taken(state, begin, answer) if state.token == asked["token"] else None

    def _force(
        self, state: Lock, begin: float, end: float, _asked: dict[str, t.Any], answer: dict[str, t.Any]
    ) -> tuple[Lock, float] | None:
        if answer["status"] == "not_held":
            return self._lapsed(state, begin, end)
        return self._taken(state, begin, answer)

    def _look(
        self, state: Lock, begin: float, end: float, asked: dict[str, t.Any], answer: dict[str, t.Any]
    ) -> tuple[Lock, float] | None:
        if answer["last"] < state.last:
            return None
        if not answer["holders"]:
            return self._lapsed(state, begin, end)
        if answer["mine"] != (state.token == asked["token"]):
            return None
        return self._seen(state, begin, end, answer["holders"])

    def _taken(self, state: Lock, begin: float, answer: dict[str, t.Any]) -> tuple[Lock, float] | None:
        """The lease was ended, and the answer says whose it was."""
        live = self._live(state, begin)
        if live is None or len(answer["released"]) != 1:
            return None
        fence = answer["released"][0].get("fence", 0)
        if fence != state.fence if state.fence is not None else fence <= state.last:
            return None
        return Lock(last=max(state.last, fence)), begin

    def _not_mine(self, state: Lock, begin: float, end: float, asked: dict[str, t.Any]) -> tuple[Lock, float] | None:
        if state.token == asked["token"]:
            return self._lapsed(state, begin, end)
        return state, begin


@dataclasses.dataclass(frozen=True)
class Register:
    """State of a register: the greatest fence that it has seen, and its value."""

    fence: int = 0
    value: int = 0


class RegisterModel:
    """A register that refuses whoever comes with a smaller fence than it has seen: claim (read) and write."""

    def initial(self) -> Register:
        """Never used."""
        return Register()

    def passive(self, operation: Operation) -> bool:
        """True for what was refused."""
        return operation.result is not None and not operation.result["accepted"]

    def together(self, _history: t.Sequence[Operation]) -> list[set[int]]:
        """See `checker.Model`."""
        return []

    def step(self, state: Register, clock: float, operation: Operation) -> tuple[Register, float] | None:
        """See `checker.Model`."""
        begin = max(clock, operation.earliest)
        if begin > operation.latest:
            return None
        fence, answer = operation.arguments["fence"], operation.result
        if fence < state.fence:
            return (state, begin) if answer is not None and not answer["accepted"] else None
        if answer is not None and (
            not answer["accepted"] or operation.kind == "claim" and answer["value"] != state.value
        ):
            return None
        after = Register(fence, operation.arguments["value"] if operation.kind == "write" else state.value)
        if answer is None and after == state:
            return None
        return after, begin
