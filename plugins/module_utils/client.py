# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The public Python face: locks, semaphores, barriers and events for scripts, with or without ansible-runner.

They are those of the modules `cortex.larry.lock`, `barrier` and `event_info`: a playbook and a script that name the
same server, prefix and name share them. `Lock` has the interface of redis-py's ``redis.lock.Lock``. docs/python.md says
how to import this file, shows each class at work, and lists where `Lock` differs from redis-py's.

Each class takes the server first, in one of these forms: None (the environment variables LARRY_REDIS and so on, as the
modules read them), a URL, the word ``embedded``, a mapping with `url` and the options of the plan's `run.redis`, or a
``redis.Redis`` client, whose address is taken (its connections are not used).

Errors: whatever concerns a lock is `LockError` or its subclass `LockNotOwnedError`; where redis-py is installed these
*are* redis-py's own, so ``except redis.exceptions.LockError`` works as before. Everything else is a `CoordinationError`
with `sentence` (for people) and `facts` (the server's reply).
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
import socket
import sys
import threading
import time
import types
import typing as t
import urllib.parse
import uuid

from ._coordination.barriers import DEFAULT_TIMEOUT_S, BarrierService
from ._coordination.connection import connect
from ._coordination.connection import redis as _redis
from ._coordination.errors import (
    BarrierFailed,
    Busy,
    CoordinationError,
    Fenced,
    NotJoined,
    Refused,
    ServerUnavailable,
    SettingsError,
)
from ._coordination.events import EventService
from ._coordination.identity import Controller
from ._coordination.locks import MOST_SLOTS, LockService, check_name
from ._coordination.session import Session
from ._coordination.settings import DEFAULT_TTL_MS, Settings, check_ttl
from .options import settings_of, with_sources

__all__ = [
    "Barrier",
    "BarrierFailed",
    "CoordinationError",
    "Events",
    "EventsLost",
    "Lock",
    "LockError",
    "LockNotOwnedError",
    "NotJoined",
    "Passed",
    "Refused",
    "Semaphore",
    "ServerUnavailable",
    "SettingsError",
]

_LOG = logging.getLogger(__name__)
_DEFAULT_TTL_S = DEFAULT_TTL_MS / 1000
# How often a reader of events that hears nothing makes sure that the log is still the one it reads.
_LOG_CHECK_S = 2.0


class _PlainLockError(ValueError):
    """LockError where redis-py is missing. Nothing can be locked there, but scripts can still name the error."""


class _PlainLockNotOwnedError(_PlainLockError):
    """LockNotOwnedError where redis-py is missing."""


# Names for redis-py's own classes, no subclasses of them: without redis-py there is no lock that could raise one.
LockError: type[Exception] = _PlainLockError if _redis is None else _redis.exceptions.LockError
LockNotOwnedError: type[Exception] = _PlainLockNotOwnedError if _redis is None else _redis.exceptions.LockNotOwnedError


class EventsLost(CoordinationError):
    """Events between the last one read and the next one there are gone; `facts` has `last` and, if known, `next`."""


def _lock_error(kind: type[Exception], sentence: str, name: str) -> Exception:
    error = kind(sentence)
    error.lock_name = name  # type: ignore[attr-defined]  # redis-py 5.0 has no such argument
    return error


def _settings(server: t.Any, prefix: str | None) -> Settings:
    """The connection settings for what a user gave as the server."""
    if isinstance(server, Settings):
        settings = server if prefix is None else dataclasses.replace(server, prefix=prefix)
    elif hasattr(server, "connection_pool"):
        settings = Settings.of(_options_of_client(server), prefix=prefix)
    else:
        settings = settings_of(with_sources({"redis": server, "prefix": prefix}))
    if _redis is None:
        connect(settings)  # says what is missing
    return settings


def _options_of_client(client: t.Any) -> dict[str, t.Any]:
    """Address, user and password of a redis.Redis client."""
    pool = client.connection_pool
    given = pool.connection_kwargs
    kind = pool.connection_class.__name__
    if kind not in ("Connection", "UnixDomainSocketConnection") or given.get("credential_provider"):
        raise SettingsError(
            f"The way to the server cannot be taken from a client with {kind}; give the URL or a mapping with the "
            "options of run.redis instead of the client."
        )
    query = f"?db={given.get('db') or 0}"
    if given.get("path"):
        url = f"unix://{urllib.parse.quote(given['path'])}{query}"
    else:
        host = given.get("host", "localhost")
        url = f"redis://{f'[{host}]' if ':' in host else host}:{given.get('port', 6379)}/{given.get('db') or 0}"
    options = {"url": url, "username": given.get("username"), "password": given.get("password")}
    if given.get("socket_timeout"):
        options["timeout"] = given["socket_timeout"]
    return options


@functools.cache
def _controllers() -> tuple[Controller, Controller]:
    """This process twice: as the holder of what its keeper renews, and as the holder of what ends at its timeout.

    The keeper renews everything that its controller holds, so what must not be renewed is held in another name.
    """
    renewed = Controller.of_process(os.getpid())
    return renewed, dataclasses.replace(renewed, id=str(uuid.uuid5(uuid.UUID(renewed.id), "not renewed")))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_controllers.cache_clear)


