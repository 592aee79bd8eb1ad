# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The same run in other shapes: seven Larrys, one controller, --forks 1, no ansible.cfg, installed, check mode."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

# What these show does not depend on the version of ansible-core; the other files run on every one.
pytestmark = pytest.mark.main_core
ROOT = Path(__file__).resolve().parents[3]
SEVEN = yaml.safe_load((ROOT / "tests/plans/seven-larrys.larry.yml").read_text())
SEVEN_TASKS = list(SEVEN["tasks"])
PAIR_TASKS = ["east-slow", "east-echo", "west-echo"]


def quick(plan: dict[str, Any]) -> None:
    plan["tasks"]["east-slow"]["parameters"]["seconds"] = 1


def in_real_time(plan: dict[str, Any]) -> None:
    """A slow machine is no reason to miss the deadline of a phase."""
    plan["run"]["time_scale"] = 1


def check_seven(bench: Any) -> None:
    bench.check_log(SEVEN_TASKS)
    criteria = {criterion["id"]: criterion for larry in SEVEN["larrys"] for criterion in bench.final(larry)["criteria"]}
    states = {name: (criterion["state"], criterion["value"]) for name, criterion in criteria.items()}
    assert states == {"all-units": ("met", 35), "no-duplicated-tasks": ("met", 0), "grove-refined": ("met", 1)}, (
        criteria
    )
    assert (bench.work / "coordination/reports/SEVEN-EXECUTION-SUMMARY.md").is_file()
    # `after` across Larrys: the chain of refinements in the order of the plan, by the log.
    log = bench.events("task_claimed", "task_completed")
    place = {(event["event"], event["task_id"]): int(event["id"]) for event in log}
    chain = [task for task in SEVEN_TASKS if task.endswith("-refine")]
    for before, then in itertools.pairwise(chain):
        assert place["task_completed", before] < place["task_claimed", then]


@pytest.mark.timeout(400)
def test_seven_controllers(make_bench: Callable[..., Any]) -> None:
    """Seven controllers at once: one run, one report, each task settled once."""
    bench = make_bench("seven-larrys", in_real_time)
    # The group of `atlas` is larry_atlas, since a host has the name itself; that of `brook-2` is brook_2.
    groups = [larry.replace("-", "_") if "-" in larry else f"larry_{larry}" for larry in SEVEN["larrys"]]
    codes = bench.all_end([bench.site(group) for group in groups], 300)
    assert codes == [0] * 7, bench.story(bench.started)
    check_seven(bench)
    assert len({event["controller"] for event in bench.events("run_joined")}) == 7
    bench.nothing_left()


@pytest.mark.timeout(400)
def test_one_controller_without_configuration(make_bench: Callable[..., Any]) -> None:
    """One controller for seven Larrys and fourteen workers with Ansible's own five forks and no ansible.cfg."""
    bench = make_bench("seven-larrys", in_real_time, configured=False)
    assert bench.all_end([bench.site()], 300) == [0], bench.story(bench.started)
    check_seven(bench)
    bench.nothing_left()


def test_one_fork(make_bench: Callable[..., Any]) -> None:
    """Two controllers with one fork each and no ansible.cfg."""
    bench = make_bench("pair", quick, configured=False)
    processes = [bench.site(f"larry_{larry}", "--forks", 1) for larry in ("east", "west")]
    assert bench.all_end(processes) == [0, 0], bench.story(processes)
    bench.check_log(PAIR_TASKS)
    assert set(bench.told().values()) == {1}


def test_entry_points_side_by_side(make_bench: Callable[..., Any]) -> None:
    """Workers of one controller that begin different tasks at the same moment each do their own."""
    count = 8

    def many(plan: dict[str, Any]) -> None:
        plan["larrys"].pop("west")
        kinds = ["echo", "slow"]
        plan["larrys"]["east"]["workers"] = {
            f"w{number}": {"node": "here", "tokens": 1, "duration": "1m", "capabilities": [kinds[number % 2]]}
            for number in range(count)
        }
        plan["larrys"]["east"]["tokens"] = count
        plan["run"]["controllers"] = 1
        plan["tasks"] = {
            f"{kinds[number % 2]}-{number}": {
                "larry": "east", "worker": f"w{number}", "capability": kinds[number % 2], "parameters": {"seconds": 1}
            }
            for number in range(count)
        }  # fmt: skip

    bench = make_bench("pair", many)
    # No shared capability between the two kinds, so nobody but the bound half can do a task.
    assert bench.all_end([bench.site()]) == [0], bench.story(bench.started)
    expected = {("echo", f"echo-{number}"): 1 for number in range(0, count, 2)}
    for number in range(1, count, 2):
        expected |= {("start", f"slow-{number}"): 1, ("end", f"slow-{number}"): 1}
    assert bench.told() == expected


