# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One round: a fresh server, a run, its clients, a schedule of faults, and the check of what came of it."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from call_records import Recorder, read_calls
from fault_schedule import Fault, draw_schedule
from faulty_processes import MARK, Controller, marked, process_with_id, send, stat_of
from history_checker import Violation, check
from run_history import outside, place_canaries, read_history, sample
from server_with_faults import FaultyServer
from synthetic_plan import draw_plan

from ansible_collections.cortex.larry.plugins.module_utils._coordination.identity import Controller as Identity
from ansible_collections.cortex.larry.plugins.module_utils._coordination.lua.scripts import SCRIPTS
from ansible_collections.cortex.larry.plugins.module_utils._coordination.phases import PhaseService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.runs import RunService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.session import Session
from ansible_collections.cortex.larry.plugins.module_utils._coordination.settings import Settings

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PREFIX = "chaos:"
_LOOK_S = 0.02
_SAMPLE_S = 0.2
# Nothing settled for so long after the last fault: the run does not end by itself.
STUCK_S = 40.0


@dataclass
class Outcome:
    """What came of a round."""

    number: int
    form: str
    tasks: int
    seconds: float
    calls: int
    fired: Counter[str]
    missed: Counter[str]
    violations: list[Violation]
    directory: Path
    log_entries: int = 0
    restarts: int = 0
    cut_short: bool = False
    no_end: bool = False
    unavailable: set[str] = field(default_factory=set)


class ProxyProcess:
    """The proxy as a process of its own, and orders to it."""

    def __init__(self, directory: Path, upstream: Path, clients: dict[str, int | None]) -> None:
        directory.mkdir()
        self.directory = directory
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "faulty_proxy.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(directory / "proxy.log").open("wb"),
            start_new_session=True,
        )
        digests = {
            hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(): name for name, text in SCRIPTS.items()
        }
        wanted = {"directory": str(directory), "upstream": str(upstream), "scripts": digests, "clients": clients}
        self.process.stdin.write(json.dumps(wanted).encode() + b"\n")
        self.process.stdin.flush()
        if self.process.stdout.readline().strip() != b"ready":
            raise RuntimeError("The proxy did not start: " + (directory / "proxy.log").read_text())
        self.line = socket.socket(socket.AF_UNIX)
        self.line.connect(str(directory / "control"))
        self.stream = self.line.makefile("rwb")

    def order(self, do: str, **facts: Any) -> dict[str, Any]:
        self.stream.write(json.dumps({"do": do, **facts}).encode() + b"\n")
        self.stream.flush()
        return json.loads(self.stream.readline())

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.line.close()


