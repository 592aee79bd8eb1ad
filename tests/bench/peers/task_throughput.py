# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Claim + complete beside the task queues for Python, on the same server with the same number of workers.

    python tests/bench/peers/task_throughput.py [--short] [--write] [--clients 1 8 32] [--only larry rq ...]

Counted is what is carried out: a no-op task is handed to a worker, executed, and acknowledged as that queue does it.
Its time is left in a file by the task itself (by ours, after the completion was accepted). All tasks are enqueued
before; workers are started, import what they need and wait at a gate. The rate is that of the middle nine tenths,
between the marks at 5 % and 95 %. Every round runs every queue once; ratios are taken within a round.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from measuring import Server, Spread, Table, options, publish, ratio_of, say, server, verdict  # noqa: E402

QUEUES = HERE / "queues"
_PYTHON = sys.executable
_START_S, _ROUND_S = 120.0, 180.0
_PILOT = 400
_LEAST, _MOST = 600, 40_000


@dataclass(frozen=True)
class Queue:
    """A queue and the variant of its settings; `{clients}` stands for the number of workers.

    `processes`: the command is started that many times for each client (0: once, it makes its own).
    `gates`: how many processes wait at the gate: one, or as many as there are clients.
    """

    name: str
    module: str
    variant: str
    command: tuple[str, ...]
    each_client: bool
    gate_each: bool
    acknowledged: str
    kept: str


def _celery(name: str, variant: str, acknowledged: str, kept: str) -> Queue:
    command = ("-m", "celery", "-A", "celery_queue", "worker", "--pool", "prefork", "--concurrency", "{clients}")
    command += ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "ERROR")
    return Queue(name, "celery_queue", variant, command, False, False, acknowledged, kept)


def _dramatiq(name: str, variant: str, kept: str) -> Queue:
    command = ("-m", "dramatiq", "dramatiq_queue", "--processes", "{clients}", "--threads", "1")
    return Queue(name, "dramatiq_queue", variant, command, False, True, "after", kept)


def _huey(name: str, variant: str, kept: str) -> Queue:
    command = ("-m", "huey.bin.huey_consumer", "huey_queue.huey", "--workers", "{clients}", "--worker-type", "process")
    return Queue(name, "huey_queue", variant, (*command, "--no-periodic", "--quiet"), False, False, "before", kept)


FLOOR = Queue(
    "no-op EVALSHA", "noop_script_queue", "", ("noop_script_queue.py",), False, True, "–", "nothing: one round trip"
)
OURS = Queue(
    "cortex.larry", "larry_queue", "", ("larry_queue.py",), False, True,
    "after, fenced", "result, log, events, lease with keeper",
)  # fmt: skip
OURS_ALONE = replace(OURS, name="cortex.larry, no keeper", variant="no keeper", kept="result, log, events, lease")
PEERS = (
    _celery("Celery", "", "before", "no results"),
    _celery("Celery, late acks", "results", "after", "results"),
    Queue("RQ SimpleWorker", "rq_queue", "simple", ("rq_queue.py",), True, True, "before", "no results, job record"),
    Queue("RQ Worker (its default)", "rq_queue", "fork", ("rq_queue.py",), True, True, "before", "results, job record"),
    _dramatiq("dramatiq", "", "no results"),
    _dramatiq("dramatiq, results", "results", "results"),
    _huey("huey", "", "no results"),
    _huey("huey, results", "results", "results"),
    Queue("arq, quick polling", "arq_queue", "", ("arq_queue.py", "worker"), True, True, "after", "no results"),
    Queue("arq (its default)", "arq_queue", "defaults", ("arq_queue.py", "worker"), True, True, "after", "results"),
)


@dataclass(frozen=True)
class Cell:
    """One queue, one number of clients, one round."""

    executed_per_s: float
    enqueued_per_s: float
    bytes_per_task: float
    server_us_per_task: float


