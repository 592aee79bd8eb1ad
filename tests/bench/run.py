# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the collection costs beside debug, a command, a remote module, and the critical path of a plan.

    make bench                              # everything, about five minutes
    make bench ARGS="modules scripts"       # some of it: modules, scripts, barrier, plan

Ratios against something else in the same run, never a time on its own. It starts a Valkey server of its own
(append-only file off, so the disk is not what is measured) and ends it again. Beside other software: everything.py.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import redis
from measuring import ROOT, Table, interleaved, publish, ratio, ratio_of, server
from product import BarrierService, Controller, LockService, Session, Settings, TaskService, enter_run, plan_of

ROWS: list[tuple[str, str, str, str]] = []


def row(what: str, measured: str, against: str, verdict: str = "") -> None:
    """One line of the table, printed as soon as it is known."""
    ROWS.append((what, measured, against, verdict))
    print(f"  {what}: {measured}  ({against})  {verdict}", flush=True)


def aim(ratio: float, most: float) -> str:
    """How a ratio stands to its aim."""
    return f"aim <= {most:g}: {'reached' if ratio <= most else 'MISSED'}"


def seconds_of(delta: str) -> float:
    """Seconds of a duration as the command module writes it: 0:00:04.512345."""
    hours, minutes, seconds = delta.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


# -- modules -----------------------------------------------------------------------------------------------------


def playbook(directory: Path, name: str, task: str, count: int) -> Path:
    path = directory / f"{name}-{count}.yml"
    one = textwrap.indent(textwrap.dedent(task).strip(), "      ").lstrip()
    path.write_text(
        "- hosts: localhost\n  gather_facts: false\n  tasks:\n    - ansible.builtin.meta: noop\n"
        + f"    - {one}\n" * count,
        encoding="utf-8",
    )
    return path


