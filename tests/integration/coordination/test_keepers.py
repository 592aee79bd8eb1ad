# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real processes: the keeper renews, notices the end of its controller, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import Fenced
from ansible_collections.cortex.larry.plugins.module_utils._coordination.keeper import ensure_keeper
from ansible_collections.cortex.larry.plugins.module_utils._coordination.locks import LockService

ONE = {"larry-01": {"w1": ["cap"], "w2": ["cap"]}}


def test_a_lock_outlives_its_ttl_while_its_holder_lives(place: Any, processes: Any) -> None:
    controller, _process = processes.controller()
    LockService(place.session(controller)).acquire("db", owner="me", ttl_ms=1_000)
    seen = []
    for _number in range(35):
        time.sleep(0.1)
        seen.append(place.get("lock:db"))
    assert set(seen) == {"me"}


@pytest.mark.parametrize("ttl_ms", [60_000, 5_000])
def test_a_killed_holders_lock_is_given_up_at_once(place: Any, processes: Any, ttl_ms: int) -> None:
    controller, process = processes.controller()
    LockService(place.session(controller)).acquire("db", ttl_ms=ttl_ms)
    processes.kill(process)
    began = time.monotonic()
    LockService(place.session(host="other")).acquire("db", wait_s=20, keep=False)
    assert time.monotonic() - began < 4.0


def test_with_the_keeper_killed_too_it_is_free_within_its_ttl(place: Any, processes: Any, wait_until: Any) -> None:
    controller, process = processes.controller()
    LockService(place.session(controller)).acquire("db", ttl_ms=2_000)
    wait_until(lambda: place.plain.hget(place.key("larry:lease:lock/db/1"), "renewed") != place.plain.hget(
        place.key("larry:lease:lock/db/1"), "since"), 5)  # fmt: skip
    (keeper,) = processes.keepers()
    os.kill(keeper, signal.SIGKILL)
    processes.kill(process)
    began = time.monotonic()
    LockService(place.session(host="other")).acquire("db", wait_s=20, keep=False)
    assert time.monotonic() - began < 3.0


def test_there_is_one_keeper_and_it_ends_with_its_controller(place: Any, processes: Any, wait_until: Any) -> None:
    controller, process = processes.controller()
    for number in range(5):
        LockService(place.session(controller, f"h{number}")).acquire(f"l{number}", ttl_ms=5_000)
    # A process that has just been started shows its command line a moment later.
    wait_until(lambda: len(processes.keepers()) > 0, 3)
    assert len(processes.keepers()) == 1
    processes.kill(process)
    wait_until(lambda: processes.keepers() == [], 8)
    wait_until(lambda: list(Path(processes.runtime).rglob("keeper-*")) == [], 3)
    assert [place.get(f"lock:l{number}") for number in range(5)] == [None] * 5


def test_a_killed_keeper_is_replaced_by_the_next_call(place: Any, processes: Any, wait_until: Any) -> None:
    controller, _process = processes.controller()
    mine = LockService(place.session(controller))
    mine.acquire("db", owner="me", ttl_ms=3_000)
    wait_until(lambda: len(processes.keepers()) == 1, 3)
    (keeper,) = processes.keepers()
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: keeper not in processes.keepers())
    mine.acquire("db", owner="me", ttl_ms=3_000)
    assert processes.keepers() not in ([], [keeper])
    time.sleep(3.5)
    assert place.get("lock:db") == "me"


def test_a_revoked_lock_is_not_brought_back_by_the_keeper(place: Any, processes: Any) -> None:
    controller, _process = processes.controller()
    mine = LockService(place.session(controller))
    mine.acquire("db", ttl_ms=1_000)
    place.plain.delete(place.key("lock:db"))
    time.sleep(1.0)
    assert place.get("lock:db") is None
    with pytest.raises(Fenced):
        mine.extend("db")


def test_a_killed_controllers_task_goes_to_its_standby(place: Any, processes: Any, crew_at: Any, plan_of: Any) -> None:
    plan = plan_of(ONE, [{"id": "a", "worker": "w1"}])
    controller, process = processes.controller()
    first = crew_at(place, plan, controller).lead(ttl_ms=15_000)
    task, fence = first.claimed("w1")
    other, _alive = processes.controller()
    second = crew_at(place, plan, other)
    assert second.slots.take("w1")["status"] == "standby"
    processes.kill(process)
    began = time.monotonic()
    assert second.slots.take("w1", wait_s=20)["status"] == "held"
    assert second.slots.take("larry-01", wait_s=20)["status"] == "held"
    assert second.claimed("w1", wait_s=20)[0] == "a"
    assert time.monotonic() - began < 5  # far below TTL + 1 s: the keeper gave everything up
    with pytest.raises(Fenced):
        first.settle("w1", task, fence)
    assert place.log("controller_gone")[0]["controller"] == controller.id


