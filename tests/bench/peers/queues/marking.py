# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a worker of any queue says that it is ready, waits for the start, and says that a task was carried out.

A task's mark is its time, appended to a file (one short write, atomic): it costs the same in every queue and nothing on
the server. CLOCK_MONOTONIC is one clock for all processes of a machine.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

# Set by the benchmark: <place>/marks, <place>/ready, <place>/go.
PLACE = Path(os.environ["LARRY_BENCH_PLACE"])
URL = os.environ["LARRY_BENCH_URL"]
# What the variant of a queue sets differently; see the table in task_throughput.py.
VARIANT = os.environ.get("LARRY_BENCH_VARIANT", "")
CLIENTS = int(os.environ.get("LARRY_BENCH_CLIENTS", "1"))

_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
_MARKS = os.open(PLACE / "marks", _APPEND, 0o600)


def mark() -> None:
    """The no-op task: it only leaves its time."""
    os.write(_MARKS, struct.pack("d", time.monotonic()))


def ready() -> None:
    """This process has imported what it needs; waits until the benchmark opens the gate."""
    handle = os.open(PLACE / "ready", _APPEND, 0o600)
    os.write(handle, b".")
    os.close(handle)
    while not (PLACE / "go").exists():
        time.sleep(0.005)


def in_forks(jobs: list[Callable[[], None]]) -> None:
    """Carries each job out in a fork of its own; returns when all have ended."""
    forks = []
    for job in jobs:
        pid = os.fork()
        if pid == 0:
            job()
            os._exit(0)
        forks.append(pid)
    for pid in forks:
        os.waitpid(pid, 0)


def read_marks(place: Path) -> list[float]:
    """The times of all tasks carried out so far, in order."""
    path = place / "marks"
    content = path.read_bytes() if path.exists() else b""
    content = content[: len(content) // 8 * 8]
    return sorted(one for (one,) in struct.iter_unpack("d", content))
