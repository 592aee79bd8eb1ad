# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process of the recorder: threads that use a few locks and write down each call before it is made and each answer.

Calls are written at the level of the protocol's scripts, one line for the call and one for the answer, straight to the
file: what a killed process had called and was never told is there too. Started by recorder.py with the options as JSON.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import random
import sys
import threading
import time
import typing as t

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import Fenced, ServerUnavailable
from ansible_collections.cortex.larry.plugins.module_utils._coordination.locks import LockService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.lua.scripts import SCRIPTS
from ansible_collections.cortex.larry.plugins.module_utils._coordination.session import Session, new_operation
from ansible_collections.cortex.larry.plugins.module_utils._coordination.settings import Settings
from ansible_collections.cortex.larry.plugins.module_utils.client import Lock, LockError

# Faults of the product, put in on purpose: the checker must find each. What is replaced must be there exactly once.
SABOTAGES = {
    "release takes it from anybody": ("lock_release", "rec.token == args.token or args.force", "true"),
    "fences repeat themselves": ("lock_acquire", "return math.max(last + 1, NOW)", "return math.max(last, 1)"),
    "leases lapse early": (
        "lock_acquire", "if NOW < tonumber(rec.deadline) then", "if NOW + 3e5 < tonumber(rec.deadline) then",
    ),
    "an extension is not kept": ("lock_extend", "'deadline', deadline, 'renewed'", "'renewed'"),
    "stale holders extend": (
        "lock_extend", "if state == 'held' and rec.token == args.token then", "if state == 'held' then",
    ),
}  # fmt: skip

# The thing that the lock guards: it refuses a fence that is smaller than one it has seen.
REGISTER = """
local seen = tonumber(redis.call('HGET', KEYS[1], 'fence') or '0')
if tonumber(ARGV[1]) < seen then return {0, '0'} end
redis.call('HSET', KEYS[1], 'fence', ARGV[1])
if ARGV[2] ~= '' then redis.call('HSET', KEYS[1], 'value', ARGV[2]) end
return {1, redis.call('HGET', KEYS[1], 'value') or '0'}
"""


