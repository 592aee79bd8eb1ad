# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The supervisor of the embedded server: a small process that owns the server and ends it when nobody uses it.

It is never called by its path. C(embedded.py) hands this source to a fresh interpreter on standard input, because a
module that runs on a target comes out of an archive that is gone a moment later. So it imports the standard library
alone and is told everything in one JSON argument (see L(main)).

What holds (C(embedded.py) names the files):

* The lock file C(server.lock) is locked by this process *and* by the server, which inherits that one descriptor. As
  long as either lives no second server can open the same data, not even for the moment in which a server whose
  supervisor was killed is still writing.
* C(supervisor.lock) is locked by this process alone: whoever can lock it knows that there is no supervisor.
* C(users.lock) is locked, shared, by each user. The supervisor stops the server only while it holds that lock
  exclusively, and keeps it until it has ended. A user that comes in between waits and then starts a new server, so a
  user never gets a server that is about to be stopped.
* The supervisor dies: on Linux the kernel sends the server SIGTERM (C(PR_SET_PDEATHSIG)). Elsewhere the server stays
  until the next user comes, who sees the missing supervisor, stops that server and starts a new pair.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

try:
    import ctypes
except ImportError:  # some minimal builds of Python have no ctypes
    ctypes = None  # type: ignore[assignment]

PR_SET_PDEATHSIG = 1
# How long a server may take to end after SIGTERM. Every write is on disk already, so SIGKILL after it loses nothing.
STOP_GRACE_S = 10.0


def _log(sentence: str) -> None:
    # Standard error is the server's log.
    sys.stderr.write(f"supervisor {os.getpid()} {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {sentence}\n")
    sys.stderr.flush()


def _end_with_supervisor() -> Callable[[], None] | None:
    """What the server's process does before it becomes the server: ask the kernel for SIGTERM at our death."""
    if ctypes is None or not sys.platform.startswith("linux"):
        return None
    # Loaded before the fork: after it only the call itself is safe.
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    supervisor_pid = os.getpid()

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != supervisor_pid:  # it died before the kernel was asked
            os._exit(1)

    return ask


def _write_state(path: str, state: dict[str, Any]) -> None:
    with open(path + ".new", "w", encoding="utf-8") as stream:
        json.dump(state, stream)
    os.replace(path + ".new", path)


def _stop(server: subprocess.Popen[bytes]) -> int:
    server.terminate()
    try:
        return server.wait(STOP_GRACE_S)
    except subprocess.TimeoutExpired:
        _log(f"the server did not end within {STOP_GRACE_S:g} s of SIGTERM; ending it with SIGKILL")
        server.kill()
        return server.wait()


class _Idle:
    """Since when the server has had no user, told from the users' lock."""

    def __init__(self, users_fd: int, idle_s: float) -> None:
        self.users_fd = users_fd
        self.idle_s = idle_s
        self.since: float | None = None
        self.last_arrival_ns = 0

    def is_over(self) -> bool:
        """True when the idle time has passed; the users' lock is then held exclusively, and stays so."""
        try:
            fcntl.flock(self.users_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.since = None
            return False
        now = time.monotonic()
        # A user that came and went between two looks has left its arrival as the file's modification time.
        arrival_ns = os.fstat(self.users_fd).st_mtime_ns
        if self.since is None or arrival_ns != self.last_arrival_ns:
            self.since = now
            self.last_arrival_ns = arrival_ns
        if now - self.since >= self.idle_s:
            return True
        fcntl.flock(self.users_fd, fcntl.LOCK_UN)
        return False


def _is_same_file(path: str, fd: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(fd))
    except OSError:
        return False


def _supervise(server: subprocess.Popen[bytes], options: dict[str, Any], users_fd: int, wakeup_fd: int) -> None:
    """Return when the server has ended, for whatever reason."""
    stop_requests: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, frame: stop_requests.append(received))
    idle = _Idle(users_fd, options["idle_s"])
    period_s = min(1.0, max(0.05, idle.idle_s / 10))
    socket_seen = False
    while True:
        status = server.poll()
        if status is not None:
            _log(f"the server ended by itself with status {status}")
            return
        if stop_requests:
            _log(f"signal {stop_requests[0]}: the server ended with status {_stop(server)}")
            return
        if not _is_same_file(options["users_lock"], users_fd):
            # The data are gone, and a new server may own the socket's path already: a clean end would remove it.
            server.kill()
            server.wait()
            return
        socket_there = os.path.exists(options["socket"])
        if socket_seen and not socket_there:
            _log(f"the socket was removed and nobody can reach the server: it ended with status {_stop(server)}")
            return
        socket_seen = socket_there
        if idle.is_over():
            _log(f"no user for {idle.idle_s:g} s: the server ended with status {_stop(server)}")
            return
        # Short looks until the socket is there, so that its removal is noticed from then on.
        if select.select([wakeup_fd], [], [], period_s if socket_seen else 0.05)[0]:
            os.read(wakeup_fd, 512)


def main(argument: str) -> int:
    """Start the server and stay with it until it has ended.

    Args:
        argument: a JSON object with C(directory), C(socket), C(state), C(users_lock) (paths), C(command) (the
            server's command line), C(idle_s) (seconds), and the inherited descriptors C(server_lock_fd),
            C(supervisor_lock_fd) (both locked by the starter) and C(life_fd) (a pipe whose other end tells the
            starter that this process has ended).

    Returns:
        The exit code; 0 also for the first process, which leaves the supervisor to init.
    """
    # An orphan is reaped by init; a child of a long-lived starter would stay behind as a zombie.
    if os.fork():
        return 0
    options = json.loads(argument)
    os.umask(0o077)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for fd in (options["supervisor_lock_fd"], options["life_fd"]):
        os.set_inheritable(fd, False)
    wakeup_read, wakeup_write = os.pipe()
    os.set_blocking(wakeup_write, False)
    signal.set_wakeup_fd(wakeup_write)
    signal.signal(signal.SIGCHLD, lambda received, frame: None)
    # The starter may have had signals blocked, and a mask survives fork and exec.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    users_fd = os.open(options["users_lock"], os.O_RDWR | os.O_CLOEXEC)
    try:
        server = subprocess.Popen(
            options["command"],
            stdin=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C"},  # a locale that is not installed would stop the server
            cwd=options["directory"],
            pass_fds=(options["server_lock_fd"],),
            start_new_session=True,
            preexec_fn=_end_with_supervisor(),
        )
    except (OSError, subprocess.SubprocessError) as error:
        _log(f"{options['command'][0]} cannot be started: {error}")
        return 1
    try:
        _write_state(
            options["state"],
            {
                "supervisor_pid": os.getpid(),
                "server_pid": server.pid,
                "socket": options["socket"],
                "binary": options["command"][0],
                "host": os.uname().nodename,
                "started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "idle_s": options["idle_s"],
            },
        )
        _supervise(server, options, users_fd, wakeup_read)
    except OSError as error:  # a full disk, say: leave no server behind
        _log(f"the supervisor cannot go on ({error}): the server ended with status {_stop(server)}")
        return 1
    if _is_same_file(options["users_lock"], users_fd):
        os.unlink(options["state"])
    return 0


if __name__ == "__main__":
    # argv: "-", a label for the process list, the options
    raise SystemExit(main(sys.argv[2]))