class Round:
    """A run under faults; the forms (library clients, whole controllers) say how its controllers are started."""

    form = "library"
    ttl_s = 1.0
    # Seconds from the cancel to the end of the run and the check, on a slow machine.
    room_s = 25.0
    # With less time than this left none is begun.
    least_s = 15.0

    def __init__(
        self, seed: str, number: int, tasks: int, kinds: list[str], base: Path, until: float, density: float = 1.0
    ) -> None:
        self.seed = seed
        self.number = number
        self.rng = random.Random(f"{seed}/{number}/{self.form}")
        self.tasks = tasks
        self.kinds = kinds
        self.density = density
        self.until = until  # when faults stop and the run is cancelled, by time.monotonic()
        # A Unix socket wants a short path.
        self.directory = Path(tempfile.mkdtemp(prefix=f"{number:03d}-", dir=base))
        self.records = self.directory / "records"
        self.records.mkdir()
        (self.directory / "x").mkdir(mode=0o700)
        self.plan = self.make_plan()
        self.schedule = self.make_schedule()
        self.fired: Counter[str] = Counter()
        self.missed: Counter[str] = Counter()
        self.unavailable: set[str] = set()
        self.story: list[dict[str, Any]] = []
        self.samples: list[dict[str, Any]] = []
        self.later: list[tuple[float, Any]] = []
        self.strangers: list[subprocess.Popen[bytes]] = []
        self.clock = 0.0
        self.clock_moves: list[float] = []
        self.losses: list[float] = []  # when the server lost history, and when that was recovered
        self.recoveries: list[float] = []
        self.recovering: subprocess.Popen[bytes] | None = None
        self.cut_short = False
        self.no_end = False
        self.said_at = 0.0

    # --- what a form decides -----------------------------------------------------------------------------------------

    def make_plan(self) -> dict[str, Any]:
        return draw_plan(self.rng, self.tasks)

    def make_schedule(self) -> list[Fault]:
        return draw_schedule(self.rng, self.kinds, self.tasks, self.ttl_s, self.density)

    def clients(self) -> dict[str, str]:
        """Name of a controller -> the Larry that it leads."""
        names = sorted(self.plan["larrys"])
        found = {f"c{place}": larry for place, larry in enumerate(names)}
        if self.rng.random() < 0.5:
            found[f"c{len(names)}"] = self.rng.choice(names)  # a standby
        return found

    def launch(self, controller: Controller) -> subprocess.Popen[bytes]:
        """Starts an incarnation of a controller."""
        config = self.config(controller.name) | {
            "name": f"{controller.name}.{controller.incarnation}",
            "incarnation": controller.incarnation,
            "seed": f"{self.seed}/{self.number}",
            "records": str(self.records),
            "larry": self.leads[controller.name],
            "ttl_ms": int(self.ttl_s * 1000),
            "policy": "wait",
            "slow_share": 0.006 * self.density,
            "gate": [declared["workers"][0] for declared in self.plan["larrys"].values()],
        }
        with (self.directory / f"{controller.name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, str(HERE / "library_clients.py")],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self.environment(controller.this_mark),
                start_new_session=True,
            )
        process.stdin.write(json.dumps(config).encode() + b"\n")
        process.stdin.close()
        return process

    def config(self, client: str) -> dict[str, Any]:
        """What whoever acts in the run must know."""
        return {
            "settings": {"server": self.url(client), "prefix": PREFIX, "timeout_s": 3.0},
            "plan": str(self.directory / "plan.json"),
            "digest": "digest-" + self.seed,
            "run": f"run-{self.number}",
        }

    def may_start(self, _controller: Controller) -> bool:
        """The library clients look for themselves whether there is still something to do."""
        return True

    def environment(self, mark: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "LARRY_"))}
        return kept | {
            "XDG_RUNTIME_DIR": str(self.directory / "x"),
            "PYTHONPATH": os.pathsep.join([str(ROOT / "playbooks" / "collections"), str(HERE)]),
            MARK: mark,
        }

    def url(self, client: str) -> str:
        """One controller uses TCP, the others Unix sockets; all of them the proxy."""
        port = self.ports.get(client)
        return f"redis://127.0.0.1:{port}/0" if port else f"unix://{self.directory / 'p' / client}"

    # --- the round ---------------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """From the start of the server to the check."""
        began = time.monotonic()
        needs_clock = any(kind.startswith("clock") for kind in self.kinds)
        self.server = FaultyServer(self.directory, clock=needs_clock)
        (self.directory / "plan.json").write_text(json.dumps(self.plan))
        (self.directory / "schedule.json").write_text(json.dumps([one.as_dict() for one in self.schedule], indent=1))
        self.leads = self.clients()
        self.ports = {next(iter(self.leads)): free_port()}
        self.proxy: ProxyProcess | None = None
        self.controllers: list[Controller] = []
        mark = f"{os.getpid()}-{self.number}-{self.form}"
        try:
            self.server.start()
            with self.server.client() as client:
                place_canaries(client)
                before = outside(str(self.server.socket), PREFIX)
            self.proxy = ProxyProcess(
                self.directory / "p", self.server.socket, {name: self.ports.get(name) for name in self.leads}
            )
            self.proxy.order("arm", rules=[one.as_rule() for one in self.schedule if one.group == "calls"])
            for name in self.leads:
                self.controllers.append(
                    Controller(name, mark, self.launch, lambda: self.rng.uniform(0.0, 0.5), self.may_start)
                )
            self.operator = Recorder(self.records, "operator", "operator")
            violations = self.go_on()
            violations += self.look_at_end(before)
        finally:
            for controller in self.controllers:
                controller.end()
            for stranger in [*self.strangers, *([self.recovering] if self.recovering else [])]:
                stranger.kill()
                stranger.wait()
            if self.proxy is not None:
                self.proxy.end()
            self.server.stop()
        outcome = Outcome(
            self.number,
            self.form,
            self.tasks,
            time.monotonic() - began,
            self.calls,
            self.fired,
            self.missed,
            violations,
            self.directory,
            self.log_entries,
            sum(max(0, one.incarnation - 1) for one in self.controllers),
            self.cut_short,
            self.no_end,
            self.unavailable,
        )
        (self.directory / "story.json").write_text(json.dumps(self.story, indent=1, default=str))
        return outcome

    def go_on(self) -> list[Violation]:
        """Looks after the controllers and fires what is due, until the run has ended."""
        waiting = [one for one in self.schedule if one.group != "calls"]
        next_sample = 0.0
        settled, moved_at = -1, time.monotonic()
        quiet = False
        while True:
            now = time.monotonic()
            for controller in self.controllers:
                controller.look_after()
            self.calls = self.proxy.order("status")["calls"]
            for due in [one for one in self.later if one[0] <= now]:
                self.later.remove(due)
                due[1]()
            while waiting and waiting[0].at <= self.calls and not quiet:
                self.fire(waiting.pop(0))
            if now >= next_sample:
                next_sample = now + _SAMPLE_S
                seen = self.look()
                if seen is not None:
                    count = seen["settled"]
                    if count != settled:
                        settled, moved_at = count, now
                    self.say_progress(settled)
                    if seen["state"] == "finished" and all(one.done for one in self.controllers):
                        break
                    share = settled / self.tasks
                    if not quiet and (share > 0.85 or now > self.until):
                        quiet = True
                        self.stop_faults(waiting)
                    if now > self.until and not self.cut_short:
                        self.cut_short = self.cancel()
            busy = self.later and not self.losses
            if not quiet and not busy:
                if now - moved_at > STUCK_S:
                    quiet, moved_at = True, now
                    self.stop_faults(waiting)
            elif quiet and not busy and now - moved_at > STUCK_S:
                return [self.stuck()]
            if now > self.until + 2 * self.room_s:
                # The machine is too slow for the time that was given: nothing is said about the end of this run.
                self.cut_short = self.no_end = True
                return []
            time.sleep(_LOOK_S)
        return self.nothing_left()

    def say_progress(self, settled: int) -> None:
        now = time.monotonic()
        if now - self.said_at > 5:
            self.said_at = now
            fired = sum(self.fired.values()) + self.proxy.order("status")["fired"]
            print(
                f"  round {self.number} ({self.form}): {settled} of {self.tasks} tasks settled, {self.calls} calls, "
                f"{fired} faults",
                flush=True,
            )

    def look(self) -> dict[str, Any] | None:
        try:
            with self.server.client() as client:
                seen = sample(client, PREFIX, self.plan)
                pipe = client.pipeline(transaction=False)
                for larry in self.plan["larrys"]:
                    pipe.hget(f"{PREFIX}larry:larry:{larry}", "settled")
                seen["settled"] = sum(int(one or 0) for one in pipe.execute())
        except redis.exceptions.RedisError:
            return None
        self.samples.append(seen)
        return seen

    def stop_faults(self, waiting: list[Fault]) -> None:
        """From now on nothing new happens; what has begun ends by itself."""
        left = self.proxy.order("disarm")["left"]
        self.missed.update(one["fault"] for one in left)
        self.missed.update(one.kind for one in waiting)
        waiting.clear()

    def cancel(self) -> bool:
        """An operator cancels every Larry: the time is up."""
        session = Session(self.plain_settings(), Identity.of_process(os.getpid()), "operator")
        try:
            PhaseService(session).control("cancel", "larry", sorted(self.plan["larrys"]), "the time is up")
        except Exception:
            return False
        return True

    def plain_settings(self) -> Settings:
        return Settings(server=f"unix://{self.server.socket}", prefix=PREFIX)

    def stuck(self) -> Violation:
        """The run does not end although nothing disturbs it any more."""
        evidence: list[Any] = []
        with contextlib.suppress(redis.exceptions.RedisError), self.server.client() as client:
            evidence.append({"run": client.hgetall(PREFIX + "larry:run")})
            for larry in self.plan["larrys"]:
                evidence.append({larry: client.hgetall(f"{PREFIX}larry:larry:{larry}")})
            for task in self.plan["tasks"]:
                record = client.hgetall(f"{PREFIX}larry:task:{task}")
                if record.get("state") in ("ready", "in_progress"):
                    evidence.append({task: record})
        for controller in self.controllers:
            states = {pid: stat_of(pid) for pid in [*controller.forks(), *controller.keepers()]}
            evidence.append({controller.name: controller.codes, "runs": controller.running(), "others": states})
        return Violation("ends", f"nothing settled for {STUCK_S:g} s although the faults had stopped", evidence)

    def nothing_left(self) -> list[Violation]:
        """After the controllers their keepers end too."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            left = [pid for one in self.controllers for pid in marked(f"{one.mark}-{one.name}-")]
            if not left:
                return []
            time.sleep(0.1)
        from faulty_processes import command_line

        return [Violation("ends", "processes are left 20 s after the run", [command_line(pid) for pid in left])]

    def look_at_end(self, before: dict[str, str]) -> list[Violation]:
        """Reads everything, checks it, deletes the run and looks at what is left."""
        for controller in self.controllers:
            controller.end()  # whoever is still there after a run that does not end would write while we read
        story = self.proxy.order("story")
        self.story += story["fired"]
        self.fired.update(one["fault"] for one in story["fired"])
        with self.server.client() as client:
            history = read_history(client, PREFIX, self.plan)
            history["samples"] = self.samples
            history["outside_before"] = before
            history["losses"], history["recoveries"] = self.losses, self.recoveries
            history["clock_moves"] = self.clock_moves
            finished = history["run"].get("state") == "finished"
            if finished:
                runs = RunService(Session(self.plain_settings(), Identity.of_process(os.getpid()), "operator"))
                runs.delete()
                history["left"] = sorted(
                    name for name in client.scan_iter(PREFIX + "*", count=2000) if not without_run(name)
                )
            history["outside_after"] = outside(str(self.server.socket), PREFIX)
        (self.directory / "history.json").write_text(json.dumps(history))
        self.log_entries = len(history["log"])
        return check(history, read_calls(self.records), finished)

    # --- faults ------------------------------------------------------------------------------------------------------

    def fire(self, fault: Fault) -> None:
        """Does what a fault says, to whoever is there."""
        act = getattr(self, "do_" + fault.kind, None)
        told = {"fault": fault.kind, "id": fault.number, "at": time.monotonic(), "due": fault.at}
        if act is None:
            self.unavailable.add(fault.kind)
            return
        hit = act(fault)
        if hit is None:
            self.missed[fault.kind] += 1
            return
        self.fired[fault.kind] += 1
        self.story.append(told | {"hit": hit, "seconds": fault.seconds})

    def after(self, seconds: float, act: Any) -> None:
        self.later.append((time.monotonic() + seconds, act))

    def some_controller(self, fault: Fault) -> Controller | None:
        able = [one for one in self.controllers if one.running()]
        return able[int(fault.pick * len(able))] if able else None

    def some(self, fault: Fault, what: str) -> int | None:
        """A fork or a keeper of some controller."""
        found = [pid for one in self.controllers if one.running() for pid in getattr(one, what)()]
        return found[int(fault.pick * len(found))] if found else None

    def do_kill_fork(self, fault: Fault) -> Any:
        return self.signal_to(self.some(fault, "forks"), signal.SIGKILL)

    def do_kill_keeper(self, fault: Fault) -> Any:
        return self.signal_to(self.some(fault, "keepers"), signal.SIGKILL)

    def do_kill_controller(self, fault: Fault) -> Any:
        controller = self.some_controller(fault)
        return controller and self.signal_to(controller.popen.pid, signal.SIGKILL)

    def do_kill_both(self, fault: Fault) -> Any:
        """As if the machine had died: nobody gives the leases up."""
        controller = self.some_controller(fault)
        if controller is None:
            return None
        for pid in [*controller.keepers(), controller.popen.pid, *controller.forks()]:
            send(pid, signal.SIGKILL)
        return controller.popen.pid

    def signal_to(self, pid: int | None, number: int) -> int | None:
        if pid is not None:
            send(pid, number)
        return pid

    def stop(self, pid: int | None, seconds: float) -> int | None:
        if pid is not None:
            send(pid, signal.SIGSTOP)
            self.after(seconds, lambda: send(pid, signal.SIGCONT))
        return pid

    def do_stop_fork(self, fault: Fault) -> Any:
        return self.stop(self.some(fault, "forks"), fault.seconds)

    def do_stop_keeper(self, fault: Fault) -> Any:
        return self.stop(self.some(fault, "keepers"), fault.seconds)

    def do_stop_controller(self, fault: Fault) -> Any:
        controller = self.some_controller(fault)
        return controller and self.stop(controller.popen.pid, fault.seconds)

    def do_reuse_pid(self, fault: Fault) -> Any:
        """The controller dies while its keeper is stopped; a stranger has its process id when that one goes on."""
        controller = self.some_controller(fault)
        keepers = controller.keepers() if controller else []
        if not keepers:
            return None
        for keeper in keepers:
            send(keeper, signal.SIGSTOP)
        pid = controller.popen.pid
        controller.held = True
        controller.popen.kill()
        controller.popen.wait()
        stranger = None
        try:
            stranger = process_with_id(pid)
        except OSError:
            self.unavailable.add("reuse_pid")
        controller.held = False
        for keeper in keepers:
            self.after(fault.seconds, lambda keeper=keeper: send(keeper, signal.SIGCONT))
        if stranger is None:
            return None
        self.strangers.append(stranger)
        return pid

    def do_cut(self, fault: Fault) -> Any:
        controller = self.some_controller(fault)
        if controller is None:
            return None
        self.proxy.order("cut", client=controller.name, seconds=fault.seconds)
        return controller.name

    def do_kill_server(self, fault: Fault) -> Any:
        self.server.kill()
        # Nothing is done while it is away, not even a sample; clients come back by themselves.
        time.sleep(min(fault.seconds, 0.6))
        self.server.start()
        return self.server.pid

    # What loses history. The clients must notice it and stop; an operator then recovers the run.

    def do_truncate(self, fault: Fault) -> Any:
        self.server.kill()
        gone = self.server.truncate(0.01 + fault.pick * 0.3)
        self.server.start()
        return self.lost(f"{gone} bytes")

    def do_older_snapshot(self, fault: Fault) -> Any:
        """The data of a moment ago come back, as from a copy or a replica that was behind."""
        self.server.kill()
        self.server.keep_snapshot()
        self.server.start()

        def set_back() -> None:
            self.server.kill()
            self.server.older_snapshot()
            self.server.start()
            self.lost("older")

        self.after(fault.seconds * 3, set_back)
        return "snapshot"

    def do_flushall(self, _fault: Fault) -> Any:
        with self.server.client() as client:
            client.flushall()
            place_canaries(client)
        return self.lost("everything")

    def lost(self, what: str) -> str:
        self.losses.append(time.monotonic())
        self.after(1.0, self.recover)
        return what

    def recover(self) -> None:
        """An operator looks every second whether a loss was noticed, and recovers the run then, until it has ended."""
        self.after(1.0, self.recover)
        if self.recovering is not None:
            if self.recovering.poll() is None:
                return
            if self.recovering.returncode == 0:
                self.recoveries.append(time.monotonic())
                # A pause came back whose end was in what was lost.
                self.after(0.0, functools.partial(self.resume, "larry", sorted(self.plan["larrys"])))
                self.after(0.0, functools.partial(self.resume, "thing", ["bridge"]))
            self.recovering = None
        with contextlib.suppress(redis.exceptions.RedisError), self.server.client() as client:
            record = client.hgetall(PREFIX + "larry:run")
            # A run whose creation was cut off with the rest is no run that could be marked.
            if record and "lost" not in record and record.get("state") not in ("creating", "deleting"):
                return
            with (self.directory / "recover.log").open("ab") as log:
                self.recovering = subprocess.Popen(
                    [sys.executable, str(HERE / "recover_run.py")],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    env=self.environment("operator"),
                )
            self.recovering.stdin.write(json.dumps(self.config(next(iter(self.leads)))).encode() + b"\n")
            self.recovering.stdin.close()

    def do_pause_server(self, fault: Fault) -> Any:
        self.server.pause()
        time.sleep(fault.seconds)
        self.server.resume()
        return self.server.pid

    def do_script_flush(self, fault: Fault) -> Any:
        with self.server.client() as client:
            client.script_flush()
        return "scripts"

    def do_clock_forward(self, fault: Fault) -> Any:
        return self.move_clock(fault, fault.seconds)

    def do_clock_back(self, fault: Fault) -> Any:
        return self.move_clock(fault, -fault.seconds)

    def move_clock(self, fault: Fault, seconds: float) -> Any:
        if self.server.library is None:
            self.unavailable.add(fault.kind)
            return None
        self.clock += seconds
        self.clock_moves.append(time.monotonic())
        self.server.set_clock(self.clock)
        return seconds

    def some_task(self, client: redis.Redis, fault: Fault, state: str) -> str | None:
        running = sorted(
            one for larry in self.plan["larrys"] for one in client.smembers(f"{PREFIX}larry:running:{larry}")
        )
        if state == "running":
            return running[int(fault.pick * len(running))] if running else None
        # One that is ready, or the next in the plan that may be so soon.
        names = list(self.plan["tasks"])
        pipe = client.pipeline(transaction=False)
        for task in names:
            pipe.hget(f"{PREFIX}larry:task:{task}", "state")
        states = dict(zip(names, pipe.execute(), strict=True))
        ready = [task for task, seen in states.items() if seen == "ready"]
        waiting = ready[2:14] or ready or [task for task, seen in states.items() if seen == "pending"][:12]
        return waiting[int(fault.pick * len(waiting))] if waiting else None

    def do_delete_task_lock(self, fault: Fault) -> Any:
        with self.server.client() as client:
            task = self.some_task(client, fault, "running")
            if task is None:
                return None
            number = self.operator.invoke("delete_task_lock", task=task)
            self.operator.reply(number, done=client.delete(f"{PREFIX}task:lock:{task}"))
            return task

    def do_set_task_lock(self, fault: Fault) -> Any:
        with self.server.client() as client:
            task = self.some_task(client, fault, "waiting")
            if task is None:
                return None
            number = self.operator.invoke("set_task_lock", task=task, seconds=fault.seconds)
            done = client.set(f"{PREFIX}task:lock:{task}", "an operator", nx=True, ex=int(fault.seconds))
            self.operator.reply(number, done=bool(done))
            return task

    def do_delete_lock(self, fault: Fault) -> Any:
        name = ("lock:m-lock", "lock:s-lock", "lock:m-pool:1", "lock:m-pool:2")[int(fault.pick * 4)]
        with self.server.client() as client:
            number = self.operator.invoke("delete_lock", lock=name)
            self.operator.reply(number, done=client.delete(PREFIX + name))
        return name

    def do_pause_and_resume(self, fault: Fault) -> Any:
        scope, names = ("larry", [sorted(self.plan["larrys"])[0]]) if fault.pick < 0.5 else ("thing", ["bridge"])
        with contextlib.suppress(Exception):
            self.operators_phases().control("pause", scope, names, "chaos")
        self.after(fault.seconds, functools.partial(self.resume, scope, names))
        return names

    def operators_phases(self) -> PhaseService:
        """The operator's hand on pause and resume."""
        return PhaseService(Session(self.plain_settings(), Identity.of_process(os.getpid()), "operator"))

    def resume(self, scope: str, names: list[str]) -> None:
        """Nobody must be left paused, whatever the server does at this moment."""
        for _number in range(100):
            try:
                self.operators_phases().control("resume", scope, names)
                return
            except Exception:
                time.sleep(0.1)


def without_run(name: str) -> bool:
    """Keys of use without a run, which the clean-up of a run leaves alone."""
    short = name.removeprefix(PREFIX)
    return (
        short.startswith(("larry:standalone", "larry:lately", "larry:held:"))
        or "s-lock" in short
        or short.endswith(":gate")
        or ":arrival/gate/" in short
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def remove(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
