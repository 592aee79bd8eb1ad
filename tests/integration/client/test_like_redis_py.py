# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One set of behaviours for redis-py's lock and ours: each test runs on both, on a real server, and both agree.

What is deliberately not alike is in test_unlike_redis_py.py and in docs/python.md.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import redis
import redis.lock
from redis.exceptions import LockError, LockNotOwnedError

from ansible_collections.cortex.larry.plugins.module_utils import client as larry


@dataclass
class Kind:
    """One of the two: how it is made, and its key on the server."""

    name: str
    plain: redis.Redis
    key_of: Callable[[str], str]

    def lock(self, name: str = "l", **options: Any) -> Any:
        """A lock as users of redis-py make one, by a client."""
        lock_class = larry.Lock if self.name == "ours" else redis.lock.Lock
        return self.plain.lock(name, lock_class=lock_class, **options)

    def left_ms(self, name: str = "l") -> int:
        """What is left of the key's life, by the server."""
        return self.plain.pttl(self.key_of(name))


@pytest.fixture(params=["redis-py", "ours"])
def kind(request: pytest.FixtureRequest, plain: redis.Redis) -> Kind:
    return Kind(request.param, plain, (lambda name: f"lock:{name}") if request.param == "ours" else (lambda name: name))


def in_a_thread(function: Callable[[], Any]) -> Any:
    """What a function does in another thread: its value or its error."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(function())
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    return found[0]


def test_take_and_give_up(kind: Kind) -> None:
    lock = kind.lock()
    assert lock.acquire(blocking=False) is True
    assert kind.plain.exists(kind.key_of("l"))
    assert lock.release() is None
    assert not kind.plain.exists(kind.key_of("l"))


def test_the_answer_of_an_acquire_that_waits_is_true(kind: Kind) -> None:
    assert kind.lock().acquire() is True


def test_competing_locks(kind: Kind) -> None:
    first, second = kind.lock(), kind.lock()
    assert first.acquire(blocking=False)
    assert second.acquire(blocking=False) is False
    first.release()
    assert second.acquire(blocking=False)
    assert first.acquire(blocking=False) is False


def test_locks_of_different_names_have_nothing_to_do_with_each_other(kind: Kind) -> None:
    assert kind.lock("one").acquire(blocking=False)
    assert kind.lock("two").acquire(blocking=False)


def test_it_is_not_reentrant(kind: Kind) -> None:
    lock = kind.lock()
    assert lock.acquire()
    assert lock.acquire(blocking=False) is False
    assert lock.owned()
    lock.release()


def test_locked_is_the_same_for_all_and_owned_is_not(kind: Kind) -> None:
    first, second = kind.lock(), kind.lock()
    assert (first.locked(), first.owned(), second.locked(), second.owned()) == (False, False, False, False)
    first.acquire()
    assert (first.locked(), first.owned(), second.locked(), second.owned()) == (True, True, True, False)
    first.release()
    assert (first.locked(), first.owned(), second.locked(), second.owned()) == (False, False, False, False)


def test_blocking_of_the_constructor(kind: Kind) -> None:
    kind.lock().acquire()
    assert kind.lock(blocking=False).acquire() is False


def test_blocking_of_the_call_wins(kind: Kind) -> None:
    kind.lock().acquire()
    assert kind.lock(blocking=True, blocking_timeout=30).acquire(blocking=False) is False
    began = time.monotonic()
    assert kind.lock(blocking=False, sleep=0.05).acquire(blocking=True, blocking_timeout=0.3) is False
    assert time.monotonic() - began > 0.2


def test_blocking_timeout_of_the_constructor_and_of_the_call(kind: Kind) -> None:
    kind.lock().acquire()
    for lock, options in (
        (kind.lock(blocking_timeout=0.3, sleep=0.05), {}),
        (kind.lock(blocking_timeout=30, sleep=0.05), {"blocking_timeout": 0.3}),
    ):
        began = time.monotonic()
        assert lock.acquire(**options) is False
        assert 0.2 < time.monotonic() - began < 5
        assert lock.local.token is None


def test_a_waiter_gets_it_when_it_is_given_up(kind: Kind) -> None:
    first, second = kind.lock(), kind.lock(sleep=0.02)
    first.acquire()
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(second.acquire(blocking_timeout=20)))
    thread.start()
    time.sleep(0.3)
    assert not got
    first.release()
    thread.join(10)
    assert got == [True]


def test_a_waiter_gets_it_when_it_lapses(kind: Kind) -> None:
    kind.lock(timeout=1).acquire()
    began = time.monotonic()
    assert kind.lock(sleep=0.02).acquire(blocking_timeout=20) is True
    assert 0.8 < time.monotonic() - began < 5


@pytest.mark.parametrize("timeout", [10, 10.5, 1.25])
def test_timeout_is_the_life_of_the_key(kind: Kind, timeout: float) -> None:
    lock = kind.lock(timeout=timeout)
    lock.acquire()
    assert timeout * 1000 - 900 < kind.left_ms() <= timeout * 1000


def test_after_the_timeout_it_is_another_ones(kind: Kind) -> None:
    first, second = kind.lock(timeout=1), kind.lock(timeout=10)
    first.acquire()
    assert second.acquire(blocking=False) is False
    time.sleep(1.1)
    assert (first.owned(), first.locked()) == (False, False)
    assert second.acquire(blocking=False) is True
    for late in (first.release, lambda: first.extend(5)):
        with pytest.raises(LockError):
            late()
    assert second.owned()


def test_with_takes_it_and_gives_it_up(kind: Kind) -> None:
    with kind.lock() as lock:
        assert lock.owned()
        assert kind.plain.exists(kind.key_of("l"))
    assert not kind.plain.exists(kind.key_of("l"))


def test_with_gives_it_up_after_an_error_and_passes_that_on(kind: Kind) -> None:
    with pytest.raises(ZeroDivisionError):
        with kind.lock():
            raise ZeroDivisionError
    assert not kind.plain.exists(kind.key_of("l"))


def test_with_waits_no_longer_than_it_should(kind: Kind) -> None:
    kind.lock().acquire()
    for options in ({"blocking_timeout": 0.2, "sleep": 0.05}, {"blocking": False}):
        with pytest.raises(LockError) as caught:
            with kind.lock(**options):
                raise AssertionError("it was entered")
        assert caught.type is LockError
        assert caught.value.lock_name == "l"


def test_with_tells_that_the_lock_was_lost(kind: Kind) -> None:
    with pytest.raises(LockNotOwnedError):
        with kind.lock(timeout=10):
            kind.plain.delete(kind.key_of("l"))


def test_with_tells_that_it_was_released_within(kind: Kind) -> None:
    with pytest.raises(LockError, match="unlocked"):
        with kind.lock() as lock:
            lock.release()


@pytest.mark.parametrize("how", ["lost", "released"])
def test_with_only_warns_if_that_is_asked_for(kind: Kind, how: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        with kind.lock(timeout=10, raise_on_release_error=False) as lock:
            if how == "lost":
                kind.plain.delete(kind.key_of("l"))
            else:
                lock.release()
    assert "no longer owned" in caplog.text


def test_releasing_what_was_never_taken(kind: Kind) -> None:
    with pytest.raises(LockError) as caught:
        kind.lock().release()
    assert caught.type is LockError
    assert caught.value.lock_name == "l"


def test_releasing_twice(kind: Kind) -> None:
    lock = kind.lock()
    lock.acquire()
    lock.release()
    with pytest.raises(LockError) as caught:
        lock.release()
    assert caught.type is LockError


def test_releasing_what_was_lost(kind: Kind) -> None:
    lock = kind.lock(timeout=10)
    lock.acquire()
    kind.plain.delete(kind.key_of("l"))
    with pytest.raises(LockNotOwnedError) as caught:
        lock.release()
    assert caught.value.lock_name == "l"
    # It knows now.
    assert lock.local.token is None
    with pytest.raises(LockError) as caught:
        lock.release()
    assert caught.type is LockError


def test_what_another_client_set_is_honoured(kind: Kind) -> None:
    kind.plain.set(kind.key_of("l"), "somebody", nx=True, px=60_000)
    lock = kind.lock()
    assert lock.acquire(blocking=False) is False
    assert (lock.locked(), lock.owned()) == (True, False)
    kind.plain.delete(kind.key_of("l"))
    assert lock.acquire(blocking=False) is True


def test_extend_adds(kind: Kind) -> None:
    lock = kind.lock(timeout=10)
    lock.acquire()
    assert lock.extend(10) is True
    assert 19_000 < kind.left_ms() <= 20_100
    assert lock.extend(0.5) is True
    assert 19_400 < kind.left_ms() <= 20_600


def test_extend_replaces(kind: Kind) -> None:
    lock = kind.lock(timeout=10)
    lock.acquire()
    assert lock.extend(5, replace_ttl=True) is True
    assert 4_000 < kind.left_ms() <= 5_000
    assert lock.extend(20.5, True) is True
    assert 19_500 < kind.left_ms() <= 20_500


def test_reacquire_begins_anew(kind: Kind) -> None:
    lock = kind.lock(timeout=10)
    lock.acquire()
    lock.extend(2, replace_ttl=True)
    assert lock.reacquire() is True
    assert 9_000 < kind.left_ms() <= 10_000


@pytest.mark.parametrize("verb", ["extend", "reacquire"])
def test_prolonging_what_was_never_taken(kind: Kind, verb: str) -> None:
    lock = kind.lock(timeout=10)
    with pytest.raises(LockError, match="unlocked") as caught:
        getattr(lock, verb)(*([5] if verb == "extend" else []))
    assert caught.type is LockError
    assert caught.value.lock_name == "l"


@pytest.mark.parametrize("verb", ["extend", "reacquire"])
def test_prolonging_what_has_no_timeout(kind: Kind, verb: str) -> None:
    lock = kind.lock()
    lock.acquire()
    with pytest.raises(LockError, match="no timeout") as caught:
        getattr(lock, verb)(*([5] if verb == "extend" else []))
    assert caught.type is LockError
    assert lock.owned()


@pytest.mark.parametrize("arguments", [("extend", 5), ("extend", 5, True), ("reacquire",)])
def test_prolonging_what_was_lost(kind: Kind, arguments: tuple[Any, ...]) -> None:
    lock = kind.lock(timeout=10)
    lock.acquire()
    kind.plain.set(kind.key_of("l"), "somebody", px=60_000)
    with pytest.raises(LockNotOwnedError) as caught:
        getattr(lock, arguments[0])(*arguments[1:])
    assert caught.value.lock_name == "l"
    assert kind.plain.get(kind.key_of("l")) == "somebody"
    # As long as it is not released it may be asked again.
    assert lock.local.token is not None


def test_errors_are_those_that_programs_catch(kind: Kind) -> None:
    """ValueError and RedisError are what old and careless programs catch."""
    for error in (ValueError, redis.exceptions.RedisError, LockError):
        with pytest.raises(error):
            kind.lock().release()


@pytest.mark.parametrize("token", ["a token", b"a token"])
def test_whoever_has_the_token_is_the_holder(kind: Kind, token: str | bytes) -> None:
    first, second = kind.lock(timeout=10), kind.lock(timeout=10)
    assert first.acquire(token=token)
    second.local.token = b"a token"
    assert second.owned()
    assert second.extend(5, replace_ttl=True)
    second.release()
    assert not first.owned()
    assert not kind.plain.exists(kind.key_of("l"))


def test_a_wrong_token_is_not_the_holder(kind: Kind) -> None:
    first, second = kind.lock(), kind.lock()
    first.acquire(token="a token")
    second.local.token = b"another"
    assert not second.owned()
    with pytest.raises(LockNotOwnedError):
        second.release()
    assert first.owned()


def test_another_thread_is_another_holder(kind: Kind) -> None:
    lock = kind.lock(timeout=10)
    lock.acquire()
    assert in_a_thread(lambda: lock.acquire(blocking=False)) is False
    assert isinstance(in_a_thread(lock.release), Exception)
    assert lock.owned()


def test_each_thread_has_its_own_token(kind: Kind) -> None:
    """redis-py's own example: the first thread must not give up what the second one has taken since."""
    lock = kind.lock(timeout=1)
    assert lock.acquire()
    other = in_a_thread(lambda: lock.acquire(blocking_timeout=10) and lock.extend(10, replace_ttl=True))
    assert other is True
    with pytest.raises(LockNotOwnedError):
        lock.release()
    assert kind.plain.exists(kind.key_of("l"))


def test_threads_can_share_the_token(kind: Kind) -> None:
    lock = kind.lock(timeout=10, thread_local=False)
    lock.acquire()
    assert in_a_thread(lock.owned) is True
    assert in_a_thread(lock.release) is None
    assert not lock.owned()
    assert not kind.plain.exists(kind.key_of("l"))


def test_it_can_be_used_again_and_again(kind: Kind) -> None:
    lock = kind.lock()
    for _round in range(3):
        with lock:
            assert lock.owned()


def test_contending_threads_enter_one_at_a_time(kind: Kind) -> None:
    inside, most, entered = [], [], []

    def work() -> None:
        for _round in range(5):
            with kind.lock(timeout=20, sleep=0.01):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.002)
                inside.pop()
            entered.append(1)

    threads = [threading.Thread(target=work) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (max(most), len(entered)) == (1, 20)


def test_attributes_are_as_given(kind: Kind) -> None:
    options = {
        "timeout": 7, "sleep": 0.3, "blocking": False, "blocking_timeout": 4, "thread_local": False,
        "raise_on_release_error": False,
    }  # fmt: skip
    lock = kind.lock("n", **options)
    assert {name: getattr(lock, name) for name in options} == options
    assert lock.name == "n"