def _caller() -> str:
    """What others read of a caller: the script, and the thread unless it is the main one."""
    script = os.path.basename(sys.argv[0]) if sys.argv else ""
    script = script if script not in ("", "-c", "-m") else "python"
    thread = threading.current_thread()
    return script if thread is threading.main_thread() else f"{script}/{thread.name}"


class _Holding:
    """What one holder knows of its lease; the class has the values of a thread that never acquired."""

    token: str | bytes | None = None
    fence: str | None = None
    slot: int | None = None
    # Token of an acquire whose answer was lost: the lease may be ours.
    unsure: str | None = None


class _HoldingOfThread(threading.local, _Holding):
    """A holding for each thread."""


class Lock:
    """A lock with the interface of ``redis.lock.Lock``, on the leases of the module `cortex.larry.lock`.

    The holder is one object in one thread: two threads exclude each other, and so do two objects in one thread. The
    lock is not reentrant. A child process made by fork inherits the token, as with redis-py, and must not release.

    Args:
        redis: the server; see the head of this file.
        name: name of the lock, 1 to 200 characters without control characters.
        timeout: None (the default): the lock is held until it is released or this process ends, renewed by a keeper
            process beside this one. Else the life of the lock in seconds, 1 to 86400, which nobody renews.
        sleep: accepted and not used: a waiter is woken by the server when the lock becomes free.
        blocking: whether `acquire` waits; True by default.
        blocking_timeout: seconds to wait at most; None (the default) waits for ever.
        thread_local: False makes all threads that share the object one holder; True by default.
        raise_on_release_error: False logs a warning instead of raising when a ``with`` block ends and the lock is no
            longer owned; True by default.
        prefix: stands before every key; the environment variable LARRY_PREFIX, else none, by default.
        owner: what others read when they ask who holds it; script, machine and process by default.
        reason: what others read when they ask what for.
        ttl: with `timeout` None, seconds after which the lock is free when nobody renews it (process and keeper are
            gone, or the machine is, or its network); 1 to 86400, 15 by default.

    Attributes:
        local: holds `token` (text, or None while not acquired). Assign a token from elsewhere to act as its holder.

    Raises:
        SettingsError: an argument is out of range, or no server is named.
    """

    def __init__(
        self,
        redis: t.Any,
        name: str,
        timeout: float | None = None,
        sleep: float = 0.1,
        blocking: bool = True,
        blocking_timeout: float | None = None,
        thread_local: bool = True,
        raise_on_release_error: bool = True,
        *,
        prefix: str | None = None,
        owner: str | None = None,
        reason: str | None = None,
        ttl: float = _DEFAULT_TTL_S,
    ) -> None:
        self.settings = _settings(redis, prefix)
        self.name = check_name(name, "lock")
        check_ttl(_milliseconds(ttl if timeout is None else timeout))
        self.timeout = timeout
        self.sleep = sleep
        self.blocking = blocking
        self.blocking_timeout = blocking_timeout
        self.thread_local = bool(thread_local)
        self.raise_on_release_error = raise_on_release_error
        self.owner = owner
        self.reason = reason
        self.ttl = ttl
        self.local: _Holding = _HoldingOfThread() if self.thread_local else _Holding()

    slots = 1

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} on {self.settings.shown}>"

    def __enter__(self) -> Lock:
        try:
            self._acquire()
        except Busy as error:
            raise _lock_error(LockError, error.sentence, self.name) from error
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        try:
            self.release()
        except LockError as error:
            if self.raise_on_release_error:
                raise
            _LOG.warning("The lock %s was no longer owned at the end of its block: %s", self.name, error)

    def acquire(
        self,
        sleep: float | None = None,
        blocking: bool | None = None,
        blocking_timeout: float | None = None,
        token: str | bytes | None = None,
    ) -> bool:
        """Takes the lock.

        Args:
            sleep: accepted and not used.
            blocking: False asks once; as given to the constructor by default.
            blocking_timeout: seconds to wait at most; as given to the constructor by default.
            token: proves the holder to the server; a fresh one by default. Whoever has it can release the lock. With
                the token of the present holder the answer is True, since it is the same holder.

        Returns:
            True if the lock is held now; False if somebody else holds it and the wait is over.

        Raises:
            ServerUnavailable: no answer. The lock may be held then; the next acquire of this object (in this thread)
                claims it as its own, and it ends with its timeout or ttl unless a keeper of this process runs.
            Refused: the name is in use for a semaphore with several slots.
        """
        try:
            self._acquire(blocking, blocking_timeout, token)
        except Busy:
            return False
        return True

    def _acquire(
        self,
        blocking: bool | None = None,
        blocking_timeout: float | None = None,
        token: str | bytes | None = None,
    ) -> None:
        if blocking is None:
            blocking = self.blocking
        if blocking_timeout is None:
            blocking_timeout = self.blocking_timeout
        wait_s = 0.0 if not blocking else float("inf") if blocking_timeout is None else max(0.0, blocking_timeout)
        given = _text(token)
        own = given or self.local.unsure or uuid.uuid4().hex
        service = self._service(own)
        try:
            held = service.acquire(
                self.name,
                wait_s=wait_s,
                ttl_ms=_milliseconds(self.ttl if self.timeout is None else self.timeout),
                slots=self.slots,
                owner=self.owner,
                reason=self.reason,
                keep=self.timeout is None,
            )
        except ServerUnavailable:
            self.local.unsure = own
            raise
        except (Busy, Refused, Fenced, SettingsError):
            self.local.unsure = None
            raise
        except BaseException:
            # Ctrl-C, for instance: the answer may have been on its way, and nobody would release what it says.
            if given is None:
                with contextlib.suppress(CoordinationError):
                    service.release(self.name, slots=self.slots)
            raise
        self.local.token, self.local.fence, self.local.slot = own, held.fence, held.slot
        self.local.unsure = None

    def release(self) -> None:
        """Gives the lock up.

        Raises:
            LockError: this holder has not acquired it, or has released it.
            LockNotOwnedError: it lapsed, or somebody took it away.
            ServerUnavailable: no answer; the lock may still be held, and release can be called again.
        """
        token = self._token("Cannot release a lock that's not owned or is already unlocked.")
        reply = self._service(token).release(self.name, slots=self.slots)
        self.local.token = self.local.fence = self.local.slot = None
        if reply["status"] != "released":
            raise self._lost("release")

    def force_release(self, reason: str | None = None) -> list[dict[str, t.Any]]:
        """Takes the lock from whoever holds it (from all holders of a semaphore).

        The holder is not interrupted: it finds out when it asks (`owned`, `extend`, `release`), and the next holder has
        a greater fence. Make sure that it is stuck, or that what it changes is guarded by the fence.

        Args:
            reason: the cause in the event `lease_revoked`.

        Returns:
            Those who held it: `owner`, `fence` and `slot`; without `fence` if another client had set the key.
        """
        return self._service("").release(self.name, slots=self.slots, force=True, reason=reason)["released"]

    def extend(self, additional_time: float, replace_ttl: bool = False) -> t.Literal[True]:
        """Makes a lock with a timeout live longer.

        Args:
            additional_time: seconds to add to its remaining life (exact to one round trip; what remains is at least one
                second); with
            replace_ttl: its remaining life from now on, 1 to 86400 seconds.

        Raises:
            LockError: this holder has not acquired it, or it has no timeout.
            LockNotOwnedError: it lapsed, or somebody took it away.
        """
        token = self._token("Cannot extend an unlocked lock.")
        if self.timeout is None:
            raise _lock_error(LockError, "Cannot extend a lock with no timeout.", self.name)
        service = self._service(token)
        left_ms = _milliseconds(additional_time)
        if not replace_ttl:
            mine = service.look(self.name).get("mine")
            if mine is None:
                raise self._lost("extend")
            left_ms = max(1_000, mine["left_ms"] + left_ms)
        self._extend(service, left_ms, "extend")
        return True

    def reacquire(self) -> t.Literal[True]:
        """Sets the remaining life of the lock to its timeout again.

        Raises:
            LockError: this holder has not acquired it, or it has no timeout.
            LockNotOwnedError: it lapsed, or somebody took it away.
        """
        token = self._token("Cannot reacquire an unlocked lock.")
        if self.timeout is None:
            raise _lock_error(LockError, "Cannot reacquire a lock with no timeout.", self.name)
        self._extend(self._service(token), _milliseconds(self.timeout), "reacquire")
        return True

    def owned(self) -> bool:
        """True if this holder holds the lock at this moment, as the server says."""
        token = _text(self.local.token)
        return token is not None and self._service(token).look(self.name).get("mine") is not None

    def locked(self) -> bool:
        """True if anybody holds the lock, also another client that set its key; of a semaphore, if no slot is free."""
        return len(self.holders()) >= self.slots

    def holders(self) -> list[dict[str, t.Any]]:
        """Who holds it now: `owner`, `reason`, `fence`, `slot`, `left_ms` and more, as of `cortex.larry.lock_info`."""
        return self._service("").look(self.name)["holders"]

    @property
    def fence(self) -> str | None:
        """A decimal number as text, greater than that of every holder before; None while not acquired.

        It is what the server said at `acquire`; this does not ask whether the lock is still held.
        """
        return self.local.fence

    def _service(self, token: str) -> LockService:
        renewed, ending = _controllers()
        keep = self.timeout is None
        service = LockService(Session(self.settings, renewed if keep else ending, _caller(), keep=keep))
        # A holder here is an object in a thread, where a task of Ansible is controller and host.
        service.token = token
        return service

    def _token(self, sentence: str) -> str:
        token = _text(self.local.token)
        if token is None:
            raise _lock_error(LockError, sentence, self.name)
        return token

    def _extend(self, service: LockService, ttl_ms: int, verb: str) -> None:
        try:
            service.extend(self.name, ttl_ms)
        except Fenced as error:
            raise self._lost(verb) from error

    def _lost(self, verb: str) -> Exception:
        return _lock_error(
            LockNotOwnedError,
            f"Cannot {verb} the lock {self.name}: it is no longer owned, its lease lapsed or somebody took it away.",
            self.name,
        )


