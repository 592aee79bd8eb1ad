# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Phases and controls of Larrys."""

from __future__ import annotations

import time
import typing as t

from .session import Session, new_operation
from .settings import DEFAULT_TTL_MS
from .slots import SlotService, refused


class PhaseService:
    """The phase of one Larry, led by the controller that holds its slot."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def start(self, larry: str) -> dict[str, t.Any]:
        """Starts the phase; a phase that was started already is left as it is."""
        return self._checked(self.session.call("phase_start", {"larry": larry}))

    def turn(
        self,
        larry: str,
        *,
        wait_s: float = 0.0,
        finish: bool = False,
        lead: bool = True,
        ttl_ms: int = DEFAULT_TTL_MS,
    ) -> dict[str, t.Any]:
        """Looks after the phase for up to `wait_s` seconds, until every task is settled.

        Args:
            finish: ends the phase once every task is settled.
            lead: require that this controller holds the Larry's slot.
        """
        deadline = time.monotonic() + wait_s
        while True:
            reply = self.session.call("phase_turn", {"larry": larry, "finish": finish or None, "lead": lead or None})
            # A Larry whose controller lives is not left without a leader: its workers would wait for ever.
            if SlotService(self.session).retaken(reply, ttl_ms):
                continue
            self._checked(reply)
            reply["running"] = reply.get("running") or []
            left = deadline - time.monotonic()
            if reply["done"] or left <= 0 or reply["mode"] == "draining":
                return reply
            pause = left if reply.get("next_ms") is None else min(left, reply["next_ms"] / 1000)
            self.session.wait_for({"larry:" + larry: reply["bell"]}, max(pause, 0.005))

    def control(
        self, verb: str, scope: str, names: list[str], reason: str | None = None, probe: bool = False
    ) -> list[str]:
        """pause, resume, drain or cancel Larrys (scope larry), or pause and resume whatever touches a thing.

        Returns:
            the names whose state was changed.
        """
        reply = self._checked(
            self.session.call(
                "control",
                {"verb": verb, "scope": scope, "names": names, "reason": reason, "probe": probe or None},
                new_operation(),
            )
        )
        return list(reply.get("changed") or [])

    @staticmethod
    def _checked(reply: dict[str, t.Any]) -> dict[str, t.Any]:
        if reply.get("refused"):
            raise refused(reply)
        return reply
