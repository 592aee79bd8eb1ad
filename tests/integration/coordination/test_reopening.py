# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""larry_retry: failed tasks of an unfinished run, and what they blocked, are opened once more."""

from __future__ import annotations

from typing import Any

from ansible_collections.cortex.larry.plugins.module_utils._coordination.runs import RunService


def test_failed_tasks_and_what_they_blocked_are_opened_again(place: Any, crew: Any, plan_of: Any) -> None:
    plan = plan_of(
        {"larry-01": {"w1": ["cap"]}},
        [{"id": "a", "attempts": 1}, {"id": "b", "depends_on": ["a"]}, {"id": "c", "after": ["b"]}],
    )
    one = crew(plan).lead()
    one.do("w1", "failed", cause="once", retry=False)
    assert [place.get(f"task:status:{task}") for task in "abc"] == ["failed", "skipped", "pending"]

    assert sorted(RunService(one.session).reopen(plan)) == ["a", "b"]

    assert [place.get(f"task:status:{task}") for task in "abc"] == ["pending", "pending", "pending"]
    assert sorted(one.do("w1") for _task in "abc") == ["a", "b", "c"]
    assert [place.get(f"task:status:{task}") for task in "abc"] == ["completed"] * 3
    assert place.get("phase:larry-01:progress") == "100"
    assert [entry["task_id"] for entry in place.log("task_reopened")] == sorted(["a", "b"])
    assert RunService(one.session).reopen(plan) == []
