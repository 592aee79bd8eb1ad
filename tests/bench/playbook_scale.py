# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whole playbooks: site.yml with many hosts, beside the plain `free` strategy with `debug` tasks in the same shape.

    python tests/bench/playbook_scale.py [--short] [--write] [--hosts 19 100 500] [--controllers 10]

Ours is all of site.yml: preflight, a claim and a completion for each worker of a task that does nothing, the barrier,
cross-validation, the report. The plain playbook has the same hosts, forks and strategy, and gives each host as many
`debug` tasks as ours gave it results (its `ok` and `skipped` of the recap): so it is what Ansible itself costs in this
shape, and the rest is ours. Memory is that of all processes together, shared pages counted once (PSS), at its peak.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from measuring import ROOT, Server, Spread, Table, options, publish, ratio_of, say, server

LARRYS_AT_LEAST = 3
_LIMIT_S = 1800
_RECAP = re.compile(r"^(\S+)\s*: ok=(\d+)\s.*?unreachable=(\d+)\s+failed=(\d+)\s+skipped=(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Figures:
    """One measured start of one or several controllers."""

    seconds: float
    megabytes: float
    largest_mb: float


def environment(directory: Path) -> dict[str, str]:
    """The checkout's configuration, and nothing of the caller's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "LARRY_"))}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "ANSIBLE_HOME": str(directory / "ansible"),
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "playbooks" / "collections"),
        "ANSIBLE_ROLES_PATH": str(ROOT / "tests" / "bench" / "roles"),
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
        "ANSIBLE_NOCOLOR": "1",
        "LC_ALL": "C.UTF-8",
    }


def plan(directory: Path, place: Server, prefix: str, larrys: int, workers: int) -> Path:
    """A plan of so many Larrys and workers; each worker has one task that does nothing."""
    named = [f"larry-{number:02}" for number in range(1, larrys + 1)]
    of = {larry: [f"w{number}" for number in range(workers) if number % larrys == at] for at, larry in enumerate(named)}
    text = [
        "---", "plugin: cortex.larry.plan", "name: bench", "run:",
        f"  {{window: 400m, controllers: 1, redis: '{place.socket_url}', prefix: '{prefix}', connection: local,",
        f"    time_scale: 1, directory: {json.dumps(str(directory / 'coordination'))}}}",
        "nodes:",
        *(f"  n{number}: {{address: 192.0.2.{number}}}" for number in range(1, larrys + 1)),
        "larrys:",
    ]  # fmt: skip
    for number, larry in enumerate(named, 1):
        text += [f"  {larry}:", f"    domain: d{number}", f"    node: n{number}", "    phase: 300m", "    workers:"]
        text += [
            f"      {worker}: {{node: n{number}, tokens: 0, duration: 1m, capabilities: [nothing]}}"
            for worker in of[larry]
        ]
    text += ["capabilities: {nothing: {role: larry_bench, entry_point: nothing}}", "tasks:"]
    for larry in named:
        text += [f"  {larry}-{worker}: {{larry: {larry}, capability: nothing, duration: 1m}}" for worker in of[larry]]
    text += ["estate: {source: gitops, path: estate}"]
    (directory / "estate").mkdir(exist_ok=True)
    path = directory / "bench.larry.yml"
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return path


class Memory(threading.Thread):
    """Looks twice a second at the proportional memory of process groups; keeps the peak of the sum."""

    def __init__(self, groups: list[int]) -> None:
        super().__init__(daemon=True)
        self.groups = set(groups)
        self.peak_kb = 0
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.5):
            total = 0
            for entry in Path("/proc").iterdir():
                if not entry.name.isdigit():
                    continue
                with contextlib.suppress(OSError, ValueError, IndexError):
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                    if int(fields[2]) in self.groups:
                        text = (entry / "smaps_rollup").read_text()
                        total += int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)[1])  # type: ignore[index]
            self.peak_kb = max(self.peak_kb, total)


def start(directory: Path, commands: list[list[str]]) -> tuple[Figures, list[str]]:
    """Runs ansible-playbook commands at once; returns their figures and their outputs, or ends with what went wrong."""
    logs = [directory / f"log-{number}" for number in range(len(commands))]
    began = time.monotonic()
    processes = []
    memory = None
    try:
        for command, log in zip(commands, logs, strict=True):
            with log.open("wb") as out:
                processes.append(
                    subprocess.Popen(
                        ["ansible-playbook", *command], cwd=directory, env=environment(directory), stdout=out,
                        stderr=out, stdin=subprocess.DEVNULL, start_new_session=True,
                    )
                )  # fmt: skip
        memory = Memory([process.pid for process in processes])
        memory.start()
        largest = 0
        for process, log in zip(processes, logs, strict=True):
            left = began + _LIMIT_S - time.monotonic()
            waiter = threading.Timer(left, lambda pid=process.pid: os.killpg(pid, signal.SIGKILL))
            waiter.start()
            _pid, status, usage = os.wait4(process.pid, 0)
            waiter.cancel()
            process.returncode = os.waitstatus_to_exitcode(status)
            largest = max(largest, usage.ru_maxrss)
            if process.returncode:
                sys.exit(
                    f"ansible-playbook ended with {process.returncode}:\n{log.read_text(errors='replace')[-3000:]}"
                )
        seconds = time.monotonic() - began
    finally:
        if memory:
            memory.over.set()
        for process in processes:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
    outputs = [log.read_text(encoding="utf-8", errors="replace") for log in logs]
    return Figures(seconds, memory.peak_kb / 1024, largest / 1024), outputs


def recap(outputs: list[str]) -> dict[str, int]:
    """Host -> how many results it had; ends when one failed."""
    found: dict[str, int] = {}
    for output in outputs:
        for host, fine, unreachable, failed, skipped in _RECAP.findall(output):
            if int(unreachable) or int(failed):
                sys.exit(f"{host} failed:\n{output[-3000:]}")
            found[host] = found.get(host, 0) + int(fine) + int(skipped)
    return found


def ours(place: Server, larrys: int, hosts: int, controllers: int, forks: int) -> tuple[Figures, dict[str, int]]:
    """One whole run; every task must have been completed, asked of the server."""
    with _directory() as directory:
        place.plain.flushall()
        workers = hosts - larrys
        path = plan(directory, place, "bench:", larrys, workers)
        site = str(ROOT / "playbooks" / "site.yml")
        base = [site, "-i", str(path), "-f", str(forks)]
        limits = [["--limit", f"larry_{number:02}"] for number in range(1, larrys + 1)] if controllers > 1 else [[]]
        figures, outputs = start(directory, [base + limit for limit in limits])
        completed = sum(
            place.plain.get(key) == "completed" for key in place.plain.scan_iter("bench:task:status:*", count=1000)
        )
        if completed != workers:
            sys.exit(f"{completed} of {workers} tasks were completed:\n{outputs[0][-3000:]}")
        return figures, recap(outputs)


def plain(results: dict[str, int], controllers: int, forks: int) -> Figures:
    """The same hosts with as many debug tasks each; split over as many controllers."""
    with _directory() as directory:
        counts = sorted(set(results.values()))
        hosts = sorted(results)
        parts = [hosts[at::controllers] for at in range(controllers)]
        commands = []
        for number, part in enumerate(parts):
            groups = {f"r{count}": {host: {} for host in part if results[host] == count} for count in counts}
            inventory = {
                "all": {"children": {name: {"hosts": members} for name, members in groups.items() if members},
                        "vars": {"ansible_connection": "local"}}
            }  # fmt: skip
            (directory / f"hosts-{number}.json").write_text(json.dumps(inventory), encoding="utf-8")
            # One play, as ours is; a host ends it when it has had as many results as there.
            tasks = [{"ansible.builtin.debug": {"msg": "x"}} for _number in range(counts[0])]
            for low, high in zip(counts, counts[1:], strict=False):
                tasks += [{"ansible.builtin.meta": "end_host", "when": f"'r{low}' in group_names"}]
                tasks += [{"ansible.builtin.debug": {"msg": "x"}} for _number in range(high - low)]
            play = [{"hosts": "all", "strategy": "free", "gather_facts": False, "tasks": tasks}]
            (directory / f"play-{number}.json").write_text(json.dumps(play), encoding="utf-8")
            commands.append([f"play-{number}.json", "-i", f"hosts-{number}.json", "-f", str(forks)])
        figures, outputs = start(directory, commands)
        found = recap(outputs)
        if found != results:
            different = {
                host: (found.get(host), wanted) for host, wanted in results.items() if found.get(host) != wanted
            }
            sys.exit(f"the plain playbook has another shape: {dict(list(different.items())[:5])}")
        return figures


@contextlib.contextmanager
def _directory():  # type: ignore[no-untyped-def]
    directory = Path(tempfile.mkdtemp(prefix="larry-bench-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def main() -> int:
    """Entry."""

    def own(parser) -> None:  # type: ignore[no-untyped-def]
        parser.add_argument("--hosts", type=int, nargs="*", help="in one controller (19 100 500; short: 19)")
        parser.add_argument("--controllers", type=int, help="at once, eleven hosts each (10; short: 2; 0: none)")
        parser.add_argument("--rounds", type=int, help="3; of more than 100 hosts and of many controllers 1")
        parser.add_argument("--forks", type=int, default=30, help="of each controller (30, as in ansible.cfg)")

    chosen = options(__doc__, own)
    sizes = chosen.hosts if chosen.hosts is not None else ([19] if chosen.short else [19, 100, 500])
    controllers = chosen.controllers if chosen.controllers is not None else (2 if chosen.short else 10)
    shapes = [(f"{hosts} hosts", LARRYS_AT_LEAST, hosts, 1) for hosts in sizes]
    if controllers:
        shapes.append((f"{controllers} controllers, 11 hosts each", controllers, 11 * controllers, controllers))
    table = Table(
        "Median (lowest to highest) of the rounds. Memory is the peak of all processes together; in brackets the "
        "largest single process.",
        ("shape", "results of a host", "site.yml", "free + debug", "ratio", "memory of site.yml", "of free + debug",
         "ratio"),
    )  # fmt: skip
    with server() as place:
        for name, larrys, hosts, many in shapes:
            rounds = chosen.rounds or (1 if chosen.short or hosts > 100 else 3)
            taken: list[tuple[Figures, Figures]] = []
            for number in range(rounds):
                run, results = ours(place, larrys, hosts, many, chosen.forks)
                taken.append((run, plain(results, many, chosen.forks)))
                say(f"{name}, round {number + 1}: {run.seconds:.1f} s, debug {taken[-1][1].seconds:.1f} s")
            times = [Spread(tuple(pair[at].seconds for pair in taken)) for at in (0, 1)]
            sizes_mb = [Spread(tuple(pair[at].megabytes for pair in taken)) for at in (0, 1)]
            largest = [max(pair[at].largest_mb for pair in taken) for at in (0, 1)]
            table.rows.append(
                (name, f"{statistics.median(results.values()):g}", times[0].text("{:.1f} s"),
                 times[1].text("{:.1f} s"), ratio_of(*times).text("{:.2f}"),
                 f"{sizes_mb[0].median:.0f} MB ({largest[0]:.0f})", f"{sizes_mb[1].median:.0f} MB ({largest[1]:.0f})",
                 f"{sizes_mb[0].median / sizes_mb[1].median:.2f}")
            )  # fmt: skip
    publish("playbook-scale", [table], short=chosen.short, write=chosen.write)
    return 0


if __name__ == "__main__":
    sys.exit(main())
