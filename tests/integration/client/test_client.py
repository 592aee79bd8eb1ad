# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the Python face has beyond redis-py's lock, and that it is the same as what playbooks use."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from typing import Any

import pytest
import redis

from ansible_collections.cortex.larry.plugins.module_utils import client as larry
from ansible_collections.cortex.larry.plugins.module_utils._coordination.identity import Controller
from ansible_collections.cortex.larry.plugins.module_utils._coordination.locks import LockService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.session import Session
from ansible_collections.cortex.larry.plugins.module_utils._coordination.settings import Settings


@pytest.fixture
def module(valkey: Any) -> LockService:
    """What the module cortex.larry.lock uses, as another controller."""
    controller = Controller("a-controller", os.getpid(), "0", "elsewhere")
    return LockService(Session(Settings.of(valkey.socket_url), controller, "web01", keep=False))


def log(plain: redis.Redis) -> list[dict[str, Any]]:
    """The events, by a plain client."""
    return [json.loads(fields["m"]) for _id, fields in plain.xrange("larry:standalone:log")]


def test_a_script_and_a_playbook_exclude_each_other(make: Any, module: LockService, plain: redis.Redis) -> None:
    lock = make("db", reason="a migration", owner="migrate.py")
    assert lock.acquire()
    (holder,) = module.look("db")["holders"]
    assert (holder["owner"], holder["reason"], holder["fence"]) == ("migrate.py", "a migration", lock.fence)
    assert plain.get("lock:db") == "migrate.py"
    lock.release()
    held = module.acquire("db", owner="a playbook")
    assert lock.acquire(blocking=False) is False
    assert [one["owner"] for one in lock.holders()] == ["a playbook"]
    with pytest.raises(larry.LockError, match=r"db is held by a playbook, \d+\.?\d* s left"):
        with make("db", blocking=False):
            pass
    module.release("db")
    assert lock.acquire(blocking=False)
    assert int(lock.fence) > int(held.fence)


def test_fences_grow_and_are_forgotten_with_the_lock(make: Any) -> None:
    lock = make()
    assert lock.fence is None
    fences = []
    for _round in range(5):
        with lock:
            fences.append(int(lock.fence))
        assert lock.fence is None
    assert fences == sorted(set(fences))


def test_force_takes_it_from_whoever_holds_it(make: Any, plain: redis.Redis) -> None:
    lock, other = make(owner="stuck"), make()
    assert other.force_release() == []
    lock.acquire()
    fence = lock.fence
    (released,) = other.force_release("ticket 4711")
    assert (released["owner"], released["fence"]) == ("stuck", fence)
    assert not lock.owned()
    revoked = log(plain)[-1]
    assert (revoked["event"], revoked["cause"], revoked["holder"]) == ("lease_revoked", "ticket 4711", "stuck")
    with pytest.raises(larry.LockNotOwnedError):
        lock.release()


def test_who_asks_for_a_keeper(make: Any, kept: list[str]) -> None:
    """What must not be renewed is held by a controller of its own, since the keeper renews all of its controller."""
    ending, renewed = make("a", timeout=5), make("b")
    ending.acquire()
    assert kept == []
    renewed.acquire()
    assert len(kept) == 1
    assert kept[0] == Controller.of_process(os.getpid()).id
    assert ending.holders()[0]["controller"] != renewed.holders()[0]["controller"] == kept[0]


def test_two_threads_are_two_owners_and_can_be_told_apart(make: Any) -> None:
    lock = make()
    owners = []

    def work() -> None:
        with lock:
            owners.append(lock.holders()[0]["owner"])

    for name in ("one", "two"):
        thread = threading.Thread(target=work, name=name)
        thread.start()
        thread.join()
    work()
    assert len(set(owners)) == 3
    assert f":{os.getpid()}" in owners[0] and "/one of " in owners[0] and "/two of " in owners[1]


def test_a_child_process_is_another_owner(make: Any) -> None:
    """Its locks are its own also where the lock object was made before the fork."""
    lock = make(timeout=60)

    def child(answers: Any) -> None:
        answers.put((lock.acquire(blocking=False), lock.holders()[0]["controller"]))

    answers = multiprocessing.get_context("fork").SimpleQueue()
    process = multiprocessing.get_context("fork").Process(target=child, args=(answers,))
    make("other", timeout=60).acquire()  # the identity of this process is known by now
    process.start()
    taken, controller = answers.get()
    process.join()
    assert taken
    assert controller != make("other").holders()[0]["controller"]
    assert lock.acquire(blocking=False) is False


