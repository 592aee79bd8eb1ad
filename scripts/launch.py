# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start one controller for each Larry of a plan at the same moment and follow them: the program behind "make run".

    launch.py                                  the embedded plan, one controller for each Larry
    launch.py --plan my.larry.yml --controllers 1
    launch.py -e larry_retry=true -- --check   what stands after -- goes to ansible-playbook

Each controller is `ansible-playbook playbooks/site.yml -i PLAN --limit GROUP`, run by ansible-runner; its output is in
<coordination directory>/logs/. What is shown comes from the event log of the run that the controllers joined.
Exit codes: 0 everything is settled and nothing failed; 2 a task or a barrier failed (or a criterion is unmet, where the
plan says fail_on: unmet); 4 the plan is wrong and nothing was started; 130 and 143 after Ctrl-C and SIGTERM; else the
code of the first controller that failed.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "playbooks" / "collections"))

try:
    import ansible_runner
except ImportError as error:
    sys.exit(f"The launcher needs ansible-runner ({error}): start it with 'make run', which installs what it needs.")

from launcher import arguments, ending  # noqa: E402
from launcher.view import View  # noqa: E402
from launcher.watching import watch  # noqa: E402

from ansible_collections.cortex.larry.plugins.module_utils._coordination.connection import connect  # noqa: E402
from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import CoordinationError  # noqa: E402
from ansible_collections.cortex.larry.plugins.module_utils._coordination.events import EventService  # noqa: E402
from ansible_collections.cortex.larry.plugins.module_utils._coordination.identity import Controller as Identity  # noqa: E402
from ansible_collections.cortex.larry.plugins.module_utils._coordination.session import Session  # noqa: E402
from ansible_collections.cortex.larry.plugins.module_utils._coordination.settings import Settings  # noqa: E402
from ansible_collections.cortex.larry.plugins.module_utils._plan import PlanError, load_plan  # noqa: E402

STOP_WITHIN_S = 30.0
INSIST_AFTER_S = 5.0


class Controller:
    """One ansible-playbook under ansible-runner; its name says which Larrys it leads."""

    def __init__(self, name: str, command: list[str], log: Path, private: Path, team: Team) -> None:
        self.name, self.command, self.log, self.private, self.team = name, command, log, private, team
        self.restarted = False
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
        return any(one.thread.is_alive() for one in self.controllers)

    def exit_code(self) -> int:
        """128 + the signal; else 2 if a controller ended with 2, else the first code that is not 0."""
        codes = [1 if one.runner.rc is None else one.runner.rc for one in self.controllers]
        return 128 + self.stopped_by if self.stopped_by else 2 if 2 in codes else next(filter(None, codes), 0)


def follow(team: Team, settings: Settings, told: queue.Queue[Any]) -> None:
    """Puts each event of the run into `told` as it comes, and a sentence if the server does not answer. A thread."""
    team.joined.wait()
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


def main(words: list[str]) -> int:
    """Returns the exit code."""
    options = arguments.parse(words, __doc__)
    try:
        plan = load_plan(options.plan)
        settings = arguments.settings_for(plan, options.extra_vars)
        commands = arguments.commands(plan, options)
        if settings.server == "embedded":
            connect(settings)  # starts the server, and keeps it while this process lives
    except PlanError as error:
        print(f"{error}\nThe plan cannot be used; nothing was started.", file=sys.stderr)
        return 4
    except CoordinationError as error:
        print(error.sentence, file=sys.stderr)
        return 1
    directory = Path(options.directory or plan.run_directory).absolute()
    told: queue.Queue[Any] = queue.Queue()
    with tempfile.TemporaryDirectory(prefix="larry-") as private:
        team = Team(commands, directory, Path(private))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, team.stop)
        with View(plan.canonical(), options.plain) as view:
            count = f"{len(commands)} controller{'s' if len(commands) > 1 else ''}"
            view.note(f"starting {count}, output in {ending.shown(directory / 'logs')}")
            for controller in team.controllers:
                controller.start()
            threading.Thread(target=follow, args=(team, settings, told), daemon=True).start()
            watch(team, told, view)
    model = ending.read_result(plan, directory, team.run)
    print("", *ending.closing_lines(plan, directory, team.run, model), sep="\n")
    ending.print_failures([one for one in team.controllers if one.runner.rc != 0 and not team.stopped_by])
    unmet = model is not None and any(one["state"] == "unmet" for one in model["criteria"])
    return team.exit_code() or (2 if unmet and plan.canonical()["fail_on"] == "unmet" else 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
