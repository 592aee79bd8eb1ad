# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-alone locks: one holder, a growing fence, honest refusals."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from typing import Any

import pytest

from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import (
    Busy,
    Fenced,
    Refused,
    SettingsError,
)
from ansible_collections.cortex.larry.plugins.module_utils._coordination.identity import Controller
from ansible_collections.cortex.larry.plugins.module_utils._coordination.locks import LockService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.session import Session


def service(place: Any, host: str = "host") -> LockService:
    return LockService(place.session(host=host))


def test_one_holder_and_its_public_key(place: Any) -> None:
    first, second = service(place, "a"), service(place, "b")
    held = first.acquire("db", owner="the backup", reason="nightly", ttl_ms=5_000)
    assert place.get("lock:db") == "the backup"
    left = place.plain.pexpiretime(place.key("lock:db"))
    assert left * 1000 == held.deadline_us
    with pytest.raises(Busy, match=r"db is held by the backup \(nightly\), \d\.\d s left"):
        second.acquire("db")
    assert first.release("db")["status"] == "released"
    assert place.get("lock:db") is None
    second.acquire("db", owner="the restore")
    assert place.get("lock:db") == "the restore"


def test_a_lock_without_a_prefix(bare_place: Any) -> None:
    service(bare_place).acquire("db", owner="me")
    assert bare_place.plain.get("lock:db") == "me"


def test_taking_it_twice_is_having_it_once(place: Any) -> None:
    mine = service(place)
    first, again = mine.acquire("db"), mine.acquire("db")
    assert (again.fence, again.already, first.already) == (first.fence, True, False)
    mine.release("db")
    assert place.get("lock:db") is None


def test_a_waiter_is_woken_by_the_release(place: Any) -> None:
    first, second = service(place, "a"), service(place, "b")
    first.acquire("db", ttl_ms=60_000)
    waited: list[float] = []

    def wait() -> None:
        second.acquire("db", wait_s=20, owner="second")
        waited.append(time.monotonic())

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.3)
    assert not waited
    released = time.monotonic()
    first.release("db")
    thread.join(10)
    assert waited and waited[0] - released < 0.5
    assert place.get("lock:db") == "second"


def test_it_lapses_without_renewal_and_the_fence_grows(place: Any) -> None:
    first, second = service(place, "a"), service(place, "b")
    before = first.acquire("db", ttl_ms=1_000)
    began = time.monotonic()
    after = second.acquire("db", wait_s=5, ttl_ms=1_000)
    assert 0.5 < time.monotonic() - began < 2.0
    assert int(after.fence) > int(before.fence)
    with pytest.raises(Fenced, match="no longer held by a"):
        first.extend("db")
    assert first.release("db")["status"] == "not_held"
    assert place.get("lock:db") is not None


def test_fences_grow_strictly(place: Any) -> None:
    fences = []
    for number in range(30):
        one = service(place, f"h{number}")
        fences.append(int(one.acquire("db").fence))
        one.release("db", force=number % 2 == 0)
    assert fences == sorted(set(fences))


def test_a_fence_grows_although_the_clock_is_behind_it(place: Any) -> None:
    """After the clock was set back the last fence counts, not the clock."""
    first = service(place)
    first.acquire("db")
    first.release("db")
    ahead = place.now_us() + 10**12
    place.plain.hset(place.key("larry:lock:db"), "fence", str(ahead))
    assert service(place, "b").acquire("db").fence == str(ahead + 1)


def test_an_extension_moves_the_public_expiry(place: Any) -> None:
    mine = service(place)
    mine.acquire("db", ttl_ms=1_000)
    mine.extend("db", 30_000)
    assert 29_000 < place.plain.pttl(place.key("lock:db")) <= 30_000


def test_a_stranger_cannot_release_it_and_force_can(place: Any) -> None:
    first, second = service(place, "a"), service(place, "b")
    first.acquire("db", owner="first")
    reply = second.release("db")
    assert (reply["status"], reply["holders"][0]["owner"]) == ("not_held", "first")
    assert place.get("lock:db") == "first"
    assert second.release("db", force=True, probe=True)["released"][0]["owner"] == "first"
    assert place.get("lock:db") == "first"
    assert second.release("db", force=True)["status"] == "released"
    assert place.get("lock:db") is None
    with pytest.raises(Fenced):
        first.extend("db")


def test_a_key_that_somebody_else_set_is_honoured(place: Any) -> None:
    assert place.plain.set(place.key("lock:db"), "an-operator", nx=True, ex=1)
    with pytest.raises(Busy, match="an-operator, set by another client"):
        service(place).acquire("db")
    began = time.monotonic()
    service(place).acquire("db", wait_s=5)
    assert time.monotonic() - began < 2
    assert place.get("lock:db") != "an-operator"


def test_a_foreign_key_can_be_forced_away(place: Any) -> None:
    place.plain.set(place.key("lock:db"), "forgotten")
    with pytest.raises(Busy, match="without an expiry"):
        service(place).acquire("db")
    assert service(place).release("db", force=True)["status"] == "released"
    service(place).acquire("db")


