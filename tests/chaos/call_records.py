# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What clients write down of their calls: one line when a call begins and one when it ends, each with a time.

Each process appends to a file of its own, with one write for a line and no buffer, so a SIGKILL loses nothing that
was begun. Times are those of CLOCK_MONOTONIC, which all processes of a machine share; a client's clock never jumps.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class Recorder:
    """Appends to `<directory>/<name>.<process id>.<start>.jsonl`."""

    def __init__(self, directory: Path, name: str, controller: str) -> None:
        path = directory / f"{name}.{os.getpid()}.{time.monotonic_ns()}.jsonl"
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.number = 0
        self._write({"who": name, "controller": controller, "pid": os.getpid()})

    def _write(self, line: dict[str, Any]) -> None:
        os.write(self.file, json.dumps(line, separators=(",", ":")).encode() + b"\n")

    def invoke(self, what: str, **facts: Any) -> int:
        """A call begins; the number stands for it."""
        self.number += 1
        self._write({"n": self.number, "b": time.monotonic(), "what": what, **facts})
        return self.number

    def reply(self, number: int, **facts: Any) -> None:
        """The call with this number ended."""
        self._write({"n": number, "e": time.monotonic(), **facts})


@dataclass
class Call:
    """A call as its client saw it; `end` is None when the client never learned how it went."""

    who: str
    controller: str
    what: str
    begin: float
    asked: dict[str, Any]
    end: float | None = None
    answer: dict[str, Any] | None = None

    def said(self, name: str) -> Any:
        """One fact of the answer; None without one."""
        return (self.answer or {}).get(name)


def read_calls(directory: Path) -> Iterator[Call]:
    """Every call of every client, file by file."""
    for path in sorted(directory.glob("*.jsonl")):
        who = controller = ""
        open_calls: dict[int, Call] = {}
        for text in path.read_text().splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                continue  # the last line of a process that was killed while it wrote
            if "who" in line:
                who, controller = line["who"], line["controller"]
            elif "b" in line:
                number, begin, what = line.pop("n"), line.pop("b"), line.pop("what")
                open_calls[number] = Call(who, controller, what, begin, line)
            else:
                call = open_calls.pop(line.pop("n"), None)
                if call is not None:
                    call.end = line.pop("e")
                    call.answer = line
                    yield call
        yield from open_calls.values()
