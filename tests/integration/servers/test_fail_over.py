# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fail-over in the middle of a run: work goes on, no task is completed twice, and what is lost is noticed.

What the servers have is read from their own sockets with plain redis-py, and compared with what clients were told.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import divided
import pytest
import redis
import servers
from crews import DIGEST, Crew, Place, build_plan

from ansible_collections.cortex.larry.plugins.module_utils._coordination import runs, slots, tasks
from ansible_collections.cortex.larry.plugins.module_utils._coordination.connection import disconnect
from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import (
    Fenced,
    HistoryLost,
    ServerUnavailable,
)
from ansible_collections.cortex.larry.plugins.module_utils._coordination.locks import LockService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.settings import Settings

WORKERS = ("w1", "w2", "w3")
NUMBER = 120


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, short_tmp: Path) -> None:
    """What controllers remember is in a directory of the test; the leases are long, and nobody renews them."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_tmp))
    for module in (runs, slots, tasks):
        monkeypatch.setattr(module, "ensure_keeper", lambda session: None)


@contextlib.contextmanager
def place_at(url: str, plain: Any, prefix: str, **options: Any) -> Iterator[Place]:
    """A prefix, through the Sentinels of a URL."""
    # One call waits for a whole fail-over; a machine that is busy takes its time for one.
    settings = Settings.of({"url": url, "prefix": prefix, "patience": 60, **options})
    yield Place(settings, plain)
    disconnect(settings)


def small_plan(number: int = NUMBER) -> dict[str, Any]:
    """Tasks in chains of three, for three workers of one Larry."""
    work = [
        {"id": f"t{n}", "depends_on": [f"t{n - 1}"] if n % 3 else [], "planned_s": 600_000, "deadline_s": 6_000_000}
        for n in range(number)
    ]
    return build_plan({"east": {worker: ["cap"] for worker in WORKERS}}, work, phase_s=6_000_000)


class Worker(threading.Thread):
    """Claims and settles until everything is settled; writes down what it was told."""

    def __init__(self, crew: Crew, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.crew = crew
        self.told: list[tuple[str, str]] = []  # task and fence of each result that was accepted
        self.fenced: list[str] = []
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        """The thread."""
        try:
            while True:
                reply = self.crew.claim(self.name, wait_s=0.2, ttl_ms=600_000)
                if reply["status"] == "done":
                    return
                if reply["status"] != "claimed":
                    continue
                time.sleep(0.01)  # the work
                try:
                    self.crew.settle(self.name, reply["task"], reply["fence"])
                except Fenced:
                    self.fenced.append(reply["task"])
                else:
                    self.told.append((reply["task"], reply["fence"]))
        except Exception as error:  # looked at by the test
            self.error = error


def log_of(process: servers.Process, prefix: str) -> list[dict[str, Any]]:
    """The run's log on one server."""
    with process.client() as plain:
        return Place(Settings.of("redis://h", prefix), plain).log()