class Semaphore(Lock):
    """A lock that as many as `slots` can hold at once; everybody must name the same number while it is in use.

    One object holds one slot in each thread. All other arguments and methods are those of `Lock`.

    Args:
        redis: the server; see the head of this file.
        name: name of the semaphore. It shares names with locks, which are semaphores with one slot.
        slots: 1 to 1024.
        timeout: as of a lock.
        options: the other arguments of a lock, by name.
    """

    def __init__(self, redis: t.Any, name: str, slots: int, timeout: float | None = None, **options: t.Any) -> None:
        super().__init__(redis, name, timeout, **options)
        if not 1 <= slots <= MOST_SLOTS:
            raise SettingsError(f"The semaphore {name} must have between 1 and {MOST_SLOTS} slots, not {slots}.")
        self.slots = slots

    @property
    def slot(self) -> int | None:
        """Which slot is held, counted from 1; None while not acquired."""
        return self.local.slot

    def _acquire(
        self,
        blocking: bool | None = None,
        blocking_timeout: float | None = None,
        token: str | bytes | None = None,
    ) -> None:
        # A second slot would be taken, and the token of the first forgotten.
        if self.local.token is not None and self.owned():
            raise _lock_error(
                LockError,
                f"This object holds the slot {self.slot} of the semaphore {self.name} already; a second slot needs a "
                "second object.",
                self.name,
            )
        super()._acquire(blocking, blocking_timeout, token)


