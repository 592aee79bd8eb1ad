# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every benchmark shares: rounds and their spread, a server of its own, tables, and their place in the docs.

A benchmark is a program: `python tests/bench/<name>.py [--short] [--write]`. It prints its tables; `--write` also puts
them into docs/benchmarks.md, between the markers of its name. `--short` is smaller and noisier, and says so.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent.parent
DOCUMENT = ROOT / "docs" / "benchmarks.md"
for _path in (ROOT / "playbooks" / "collections", ROOT / "tests" / "tools"):
    if str(_path) not in sys.path:
        sys.path.insert(0, str(_path))

import redis  # noqa: E402
from servers import start_valkey  # noqa: E402


@dataclass(frozen=True)
class Spread:
    """Measurements of one thing in several rounds: the median is the figure, the extremes say how noisy it was."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    def text(self, form: str = "{:,.0f}", factor: float = 1.0) -> str:
        """`median (lowest to highest)`; one round is shown alone."""
        shown = form.format(self.median * factor)
        if len(self.rounds) == 1:
            return shown
        return f"{shown} ({form.format(min(self.rounds) * factor)} to {form.format(max(self.rounds) * factor)})"


def interleaved(rounds: int, measured: dict[str, Callable[[], float]]) -> dict[str, Spread]:
    """Each thing once in each round, so that a slow minute of the machine hits all of them alike."""
    taken: dict[str, list[float]] = {name: [] for name in measured}
    for _round in range(rounds):
        for name, call in measured.items():
            taken[name].append(call())
    return {name: Spread(tuple(figures)) for name, figures in taken.items()}


def per_second(times: int, call: Callable[[], object]) -> float:
    """How often `call` runs in a second, over so many calls."""
    began = time.perf_counter()
    for _time in range(times):
        call()
    return times / (time.perf_counter() - began)


def ratio(ours: Spread, other: Spread) -> str:
    """Ours over the other: the median of the ratios of the same rounds, with the lowest and the highest."""
    return ratio_of(ours, other).text("{:.2f}")


def ratio_of(ours: Spread, other: Spread) -> Spread:
    """Ours over the other, round by round: the rounds were interleaved."""
    return Spread(tuple(one / two for one, two in zip(ours.rounds, other.rounds, strict=True)))


def verdict(reached: bool, aim: str) -> str:
    """An aim and whether it was reached."""
    return f"{aim}: {'reached' if reached else 'MISSED'}"


@dataclass
class Table:
    """A Markdown table with a sentence before it."""

    text: str
    header: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)

    def markdown(self) -> str:
        lines = [self.text, "", "| " + " | ".join(self.header) + " |", "|" + " --- |" * len(self.header)]
        lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in self.rows]
        return "\n".join(lines)


class Server:
    """A Valkey of this benchmark alone: append-only file off, so the disk is not what is measured."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.process = start_valkey(directory)
        self.url = f"redis://127.0.0.1:{self.process.port}/0"
        self.socket_url = f"unix://{directory / 's'}"
        self.plain = redis.Redis(unix_socket_path=str(directory / "s"), decode_responses=True)

    def cpu_s(self) -> float:
        """The processor time that the server has used, in seconds."""
        info = self.plain.info("cpu")
        return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])

    def script_time(self, command: str = "evalsha") -> tuple[int, int]:
        """Calls of a command so far, and the microseconds within them (commandstats)."""
        stats = self.plain.info("commandstats").get(f"cmdstat_{command}", {"calls": 0, "usec": 0})
        return stats["calls"], stats["usec"]

    def now_us(self) -> int:
        """The server's clock."""
        seconds, micro = self.plain.time()
        return seconds * 1_000_000 + micro


@contextlib.contextmanager
def server() -> Iterator[Server]:
    """A server in a short temporary directory, with a runtime directory for keepers beside it; both end with it."""
    directory = Path(tempfile.mkdtemp(prefix="larry-bench-"))
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(directory)
    made = Server(directory)
    try:
        yield made
    finally:
        made.plain.close()
        made.process.stop()
        if before is None:
            del os.environ["XDG_RUNTIME_DIR"]
        else:
            os.environ["XDG_RUNTIME_DIR"] = before
        shutil.rmtree(directory, ignore_errors=True)


def options(documentation: str | None, arguments: Callable[[argparse.ArgumentParser], object] | None = None) -> Any:
    """The options of every benchmark, and its own."""
    parser = argparse.ArgumentParser(description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="smaller and noisier: to see that it works")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    if arguments:
        arguments(parser)
    return parser.parse_args()


def say(text: str) -> None:
    """Progress, as soon as it is known; the tables come at the end."""
    print(f"  {text}", file=sys.stderr, flush=True)


def publish(name: str, tables: list[Table], *, short: bool, write: bool) -> None:
    """Prints the tables of the benchmark `name`; with `write` they replace what is between its markers in the docs."""
    text = "\n\n".join(table.markdown() for table in tables)
    if short:
        text = "**A short run: few rounds, small numbers.**\n\n" + text
    print(text, flush=True)
    if write:
        replace_block(DOCUMENT, name, text)


def replace_block(document: Path, name: str, text: str) -> None:
    """Puts `text` between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->`."""
    before = document.read_text(encoding="utf-8")
    opening, closing = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
    pattern = re.compile(re.escape(opening) + r".*?" + re.escape(closing), re.DOTALL)
    if len(pattern.findall(before)) != 1:
        sys.exit(f"{document} needs the markers {opening} and {closing}, once.")
    after = pattern.sub(lambda _match: f"{opening}\n{text}\n{closing}", before)
    document.write_text(after, encoding="utf-8")