class Journal:
    """The file of this process."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.numbers = itertools.count(1)

    @contextlib.contextmanager
    def operation(self, key: str, kind: str, arguments: dict[str, t.Any]) -> t.Iterator[dict[str, t.Any]]:
        """Writes the call, and the answer that the block puts into what it gets; none if the block raises."""
        number = next(self.numbers)
        answer: dict[str, t.Any] = {}
        self._write(
            number=number, thread=threading.current_thread().name, key=key, kind=kind, arguments=arguments,
            call=time.monotonic_ns(),
        )  # fmt: skip
        yield answer
        back = time.monotonic_ns()
        self._write(number=number, back=back, answer=answer)

    def _write(self, **line: t.Any) -> None:
        os.write(self.descriptor, json.dumps(line).encode() + b"\n")


class RecordingSession(Session):
    """Writes down each script that is called."""

    record_to: Journal
    random: random.Random

    def call(
        self, script: str, arguments: dict[str, t.Any] | None = None, operation: str | None = None
    ) -> dict[str, t.Any]:
        asked = arguments or {}
        kind = {"lock_check": "look"}.get(script, script.removeprefix("lock_"))
        if kind == "release" and asked.get("force"):
            kind = "force"
        kept = {name: asked[name] for name in ("token", "ttl_ms") if asked.get(name) is not None}
        with self.record_to.operation("lock/" + asked["name"], kind, kept) as answer:
            reply = self.call_with_mishaps(script, arguments, operation or new_operation())
            answer.update(reply)
        return reply

    def call_with_mishaps(self, script: str, arguments: dict[str, t.Any] | None, operation: str) -> dict[str, t.Any]:
        """What networks do: the call or its answer is lost, the call comes late, or the client sends it twice."""
        dice = self.random.random()
        if dice < 0.05:
            # The first answer is lost, and the client sends the same operation again.
            super().call(script, arguments, operation)
            time.sleep(self.random.choice([0.0, 0.005, 0.05, 0.4]))
        elif dice < 0.07:
            super().call(script, arguments, operation)
            raise ServerUnavailable("the answer is lost")
        elif dice < 0.08:
            raise ServerUnavailable("the call is lost")
        elif dice < 0.09:
            send = functools.partial(super().call, script, arguments, operation)
            late = threading.Timer(self.random.uniform(0.01, 1.5), send)
            late.daemon = True  # one that is later than the end of the process never comes
            late.start()
            raise ServerUnavailable("the call is late, and nobody waits for it")
        return super().call(script, arguments, operation)


def recorded(journal: Journal, dice: random.Random) -> type[Lock]:
    """The public lock, whose calls are written down."""

    class RecordedLock(Lock):
        def _service(self, token: str) -> LockService:
            service = super()._service(token)
            plain = service.session
            service.session = RecordingSession(plain.settings, plain.controller, plain.host, keep=False)
            service.session.record_to, service.session.random = journal, dice
            return service

    return RecordedLock


class Thread(threading.Thread):
    """One user of the locks."""

    def __init__(self, name: str, options: dict[str, t.Any], journal: Journal) -> None:
        super().__init__(name=name)
        self.options = options
        self.journal = journal
        self.random = random.Random(f"{options['seed']}/{options['process']}/{name}")
        # Half of the threads ask again when an answer is lost; the others never learn what their call did.
        patience = 10.0 if int(name.rpartition("/")[2]) % 2 else 0.001
        self.settings = Settings.of({"url": options["server"], "prefix": options["prefix"], "patience": patience})
        self.lock_class = recorded(journal, self.random)
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.use_locks()
        except BaseException as error:
            self.error = error
            raise

    def use_locks(self) -> None:
        """Until the time is over."""
        while time.monotonic() < self.options["end"]:
            # No answer is part of the history; the thread goes on as somebody new.
            with contextlib.suppress(ServerUnavailable, Fenced, LockError, redis.ConnectionError, redis.TimeoutError):
                self.turn()
            time.sleep(self.random.expovariate(1 / self.options["pause_s"]))

    def turn(self) -> None:
        """One use of a lock."""
        dice = self.random
        name = f"l{dice.randrange(self.options['locks'])}"
        lock = self.lock_class(self.settings, name, timeout=dice.choice([1.0, 1.0, 1.2, 2.0]))
        what = dice.random()
        if what < 0.1:
            lock.force_release("a test")
            return
        if what < 0.2:
            lock.locked()
            return
        if what < 0.3:
            lock.local.token = "a stranger"
            if what < 0.25:
                lock.release()
            lock.extend(1.0, replace_ttl=True)
            return
        try:
            taken = lock.acquire(blocking=dice.random() < 0.6, blocking_timeout=dice.uniform(0.05, 1.5))
        except ServerUnavailable:
            # As an application does: once more, with the same object, which may have it already.
            taken = lock.acquire(blocking=False)
        if not taken:
            return
        fence = lock.fence
        value = self.register(name, "claim", fence)
        for _time in range(dice.choice([0, 0, 1, 2])):
            self.hold()
            lock.extend(dice.choice([1.0, 1.0, 1.5]), replace_ttl=dice.random() < 0.7)
        self.hold()
        if value is not None:
            self.register(name, "write", fence, value + 1)
        if dice.random() < 0.2:
            lock.owned()
        if dice.random() < 0.1:
            lock.acquire(token=lock.local.token, blocking=False)
        if dice.random() < 0.95:  # else it is forgotten, and lapses
            lock.release()

    def hold(self) -> None:
        """Works under the lock; sometimes for longer than it lives."""
        dice = self.random
        time.sleep(dice.uniform(0.9, 1.4) if dice.random() < 0.03 else dice.expovariate(1 / self.options["pause_s"]))

    def register(self, name: str, kind: str, fence: str | None, value: int | None = None) -> int | None:
        """Uses the register that the lock guards; its value, or None if it refused."""
        key = f"{self.options['prefix']}register:{name}"
        arguments = {"fence": int(fence or 0)} | ({} if value is None else {"value": value})
        with self.journal.operation("register/" + name, kind, arguments) as answer:
            # Without a retry: this script has no operation id, so a lost answer must stay lost.
            accepted, now = self.client().eval(REGISTER, 1, key, fence, "" if value is None else value)
            answer.update(accepted=bool(accepted), value=int(now))
        return int(now) if accepted else None

    def client(self) -> t.Any:
        return self.options["plain"]


def main() -> None:
    options = json.loads(sys.argv[1])
    if options["sabotage"]:
        script, old, new = SABOTAGES[options["sabotage"]]
        assert SCRIPTS[script].count(old) == 1, (
            f"the sabotage {options['sabotage']!r} no longer fits the script {script}"
        )
        SCRIPTS[script] = SCRIPTS[script].replace(old, new)
    options["plain"] = redis.Redis.from_url(options["server"], decode_responses=True, retry=Retry(NoBackoff(), 0))
    journal = Journal(options["journal"])
    threads = [Thread(f"{options['process']}/{number}", options, journal) for number in range(options["threads"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if any(thread.error for thread in threads):
        sys.exit(1)


if __name__ == "__main__":
    main()
