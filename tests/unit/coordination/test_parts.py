# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the coordination that need no server: settings, identities, the loading of a plan, sentences."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from ansible_collections.cortex.larry.plugins.module_utils._coordination.budgets import budget_view
from ansible_collections.cortex.larry.plugins.module_utils._coordination.definition import capabilities, load_steps
from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import SettingsError
from ansible_collections.cortex.larry.plugins.module_utils._coordination.events import chain
from ansible_collections.cortex.larry.plugins.module_utils._coordination.identity import Controller, process_alive
from ansible_collections.cortex.larry.plugins.module_utils._coordination.locks import duration, holders_sentence
from ansible_collections.cortex.larry.plugins.module_utils._coordination.runs import new_run_id
from ansible_collections.cortex.larry.plugins.module_utils._coordination.session import without_none
from ansible_collections.cortex.larry.plugins.module_utils._coordination.settings import Settings
from ansible_collections.cortex.larry.plugins.module_utils._coordination.snapshot import iso


@pytest.mark.parametrize(
    "server, shown",
    [
        ("embedded", "embedded"),
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("redis://user:secret@h:1/2", "redis://h:1/2"),
        ("redis://:secret@h", "redis://h"),
        ("unix:///run/s?db=1&password=secret", "unix:/run/s"),
    ],
)
def test_a_server_is_shown_without_its_password(server: str, shown: str) -> None:
    assert Settings.of(server).shown.replace("unix:///", "unix:/") == shown


@pytest.mark.parametrize(
    "value", [None, "", {}, "http://h", "rediss://h", "host:6379", {"url": "embedded", "colour": 1}]
)
def test_what_is_no_server_is_refused(value: Any) -> None:
    with pytest.raises(SettingsError):
        Settings.of(value)


@pytest.mark.parametrize("prefix", ["a b", "a\n", "\x00", "\t"])
def test_a_bad_prefix_is_refused(prefix: str) -> None:
    with pytest.raises(SettingsError, match="prefix must not hold"):
        Settings.of("embedded", prefix=prefix)


def test_a_mapping_wins_over_the_default_prefix() -> None:
    assert Settings.of({"url": "embedded", "prefix": "x:"}, prefix="y:").prefix == "x:"
    assert Settings.of("embedded", prefix="y:").prefix == "y:"


def test_a_controller_is_one_incarnation() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        one = Controller.of_process(process.pid)
        assert one == Controller.of_process(process.pid)
        assert one.alive()
        assert one.id != Controller.of_process(os.getpid()).id
        assert not process_alive(process.pid, "0")
        process.kill()
        # A zombie does not run, although its process id is still taken.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not one.alive()
    finally:
        process.communicate()
    assert not one.alive()


@pytest.mark.parametrize(
    "milliseconds, said",
    [
        (None, "without an expiry"), (-1, "without an expiry"), (0, "0.0 s"), (1500, "1.5 s"), (12_000, "12 s"),
        (65_000, "1 min 5 s"), (59_999, "1 min 0 s"),
    ],
)  # fmt: skip
def test_durations_as_people_say_them(milliseconds: float | None, said: str) -> None:
    assert duration(milliseconds) == said


def test_holders_as_people_name_them() -> None:
    said = holders_sentence(
        [{"owner": "a", "reason": "r", "left_ms": 2000}, {"owner": "b", "state": "foreign", "left_ms": -1}]
    )
    assert said == "a (r), 2.0 s left unless renewed; b, set by another client, without an expiry"


def test_none_is_left_out_at_every_depth() -> None:
    assert without_none({"a": None, "b": [{"c": None, "d": 0}], "e": False}) == {"b": [{"d": 0}], "e": False}


def test_run_ids_sort_by_time_and_differ() -> None:
    early = new_run_id(datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc))
    late = new_run_id(datetime.datetime(2026, 1, 1, 0, 0, 1, tzinfo=datetime.timezone.utc))
    assert early < late and early.startswith("20260101T000000Z-")
    assert len({new_run_id() for _number in range(50)}) == 50


def test_server_times() -> None:
    assert iso(None) is None and iso("") is None
    assert iso("1795251087616116") == "2026-11-21T08:51:27.616116Z"


def test_the_chain_depends_on_order_and_content() -> None:
    assert chain([]) == ""
    assert chain([{"a": 1, "b": 2}]) == chain([{"b": 2, "a": 1}])
    assert chain([{"a": 1}, {"b": 2}]) != chain([{"b": 2}, {"a": 1}])


def test_accounts_as_numbers() -> None:
    view = budget_view({"used": "5", "limit:w": "10", "used:w": "5", "requests": "2"}, "100", "7", "25")
    assert view["accounts"] == {"w": {"limit": 10, "used": 5, "held": 0}}
    assert (view["limit"], view["used"], view["reserve_left"], view["metered_requests"]) == (100, 5, 18, 2)


def _plan(count: int) -> dict[str, Any]:
    def task(number: int) -> dict[str, Any]:
        return {
            "id": f"t{number}", "larry": "l", "index": number, "capability": f"c{number % 3}", "worker": None,
            "depends_on": [f"t{number - 1}"] if number else [], "after": ["t0"] if number > 1 else [], "touches": [],
            "metered": False, "planned_s": 0.4, "deadline_s": 10, "attempts": 1, "backoff_s": 2,
        }  # fmt: skip

    return {
        "time_scale": 20.0,
        "larrys": {
            "l": {
                "id": "l", "domain": "d", "node": "n", "phase_s": 100, "checkpoints": [{"at_s": 10, "progress": 5}],
                "masters": {"m": {"tokens": 30, "pool": 15}}, "tokens": 50, "workers": ["w"],
            }
        },
        "workers": {"w": {"id": "w", "larry": "l", "node": "n", "tokens": 5, "capabilities": ["x", "c0"]}},
        "tasks": {f"t{number}": task(number) for number in range(count)},
    }  # fmt: skip


def test_a_plan_is_loaded_in_steps_that_lose_nothing() -> None:
    steps = list(load_steps(_plan(450)))
    tasks = [task for step in steps for task in step.get("tasks", [])]
    assert max(len(step.get("tasks", [])) for step in steps) <= 200
    assert [task["id"] for task in tasks] == [f"t{number}" for number in range(450)]
    by_id = {task["id"]: task for task in tasks}
    waiting = dict.fromkeys(by_id, 0)
    for task in tasks:
        for entry in task["dependents"]:
            kind, _colon, child = entry.partition(":")
            waiting[child] += 1
            listed = json.loads(by_id[child]["depends_on" if kind == "h" else "after"])
            assert task["id"] in listed
    assert {name: task["waiting"] for name, task in by_id.items()} == waiting


def test_planned_time_becomes_real_time() -> None:
    first = next(iter(load_steps(_plan(1))))["larrys"][0]
    task = list(load_steps(_plan(1)))[-1]["tasks"][0]
    assert first["phase_us"] == 5_000_000 and first["planned_us"] == 4_500_000
    assert json.loads(first["checkpoints"]) == [{"at_s": 10, "at_us": 500_000, "progress": 5}]
    assert task["deadline_us"] == 500_000
    assert task["backoff_us"] == 2_000_000  # real seconds
    assert task["weight"] == 1  # even the shortest counts
    assert first["accounts"] == {"w": 5, "m": 45}


def test_capabilities_of_tasks_and_workers() -> None:
    assert capabilities(_plan(2)) == ["c0", "c1", "x"]
