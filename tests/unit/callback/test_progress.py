# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The callback progress on recorded results of ansible-core 2.17 to 2.21, and its last words in a process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cortex.larry.plugins.callback import progress

COLLECTIONS = Path(__file__).resolve().parents[3] / "playbooks" / "collections"


@pytest.fixture
def callback() -> progress.CallbackModule:
    return progress.CallbackModule()


def replay(callback: Any, recording: list[dict[str, Any]], make: Any) -> None:
    for recorded in recording:
        if recorded["event"] in vars(type(callback)):  # what its base class does with the others is none of ours
            getattr(callback, recorded["event"])(make(recorded))


def test_what_was_recorded_covers_every_kind_of_result() -> None:
    found = {path.stem for path in (Path(__file__).parent / "recordings").glob("core-*.json")}
    assert {"core-2.17", "core-2.18", "core-2.19", "core-2.21"} <= found


def seen_by_callbacks(content: dict[str, Any]) -> dict[str, Any]:
    """A result without what only some versions of ansible-core put in, and what the recorder leaves out."""
    dropped = {"failed", "exception"}
    kept = {name: value for name, value in content.items() if name not in dropped and not name.startswith("_ansible_")}
    if "results" in kept:
        kept["results"] = [seen_by_callbacks(element) for element in kept["results"]]
    return kept


def test_the_results_of_the_installed_core_hold_what_was_recorded(recording, as_installed) -> None:
    for recorded in recording:
        made = as_installed(recorded)
        assert seen_by_callbacks(dict(made._result)) == seen_by_callbacks(recorded["result"])
        assert made._host.get_name() == recorded["host"] and made._task.resolved_action == recorded["resolved_action"]
        assert made.is_unreachable() == (recorded["event"] == "v2_runner_on_unreachable")
        assert made.is_changed() == recorded["result"]["changed"]


def test_a_line_for_each_change_and_none_for_anything_else(callback, recording, as_recorded, shown) -> None:
    replay(callback, recording, as_recorded)
    assert [re.sub(r"run \S+", "run X", line) for line in shown] == [
        "[larry] solo created the run X",
        "[larry] solo phase in_progress, 0 %, 0 of 1 tasks settled",
        "[larry] solo took the place of solo-digger",
        "[larry] solo claimed catalog-deployments",
        "[larry] solo settled catalog-deployments: completed",
        "[larry] solo is no longer the holder of its task",
        "[larry] solo phase completed, 100 %, 1 of 1 tasks settled",
        "[larry] solo gave up the place of solo-digger",
        "[larry] solo holds the lock recorded",
        "[larry] solo released the lock recorded",
        "[larry] solo holds the lock first",
        "[larry] solo holds the lock second",
        "[larry] solo passed the barrier, generation 1",
    ]


def test_the_results_of_the_installed_core_say_the_same(callback, recording, as_installed, as_recorded, shown) -> None:
    replay(callback, recording, as_installed)
    installed = list(shown)
    shown.clear()
    replay(progress.CallbackModule(), recording, as_recorded)
    assert installed == shown != []


def test_what_is_held_in_the_middle_and_at_the_end(callback, recording, as_recorded, shown) -> None:
    claimed = next(place for place, one in enumerate(recording) if one["result"].get("claimed"))
    replay(callback, recording[: claimed + 1], as_recorded)
    assert callback._sentence() == (
        "[larry] This controller ends and gives up: lead of solo; 1 places of workers; task catalog-deployments"
    )
    replay(callback, recording[claimed + 1 :], as_recorded)
    assert callback._sentence() == "[larry] This controller ends and gives up: lead of solo; lock first, second"
    callback.v2_playbook_on_stats(None)
    assert callback._sentence() == "[larry] This controller ends and gives up: lock first, second"


def test_a_simulated_claim_holds_nothing(callback) -> None:
    told = callback._holdings.take_in("task", "h", {"claimed": True, "task": "a", "fence": "0", "simulated": True})
    assert told == "claimed a"
    assert callback._sentence() == ""


def test_a_second_attempt_and_a_requeued_task(callback) -> None:
    holdings = callback._holdings
    assert holdings.take_in("task", "h", {"claimed": True, "task": "a", "attempt": 2}) == "claimed a (attempt 2)"
    assert holdings.take_in("task", "h", {"task": "a", "state": "requeued"}) == "settled a: requeued"
    assert holdings.held == {}


def test_a_standby_says_so(callback) -> None:
    result = {"worker": "w", "registered": False, "standby": True}
    assert callback._holdings.take_in("worker", "h", result) == "stands by for the place of w"
    assert callback._holdings.take_in("worker", "w", result) == "stands by for its place"


def test_hostile_names_cannot_move_the_cursor(callback, recording, as_recorded, shown) -> None:
    recorded = next(one for one in recording if one["result"].get("claimed"))
    recorded = {**recorded, "result": {**recorded["result"], "task": "a\x1b[2Jb\nc"}}
    callback.v2_runner_on_ok(as_recorded(recorded))
    assert shown == ["[larry] solo claimed ab c"]


@pytest.mark.parametrize("result", [None, object(), {}])
def test_nothing_raises_whatever_comes(callback, result) -> None:
    callback.v2_runner_on_ok(result)
    callback.v2_runner_on_failed(result, ignore_errors=True)


@pytest.mark.parametrize("content", [{}, {"task": None}, {"results": [None, 1]}, {"counts": 3, "led": True}])
@pytest.mark.parametrize("module", ["task", "lock", "phase", "worker", "barrier", "run", "unknown"])
def test_odd_results_are_no_accident(callback, as_recorded, module, content) -> None:
    recorded = {
        "host": "h",
        "action": f"cortex.larry.{module}",
        "resolved_action": f"cortex.larry.{module}",
        "has_loop": False,
        "fields": ["host", "task", "result"],
        "result": content,
    }
    callback.v2_runner_on_ok(as_recorded(recorded))


def test_it_is_silent_beside_the_console(callback, recording, as_recorded, shown, monkeypatch) -> None:
    monkeypatch.setattr(progress.C, "DEFAULT_STDOUT_CALLBACK", "cortex.larry.console")
    replay(callback, recording, as_recorded)
    assert shown == []
    assert callback._sentence()


PROGRAM = """
import os, signal, sys, time
from ansible_collections.cortex.larry.plugins.callback.progress import CallbackModule
if sys.argv[1] == "chained":
    signal.signal(signal.SIGTERM, lambda *_: (print("previous handler", flush=True), os._exit(7)))
callback = CallbackModule()
callback.v2_playbook_on_start(None)
callback._holdings.take_in("lock", "host", {"name": "a", "fence": "1", "changed": True})
child = os.fork()
if child == 0:
    signal.pause()
print("ready", child, flush=True)
try:
    time.sleep(20)
except KeyboardInterrupt:
    sys.exit(99)
"""


@pytest.mark.parametrize(
    ("how", "number", "code"),
    [("alone", signal.SIGINT, 99), ("alone", signal.SIGTERM, -15), ("chained", signal.SIGTERM, 7)],
)
def test_the_last_words_of_a_process(how: str, number: int, code: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, how],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(COLLECTIONS)},
    )
    assert process.stdout is not None
    child = int(process.stdout.readline().split()[1])
    try:
        time.sleep(0.1)
        process.send_signal(number)
        os.kill(child, signal.SIGTERM)  # a fork of the controller has nothing to say
        output, _none = process.communicate(timeout=10)
    finally:
        process.kill()
    assert process.returncode == code
    assert output.count("[larry] This controller ends and gives up: lock a") == 1
    assert ("previous handler" in output) == (how == "chained")
