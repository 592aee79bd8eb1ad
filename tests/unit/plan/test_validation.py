# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules that need more than one broken plan to show, and plans made by chance."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.cortex.larry.plugins.module_utils._plan import PlanError, load_plan, validation
from ansible_collections.cortex.larry.plugins.module_utils._plan.document import read_document
from ansible_collections.cortex.larry.plugins.module_utils._plan.schema import SCHEMA

Problems = Callable[[str], list[tuple[int, str]]]


def test_the_schema_is_one() -> None:
    from jsonschema import Draft202012Validator

    Draft202012Validator.check_schema(SCHEMA)


def test_everything_wrong_is_told_at_once(problems: Problems, small: str) -> None:
    text = small.replace("window: 20m", "window: soon").replace("127.0.0.1}", "127.0.0.1, rle: x}")
    told = problems(text.replace("[one]}", "[noe]}").replace("source: gitops", "source: git"))
    assert told == [
        (4, "run.window wants a duration such as 25m, 90s or 1h30m, or a number of minutes, not 'soon'."),
        (6, "Unknown key 'rle' in nodes.node-01. Did you mean 'role'?"),
        (17, "tasks.two.depends_on[1]: there is no task 'noe'. Did you mean 'one'?"),
        (18, "estate.source wants one of gitops, kubernetes, not 'git'."),
    ]


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch, problems: Problems, small: str) -> None:
    monkeypatch.setattr(validation, "jsonschema", None)
    monkeypatch.setattr(validation, "jmespath", None)
    measure = 'criteria:\n  some: {title: x, op: "==", threshold: 1, measure: run.log_complete}\n'
    told = problems(small + measure)
    assert [line for line, _sentence in told] == [1, 20]
    assert "pip install jsonschema" in told[0][1] and "pip install jmespath" in told[1][1]


@pytest.mark.parametrize(
    "url",
    [
        "redis://h:1/0",
        "redis://[::1]:6379",
        "rediss://user@h",
        "unix:///run/valkey.sock",
        "redis://redis-cluster.redis-ha.svc.cluster.local:6379",
    ],
)
def test_redis_urls(url: str) -> None:
    assert validation._redis_url_problem(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "h:6379", "redis://", "redis:h", "http://h", "redis://h:0", "redis://h:x", "redis://h/db", "redis://h?a=b", "unix://h/x",
        "unix:x", "redis://h h", "redis://u:hunter2@h", "redis://h?password=hunter2", "redis://[::1", "embeded",
    ],
)  # fmt: skip
def test_bad_redis_urls(problems: Problems, small: str, url: str) -> None:
    [(line, sentence)] = problems(small.replace("window: 20m", f"window: 20m\n  redis: {json.dumps(url)}"))
    assert line == 5 and "run.redis" in sentence and "hunter2" not in sentence


def test_a_cycle_over_ten_thousand_tasks_is_short_to_read(tmp_path: Path, small: str) -> None:
    count = 10_000
    tasks = "".join(
        f"  task-{n}: {{larry: larry-01, capability: one, depends_on: [task-{(n + 1) % count}]}}\n"
        for n in range(count)
    )
    file = tmp_path / "big.larry.yml"
    file.write_text(small.replace("  one: {", tasks + "  one: {"))
    started = time.monotonic()
    with pytest.raises(PlanError) as caught:
        load_plan(file)
    assert time.monotonic() - started < 60
    [problem] = caught.value.problems
    assert "(9988 more)" in problem.sentence and len(problem.sentence) < 1000


# --- by chance ---------------------------------------------------------------------------------------------------


def has_cycle(count: int, edges: list[tuple[int, int]]) -> bool:
    """Take away what waits for nothing until all that is left waits (Kahn): another route than ours."""
    left = set(range(count))
    while free := {task for task in left if not any(a == task and b in left for a, b in edges)}:
        left -= free
    return bool(left)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_cycle_is_told_if_and_only_if_there_is_one(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, 8))
    index = st.integers(0, count - 1)
    edges = data.draw(st.lists(st.tuples(index, index), unique=True, max_size=14))
    soft = data.draw(st.lists(st.booleans(), min_size=len(edges), max_size=len(edges)))
    plan: dict[str, Any] = {"tasks": {f"t-{n}": {"depends_on": [], "after": []} for n in range(count)}}
    for (task, other), is_soft in zip(edges, soft, strict=True):
        plan["tasks"][f"t-{task}"]["after" if is_soft else "depends_on"].append(f"t-{other}")
    file = tmp_path_factory.getbasetemp() / "edges.larry.yml"
    file.write_text(yaml.safe_dump(plan))
    document = read_document(file)
    validation._Meaning(document).check_cycles()
    assert bool(document.problems) == has_cycle(count, edges)
    for problem in document.problems:
        named = [(part.split("'")[1], part.split("'")[3]) for part in problem.sentence.split(": ", 2)[2].split(", ")]
        steps = [(int(a[2:]), int(b[2:])) for a, b in named]
        assert set(steps) <= set(edges), "a step that the plan does not have"
        assert [b for _a, b in steps] == [a for a, _b in steps[1:] + steps[:1]], "not a closed chain"


ODD = st.sampled_from(
    [None, True, 0, -1, 1.5, "", "x", "é\n", [], [1], [[]], {}, {"a": None}, [None, {}], "9" * 99, "unix://"]
)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_value_anywhere_is_taken_or_told(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Put odd values at places of a sound plan: it loads or is refused with sentences; nothing else is raised."""
    plan = copy.deepcopy(SOUND)
    for _round in range(data.draw(st.integers(1, 3))):
        places = list(_places(plan))
        if not places:
            break
        container, key = data.draw(st.sampled_from(places))
        container[key] = copy.deepcopy(data.draw(ODD))
    file = tmp_path_factory.mktemp("odd") / "odd.larry.yml"
    file.write_text(yaml.safe_dump(plan, allow_unicode=True))
    try:
        json.dumps(load_plan(file).canonical(), allow_nan=False)
    except PlanError as error:
        assert error.problems
        lines = file.read_text().count("\n") + 1
        assert all(1 <= problem.line <= lines and problem.sentence.isprintable() for problem in error.problems)


SOUND: dict[str, Any] = read_document(
    Path(__file__).resolve().parents[3] / "tests" / "plans" / "seven-larrys.larry.yml"
).data


def _places(value: Any) -> Any:
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])
