# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The local journal: progress and events of a run while the server is away, delivered once when it is back.

One file for each controller and server in the runtime directory, for this user alone, one JSON object a line. Each
record carries the operation id of its call, and the server keeps the ids that it has taken in, so a record that is sent
twice (a reply was lost, a deliverer was killed) is there once. That also makes locks between writers unnecessary.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import typing as t

from .history import place_of
from .identity import Controller
from .runtime_directory import runtime_directory
from .settings import Settings

MOST_BYTES = 1024 * 1024
BATCH = 100
_SENDING = ".sending-"


class Journal:
    """The journal of one controller for one server and prefix."""

    def __init__(self, settings: Settings, controller: Controller) -> None:
        self.stem = os.path.join(runtime_directory(), f"journal-{place_of(settings)}-")
        self.path = f"{self.stem}{controller.id}.jsonl"

    def there(self) -> bool:
        """True if this controller has something to deliver."""
        return os.path.exists(self.path)

    def append(self, record: dict[str, t.Any]) -> bool:
        """Writes one record to the disk. False if the journal is full."""
        line = (json.dumps(record, separators=(",", ":")) + "\n").encode()
        while True:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if os.fstat(descriptor).st_size + len(line) > MOST_BYTES:
                    return False
                os.write(descriptor, line)
                os.fsync(descriptor)
                try:
                    if os.path.samestat(os.fstat(descriptor), os.stat(self.path)):
                        return True
                except FileNotFoundError:
                    pass
                # Somebody took the file away to deliver it, perhaps before this line was in it: it is written again,
                # and its operation id makes the two one.
            finally:
                os.close(descriptor)

    def take(self, everybody: bool = False) -> list[str]:
        """Takes the file aside for delivery, and those of all controllers with `everybody`. Returns the paths.

        What a deliverer that was killed had taken aside is delivered again.
        """
        found = []
        own = os.path.basename(self.path)
        for entry in os.scandir(os.path.dirname(self.stem)):
            if not entry.name.startswith(os.path.basename(self.stem)):
                continue
            if not everybody and not entry.name.startswith(own):
                continue
            path = entry.path
            if _SENDING not in entry.name:
                path = f"{entry.path}{_SENDING}{os.getpid()}-{os.urandom(4).hex()}"
                try:
                    os.rename(entry.path, path)
                except FileNotFoundError:
                    continue  # another process was first
            found.append(path)
        return sorted(found)


def records_in(path: str) -> list[dict[str, t.Any]]:
    """The records of a file; a line that was cut off when its writer was killed is left out."""
    records = []
    with contextlib.suppress(FileNotFoundError):
        with open(path, encoding="utf-8") as stream:
            for line in stream:
                with contextlib.suppress(ValueError):
                    records.append(json.loads(line))
    return records


def put_back(path: str) -> None:
    """The records of this file could not be delivered now."""
    original = path.partition(_SENDING)[0]
    # A link fails where a new journal has been begun; then both are taken the next time.
    with contextlib.suppress(OSError):
        os.link(path, original)
        os.unlink(path)


def put_away(path: str) -> None:
    """The records of this file are on the server."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def local_time() -> str:
    """This machine's time, for `journaled_at`: the server's is not known."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")