def test_second_run_replaces_the_finished_one(make_bench: Callable[..., Any]) -> None:
    """The same plan again: the finished run is archived, its keys go, and a new run is made; with one controller."""
    bench = make_bench("pair", quick)
    assert bench.all_end([bench.site()]) == [0], bench.story(bench.started)
    bench.check_log(PAIR_TASKS)
    first = bench.events("run_created")[0]["run"]
    assert bench.all_end([bench.site()]) == [0], bench.story(bench.started)
    bench.check_log(PAIR_TASKS)
    second = bench.events("run_created")[0]["run"]
    assert second != first
    # Each run is archived when it finishes, and stays archived when the next one takes its place.
    archives = {path.name for path in (bench.work / "coordination/archive").iterdir()}
    assert archives == {f"{first}.tar.gz", f"{second}.tar.gz"}
    assert bench.told()["echo", "west-echo"] == 2


def test_other_plan_is_refused(make_bench: Callable[..., Any]) -> None:
    """Another digest on a run that is led: refused with a sentence that names the run, its leader and the ways out."""
    bench = make_bench("pair")
    running = bench.site(name="running")
    bench.wait_event("task_claimed", task_id="east-slow")
    other = bench.directory / "other.larry.yml"
    plan = yaml.safe_load(bench.plan.read_text())
    plan["tasks"]["west-echo"]["parameters"] = {"word": "else"}
    other.write_text(yaml.safe_dump(plan, sort_keys=False))
    mine, bench.plan = bench.plan, other
    refused = bench.site(name="refused")
    assert refused.wait(60) != 0
    run = bench.events("run_created")[0]["run"]
    assert run in refused.output and "east" in refused.output and "prefix" in refused.output, refused.tail
    bench.plan = mine
    assert running.wait(90) == 0, running.tail
    bench.check_log(PAIR_TASKS)


def contents(bench: Any) -> dict[str, Any]:
    """Every key of the server with what it holds."""
    read = {
        "string": lambda client, key: client.get(key),
        "hash": lambda client, key: client.hgetall(key),
        "list": lambda client, key: client.lrange(key, 0, -1),
        "set": lambda client, key: client.smembers(key),
        "zset": lambda client, key: client.zrange(key, 0, -1, withscores=True),
        "stream": lambda client, key: client.xrange(key),
    }
    with bench.client as client:
        return {key: read[client.type(key)](client, key) for key in client.keys("*")}


def test_check_mode(make_bench: Callable[..., Any]) -> None:
    """--check ends with 0 and leaves the server as it was, on an empty server and beside a run that goes on."""
    bench = make_bench("pair", configured=False)
    checked = bench.site(None, "--check", name="check-empty")
    assert checked.wait(90) == 0, checked.tail
    with bench.client as client:
        assert client.keys("*") == []
    assert not (bench.work / "coordination").exists(), "check mode wrote files"
    assert bench.witness() == []

    running = bench.site("larry_east", name="running")
    bench.wait_event("task_claimed", task_id="east-slow")
    running.signal(signal.SIGSTOP)  # nothing but the check may change anything now
    try:
        for keeper in [pid for pid, command in bench.left_processes().items() if "larry-keeper" in command]:
            os.kill(keeper, signal.SIGSTOP)
        before = contents(bench)
        checked = bench.site(None, "--check", name="check-beside")
        assert checked.wait(90) == 0, checked.tail
        after = contents(bench)
        # The fork at work may settle nothing while it sleeps; the lock's own expiry is the server's doing.
        gone = {key for key in before if key not in after}
        assert gone <= {"task:lock:east-slow"}
        assert set(after) <= set(before), set(after) - set(before)
        assert {key for key in after if after[key] != before[key]} == set()
    finally:
        bench.end()


