# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The launcher behind `make run`: real controllers on an embedded server of its own."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

LARRYS = ("larry-01", "larry-02", "larry-03")
SMALL_PLAN = """---
plugin: cortex.larry.plan
name: small
title: SMALL
run: {{window: 20m, redis: embedded, connection: local, time_scale: 20, fail_on: {fail_on}}}
nodes:
  machine-01: {{address: 127.0.0.1}}
larrys:
  solo:
    domain: development
    node: machine-01
    phase: 15m
    workers:
      digger: {{node: machine-01, tokens: 0, duration: 10m, capabilities: [catalog-deployments]}}
tasks:
  catalog-deployments: {{larry: solo, worker: digger}}
criteria:
  impossible:
    title: No time was spent on coordination
    measure: run.coordination_overhead_percent
    op: "<"
    threshold: 0
estate:
  source: gitops
  path: {estate}
"""


class Launcher:
    """Starts launch.py in a directory of its own, on an embedded server of its own."""

    def __init__(self, checkout: Path, directory: Path, variables: dict[str, str]) -> None:
        self.script = checkout / "scripts" / "launch.py"
        self.checkout = checkout
        self.directory = directory
        self.server = directory / "server"
        self.variables = variables | {"LARRY_EMBEDDED_DIR": str(self.server), "LARRY_EMBEDDED_IDLE_S": "60"}
        self.started: list[subprocess.Popen[Any]] = []

    def start(self, *arguments: str | Path, **options: Any) -> subprocess.Popen[Any]:
        settings = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen(
            [sys.executable, str(self.script), *map(str, arguments)],
            cwd=self.directory,
            env=self.variables,
            **(settings | options),
        )
        self.started.append(process)
        return process

    def run(self, *arguments: str | Path, timeout: float = 140) -> subprocess.CompletedProcess[str]:
        return self.finish(self.start(*arguments), timeout)

    def finish(self, process: subprocess.Popen[str], timeout: float = 140) -> subprocess.CompletedProcess[str]:
        try:
            output, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.show_what_it_waits_for()
            raise
        print(output, errors, sep="\n")
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    def client(self) -> redis.Redis:
        """A client that knows nothing of the collection."""
        about = json.loads((self.server / "server.json").read_text(encoding="utf-8"))
        path = next(value for value in about.values() if isinstance(value, str) and value.endswith(".sock"))
        return redis.Redis(unix_socket_path=path, decode_responses=True, retry=Retry(NoBackoff(), 0))

    def log(self) -> list[dict[str, Any]]:
        """The event log, read without the collection."""
        with self.client() as client:
            return [json.loads(fields["m"]) for _id, fields in client.xrange("larry:log")]

    def wait_for(self, event: str, seconds: float = 60, **fields: str) -> dict[str, Any]:
        """Waits until the log has such an event."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, ValueError, redis.RedisError):
                for entry in self.log():
                    if entry["event"] == event and fields.items() <= entry.items():
                        return entry
            time.sleep(0.1)
        raise AssertionError(f"no {event} {fields} within {seconds} s")

    def processes(self) -> list[tuple[str, str, str]]:
        """Controllers, forks and keepers of ours: id, the kernel function that each waits in, command (Linux).

        They have the environment that we gave them.
        """
        mark = f"LARRY_EMBEDDED_DIR={self.server}".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:200]
                    found.append((process.name, (process / "wchan").read_text(encoding="ascii"), command))
        return found

    def left_running(self) -> list[str]:
        """Their commands."""
        return [command for _pid, _state, command in self.processes()]

    def show_what_it_waits_for(self) -> None:
        """For a launch that does not end: its processes, the end of each controller's output, and the last events."""
        print(*(f"{pid} in {state}: {command}" for pid, state, command in self.processes()), sep="\n")
        for log in sorted(self.directory.glob("**/logs/*.log")):
            print(f"--- {log.name}", *log.read_text(encoding="utf-8").splitlines()[-15:], sep="\n")
        with contextlib.suppress(OSError, ValueError, redis.RedisError):
            print("--- events", *self.log()[-15:], sep="\n")

    def small_plan(self, fail_on: str = "failed") -> Path:
        path = self.directory / "small.larry.yml"
        path.write_text(
            SMALL_PLAN.format(fail_on=fail_on, estate=self.checkout / "examples" / "estate"), encoding="utf-8"
        )
        return path

    def end(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()
        with contextlib.suppress(OSError, ValueError, redis.RedisError), self.client() as client:
            client.shutdown(nosave=True)


@pytest.fixture
def launcher(make_commands: Callable[..., Any], checkout: Path, short_tmp: Path) -> Iterator[Launcher]:
    variables = dict(make_commands().variables)
    del variables["ANSIBLE_CONFIG"]  # the launcher finds the checkout's
    made = Launcher(checkout, short_tmp, variables)
    yield made
    made.end()


def settled(log: list[dict[str, Any]]) -> collections.Counter[str]:
    """How often each task was settled, by the event log."""
    return collections.Counter(
        entry["task_id"]
        for entry in log
        if entry["event"] in ("task_completed", "task_skipped") or (entry["event"] == "task_failed" and entry["final"])
    )


def finals(launcher: Launcher) -> list[dict[str, Any]]:
    reports = launcher.directory / "coordination" / "reports"
    return [json.loads((reports / f"{larry}-final.json").read_text(encoding="utf-8")) for larry in LARRYS]


def test_three_controllers_one_run_and_once_more(launcher: Launcher) -> None:
    result = launcher.run()
    assert result.returncode == 0, result.stderr
    first = finals(launcher)
    runs = {final["run"]["id"] for final in first}
    assert len(runs) == 1
    # A controller for each Larry, each another incarnation and another process.
    led = [final["larry"]["controllers"] for final in first]
    assert [len(controllers) for controllers in led] == [1, 1, 1]
    assert len({controllers[0]["id"] for controllers in led}) == len({one[0]["pid"] for one in led}) == 3

    log = launcher.log()
    assert [int(entry["id"]) for entry in log] == list(range(1, len(log) + 1))
    counts = settled(log)
    assert set(counts) == set(first[0]["plan"]["tasks"]) and set(counts.values()) == {1}
    with launcher.client() as client:
        assert client.get("phase:larry-01:status") == "completed"
        assert {client.get(f"task:status:{task}") for task in counts} <= {"completed", "skipped"}

    # What the last lines name is there and works.
    for report in ("3-LARRY-EXECUTION-SUMMARY.md", "3-LARRY-EXECUTION-SUMMARY.html"):
        assert f"coordination/reports/{report}" in result.stdout
        assert (launcher.directory / "coordination" / "reports" / report).stat().st_size > 1000
    assert 'redis ARGS="GET phase:larry-01:status"' in result.stdout
    states = collections.Counter(one["state"] for one in all_criteria(first).values())
    told = f"{states['met']} met, {states['unmet']} unmet, {states['not measured']} not measured"
    assert f"Criteria   {told}" in result.stdout
    for criterion in all_criteria(first).values():
        assert (criterion["title"] in result.stdout) == (criterion["state"] == "unmet")
    for larry in LARRYS:
        assert "PLAY RECAP" in (launcher.directory / "coordination" / "logs" / f"{larry}.log").read_text()
    assert "PLAY RECAP" not in result.stdout
    wait_until_nothing_runs(launcher)

    # Once more, with two controllers for the three Larrys.
    again = launcher.run("--controllers", "2")
    assert again.returncode == 0, again.stderr
    second = finals(launcher)
    assert {final["run"]["id"] for final in second}.isdisjoint(runs)
    assert len({final["larry"]["controllers"][0]["id"] for final in second}) == 2
    assert set(settled(launcher.log()).values()) == {1}
    wait_until_nothing_runs(launcher)


def all_criteria(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By id; the files hold the criteria of their Larry and of the system."""
    return {one["id"]: one for final in found for one in final["criteria"]}


def wait_until_nothing_runs(launcher: Launcher, seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while (left := launcher.left_running()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_everything_and_says_what_is_given_up(launcher: Launcher, number: int, code: int) -> None:
    process = launcher.start()
    launcher.wait_for("task_claimed", larry="larry-03")
    began = time.monotonic()
    process.send_signal(number)
    result = launcher.finish(process, timeout=40)
    assert result.returncode == code
    assert time.monotonic() - began < 35
    for larry in LARRYS:
        assert re.search(rf"{larry} gave up .*slot:{larry}\b", result.stdout), f"nothing is said of {larry}"
    assert "is not finished" in result.stdout
    with launcher.client() as client:
        assert list(client.scan_iter("task:lock:*")) == []
    wait_until_nothing_runs(launcher)


def test_a_killed_controller_is_started_again_and_resumes(launcher: Launcher) -> None:
    process = launcher.start("--plan", launcher.small_plan())
    pid = launcher.wait_for("run_joined")["pid"]
    launcher.wait_for("task_claimed")
    os.kill(pid, signal.SIGKILL)
    result = launcher.finish(process)
    assert result.returncode == 0, result.stderr
    assert "started again" in result.stdout
    log = launcher.log()
    joined = [entry for entry in log if entry["event"] == "run_joined"]
    assert len({entry["controller"] for entry in joined}) == 2 and len({entry["run"] for entry in joined}) == 1
    assert settled(log) == {"catalog-deployments": 1}
    wait_until_nothing_runs(launcher)


def test_unmet_criteria_count_where_the_plan_says_so(launcher: Launcher) -> None:
    result = launcher.run("--plan", launcher.small_plan(fail_on="unmet"))
    assert result.returncode == 2
    assert "1 unmet" in result.stdout and "No time was spent on coordination" in result.stdout
    assert settled(launcher.log()) == {"catalog-deployments": 1}


def test_a_table_on_a_terminal_and_no_lines(launcher: Launcher) -> None:
    pytest.importorskip("rich")
    ours, theirs = pty.openpty()
    launcher.variables |= {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    process = launcher.start("--plan", launcher.small_plan(), stdin=theirs, stdout=theirs, stderr=theirs, text=False)
    os.close(theirs)
    output = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while piece := os.read(ours, 65536):
            output += piece
    os.close(ours)
    assert process.wait(10) == 0
    text = output.decode()
    assert "SMALL" in text and "Status" in text and "digger:catalog-deployments" in text
    assert "claimed by" not in text and "controller" not in text.replace("1 controller,", "")
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l"), "the cursor is visible again"
    assert text.rindex("Criteria ") > text.rindex("Status"), "the last lines stand below the table"


@pytest.mark.main_core
def test_a_broken_plan_starts_nothing(launcher: Launcher) -> None:
    plan = launcher.checkout / "tests" / "broken_plans" / "21-cycle.larry.yml"
    result = launcher.run("--plan", plan)
    assert result.returncode == 4
    assert re.match(rf"{re.escape(str(plan))}:\d+: .*cycle", result.stderr)
    assert result.stdout == ""
    assert list(launcher.directory.iterdir()) == []


@pytest.mark.main_core
def test_the_plan_of_the_cluster_is_refused_in_one_sentence(launcher: Launcher) -> None:
    result = launcher.run("--plan", launcher.checkout / "inventories" / "k3s")
    assert result.returncode == 2
    assert result.stderr.count("not there yet") == 1
    assert [path.name for path in (launcher.directory / "coordination" / "logs").iterdir()] == ["three-larrys.log"]


@pytest.mark.main_core
def test_help_says_what_the_codes_mean(launcher: Launcher) -> None:
    result = launcher.run("--help")
    assert result.returncode == 0 and "130 and 143" in result.stdout