@dataclasses.dataclass(frozen=True)
class Passed:
    """A barrier that opened.

    Attributes:
        generation: the number of the meeting, from 1.
        members: who met, sorted.
        missing: who was left behind under the policy ``shrink``: `member` and `why`.
        waited_s: seconds that this member waited.
    """

    generation: int
    members: list[str]
    missing: list[dict[str, t.Any]]
    waited_s: float


class Barrier:
    """A meeting point that can be used again and again: nobody passes before everybody is there.

    Args:
        redis: the server; see the head of this file.
        name: name of the barrier, 1 to 200 characters without control characters.
        parties: how many are expected; or
        members: who is expected, by name (then `member` says who this is).
        member: who arrives; machine, process and thread by default.
        policy: what to do about a member that arrived and died: ``fail`` (the default; all others get BarrierFailed at
            once), ``shrink`` (the others go on without it) or ``wait``.
        timeout: seconds that a `wait` lasts at most; 600 by default.
        prefix: stands before every key; the environment variable LARRY_PREFIX, else none, by default.
        ttl: seconds after which a member that no longer renews its arrival is dead; a keeper process renews it. 1 to
            86400, 15 by default.

    Raises:
        SettingsError: an argument is out of range, or no server is named.
    """

    def __init__(
        self,
        redis: t.Any,
        name: str,
        parties: int | None = None,
        *,
        members: t.Sequence[str] | None = None,
        member: str | None = None,
        policy: str = "fail",
        timeout: float = DEFAULT_TIMEOUT_S,
        prefix: str | None = None,
        ttl: float = _DEFAULT_TTL_S,
    ) -> None:
        self.settings = _settings(redis, prefix)
        self.name = check_name(name, "barrier")
        self.ttl_ms = check_ttl(_milliseconds(ttl))
        if (members is None) == (parties is None):
            raise SettingsError(f"The barrier {name} needs either parties or members, not both and not none.")
        if members is not None and member is None:
            raise SettingsError(f"The barrier {name} expects members by name; say with member who this is.")
        self.parties = parties
        self.members = None if members is None else list(members)
        self.member = member
        self.policy = policy
        self.timeout = timeout

    def wait(self, timeout: float | None = None, generation: int | None = None) -> Passed:
        """Arrives, and returns when the barrier opens.

        Args:
            timeout: seconds; as given to the constructor by default.
            generation: None takes part in the next meeting. A number returns at once if that one is over, so that a
                script that was started again does not wait for what was.

        Raises:
            BarrierFailed: a member died, or the time is over; the sentence names who is missing, `facts` has the list.
            Refused: others expect other members, or the member has arrived from another process.
            ServerUnavailable: no answer.
        """
        service = self._service()
        member = self._member()
        began = time.monotonic()
        try:
            reply = service.meet(
                self.name,
                member=member,
                members=self.members,
                count=self.parties,
                policy=self.policy,
                timeout_s=self.timeout if timeout is None else timeout,
                generation=generation,
                ttl_ms=self.ttl_ms,
            )
        except CoordinationError:
            raise
        except BaseException:
            # Ctrl-C, for instance: the keeper would go on saying that this member is there.
            with contextlib.suppress(CoordinationError):
                service.leave(self.name, member)
            raise
        return Passed(reply["generation"], reply["members"], reply["missing"], time.monotonic() - began)

    def leave(self) -> bool:
        """Withdraws an arrival of this member that was left behind; True if there was one."""
        return self._service().leave(self.name, self._member())

    def look(self) -> dict[str, t.Any]:
        """The state, not changed: `generation` (of the last meeting), `arrived`, `missing`, `dead`, `expected`."""
        return self._service().look(self.name)

    def _service(self) -> BarrierService:
        return BarrierService(Session(self.settings, _controllers()[0], _caller()))

    def _member(self) -> str:
        return self.member or f"{_caller()} of {socket.gethostname()}:{os.getpid()}/{threading.get_native_id()}"


