# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the events of a run to its view, until every controller has ended."""

from __future__ import annotations

import queue
import signal
import time
from typing import TYPE_CHECKING, Any

from .view import View

if TYPE_CHECKING:
    from launch import Team

GIVE_UP_WITHIN_S = 5.0


def watch(team: Team, told: queue.Queue[Any], view: View) -> None:
    """Shows what `told` brings until every controller has ended and, after a signal, has given up what it held."""
    watcher = Watcher(team, view)
    said = False
    while team.tend(view):
        if team.stopped_by and not said:
            said = True
            name = signal.Signals(team.stopped_by).name
            view.note(f"{name}: ending the controllers, which give up what they hold; once more ends them at once")
        watcher.take_next(told, 0.2)
    patience = time.monotonic() + GIVE_UP_WITHIN_S
    # Their keepers have the last word: what was held is given up after the controller has ended.
    while watcher.take_next(told, 0.3) or (team.stopped_by and watcher.holding and time.monotonic() < patience):
        pass


class Watcher:
    """Tells what happens since our controllers joined from what the log held before.

    Attributes:
        holding: id -> name of those of our controllers that may hold something.
    """

    def __init__(self, team: Team, view: View) -> None:
        self.team = team
        self.view = view
        self.holding: dict[str, str] = {}
        self.earlier: list[dict[str, Any]] | None = []

    def take_next(self, told: queue.Queue[Any], wait_s: float) -> bool:
        """Shows the next event or sentence; False if none came within `wait_s` seconds."""
        try:
            event = told.get(timeout=wait_s)
        except queue.Empty:
            return False
        if isinstance(event, str):
            self.view.note(event)
        else:
            self._take(event)
        return True

    def _take(self, event: dict[str, Any]) -> None:
        name = event["event"]
        ours = [one.name for one in self.team.controllers if name == "run_joined" and one.pid == event["pid"]]
        if ours:
            self.holding[event["controller"]] = ours[0]
        if self.earlier is not None:
            if not ours:
                self.earlier.append(event)
                return
            self.view.catch_up(self.earlier)
            self.earlier = None
        self.view.event(event)
        if name == "controller_gone" and event["controller"] in self.holding:
            released = ", ".join(event.get("released") or ["nothing"])
            self.view.note(f"{self.holding.pop(event['controller'])} gave up {released}")
