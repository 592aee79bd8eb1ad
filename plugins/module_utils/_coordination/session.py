# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A session: one caller (controller, host) on one server, calling the scripts of the protocol."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import time
import typing as t
import uuid

from .connection import Patience, connect, disconnect, exchange, redis, unavailable
from .errors import CoordinationError, HistoryLost, NotJoined, Refused, ServerUnavailable, SettingsError
from .history import Memory, Seen, loss_of, note_loss
from .identity import Controller
from .journal import BATCH, Journal, put_away, put_back, records_in
from .lua.scripts import SCRIPTS
from .settings import Settings

# Without the package nothing is ever raised: `connect` says that it is missing.
_RedisError: type[Exception] = redis.exceptions.RedisError if redis is not None else ServerUnavailable
_DIGESTS: dict[str, str] = {}

# How long a controller that has joined a run bridges the absence of the server.
DEFAULT_OUTAGE_S = 120.0
OUTAGE_VARIABLE = "LARRY_REDIS_OUTAGE"
_PAUSE_S = 0.2
# What need not wait, because there is the journal, asks for this long.
_HASTY_S = 1.0
# The keeper acts for a member although it calls as none.
_OF_MEMBERS = frozenset(("renew",))

_LONGEST_BLOCK_MS = 2_000


def new_operation() -> str:
    """An operation id: the same one sent again has no second effect (law 3)."""
    return uuid.uuid4().hex


def is_away(error: Exception) -> bool:
    """True if the server is not there for now; False for an answer that the next try would get as well."""
    if isinstance(error, ServerUnavailable):
        return not error.facts.get("given_up")
    return Patience(0.0).passing(error)


def outage_of(value: t.Any) -> float:
    """Seconds out of an option, else out of the environment, else the default.

    Raises:
        SettingsError: it is no number of seconds.
    """
    for found in (value, os.environ.get(OUTAGE_VARIABLE)):
        if found not in (None, ""):
            try:
                seconds = float(found)
            except (TypeError, ValueError):
                seconds = -1.0
            if not 0 <= seconds <= 86_400:
                raise SettingsError(f"The option redis_outage wants seconds, from 0 to a day, not {found!r}.")
            return seconds
    return DEFAULT_OUTAGE_S


T = t.TypeVar("T")


def patient(function: t.Callable[..., T]) -> t.Callable[..., T]:
    """For a function that reads through its first argument, a session: tried again while the server is away."""

    @functools.wraps(function)
    def reading(session: Session, *args: t.Any, **options: t.Any) -> T:
        return session.patiently(lambda: function(session, *args, **options))

    return reading


def without_none(value: t.Any) -> t.Any:
    """`value` without None in mappings: Lua has no null that is false."""
    if isinstance(value, dict):
        return {name: without_none(content) for name, content in value.items() if content is not None}
    if isinstance(value, (list, tuple)):
        return [without_none(content) for content in value]
    return value


