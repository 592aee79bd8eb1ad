# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controllers of one launch as processes of ansible-runner: started, signalled, started again, judged."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import ansible_runner

from . import arguments
from .view import View

STOP_WITHIN_S = 30.0
INSIST_AFTER_S = 5.0


class Controller:
    """One ansible-playbook under ansible-runner; its name says which Larrys it leads."""

    def __init__(self, name: str, command: list[str], log: Path, private: Path, team: Team) -> None:
        self.name, self.command, self.log, self.private, self.team = name, command, log, private, team
        self.restarted = False
        self.end_was_told = False
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("", encoding="utf-8")

    def start(self) -> None:
        """Starts it in a thread of the runner."""
        self.pid: int | None = None
        self.failures: list[tuple[str, str, str]] = []
        self.lost_a_fork = False
        self.thread, self.runner = ansible_runner.run_command_async(
            "ansible-playbook",
            self.command,
            private_data_dir=str(self.private),
            host_cwd=os.getcwd(),
            envvars=arguments.environment(),
            quiet=True,
            fact_cache_type="memory",  # the runner would turn a cache of facts on
            event_handler=self.on_event,
            cancel_callback=self.is_overdue,
        )

    def on_event(self, event: dict[str, Any]) -> bool:
        """Takes a piece of output, in the runner's thread; False, so that no file is made of each."""
        about = event.get("event_data") or {}
        result = about.get("res") or {}
        if event.get("stdout"):
            with self.log.open("a", encoding="utf-8") as log:
                log.write(event["stdout"] + "\n")
            self.lost_a_fork |= "worker was found in a dead state" in event["stdout"]
        if self.pid is None and event.get("pid"):
            self.pid = event["pid"]
            if self.team.stopped_by:  # somebody wanted it to stop before it could be told
                self.pass_on(self.team.stopped_by)
        if event.get("event") == "runner_on_ok" and about.get("resolved_action") == "cortex.larry.run":
            self.team.run = result.get("run") or self.team.run
            self.team.fell_back |= bool(result.get("fallback"))
            self.team.joined.set()
        if event.get("event") in ("runner_on_failed", "runner_on_unreachable") and not about.get("ignore_errors"):
            said = result.get("msg") or result.get("stderr") or result.get("censored") or "it failed without a message"
            self.failures.append((str(about.get("host")), str(about.get("task")), str(said)))
        return False

    def is_overdue(self) -> bool:
        """Asked by the runner; True ends the process group with SIGKILL."""
        return bool(self.team.stopped_by) and time.monotonic() > self.team.patience_ends

    def pass_on(self, number: int) -> None:
        """Sends a signal as a terminal does: to the process group."""
        if self.pid is not None and self.thread.is_alive():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def ended_abnormally(self) -> bool:
        """Killed by a signal (the runner then has no code), or without one of its forks."""
        return self.runner.rc is None or (self.runner.rc != 0 and self.lost_a_fork)


class Team:
    """The controllers of one launch, and the run that they join."""

    def __init__(self, commands: dict[str, list[str]], directory: Path, private: Path) -> None:
        self.run: str | None = None
        self.fell_back = False  # the controller uses the embedded server, since the plan's did not answer
        self.joined = threading.Event()
        self.stopped_by = 0
        self.patience_ends = self.insist_at = 0.0
        self.controllers = [
            Controller(name, command, directory / "logs" / f"{name}.log", private / name, self)
            for name, command in commands.items()
        ]

    def stop(self, number: int, _frame: object = None) -> None:
        """The handler of SIGINT and SIGTERM; a second one ends the patience."""
        self.patience_ends = time.monotonic() + (0 if self.stopped_by else STOP_WITHIN_S)
        self.insist_at = time.monotonic() + INSIST_AFTER_S
        self.stopped_by = self.stopped_by or number
        for controller in self.controllers:
            controller.pass_on(number)

    def tend(self, view: View) -> bool:
        """Starts again, once, what ended abnormally; says whether any controller runs."""
        if self.stopped_by and time.monotonic() > self.insist_at:
            self.insist_at += INSIST_AFTER_S
            for one in self.controllers:
                one.pass_on(signal.SIGTERM)  # Python drops a SIGINT that comes in the middle of a fork
        for one in self.controllers:
            if not (one.thread.is_alive() or self.stopped_by or one.restarted) and one.ended_abnormally():
                view.note(f"the controller {one.name} was killed or lost a fork; it is started again and resumes")
                one.restarted = True
                one.start()
            elif not (one.thread.is_alive() or one.end_was_told):
                one.end_was_told = True
                if one.runner.rc and not self.stopped_by:
                    first = f": {one.failures[0][2]}" if one.failures else ""
                    view.note(f"the controller {one.name} ended with {one.runner.rc}{first}")
        return any(one.thread.is_alive() for one in self.controllers)

    def exit_code(self) -> int:
        """128 + the signal; else 2 if a controller ended with 2, else the first code that is not 0."""
        codes = [1 if one.runner.rc is None else one.runner.rc for one in self.controllers]
        return 128 + self.stopped_by if self.stopped_by else 2 if 2 in codes else next(filter(None, codes), 0)
