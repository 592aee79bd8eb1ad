# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One live view of several controllers: a small table on a terminal, plain lines everywhere else, never both."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from typing import Any

from ansible_collections.cortex.larry.plugins.module_utils._report import LiveView
from ansible_collections.cortex.larry.plugins.module_utils._text import escape_terminal

try:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text
except ImportError:  # plain lines then
    Console = None  # type: ignore[assignment,misc]

NOTES_SHOWN = 4


class View:
    """Shows events and notes.

    Args:
        plan: the canonical plan.
        plain: lines also on a terminal.
    """

    def __init__(self, plan: dict[str, Any], plain: bool = False) -> None:
        blocks = (sys.stdout.encoding or "").lower().startswith("utf")
        self.state = LiveView(plan, unicode=blocks)
        self.notes: deque[str] = deque(maxlen=NOTES_SHOWN)
        self.live: Any = None
        dumb = os.environ.get("TERM", "dumb") == "dumb"
        if Console is not None and sys.stdout.isatty() and not plain and not dumb:
            self.console = Console(highlight=False)
            # Fitted to the terminal by ourselves; nothing else is printed while it is shown.
            self.live = Live(
                get_renderable=self.rendered, console=self.console, refresh_per_second=4, vertical_overflow="crop"
            )

    def __enter__(self) -> View:
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(self, *_error: object) -> None:
        if self.live is not None:
            self.live.stop()
            self.live = None

    def event(self, event: dict[str, Any]) -> None:
        """Takes an event of the run in and shows what it changes."""
        if self.state.apply(event) and self.live is None:
            for line in self.state.lines_for(event):
                print(line, flush=True)

    def catch_up(self, events: list[dict[str, Any]]) -> None:
        """Takes in what happened before the controllers joined; a run that is resumed is not told again."""
        resumed = any(event["event"] == "run_joined" for event in events)
        for event in events:
            if resumed:
                self.state.apply(event)
            else:
                self.event(event)
        if resumed:
            self.note(f"resuming the run {self.state.run} after {len(events)} events")

    def note(self, text: str) -> None:
        """Shows something that the launcher itself has to say."""
        text = escape_terminal(text, 500)
        self.notes.append(text)
        if self.live is None:
            print(f"{time.strftime('%H:%M:%S', time.gmtime())}  launcher      {text}", flush=True)

    def rendered(self) -> Any:
        """The table, then the last notes, for the width and height that the terminal has now."""
        width, height = self.console.size
        height = max(4, height - 1 - len(self.notes))
        table = self.state.table(width=width, now=time.time() if self.state.state == "running" else None, height=height)
        return styled(table, [note[: width - 1] for note in self.notes])


def styled(table: str, notes: list[str]) -> Any:
    """The table with the little colour that helps to find what matters."""
    title, head, *rows = table.split("\n")
    text = Text(title, style="bold", no_wrap=True, overflow="crop")
    text.append(f"\n{head}", style="not bold dim")
    for row in rows:
        text.append(f"\n{row}", style="not bold yellow" if row.startswith("! ") else "not bold")
    for note in notes:
        text.append(f"\n{note}", style="not bold cyan")
    for word, colour in (("completed", "green"), ("in_progress", "cyan"), ("failed", "red")):
        text.highlight_words([f" {word} "], style=colour)
    return text
