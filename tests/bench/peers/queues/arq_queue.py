# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""arq: one worker process for each client, ten coroutines in each (its default)."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import marking
from arq import create_pool, run_worker
from arq.connections import RedisSettings


async def noop(_context: dict[str, Any]) -> int:
    """The no-op."""
    marking.mark()
    return 1


class WorkerSettings:
    """What `arq` reads."""

    functions = (noop,)
    redis_settings = RedisSettings.from_dsn(marking.URL)
    # By default it looks every half second for at most a hundred jobs, so 200 a second are the most that it does.
    poll_delay = 0.5 if marking.VARIANT == "defaults" else 0.005
    keep_result = 3600 if marking.VARIANT == "defaults" else 0
    handle_signals = False


def enqueue(count: int) -> None:
    """One producer with a hundred calls under way."""

    async def produce() -> None:
        pool = await create_pool(RedisSettings.from_dsn(marking.URL))
        for start in range(0, count, 100):
            await asyncio.gather(*(pool.enqueue_job("noop") for _number in range(min(100, count - start))))
        await pool.aclose()

    asyncio.run(produce())


if __name__ == "__main__" and "worker" in sys.argv:
    marking.ready()
    run_worker(WorkerSettings)
