# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Slots: a Larry and a worker are each held by one controller; a second controller is its standby."""

from __future__ import annotations

import json
import time
import typing as t

from .errors import Refused
from .identity import machine
from .keeper import ensure_keeper
from .session import Session, new_operation
from .settings import DEFAULT_TTL_MS


def refused(reply: dict[str, t.Any]) -> Refused:
    """The sentence for a refusal of the slot and task scripts."""
    status = reply["status"]
    if status == "slot_of_other":
        return Refused(
            f"{reply['slot']} is led by another controller ({reply['controller'][:8]}, "
            f"{reply['left_ms'] / 1000:.1f} s left unless renewed); this one is its standby and may not act for it.",
            **reply,
        )
    if status == "slot_lost":
        return Refused(
            f"This controller does not hold {reply['slot']}: it was not registered, or its lease lapsed. Register it "
            "with cortex.larry.worker: state=registered.",
            **reply,
        )
    if status in ("no_slot", "no_worker", "no_task", "no_larry"):
        what = status[3:]
        name = reply.get("slot") or reply.get("worker") or reply.get("task") or reply.get("larry")
        return Refused(f"The run knows no {what} {name}; the plan names what there is.", **reply)
    if status == "reserved_name":
        return Refused(
            f"A result may not publish under the name {reply['name']}: it is reserved or not [a-z0-9_:].", **reply
        )
    if status == "bad_figure":
        return Refused(
            f"The figure {reply['name']} of a result must be a whole number (metrics, findings) or a number or text "
            "(phase).",
            **reply,
        )
    if status == "bad_outcome":
        return Refused(f"A task settles as completed, failed or skipped, not as {reply['outcome']}.", **reply)
    if status == "bad_amount":
        return Refused(f"An amount of tokens is a whole number above zero, not {reply.get('amount')}.", **reply)
    return Refused(f"The server refused the operation: {status}.", **reply)


class SlotService:
    """Takes and leaves the slot of a Larry or a worker."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def take(
        self, slot: str, *, wait_s: float = 0.0, ttl_ms: int = DEFAULT_TTL_MS, where: dict[str, str] | None = None
    ) -> dict[str, t.Any]:
        """Takes the slot, or waits up to `wait_s` seconds as its standby.

        Args:
            where: evidence of the machine that will do the work; this machine by default.

        Returns:
            `status` held or standby; `changed` is true when it was taken now.
        """
        arguments = {
            "slot": slot,
            "owner": f"{self.session.controller.hostname}:{self.session.controller.pid}",
            "ttl_ms": ttl_ms,
            "machine": json.dumps(where or machine()),
        }
        deadline = time.monotonic() + wait_s
        while True:
            reply = self.session.call("slot_take", arguments, new_operation())
            if reply.get("refused"):
                raise refused(reply)
            if reply["status"] == "held":
                ensure_keeper(self.session)
                return reply
            left = deadline - time.monotonic()
            if left <= 0 or reply.get("run") != "running":
                return reply
            self.session.wait_for({f"slot:{slot}": reply["bell"]}, min(left, reply["left_ms"] / 1000 + 0.002))

    def retaken(self, reply: dict[str, t.Any], ttl_ms: int = DEFAULT_TTL_MS) -> bool:
        """Takes a slot again whose lease lapsed although this controller lives, if nobody is in its place.

        A keeper that stood still or a network that was cut for longer than the TTL is no reason to give up.

        Args:
            reply: of a call that was refused because the slot is not held; any other one changes nothing.
        """
        if reply["status"] != "slot_lost" or not reply.get("lapsed"):
            return False
        return self.take(reply["slot"], ttl_ms=ttl_ms)["status"] == "held"

    def leave(self, slot: str, state: str = "completed", cause: str | None = None) -> dict[str, t.Any]:
        """Gives the slot up; a worker that left as `failed` is announced, and its tasks go to others."""
        reply = self.session.call("slot_leave", {"slot": slot, "state": state, "cause": cause})
        if reply.get("refused"):
            raise refused(reply)
        return reply
