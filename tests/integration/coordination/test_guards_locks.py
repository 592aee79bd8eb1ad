# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directed tests of the lock: each fails without one guard of its scripts (tests/guards/check.py takes them out)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from virtual_time import Clock

from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import NotJoined
from ansible_collections.cortex.larry.plugins.module_utils._coordination.identity import Controller


class User:
    """A controller that uses one lock."""

    def __init__(self, place: Any, name: str, slots: int = 1) -> None:
        self.name, self.slots = name, slots
        self.session = place.session(Controller(name, 1, "0", "host"), name)

    def acquire(self, operation: str | None = None, **more: Any) -> dict[str, Any]:
        arguments = {"name": "db", "slots": self.slots, "token": self.name, "owner": self.name, "ttl_ms": 1_000}
        return self.session.call("lock_acquire", {**arguments, "first": True, **more}, operation)

    def release(self, operation: str | None = None, **more: Any) -> dict[str, Any]:
        arguments = {"name": "db", "slots": self.slots, "token": self.name}
        return self.session.call("lock_release", {**arguments, **more}, operation)

    def extend(self, operation: str | None = None) -> dict[str, Any]:
        return self.session.call("lock_extend", {"name": "db", "token": self.name, "ttl_ms": 5_000}, operation)

    def renew(self, *only: str) -> list[str]:
        reply = self.session.call("renew", {"only": list(only) or None})
        return [one["state"] for one in reply["answers"]]


def events(place: Any) -> list[str]:
    return [json.loads(fields["m"])["event"] for _id, fields in place.plain.xrange(place.key("larry:standalone:log"))]


def test_held_to_the_millisecond(place: Any, clock: Clock) -> None:
    a, b = User(place, "a"), User(place, "b")
    assert a.acquire()["status"] == "held"
    clock.advance(999)
    assert b.acquire()["status"] == "busy"
    clock.advance(1)
    second = b.acquire()
    assert (second["status"], int(second["fence"])) == ("held", clock.now_us)
    assert events(place) == ["lease_acquired", "lease_lapsed", "lease_acquired"]
    assert a.extend()["status"] == "not_held" and a.release()["status"] == "not_held"
    assert place.get("lock:db") == "b"


def test_fences_grow_in_one_moment(place: Any, clock: Clock) -> None:
    a = User(place, "a")
    fences = []
    for _number in range(3):
        fences.append(int(a.acquire()["fence"]))
        a.release()
    assert fences == [clock.now_us, clock.now_us + 1, clock.now_us + 2]


def test_who_does_not_hold_it_changes_nothing(place: Any, clock: Clock) -> None:
    a, b = User(place, "a"), User(place, "b")
    a.acquire()
    until = place.plain.pexpiretime(place.key("lock:db"))
    clock.advance(10)
    assert b.extend()["status"] == "not_held"
    assert b.release()["status"] == "not_held"
    assert b.renew("lock/db/1") == ["lost"]
    assert place.get("lock:db") == "a" and place.plain.pexpiretime(place.key("lock:db")) == until
    assert a.renew() == ["kept"]
    assert place.plain.pexpiretime(place.key("lock:db")) == clock.now_ms + 1_000


def test_a_late_renewal_brings_nothing_back(place: Any, clock: Clock) -> None:
    a, b = User(place, "a"), User(place, "b")
    a.acquire()
    clock.advance(1_000)
    assert a.renew() == ["lost"]
    assert events(place)[-1] == "lease_lapsed"
    assert b.acquire()["status"] == "held"


def test_the_end_of_a_controller_ends_only_its_own(place: Any, clock: Clock) -> None:
    a, b = User(place, "a"), User(place, "b")
    a.acquire()
    clock.advance(1_000)
    b.acquire(ttl_ms=60_000)
    assert not place.plain.sismember(place.key("larry:held:a"), "lock/db/1")
    place.plain.sadd(place.key("larry:held:a"), "lock/db/1")  # as if the take-over had not cleared it
    assert not a.session.call("gone", {"cause": "a test"})["released"]
    assert place.get("lock:db") == "b"
    assert b.session.call("gone", {"cause": "a test"})["released"] == ["lock:db"]
    assert place.get("lock:db") is None


def test_a_repeated_acquire_counts_once(place: Any, clock: Clock) -> None:
    a = User(place, "a")
    first = a.acquire("op")
    clock.advance(10)
    assert a.acquire("op") == first
    assert "already" not in first
    assert place.plain.hget(place.key("larry:lock:db"), "acquisitions") == "1"
    a.release()
    assert a.acquire("op")["status"] == "over"
    assert place.get("lock:db") is None
    assert int(a.acquire("next")["fence"]) > int(first["fence"])
    assert a.acquire("op")["status"] == "over"  # and not the fence of a lease that is over