def ansible(directory: Path, book: Path, *arguments: str, **variables: str) -> float:
    """Runs a playbook; returns its wall time in seconds."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "playbooks" / "collections"),
        "ANSIBLE_ROLES_PATH": str(ROOT / "tests" / "bench" / "roles"),
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        **variables,
    }
    began = time.monotonic()
    with open(directory / f"{book.stem}.log", "w", encoding="utf-8") as log:
        done = subprocess.run(
            ["ansible-playbook", str(book), *arguments],
            cwd=directory,
            env=environment,
            stdout=log,
            stderr=log,
            check=False,
        )
    if done.returncode != 0:
        sys.exit(f"{book} ended with {done.returncode}; see {log.name}:\n{Path(log.name).read_text()[-2000:]}")
    return time.monotonic() - began


def modules(directory: Path, url: str) -> None:
    """A coordination module against debug, against a command doing the same, and against a remote module."""
    code = f"import redis; redis.Redis.from_url('{url}').hgetall('larry:lock:bench')"
    kinds = {
        "debug": ("ansible.builtin.debug: {msg: x}", 60),
        "lock_info in the controller": (f"cortex.larry.lock_info: {{name: bench, redis: '{url}'}}", 60),
        "command asking the server": (
            f"ansible.builtin.command:\n  argv: ['{sys.executable}', -c, \"{code}\"]",
            15,
        ),
        "lock_info as a remote module": (
            f"cortex.larry.lock_info: {{name: bench, redis: '{url}', run_on: target}}",
            15,
        ),
    }

    def cost(name: str) -> Callable[[], float]:
        task, count = kinds[name]
        stem = name.replace(" ", "-")

        def measure() -> float:
            empty = ansible(directory, playbook(directory, stem, task, 0))
            return (ansible(directory, playbook(directory, stem, task, count)) - empty) / count

        return measure

    costs = interleaved(5, {name: cost(name) for name in kinds})
    ours = costs.pop("lock_info in the controller")
    for name, most in (("debug", 1.3), ("command asking the server", 0.1), ("lock_info as a remote module", 0.1)):
        row(
            f"coordination module / {name}",
            ratio(ours, costs[name]),
            f"{ours.text('{:.1f}', 1000)} ms against {costs[name].text('{:.1f}', 1000)} ms",
            aim(ratio_of(ours, costs[name]).median, most),
        )


# -- scripts -----------------------------------------------------------------------------------------------------


def scripts(url: str) -> None:
    """Claim and complete against a no-op EVALSHA on the same server, from one client."""
    controller = Controller.of_process(os.getpid())
    count = 2000
    session = Session(Settings.of(url, "bench:"), controller, "bench", member=True, keep=False)
    enter_run(session, plan_of(count, 1))
    tasks = TaskService(session)
    noop = session.client.script_load("return 1")
    rates: dict[str, float] = {}

    def measure(name: str, times: int, call: Callable[[], object]) -> None:
        began = time.monotonic()
        for _time in range(times):
            call()
        rates[name] = times / (time.monotonic() - began)

    def claim_and_complete() -> None:
        claimed = tasks.claim("bench-worker-0", ttl_ms=60_000)
        tasks.settle(claimed["task"], claimed["fence"], "completed", worker="bench-worker-0", result={"summary": {}})

    measure("no-op EVALSHA", 5000, lambda: session.client.evalsha(noop, 0))
    measure("claim + complete", count, claim_and_complete)
    locks = LockService(Session(Settings.of(url, "bench:"), controller, "lock"))
    measure("lock + release", 2000, lambda: (locks.acquire("bench", keep=False), locks.release("bench")))
    peer = session.client.lock("bench-peer", timeout=15)
    measure("lock + release of redis-py", 2000, lambda: (peer.acquire(), peer.release()))
    for name in ("claim + complete", "lock + release"):
        row(
            f"{name} per second / no-op EVALSHA per second",
            f"{rates[name] / rates['no-op EVALSHA']:.2f}",
            f"{rates[name]:.0f} against {rates['no-op EVALSHA']:.0f}",
        )
    row(
        "lock + release per second / redis-py's Lock",
        f"{rates['lock + release'] / rates['lock + release of redis-py']:.2f}",
        f"{rates['lock + release']:.0f} against {rates['lock + release of redis-py']:.0f}; "
        "ours fences and logs, theirs does not",
    )


# -- barrier -----------------------------------------------------------------------------------------------------


def _member(url: str, number: int, count: int, answers: multiprocessing.Queue) -> None:
    session = Session(Settings.of(url, "bench:"), Controller.of_process(os.getpid()), f"m{number}")
    BarrierService(session).meet("bench", count=count, keep=False, ttl_ms=60_000, timeout_s=120)
    answers.put(time.monotonic())


def barrier(url: str) -> None:
    """From the last arrival to the moment each of 32 waiting processes goes on; against polling every 5 s."""
    count = 32
    answers: multiprocessing.Queue = multiprocessing.Queue()
    members = [
        multiprocessing.Process(target=_member, args=(url, number, count, answers)) for number in range(count - 1)
    ]
    for member in members:
        member.start()
    client = redis.Redis.from_url(url, decode_responses=True)
    deadline = time.monotonic() + 60
    while client.hlen("bench:larry:arrived:bench") < count - 1:
        if time.monotonic() > deadline:
            sys.exit("the members did not arrive at the barrier within 60 s")
        time.sleep(0.05)
    last = time.monotonic()
    _member(url, count - 1, count, answers)
    times = sorted(answers.get(timeout=30) - last for _number in range(count))
    for member in members:
        member.join()
    polling = 2.5  # the mean wait of a poller that looks every 5 s: half its interval
    row(
        "barrier release for 32 waiters / polling every 5 s",
        f"{times[-1] / polling:.3f}",
        f"median {times[len(times) // 2] * 1000:.0f} ms, last {times[-1] * 1000:.0f} ms, "
        "against a mean wait of 2500 ms",
    )


# -- plan --------------------------------------------------------------------------------------------------------


def plan(directory: Path, url: str) -> None:
    """A plan of CPU-bound tasks: wall time against the critical path, and the share spent on coordination."""
    code = (
        "import hashlib,time\nb=time.process_time()\nv=b''\n"
        "for _ in range(2000000):\n    v=hashlib.sha256(v).digest()\nprint(time.process_time()-b)"
    )
    pace = 2_000_000 / float(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    )
    rounds = int(pace * 5)
    larrys, chains, length = ("one", "two"), 1, 4
    text = [
        "---",
        "plugin: cortex.larry.plan",
        "name: bench",
        "run:",
        f"  {{window: 40m, controllers: 1, redis: '{url}', prefix: 'benchplan:', connection: local, time_scale: 1,",
        f"    directory: {directory}/coordination}}",
        "nodes: {n1: {address: 192.0.2.1}, n2: {address: 192.0.2.2}}",
        "larrys:",
    ]
    for number, larry in enumerate(larrys, 1):
        text += [
            f"  {larry}:",
            f"    {{domain: d{larry}, node: n{number}, phase: 30m,",
            f"      workers: {{w: {{node: n{number}, tokens: 0, duration: 1m, capabilities: [compute]}}}}}}",
        ]
    text += ["capabilities: {compute: {role: larry_bench, entry_point: compute}}", "tasks:"]
    for larry in larrys:
        for step in range(length * chains):
            needs = f", depends_on: [{larry}-{step - 1}]" if step else ""
            text.append(
                f"  {larry}-{step}: {{larry: {larry}, capability: compute, duration: 1m, "
                f"parameters: {{rounds: {rounds}}}{needs}}}"
            )
    text += ["estate: {source: gitops, path: estate}"]
    (directory / "estate").mkdir()
    path = directory / "bench.larry.yml"
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    wall = ansible(directory, ROOT / "playbooks" / "site.yml", "-i", str(path), "-f", "10")
    client = redis.Redis.from_url(url, decode_responses=True)
    log = [json.loads(fields["m"]) for _id, fields in client.xrange("benchplan:larry:log")]

    def at(event: dict) -> float:
        import datetime

        return datetime.datetime.fromisoformat(event["timestamp"].replace("Z", "+00:00")).timestamp()

    claimed = {event["task_id"]: at(event) for event in log if event["event"] == "task_claimed"}
    done = {event["task_id"]: at(event) for event in log if event["event"] == "task_completed"}
    ready = {event["task_id"]: at(event) for event in log if event["event"] == "task_ready"}
    path_s = max(
        sum(done[f"{larry}-{step}"] - claimed[f"{larry}-{step}"] for step in range(length)) for larry in larrys
    )
    span = max(done.values()) - min(ready.values())
    waiting = sum(claimed[task] - max(ready[task], min(claimed.values())) for task in claimed)
    execution = sum(done[task] - claimed[task] for task in claimed)
    results = [json.loads(client.hget(f"benchplan:task:result:{task}", "result")) for task in done]
    computing = sum(seconds_of(result["summary"]["computed_for"]) for result in results)
    share = 100 * waiting / (waiting + execution)
    row(
        "first task ready to last completed / critical path",
        f"{span / path_s:.2f}",
        f"{span:.1f} s against {path_s:.1f} s, {len(done)} CPU-bound tasks of {execution / len(done):.1f} s",
        aim(span / path_s, 1.2),
    )
    row(
        "whole ansible-playbook / critical path",
        f"{wall / path_s:.2f}",
        f"start-up and convergence are {wall - span:.1f} s of {wall:.1f} s",
    )
    row(
        "share of the workers' time spent on coordination",
        f"{share:.2f} %",
        f"{waiting:.2f} s of waiting for a claim, {execution:.1f} s of execution",
        "aim <= 2: " + ("reached" if share <= 2 else "MISSED"),
    )
    row(
        "Ansible's own share of the execution",
        f"{100 * (execution - computing) / execution:.1f} %",
        f"{execution - computing:.1f} s around {computing:.1f} s of computing: forks, includes, facts, start-up",
    )


def main() -> int:
    """Entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="modules, scripts, barrier, plan; all by default")
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    chosen = parser.parse_args()
    parts = chosen.parts or ["modules", "scripts", "barrier", "plan"]
    with server() as place:
        for part, call in (
            ("modules", lambda: modules(place.directory, place.socket_url)),
            ("scripts", lambda: scripts(place.socket_url)),
            ("barrier", lambda: barrier(place.socket_url)),
            ("plan", lambda: plan(place.directory, place.socket_url)),
        ):
            if part in parts:
                print(part, flush=True)
                call()
    print()
    table = Table("Ratios within one run.", ("What", "Ratio", "Measured", "Aim"), list(ROWS))
    publish("product", [table], short=False, write=chosen.write)
    return 0


if __name__ == "__main__":
    sys.exit(main())
