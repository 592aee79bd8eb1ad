# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where our lock differs from redis-py's: each row of the table in docs/python.md, shown on both."""

from __future__ import annotations

import re
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.lock

from ansible_collections.cortex.larry.plugins.module_utils import client as larry

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "python.md"
ROWS: dict[str, Callable[..., None]] = {}


def row(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Marks the test of a row of the table."""

    def mark(test: Callable[..., None]) -> Callable[..., None]:
        ROWS[name] = test
        return test

    return mark


def test_each_row_of_the_table_has_a_test() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    table = text.partition("### Where it differs")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| .* \| .* \|$", table, re.MULTILINE)[1:]
    assert set(rows) == set(ROWS)


class Proxy:
    """A TCP port before a Unix socket; it can swallow the next answer and cut the connection."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.swallow = threading.Event()
        self.swallowed = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                near, _address = self.listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(self.target)
            except OSError:
                near.close()
                continue
            threading.Thread(target=self.carry, args=(near, far), daemon=True).start()

    def carry(self, near: socket.socket, far: socket.socket) -> None:
        with near, far:
            while True:
                for one in select.select([near, far], [], [])[0]:
                    try:
                        data = one.recv(65536)
                    except OSError:
                        return
                    if not data:
                        return
                    if one is far and self.swallow.is_set():
                        self.swallow.clear()
                        self.swallowed += 1
                        return
                    (far if one is near else near).sendall(data)


@pytest.fixture
def proxy(valkey: Any) -> Iterator[Proxy]:
    made = Proxy(str(valkey.socket))
    yield made
    made.listener.close()


@row("the key")
def test_the_key(plain: redis.Redis, make: Any) -> None:
    theirs = plain.lock("l")
    theirs.acquire()
    ours = make("l", owner="the backup")
    assert ours.acquire(blocking=False), "the two kinds do not exclude each other"
    assert plain.get("l") == theirs.local.token.decode()
    assert plain.get("lock:l") == "the backup"


@row("no `timeout`")
def test_no_timeout(plain: redis.Redis, scripts: Any) -> None:
    script = scripts.start("""
        import os
        import redis
        redis.Redis.from_url(os.environ["LARRY_REDIS"]).lock("theirs").acquire()
        larry.Lock(None, "ours", ttl=60).acquire()
        print("taken", flush=True)
        input()
    """)
    scripts.said(script, "taken")
    script.kill()
    assert plain.lock("ours", lock_class=larry.Lock).acquire(blocking_timeout=10)
    assert plain.lock("theirs").locked()
    assert plain.ttl("theirs") == -1


@row("short and long timeouts")
@pytest.mark.parametrize("timeout", [0, 0.5, 86401, -1])
def test_short_and_long_timeouts(plain: redis.Redis, make: Any, timeout: float) -> None:
    plain.lock("l", timeout=timeout)
    with pytest.raises(larry.SettingsError, match="between 1 second and 1 day"):
        make("l", timeout=timeout)
    with pytest.raises(larry.SettingsError, match="between 1 second and 1 day"):
        make("l", ttl=timeout)


@row("`sleep`")
def test_sleep(plain: redis.Redis, make: Any) -> None:
    def waited(lock: Any) -> float:
        began = time.monotonic()
        assert lock.acquire(blocking_timeout=0.5) is False
        return time.monotonic() - began

    plain.lock("l").acquire()
    make("l").acquire()
    assert waited(plain.lock("l", sleep=5)) < 0.3
    assert 0.4 < waited(make("l", sleep=5)) < 3


def test_a_waiter_does_not_poll(plain: redis.Redis, make: Any) -> None:
    """The second part of that row: while one waits, the server is not asked at all."""
    make("l").acquire()
    thread = threading.Thread(target=make("l").acquire, kwargs={"blocking_timeout": 1.6})
    thread.start()
    time.sleep(0.5)
    before = plain.info("stats")["total_commands_processed"]
    time.sleep(0.8)
    assert plain.info("stats")["total_commands_processed"] - before <= 1, "that is the question itself"
    assert thread.is_alive()
    thread.join()


@row("`local.token`")
def test_token(plain: redis.Redis, make: Any) -> None:
    theirs, ours = plain.lock("l"), make("l")
    theirs.acquire(token="a token")
    ours.acquire(token=b"a token")
    assert (theirs.local.token, ours.local.token) == (b"a token", "a token")


@row("`acquire` with the token of the holder")
def test_acquire_with_the_token_of_the_holder(plain: redis.Redis, make: Any) -> None:
    for lock, other, answer in ((plain.lock("l"), plain.lock("l"), False), (make("l"), make("l"), True)):
        assert lock.acquire(token="a token")
        assert other.acquire(token="a token", blocking=False) is answer


@row("a thread that never acquired")
def test_a_thread_that_never_acquired(plain: redis.Redis, make: Any) -> None:
    found: list[Any] = []

    def look(lock: Any) -> None:
        try:
            found.append(lock.owned())
        except AttributeError:
            found.append(AttributeError)
        try:
            lock.release()
        except (AttributeError, larry.LockError) as error:
            found.append(type(error))

    for lock in (plain.lock("l"), make("l")):
        thread = threading.Thread(target=look, args=(lock,))
        thread.start()
        thread.join()
    assert found == [AttributeError, AttributeError, False, larry.LockError]


@row("a lost answer")
def test_a_lost_answer(plain: redis.Redis, proxy: Proxy) -> None:
    client = redis.Redis(port=proxy.port)
    for lock, answer in ((client.lock("l"), False), (client.lock("l", lock_class=larry.Lock), True)):
        assert not lock.locked()  # the connection is there
        before = proxy.swallowed
        proxy.swallow.set()
        assert lock.acquire(blocking=False) is answer
        assert proxy.swallowed == before + 1
    assert plain.get("l"), "redis-py's lock is held, by nobody who knows"
    client.close()


@row("the server is away")
def test_the_server_is_away() -> None:
    nowhere = {"url": "unix:///nowhere/at/all", "patience": 0.01}
    for method in ("acquire", "owned", "locked", "release", "reacquire"):
        lock = larry.Lock(nowhere, "l", timeout=5)
        if method != "acquire":
            lock.local.token = "a token"
        with pytest.raises(larry.ServerUnavailable, match="does not answer") as caught:
            getattr(lock, method)()
        assert isinstance(caught.value, larry.CoordinationError)
        assert isinstance(caught.value.__cause__, redis.exceptions.ConnectionError)
    with pytest.raises(redis.exceptions.ConnectionError):
        redis.Redis(unix_socket_path="/nowhere/at/all").lock("l").acquire()


@row("`release` without an answer")
def test_release_without_an_answer(plain: redis.Redis, proxy: Proxy) -> None:
    lock = larry.Lock({"url": f"redis://127.0.0.1:{proxy.port}", "patience": 0.01}, "l", timeout=60)
    with lock:
        pass  # the server knows the scripts now, so that each call has one answer
    lock.acquire()
    connect = proxy.target
    proxy.target = "/nowhere/at/all"
    proxy.swallow.set()
    with pytest.raises(larry.ServerUnavailable):
        lock.release()
    proxy.target = connect
    assert lock.local.token is not None
    # It was released the first time, and says so now; had it not been, it would be now.
    with pytest.raises(larry.LockNotOwnedError):
        lock.release()
    assert plain.get("lock:l") is None

    theirs = plain.lock("l")
    theirs.acquire()
    theirs.redis = redis.Redis(unix_socket_path="/nowhere/at/all")
    with pytest.raises(redis.exceptions.ConnectionError):
        theirs.release()
    assert theirs.local.token is None


@row("`extend` without `replace_ttl`")
def test_extend_leaves_at_least_a_second(plain: redis.Redis, make: Any) -> None:
    lock = make("l", timeout=5)
    lock.acquire()
    assert lock.extend(-60)
    assert 0 < plain.pttl("lock:l") <= 1000
    with pytest.raises(larry.SettingsError):
        lock.extend(0.5, replace_ttl=True)


@row("names")
@pytest.mark.parametrize("name", ["", "x" * 201, "two\nlines"])
def test_names(plain: redis.Redis, make: Any, name: str) -> None:
    assert plain.lock(name).acquire(blocking=False)
    with pytest.raises(larry.SettingsError, match="1 to 200 characters"):
        make(name)


@row("`do_acquire`, `do_release`, ...")
def test_hooks() -> None:
    public = {name for name in dir(redis.lock.Lock) if not name.startswith("_")}
    assert public - set(dir(larry.Lock)) == {
        name for name in public if name.startswith(("do_", "lua_", "LUA_", "register_"))
    }


@row("asyncio")
def test_no_asyncio() -> None:
    import redis.asyncio.lock

    assert issubclass(redis.asyncio.lock.Lock, object)
    assert not hasattr(larry.Lock, "__aenter__")
