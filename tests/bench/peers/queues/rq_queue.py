# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""RQ: `python rq_queue.py` is one worker. The variant says whether each job is carried out in a fork (its default)."""

from __future__ import annotations

import logging

import marking
import redis
from rq import Queue, SimpleWorker, Worker

_RESULT_TTL = 500 if marking.VARIANT == "fork" else 0


def noop() -> int:
    """The no-op."""
    marking.mark()
    return 1


def enqueue(count: int) -> None:
    """One producer, with the bulk call and a pipeline."""
    connection = redis.Redis.from_url(marking.URL)
    queue = Queue("bench", connection=connection)
    for start in range(0, count, 500):
        jobs = [
            Queue.prepare_data("rq_queue.noop", result_ttl=_RESULT_TTL) for _number in range(min(500, count - start))
        ]
        with connection.pipeline() as pipe:
            queue.enqueue_many(jobs, pipeline=pipe)
            pipe.execute()


if __name__ == "__main__":
    logging.disable(logging.INFO)
    kind = Worker if marking.VARIANT == "fork" else SimpleWorker
    worker = kind([Queue("bench", connection=redis.Redis.from_url(marking.URL))])
    marking.ready()
    worker.work(logging_level="ERROR")