BROKEN = ["04-duplicate-task", "10-unknown-key", "21-cycle", "31-budget-total", "37-threshold"]


def test_broken_plans(make_bench: Callable[..., Any]) -> None:
    """A broken plan: one sentence with file and line, exit code not 0, nothing started."""
    bench = make_bench(None, configured=False)
    processes = {}
    for name in BROKEN:
        bench.plan = ROOT / "tests/broken_plans" / f"{name}.larry.yml"
        processes[name] = bench.site(name=name)
    codes = bench.all_end(list(processes.values()), 120)
    assert 0 not in codes, codes
    for name, process in processes.items():
        # As editors and CI logs find it: file:line: at the start of an unbroken line.
        where = re.escape(str(ROOT / "tests/broken_plans" / f"{name}.larry.yml"))
        lines = re.findall(rf"^{where}:\d+: \S.*[.?]$", process.output, re.MULTILINE)
        assert len(lines) == 1, process.tail
        assert "PLAY [" not in process.output and "Traceback" not in process.output
    with bench.client as client:
        assert client.keys("*") == []
    assert list(bench.work.iterdir()) == []


def test_plan_that_is_no_yaml(make_bench: Callable[..., Any]) -> None:
    """A syntax error is found by Ansible before any plugin sees the plan: file and line are told."""
    bench = make_bench(None, configured=False)
    bench.plan = ROOT / "tests/broken_plans" / "01-syntax-error.larry.yml"
    process = bench.site()
    assert process.wait(60) != 0, process.tail
    assert "01-syntax-error.larry.yml:15" in process.output, process.tail
    assert "changed:" not in process.output
    with bench.client as client:
        assert client.keys("*") == []


def test_kubernetes_plan(make_bench: Callable[..., Any]) -> None:
    """The preflight of inventories/k3s says in one sentence that the live source is not there yet, and stops."""
    bench = make_bench(None)
    bench.plan = ROOT / "inventories" / "k3s"
    process = bench.site()
    assert process.wait(60) != 0
    assert "live Kubernetes cluster" in process.output and "not there yet" in process.output, process.tail
    with bench.client as client:
        assert client.keys("*") == []


@pytest.mark.timeout(400)
def test_installed(make_bench: Callable[..., Any]) -> None:
    """Built, installed into an empty directory, and run as cortex.larry.site with ANSIBLE_COLLECTIONS_PATH alone."""
    bench = make_bench("pair", quick, configured=False)
    # ansible-galaxy would find the checkout on the path of Python and have nothing to install.
    bench.variables.pop("PYTHONPATH", None)
    built, installed = bench.directory / "built", bench.directory / "installed"
    build = bench.start("ansible-galaxy", "collection", "build", ROOT, "--output-path", built, name="build")
    assert build.wait(120) == 0, build.tail
    (artefact,) = built.glob("*.tar.gz")
    install = bench.start("ansible-galaxy", "collection", "install", artefact, "-p", installed, name="install")
    assert install.wait(120) == 0, install.tail
    bench.variables["ANSIBLE_COLLECTIONS_PATH"] = str(installed)
    del bench.variables["ANSIBLE_CONFIG"]
    assert not list(bench.work.iterdir())
    options = ["-i", bench.plan, "-e", f"larry_redis=unix://{bench.socket}"]
    site = bench.start("ansible-playbook", "cortex.larry.site", *options, name="site")
    assert bench.all_end([site], 120) == [0], bench.story([site])
    bench.check_log(PAIR_TASKS)
    assert (bench.work / "coordination/reports/PAIR-EXECUTION-SUMMARY.md").is_file()
    status = bench.start("ansible-playbook", "cortex.larry.status", *options, name="status")
    assert status.wait(60) == 0, status.tail
    listed = subprocess.run(
        [Path(sys.executable).parent / "ansible-doc", "-l", "-t", "module", "cortex.larry", "--json"],
        env=bench.variables, cwd=bench.work, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert {"cortex.larry.lock", "cortex.larry.barrier", "cortex.larry.task"} <= set(json.loads(listed.stdout))
