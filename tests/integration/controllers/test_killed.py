# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Controllers that die in mid-task: with a standby, without one, by signals, and a fork of one."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

PLAYBOOKS = Path(__file__).resolve().parents[3] / "playbooks"
TTL_S = 15.0
SLOW_MACHINE_S = 3.0
TASKS = ["east-slow", "east-echo", "west-echo"]


def keepers(bench: Any) -> list[int]:
    return [pid for pid, command in bench.left_processes().items() if "larry-keeper" in command]


def kill_keeper_of(bench: Any, controller: str) -> None:
    """Kill the keeper of one controller: it holds the lock file that is named after the controller."""
    for pid in keepers(bench):
        files = [os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")]
        if any(f"keeper-{controller}" in name for name in files):
            os.kill(pid, signal.SIGKILL)
            return
    pytest.fail(f"The controller {controller} has no keeper.")


def stands_by(controller: Any) -> bool:
    """True if the same two forks, of the coordinator and of the worker, are there for a second: both wait."""
    before = controller.forks()
    time.sleep(1)
    return len(before) >= 2 and before == controller.forks()


def in_mid_task(bench: Any, task: str = "east-slow", starts: int = 1) -> None:
    """Wait until the task's own process has started."""
    bench.wait(lambda: bench.told()["start", task] >= starts, f"the start of {task}")


@pytest.mark.parametrize("keeper_too", [False, True], ids=["keeper-lives", "keeper-killed-too"])
def test_standby_takes_over(make_bench: Callable[..., Any], when: Callable[..., float], keeper_too: bool) -> None:
    """kill -9 of a controller in mid-task: its standby has the task again within TTL + 1 s, and the run completes."""
    bench = make_bench("pair", lambda plan: plan["tasks"]["east-slow"]["parameters"].update(seconds=15))
    first, west = bench.site("larry_east", name="east"), bench.site("larry_west", name="west")
    in_mid_task(bench)
    fence = bench.events("task_claimed", task_id="east-slow")[0]["fence"]
    standby = bench.site("larry_east", name="standby")
    # Another Larry is at the barrier already, whose policy is fail: a member with a standby is not dead.
    bench.wait_event("barrier_arrived", member="west")
    bench.wait(lambda: stands_by(standby), "the standby to wait for both slots")
    if bench.told()["end", "east-slow"]:
        pytest.fail("The task ended before the kill; the machine is too slow for this test.")
    if keeper_too:  # as if the machine had died: only the deadline is left
        controller = bench.events("task_claimed", task_id="east-slow")[0]["controller"]
        kill_keeper_of(bench, controller)
    first.signal(signal.SIGKILL)
    with bench.client as client:
        seconds, microseconds = client.time()
    killed = seconds + microseconds / 1e6
    codes = bench.all_end([standby, west])
    assert codes == [0, 0], standby.tail + west.tail
    log = bench.check_log(TASKS)
    again = [event for event in log if event["event"] == "task_claimed" and event["task_id"] == "east-slow"]
    assert len(again) == 2 and int(again[1]["fence"]) > int(fence)
    (requeued,) = (event for event in log if event["event"] == "task_requeued" and event["task_id"] == "east-slow")
    assert when(requeued) - killed <= TTL_S + 1, f"could be claimed {when(requeued) - killed:.2f} s after the kill"
    # The way from the slot to the claim is a few Ansible tasks; on a busy machine those take their time.
    assert when(again[1]) - killed <= TTL_S + 1 + SLOW_MACHINE_S, f"{when(again[1]) - killed:.2f} s after the kill"
    assert any(event["event"] == "slot_taken_over" and event["slot"] == "east" for event in log)
    if not keeper_too:
        assert bench.told() == {
            ("start", "east-slow"): 2, ("end", "east-slow"): 1, ("echo", "east-echo"): 1, ("echo", "west-echo"): 1
        }  # fmt: skip
    first.popen.wait(5)
    bench.nothing_left()


def test_no_standby_fail(make_bench: Callable[..., Any], when: Callable[..., float]) -> None:
    """Policy fail: the barrier breaks at once and names the dead member; started again, the run completes."""
    bench = make_bench("pair")
    east, west = bench.site("larry_east", name="east"), bench.site("larry_west", name="west")
    in_mid_task(bench)
    bench.wait_event("barrier_arrived", member="west")
    if bench.told()["end", "east-slow"]:
        pytest.fail("The task ended before the kill; the machine is too slow for this test.")
    east.signal(signal.SIGKILL)
    with bench.client as client:
        seconds, microseconds = client.time()
    failed = bench.wait_event("barrier_failed", 30)
    assert when(failed) - seconds - microseconds / 1e6 < 3, "the dead member is not noticed at once"
    assert failed["cause"].startswith("east"), failed
    assert west.wait(60) == 2, west.tail
    assert "east" in west.output and "gone" in west.output
    assert (bench.work / "coordination" / "reports" / "PAIR-EXECUTION-SUMMARY.md").exists(), "a report of what there is"
    run = bench.events("run_created")[0]["run"]
    again = [bench.site("larry_east", name="east-again"), bench.site("larry_west", name="west-again")]
    codes = bench.all_end(again)
    assert codes == [0, 0], again[0].tail + again[1].tail
    log = bench.check_log(TASKS)
    assert log[0]["run"] == run, "the run was not resumed"
    assert bench.told()["echo", "west-echo"] == 1, "a completed task was done again"
    bench.nothing_left()


def test_no_standby_wait(make_bench: Callable[..., Any]) -> None:
    """Policy wait: the others say who is dead and wait; started again, the dead one's run completes."""
    bench = make_bench("pair", lambda plan: plan["barrier"].update(policy="wait"))
    east, west = bench.site("larry_east", name="east"), bench.site("larry_west", name="west")
    in_mid_task(bench)
    bench.wait_event("barrier_arrived", member="west")
    east.signal(signal.SIGKILL)
    bench.wait_event("worker_failure", 30, worker="east", barrier="converge")
    assert west.running(), west.tail
    again = bench.site("larry_east", name="east-again")
    codes = bench.all_end([again, west])
    assert codes == [0, 0], again.tail + west.tail
    log = bench.check_log(TASKS)
    assert len({event["controller"] for event in log if event["event"] == "run_joined"}) == 3
    assert not bench.events("barrier_failed")
    bench.nothing_left()


def test_killed_fork(make_bench: Callable[..., Any], fork_of: Callable[..., Any]) -> None:
    """kill -9 of a fork in mid-task: nothing hangs, the others finish, and after a restart the task is done once."""
    bench = make_bench("pair", lambda plan: plan["barrier"].update(policy="wait"))
    east, west = bench.site("larry_east", name="east"), bench.site("larry_west", name="west")
    in_mid_task(bench)
    fork = bench.wait(lambda: fork_of(east, "sleep 6"), "the fork that carries the task out", 10)
    os.kill(fork, signal.SIGKILL)
    assert east.wait(30) != 0, east.tail
    bench.wait_event("barrier_arrived", member="west")
    assert west.running(), west.tail
    gone = bench.wait_event("controller_gone", 20)
    assert "task:lock:east-slow" in gone["released"], gone
    again = bench.site("larry_east", name="east-again")
    codes = bench.all_end([again, west])
    assert codes == [0, 0], again.tail + west.tail
    bench.check_log(TASKS)
    assert bench.told()["end", "east-slow"] == 1, bench.told()
    bench.nothing_left()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_signals(make_bench: Callable[..., Any], number: int) -> None:
    """Ctrl-C and SIGTERM: leases are given up and it is said, and nothing is left running."""
    bench = make_bench("pair", lambda plan: plan["tasks"]["east-slow"]["parameters"].update(seconds=60))
    east = bench.site("larry_east", name="east")
    in_mid_task(bench)
    sleeper = bench.wait(lambda: [p for p, c in bench.left_processes().items() if c == "sleep 60"], "the command", 10)
    controller = bench.events("run_joined")[0]["controller"]
    marked = Path(f"/proc/{sleeper[0]}/environ").read_bytes().split(b"\0")
    assert f"LARRY_CONTROLLER={controller}".encode() in marked, "the command does not carry the controller's mark"
    if number == signal.SIGINT:
        os.killpg(east.pid, number)  # a terminal sends it to the whole group
    else:
        east.signal(number)
    assert east.wait(30) != 0
    gone = bench.wait_event("controller_gone", 20)
    assert gone["controller"] == controller
    assert {"task:lock:east-slow", "slot:east", "slot:east-one"} <= set(gone["released"]), gone
    with bench.client as client:
        assert client.get("task:lock:east-slow") is None
        assert client.get("task:status:east-slow") == "pending"
        assert client.smembers(f"larry:held:{controller}") == set()
    bench.nothing_left()
    assert bench.told() == {("start", "east-slow"): 1}


def test_forks_that_ansible_ends(make_bench: Callable[..., Any]) -> None:
    """Ansible itself terminates forks that are on their way out when a play ends: nobody was killed then.

    Each play gives that race one more chance. The keeper of a lock watches, and must leave the controller alone.
    """
    bench = make_bench(None, configured=False)
    bench.variables["ANSIBLE_COLLECTIONS_PATH"] = str(PLAYBOOKS / "collections")
    lock = {"cortex.larry.lock": {"name": "watched", "redis": f"unix://{bench.socket}"}}
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False}
    plays = [
        {**play, "tasks": [lock]},
        *[{**play, "tasks": [{"ansible.builtin.debug": {"msg": str(number)}}]} for number in range(60)],
        # Longer than the keeper waits for a strategy to notice a dead fork by itself.
        {
            **play,
            "tasks": [{"ansible.builtin.command": "sleep 4", "vars": {"ansible_python_interpreter": sys.executable}}],
        },
    ]
    path = bench.directory / "plays.yml"
    path.write_text(yaml.safe_dump(plays, sort_keys=False))
    process = bench.start("ansible-playbook", path, name="plays")
    assert process.wait(90) == 0, process.tail
    bench.nothing_left()
