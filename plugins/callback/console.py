# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: console
type: stdout
short_description: A live view of the run that the playbook takes part in
version_added: 0.1.0
author:
  - The cortex.larry contributors (@cortex-larry)
description:
  - Shows the run that M(cortex.larry.run) joined, from its event log, so all controllers of the run and not this one
    alone. On a terminal it is a small table, elsewhere a line for each event.
  - Failed and unreachable hosts are always shown in full, as the default callback shows them.
  - Until a run is joined, in playbooks that join none, with C(-v), and whenever the server does not answer, the output
    is that of the default callback.
  - The events are read by a thread with a connection of its own. The playbook never waits for it.
extends_documentation_fragment:
  - default_callback
  - result_format_callback
options:
  view:
    description:
      - What to show of the run.
    type: str
    default: auto
    choices:
      auto: A table on a terminal that can show it, lines elsewhere.
      lines: A line for each event, also on a terminal.
      none: The output of the default callback.
    env:
      - name: LARRY_CONSOLE_VIEW
    ini:
      - section: callback_larry_console
        key: view
requirements:
  - set as stdout callback, for example C(ANSIBLE_STDOUT_CALLBACK=cortex.larry.console)
  - redis (Python package)
  - rich (Python package), for the table
seealso:
  - plugin: cortex.larry.progress
    plugin_type: callback
