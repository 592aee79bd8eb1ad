# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a controller has seen of a run's history (law 10), shared by its forks and its keeper.

Each fork is a new process that makes one call, so the memory is a file in the runtime directory: one record of fixed
size for each controller and server. A call costs one read of it and, when the log has grown, one write. A record that
is overwritten by an older one in a race only makes the memory a little shorter until the next call.

What was seen when a loss was noticed is kept beside it for a day: whoever starts again on this machine is refused as
well, and `recovered` knows what there had been.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import time
import typing as t
import zlib

from .identity import Controller, process_alive
from .runtime_directory import runtime_directory
from .settings import Settings

_RECORD_BYTES = 256
_LOST_VALID_S = 86_400.0
_SWEEP_AFTER_S = 86_400.0
# A directory of many controllers is not read by each of them.
_SWEEP_EVERY_S = 3_600.0
# A fork that was stopped while it holds the lock must not hold the others up.
_LOCK_TRIES, _LOCK_PAUSE_S = 5, 0.0005
# Open files of this process: (process id, path) -> descriptor. A fork must not share the parent's locks.
_FILES: dict[tuple[int, str], int] = {}


def place_of(settings: Settings) -> str:
    """A short name for a server and prefix in file names; the same for whatever user and password reach it."""
    return hashlib.sha256(f"{settings.shown}\n{settings.prefix}".encode()).hexdigest()[:8]


@dataclasses.dataclass(frozen=True)
class Seen:
    """The newest entry of a run's log that a controller has seen.

    Attributes:
        run: id of the run.
        epoch: of the run; grows when a lost history is recovered.
        seq: the entry's number.
        at: server time of the entry in microseconds; two histories differ in it where they have the same number.
        away: since when the server does not answer (monotonic clock of this machine, seconds); None while it does.
    """

    run: str
    epoch: int
    seq: int
    at: int
    away: float | None = None

    def sent(self) -> dict[str, t.Any]:
        """What travels with each call."""
        return {"run": self.run, "epoch": self.epoch, "seq": str(self.seq), "at": str(self.at)}

    def newer_than(self, other: Seen) -> bool:
        """True if this goes further than `other` in the same run, or is of another run."""
        return self.run != other.run or (self.epoch, self.seq) > (other.epoch, other.seq)


def _encode(seen: Seen | None, controller: Controller) -> bytes:
    fields: list[t.Any] = [controller.pid, controller.start_time]
    if seen is not None:
        fields += [seen.run, seen.epoch, seen.seq, seen.at, seen.away]
    text = json.dumps(fields, separators=(",", ":"))
    record = f"{zlib.crc32(text.encode()):08x}{text}".encode()
    return record.ljust(_RECORD_BYTES, b" ")


def _decode(record: bytes) -> list[t.Any] | None:
    text = record[8:].strip()
    try:
        if int(record[:8], 16) != zlib.crc32(text):
            return None
        return json.loads(text)
    except ValueError:
        return None


def _seen_in(record: bytes) -> Seen | None:
    fields = _decode(record)
    return Seen(*fields[2:]) if fields and len(fields) > 2 else None


class Memory:
    """The memory of one controller for one server and prefix."""

    def __init__(self, settings: Settings, controller: Controller) -> None:
        self.controller = controller
        self.place = place_of(settings)
        self.path = os.path.join(runtime_directory(), f"history-{controller.id}-{self.place}")

    def _open(self, create: bool = False) -> int | None:
        key = (os.getpid(), self.path)
        descriptor = _FILES.get(key)
        if descriptor is None:
            try:
                descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                if not create:
                    return None
                _sweep()
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            _FILES[key] = descriptor
        return descriptor

    def read(self) -> Seen | None:
        """What was seen; None before this controller joined a run, and after that run was over."""
        descriptor = self._open()
        if descriptor is None:
            return None
        for _try in range(3):
            record = os.pread(descriptor, _RECORD_BYTES, 0)
            if not record or _decode(record) is not None:  # else read in the middle of a write
                break
        return _seen_in(record)

    def _change(self, change: t.Callable[[Seen | None], Seen | None]) -> None:
        descriptor = self._open(create=True)
        if descriptor is None:
            raise AssertionError("a file that is created is there")
        locked = False
        for _try in range(_LOCK_TRIES):
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                locked = True
                break
            time.sleep(_LOCK_PAUSE_S)
        try:
            before = _seen_in(os.pread(descriptor, _RECORD_BYTES, 0))
            after = change(before)
            if after != before:
                os.pwrite(descriptor, _encode(after, self.controller), 0)
        finally:
            if locked:
                fcntl.flock(descriptor, fcntl.LOCK_UN)

    def note(self, history: dict[str, t.Any]) -> None:
        """Takes in what a reply says of the history; the server answered, so it is not away."""
        new = Seen(history["run"], _number(history.get("epoch")), int(history["seq"]), int(history.get("at") or 0))
        self._change(lambda old: new if old is None or new.newer_than(old) else dataclasses.replace(old, away=None))

    def note_away(self) -> float:
        """Since when the server has been away (monotonic seconds): now, unless it was away already."""
        since = time.monotonic()

        def change(old: Seen | None) -> Seen | None:
            nonlocal since
            if old is not None and old.away is not None:
                since = old.away
                return old
            return dataclasses.replace(old, away=since) if old is not None else None

        self._change(change)
        return since

    def note_back(self) -> None:
        """The server answers again."""
        self._change(lambda old: dataclasses.replace(old, away=None) if old is not None else None)

    def forget(self) -> None:
        """The run is over for this controller."""
        if self._open() is not None:
            self._change(lambda _old: None)


