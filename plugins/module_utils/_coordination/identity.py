# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is calling: the controller (one incarnation of one process), the machine, and how long a process lives.

A controller's id is derived from the machine, the boot, the process id and the process's start time. So every fork
of one ansible-playbook derives the same id without sharing any state, and a process that is started again, even with
a process id used before, is another controller.
"""

from __future__ import annotations

import dataclasses
import os
import socket
import subprocess
import uuid

_NAMESPACE = uuid.UUID("6f1d3c5e-0f43-5c55-9a0e-6c617272796c")


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read().strip()
    except OSError:
        return ""


def process_state(pid: int) -> tuple[str, str] | None:
    """Start time and state letter of a process, or None when there is none.

    Linux: fields 22 and 3 of /proc/<pid>/stat (proc(5)). Elsewhere: `ps`.
    """
    text = _read(f"/proc/{pid}/stat")
    if text:
        # The second field is the command in parentheses and may hold anything, so count from its end.
        fields = text[text.rindex(")") + 2 :].split()
        return fields[19], fields[0]
    if os.path.isdir("/proc/self"):
        return None
    # S603/S607: a fixed command; there is no /proc on this system.
    answer = subprocess.run(
        ["ps", "-o", "state=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode != 0 or not answer.stdout.strip():
        return None
    state, _blank, start = answer.stdout.strip().partition(" ")
    return start.strip(), state[0]


def process_alive(pid: int, start_time: str) -> bool:
    """True while the process with this id *and* start time runs; a zombie does not run."""
    seen = process_state(pid)
    return seen is not None and seen[0] == start_time and seen[1] not in ("Z", "X")


@dataclasses.dataclass(frozen=True)
class Controller:
    """One incarnation of one controlling process.

    Attributes:
        id: uuid as a string.
        pid: process id on its machine.
        start_time: the process's start time as its system tells it.
        hostname: name of its machine.
    """

    id: str
    pid: int
    start_time: str
    hostname: str

    @classmethod
    def of_process(cls, pid: int) -> Controller:
        """The controller that the process `pid` of this machine is."""
        seen = process_state(pid)
        start = seen[0] if seen else "unknown"
        hostname = socket.gethostname()
        boot = _read("/proc/sys/kernel/random/boot_id")
        # Containers share a boot id and count processes anew, so the pid namespace belongs to the name.
        try:
            namespace = os.readlink("/proc/self/ns/pid")
        except OSError:
            namespace = ""
        name = f"{hostname}/{boot}/{namespace}/{pid}/{start}"
        return cls(str(uuid.uuid5(_NAMESPACE, name)), pid, start, hostname)

    def alive(self) -> bool:
        """True while this incarnation runs on this machine."""
        return process_alive(self.pid, self.start_time)


def machine() -> dict[str, str]:
    """Evidence of where this code runs: host name and machine id (machine-id(5)), empty where there is none."""
    return {"hostname": socket.gethostname(), "machine_id": _read("/etc/machine-id")}
