# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan becomes: defaults, identity, cache."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.cortex.larry.plugins.module_utils._plan import Plan, PlanError, Problem, load_plan

Load = Callable[[str], Plan]


def test_defaults(load: Load, small: str) -> None:
    plan = load(small)
    assert plan.canonical() == {
        "name": "small",
        "title": "SMALL",
        "cluster": "small",
        "window_s": 1200,
        "time_scale": 1.0,
        "controllers": 1,
        "fail_on": "failed",
        "cleanup": "on_request",
        "nodes": {"node-01": {"name": "node-01", "address": "127.0.0.1", "role": "worker"}},
        "larrys": {
            "larry-01": {
                "id": "larry-01",
                "domain": "development",
                "node": "node-01",
                "phase_s": 900,
                "checkpoints": [],
                "masters": {},
                "tokens": 400,
                "workers": ["larry-01-worker-a", "larry-01-worker-b"],
            }
        },
        "workers": {
            "larry-01-worker-a": {
                "id": "larry-01-worker-a",
                "name": "worker-a",
                "larry": "larry-01",
                "node": "node-01",
                "tokens": 100,
                "duration_s": 600,
                "capabilities": ["one"],
                "parameters": {},
            },
            "larry-01-worker-b": {
                "id": "larry-01-worker-b",
                "name": "worker-b",
                "larry": "larry-01",
                "node": "node-01",
                "tokens": 300,
                "duration_s": 720,
                "capabilities": ["one", "two"],
                "parameters": {},
            },
        },
        "tasks": {
            "one": {
                "id": "one",
                "larry": "larry-01",
                "index": 0,
                "capability": "one",
                "role": "cortex.larry.development",
                "entry_point": "one",
                "worker": "larry-01-worker-a",
                "depends_on": [],
                "after": [],
                "touches": [],
                "parameters": {},
                "metered": False,
                "planned_s": 600,
                "deadline_s": 1200,
                "attempts": 3,
                "backoff_s": 2,
                "tokens": 100,
            },
            "two": {
                "id": "two",
                "larry": "larry-01",
                "index": 1,
                "capability": "two",
                "role": "cortex.larry.development",
                "entry_point": "two",
                "worker": None,
                "depends_on": ["one"],
                "after": [],
                "touches": [],
                "parameters": {},
                "metered": False,
                "planned_s": 720,
                "deadline_s": 1440,
                "attempts": 3,
                "backoff_s": 2,
                "tokens": 300,
            },
        },
        "milestones": [],
        "convergence_s": 900,
        "budgets": {"meta_coordinator": 0, "emergency": 0, "total": 400, "total_without_pools": 400},
        "barrier": {"policy": "fail", "timeout_s": 600, "join_within_s": 300},
        "criteria": [],
        "estate": {"source": "gitops"},
    }
    assert json.loads(json.dumps(plan.canonical())) == plan.canonical(), "JSON types alone"
    assert plan.estate_path == plan.directory / "estate"
    assert plan.connection == "embedded" and plan.prefix == "" and plan.run_directory == "coordination"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: small\n", "# a comment\nname:   'small'\n"),
        ("window: 20m", "window: 1200s"),
        ("window: 20m", "window: 20"),
        ("window: 20m", "window: 20m\n  redis: redis://elsewhere:6380/3"),
        (
            "window: 20m",
            "window: 20m\n  redis: {url: 'rediss://elsewhere:6380', username: larry, password_env: SECRET}",
        ),
        ("window: 20m", "window: 20m\n  prefix: 'mine:'"),
        ("window: 20m", "window: 20m\n  directory: /somewhere/else"),
        ("window: 20m", "window: 20m\n  connection: local"),
        ("window: 20m", "window: 20m\n  time_scale: 1"),
        ("path: estate", "path: ../other"),
        ("worker: worker-a", "worker: larry-01-worker-a"),
        ("{larry: larry-01, worker: worker-a}", "\n    worker: worker-a\n    larry: larry-01"),
        ("depends_on: [one]", "depends_on: [one], attempts: 3, backoff: 2s, deadline: 24m, wait_for_completion: yes"),
    ],
)
def test_digest_stays(load: Load, small: str, old: str, new: str) -> None:
    assert old in small
    assert load(small.replace(old, new)).digest("1.0.0") == load(small).digest("1.0.0")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("window: 20m", "window: 21m"),
        ("window: 20m", "window: 20m\n  time_scale: 2"),
        ("127.0.0.1", "127.0.0.2"),
        ("tokens: 100", "tokens: 101"),
        ("depends_on: [one]", "after: [one]"),
        ("depends_on: [one]", "depends_on: [one], parameters: {a: 1}"),
        ("source: gitops, path: estate", "source: kubernetes"),
    ],
)
def test_digest_changes(load: Load, small: str, old: str, new: str) -> None:
    assert load(small.replace(old, new)).digest("1.0.0") != load(small).digest("1.0.0")


def test_digest_of_another_version(load: Load, small: str) -> None:
    assert load(small).digest("1.0.0") != load(small).digest("1.0.1")


def test_wait_for_completion_false_makes_dependencies_soft(load: Load, small: str) -> None:
    plan = load(small.replace("depends_on: [one]", "depends_on: [one], wait_for_completion: false"))
    assert (plan.tasks["two"]["depends_on"], plan.tasks["two"]["after"]) == ([], ["one"])


def test_roles_of_capabilities(load: Load, small: str) -> None:
    text = small.replace("domain: development", "domain: site-care").replace(
        "worker: worker-a}", "worker: worker-a, role: mine}"
    )
    plan = load(text + "capabilities:\n  one: {role: theirs, entry_point: begin}\n")
    assert (plan.tasks["one"]["role"], plan.tasks["one"]["entry_point"]) == ("mine", "begin")
    assert (plan.tasks["two"]["role"], plan.tasks["two"]["entry_point"]) == ("cortex.larry.site_care", "two")


def test_parameters_of_the_worker_are_the_tasks(load: Load, small: str) -> None:
    text = small.replace("duration: 10m}", "duration: 10m, parameters: {a: 1, b: 1}}")
    plan = load(text.replace("worker: worker-a}", "worker: worker-a, parameters: {b: 2}}"))
    assert plan.tasks["one"]["parameters"] == {"a": 1, "b": 2}


def test_an_unchanged_file_is_not_read_again(tmp_path: Path, small: str) -> None:
    file = tmp_path / "some.larry.yml"
    file.write_text(small)
    first = load_plan(file)
    assert load_plan(str(file)) is first
    file.write_text(small.replace("name: small", "name: other"))
    assert load_plan(file).name == "other"
    file.write_text("plugin: no")
    with pytest.raises(PlanError):
        load_plan(file)


def test_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: str) -> None:
    (tmp_path / "some.larry.yml").write_text(small)
    monkeypatch.chdir(tmp_path)
    plan = load_plan("some.larry.yml")
    assert plan.path == tmp_path / "some.larry.yml" and plan.directory == Path(os.getcwd())


def test_errors_travel_between_processes() -> None:
    error = PlanError([Problem("b.yml", 3, "Third."), Problem("b.yml", 1, "First.")])
    assert str(error) == "b.yml:1: First.\nb.yml:3: Third."
    assert pickle.loads(pickle.dumps(error)).problems == error.problems
