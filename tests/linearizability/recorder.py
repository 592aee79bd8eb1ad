# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records what several processes do with a few locks under faults, and checks it.

    recorder.py --seconds 20 --seed 7

starts a Valkey server and the processes of worker.py, stops some of them for longer than their leases live, kills some,
cuts connections (so answers are lost and calls repeated), and then checks

- each lock and each register behind it for linearizability (checker.py, models.py);
- by other routes: fences against the order of time and against the server's log, leases that overlap, and the value
  of the register against the number of writes.

It prints the seed, what was done, and the numbers of operations and configurations; the exit code is 1 if anything is
wrong. The same seed gives the same plans to threads and faults; the machine decides how they interleave.
"""

from __future__ import annotations

import argparse
import bisect
import collections
import dataclasses
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import typing as t
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tools")]

import redis  # noqa: E402
from checker import Model, Operation, Verdict, check, shortest, told  # noqa: E402
from models import LockModel, RegisterModel  # noqa: E402

PREFIX = "linearizability:"


@dataclasses.dataclass
class Plan:
    """What is recorded.

    Attributes:
        seed: of the threads and the faults.
        seconds: how long the processes use the locks.
        processes, threads: how many processes, and threads in each.
        locks: how many locks they share.
        pause_s: mean time between two uses and under a lock.
        fault_s: mean time between two faults; 0 for none.
        sabotage: a fault of the product, put in on purpose (worker.SABOTAGES).
    """

    seed: int = 1
    seconds: float = 20.0
    processes: int = 3
    threads: int = 2
    locks: int = 3
    pause_s: float = 0.005
    fault_s: float = 0.25
    sabotage: str = ""


@dataclasses.dataclass
class Recording:
    """What was recorded.

    Attributes:
        plan: what was asked for.
        operations: all operations.
        faults: kind of fault -> how often.
        log: the server's log of events, oldest first.
        values: lock -> the value of its register at the end.
        drift_us: how far apart the server's and the callers' clock are not known.
    """

    plan: Plan
    operations: list[Operation]
    faults: dict[str, int]
    log: list[dict[str, t.Any]]
    values: dict[str, int]
    drift_us: float

    def by_key(self) -> dict[str, list[Operation]]:
        """The histories of the objects."""
        found: dict[str, list[Operation]] = collections.defaultdict(list)
        for operation in self.operations:
            found[operation.key].append(operation)
        return dict(sorted(found.items()))


class Clock:
    """The server's clock against CLOCK_MONOTONIC, which all processes of this machine share."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.low, self.high = float("-inf"), float("inf")

    def sample(self) -> None:
        """Asks the server for its time: the difference of the clocks lies within the time of the question."""
        before = time.monotonic_ns() / 1000
        seconds, micro = self.client.time()
        after = time.monotonic_ns() / 1000
        server = seconds * 1_000_000 + micro
        # The server cuts to whole microseconds.
        self.low, self.high = max(self.low, server - after), min(self.high, server + 1 - before)
        if self.low > self.high:
            raise RuntimeError("The clock of the machine was set during the recording, which says nothing then.")


