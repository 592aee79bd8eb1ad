# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""huey: process workers, started by its own consumer. It has no acknowledgement: what a worker took is gone with it."""

from __future__ import annotations

import sys

import marking
from huey import RedisHuey

huey = RedisHuey("bench", url=marking.URL)


@huey.task()
def noop() -> int | None:
    """The no-op; huey keeps what is not None."""
    marking.mark()
    return 1 if marking.VARIANT == "results" else None


def enqueue(count: int) -> None:
    """One producer."""
    for _number in range(count):
        noop()


if "huey_consumer" in sys.argv[0]:
    marking.ready()
