# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Task results as ansible-core hands them to callbacks, from recordings of real playbooks (recordings/record.sh)."""

from __future__ import annotations

import copy
import inspect
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.playbook.task import Task
from ansible.utils.display import Display

RECORDINGS = Path(__file__).parent / "recordings"


class RecordedTask:
    """What the callbacks look at of a task."""

    def __init__(self, recorded: dict[str, Any]) -> None:
        self.action = recorded["action"]
        self.resolved_action = recorded["resolved_action"]
        self.loop = ["an element"] if recorded["has_loop"] else None


class RecordedResult:
    """A result with exactly the fields that the recorded ansible-core gives it."""

    def __init__(self, recorded: dict[str, Any]) -> None:
        about = {
            "host": SimpleNamespace(get_name=lambda: recorded["host"]),
            "task": RecordedTask(recorded),
            "result": recorded["result"],
            "task_fields": {},
        }
        for field in recorded["fields"]:
            setattr(self, field, about[field.lstrip("_")])


def recorded_results(path: Path) -> list[dict[str, Any]]:
    """The entries of a recording."""
    return json.loads(path.read_text(encoding="utf-8"))["results"]


@pytest.fixture(params=sorted(RECORDINGS.glob("core-*.json")), ids=lambda path: path.stem)
def recording(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """A recording of each ansible-core."""
    return recorded_results(request.param)


@pytest.fixture
def as_recorded() -> Any:
    """Return a function: a recorded entry as the result that a callback got."""
    return RecordedResult


@pytest.fixture
def as_installed() -> Any:
    """Return a function: a recorded entry as a result of the ansible-core that is installed."""
    from ansible.executor import task_result
    from ansible.inventory.host import Host

    # Since ansible-core 2.19 callbacks get a class of their own.
    kind = getattr(task_result, "CallbackTaskResult", None) or task_result.TaskResult
    takes_unified = "utr" in inspect.signature(kind).parameters

    def make(recorded: dict[str, Any]) -> Any:
        task = Task()
        task.name, task.action = recorded["name"], recorded["action"]
        # A property without a setter since ansible-core 2.19.
        resolved = "_resolved_action" if hasattr(task, "_resolved_action") else "resolved_action"
        setattr(task, resolved, recorded["resolved_action"])
        task.loop = ["an element"] if recorded["has_loop"] else None
        host, content = Host(recorded["host"]), copy.deepcopy(recorded["result"])
        if takes_unified:
            return kind(host, task, unified(content, recorded["event"]))
        return kind(host, task, content, {"args": {}, "name": recorded["name"]})

    return make


def unified(content: dict[str, Any], event: str | None = None) -> Any:
    """What ansible-core 2.21 makes callback results from, built as its executor does it.

    Callbacks see neither `failed` nor `skipped` in the dictionary; the event that was recorded knows.
    """
    from ansible._internal._task import UnifiedTaskResult

    elements = content.pop("results", None)
    loop_var = content.pop("ansible_loop_var", None)
    looped = {"loop_var": loop_var, "loop_item": content.pop(loop_var, None)} if loop_var else {}
    looped["loop_item_label"] = content.pop("_ansible_item_label", None)
    looped["skip_reason"] = content.pop("skip_reason", None)
    looped["false_condition"] = content.pop("false_condition", None)
    if event == "v2_runner_on_failed":
        content["failed"] = True
    made = UnifiedTaskResult.from_action_result_dict(content)
    if event == "v2_runner_on_skipped":
        made.skipped = True
    for name, value in looped.items():
        setattr(made, name, value)
    if elements is not None:
        made.loop_results = [unified(element) for element in elements]
    return made


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is displayed."""
    lines: list[str] = []

    def display(_self: Display, msg: str, *_args: Any, log_only: bool = False, **_kwargs: Any) -> None:
        if not log_only:
            lines.append(msg)

    monkeypatch.setattr(Display, "display", display)
    return lines