def test_an_acquire_without_an_answer_can_be_repeated(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = make()
    real = Session.call

    def lose_the_answer(self: Session, *arguments: Any) -> Any:
        real(self, *arguments)
        raise larry.ServerUnavailable("no answer")

    monkeypatch.setattr(Session, "call", lose_the_answer)
    with pytest.raises(larry.ServerUnavailable):
        lock.acquire()
    monkeypatch.setattr(Session, "call", real)
    assert lock.locked() and not lock.owned()
    assert lock.acquire(blocking=False), "it is ours: nobody else can know its token"
    lock.release()
    assert not lock.locked()


def test_an_interrupted_acquire_leaves_nothing_behind(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = make()
    real = Session.call

    def interrupt(self: Session, script: str, *arguments: Any) -> Any:
        reply = real(self, script, *arguments)
        if script == "lock_acquire":
            raise KeyboardInterrupt
        return reply

    monkeypatch.setattr(Session, "call", interrupt)
    with pytest.raises(KeyboardInterrupt):
        lock.acquire()
    assert not lock.locked()


def test_the_life_of_a_lock_without_a_timeout(scripts: Any, plain: redis.Redis, make: Any) -> None:
    """Renewed for longer than its ttl; one with a timeout in the same process is not; both end with it."""
    script = scripts.start("""
        renewed, ending = larry.Lock(None, "renewed", ttl=3), larry.Lock(None, "ending", timeout=2)
        renewed.acquire(), ending.acquire()
        print("taken", flush=True)
        input()
        print(renewed.owned(), ending.owned(), flush=True)
        input()
    """)
    scripts.said(script, "taken")
    seen = []
    for _look in range(25):
        time.sleep(0.2)
        seen.append((plain.exists("lock:renewed"), plain.exists("lock:ending")))
    assert {one for one, _other in seen} == {1}
    assert {other for _one, other in seen[12:]} == {0}
    script.stdin.write("\n")
    script.stdin.flush()
    scripts.said(script, "True False")
    script.send_signal(signal.SIGKILL)
    began = time.monotonic()
    assert make("renewed").acquire(blocking_timeout=10)
    assert time.monotonic() - began < 5


def test_a_stopped_process_loses_a_lock_with_a_timeout_and_learns_it(scripts: Any, make: Any) -> None:
    script = scripts.start("""
        lock = larry.Lock(None, "l", timeout=1)
        lock.acquire()
        print("taken", flush=True)
        input()
        try:
            lock.release()
        except larry.LockNotOwnedError:
            print("lost", lock.local.token, flush=True)
    """)
    scripts.said(script, "taken")
    script.send_signal(signal.SIGSTOP)
    assert make().acquire(blocking_timeout=10)
    script.send_signal(signal.SIGCONT)
    script.stdin.write("\n")
    script.stdin.flush()
    scripts.said(script, "lost None")


def test_many_threads_can_wait(make: Any) -> None:
    """More than the 100 connections of a pool would need a pool without that bound; 60 do not."""
    lock = make(timeout=60)
    lock.acquire()
    got: list[bool] = []
    threads = [threading.Thread(target=lambda: got.append(make().acquire(blocking_timeout=1))) for _n in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert got == [False] * 60


class TestSemaphore:
    """As many as there are slots, and not one more."""

    def make(self, valkey: Any, slots: int = 2, **options: Any) -> larry.Semaphore:
        return larry.Semaphore(valkey.socket_url, "s", slots, **options)

    def test_slots(self, valkey: Any, plain: redis.Redis, module: LockService) -> None:
        one, two, three = (self.make(valkey) for _number in range(3))
        assert one.acquire() and not two.locked()
        assert two.acquire() and three.locked()
        assert three.acquire(blocking=False) is False
        assert {one.slot, two.slot} == {1, 2}
        assert plain.exists("lock:s:1", "lock:s:2") == 2
        assert int(two.fence) > int(one.fence)
        one.release()
        assert (one.slot, one.owned(), two.owned()) == (None, False, True)
        module.acquire("s", slots=2)
        assert three.acquire(blocking=False) is False

    def test_one_object_holds_one_slot(self, valkey: Any) -> None:
        semaphore = self.make(valkey, timeout=1)
        assert semaphore.acquire()
        with pytest.raises(larry.LockError, match="slot 1 .* already"):
            semaphore.acquire()
        assert self.make(valkey).acquire(blocking=False), "and took no other one by that"
        time.sleep(1.1)
        assert semaphore.acquire(), "after a lapse it may"

    def test_threads_share_it(self, valkey: Any) -> None:
        semaphore = self.make(valkey, 3, timeout=30)
        inside, most = [], []

        def work() -> None:
            for _round in range(3):
                with semaphore:
                    inside.append(1)
                    most.append(len(inside))
                    time.sleep(0.02)
                    inside.pop()

        threads = [threading.Thread(target=work) for _number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(most) == 18
        assert 1 < max(most) <= 3

    def test_everybody_names_the_same_number(self, valkey: Any, make: Any) -> None:
        self.make(valkey).acquire()
        for other in (self.make(valkey, 3), make("s")):
            with pytest.raises(larry.Refused, match="2 slots"):
                other.acquire()

    def test_force_takes_all(self, valkey: Any) -> None:
        one, two = self.make(valkey), self.make(valkey)
        one.acquire(), two.acquire()
        assert len(self.make(valkey).force_release()) == 2
        assert not one.owned() and not two.owned()

    @pytest.mark.parametrize("slots", [0, 1025])
    def test_limits(self, valkey: Any, slots: int) -> None:
        with pytest.raises(larry.SettingsError, match="between 1 and 1024"):
            self.make(valkey, slots)


class TestBarrier:
    """Together, or told why not."""

    def meet(self, *barriers: larry.Barrier, **options: Any) -> list[Any]:
        """What each of them gets, in a thread of its own."""
        found: list[Any] = [None] * len(barriers)

        def go(place: int) -> None:
            try:
                found[place] = barriers[place].wait(**options)
            except larry.CoordinationError as error:
                found[place] = error

        threads = [threading.Thread(target=go, args=(place,)) for place in range(len(barriers))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        return found

    def test_by_number_again_and_again(self, valkey: Any) -> None:
        barrier = larry.Barrier(valkey.socket_url, "b", 3)
        for generation in (1, 2, 3):
            passed = self.meet(barrier, barrier, barrier)
            assert [one.generation for one in passed] == [generation] * 3
            assert len(passed[0].members) == 3

    def test_nobody_passes_before_the_last(self, valkey: Any) -> None:
        barrier = larry.Barrier(valkey.socket_url, "b", 2)
        passed: list[Any] = []
        thread = threading.Thread(target=lambda: passed.append(barrier.wait()))
        thread.start()
        time.sleep(0.4)
        assert not passed
        assert len(barrier.look()["arrived"]) == 1
        barrier.wait()
        thread.join(10)
        assert passed[0].waited_s > 0.3

    def test_by_name(self, valkey: Any) -> None:
        east, west = (
            larry.Barrier(valkey.socket_url, "b", members=["west", "east"], member=one) for one in ("east", "west")
        )
        assert [one.members for one in self.meet(east, west)] == [["east", "west"]] * 2
        with pytest.raises(larry.BarrierFailed, match=r"Missing: west: has not arrived yet") as caught:
            east.wait(timeout=0.2)
        assert caught.value.facts["missing"][0]["member"] == "west"
        assert east.look()["arrived"] == [], "who gave up is gone"
        assert east.wait(generation=1).generation == 1, "that one is over"

    def test_whoever_expects_others_is_refused(self, valkey: Any) -> None:
        first = larry.Barrier(valkey.socket_url, "b", members=["a", "b"], member="a", timeout=5)
        thread = threading.Thread(target=lambda: self.meet(first, timeout=1))
        thread.start()
        time.sleep(0.3)
        with pytest.raises(larry.Refused):
            larry.Barrier(valkey.socket_url, "b", members=["a", "c"], member="c").wait()
        thread.join()

    @pytest.mark.parametrize("policy", ["fail", "shrink"])
    def test_a_killed_member(self, valkey: Any, scripts: Any, policy: str) -> None:
        """The others learn it at once, or go on without it; the timeout of 60 s is far away."""
        options = {"members": ["a", "b", "c"], "policy": policy}
        dead = scripts.start(f"""
            print("waits", flush=True)
            # It may be killed before it has a keeper; then its arrival ends with its ttl.
            larry.Barrier(None, "b", member="c", ttl=4, **{options!r}).wait()
        """)
        scripts.said(dead, "waits")
        first, second = (larry.Barrier(valkey.socket_url, "b", member=one, **options) for one in "ab")
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.extend(self.meet(first, timeout=60)))
        thread.start()
        while first.look().get("arrived") != ["a", "c"]:
            time.sleep(0.02)
        dead.kill()
        began = time.monotonic()
        if policy == "shrink":
            while not first.look()["dead"]:
                time.sleep(0.02)
            passed = second.wait(timeout=60)
            assert (passed.members, [one["member"] for one in passed.missing]) == (["a", "b"], ["c"])
        thread.join(60)
        assert time.monotonic() - began < 15
        if policy == "fail":
            assert isinstance(found[0], larry.BarrierFailed)
            assert "c: it arrived and no longer renews" in str(found[0])
        else:
            assert found[0].members == ["a", "b"]

    def test_an_interrupted_wait_leaves_nothing_behind(self, valkey: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupt(*_arguments: Any) -> None:
            raise KeyboardInterrupt

        barrier = larry.Barrier(valkey.socket_url, "b", 2)
        monkeypatch.setattr(Session, "wait_for", interrupt)
        with pytest.raises(KeyboardInterrupt):
            barrier.wait()
        assert barrier.look()["arrived"] == []
        assert barrier.leave() is False

    def test_what_is_asked_for_must_make_sense(self, valkey: Any) -> None:
        for options in ({}, {"parties": 2, "members": ["a"], "member": "a"}, {"members": ["a"]}):
            with pytest.raises(larry.SettingsError):
                larry.Barrier(valkey.socket_url, "b", **options)
        with pytest.raises(larry.SettingsError, match="policy"):
            larry.Barrier(valkey.socket_url, "b", 2, policy="hope").wait()


class TestEvents:
    """Nothing is missed, and a gap is said."""

    def test_nothing_is_missed_while_it_is_followed(self, valkey: Any, plain: redis.Redis) -> None:
        events, publisher = larry.Events(valkey.socket_url), larry.Events(valkey.socket_url)
        seen: list[str] = []

        def follow() -> None:
            for event in events.follow(timeout=5):
                seen.append(event["id"])
                if event["event"] == "the_end":
                    return

        thread = threading.Thread(target=follow)
        thread.start()
        for number in range(300):
            publisher.publish("tick", {"number": number})
        publisher.publish("the_end")
        thread.join(20)
        assert seen == [str(number) for number in range(1, 302)]
        assert events.last == "301"

    def test_it_goes_on_where_it_was(self, valkey: Any) -> None:
        events = larry.Events(valkey.socket_url)
        for name in ("one", "two", "three"):
            events.publish(name)
        assert [event["event"] for event in events.read(count=1)] == ["one"]
        for event in events.follow(timeout=1):
            assert event["event"] == "two"
            break
        assert [event["event"] for event in events.follow(timeout=0.1)] == ["three"]
        assert [event["event"] for event in larry.Events(valkey.socket_url).read(since="2")] == ["three"]
        assert [event["event"] for event in events.read(since="0")] == ["one", "two", "three"]

    def test_silence_is_measured_without_the_time_that_the_reader_takes(self, valkey: Any) -> None:
        events = larry.Events(valkey.socket_url)
        events.publish("one")
        seen = []
        for event in events.follow(timeout=0.3):
            seen.append(event["event"])
            if event["event"] == "one":
                events.publish("two")
                time.sleep(0.5)
        assert seen == ["one", "two"]

    def test_a_gap_is_said(self, valkey: Any, plain: redis.Redis) -> None:
        events = larry.Events(valkey.socket_url)
        for number in range(5):
            events.publish("tick", {"number": number})
        events.read(count=2)
        plain.xtrim("larry:standalone:log", maxlen=1, approximate=False)
        for reading in (events.read, lambda: next(iter(events.follow(timeout=1)))):
            with pytest.raises(larry.EventsLost, match="Events after 2 are no longer in the log") as caught:
                reading()
            assert caught.value.facts == {"last": "2", "next": "5"}
        assert [event["id"] for event in events.read(since="0")] == ["5"]

    def test_a_log_that_is_gone_is_said(self, valkey: Any, plain: redis.Redis) -> None:
        events = larry.Events(valkey.socket_url)
        events.publish("one")
        events.read()
        plain.flushall()
        with pytest.raises(larry.EventsLost, match="the log is gone"):
            list(events.follow(timeout=3))

    def test_another_run_is_said(self, valkey: Any, plain: redis.Redis) -> None:
        """The next run's log begins at 1 again: without a word a follower would wait for what never comes."""

        def entry(number: int, run: str) -> None:
            plain.xadd("larry:log", {"m": json.dumps({"id": str(number), "event": "e", "run": run})}, id=f"{number}-0")

        for number in (1, 2, 3):
            entry(number, "first")
        events = larry.Events(valkey.socket_url, within_run=True)
        assert len(events.read()) == 3
        plain.delete("larry:log")
        entry(1, "second")
        with pytest.raises(larry.EventsLost, match="the run second"):
            list(events.follow(timeout=3))
        assert [event["run"] for event in events.read(since="0")] == ["second"]
        for number in (2, 3, 4):
            entry(number, "second")
        events.last, events._run = "3", "first"
        with pytest.raises(larry.EventsLost, match="the run second"):
            next(iter(events.follow(timeout=3)))

    def test_names_and_ids_must_be_such(self, valkey: Any) -> None:
        events = larry.Events(valkey.socket_url)
        with pytest.raises(larry.SettingsError, match="whole number"):
            events.read(since="$")
        with pytest.raises(larry.SettingsError, match="belongs to the protocol"):
            events.publish("task_completed")
        with pytest.raises(larry.NotJoined):
            larry.Events(valkey.socket_url, within_run=True).publish("hello")


class TestServer:
    """The ways to name the server."""

    def test_all_of_them_are_the_same_server(self, valkey: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        larry.Lock(valkey.socket_url, "l").acquire()
        monkeypatch.setenv("LARRY_REDIS", valkey.socket_url)
        ways = [
            None, valkey.url, valkey.socket_url, {"url": valkey.url, "timeout": 3}, Settings.of(valkey.url),
            redis.Redis(port=valkey.port), redis.Redis.from_url(valkey.url), redis.Redis.from_url(valkey.socket_url),
        ]  # fmt: skip
        for way in ways:
            assert larry.Lock(way, "l").locked(), way

    def test_a_prefix_is_another_lock(self, valkey: Any, plain: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
        larry.Lock(valkey.url, "l", prefix="blue:").acquire()
        assert plain.exists("blue:lock:l")
        assert not larry.Lock(valkey.url, "l").locked()
        assert larry.Lock(Settings.of(valkey.url), "l", prefix="blue:").locked()
        assert larry.Lock(redis.Redis(port=valkey.port), "l", prefix="blue:").locked()
        monkeypatch.setenv("LARRY_PREFIX", "blue:")
        assert larry.Lock(valkey.url, "l").locked()

    def test_user_password_and_database_of_a_client(self, valkey: Any, plain: redis.Redis) -> None:
        plain.execute_command("ACL", "SETUSER", "someone", "on", ">secret@:/", "~*", "&*", "+@all")
        try:
            client = redis.Redis(port=valkey.port, username="someone", password="secret@:/", db=3)
            lock = larry.Lock(client, "l", timeout=5)
            assert lock.acquire()
            assert redis.Redis(port=valkey.port, db=3).exists("lock:l")
            assert "secret" not in repr(lock) + repr(lock.settings)
            client = redis.Redis(port=valkey.port, username="someone", password="wrong")
            with pytest.raises(larry.ServerUnavailable, match="user or the password"):
                larry.Lock(client, "l").acquire()
        finally:
            plain.execute_command("ACL", "DELUSER", "someone")

    def test_what_cannot_be_taken_from_a_client_is_refused(self) -> None:
        with pytest.raises(larry.SettingsError, match="give the URL"):
            larry.Lock(redis.Redis(ssl=True), "l")

    def test_no_server(self) -> None:
        with pytest.raises(larry.SettingsError, match="No coordination server is named"):
            larry.Lock(None, "l")