class Workers:
    """The processes, and what is done to them."""

    def __init__(self, plan: Plan, server: str, directory: Path) -> None:
        self.plan, self.server, self.directory = plan, server, directory
        self.random = random.Random(f"{plan.seed}/faults")
        self.started = 0
        self.end = time.monotonic() + plan.seconds
        self.running = [self.start() for _process in range(plan.processes)]
        self.stopped: list[tuple[float, subprocess.Popen[bytes]]] = []
        self.faults: collections.Counter[str] = collections.Counter()

    def start(self) -> subprocess.Popen[bytes]:
        """Starts a process."""
        self.started += 1
        name = f"p{self.started}"
        options = dataclasses.asdict(self.plan) | {
            "process": name, "server": self.server, "prefix": PREFIX, "end": self.end,
            "journal": str(self.directory / f"{name}.jsonl"),
        }  # fmt: skip
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LARRY_")}
        path = [str(ROOT / "playbooks" / "collections"), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, path))
        return subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), json.dumps(options)], env=environment, stdin=subprocess.DEVNULL
        )

    def fault(self, client: redis.Redis) -> None:
        """Does one of the faults to one of the processes."""
        kind = self.random.choice(["stop", "stop", "stop briefly", "kill"] + ["cut"] * 6 + ["flush scripts"])
        held = {process.pid for _when, process in self.stopped}
        free = [place for place, process in enumerate(self.running) if process.pid not in held]
        place = self.random.choice(free) if free else None
        if kind == "cut":
            # The answer to whatever is under way is lost, and the clients send it again.
            client.execute_command("CLIENT", "KILL", "TYPE", "NORMAL", "SKIPME", "yes")
        elif kind == "flush scripts":
            client.script_flush()
        elif place is None:
            return
        elif kind == "kill":
            self.running[place].kill()
            self.running[place].wait()
            self.running[place] = self.start()
        else:
            length = self.random.uniform(0.1, 0.8) if kind == "stop briefly" else self.random.uniform(1.1, 2.6)
            self.running[place].send_signal(signal.SIGSTOP)
            self.stopped.append((time.monotonic() + length, self.running[place]))
        self.faults[kind] += 1

    def wake(self, everybody: bool = False) -> None:
        """Lets those go on whose time has come."""
        now = time.monotonic()
        for one in [one for one in self.stopped if everybody or one[0] <= now]:
            one[1].send_signal(signal.SIGCONT)
            self.stopped.remove(one)

    def finish(self) -> None:
        """Ends them; one that does not end by itself, or ended with an error, is an error."""
        self.wake(everybody=True)
        codes = []
        for process in self.running:
            try:
                codes.append(process.wait(timeout=60))
            except subprocess.TimeoutExpired:
                process.kill()
                codes.append(process.wait())
        if any(codes):
            raise RuntimeError(f"The processes of the recorder ended with {codes}.")


def record(plan: Plan, server: str, directory: Path) -> Recording:
    """Records on a running server; journals go to `directory`."""
    client = redis.Redis.from_url(server, decode_responses=True)
    clock = Clock(client)
    clock.sample()
    workers = Workers(plan, server, directory)
    try:
        next_fault = time.monotonic() + (plan.fault_s or plan.seconds + 1)
        while time.monotonic() < workers.end:
            time.sleep(0.02)
            clock.sample()
            workers.wake()
            if any(process.poll() for process in workers.running):
                break  # `finish` says what is wrong
            if time.monotonic() >= next_fault:
                workers.fault(client)
                next_fault = time.monotonic() + workers.random.expovariate(1 / plan.fault_s)
    finally:
        workers.finish()
    clock.sample()
    log = [json.loads(fields["m"]) for _id, fields in client.xrange(PREFIX + "larry:standalone:log")]
    values = {f"l{n}": int(client.hget(f"{PREFIX}register:l{n}", "value") or 0) for n in range(plan.locks)}
    client.close()
    operations = read(directory, clock)
    return Recording(plan, operations, dict(workers.faults), log, values, clock.high - clock.low)


def read(directory: Path, clock: Clock) -> list[Operation]:
    """The operations in the journals of all processes."""
    found = []
    for path in sorted(directory.glob("*.jsonl")):
        calls: dict[int, dict[str, t.Any]] = {}
        backs: dict[int, dict[str, t.Any]] = {}
        for line in path.read_bytes().split(b"\n"):
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # the end of the last line of a killed process
            (calls if "call" in entry else backs)[entry["number"]] = entry
        for number, call in calls.items():
            back = backs.get(number)
            found.append(
                Operation(
                    number=len(found) + 1,
                    process=call["thread"],
                    key=call["key"],
                    kind=call["kind"],
                    arguments=call["arguments"],
                    result=None if back is None else plain(call, back["answer"]),
                    call=call["call"],
                    back=float("inf") if back is None else back["back"],
                    earliest=call["call"] / 1000 + clock.low,
                    latest=float("inf") if back is None else back["back"] / 1000 + clock.high,
                )
            )
    return found


