# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keeper: one process for each controller that renews its leases and gives them up when it ends.

Protocol rules (law 4 and 5): renewal at a third of the TTL; a keeper is bound to the controller's process id and start
time and ends with it; correctness never depends on it, because a lease that is not renewed lapses.
The settings (with the password) reach the keeper through a pipe, never through its arguments or environment.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
import typing as t

from .errors import CoordinationError
from .identity import Controller
from .processes import MARK, end_left_processes, forget_forks, killed_forks
from .runtime_directory import runtime_directory
from .session import Session
from .settings import Settings

_PACKAGE_PARENT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_BOOTSTRAP = (
    "import json,sys;c=json.loads(sys.stdin.buffer.readline());sys.path[:]=c['path'];"
    "from _coordination.keeper import main;main(c)"
)
_IDLE_TURN_S = 5.0
_FORK_CHECK_S = 0.5
# A poke says that there is a new lease. It was taken just now, and no TTL is shorter than a second: to look after a
# third of that is early enough, and whoever claims hundreds of times a second does not make us renew as often.
_POKED_S = 1 / 3
# A strategy that notices a dead fork by itself gets this long before the keeper ends the controller.
_FORK_GRACE_S = 2.0


def _paths(controller: Controller, settings: Settings) -> tuple[str, str, str]:
    # One keeper per controller and server: one playbook may use several.
    import hashlib

    server = hashlib.sha256(f"{settings.server}\n{settings.prefix}".encode()).hexdigest()[:8]
    stem = os.path.join(runtime_directory(), f"keeper-{controller.id}-{server}")
    return stem + ".lock", stem + ".poke", stem + ".log"


def ensure_keeper(session: Session) -> None:
    """Starts this controller's keeper unless it runs, and wakes it: there may be a lease with a shorter TTL now."""
    if not session.keep:
        return
    lock_path, poke_path, log_path = _paths(session.controller, session.settings)
    lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            _poke(poke_path)
            return
        _start(session, lock, poke_path, log_path)
    finally:
        os.close(lock)


def _poke(path: str) -> None:
    try:
        fifo = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in (errno.ENXIO, errno.ENOENT):
            raise
        return  # it is starting and looks at every lease in its first turn
    try:
        os.write(fifo, b".")
    except BlockingIOError:
        pass  # it has been woken often enough
    finally:
        os.close(fifo)