class Session:
    """Calls scripts for one caller.

    Args:
        settings: the server and the prefix.
        controller: the incarnation on whose behalf the calls are made.
        host: name of the host (Ansible's inventory name) within the controller.
        member: True when the caller acts within the run under this prefix; False for stand-alone use.
        actor: who is named as `from` in events; the host by default.
        keep: leases taken are renewed by a keeper; without one they end with their TTL. It is False on a target,
            where there is no runtime directory of the controller either: what was seen is not remembered there.
        outage_s: how long calls within a run wait for a server that is away, counted from the moment at which the first
            fork of this controller noticed that; 120 seconds by default. It is longer than the patience of one call in
            the settings, and for those alone who have joined a run.
    """

    def __init__(
        self,
        settings: Settings,
        controller: Controller,
        host: str,
        member: bool = False,
        actor: str | None = None,
        keep: bool = True,
        outage_s: float | None = None,
    ) -> None:
        self.settings = settings
        self.controller = controller
        self.host = host
        self.member = member
        self.actor = actor or host
        self.keep = keep
        self.outage_s = outage_of(outage_s)
        self.waited_s = 0.0
        self._memory: Memory | None = None
        self._journal: Journal | None = None
        # True from a failed call on until one succeeds: the server learns that somebody missed it.
        self._missed = False

    @property
    def client(self) -> t.Any:
        """The client of this process."""
        return connect(self.settings)

    def key(self, name: str) -> str:
        """`name` with the prefix before it."""
        return self.settings.prefix + name

    def call(
        self, script: str, arguments: dict[str, t.Any] | None = None, operation: str | None = None
    ) -> dict[str, t.Any]:
        """Runs one script atomically on the server.

        Args:
            script: a name of `lua.SCRIPTS`.
            arguments: JSON types; None is left out.
            operation: the operation id; a new one by default. Send the same one to repeat a call.

        Returns:
            The script's reply; `status` says how it went, `refused` is true when nothing was changed.

        Raises:
            NotJoined: this controller is not part of the run.
            ServerUnavailable: no answer.
        """
        memory = self.memory if self.member or script in _OF_MEMBERS else None
        seen = memory.read() if memory is not None else None
        if seen is not None and script != "journal_deliver" and self.journal.there():
            self.deliver()
        if seen is None and memory is not None and script == "run_join":
            seen = loss_of(self.settings)
        context = {
            "op": operation or new_operation(),
            "controller": self.controller.id,
            "host": self.host,
            "actor": self.actor,
        }
        if self.member:
            context["member"] = True
        if seen is not None:
            context["seen"] = seen.sent()
        text = SCRIPTS[script]
        digest = _DIGESTS.get(script)
        if digest is None:
            digest = _DIGESTS[script] = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        carried = json.dumps(without_none(arguments or {}))

        def ask() -> str:
            if self._missed:
                context["missed"] = True
            sent = [1, self.key("larry:meta"), json.dumps(context), carried]
            try:
                return exchange(self.settings, "EVALSHA", digest, *sent)
            except redis.exceptions.NoScriptError:
                # A server that was started again, or took over from another one, does not know any script.
                context["unknown"] = True
                sent[2] = json.dumps(context)
                return self.client.eval(text, *sent)

        reply = json.loads(self.patiently(ask, memory if seen is not None else None))
        history = reply.pop("h", None)
        if memory is not None:
            self._learn(memory, seen, reply, history)
        if reply.get("refused") and reply["status"] == "history_lost":
            raise history_lost(self, reply, seen)
        if reply.get("refused") and reply["status"] in ("no_run", "not_joined"):
            raise not_joined(self, reply)
        if reply.get("refused") and reply["status"] == "other_epoch":
            raise NotJoined(
                f"The run {reply.get('run')} was recovered after the server had lost a part of its history: it is in "
                f"epoch {reply.get('epoch')} now, and this controller joined it before; start the controller again.",
                **reply,
            )
        return reply

    def ping(self) -> None:
        """Returns when the server answers."""
        self.client.ping()

    def hasty(self) -> Session:
        """The same caller, who does not wait for a server that is away."""
        settings = dataclasses.replace(self.settings, patience_s=min(_HASTY_S, self.settings.patience_s))
        return Session(settings, self.controller, self.host, self.member, self.actor, self.keep, 0.0)

    @property
    def memory(self) -> Memory | None:
        """What this controller has seen; None on a target, where its runtime directory is not."""
        if self._memory is None and self.keep:
            self._memory = Memory(self.settings, self.controller)
        return self._memory

    @property
    def journal(self) -> Journal:
        """The journal of this controller."""
        if self._journal is None:
            self._journal = Journal(self.settings, self.controller)
        return self._journal

    def _learn(
        self, memory: Memory, seen: Seen | None, reply: dict[str, t.Any], history: dict[str, t.Any] | None
    ) -> None:
        if history is not None and history.get("over"):
            memory.forget()
        elif history is not None:
            new = history.get("run"), str(history.get("epoch")), str(history.get("seq"))
            if seen is None or seen.away is not None or new != (seen.run, str(seen.epoch), str(seen.seq)):
                memory.note(history)
        elif seen is not None and reply.get("status") in ("no_run", "not_joined"):
            memory.forget()  # deleted or replaced on purpose: the server has just compared what we have seen

    def patiently(self, action: t.Callable[[], T], memory: Memory | None = None) -> T:
        """Runs `action`, which reads or repeats an operation id, and again while the server is away.

        Only a controller that has joined a run waits, up to `outage_s` seconds from the moment at which the server
        was first missed; whoever asks for the first time gets the error at once.

        Raises:
            ServerUnavailable: no answer, or the patience is over.
        """
        if memory is None and self.member:
            memory = self.memory
        while True:
            try:
                answer = action()
            except (ServerUnavailable, _RedisError) as error:
                problem = error if isinstance(error, ServerUnavailable) else unavailable(self.settings, error)
                if memory is None or not is_away(error) or memory.read() is None:
                    raise problem from error
                self._missed = True
                away_s = time.monotonic() - memory.note_away()
                if not self.member:  # the keeper has its own turns
                    raise problem from error
                if away_s >= self.outage_s:
                    raise self._given_up(problem, away_s) from error
                # The embedded server is started again by whoever connects anew.
                disconnect(self.settings)
                time.sleep(max(0.0, min(_PAUSE_S, self.outage_s - away_s)))
                continue
            if self._missed and memory is not None:
                memory.note_back()
            self._missed = False
            return answer

    def _given_up(self, problem: ServerUnavailable, away_s: float) -> ServerUnavailable:
        kept = ""
        if self.journal.there():
            kept = (
                f" Progress and events of this controller are in the journal {self.journal.path}; the next controller "
                "of this machine that joins the run delivers them."
            )
        return ServerUnavailable(
            f"The coordination server {self.settings.shown} has been away for {away_s:.0f} s, and this controller "
            f"waits no longer than {self.outage_s:g} s (redis_outage).{kept} Let the server run again and start "
            f"the same command again: nothing is done twice. Its last answer: {problem.sentence}",
            given_up=True,
            away_s=round(away_s, 3),
        )

    def deliver(self, everybody: bool = False) -> int:
        """Delivers the journal of this controller, or those of all controllers of this machine with `everybody`.

        Returns the number of records that the server took in; what cannot be delivered now stays.

        Raises:
            ServerUnavailable: it is away, and this caller does not wait; then its own call needs no second try.
        """
        caller = self
        if not self.member:
            caller = Session(self.settings, self.controller, self.host, True, self.actor, self.keep, self.outage_s)
        try:
            # The file stays where its sentence says it is, until there is somebody to take it in.
            caller.patiently(caller.ping)
        except ServerUnavailable:
            if self.outage_s == 0:
                raise
            return 0
        taken = 0
        for path in self.journal.take(everybody):
            records = records_in(path)
            try:
                for start in range(0, len(records), BATCH):
                    reply = caller.call("journal_deliver", {"records": records[start : start + BATCH]})
                    if reply.get("refused"):
                        raise Refused("The run takes nothing in any more.", **reply)
                    taken += reply["taken"]
            except CoordinationError as error:
                put_back(path)
                if isinstance(error, ServerUnavailable) and self.outage_s == 0:
                    raise
                return taken
            put_away(path)
        return taken

    @property
    def longest_block_ms(self) -> int:
        """How long one read may block: well below the socket's time-out, so that a dead server is noticed."""
        return max(1, min(_LONGEST_BLOCK_MS, int(self.settings.timeout_s * 500)))

    def wait_for(self, bells: dict[str, str], timeout_s: float) -> None:
        """Blocks until one of the bells rings or the time is over (a bell is rung by the script that changes state).

        Args:
            bells: name of a bell -> the last entry that the caller has seen.
            timeout_s: in seconds.
        """
        began = time.monotonic()
        streams = {self.key("larry:bell:" + name): last for name, last in bells.items()}
        try:
            while True:
                left_ms = int((timeout_s - (time.monotonic() - began)) * 1000)
                if left_ms <= 0:
                    return
                if self.client.xread(streams, block=min(left_ms, self.longest_block_ms), count=1):
                    return
        except redis.exceptions.RedisError as error:
            if not (self.member and is_away(error) and self.memory is not None and self.memory.read() is not None):
                raise unavailable(self.settings, error) from error
            # The caller asks again, and that call waits for the server.
            self._missed = True
            disconnect(self.settings)
        finally:
            self.waited_s += time.monotonic() - began