def plain(call: dict[str, t.Any], answer: dict[str, t.Any]) -> dict[str, t.Any]:
    """The part of an answer that the models speak of, with numbers as numbers."""
    if call["key"].startswith("register/"):
        return answer

    def numbers(one: dict[str, t.Any]) -> dict[str, t.Any]:
        return {name: int(one[name]) for name in ("fence", "deadline") if one.get(name) is not None}

    kept: dict[str, t.Any] = {"status": answer["status"], **numbers(answer)}
    if call["kind"] == "look":
        kept["last"] = int(kept.pop("fence", 0))
        kept["mine"] = answer.get("mine") is not None
    if answer.get("already"):
        kept["already"] = True
    for name in ("holders", "released"):
        if name in answer or answer["status"] in ("busy", "seen", "not_held"):
            kept[name] = [numbers(one) for one in answer.get(name) or []]
    return kept


def verdicts(recording: Recording) -> dict[str, tuple[Model, Verdict]]:
    """The checker's answer for each object."""
    found = {}
    for key, history in recording.by_key().items():
        model: Model = LockModel() if key.startswith("lock/") else RegisterModel()
        found[key] = (model, check(history, model))
    return found


def other_routes(recording: Recording) -> list[str]:
    """What is wrong by routes that share nothing with the checker; empty if nothing is."""
    wrong: list[str] = []
    for key, history in recording.by_key().items():
        if key.startswith("lock/"):
            name = key.removeprefix("lock/")
            granted = [one for one in history if one.kind == "acquire" and is_grant(one.result)]
            wrong += fences_in_time(key, granted) + overlaps(key, history, granted)
            logged = [
                int(event["fence"]) for event in recording.log
                if event["event"] == "lease_acquired" and event["resource"] == f"lock:{name}"
            ]  # fmt: skip
            if logged != sorted(set(logged)):
                wrong.append(f"{key}: the fences in the log do not grow strictly")
            unknown = len(logged) - len(granted)
            lost = sum(
                one.kind == "acquire" and (one.pending or (one.result or {}).get("status") == "over") for one in history
            )
            # The log of use without a run is trimmed in the long form; then it holds fewer.
            whole = int(recording.log[0]["id"]) == 1 if recording.log else True
            if whole and (
                {one.result["fence"] for one in granted if one.result} - set(logged) or not 0 <= unknown <= lost
            ):
                wrong.append(f"{key}: {len(granted)} were granted, {lost} unknown, and the log has {len(logged)}")
        else:
            writes = [one for one in history if one.kind == "write"]
            sure = sum(bool(one.result and one.result["accepted"]) for one in writes)
            lost = sum(one.pending for one in writes)
            value = recording.values[key.removeprefix("register/")]
            # Each write adds one to what its holder read under its fence, so a lost update would be missing here.
            if not sure <= value <= sure + lost:
                wrong.append(f"{key}: {sure} writes were accepted, {lost} unknown, and the value is {value}")
    return wrong


def is_grant(answer: dict[str, t.Any] | None) -> bool:
    """True if an acquire gave a lease out."""
    return answer is not None and answer["status"] == "held" and not answer.get("already")


def fences_in_time(key: str, granted: list[Operation]) -> list[str]:
    """Of two grants, one after the other, the later has the greater fence; no two have the same."""
    wrong = []
    fences = [one.result["fence"] for one in granted if one.result]
    if len(set(fences)) != len(fences):
        wrong.append(f"{key}: a fence was given out twice")
    by_end = sorted(granted, key=lambda one: one.back)
    greatest = list(itertools.accumulate((one.result["fence"] for one in by_end if one.result), max))
    ends = [one.back for one in by_end]
    for one in granted:
        ended = bisect.bisect_left(ends, one.call)
        if ended and one.result and one.result["fence"] <= greatest[ended - 1]:
            wrong.append(
                f"{key}: operation {one.number} got the fence {one.result['fence']} after {greatest[ended - 1]}"
            )
    return wrong