def completions(log: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Task and fence of each accepted completion."""
    return [(entry["task_id"], entry["fence"]) for entry in log if entry["event"] == "task_completed"]


def check_history(log: list[dict[str, Any]], number: int = NUMBER) -> None:
    """Every task completed once, in the order of its dependencies, with growing fences and no gap in the log."""
    assert [int(entry["id"]) for entry in log] == list(range(1, len(log) + 1))
    done = [task for task, _fence in completions(log)]
    assert Counter(done) == Counter(f"t{n}" for n in range(number))
    for n in range(number):
        assert n % 3 == 0 or done.index(f"t{n - 1}") < done.index(f"t{n}")
    fences: dict[str, int] = {}
    for entry in log:
        if entry["event"] == "task_claimed":
            assert int(entry["fence"]) > fences.get(entry["task_id"], 0)
            fences[entry["task_id"]] = int(entry["fence"])


@pytest.fixture(scope="module")
def sentinel(start: Any) -> servers.Servers:
    """A primary, two replicas and three Sentinels."""
    return start("sentinel")


@pytest.mark.parametrize("how", ["killed", "suspended"])
def test_work_goes_on_through_a_fail_over(sentinel: servers.Servers, how: str, record_property: Any) -> None:
    """A primary that was suspended wakes up as one, and takes calls until a Sentinel tells it otherwise."""
    servers.settled(sentinel)
    old = sentinel.make_client.primary()
    prefix = f"t{uuid.uuid4().hex[:8]}:"
    with place_at(sentinel.connection["url"], None, prefix, timeout=2.5) as place:
        crew = Crew(place, small_plan())
        crew.join()
        crew.lead("east")
        workers = [Worker(crew, name) for name in WORKERS]
        servers.wait_for(lambda: len(completions(log_of(old, prefix))) >= NUMBER // 4, "a quarter of the tasks")
        before = len(completions(log_of(old, prefix)))
        assert before < NUMBER, "the fail-over comes in the middle"
        old.kill() if how == "killed" else old.suspend()
        lookout = servers.sentinels_of(sentinel)[0]
        servers.wait_for(lambda: servers.port_named_by(lookout) != old.port, "a fail-over", 90)
        if how == "suspended":
            old.resume()
        for worker in workers:
            worker.join(120)
            assert not worker.is_alive()
        told = {one for worker in workers for one in worker.told}
        errors = [worker.error for worker in workers if worker.error is not None]
        servers.settled(sentinel)
        now = sentinel.make_client.primary()
        assert now.port != old.port
        lost = told - set(completions(log_of(now, prefix)))
        if how == "suspended":
            record_property("results that the old primary still accepted, and that were lost", len(lost))
        # The end of a run asks as well (phases, barrier, report): who was told what is lost does not get past that.
        with pytest.raises(HistoryLost) if lost or errors else contextlib.nullcontext():
            assert crew.claim("w1")["status"] == "done"
        assert all(isinstance(error, HistoryLost) for error in errors), errors
        assert not any(worker.fenced for worker in workers)
        if lost or errors:
            assert crew.runs.recover(crew.plan, DIGEST).changed
            crew = Crew(place, crew.plan)
            crew.join()
            crew.lead("east")
            workers = [Worker(crew, name) for name in WORKERS]
            for worker in workers:
                worker.join(120)
                assert not worker.is_alive() and worker.error is None and not worker.fenced, worker.error
        check_history(log_of(now, prefix))


@pytest.fixture
def torn() -> Iterator[divided.Divided]:
    """Servers whose network can be divided, with the primary on the near side."""
    with divided.divisible() as made:
        yield made


@contextlib.contextmanager
def two_sides(torn: divided.Divided, number: int) -> Iterator[tuple[Crew, Crew, str]]:
    """A controller on each side within one run, before the network is divided; the near one leads."""
    prefix = f"t{uuid.uuid4().hex[:8]}:"
    plan = small_plan(number)
    with contextlib.ExitStack() as stack:
        places = [stack.enter_context(place_at(torn.url(side), None, prefix)) for side in ("near", "far")]
        near, far = (Crew(place, plan) for place in places)
        for crew in (near, far):
            crew.join()
        near.lead("east", workers=False)
        for crew, worker in ((near, "w1"), (far, "w2")):
            assert crew.slots.take(worker, ttl_ms=600_000)["status"] == "held"
        with torn.primary.client() as plain:
            plain.set(prefix + "marker", "1")
            assert plain.wait(2, 5000) == 2
            plain.delete(prefix + "marker")
            assert plain.wait(2, 5000) == 2
        try:
            yield near, far, prefix
        finally:
            torn.network.unite()


def failed_over(torn: divided.Divided) -> servers.Process:
    """Waits until the Sentinels of the far side have a primary of their own, and returns it."""
    for name in ("sentinel-2", "sentinel-3"):
        servers.wait_for(
            lambda name=name: servers.port_named_by(torn.processes[name]) != torn.gates["primary"], "a fail-over", 90
        )
    port = servers.port_named_by(torn.processes["sentinel-2"])
    (new,) = (torn.processes[name] for name, gate in torn.gates.items() if gate == port)
    servers.wait_for(lambda: new.client().role()[0] == "master", "the new primary")
    return new


def test_what_a_cut_off_primary_accepted_is_noticed_as_lost(torn: divided.Divided, short_tmp: Path) -> None:
    """Without min-replicas-to-write. Both sides complete the same tasks, and one of the two histories survives."""
    old = torn.primary
    with two_sides(torn, 9) as (near, far, prefix):
        first = near.do("w1")  # everybody has this one
        servers.wait_for(lambda: completions(log_of(torn.processes["replica-1"], prefix)), "the replica to have it")
        disconnect(far.session.settings)  # from here on its Sentinels name whom it can reach
        torn.network.divide()
        on_old = [near.do("w1") for _number in range(3)]
        new = failed_over(torn)
        on_new = [far.do("w2") for _number in range(4)]
        on_old.append(near.do("w1"))
        # There are two primaries, and each has accepted a result of the same tasks: this is what cannot be held.
        assert [task for task, _fence in completions(log_of(old, prefix))] == [first, *on_old]
        assert [task for task, _fence in completions(log_of(new, prefix))] == [first, *on_new]
        assert set(on_old) & set(on_new)
        held, fence = near.claimed("w1")  # at work when the network is whole again

        torn.network.unite()
        servers.wait_for(lambda: old.client().role()[0] == "slave", "the old primary to follow the new one", 60)
        assert [task for task, _fence in completions(log_of(old, prefix))] == [first, *on_new]
        survived = log_of(new, prefix)
        # Whoever saw more is refused, with everything; it marks the run, so the other side is refused as well.
        with pytest.raises(HistoryLost, match="recovered"):
            near.settle("w1", held, fence)
        for crew, worker in ((near, "w1"), (far, "w2")):
            with pytest.raises(HistoryLost):
                crew.claim(worker)
        assert log_of(new, prefix) == survived, "a refused call changed the log"

        assert near.runs.recover(near.plan, DIGEST).changed
        fresh = [Crew(crew.place, crew.plan) for crew in (near, far)]
        for crew in fresh:
            crew.join()
        fresh[0].lead("east", workers=False)
        for crew, worker in zip(fresh, ("w1", "w2"), strict=True):
            assert crew.slots.take(worker, ttl_ms=600_000)["status"] == "held"
        left = 9 - len([first, *on_new])
        for number in range(left):
            fresh[number % 2].do("w1" if number % 2 == 0 else "w2")
        assert fresh[0].claim("w1")["status"] == "done"
        check_history(log_of(new, prefix), 9)
        assert {fence for _task, fence in completions(log_of(new, prefix))}.isdisjoint({fence})


def test_min_replicas_to_write_keeps_a_cut_off_primary_from_accepting(torn: divided.Divided) -> None:
    """What docs/servers.md advises: the side that is cut off waits, nothing is lost, and it goes on afterwards."""
    old = torn.primary
    for name in torn.of("data"):
        with torn.processes[name].client() as plain:
            plain.config_set("min-replicas-max-lag", 2)
            plain.config_set("min-replicas-to-write", 1)
    with two_sides(torn, 9) as (near, far, prefix):
        first = near.do("w1")
        servers.wait_for(lambda: completions(log_of(torn.processes["replica-1"], prefix)), "the replica to have it")
        disconnect(far.session.settings)
        torn.network.divide()

        def refuses() -> bool:
            with old.client() as plain:
                try:
                    plain.set(prefix + "probe", "1")
                except redis.ResponseError as error:
                    return "NOREPLICAS" in str(error)
            return False

        servers.wait_for(refuses, "the cut off primary to take no more writes")
        at_the_cut = log_of(old, prefix)
        waiting = Worker(near, "w1")
        new = failed_over(torn)
        on_new = [far.do("w2") for _number in range(2)]
        with place_at(torn.url("near"), None, prefix, patience=0.5) as place:
            # Whoever is no member of the run, and has less patience, is told.
            with pytest.raises(ServerUnavailable, match="min-replicas-to-write"):
                LockService(place.session()).acquire("db", keep=False)
        assert log_of(old, prefix) == at_the_cut and waiting.is_alive() and not waiting.told

        torn.network.unite()
        waiting.join(120)
        assert not waiting.is_alive() and waiting.error is None, waiting.error
        assert waiting.told and not waiting.fenced
        log = log_of(new, prefix)
        assert {task for task, _fence in completions(log)} >= {first, *on_new}
        assert set(waiting.told) <= set(completions(log))
        check_history(log, 9)