def not_joined(session: Session, reply: dict[str, t.Any]) -> NotJoined:
    """The sentence for a caller that is outside the run."""
    if reply["status"] == "no_run":
        return NotJoined(
            f"There is no run under the prefix {session.settings.prefix!r} on {session.settings.shown}; start one with "
            "playbooks/site.yml, or join it with cortex.larry.run: state=joined.",
            **reply,
        )
    return NotJoined(
        f"This controller has not joined the run {reply.get('run')} (plan {reply.get('plan')}); it was replaced or "
        "finished, or cortex.larry.run: state=joined was not called first. Start the controller again.",
        **reply,
    )


_WHY = {
    "gone": "there is no run under this prefix any more",
    "other_run": "another run is there, and it is not the one that followed",
    "epoch": "the run there is in an earlier epoch",
    "behind": "its log ends before what this controller has seen",
    "diverged": "its log tells something else at a point that this controller has seen",
    "told": "another controller noticed that",
}


def history_lost(session: Session, reply: dict[str, t.Any], seen: Seen | None) -> HistoryLost:
    """The sentence for a caller that has seen more than the server has; what was seen is kept for the recovery."""
    what = ""
    if seen is not None:
        note_loss(session.settings, seen)
        what = f" of the run {seen.run} (seen: epoch {seen.epoch}, entry {seen.seq} of the log"
        what += f"; there: epoch {reply['epoch']}, entry {reply['seq']})" if reply.get("seq") else ")"
    deleted = ""
    if reply.get("why") in ("gone", "other_run"):
        deleted = " If the run was deleted on purpose from another machine, run playbooks/cleanup.yml here as well."
    return HistoryLost(
        f"The coordination server {session.settings.shown} has lost a part of the history{what}: "
        f"{_WHY.get(str(reply.get('why')), 'it is not the same any more')}. It was emptied, started from an older "
        "state, or replaced by a replica that was behind. Nothing was changed, and nothing will be until you look at "
        "what was lost and run cortex.larry.run with state=recovered (playbooks/recover.yml), which opens a new epoch; "
        f"then start the controllers again.{deleted}",
        **reply,
    )