def test_an_acquire_is_remembered_for_a_while_whatever_comes_between(place: Any, clock: Clock) -> None:
    a, b = User(place, "a", 2), User(place, "b", 2)
    first = a.acquire("op", ttl_ms=600_000)
    for _number in range(20):
        b.acquire()
        b.release()
    clock.advance(60_000)
    assert a.acquire("op") == first


def test_an_acquire_is_remembered_long_if_little_comes_between(place: Any, clock: Clock) -> None:
    a = User(place, "a")
    first = a.acquire("op", ttl_ms=600_000)
    clock.advance(300_000)
    assert a.acquire("op") == first


def test_a_repeated_acquire_is_not_answered_for_another_holder(place: Any, clock: Clock) -> None:
    a, b = User(place, "a"), User(place, "b")
    a.acquire("op")
    clock.advance(1_000)
    b.acquire()
    assert a.acquire("op")["status"] == "over"


def test_a_repeated_release_gives_up_nothing_new(place: Any, clock: Clock) -> None:
    a = User(place, "a")
    a.acquire()
    first = a.release("op")
    a.acquire()
    assert a.release("op") == first
    assert place.get("lock:db") == "a"


def test_calls_without_effect_do_not_push_out_the_memory(place: Any, clock: Clock) -> None:
    a, b = User(place, "a"), User(place, "b")
    first = a.acquire("op", ttl_ms=600_000)
    for _number in range(20):
        b.release()
        a.release(probe=True)
    clock.advance(300_000)
    assert a.acquire("op") == first and "already" not in a.acquire("op")


def test_a_probe_changes_nothing(place: Any, clock: Clock) -> None:
    a, b = User(place, "a", 2), User(place, "b", 2)
    a.acquire()
    place.plain.set(place.key("lock:db:2"), "stranger")
    assert [one["owner"] for one in b.release(force=True, probe=True)["released"]] == ["a", "stranger"]
    assert (place.get("lock:db:1"), place.get("lock:db:2")) == ("a", "stranger")
    assert [one["owner"] for one in b.release()["holders"]] == ["a", "stranger"]
    assert (place.get("lock:db:1"), place.get("lock:db:2")) == ("a", "stranger")
    b.release(force=True)
    assert (place.get("lock:db:1"), place.get("lock:db:2")) == (None, None)
    assert b.release(force=True) | {"h": 0} == {"status": "not_held", "released": {}, "holders": {}, "h": 0}


def test_other_slots_only_while_nobody_holds_it(place: Any, clock: Clock) -> None:
    a, b = User(place, "a", 2), User(place, "b", 1)
    assert a.acquire()["status"] == "held"
    refused = b.acquire()
    assert (refused["status"], refused["slots"], refused["wanted"]) == ("other_slots", 2, 1)
    a.release()
    assert b.acquire()["status"] == "held"


def test_the_lowest_free_slot_and_no_more(place: Any, clock: Clock) -> None:
    a, b, c = (User(place, name, 2) for name in "abc")
    assert (a.acquire()["slot"], b.acquire()["slot"], c.acquire()["status"]) == (1, 2, "busy")
    a.release()
    assert b.acquire()["slot"] == 2  # its own, although another is free
    assert c.acquire()["slot"] == 1


def test_the_soonest_of_all_holders(place: Any, clock: Clock) -> None:
    a, b = User(place, "a", 4), User(place, "b", 4)
    place.plain.set(place.key("lock:db:1"), "stranger")
    place.plain.set(place.key("lock:db:2"), "stranger", pxat=clock.now_ms + 400)
    a.acquire()
    place.plain.set(place.key("lock:db:4"), "stranger", pxat=clock.now_ms + 700)
    busy = b.acquire()
    assert (busy["status"], busy["soonest_ms"]) == ("busy", 400)
    assert [(one["owner"], one.get("left_ms")) for one in busy["holders"]] == [
        ("stranger", -1), ("stranger", 400), ("a", 1_000), ("stranger", 700),
    ]  # fmt: skip
    b.acquire(first=None)
    assert place.plain.hget(place.key("larry:lock:db"), "refusals") == "1"


def test_a_key_gone_at_the_very_end_has_lapsed(place: Any, clock: Clock) -> None:
    """It may have expired by itself just before the record's deadline: that is no operator's doing."""
    a, b = User(place, "a"), User(place, "b")
    for left, told in ((4, "lease_lapsed"), (6, "lease_revoked")):
        a.acquire()
        clock.advance(1_000 - left)
        place.plain.delete(place.key("lock:db"))
        assert b.acquire()["status"] == "held"
        assert events(place)[-2] == told
        b.release()
    a.acquire()
    clock.advance(996)
    place.plain.set(place.key("lock:db"), "stranger")
    assert b.acquire()["status"] == "busy"
    assert events(place)[-1] == "lease_revoked"


def test_a_key_of_another_is_not_deleted_with_the_lease(place: Any, clock: Clock) -> None:
    a = User(place, "a")
    a.acquire()
    place.plain.set(place.key("lock:db"), "stranger")
    assert a.renew() == ["lost"]
    assert place.get("lock:db") == "stranger"


