# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stdout callback console: quiet about what goes well while the run is shown, complete about what fails."""

from __future__ import annotations

import io
import queue
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest
from ansible import context
from ansible.playbook.play import Play
from ansible.plugins.loader import callback_loader
from ansible.utils.context_objects import CLIArgs
from ansible.utils.display import Display

from ansible_collections.cortex.larry.plugins.callback import console
from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import ServerUnavailable
from ansible_collections.cortex.larry.plugins.module_utils._coordination.settings import Settings

SETTINGS = Settings("unix:///nowhere")


@pytest.fixture
def callback() -> Any:
    """The callback with the default callback's options and its own."""
    default = callback_loader.get("default")
    default.set_options()
    made = console.CallbackModule()
    made._plugin_options = {**default._plugin_options, "view": "auto"}
    made._play = Play()
    made._play.strategy = "free"
    return made


@pytest.fixture
def quiet(callback) -> Any:
    """The callback while it shows a run."""
    callback._follower = SimpleNamespace(is_showing=True, finish=lambda: None)
    return callback


@pytest.fixture(autouse=True)
def _command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default callback looks at the arguments of ansible-playbook."""
    monkeypatch.setattr(context, "CLIARGS", CLIArgs({"check": False, "args": (), "verbosity": 0}))


def replay(callback: Any, recording: list[dict[str, Any]], make: Any) -> None:
    for recorded in recording:
        getattr(callback, recorded["event"])(make(recorded))


def test_what_goes_well_is_not_told_twice(quiet, recording, as_installed, shown) -> None:
    good = [one for one in recording if one["event"] in ("v2_runner_on_ok", "v2_runner_on_skipped")]
    replay(quiet, good, as_installed)
    assert shown == []


def test_failures_and_unreachable_hosts_are_shown_in_full(quiet, recording, as_installed, shown) -> None:
    replay(quiet, recording, as_installed)
    text = "\n".join(shown)
    assert text.count("FAILED! =>") == 2
    assert "It failed on purpose." in text and "TASK [Fail]" in text
    assert "completed already" in text and "TASK [Settle again, which is refused]" in text
    assert "UNREACHABLE! =>" in text and "nobody-01" in text
    assert "hello" not in text


def test_without_a_run_it_is_the_default_callback(callback, recording, as_installed, shown) -> None:
    replay(callback, recording, as_installed)
    text = "\n".join(shown)
    assert "changed: [solo]" in text and "hello" in text and "skipping: [solo]" in text and "FAILED! =>" in text


@pytest.mark.parametrize(("view", "verbosity"), [("none", 0), ("auto", 1)])
def test_nothing_is_followed_unless_wanted(callback, monkeypatch, view, verbosity) -> None:
    monkeypatch.setattr(callback._display, "verbosity", verbosity)
    callback._plugin_options["view"] = view
    callback.v2_playbook_on_start(SimpleNamespace(_file_name="site.yml"))
    assert callback._follower is None


def test_a_result_that_names_no_run_is_not_followed(callback, recording, as_installed, shown) -> None:
    callback._follower = SimpleNamespace(is_showing=False, aim=lambda *_: pytest.fail("aimed"))
    recorded = {**recording[0], "result": {"changed": False, "run": None}}
    callback.v2_runner_on_ok(as_installed(recorded))


class Log:
    """Stands for the event service: hands out what a test puts in."""

    def __init__(self) -> None:
        self.entries: queue.Queue[Any] = queue.Queue()
        self.given: list[str] = []

    def follow(self, since: str, timeout_s: float) -> Any:
        while True:
            try:
                entry = self.entries.get(timeout=timeout_s)
            except queue.Empty:
                return
            if isinstance(entry, Exception):
                raise entry
            self.given.append(since)
            yield entry


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    made = Log()
    monkeypatch.setattr(console, "EventService", lambda _session: made)
    return made


def event(number: int, **fields: Any) -> dict[str, Any]:
    return {"id": str(number), "run": "r1", "from": "x", "timestamp": "2026-11-21T08:00:00Z", **fields}


def follower(wants_table: bool = False) -> console.Follower:
    made = console.Follower(Display(), wants_table)
    made.start()
    made.aim(SETTINGS, "r1", None)
    return made


def wait_until(true: Any, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def test_events_become_lines_and_the_last_ones_come_before_the_end(log, shown) -> None:
    log.entries.put(event(1, event="phase_started", larry="larry-01"))
    made = follower()
    wait_until(lambda: shown)
    log.entries.put(event(2, event="task_skipped", larry="larry-01", task_id="a", cause="b"))
    made.finish()
    assert shown == ["08:00:00  larry-01      phase started", "08:00:00  larry-01      a skipped: b"]
    assert not made.is_alive() and not made.is_showing


def test_another_run_ends_the_view(log, shown) -> None:
    log.entries.put({**event(1, event="phase_started", larry="larry-01"), "run": "r2"})
    made = follower()
    made.join(5)
    assert not made.is_alive()
    assert shown == []
    made.finish()
    assert not made.is_showing


def test_a_server_that_does_not_answer_gives_the_output_back_to_the_default_callback(log, shown) -> None:
    log.entries.put(ServerUnavailable("The server does not answer."))
    made = follower()
    made.join(5)
    assert shown == ["The live view ended: The server does not answer."]
    assert not made.is_showing


def test_the_end_waits_for_a_moment_at_most(log, shown, monkeypatch) -> None:
    stuck = threading.Event()
    monkeypatch.setattr(log, "follow", lambda *_a, **_k: stuck.wait(30) and [])
    made = follower()
    began = time.monotonic()
    made.finish()
    assert time.monotonic() - began < 2 * console._LAST_EVENTS_WITHIN_S
    stuck.set()


def test_the_end_of_a_playbook_that_joined_nothing_waits_for_nothing() -> None:
    made = console.Follower(Display(), False)
    made.start()
    began = time.monotonic()
    made.finish()
    assert time.monotonic() - began < 0.5


def test_the_summary_names_who_failed(quiet, shown) -> None:
    quiet._report = "coordination/reports/S.md"
    summary = {"ok": 2, "changed": 1, "unreachable": 0, "failures": 1, "skipped": 0, "rescued": 0, "ignored": 0}
    stats = SimpleNamespace(processed={"a": 1, "b": 1}, failures={"b": 1}, dark={}, summarize=lambda _host: summary)
    quiet.v2_playbook_on_stats(stats)
    assert shown == [
        "\n2 hosts of this controller: ok 4, changed 2, failures 2",
        "Failed or unreachable: b",
        "Report: coordination/reports/S.md",
    ]


class Terminal(io.StringIO):
    """A terminal that remembers what was written."""

    def isatty(self) -> bool:
        return True


def test_messages_come_above_the_table_and_the_display_is_given_back(log, monkeypatch) -> None:
    pytest.importorskip("rich")
    terminal = Terminal()
    monkeypatch.setattr("sys.__stdout__", terminal)
    monkeypatch.setenv("TERM", "xterm")
    display = Display()
    log.entries.put(event(1, event="phase_started", larry="larry-01"))
    made = follower(wants_table=True)
    wait_until(lambda: "in_progress" in terminal.getvalue())
    display.display("fatal: [host]: FAILED! => something", color="red")
    wait_until(lambda: "FAILED!" in terminal.getvalue())
    made.finish()
    assert "display" not in vars(display)
    text = terminal.getvalue()
    assert text.rindex("larry-01") > text.index("FAILED!"), "the table is drawn again below the message"
    assert text.rindex("\x1b[?25h") > text.rfind("\x1b[?25l"), "the cursor stays visible"
