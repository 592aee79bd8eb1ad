# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes of a controller: which forks live, which were killed, and how what a dead controller left is ended.

A fork of ansible-playbook that is killed leaves the strategy `free` waiting for ever, and a controller that is killed
leaves its forks at work. So each fork leaves a note in the runtime directory and takes it away when it ends in order,
asks the kernel to end it with its parent, and carries a mark in its environment that its children inherit.
"""

from __future__ import annotations

import atexit
import ctypes
import dataclasses
import multiprocessing
import multiprocessing.process
import multiprocessing.util
import os
import shutil
import signal
import time
import typing as t

from .identity import Controller, process_alive, process_state
from .runtime_directory import private_directory, runtime_directory

MARK = "LARRY_CONTROLLER"
_PR_SET_PDEATHSIG = 1  # prctl(2), Linux


@dataclasses.dataclass(frozen=True)
class KilledFork:
    """A fork that ended without taking its note away."""

    pid: int
    host: str
    note: str


def _forks_directory(controller: Controller) -> str:
    return os.path.join(runtime_directory(), f"forks-{controller.id}")


class _AtFork:
    """Runs in each multiprocessing child of the controller, right after the fork."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller
        self.directory = _forks_directory(controller)
        try:
            self._prctl: t.Any = ctypes.CDLL(None, use_errno=True).prctl
        except (AttributeError, OSError):  # not Linux: the keeper alone ends what a dead controller leaves
            self._prctl = None

    def __call__(self, _self: t.Any) -> None:
        if self._prctl is not None:
            self._prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            if os.getppid() != self.controller.pid:  # the parent died before the call above
                os._exit(1)
        os.environ[MARK] = self.controller.id
        seen = process_state(os.getpid())
        host = getattr(getattr(multiprocessing.current_process(), "_host", None), "name", "")
        note = os.path.join(self.directory, str(os.getpid()))
        try:
            with open(note, "w", encoding="utf-8") as stream:
                stream.write(f"{seen[0] if seen else ''}\n{host}")
        except OSError:
            return
        multiprocessing.util.Finalize(None, _remove, args=(note,), exitpriority=0)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass


_WATCHED: list[_AtFork] = []


def watch_forks() -> None:
    """Prepares this process so that its forks are watched. Once; does nothing in a fork itself."""
    if _WATCHED or multiprocessing.parent_process() is not None:
        return
    hook = _AtFork(Controller.of_process(os.getpid()))
    private_directory(hook.directory)
    _WATCHED.append(hook)
    multiprocessing.util.register_after_fork(hook, hook)
    _spare_terminated_forks(hook.directory)
    # The keeper removes the notes of a controller that was killed; one that ends in order does it itself.
    atexit.register(forget_forks, hook.controller)


def _spare_terminated_forks(directory: str) -> None:
    """A fork that this process ends itself was not killed.

    At the end of each play Ansible terminates the forks that have sent their result and are still on their way out;
    such a fork can no longer take its note away.
    """
    terminate = multiprocessing.process.BaseProcess.terminate

    def terminate_and_forget(self: t.Any) -> None:
        _remove(os.path.join(directory, str(self.pid)))
        terminate(self)

    multiprocessing.process.BaseProcess.terminate = terminate_and_forget  # type: ignore[method-assign]


def killed_forks(controller: Controller) -> list[KilledFork]:
    """Forks of this controller that are gone although they never took their note away."""
    found = []
    try:
        entries = list(os.scandir(_forks_directory(controller)))
    except OSError:
        return []
    for entry in entries:
        try:
            with open(entry.path, encoding="utf-8") as stream:
                start, _newline, host = stream.read().partition("\n")
        except OSError:
            continue
        if start and not process_alive(int(entry.name), start) and os.path.exists(entry.path):
            found.append(KilledFork(int(entry.name), host, entry.path))
    return found


def forget_forks(controller: Controller) -> None:
    """Removes the notes of a controller that is gone."""
    shutil.rmtree(_forks_directory(controller), ignore_errors=True)


def marked_processes(controller: Controller) -> list[int]:
    """Processes of this machine that carry this controller's mark (Linux: /proc/<pid>/environ)."""
    wanted = f"{MARK}={controller.id}".encode()
    found = []
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else []:
        if name.isdigit() and int(name) != os.getpid():
            try:
                with open(f"/proc/{name}/environ", "rb") as stream:
                    if wanted in stream.read().split(b"\0"):
                        found.append(int(name))
            except OSError:
                continue
    # The mark is set after the fork, so it is not in the fork's own /proc/<pid>/environ; its note names it.
    try:
        for entry in os.scandir(_forks_directory(controller)):
            with open(entry.path, encoding="utf-8") as stream:
                start = stream.readline().strip()
            if process_alive(int(entry.name), start):
                found.append(int(entry.name))
    except OSError:
        pass
    return sorted(set(found))


def end_left_processes(controller: Controller, patience_s: float = 1.0) -> list[int]:
    """Ends what a dead controller left on this machine: SIGTERM, and SIGKILL for what is still there after that.

    Never called while the controller lives. Returns the process ids that were there.
    """
    left = marked_processes(controller)
    for pid in left:
        _signal(pid, signal.SIGTERM)
    deadline = time.monotonic() + patience_s
    while left and time.monotonic() < deadline and marked_processes(controller):
        time.sleep(0.02)
    for pid in marked_processes(controller) if left else []:
        _signal(pid, signal.SIGKILL)
    return left


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except OSError:
        pass