def overlaps(key: str, history: list[Operation], granted: list[Operation]) -> list[str]:
    """Two leases that were certainly held at the same moment.

    Certain is: from the answer of the grant to its deadline, or to the first call that could have ended it: a release
    by its holder, an extension (which may also shorten it), or anybody's release by force.
    """
    spans = []
    ends_by_token: dict[str, list[float]] = collections.defaultdict(list)
    forces = []
    for one in history:
        if one.kind in ("release", "extend"):
            ends_by_token[one.arguments["token"]].append(one.earliest)
        elif one.kind == "force":
            forces.append((one.earliest, one.latest))
    for one in granted:
        assert one.result is not None
        end = one.result["deadline"]
        end = min([end, *(time_ for time_ in ends_by_token[one.arguments["token"]] if time_ >= one.earliest)])
        end = min([end, *(early for early, late in forces if late >= one.earliest)])
        if one.latest < end:
            spans.append((one.latest, end, one.number))
    spans.sort()
    return [
        f"{key}: operations {before[2]} and {then[2]} held it at the same time"
        for before, then in itertools.pairwise(spans)
        if then[0] < before[1]
    ]


def report(recording: Recording, found: dict[str, tuple[Model, Verdict]], wrong: list[str]) -> str:
    """What was done and what was found, for a person."""
    plan = recording.plan
    pending = sum(one.pending for one in recording.operations)
    states = sum(verdict.states for _model, verdict in found.values())
    lines = [
        f"seed {plan.seed}: {plan.seconds:g} s, {plan.processes} processes with {plan.threads} threads, "
        f"{plan.locks} locks; faults: "
        + (", ".join(f"{count} {kind}" for kind, count in sorted(recording.faults.items())) or "none"),
        f"{len(recording.operations)} operations ({pending} without an answer), {states} configurations searched, "
        f"clocks known to {recording.drift_us:.0f} us",
    ]
    kinds = collections.Counter(
        f"{one.kind} {'no answer' if one.result is None else one.result.get('status', one.result.get('accepted'))}"
        for one in recording.operations
    )
    lines.append("  " + ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())))
    histories = recording.by_key()
    for key, (model, verdict) in found.items():
        word = {True: "linearizable", False: "NOT LINEARIZABLE", None: "given up"}[verdict.linearizable]
        lines.append(f"  {key}: {word}, {verdict.operations} operations, {verdict.states} configurations")
        if verdict.linearizable is False:
            lines += ["    the shortest wrong history that was found:", told(shortest(histories[key], model))]
    lines += [f"  WRONG: {sentence}" for sentence in wrong]
    return "\n".join(lines)


def run(plan: Plan, server: str) -> tuple[bool, str, Recording]:
    """Records and checks; whether all is right, the report, and the recording."""
    directory = Path(tempfile.mkdtemp(prefix="larry-"))
    try:
        recording = record(plan, server, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    found = verdicts(recording)
    wrong = other_routes(recording)
    used = {one.key for one in recording.operations if one.key.startswith("lock/")}
    if len(used) < plan.locks:
        wrong.append(f"only {len(used)} of {plan.locks} locks were used at all")
    right = not wrong and all(verdict.linearizable for _model, verdict in found.values())
    return right, report(recording, found, wrong), recording


def main() -> int:
    from servers import start_valkey

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for field in dataclasses.fields(Plan):
        kind = {"int": int, "float": float}.get(str(field.type), str)
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=field.default)
    parser.add_argument("--history", type=Path, help="write all operations to this file, one JSON object a line")
    options = vars(parser.parse_args())
    history = options.pop("history")
    directory = Path(tempfile.mkdtemp(prefix="larry-"))
    server = start_valkey(directory)
    try:
        right, text, recording = run(Plan(**options), f"unix://{directory / 's'}")
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)
    print(text)
    if history:
        lines = (json.dumps(dataclasses.asdict(one)) for one in recording.operations)
        history.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