def _start(session: Session, lock: int, poke_path: str, log_path: str) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkfifo(poke_path, 0o600)
    environment = {
        name: value for name, value in os.environ.items() if name != MARK and not name.startswith("LARRY_REDIS")
    }
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        # The lock's descriptor goes along: the keeper holds the lock from the first moment on.
        keeper = subprocess.Popen(
            [sys.executable, "-c", _BOOTSTRAP, "larry-keeper"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(lock,),
            env=environment,
            cwd="/",
        )
    finally:
        os.close(log)
    content = {
        "path": [entry for entry in sys.path if entry] + [_PACKAGE_PARENT],
        "settings": session.settings.as_dict(),
        "controller": dataclasses.asdict(session.controller),
        "lock": lock,
        "poke": poke_path,
    }
    if keeper.stdin is None:
        raise AssertionError("a pipe to the keeper was asked for")
    keeper.stdin.write(json.dumps(content).encode() + b"\n")
    keeper.stdin.close()


class Keeper:
    """The loop of the keeper process."""

    def __init__(self, settings: Settings, controller: Controller, poke_path: str, files: t.Sequence[str]) -> None:
        self.controller = controller
        # It has turns of its own, and must see that its controller ended also while the server is away.
        self.session = Session(settings, controller, host="keeper", actor="keeper").hasty()
        # Open for writing as well, so that the pipe never reports its end.
        self.poke = os.open(poke_path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.files = files
        self.watch: list[int] = [self.poke]
        if hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                self.watch.append(os.pidfd_open(controller.pid))
        self.dead_forks_seen: float | None = None

    def run(self) -> None:
        next_turn = time.monotonic()
        poked = False
        while self.controller.alive():
            now = time.monotonic()
            if now >= next_turn:
                # What was poked until now is renewed now; the pipe is emptied first, so that no poke is lost.
                with contextlib.suppress(BlockingIOError):
                    while os.read(self.poke, 65536):
                        pass
                poked = False
                next_turn = now + self.turn()
            self.look_at_forks()
            # Who is poked already need not be woken again before the turn.
            watched = [one for one in self.watch if not (poked and one == self.poke)]
            ready, _w, _x = select.select(watched, [], [], max(0.01, min(next_turn - time.monotonic(), _FORK_CHECK_S)))
            if self.poke in ready:
                poked = True
                next_turn = min(next_turn, time.monotonic() + _POKED_S)
        self.give_up()

    def turn(self) -> float:
        """Renews everything; returns the seconds until the next turn."""
        try:
            reply = self.session.call("renew")
        except CoordinationError as error:
            say(error.sentence)
            return 0.5
        for answer in reply["answers"] or []:
            if answer["state"] != "kept":
                say(f"{answer['resource']}: {answer['state']}")
        pause = _IDLE_TURN_S
        if reply.get("soonest_ttl_ms"):
            pause = min(pause, reply["soonest_ttl_ms"] / 3000)
        if reply.get("next_ms") is not None:
            pause = min(pause, max(0.05, reply["next_ms"] / 1000))
        return pause

    def look_at_forks(self) -> None:
        """A killed fork: what its host held is given up, and the controller, which would wait for ever, is ended."""
        dead = killed_forks(self.controller)
        if not dead:
            self.dead_forks_seen = None
            return
        now = time.monotonic()
        if self.dead_forks_seen is None:
            self.dead_forks_seen = now
            for fork in dead:
                say(
                    f"the fork {fork.pid} of the controller {self.controller.pid} was killed "
                    f"(host {fork.host or 'unknown'})"
                )
        elif now - self.dead_forks_seen > _FORK_GRACE_S and self.controller.alive():
            hosts = ", ".join(sorted({fork.host or "unknown" for fork in dead}))
            say(
                f"ending the controller {self.controller.pid}: a fork of it was killed (host {hosts}), "
                "it would wait for ever"
            )
            self.cause = f"a fork of it was killed (host {hosts})"
            for number in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(OSError):
                    os.kill(self.controller.pid, number)
                deadline = time.monotonic() + 5
                while self.controller.alive() and time.monotonic() < deadline:
                    time.sleep(0.02)

    cause = "the process is gone"

    def give_up(self) -> None:
        """The controller is gone: its local processes are ended first, then its leases are given up."""
        left = end_left_processes(self.controller)
        if left:
            say(f"ended {len(left)} processes that the controller {self.controller.pid} left")
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            try:
                reply = self.session.call("gone", {"cause": self.cause})
                if reply["released"]:
                    say("gave up " + ", ".join(reply["released"]))
                break
            except CoordinationError as error:
                say(error.sentence)
                time.sleep(0.2)
        forget_forks(self.controller)
        # The log tells why a controller was ended; of one that ended by itself there is nothing to tell.
        for path in self.files[:2] if self.cause != Keeper.cause else self.files:
            with contextlib.suppress(OSError):
                os.unlink(path)


def say(sentence: str) -> None:
    """One line in the keeper's own log, in the runtime directory."""
    sys.stdout.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {sentence}\n")
    sys.stdout.flush()


def main(content: dict[str, t.Any]) -> None:
    """Entry of the keeper process; `content` came through its standard input."""
    # Ctrl-C in the terminal is for the controller; the keeper ends after it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = Settings(**content["settings"])
    controller = Controller(**content["controller"])
    lock_path, poke_path, log_path = _paths(controller, settings)
    Keeper(settings, controller, content["poke"], (lock_path, poke_path, log_path)).run()
