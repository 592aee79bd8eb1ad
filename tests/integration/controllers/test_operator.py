# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an operator does with redis-cli in the middle of a run, pause and resume, and retries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

# What these show does not depend on the version of ansible-core; the other files run on every one.
pytestmark = pytest.mark.main_core

# What a capability publishes under the documented names.
PUBLIC = {
    "phase": {"inventory:assets_discovered": 163},
    "metrics": {"assets_cataloged": 163},
    "findings": {"critical": 2, "high": 0, "medium": 1, "low": 7},
}
TASKS = ["east-slow", "east-echo", "west-echo"]


def test_revoked_lock(make_bench: Callable[..., Any]) -> None:
    """DEL task:lock:<id>: the holder's completion is refused, the task is done again, the run completes."""

    def publish(plan: dict[str, Any]) -> None:
        plan["capabilities"]["echo"]["entry_point"] = "work"
        plan["tasks"]["west-echo"]["parameters"] = {"public": PUBLIC}

    bench = make_bench("pair", publish)
    site = bench.site()
    bench.wait(lambda: bench.told()["start", "east-slow"], "the start of the task")
    with bench.client as client:
        assert client.get("task:lock:east-slow") == "east"
        assert 0 < client.pttl("task:lock:east-slow") <= 15_000
        assert client.get("task:status:east-slow") == "in_progress"
        assert client.get("phase:east:status") == "in_progress"
        assert client.get("phase:east:progress") == "0"
        assert client.get("worker:east-one:status") == "busy"
        first = bench.events("task_claimed", task_id="east-slow")[0]["fence"]
        assert client.delete("task:lock:east-slow") == 1
    assert bench.all_end([site]) == [0], bench.story([site])
    bench.check_log(TASKS)
    (revoked,) = bench.events("lease_revoked")
    assert revoked["resource"] == "task:lock:east-slow"
    assert bench.events("completion_fenced", task_id="east-slow", fence=first)
    (completed,) = bench.events("task_completed", task_id="east-slow")
    assert int(completed["fence"]) > int(first)
    assert bench.told()["start", "east-slow"] == 2
    with bench.client as client:
        assert client.hgetall("phase:west:findings") == {"critical": "2", "high": "0", "medium": "1", "low": "7"}
        assert client.get("phase:west:inventory:assets_discovered") == "163"
        assert client.get("metrics:west:assets_cataloged") == "163"
        assert client.get("metrics:west:tasks_completed") == "1"
        assert client.get("metrics:east:tasks_completed") == "2"


def test_foreign_lock(make_bench: Callable[..., Any], when: Callable[..., float]) -> None:
    """SET task:lock:<id> someone NX EX 20 beforehand is honoured until it expires, and said."""
    bench = make_bench("pair", lambda plan: plan["tasks"]["east-slow"]["parameters"].update(seconds=1))
    with bench.client as client:
        assert client.set("task:lock:east-slow", "someone", nx=True, ex=20)
        seconds, microseconds = client.time()
    until = seconds + microseconds / 1e6 + 20
    site = bench.site()
    conflict = bench.wait_event("task_conflict", 60, task_id="east-slow")
    assert conflict["owner"] == "someone"
    with bench.client as client:
        assert client.get("task:lock:east-slow") == "someone"
    assert bench.all_end([site]) == [0], bench.story([site])
    bench.check_log(TASKS)
    (claimed,) = bench.events("task_claimed", task_id="east-slow")
    assert when(claimed) >= until - 0.01, "claimed while somebody else's lock was there"
    assert when(claimed) - until < 8, "the expired lock was noticed late"