class Events:
    """The log of events: read it, follow it, publish to it. The log is a stream on the server, so nothing is missed.

    Args:
        redis: the server; see the head of this file.
        prefix: stands before every key; the environment variable LARRY_PREFIX, else none, by default.
        within_run: True reads the log of the run under this prefix; False (the default) that of use without a run,
            which keeps about its last 10,000 entries.

    Attributes:
        last: id of the last event that was read, as text; ``0`` before the first. Keep it to go on from it later.
    """

    def __init__(self, redis: t.Any = None, *, prefix: str | None = None, within_run: bool = False) -> None:
        self.settings = _settings(redis, prefix)
        self.within_run = within_run
        self.last = "0"
        self._run: str | None = None

    def read(self, since: str | None = None, count: int = 1000) -> list[dict[str, t.Any]]:
        """The events after the id `since` (by default after `last`), oldest first, at most `count`; does not wait.

        Raises:
            EventsLost: the next event after `since` is no longer there.
            SettingsError: `since` is no whole number.
            ServerUnavailable: no answer.
        """
        self._start(since)
        found = self._service().read(self.last, count)
        for event in found:
            self._take(event)
        return found

    def follow(self, since: str | None = None, timeout: float | None = None) -> t.Iterator[dict[str, t.Any]]:
        """The events after the id `since` (by default after `last`), and then each new one as it comes, without a gap.

        Args:
            since: ``0`` begins with the oldest event that is there.
            timeout: ends after that many seconds without an event; None (the default) never ends.

        Raises:
            EventsLost: the log no longer holds the next event (it was archived, or another run began).
            ServerUnavailable: no answer; follow again from `last`.
        """
        self._start(since)
        service = self._service()
        quiet_since = time.monotonic()
        while True:
            turn = _LOG_CHECK_S
            if timeout is not None:
                turn = min(turn, timeout - (time.monotonic() - quiet_since))
                if turn <= 0:
                    return
            for event in service.follow(self.last, turn):
                self._take(event)
                yield event
                quiet_since = time.monotonic()  # the time that the reader took for the event does not count
            self._same_log(service)

    def publish(self, event: str, data: dict[str, t.Any] | None = None, *, alert: bool = False) -> dict[str, t.Any]:
        """Writes an event to the log and to the channel larry:coordination (larry:alerts with `alert`).

        Args:
            event: name, [a-z][a-z0-9_]*, none of the protocol's own.
            data: fields of JSON types, at most 64 KiB.

        Raises:
            SettingsError: the name or the data are not possible.
            NotJoined: with `within_run`: this process has not joined the run.
        """
        return self._service().publish(event, data, alert=alert)

    def _service(self) -> EventService:
        return EventService(Session(self.settings, _controllers()[0], _caller(), member=self.within_run, keep=False))

    def _start(self, since: str | None) -> None:
        if since is None:
            return
        if not since.isdigit():
            raise SettingsError(f"An id of the log is a whole number as text, not {since[:50]!r}.")
        self.last, self._run = since, None

    def _take(self, event: dict[str, t.Any]) -> None:
        """Notes that `event` was read; it must be the very next one."""
        number, run = int(event["id"]), event["run"]
        if self.last != "0" and number != int(self.last) + 1:
            raise self._lost(f"the next event there is {number}", next=event["id"])
        if self._run is not None and run != self._run:
            raise self._lost(f"the log is that of the run {run} now", next=event["id"])
        self.last, self._run = event["id"], run

    def _same_log(self, service: EventService) -> None:
        """A log that was deleted, or replaced by that of another run, gives no sign by itself: it is just silent."""
        if self._run is None:
            return
        oldest = service.read("0", 1)
        if not oldest:
            raise self._lost("the log is gone")
        if oldest[0]["run"] != self._run:
            raise self._lost(f"the log is that of the run {oldest[0]['run']} now")

    def _lost(self, why: str, **facts: t.Any) -> EventsLost:
        return EventsLost(
            f"Events after {self.last} are no longer in the log: {why}. Read on with since='0' from the oldest event "
            "that is there; the archive of a finished run has its whole log.",
            last=self.last,
            **facts,
        )


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


def _text(token: str | bytes | None) -> str | None:
    return token.decode() if isinstance(token, bytes) else token
