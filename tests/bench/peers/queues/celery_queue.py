# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Celery: prefork pool, started by its own command line."""

from __future__ import annotations

import sys

import marking
from celery import Celery

_RESULTS = marking.VARIANT == "results"
app = Celery("celery_queue", broker=marking.URL, backend=marking.URL if _RESULTS else None)
app.conf.update(
    task_ignore_result=not _RESULTS,
    task_acks_late=_RESULTS,
    # The optimising guide: for many short tasks a large prefetch multiplier, such as 64 or 128.
    worker_prefetch_multiplier=64,
    broker_connection_retry_on_startup=True,
)


@app.task(name="noop")
def noop() -> int:
    """The no-op."""
    marking.mark()
    return 1


def enqueue(count: int) -> None:
    """One producer."""
    with app.connection_for_write() as connection, app.amqp.Producer(connection) as producer:
        for _number in range(count):
            noop.apply_async(producer=producer)


if "worker" in sys.argv:
    marking.ready()