def test_pause_and_resume(make_bench: Callable[..., Any]) -> None:
    """pause of one Larry: nothing new is claimed there and the barrier stays shut; resume: the run completes."""
    bench = make_bench("pair", lambda plan: plan["tasks"]["east-slow"]["parameters"].update(seconds=8))
    east, west = bench.site("larry_east", name="east"), bench.site("larry_west", name="west")
    bench.wait(lambda: bench.told()["start", "east-slow"], "the start of the task")
    pause = bench.run("pause", "--limit", "larry_east", "-e", "larry_reason=lunch")
    assert pause.wait() == 0, pause.tail
    assert bench.events("paused")[0]["reason"] == "lunch"
    assert not bench.told()["end", "east-slow"], "the machine is too slow for this test"
    bench.wait_event("task_completed", 40, task_id="east-slow")
    bench.wait_event("barrier_arrived", 40, member="west")
    status = bench.run("status")
    assert "lunch" in status.output or "paused" in status.output, status.tail
    assert not bench.events("task_claimed", task_id="east-echo"), "claimed while paused"
    assert not bench.events("barrier_open")
    assert east.running() and west.running()
    assert bench.run("resume", "--limit", "larry_east").wait() == 0
    assert bench.all_end([east, west]) == [0, 0], bench.story([east, west])
    log = bench.check_log(TASKS)
    resumed = next(int(event["id"]) for event in log if event["event"] == "resumed")
    assert int(bench.events("task_claimed", task_id="east-echo")[0]["id"]) > resumed


def broken(plan: dict[str, Any]) -> None:
    """East fails once, then always at another task, with a hard and a soft descendant of the latter in the west."""
    plan["capabilities"] |= {
        "fail-once": {"role": "larry_test", "entry_point": "fail_once"},
        "fail-always": {"role": "larry_test", "entry_point": "fail_always"},
    }
    plan["larrys"]["east"]["workers"]["one"]["capabilities"] = ["fail-once", "fail-always", "echo"]
    plan["larrys"]["west"]["workers"]["one"]["capabilities"] = ["echo"]
    plan["tasks"] = {
        "once": {"larry": "east", "capability": "fail-once", "backoff": "1s"},
        "always": {"larry": "east", "capability": "fail-always", "attempts": 2, "backoff": "1s"},
        "east-blocked": {"larry": "east", "capability": "echo", "depends_on": ["always"]},
        "west-blocked": {"larry": "west", "capability": "echo", "depends_on": ["east-blocked"]},
        "west-after": {"larry": "west", "capability": "echo", "after": ["always"]},
        "west-free": {"larry": "west", "capability": "echo"},
    }


def test_retries(make_bench: Callable[..., Any], when: Callable[..., float]) -> None:
    """A task that fails once completes at its second attempt; one that always fails is failed for good and told."""
    bench = make_bench("pair", broken)
    processes = [bench.site(f"larry_{larry}", name=larry) for larry in ("east", "west")]
    codes = bench.all_end(processes)
    log = bench.check_log(complete=False)
    assert bench.told() == {
        ("fail_once", "once"): 2, ("fail_always", "always"): 2, ("echo", "west-after"): 1, ("echo", "west-free"): 1
    }  # fmt: skip
    (completed,) = bench.events("task_completed", task_id="once")
    assert completed["attempt"] == 2
    attempts = bench.events("task_failed", task_id="always")
    assert [event["final"] for event in attempts] == [False, True]
    assert "broken on purpose" in attempts[1]["cause"]
    claims = bench.events("task_claimed", task_id="always")
    assert when(claims[1]) - when(attempts[0]) >= 1, "tried again before its back-off"
    skipped = {event["task_id"]: event["cause"] for event in log if event["event"] == "task_skipped"}
    assert skipped == {"east-blocked": "blocked by always", "west-blocked": "blocked by east-blocked"}
    assert bench.events("worker_failure", task_id="always")
    assert codes == [2, 2], bench.story(processes)
    summary = (bench.work / "coordination/reports/PAIR-EXECUTION-SUMMARY.md").read_text()
    assert "broken on purpose" in summary and "blocked by always" in summary


def test_failed_task_still_converges(make_bench: Callable[..., Any]) -> None:
    """A task failed for good: exit code 2, and yet the Larrys meet, validate and publish one finished run."""
    bench = make_bench("pair", broken)
    processes = [bench.site(f"larry_{larry}", name=larry) for larry in ("east", "west")]
    assert bench.all_end(processes) == [2, 2], bench.story(processes)
    assert "Unknown error" not in "".join(process.output for process in processes)
    assert bench.events("run_complete"), bench.story(processes)
    bench.check_log()
