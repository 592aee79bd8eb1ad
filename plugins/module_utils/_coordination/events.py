# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Events: publish one, read the log, follow it. The log is a stream, so a late reader misses nothing."""

from __future__ import annotations

import hashlib
import json
import re
import time
import typing as t

from .connection import redis, unavailable
from .errors import SettingsError
from .session import Session, new_operation

# Events that tell what the scripts did; replay trusts them, so nobody else may write them.
PROTOCOL_EVENTS = frozenset(
    "barrier_arrived barrier_failed barrier_open behind_plan cancelled completion_fenced controller_gone draining "
    "lease_acquired lease_lapsed lease_refused lease_released lease_revoked overdue paused phase_complete phase_failed "
    "phase_started progress_update resumed run_complete run_created run_joined slot_taken_over task_claimed "
    "task_completed task_conflict task_failed task_ready task_reopened task_requeued task_skipped tokens_hold_expired "
    "tokens_reserve_deployed worker_failure worker_registered".split()
)

_NAME = re.compile(r"^[a-z][a-z0-9_]{0,63}$")
_LONGEST_BLOCK_MS = 2_000
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

    def publish(self, event: str, data: dict[str, t.Any] | None = None, *, alert: bool = False) -> dict[str, t.Any]:
        """Writes an event to the log and to larry:coordination, or larry:alerts with `alert`.

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
        return self.session.call(
            "event_publish", {"event": event, "data": spliced, "alert": alert or None}, new_operation()
        )

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
            block = _LONGEST_BLOCK_MS if left is None else max(1, min(_LONGEST_BLOCK_MS, int(left * 1000)))
            try:
                answer = self.session.client.xread({self._log: last}, count=1000, block=block)
            except redis.exceptions.RedisError as error:
                raise unavailable(self.session.settings, error) from error
            for _stream, entries in answer or []:
                for entry_id, fields in entries:
                    last = entry_id
                    quiet = time.monotonic()
                    yield json.loads(fields["m"])


def chain(events: t.Iterable[dict[str, t.Any]]) -> str:
    """SHA-256 over the log: each head covers the entry and the head before it (law 9)."""
    head = ""
    for event in events:
        text = json.dumps(event, sort_keys=True, separators=(",", ":"))
        head = hashlib.sha256((head + text).encode()).hexdigest()
    return head