@pytest.mark.parametrize("edit", ["delete", "other value", "other expiry", "no expiry"])
def test_an_edited_key_revokes_the_lease(place: Any, edit: str) -> None:
    first, key = service(place, "a"), place.key("lock:db")
    held = first.acquire("db", owner="first", ttl_ms=10_000)
    if edit == "delete":
        place.plain.delete(key)
    elif edit == "other value":
        place.plain.set(key, "other", keepttl=True)
    elif edit == "other expiry":
        place.plain.expire(key, 3)
    else:
        place.plain.persist(key)
    with pytest.raises(Fenced):
        first.extend("db")
    log = [entry["m"] for _id, entry in place.plain.xrange(place.key("larry:standalone:log"))]
    assert any('"lease_revoked"' in text and held.fence in text for text in log)
    second = service(place, "b")
    if edit == "delete":
        assert int(second.acquire("db").fence) > int(held.fence)
    else:
        with pytest.raises(Busy):
            second.acquire("db")


def test_a_semaphore_has_its_slots_and_no_more(place: Any) -> None:
    holders = [service(place, f"h{number}") for number in range(4)]
    slots = {one.acquire("pool", slots=3, owner=f"o{place_}").slot for place_, one in enumerate(holders[:3])}
    assert slots == {1, 2, 3}
    assert [place.get(f"lock:pool:{slot}") for slot in (1, 2, 3)] == ["o0", "o1", "o2"]
    with pytest.raises(Busy):
        holders[3].acquire("pool", slots=3)
    holders[1].release("pool", slots=3)
    assert holders[3].acquire("pool", slots=3).slot == 2
    with pytest.raises(Refused, match="in use with 3 slots, and 1 were asked for"):
        service(place, "x").acquire("pool")
    for one in holders:
        one.release("pool", slots=3)
    service(place, "x").acquire("pool")  # out of use: another number is fine


def test_the_same_call_sent_again_counts_once(place: Any) -> None:
    session = place.session()
    mine = LockService(session)
    call = {"name": "db", "slots": 1, "token": mine.token, "owner": "me", "ttl_ms": 9_000}
    replies = [session.call("lock_acquire", call, "op-1") for _number in range(3)]
    assert replies[0] == replies[1] == replies[2]
    assert place.plain.hget(place.key("larry:lock:db"), "acquisitions") == "1"
    release = {"name": "db", "slots": 1, "token": mine.token}
    first = session.call("lock_release", release, "op-2")
    other = service(place, "other")
    other.acquire("db", owner="other")
    assert session.call("lock_release", release, "op-2") == first
    assert place.get("lock:db") == "other"


def test_an_acquire_repeated_after_its_release_takes_nothing(place: Any) -> None:
    """A copy of the command that arrives late (law 3) must not leave a lock that nobody knows of."""
    session = place.session()
    mine = LockService(session)
    call = {"name": "db", "slots": 1, "token": mine.token, "owner": "me", "ttl_ms": 9_000}
    session.call("lock_acquire", call, "op-1")
    mine.release("db")
    session.call("lock_acquire", call, "op-1")
    assert place.get("lock:db") is None


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 201])
def test_a_bad_name_is_refused(place: Any, name: str) -> None:
    with pytest.raises(SettingsError):
        service(place).acquire(name)


@pytest.mark.parametrize("name", ["a b", "a:b", "a/b/1", "ä{x}", "*", "1"])
def test_any_other_name_works(place: Any, name: str) -> None:
    mine = service(place)
    mine.acquire(name)
    assert place.get("lock:" + name)
    assert mine.look(name)["mine"]
    mine.release(name)
    assert place.get("lock:" + name) is None


@pytest.mark.parametrize("ttl_ms", [0, 999, 86_400_001])
def test_a_ttl_out_of_range_is_refused(place: Any, ttl_ms: int) -> None:
    with pytest.raises(SettingsError, match="between 1 second and 1 day"):
        service(place).acquire("db", ttl_ms=ttl_ms)


def _hammer(settings: Any, plain: Any, slots: int, rounds: int, witness: str, counter: str, failures: Any) -> None:
    lock = LockService(Session(settings, Controller.of_process(os.getpid()), "h"))
    for _number in range(rounds):
        held = lock.acquire("hot", wait_s=30, slots=slots, keep=False)
        inside = plain.incr(witness)
        if inside > slots:
            failures.put(f"{inside} inside")
        # Read, think, write: loses increments as soon as two overlap.
        seen = int(plain.get(counter) or 0)
        if slots == 1:
            plain.set(counter, seen + 1)
            if int(held.fence) <= int(plain.getset(counter + ":fence", held.fence) or 0):
                failures.put("a fence did not grow")
        plain.decr(witness)
        lock.release("hot", slots=slots)


@pytest.mark.parametrize("slots", [1, 3])
def test_processes_hammering_one_lock_never_overlap(place: Any, slots: int) -> None:
    context = multiprocessing.get_context("fork")
    failures = context.Queue()
    rounds, count = 25, 6
    workers = [
        context.Process(
            target=_hammer,
            # A pool of redis-py opens connections of its own in a fork.
            args=(place.settings, place.plain, slots, rounds, place.key("inside"), place.key("count"), failures),
        )
        for _number in range(count)
    ]
    for one in workers:
        one.start()
    for one in workers:
        one.join(60)
        assert one.exitcode == 0
    assert failures.empty(), failures.get()
    assert place.get("inside") == "0"
    if slots == 1:
        assert place.get("count") == str(rounds * count)
    assert place.plain.hget(place.key("larry:lock:hot"), "acquisitions") == str(rounds * count)


def test_what_is_left_behind_expires(place: Any) -> None:
    """Locks with made-up names must not fill the server: whatever stays after a release has an expiry."""
    mine = service(place)
    mine.acquire("once")
    mine.release("once")
    keys = [name for name in place.own_keys() if name.endswith(("once", "once/1"))]
    assert keys
    assert [name for name in keys if place.plain.pttl(name) < 0] == []
