# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks and semaphores: a lease on a name, with one or several slots."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from .errors import Busy, Fenced, Refused, SettingsError
from .keeper import ensure_keeper
from .session import Session, new_operation
from .settings import DEFAULT_TTL_MS, check_ttl

_LONGEST_WAIT_S = 5.0
MOST_SLOTS = 1024


@dataclasses.dataclass(frozen=True)
class Held:
    """A lock that is ours: its fence grows with every holder, so a resource can refuse a late one."""

    name: str
    fence: str
    slot: int
    deadline_us: int
    already: bool


def duration(milliseconds: float | None) -> str:
    """`milliseconds` as people say it: ``1 min 5 s``; ``without an expiry`` for None or a negative number."""
    if milliseconds is None or milliseconds < 0:
        return "without an expiry"
    seconds = milliseconds / 1000
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def holders_sentence(holders: list[dict[str, t.Any]]) -> str:
    """Who holds it, why, and for how long still."""
    parts = []
    for holder in holders:
        text = f"{holder.get('owner', 'somebody')}"
        if holder.get("reason"):
            text += f" ({holder['reason']})"
        if holder.get("state") == "foreign":
            text += ", set by another client"
        left = holder.get("left_ms")
        text += f", {duration(left)} left unless renewed" if left is not None and left >= 0 else ", without an expiry"
        parts.append(text)
    return "; ".join(parts)


class LockService:
    """Acquires, releases and reads locks for one session. The token of a holder is controller and host."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.token = f"{session.controller.id}/{session.host}"

    def acquire(
        self,
        name: str,
        *,
        wait_s: float = 0.0,
        ttl_ms: int = DEFAULT_TTL_MS,
        slots: int = 1,
        owner: str | None = None,
        reason: str | None = None,
        keep: bool = True,
    ) -> Held:
        """Takes a slot of the lock, waiting up to `wait_s` seconds for one.

        Args:
            name: any text without control characters.
            wait_s: 0 asks once.
            ttl_ms: the lease lapses that long after the last renewal.
            slots: how many may hold it at once; everybody must say the same number.
            owner: what others read; controller host and process by default.
            reason: what others read.
            keep: start the keeper that renews the lease; without it the lease ends with its TTL.

        Raises:
            Busy: the wait is over; the sentence names the holders and their remaining time.
            Refused: the lock is in use with another number of slots.
        """
        check_name(name, "lock")
        if not 1 <= slots <= MOST_SLOTS:
            raise SettingsError(f"The lock {name} must have between 1 and {MOST_SLOTS} slots, not {slots}.")
        arguments = {
            "name": name,
            "slots": slots,
            "token": self.token,
            "owner": owner
            or f"{self.session.host} of {self.session.controller.hostname}:{self.session.controller.pid}",
            "reason": reason,
            "ttl_ms": check_ttl(ttl_ms),
        }
        operation = new_operation()
        deadline = time.monotonic() + wait_s
        first = True
        while True:
            reply = self.session.call("lock_acquire", {**arguments, "first": first or None}, operation)
            if reply["status"] == "held":
                if keep:
                    ensure_keeper(self.session)
                return Held(name, reply["fence"], reply["slot"], int(reply["deadline"]), bool(reply.get("already")))
            if reply["status"] == "over":
                raise Fenced(
                    f"The lock {name} was taken by this very call, and its lease is over already; take it again.",
                    **reply,
                )
            if reply["status"] == "other_slots":
                raise Refused(
                    f"The lock {name} is in use with {reply['slots']} slots, and {slots} were asked for; everybody who "
                    "uses a lock must name the same number of slots.",
                    **reply,
                )
            first = False
            left = deadline - time.monotonic()
            if left <= 0:
                raise Busy(
                    f"The lock {name} is held by {holders_sentence(reply['holders'])}; waited {wait_s:g} s. "
                    f"Wait longer, or look with cortex.larry.lock_info: name={name}.",
                    **reply,
                )
            pause = min(left, _LONGEST_WAIT_S)
            if reply.get("soonest_ms") is not None:
                pause = min(pause, reply["soonest_ms"] / 1000 + 0.002)
            self.session.wait_for({f"lock:{name}": reply["bell"]}, max(pause, 0.005))

    def would_acquire(self, name: str, slots: int = 1) -> bool:
        """True if the lock is free or ours; changes nothing."""
        view = self.look(name)
        return view.get("mine") is not None or len(view["holders"]) < slots

    def release(
        self, name: str, *, slots: int = 1, force: bool = False, reason: str | None = None, probe: bool = False
    ) -> dict[str, t.Any]:
        """Gives the lock up; with `force` whoever holds it. `probe` only says what would happen.

        Returns:
            `status` released or not_held, `released` and `holders` (those who still hold it).
        """
        reply = self.session.call(
            "lock_release",
            {
                "name": name,
                "slots": slots,
                "token": self.token,
                "force": force or None,
                "reason": reason,
                "probe": probe or None,
            },
        )
        reply["released"] = reply.get("released") or []
        reply["holders"] = reply.get("holders") or []
        return reply

    def extend(self, name: str, ttl_ms: int = DEFAULT_TTL_MS) -> None:
        """Moves the deadline to `ttl_ms` from now.

        Raises:
            Fenced: the lock is no longer ours.
        """
        reply = self.session.call("lock_extend", {"name": name, "token": self.token, "ttl_ms": check_ttl(ttl_ms)})
        if reply["status"] != "held":
            raise Fenced(
                f"The lock {name} is no longer held by {self.session.host}: its lease lapsed or was revoked.", **reply
            )

    def look(self, name: str) -> dict[str, t.Any]:
        """Holders, slots, fence and counts; changes nothing. `mine` is our own lease or missing."""
        reply = self.session.call("lock_check", {"name": name, "token": self.token})
        reply["holders"] = reply.get("holders") or []
        return reply


def check_name(name: str, what: str) -> str:
    """A name for a key: 1 to 200 characters, none of them a control character."""
    if not name or len(name) > 200 or any(ord(character) < 32 or ord(character) == 127 for character in name):
        raise SettingsError(
            f"The name of a {what} must have 1 to 200 characters and no control characters: {name[:50]!r}."
        )
    return name
