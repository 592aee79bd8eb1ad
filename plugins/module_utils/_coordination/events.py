# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Events: publish one, read the log, follow it. The log is a stream, so a late reader misses nothing."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import time
import typing as t

from .connection import redis, unavailable
from .errors import ServerUnavailable, SettingsError
from .journal import local_time
from .session import Session, new_operation, without_none

# Events that tell what the scripts did; replay trusts them, so nobody else may write them.
PROTOCOL_EVENTS = frozenset(
    "barrier_arrived barrier_failed barrier_open behind_plan cancelled completion_fenced controller_gone draining "
    "lease_acquired lease_lapsed lease_refused lease_released lease_revoked overdue paused phase_complete phase_failed "
    "phase_started progress_update resumed run_complete run_created run_joined run_recovered server_away "
    "slot_taken_over task_claimed task_completed task_conflict task_failed task_ready task_reopened task_requeued "
    "task_skipped tokens_hold_expired tokens_reserve_deployed worker_failure worker_registered".split()
)

_NAME = re.compile(r"^[a-z][a-z0-9_]{0,63}$")
# What the script writes itself.
_ENVELOPE = frozenset(("id", "from", "event", "timestamp", "run"))
_MOST_BYTES = 64 * 1024


class EventService:
    """The log of the run (`member` sessions) or of stand-alone use."""

    def __init__(self, session: Session) -> None:
        self.session = session

    @property
    def _log(self) -> str:
        return self.session.key("larry:log" if self.session.member else "larry:standalone:log")

    def publish(
        self, event: str, data: dict[str, t.Any] | None = None, *, alert: bool = False, journal: bool = False
    ) -> dict[str, t.Any]:
        """Writes an event to the log and to larry:coordination, or larry:alerts with `alert`.

        Args:
            journal: while the server is away the event goes to the local journal of a controller that has joined a
                run, which is delivered when it is back; `status` is journaled then, and there is no `id`.

        Raises:
            SettingsError: the name is not [a-z][a-z0-9_]*, or the data exceeds 64 KiB.
        """
        if not _NAME.match(event):
            raise SettingsError(
                f"The name of an event must match [a-z][a-z0-9_]*, at most 64 characters: {event[:70]!r}."
            )
        if event in PROTOCOL_EVENTS:
            raise SettingsError(f"The event {event} belongs to the protocol; choose another name.")
        if len(json.dumps(data or {})) > _MOST_BYTES:
            raise SettingsError(
                f"The data of the event {event} exceeds {_MOST_BYTES} bytes; put it in a file and name the file."
            )
        carried = {name: value for name, value in (data or {}).items() if name not in _ENVELOPE}
        # The members of the object without its braces: the script puts them into the message as they are.
        spliced = json.dumps(carried, separators=(",", ":"))[1:-1]
        arguments = {"event": event, "data": spliced, "alert": alert or None, "journal": journal or None}
        operation = new_operation()
        try:
            return self.session.call("event_publish", arguments, operation)
        except ServerUnavailable as error:
            if not journal or not self.session.member:
                raise
            at = local_time()
            carried = {**carried, "journaled_at": at}
            record = {"kind": "event", "event": event, "alert": alert or None}
            record["data"] = json.dumps(carried, separators=(",", ":"))[1:-1]
            if not write_journal(self.session, operation, {**record, "at": at}, error):
                raise
            channel = self.session.key("larry:alerts" if alert else "larry:coordination")
            return {"status": "journaled", "id": None, "timestamp": at, "channel": channel}

    def read(self, since: str = "0", count: int = 1000) -> list[dict[str, t.Any]]:
        """Entries after the id `since`, oldest first, at most `count`."""
        if not since.isdigit():
            raise SettingsError(f"An id of the log is a whole number, not {since[:50]!r}.")
        try:
            return [
                json.loads(fields["m"])
                for _id, fields in self.session.client.xrange(
                    self._log, f"({since}-0" if since != "0" else "-", "+", count
                )
            ]
        except redis.exceptions.RedisError as error:
            raise unavailable(self.session.settings, error) from error

    def _next_after(self, last: str, block: int) -> t.Any:
        return self.session.client.xread({self._log: last}, count=1000, block=block)

    def everything(self) -> t.Iterator[dict[str, t.Any]]:
        """The whole log, read in pages."""
        since = "0"
        while True:
            page = self.read(since)
            yield from page
            if len(page) < 1000:
                return
            since = page[-1]["id"]

    def follow(self, since: str = "0", timeout_s: float | None = None) -> t.Iterator[dict[str, t.Any]]:
        """Entries after `since` and then each new one as it comes, until nothing came for `timeout_s` seconds."""
        last = f"{since}-0"
        quiet = time.monotonic()
        while True:
            left = None if timeout_s is None else timeout_s - (time.monotonic() - quiet)
            if left is not None and left <= 0:
                return
            longest = self.session.longest_block_ms
            block = longest if left is None else max(1, min(longest, int(left * 1000)))
            try:
                answer = self.session.patiently(functools.partial(self._next_after, last, block))
            except redis.exceptions.RedisError as error:
                raise unavailable(self.session.settings, error) from error
            for _stream, entries in answer or []:
                for entry_id, fields in entries:
                    last = entry_id
                    quiet = time.monotonic()
                    yield json.loads(fields["m"])


def write_journal(session: Session, operation: str, record: dict[str, t.Any], error: ServerUnavailable) -> bool:
    """Keeps what a call could not send, if the server is away and this controller has joined a run.

    Returns False if it is not for the journal; the error stands then.

    Raises:
        ServerUnavailable: the journal is full.
    """
    seen = session.memory.read() if session.memory is not None else None
    if seen is None or not error.facts.get("given_up"):
        return False
    own = {"op": operation, "run": seen.run, "controller": session.controller.id, "from": session.actor}
    if not session.journal.append(without_none({"at": local_time(), **own, **record})):
        raise ServerUnavailable(
            f"The coordination server {session.settings.shown} is away, and the journal {session.journal.path} is full;"
            " nothing was recorded.",
            given_up=True,
        )
    return True


def chain(events: t.Iterable[dict[str, t.Any]]) -> str:
    """SHA-256 over the log: each head covers the entry and the head before it (law 9)."""
    head = ""
    for event in events:
        text = json.dumps(event, sort_keys=True, separators=(",", ":"))
        head = hashlib.sha256((head + text).encode()).hexdigest()
    return head
