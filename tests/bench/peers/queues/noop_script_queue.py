# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The floor: a script that does nothing, called by redis-py, one call at a time, from a process for each client."""

from __future__ import annotations

import functools

import marking
import redis


def enqueue(count: int) -> None:
    """So many calls are to be made by all together."""
    (marking.PLACE / "count").write_text(str(count), encoding="utf-8")


def work(count: int) -> None:
    """One client."""
    client = redis.Redis.from_url(marking.URL, decode_responses=True, protocol=2)
    digest = client.script_load("return 1")
    marking.ready()
    for _number in range(count):
        client.evalsha(digest, 0)
        marking.mark()


def main() -> None:
    """A process for each client."""
    count = int((marking.PLACE / "count").read_text(encoding="utf-8")) // marking.CLIENTS
    marking.in_forks([functools.partial(work, count)] * marking.CLIENTS)


if __name__ == "__main__":
    main()
