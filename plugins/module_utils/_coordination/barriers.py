# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Barriers: everybody leaves together, or everybody learns at once who is missing."""

from __future__ import annotations

import time
import typing as t

from .errors import BarrierFailed, Refused, SettingsError
from .keeper import ensure_keeper
from .locks import check_name
from .session import Session, new_operation
from .settings import DEFAULT_TTL_MS, check_ttl

POLICIES = ("fail", "shrink", "wait")
DEFAULT_TIMEOUT_S = 600.0  # law 7


def missing_sentence(missing: list[dict[str, t.Any]]) -> str:
    """Who is missing and why."""
    return "; ".join(f"{one['member']}: {one['why']}" for one in missing) or "nobody that is known by name"


class BarrierService:
    """Arrives at a barrier and waits there."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def meet(
        self,
        name: str,
        *,
        member: str | None = None,
        members: list[str] | None = None,
        count: int | None = None,
        policy: str = "fail",
        timeout_s: float = DEFAULT_TIMEOUT_S,
        turn_s: float | None = None,
        join_within_s: float = 300.0,
        generation: int | None = None,
        ttl_ms: int = DEFAULT_TTL_MS,
        token: str | None = None,
        keep: bool = True,
    ) -> dict[str, t.Any]:
        """Arrives and waits until the barrier opens.

        Args:
            member: who arrives; controller and host by default, which suits a barrier by count.
            members: who is expected, by name; or
            count: how many are expected.
            policy: fail (break at once when a member dies), shrink (go on without it) or wait.
            timeout_s: then the arrival is withdrawn and the error names who is missing.
            turn_s: return `waiting` after that long instead of blocking on (the arrival stays).
            join_within_s: a member of a run that was never there counts as dead after that.
            generation: None joins the next one to open; a number returns at once if that one is over.
            token: the same for every turn of one arrival.

        Raises:
            BarrierFailed: it broke, or the time is over.
        """
        check_name(name, "barrier")
        if (members is None) == (count is None):
            raise SettingsError(f"The barrier {name} needs either members or count, not both and not none.")
        if count is not None and count < 1:
            raise SettingsError(f"The barrier {name} must expect at least one member, not {count}.")
        if policy not in POLICIES:
            raise SettingsError(f"The policy of the barrier {name} must be one of {', '.join(POLICIES)}, not {policy}.")
        if members is not None:
            members = sorted(set(members))  # the order in which somebody wrote them down means nothing
        member = member or f"{self.session.controller.id}/{self.session.host}"
        arguments = {
            "name": name,
            "member": member,
            "members": members,
            "count": count,
            "policy": policy,
            "join_within_us": int(join_within_s * 1_000_000),
            "generation": generation,
            "token": token or new_operation(),
            "ttl_ms": check_ttl(ttl_ms),
        }
        began = time.monotonic()
        first = True
        while True:
            reply = self.session.call("barrier_meet", {**arguments, "first": first or None}, new_operation())
            reply["missing"] = reply.get("missing") or []
            reply["members"] = reply.get("members") or []
            if reply.get("refused"):
                raise self._refused(name, reply)
            if reply["status"] == "open":
                return reply
            if reply["status"] == "failed":
                raise BarrierFailed(
                    f"The barrier {name} failed in generation {reply['generation']}: {reply['cause']}. "
                    f"Arrived: {', '.join(map(str, reply['members'])) or 'nobody else'}. "
                    f"Missing: {missing_sentence(reply['missing'])}.",
                    **reply,
                )
            if first:
                first = False
                if keep:
                    ensure_keeper(self.session)
            # The generation that we arrived in, so that a later one is never mistaken for it.
            arguments["generation"] = reply["generation"]
            passed = time.monotonic() - began
            # Turns of one arrival share its time: the server knows when it was made.
            waited = max(passed, reply.get("waited_ms", 0) / 1000)
            if waited >= timeout_s:
                if not self.leave(name, member):
                    # It ended in this very moment: then that is the answer, for us as for the others.
                    last = self.session.call("barrier_meet", arguments, new_operation())
                    if last["status"] == "open":
                        return {**last, "missing": last.get("missing") or [], "members": last.get("members") or []}
                raise BarrierFailed(
                    f"The barrier {name} did not open within {timeout_s:g} s: {len(reply['members'])} of "
                    f"{reply.get('expected', '?')} arrived. Missing: {missing_sentence(reply['missing'])}.",
                    **reply,
                )
            if turn_s is not None and passed >= turn_s:
                return reply
            pause = timeout_s - waited
            if turn_s is not None:
                pause = min(pause, turn_s - passed)
            if reply.get("paused"):
                began = time.monotonic()  # a pause does not count against the time
            if reply.get("next_ms") is not None:
                pause = min(pause, reply["next_ms"] / 1000 + 0.002)
            self.session.wait_for({f"barrier:{name}": reply.get("bell", "0-0")}, max(pause, 0.005))

    def leave(self, name: str, member: str | None = None) -> bool:
        """Withdraws an arrival."""
        member = member or f"{self.session.controller.id}/{self.session.host}"
        return self.session.call("barrier_leave", {"name": name, "member": member})["status"] == "left"

    def look(self, name: str) -> dict[str, t.Any]:
        """Generation, who arrived, who is missing; changes nothing."""
        reply = self.session.call("barrier_look", {"name": name})
        for field in ("arrived", "missing", "dead", "outcomes"):
            reply[field] = reply.get(field) or []
        return reply

    @staticmethod
    def _refused(name: str, reply: dict[str, t.Any]) -> Refused:
        status = reply["status"]
        if status == "other_members":
            return Refused(
                f"The barrier {name} is open for others: it expects {reply.get('members')}; everybody who meets there "
                "must expect the same members or the same count.",
                **reply,
            )
        if status == "no_member":
            return Refused(f"{reply['member']} is not among the members of the barrier {name}.", **reply)
        if status == "member_taken":
            return Refused(
                f"{reply['member']} has arrived at the barrier {name} from another controller "
                f"({reply['left_ms'] / 1000:.1f} s left unless renewed); two arrivals of one member are not possible.",
                **reply,
            )
        if status == "early_generation":
            return Refused(
                f"The barrier {name} has opened {reply['opened']} times; generation {reply['generation']} is not its "
                "next one.",
                **reply,
            )
        return Refused(f"The barrier {name} refused the arrival: {status}.", **reply)