def carry_out(place: Server, queue: Queue, clients: int, count: int) -> Cell:
    """Enqueues `count` tasks, lets `clients` workers carry them out, and says how fast that was."""
    sys.path.insert(0, str(QUEUES))
    with tempfile.TemporaryDirectory(prefix="larry-bench-") as name:
        directory = Path(name)
        os.environ["LARRY_BENCH_PLACE"], os.environ["LARRY_BENCH_URL"] = name, place.url
        from marking import read_marks

        environment = {
            **os.environ,
            "LARRY_BENCH_VARIANT": queue.variant,
            "LARRY_BENCH_CLIENTS": str(clients),
            "PYTHONPATH": str(QUEUES),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        place.plain.flushall()
        place.plain.config_resetstat()
        empty = place.plain.info("memory")["used_memory"]
        enqueued = subprocess.run(
            [_PYTHON, str(QUEUES / "enqueue.py"), queue.module, str(count)],
            cwd=QUEUES, env=environment, check=True, capture_output=True, text=True, timeout=_ROUND_S,
        )  # fmt: skip
        size = (place.plain.info("memory")["used_memory"] - empty) / count
        command = [_PYTHON, *(part.replace("{clients}", str(clients)) for part in queue.command)]
        log = (directory / "log").open("wb")
        started = [
            subprocess.Popen(
                command, cwd=QUEUES, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )
            for _client in range(clients if queue.each_client else 1)
        ]  # fmt: skip
        try:
            waiting = clients if queue.gate_each else 1
            _until(lambda: _size(directory / "ready") >= waiting, _START_S, queue, started, directory / "log")
            before = place.cpu_s()
            (directory / "go").touch()
            goal = count // clients * clients if queue is FLOOR else count
            _until(lambda: _size(directory / "marks") >= 8 * goal, _ROUND_S, queue, started, directory / "log")
            cpu_s = place.cpu_s() - before
            marks = read_marks(directory)
        finally:
            _end(started)
            log.close()
    early, late = int(len(marks) * 0.05), int(len(marks) * 0.95)
    return Cell(
        executed_per_s=(late - early) / (marks[late] - marks[early]),
        enqueued_per_s=count / float(enqueued.stdout),
        bytes_per_task=size,
        server_us_per_task=cpu_s / len(marks) * 1e6,
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _until(condition, seconds: float, queue: Queue, started: Sequence[subprocess.Popen], log: Path) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + seconds
    while not condition():
        if all(process.poll() is not None for process in started) and not condition():
            sys.exit(f"{queue.name} ended early:\n{log.read_text(errors='replace')[-2000:]}")
        if time.monotonic() > deadline:
            sys.exit(
                f"{queue.name} did not come to an end in {seconds:g} s:\n{log.read_text(errors='replace')[-2000:]}"
            )
        time.sleep(0.01)


def _end(started: Sequence[subprocess.Popen]) -> None:
    """Ends the process groups that were started here, and only those."""
    for number, patience in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 10.0)):
        for process in started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        deadline = time.monotonic() + patience
        for process in started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=max(0.05, deadline - time.monotonic()))
    # A keeper notices the end of its controller within half a second; it must not work in the next round.
    time.sleep(0.7)


def measure(clients: int, queues: Sequence[Queue], rounds: int, seconds: float) -> dict[str, list[Cell]]:
    """A pilot of each queue says how many tasks make a round of about `seconds`; then interleaved rounds."""
    cells: dict[str, list[Cell]] = {queue.name: [] for queue in queues}
    with server() as place:
        counts = {}
        for queue in queues:
            pilot = carry_out(place, queue, clients, max(_PILOT, 20 * clients))
            counts[queue.name] = min(_MOST, max(_LEAST, 30 * clients, int(pilot.executed_per_s * seconds)))
        for number in range(rounds):
            for queue in queues:
                cell = carry_out(place, queue, clients, counts[queue.name])
                cells[queue.name].append(cell)
                say(f"{clients} clients, round {number + 1}: {queue.name} {cell.executed_per_s:,.0f} tasks a second")
    return cells


def table(clients: int, queues: Sequence[Queue], cells: dict[str, list[Cell]]) -> Table:
    """One table for a number of clients, and whether the aims were reached."""
    rates = {name: Spread(tuple(cell.executed_per_s for cell in of)) for name, of in cells.items()}
    ours = rates[OURS.name]
    made = Table(
        f"**{clients} {'client' if clients == 1 else 'clients'}.** Tasks carried out per second: median (lowest to "
        "highest) of the rounds.",
        ("queue", "executed per s", "ours / theirs", "acknowledged", "kept", "server CPU per task", "enqueued per s",
         "bytes per waiting task", ""),
    )  # fmt: skip
    for queue in queues:
        of = cells[queue.name]
        share, note = "1.00", ""
        if queue is FLOOR:
            part = ratio_of(ours, rates[queue.name])
            share, note = part.text("{:.2f}"), verdict(part.median >= 0.25, "aim >= 0.25")
        elif queue is OURS_ALONE:
            share = ratio_of(ours, rates[queue.name]).text("{:.2f}")
        elif queue is not OURS:
            part = ratio_of(ours, rates[queue.name])
            share, note = part.text("{:.2f}"), verdict(part.median > 1, "aim > 1")
        server_us = Spread(tuple(cell.server_us_per_task for cell in of))
        enqueued = Spread(tuple(cell.enqueued_per_s for cell in of))
        size = Spread(tuple(cell.bytes_per_task for cell in of))
        is_floor = queue is FLOOR
        made.rows.append(
            (queue.name, rates[queue.name].text(), share, queue.acknowledged, queue.kept,
             f"{server_us.median:,.0f} µs", "–" if is_floor else f"{enqueued.median:,.0f}",
             "–" if is_floor else f"{size.median:,.0f}", note)
        )  # fmt: skip
    return made


def main() -> int:
    """Entry."""

    def own(parser) -> None:  # type: ignore[no-untyped-def]
        parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
        parser.add_argument("--rounds", type=int, help="rounds of each (5; short: 1)")
        parser.add_argument("--only", nargs="+", help="parts of the names of the peers wanted, such as rq huey")

    chosen = options(__doc__, own)
    rounds = chosen.rounds or (1 if chosen.short else 5)
    peers = [
        peer for peer in PEERS if not chosen.only or any(part.lower() in peer.name.lower() for part in chosen.only)
    ]
    queues = [FLOOR, OURS, OURS_ALONE, *peers]
    tables = []
    for clients in chosen.clients:
        tables.append(table(clients, queues, measure(clients, queues, rounds, 1.0 if chosen.short else 4.0)))
    publish("task-throughput", tables, short=chosen.short, write=chosen.write)
    return 0


if __name__ == "__main__":
    sys.exit(main())