"""

import atexit
import contextlib
import os
import sys
import threading
import time
import typing as t

from ansible.plugins.callback.default import CallbackModule as Default
from ansible.template import Templar
from ansible.utils.color import stringc

from ansible_collections.cortex.larry.plugins.callback.progress import field_of, module_of
from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import CoordinationError
from ansible_collections.cortex.larry.plugins.module_utils._coordination.events import EventService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.fallback import on_embedded
from ansible_collections.cortex.larry.plugins.module_utils._coordination.identity import Controller
from ansible_collections.cortex.larry.plugins.module_utils._coordination.session import Session
from ansible_collections.cortex.larry.plugins.module_utils._coordination.settings import Settings
from ansible_collections.cortex.larry.plugins.module_utils._plan import load_plan
from ansible_collections.cortex.larry.plugins.module_utils._report import LiveView
from ansible_collections.cortex.larry.plugins.module_utils.options import SOURCES, settings_of, with_sources

try:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text
except ImportError:  # lines then
    Console = None

_REFRESH_S = 0.25
_COUNTED = ("ok", "changed", "skipped", "rescued", "ignored", "failures", "unreachable")
_LAST_EVENTS_WITHIN_S = 1.0


class Table:
    """The view on a terminal: a table that stays at the bottom, and above it whatever Ansible displays.

    Everything is written under the lock of Ansible's display, which is held around each fork: so no fork ever
    inherits a half-written line or a lock of ours.
    """

    def __init__(self, display: t.Any) -> None:
        self._display = display
        self._original = display.display
        self._console = Console(file=sys.__stdout__, highlight=False)
        options: dict[str, t.Any] = {"redirect_stdout": False, "redirect_stderr": False, "vertical_overflow": "crop"}
        self._live = Live(console=self._console, auto_refresh=False, **options)
        with display._lock:
            self._live.start()
            # Hiding it would leave a terminal without a cursor when the process is killed.
            self._console.show_cursor(True)
        display.display = self._above

    def show(self, view: LiveView) -> None:
        """Draws the state of the run again."""
        width, height = self._console.size
        now = time.time() if view.state == "running" else None
        with self._display._lock:
            self._live.update(Text(view.table(width, now, height=max(4, height - 1)), no_wrap=True), refresh=True)

    def tell(self, _view: LiveView, _event: dict[str, t.Any]) -> None:
        """An event changes the table; it needs no line."""

    def stop(self) -> None:
        """Leaves the table as it is, as ordinary text."""
        with self._display._lock:
            if vars(self._display).get("display") == self._above:
                del self._display.display  # the method of its class is in the open again
                self._live.stop()

    def _above(self, msg: str, color: str | None = None, *args: t.Any, **kwargs: t.Any) -> None:
        # In a worker the original sends the message to this process.
        if getattr(self._display, "_final_q", None) is not None or kwargs.get("log_only") or args:
            self._original(msg, color, *args, **kwargs)
            return
        with self._display._lock:
            self._console.print(Text.from_ansi(stringc(msg, color) if color else msg))
        if not kwargs.get("screen_only"):
            self._original(msg, color, **{**kwargs, "log_only": True})


class Lines:
    """The view everywhere else: a line for each event."""

    def __init__(self, display: t.Any) -> None:
        self._display = display

    def tell(self, view: LiveView, event: dict[str, t.Any]) -> None:
        """Prints what happened."""
        for line in view.lines_for(event):
            self._display.display(line)

    def show(self, _view: LiveView) -> None:
        """A pipe is buffered, and a reader of it wants to see the lines now."""
        with self._display._lock, contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()

    def stop(self) -> None:
        """Nothing is left open."""


class Follower(threading.Thread):
    """Reads the event log and hands it to a view. It has its own connection and shares no lock with the playbook."""

    def __init__(self, display: t.Any, wants_table: bool) -> None:
        super().__init__(name="cortex.larry.console", daemon=True)
        self._display = display
        self._wants_table = wants_table
        self._start = threading.Event()
        self._stop_asked = False
        self._target: tuple[Settings, str, dict[str, t.Any] | None] | None = None
        self.is_showing = False
        self.canvas: t.Any = None

    def aim(self, settings: Settings, run: str, plan: dict[str, t.Any] | None) -> None:
        """Says which run to follow."""
        self._target = (settings, run, plan)
        self.is_showing = True
        self._start.set()

    def finish(self) -> None:
        """Shows the last events, for a moment at most, and ends the view."""
        self._stop_asked = True
        if self._target is not None and self.is_alive():
            self.join(_LAST_EVENTS_WITHIN_S)
        self.is_showing = False
        if self.canvas is not None:
            self.canvas.stop()

    def run(self) -> None:
        """The thread."""
        self._start.wait()
        try:
            self._follow()
        except Exception as error:  # the playbook goes on, with the default callback's output
            sentence = error.sentence if isinstance(error, CoordinationError) else repr(error)
            self.is_showing = False
            if self.canvas is not None:
                self.canvas.stop()
            self._display.display(f"The live view ended: {sentence}")

    def _follow(self) -> None:
        if self._target is None:
            raise AssertionError("followed only with a run to follow")
        settings, run, plan = self._target
        blocks = (getattr(sys.stdout, "encoding", None) or "").lower().startswith("utf")
        view = LiveView(plan, unicode=blocks)
        self.canvas = Table(self._display) if self._wants_table else Lines(self._display)
        service = EventService(Session(settings, Controller.of_process(os.getpid()), "console", member=True))
        since = "0"
        while True:
            is_last = self._stop_asked
            drawn = time.monotonic()
            for event in service.follow(since, timeout_s=_REFRESH_S / 5 if is_last else _REFRESH_S):
                since = event["id"]
                if event.get("run") != run:
                    return
                if view.apply(event):
                    self.canvas.tell(view, event)
                if time.monotonic() - drawn > _REFRESH_S:
                    self.canvas.show(view)
                    drawn = time.monotonic()
            self.canvas.show(view)
            if is_last:
                return


class CallbackModule(Default):
    """The default callback, silent about what goes well while the run itself is shown."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "cortex.larry.console"

    def __init__(self) -> None:
        super().__init__()
        self._follower: Follower | None = None
        self._report: str | None = None
        self._joined = False

    def _is_quiet(self) -> bool:
        return self._follower is not None and self._follower.is_showing

    def v2_playbook_on_start(self, playbook: t.Any) -> None:
        super().v2_playbook_on_start(playbook)
        view = self.get_option("view")
        if view == "none" or self._display.verbosity > 0:
            return
        can_draw = Console is not None and sys.__stdout__ is not None and sys.__stdout__.isatty()
        can_draw = can_draw and os.environ.get("TERM", "dumb") != "dumb"
        self._follower = Follower(self._display, view == "auto" and can_draw)
        self._follower.start()
        atexit.register(self._finish, os.getpid())

    def v2_runner_on_ok(self, result: t.Any) -> None:
        module = module_of(result)
        if module == "run" and not self._joined:
            self._follow_run_of(result)
        elif module == "report":
            self._report = field_of(result, "result").get("report") or self._report
        if not self._is_quiet():
            super().v2_runner_on_ok(result)

    def _follow_run_of(self, result: t.Any) -> None:
        found = field_of(result, "result")
        if self._follower is None or not found.get("run") or "how" not in found:
            return
        try:
            manager = self._play.get_variable_manager()
            variables = manager.get_vars(play=self._play, host=field_of(result, "host"), task=field_of(result, "task"))
            templar = Templar(loader=field_of(result, "task").get_loader(), variables=variables)
            sent = (field_of(result, "task_fields") or {}).get("args") or {}
            parameters = {option: sent.get(option) for option in SOURCES}

            def variable(name: str) -> t.Any:
                return templar.template(variables[name]) if variables.get(name) is not None else None

            settings = settings_of(with_sources(parameters, variable))
            if found.get("fallback"):  # the server did not answer, and the controller uses the embedded one
                settings = on_embedded(settings)
            file = sent.get("plan_file") or variable("larry_plan_file")
            plan = load_plan(str(file)).canonical() if file else None
        except Exception as error:  # then the output stays that of the default callback
            self._display.vvv(f"cortex.larry.console cannot follow the run: {error!r}")
            return
        self._joined = True
        self._follower.aim(settings, str(found["run"]), plan)

    # --- what goes well is in the view already ---

    def v2_playbook_on_play_start(self, play: t.Any) -> None:
        if self._is_quiet():
            self._play = play
        else:
            super().v2_playbook_on_play_start(play)

    def v2_playbook_on_task_start(self, task: t.Any, is_conditional: bool) -> None:
        self._unless_quiet(super().v2_playbook_on_task_start, task, is_conditional)

    def v2_playbook_on_handler_task_start(self, task: t.Any) -> None:
        self._unless_quiet(super().v2_playbook_on_handler_task_start, task)

    def v2_playbook_on_include(self, included_file: t.Any) -> None:
        self._unless_quiet(super().v2_playbook_on_include, included_file)

    def v2_runner_on_start(self, host: t.Any, task: t.Any) -> None:
        self._unless_quiet(super().v2_runner_on_start, host, task)

    def v2_runner_on_skipped(self, result: t.Any) -> None:
        self._unless_quiet(super().v2_runner_on_skipped, result)

    def v2_runner_item_on_ok(self, result: t.Any) -> None:
        self._unless_quiet(super().v2_runner_item_on_ok, result)

    def v2_runner_item_on_skipped(self, result: t.Any) -> None:
        self._unless_quiet(super().v2_runner_item_on_skipped, result)

    def _unless_quiet(self, method: t.Callable[..., None], *args: t.Any) -> None:
        if self._is_quiet():
            # Whatever fails next then comes with the name of its task.
            self._last_task_banner = self._last_task_name = None
        else:
            method(*args)

    # --- the end ---

    def _finish(self, process: int) -> None:
        if self._follower is not None and os.getpid() == process:
            self._follower.finish()

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        was_showing = self._is_quiet()
        self._finish(os.getpid())
        if not was_showing:
            super().v2_playbook_on_stats(stats)
            return
        totals = [stats.summarize(host) for host in stats.processed]
        bad = sorted(host for host in stats.processed if stats.failures.get(host) or stats.dark.get(host))
        sums = {name: sum(one[name] for one in totals) for name in _COUNTED}
        counts = ", ".join(f"{name} {number}" for name, number in sums.items() if number)
        self._display.display(f"\n{len(totals)} hosts of this controller: {counts}")
        if bad:
            self._display.display(f"Failed or unreachable: {', '.join(bad)}", color="red")
        if self._report:
            self._display.display(f"Report: {self._report}")