@pytest.mark.parametrize("script", ["lock_acquire", "lock_release"])
def test_a_lock_of_a_run_is_for_its_members(place: Any, script: str) -> None:
    session = place.session(member=True)
    with pytest.raises(NotJoined):
        session.call(script, {"name": "db", "slots": 1, "token": "t", "owner": "o", "ttl_ms": 1_000})
    assert not place.own_keys()


def test_a_lock_beside_a_run_is_not_the_runs(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of({"x": {"w": ["cap"]}}, [{"id": "t0"}]))
    User(place, "a").acquire()
    assert not [name for name in place.plain.smembers(place.key("larry:extra")) if "lock" in name]
    assert "lease_acquired" not in place.names()
    arguments = {"name": "own", "slots": 1, "token": "t", "owner": "o", "ttl_ms": 60_000, "first": True}
    one.session.call("lock_acquire", arguments)
    assert "lock:own" in place.plain.smembers(place.key("larry:extra"))
    one.session.call("lock_acquire", {**arguments, "token": "other", "first": None})
    assert "lease_refused" not in place.names()
    one.session.call("lock_acquire", {**arguments, "token": "other"})
    assert "lease_refused" in place.names()
    User(place, "b").acquire()
    assert place.names().count("lease_refused") == 1


def test_an_extension_sent_again_moves_nothing(place: Any, clock: Clock) -> None:
    a = User(place, "a")
    a.acquire()
    first = a.extend("one")
    expires = place.plain.pexpiretime(place.key("lock:db"))
    clock.advance(500)
    assert a.extend("one") == first
    assert place.plain.pexpiretime(place.key("lock:db")) == expires
    a.release()
    assert a.extend("one")["status"] == "not_held"
    a.acquire()
    expires = place.plain.pexpiretime(place.key("lock:db"))
    assert a.extend("one")["status"] == "not_held"
    assert place.plain.pexpiretime(place.key("lock:db")) == expires
    assert a.extend("two")["status"] == "held"


def test_the_holder_extends_its_lease(place: Any, clock: Clock) -> None:
    a = User(place, "a")
    a.acquire()
    clock.advance(500)
    assert a.extend()["status"] == "held"
    assert place.plain.pexpiretime(place.key("lock:db")) == clock.now_ms + 5_000
    clock.advance(1)
    assert a.renew() == ["kept"]  # by the new ttl
    assert place.plain.pexpiretime(place.key("lock:db")) == clock.now_ms + 5_000


@pytest.mark.parametrize("value, later", [("stranger", 0), ("a", 500), ("a", None)])
def test_a_key_that_is_not_as_it_was_written_is_revoked(place: Any, clock: Clock, value: str, later: Any) -> None:
    a = User(place, "a")
    until = int(a.acquire()["deadline"]) // 1000
    place.plain.set(place.key("lock:db"), value, pxat=None if later is None else until + later)
    assert a.extend()["status"] == "not_held"
    assert events(place)[-1] == "lease_revoked"
    assert place.get("lock:db") == value


def test_a_keeper_comes_back_for_the_shortest_lease(place: Any, clock: Clock) -> None:
    a = User(place, "a")
    for name, ttl_ms in (("long", 3_000), ("short", 1_000), ("middle", 2_000)):
        a.acquire(name=name, ttl_ms=ttl_ms)
    only = ["lock/long/1", "lock/short/1", "lock/middle/1"]
    assert a.session.call("renew", {"only": only})["soonest_ttl_ms"] == 1_000


def test_a_lock_of_a_run_that_is_over_is_told_in_its_log(place: Any, crew: Any, plan_of: Any, clock: Clock) -> None:
    one = crew(plan_of({"x": {"w": ["cap"]}}, [{"id": "t0"}]))
    arguments = {"name": "own", "slots": 1, "token": "t", "owner": "o", "ttl_ms": 1_000, "first": True}
    one.session.call("lock_acquire", arguments)
    clock.advance(1_000)
    assert one.session.call("renew")["answers"][0]["state"] == "lost"
    assert "lease_lapsed" in place.names()
    one.session.call("lock_acquire", {**arguments, "token": "t2"})
    one.session.call("gone", {"cause": "a test"})
    assert "lease_released" in place.names() and events(place) == []


def test_the_end_of_a_controller_ends_no_lease_that_is_over(place: Any, clock: Clock) -> None:
    a = User(place, "a")
    a.acquire()
    clock.advance(1_000)
    assert not a.session.call("gone", {"cause": "a test"})["released"]
    assert events(place) == ["lease_acquired"]


def test_a_lock_needs_no_timer(place: Any, clock: Clock) -> None:
    a = User(place, "a")
    a.acquire()
    a.renew()
    assert not place.plain.exists(place.key("larry:timers"))
