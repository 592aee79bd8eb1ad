# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""dramatiq: processes with one thread each, started by its own command line. It acknowledges after the execution."""

from __future__ import annotations

import sys

import dramatiq
import marking
from dramatiq.brokers.redis import RedisBroker

broker = RedisBroker(url=marking.URL)
if marking.VARIANT == "results":
    from dramatiq.results import Results
    from dramatiq.results.backends import RedisBackend

    broker.add_middleware(Results(backend=RedisBackend(url=marking.URL)))
dramatiq.set_broker(broker)


@dramatiq.actor(**({"store_results": True} if marking.VARIANT == "results" else {}))
def noop() -> int | None:
    """The no-op."""
    marking.mark()
    return 1 if marking.VARIANT == "results" else None


def enqueue(count: int) -> None:
    """One producer."""
    for _number in range(count):
        noop.send()


if "dramatiq" in sys.argv[0]:
    marking.ready()
