# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The processes of a round: controllers that are started again when they end, their forks and their keepers."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

# In the environment of everything that a controller starts, so that keepers are found and nothing is left behind.
MARK = "LARRY_CHAOS_MARK"
_LAST_PID = Path("/proc/sys/kernel/ns_last_pid")


def stat_of(pid: int) -> tuple[int, str] | None:
    """Parent and state letter of a process; its name may hold anything, so count from its end."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(words[1]), words[0]


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def marked(mark: str) -> list[int]:
    """Living processes whose mark begins with `mark`."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{entry}/environ").read_bytes().split(b"\0")
                seen = stat_of(int(entry))
                if any(word.startswith(wanted) for word in words) and seen is not None and seen[1] != "Z":
                    found.append(int(entry))
    return sorted(found)


def send(pid: int, number: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, number)


def process_with_id(pid: int, patience_s: float = 1.5) -> subprocess.Popen[bytes] | None:
    """A process (a short sleep) that has an id used before; None if another process was faster.

    Raises:
        OSError: the kernel does not let us choose.
    """
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        _LAST_PID.write_text(str(pid - 1))
        process = subprocess.Popen(["sleep", "5"], stdin=subprocess.DEVNULL)
        if process.pid == pid:
            return process
        process.kill()
        process.wait()
        if stat_of(pid) is not None:
            return None  # somebody else has it now
        # The forks of the dead controller are of its process group, whose id is not given away before they are gone.
        time.sleep(0.01)
    return None


@dataclass
class Controller:
    """One place for a controller: its incarnations follow each other."""

    name: str
    mark: str
    launch: Callable[[Controller], subprocess.Popen[bytes]]
    restart_after: Callable[[], float]
    # Asked before each start but the first.
    may_start: Callable[[Controller], bool] = lambda _controller: True
    popen: subprocess.Popen[bytes] | None = None
    incarnation: int = 0
    again_at: float | None = 0.0
    done: bool = False
    codes: list[int] = field(default_factory=list)
    # For somebody else's use of the process id (`reuse_pid`): not reaped and not started again meanwhile.
    held: bool = False

    @property
    def this_mark(self) -> str:
        """The mark of the incarnation that runs."""
        return f"{self.mark}-{self.name}-{self.incarnation}-"

    def running(self) -> bool:
        return self.popen is not None and self.popen.poll() is None

    def look_after(self) -> None:
        """Starts it again when it has ended, after a while; called often."""
        if self.done or self.held:
            return
        if self.popen is not None and self.popen.poll() is not None:
            self.codes.append(self.popen.returncode)
            self.done = self.popen.returncode == 0
            self.popen = None
            self.again_at = time.monotonic() + self.restart_after()
        if self.popen is None and not self.done and time.monotonic() >= (self.again_at or 0.0):
            if self.incarnation and not self.may_start(self):
                return
            self.incarnation += 1
            self.popen = self.launch(self)

    def forks(self) -> list[int]:
        """The children of the controller that are no keepers."""
        if self.popen is None:
            return []
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                seen = stat_of(int(entry))
                if seen is not None and seen[0] == self.popen.pid and seen[1] != "Z":
                    if "larry-keeper" not in command_line(int(entry)):
                        found.append(int(entry))
        return sorted(found)

    def keepers(self) -> list[int]:
        return [pid for pid in marked(self.this_mark) if "larry-keeper" in command_line(pid)]

    def end(self) -> None:
        """Ends whatever there is of it, in every incarnation."""
        for pid in marked(f"{self.mark}-{self.name}-"):
            send(pid, signal.SIGKILL)
            send(pid, signal.SIGCONT)
        if self.popen is not None:
            self.popen.kill()
            self.popen.wait()
