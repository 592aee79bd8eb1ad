# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A test bench for controllers: real ansible-playbook processes, and the state of the run by a second route.

Each bench has its own directory, HOME, runtime directory, server and plan. What is asserted is read with plain
redis-py from the documented keys and from the log stream, never through the code under test.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from servers import start_valkey

ROOT = Path(__file__).resolve().parents[3]
PLAYBOOKS = ROOT / "playbooks"
PLANS = ROOT / "tests" / "plans"
SETTLED = {"task_completed", "task_skipped", "task_failed"}
CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: default}\ndata: {colour: green}\n"
# The bench's mark in the environment of whatever a controller starts, so that what is left can be found.
MARK = "LARRY_TEST_BENCH"

Event = dict[str, Any]


def moment(event: Event) -> float:
    """The server's time of an event in seconds."""
    return datetime.datetime.strptime(event["timestamp"], "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()


def parent_of(pid: int) -> int | None:
    """The parent's id, or None when the process is gone; its name may hold anything, so count from its end."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(text[text.rindex(")") + 2 :].split()[1])


def process_tree(pid: int) -> list[int]:
    """The ids of all descendants of a process, nearest first."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        parent = parent_of(int(entry)) if entry.isdigit() else None
        if parent is not None:
            children.setdefault(parent, []).append(int(entry))
    found: list[int] = []
    front = [pid]
    while front:
        front = [child for parent in front for child in children.get(parent, [])]
        found.extend(front)
    return found


def command_line(pid: int) -> str:
    """The command line of a process with blanks between the words; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


@dataclass
class Process:
    """A started command: its name for messages, and the file with its output."""

    name: str
    popen: subprocess.Popen[str]
    log: Path

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def output(self) -> str:
        """What it has written so far."""
        return self.log.read_text(errors="replace")

    @property
    def tail(self) -> str:
        """The end of the output, for messages."""
        return f"--- {self.name} (code {self.popen.poll()}):\n{self.output[-3000:]}"

    def running(self) -> bool:
        return self.popen.poll() is None

    def wait(self, timeout: float = 120) -> int:
        """The exit code; the test fails when it does not end in time."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{self.name} did not end within {timeout:g} s.\n{self.tail}")

    def forks(self) -> list[int]:
        """The ids of its children."""
        return [child for child in process_tree(self.pid) if parent_of(child) == self.pid]

    def signal(self, number: int) -> None:
        """Send a signal to this process alone."""
        os.kill(self.pid, number)