def test_with_the_keeper_killed_too_the_task_is_free_within_its_ttl(
    place: Any, processes: Any, crew_at: Any, plan_of: Any
) -> None:
    plan = plan_of(ONE, [{"id": "a", "worker": "w1"}])
    controller, process = processes.controller()
    first = crew_at(place, plan, controller).lead(ttl_ms=2_000)
    first.claimed("w1", ttl_ms=2_000)
    other, _alive = processes.controller()
    second = crew_at(place, plan, other)
    for keeper in processes.keepers():
        os.kill(keeper, signal.SIGKILL)
    processes.kill(process)
    began = time.monotonic()
    for slot in ("larry-01", "w2"):
        assert second.slots.take(slot, wait_s=10)["status"] == "held"
    assert second.claimed("w2", wait_s=10)[0] == "a"
    assert time.monotonic() - began < 3.0
    assert place.names().count("lease_lapsed") >= 2


def test_a_keeper_of_a_long_run_renews_slots_and_tasks(place: Any, processes: Any, crew_at: Any, plan_of: Any) -> None:
    plan = plan_of(ONE, [{"id": "a", "deadline_s": 60_000}])
    controller, _process = processes.controller()
    one = crew_at(place, plan, controller).lead(ttl_ms=1_000)
    task, fence = one.claimed("w1", ttl_ms=1_000)
    time.sleep(3)
    one.settle("w1", task, fence)
    assert one.phases.turn("larry-01", finish=True)["phase"] == "completed"
    assert "lease_lapsed" not in place.names()


_FORKED = """
import multiprocessing, os, sys, time
from ansible_collections.cortex.larry.plugins.module_utils._coordination import identity, keeper, locks, processes
from ansible_collections.cortex.larry.plugins.module_utils._coordination import session, settings
processes.watch_forks()
def work(out):
    s = session.Session(settings.Settings.of(sys.argv[1], prefix=sys.argv[2]),
                        identity.Controller.of_process(os.getppid()), "h")
    locks.LockService(s).acquire("db", owner="fork", ttl_ms=60000)
    out.put(os.getpid())
    time.sleep(600)
context = multiprocessing.get_context("fork")
out = context.Queue()
child = context.Process(target=work, args=(out,))
child.start()
print(out.get(), flush=True)
while True:
    time.sleep(600)
"""


def test_a_killed_fork_ends_its_controller_and_frees_its_locks(place: Any, processes: Any) -> None:
    """Ansible's free strategy would wait for a killed fork for ever (law 5)."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    process = subprocess.Popen(
        [sys.executable, "-c", _FORKED, place.settings.server, place.settings.prefix],
        stdout=subprocess.PIPE, env=environment, start_new_session=True,
    )  # fmt: skip
    processes.started.append(process)
    assert process.stdout is not None
    fork = int(process.stdout.readline())
    assert place.get("lock:db") == "fork"
    os.kill(fork, signal.SIGKILL)
    assert process.wait(15) != 0
    LockService(place.session(host="other")).acquire("db", wait_s=5, keep=False)


def test_a_killed_controller_takes_its_forks_along(place: Any, processes: Any, wait_until: Any) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    process = subprocess.Popen(
        [sys.executable, "-c", _FORKED, place.settings.server, place.settings.prefix],
        stdout=subprocess.PIPE, env=environment, start_new_session=True,
    )  # fmt: skip
    processes.started.append(process)
    assert process.stdout is not None
    fork = int(process.stdout.readline())
    processes.kill(process)
    wait_until(lambda: not Path(f"/proc/{fork}").exists(), 8)
    wait_until(lambda: place.get("lock:db") is None, 8)


def test_a_paused_attempt_keeps_its_lease_beyond_its_deadline(
    place: Any, processes: Any, crew_at: Any, plan_of: Any
) -> None:
    plan = plan_of(ONE, [{"id": "a", "deadline_s": 2_500}])
    controller, _process = processes.controller()
    one = crew_at(place, plan, controller).lead()
    task, fence = one.claimed("w1", ttl_ms=1_500)
    one.phases.control("pause", "larry", ["larry-01"])
    time.sleep(3.2)
    assert place.get("task:lock:a") == "larry-01"
    one.phases.control("resume", "larry", ["larry-01"])
    one.settle("w1", task, fence)


def test_a_pause_late_in_an_attempt_saves_it_too(place: Any, processes: Any, crew_at: Any, plan_of: Any) -> None:
    """The lease ends with the attempt's deadline, and the keeper's next turn comes later than that."""
    plan = plan_of(ONE, [{"id": "a", "deadline_s": 1_000}])
    controller, _process = processes.controller()
    one = crew_at(place, plan, controller).lead()
    ensure_keeper(one.session)
    task, fence = one.claimed("w1", ttl_ms=15_000)
    time.sleep(0.4)
    one.phases.control("pause", "larry", ["larry-01"])
    time.sleep(1.5)
    one.phases.control("resume", "larry", ["larry-01"])
    one.settle("w1", task, fence)
