# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the events of a run to its view, until every controller has ended."""

from __future__ import annotations

import os
import queue
import signal
import time
from typing import Any

from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import CoordinationError
from ansible_collections.cortex.larry.plugins.module_utils._coordination.events import EventService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.fallback import on_embedded
from ansible_collections.cortex.larry.plugins.module_utils._coordination.identity import Controller as Identity
from ansible_collections.cortex.larry.plugins.module_utils._coordination.session import Session
from ansible_collections.cortex.larry.plugins.module_utils._coordination.settings import Settings

from .team import Team
from .view import View

GIVE_UP_WITHIN_S = 5.0


def follow(team: Team, settings: Settings, told: queue.Queue[Any]) -> None:
    """Puts each event of the run into `told` as it comes, and a sentence if the server does not answer. A thread."""
    team.joined.wait()
    settings = on_embedded(settings) if team.fell_back else settings
    service = EventService(Session(settings, Identity.of_process(os.getpid()), "launcher", member=True))
    since, silent = "0", False
    while True:
        try:
            for event in service.follow(since):
                since, silent = event["id"], False
                told.put(event)
        except CoordinationError as error:
            if not silent:
                told.put(error.sentence)
            silent = True
            time.sleep(1)


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