def _number(value: t.Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0


def _records(place: str | None = None) -> t.Iterator[tuple[str, list[t.Any]]]:
    for entry in os.scandir(runtime_directory()):
        if entry.name.startswith("history-") and (place is None or entry.name.endswith("-" + place)):
            with contextlib.suppress(OSError):
                with open(entry.path, "rb") as stream:
                    yield entry.path, _decode(stream.read(_RECORD_BYTES)) or []


def _sweep() -> None:
    """Removes the records of controllers that are gone, now and then."""
    marker = os.path.join(runtime_directory(), "history.swept")
    with contextlib.suppress(FileNotFoundError):
        if time.time() - os.stat(marker).st_mtime < _SWEEP_EVERY_S:
            return
    with open(marker, "w", encoding="utf-8"):
        os.utime(marker)
    for path, fields in _records():
        with contextlib.suppress(OSError):
            old = time.time() - os.stat(path).st_mtime > _SWEEP_AFTER_S
            if old and not (len(fields) > 1 and process_alive(int(fields[0]), str(fields[1]))):
                os.unlink(path)


def forget_run(settings: Settings, run: str | None) -> None:
    """The run (or whatever was there) was deleted on purpose: nobody on this machine shall take that for a loss."""
    place = place_of(settings)
    for path, fields in _records(place):
        if len(fields) > 2 and run in (None, fields[2]):
            with contextlib.suppress(OSError):
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
                try:
                    record = json.dumps(fields[:2], separators=(",", ":"))
                    text = f"{zlib.crc32(record.encode()):08x}{record}".encode()
                    os.pwrite(descriptor, text.ljust(_RECORD_BYTES, b" "), 0)
                finally:
                    os.close(descriptor)
    forget_loss(settings)


def _loss_path(settings: Settings) -> str:
    return os.path.join(runtime_directory(), f"lost-{place_of(settings)}")


def note_loss(settings: Settings, seen: Seen) -> None:
    """Keeps what had been seen of a history that the server lost."""
    known = loss_of(settings)
    if known is None or (seen.epoch, seen.at) > (known.epoch, known.at):
        path = _loss_path(settings)
        temporary = f"{path}.{os.getpid()}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump([seen.run, seen.epoch, seen.seq, seen.at], stream)
        os.replace(temporary, path)


def loss_of(settings: Settings) -> Seen | None:
    """What had been seen of a history that was noticed as lost on this machine within the last day."""
    path = _loss_path(settings)
    try:
        if time.time() - os.stat(path).st_mtime > _LOST_VALID_S:
            return None
        with open(path, encoding="utf-8") as stream:
            return Seen(*json.load(stream))
    except (OSError, ValueError, TypeError):
        return None


def forget_loss(settings: Settings) -> None:
    """The loss was recovered, or was none."""
    with contextlib.suppress(OSError):
        os.unlink(_loss_path(settings))


def known_of(settings: Settings) -> Seen | None:
    """The furthest that any controller of this machine has seen on this server and prefix."""
    known = [loss_of(settings)]
    known += [Seen(*fields[2:]) for _path, fields in _records(place_of(settings)) if len(fields) > 2]
    there = [seen for seen in known if seen is not None]
    return max(there, key=lambda seen: (seen.at, seen.epoch, seen.seq)) if there else None