@dataclass
class Bench:
    """One run's surroundings: see the module."""

    directory: Path
    variables: dict[str, str]
    mark: str
    socket: Path | None = None
    plan: Path | None = None
    started: list[Process] = field(default_factory=list)

    # --- processes ---------------------------------------------------------------------------------------------------

    @property
    def work(self) -> Path:
        """The current directory of the commands."""
        return self.directory / "w"

    def start(self, program: str, *arguments: Any, name: str | None = None, **variables: str) -> Process:
        """Start a command of the environment under test in a process group of its own."""
        name = name or f"{program}-{len(self.started)}"
        log = self.directory / f"{name}.log"
        with log.open("w") as stream:
            popen = subprocess.Popen(
                [str(Path(sys.executable).parent / program), *map(str, arguments)],
                cwd=self.work,
                env=self.variables | variables,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        process = Process(name, popen, log)
        self.started.append(process)
        return process

    def playbook(self, playbook: Any, *arguments: Any, name: str | None = None, **variables: str) -> Process:
        """Start ansible-playbook on one of our playbooks (or a path) with this bench's plan and server."""
        path = playbook if isinstance(playbook, Path) else PLAYBOOKS / f"{playbook}.yml"
        options: list[Any] = ["-i", self.plan] if self.plan else []
        if self.socket:
            options += ["-e", f"larry_redis=unix://{self.socket}"]
        return self.start("ansible-playbook", path, *options, *arguments, name=name, **variables)

    def site(self, limit: str | None = None, *arguments: Any, name: str | None = None, **variables: str) -> Process:
        """Start a controller, for one Larry if `limit` names its group."""
        options = ["--limit", limit] if limit else []
        name = name or f"site-{limit or 'all'}-{len(self.started)}"
        return self.playbook("site", *options, *arguments, name=name, **variables)

    def run(self, playbook: Any, *arguments: Any, timeout: float = 60, **variables: str) -> Process:
        """Run a playbook to its end."""
        process = self.playbook(playbook, *arguments, **variables)
        process.wait(timeout)
        return process

    def left_processes(self) -> dict[int, str]:
        """What still runs of all that the controllers of this bench started: keepers, forks, commands."""
        wanted = f"{MARK}={self.mark}".encode()
        found = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit() and int(entry) != os.getpid():
                with contextlib.suppress(OSError):
                    state = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[0]
                    if state != "Z" and wanted in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0"):
                        found[int(entry)] = command_line(int(entry))
        return found

    def nothing_left(self, timeout: float = 25) -> None:
        """Fail unless all processes of this bench are gone in time."""
        try:
            self.wait(lambda: not self.left_processes(), "all processes to be gone", timeout)
        except pytest.fail.Exception:
            pytest.fail(f"Still running {timeout:g} s later: {self.left_processes()}")

    def end(self) -> None:
        """Kill what this bench started and nothing else."""
        for process in self.started:
            if process.running():
                with contextlib.suppress(OSError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.popen.wait(10)
        deadline = time.monotonic() + 10
        while self.left_processes() and time.monotonic() < deadline:
            time.sleep(0.1)
        for pid in self.left_processes():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    # --- the run by a second route -----------------------------------------------------------------------------------

    @property
    def client(self) -> redis.Redis:
        """A plain client; the embedded server's socket is found in its directory."""
        path = self.socket
        if path is None:
            found = list(self.directory.glob("e/**/*.sock")) + list(self.directory.glob("x/**/*.sock"))
            if not found:
                raise redis.exceptions.ConnectionError("the embedded server has no socket yet")
            path = found[0]
        return redis.Redis(unix_socket_path=str(path), decode_responses=True, socket_timeout=10)

    def events(self, *names: str, **fields: Any) -> list[Event]:
        """The log: all entries, or those of these names with these fields."""
        with self.client as client:
            entries = [json.loads(content["m"]) for _id, content in client.xrange("larry:log")]
        return [
            entry
            for entry in entries
            if (not names or entry["event"] in names) and all(entry.get(key) == value for key, value in fields.items())
        ]

    def wait(self, predicate: Callable[[], Any], what: str, timeout: float = 60) -> Any:
        """Ask until the answer is true; fail with `what` and the ends of all outputs when the time is over."""
        deadline = time.monotonic() + timeout
        while True:
            with contextlib.suppress(redis.exceptions.ConnectionError):
                answer = predicate()
                if answer:
                    return answer
            if time.monotonic() > deadline:
                pytest.fail(f"Waited {timeout:g} s in vain for {what}.\n{self.story(self.started)}")
            time.sleep(0.05)

    def wait_event(self, name: str, timeout: float = 60, **fields: Any) -> Event:
        """The first entry of this name with these fields, as soon as it is there."""
        return self.wait(lambda: self.events(name, **fields), f"the event {name} {fields}", timeout)[0]

    def all_end(self, processes: list[Process], timeout: float = 120) -> list[int]:
        """The exit codes of several processes that share one time-out."""
        deadline = time.monotonic() + timeout
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.popen.wait(max(0.1, deadline - time.monotonic()))
        if any(process.running() for process in processes):
            pytest.fail(f"Not all controllers ended within {timeout:g} s.\n{self.story(processes)}")
        return [process.popen.returncode for process in processes]

    def story(self, processes: list[Process]) -> str:
        """The log of the run and the ends of the outputs, for messages."""
        lines = []
        with contextlib.suppress(redis.exceptions.RedisError):
            for event in self.events():
                more = {k: v for k, v in event.items() if k not in ("id", "timestamp", "from", "event", "run", "rows")}
                lines.append(
                    f"{event['id']:>4} {event['timestamp'][11:23]} {event['from']} {event['event']} {more}"[:240]
                )
        return "\n".join([*lines, *(process.tail for process in processes)])

    def final(self, larry: str) -> dict[str, Any]:
        """The final file of a Larry."""
        return json.loads((self.work / "coordination" / "reports" / f"{larry}-final.json").read_text())

    def witness(self, name: str = "witness") -> list[list[str]]:
        """The lines that the capabilities wrote, as words: what, task, seconds since 1970."""
        path = self.work / name
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def told(self, name: str = "witness") -> Counter[tuple[str, str]]:
        """How often each (what, task) was witnessed."""
        return Counter((line[0], line[1]) for line in self.witness(name))

    def check_log(self, tasks: list[str] | None = None, complete: bool = True) -> list[Event]:
        """Check what holds for every run, from the log and the documented keys alone."""
        log = self.events()
        assert [event["id"] for event in log] == [str(number) for number in range(1, len(log) + 1)], "gaps in the log"
        assert len({event["run"] for event in log}) == 1, "more than one run in the log"
        assert [event["event"] for event in log].count("run_created") == 1
        settled = Counter(
            event["task_id"] for event in log if event["event"] in SETTLED and event.get("final") is not False
        )
        assert set(settled.values()) <= {1}, f"settled more than once: {settled}"
        fences: dict[str, int] = {}
        for event in log:
            if event["event"] == "task_claimed":
                assert int(event["fence"]) > fences.get(event["task_id"], 0), "a fence that does not grow"
                fences[event["task_id"]] = int(event["fence"])
        with self.client as client:
            for task in settled:
                kind = next(
                    event["event"]
                    for event in log
                    if event["event"] in SETTLED and event["task_id"] == task and event.get("final") is not False
                )
                assert client.get(f"task:status:{task}") == kind.removeprefix("task_"), task
            if tasks is not None:
                assert set(settled) == set(tasks), f"never settled: {set(tasks) - set(settled)}"
            if complete:
                assert [event["event"] for event in log].count("run_complete") == 1
                assert list(client.scan_iter("task:lock:*")) == [], "locks after the run"
        return log


def changed_plan(source: Path, target: Path, estate: Path, change: Callable[[dict[str, Any]], Any] | None) -> Path:
    """A copy of a test plan with a small estate and whatever a test changes."""
    plan = yaml.safe_load(source.read_text())
    plan["estate"]["path"] = str(estate)
    if change:
        change(plan)
    target.write_text(yaml.safe_dump(plan, sort_keys=False))
    return target


MakeBench = Callable[..., Bench]


@contextlib.contextmanager
def benches() -> Iterator[MakeBench]:
    """A function that makes benches, all of which are cleared away at the end."""
    made: list[tuple[Bench, Any]] = []

    def make(
        plan: str | Path | None = "pair",
        change: Callable[[dict[str, Any]], Any] | None = None,
        embedded: bool = False,
        configured: bool = True,
        **variables: str,
    ) -> Bench:
        # Unix sockets want short paths, which pytest's own directories are not.
        directory = Path(tempfile.mkdtemp(prefix="larry-"))
        for name in ("w", "h", "x", "e", "v", "estate"):
            (directory / name).mkdir(mode=0o700)
        (directory / "estate" / "settings.yaml").write_text(CONFIG_MAP)
        mark = uuid.uuid4().hex
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "LARRY_"))}
        environment |= {
            "HOME": str(directory / "h"),
            "XDG_RUNTIME_DIR": str(directory / "x"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', os.defpath)}",
            "LC_ALL": "C.UTF-8",
            "LARRY_EMBEDDED_DIR": str(directory / "e"),
            "LARRY_EMBEDDED_IDLE_S": "20",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_ROLES_PATH": str(ROOT / "tests" / "roles"),
            MARK: mark,
        }
        environment.pop("XDG_STATE_HOME", None)
        config = directory / "ansible.cfg"
        # Without ours: an empty one, since Ansible would look for others in the current directory and HOME.
        config.write_text((ROOT / "ansible.cfg").read_text() if configured else "")
        if configured:
            # Relative paths in it mean the checkout.
            config.write_text(re.sub(r"\./", f"{ROOT}/", config.read_text()))
        environment["ANSIBLE_CONFIG"] = str(config)
        server = None
        bench = Bench(directory, environment | variables, mark)
        if not embedded:
            bench.socket = directory / "v" / "s"
            server = start_valkey(directory / "v")
        if isinstance(plan, Path):
            bench.plan = plan
        elif plan is not None:
            target = directory / f"{plan}.larry.yml"
            bench.plan = changed_plan(PLANS / target.name, target, directory / "estate", change)
        made.append((bench, server))
        return bench

    try:
        yield make
    finally:
        for bench, server in made:
            bench.end()
            if server is not None:
                server.stop()
            else:
                with contextlib.suppress(redis.exceptions.RedisError), bench.client as client:
                    client.shutdown(nosave=True)
            shutil.rmtree(bench.directory, ignore_errors=True)


@pytest.fixture
def make_bench() -> Iterator[MakeBench]:
    """Return a function that makes benches: `make_bench("pair", change, embedded=False, configured=True)`."""
    with benches() as make:
        yield make


@pytest.fixture(scope="module")
def make_module_bench() -> Iterator[MakeBench]:
    """The same for benches that the tests of a module share."""
    with benches() as make:
        yield make


@pytest.fixture
def fork_of() -> Callable[[Process, str], int | None]:
    """Return a function that finds the fork of a controller under which a command with these words runs."""

    def find(controller: Process, words: str) -> int | None:
        for fork in controller.forks():
            if any(command_line(child) == words for child in process_tree(fork)):
                return fork
        return None

    return find


@pytest.fixture
def when() -> Callable[[Event], float]:
    """Return the function that gives the server's time of an event in seconds."""
    return moment
