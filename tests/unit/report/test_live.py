# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The live view: plain lines and a small table from events, whatever they hold."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import pytest

from ansible_collections.cortex.larry.plugins.module_utils import _report as report

HOSTILE = "\x1b[2J\x1b]0;owned\x07\r\n\u202e<b>" + "x" * 5000


def feed(view, record, until=None):
    lines = []
    for event in record["events"]:
        if until is None or event["at"] <= until:
            view.apply(event)
            lines += view.lines_for(event)
    return lines


def test_lines_say_when_who_and_what(fixture):
    record = fixture.record()
    lines = feed(report.LiveView(record["plan"]), record)
    assert "07:40:00  run           run created: plan 3-larrys, 6 tasks" in lines
    assert "07:40:00  larry-01      phase started" in lines
    assert "07:40:00  larry-01      first-01 claimed by larry-01-scan-worker" in lines
    assert "07:40:10  larry-01      first-01 completed in 9.50 s" in lines
    assert "07:40:20  larry-01      phase completed: 2 completed, 0 failed, 0 skipped" in lines
    assert not any("ready" in line for line in lines)


@pytest.mark.parametrize("with_plan", [True, False])
def test_the_table_counts_what_is_settled_and_shows_what_runs(fixture, with_plan):
    record = fixture.record()
    view = report.LiveView(record["plan"] if with_plan else None)
    feed(view, record, until=15)
    table = view.table(120, fixture.at(15))
    total = "2" if with_plan else r"\?"
    assert re.search(rf"larry-01 +in_progress .* 1/{total} +scan-worker:second-01", table)
    assert re.search(rf"larry-02 +in_progress .* 0/{total} +scan-worker:first-02", table)
    feed(view, record)
    assert table != view.table(120)
    assert re.search(rf"larry-03 +completed .* 100 % .* 2/{total} +-", view.table(120))


def test_an_event_counts_once(fixture):
    record = fixture.record()
    view = report.LiveView(record["plan"])
    fixture.add(record, 5, "task_conflict", task_id="first-01", larry="larry-01", owner="someone")
    feed(view, record)
    before = view.table(100)
    assert [view.apply(event) for event in record["events"]] == [False] * len(record["events"])
    assert view.table(100) == before
    assert before.count("CONFLICT") == 1


def test_expected_progress_follows_the_checkpoints(fixture):
    plan = fixture.plan(1)
    view = report.LiveView(plan)
    assert view.expected("larry-01", 0) is None
    view.apply({"id": "1", "event": "phase_started", "larry": "larry-01", "timestamp": fixture.at(0)})
    begin = view.started
    # 60 planned seconds a second: the checkpoint (600 s, 40 %) is at 10 s, the end (1800 s) at 30 s.
    for seconds, percent in ((0, 0), (5, 20), (10, 40), (20, 70), (30, 100), (99, 100)):
        assert view.expected("larry-01", begin + seconds) == pytest.approx(percent)


def test_now_may_be_given_in_any_form(fixture):
    record = fixture.record()
    view = report.LiveView(record["plan"])
    feed(view, record, until=5)
    moment = datetime(2026, 11, 21, 7, 40, 5, tzinfo=timezone.utc)
    assert view.table(80, moment) == view.table(80, fixture.at(5)) == view.table(80, moment.timestamp())
    assert view.table(80, moment + timedelta(seconds=5)) != view.table(80, moment)


def test_progress_is_told_at_quarters_and_never_beyond_its_range(fixture):
    view = report.LiveView(fixture.plan(1))
    told = []
    for progress in (0, 10, "26", 30, 55, 1e9, "x", None, True, [1]):
        event = {"event": "progress_update", "larry": "larry-01", "progress": progress, "timestamp": fixture.at(1)}
        view.apply(event)
        told += view.lines_for(event)
    assert [line.split("  ")[-1].strip() for line in told] == [
        "progress 26 %",
        "progress 55 %",
        "progress 1000000000 %",
    ]
    assert view.progress("larry-01") == 100


@pytest.mark.parametrize("width", [1, 40, 63, 64, 80, 100, 200])
@pytest.mark.parametrize("count", [1, 3, 7, 60])
def test_the_table_fits_width_and_height(fixture, width, count):
    record = fixture.record(count)
    view = report.LiveView(record["plan"])
    for number in range(30):
        fixture.add(record, 5 + number / 10, "worker_failure", worker="w", larry="larry-01", cause="x" * 300)
    feed(view, record, until=15)
    for height in (4, 10, 24):
        lines = view.table(width, height=height).split("\n")
        assert len(lines) <= height
        assert max(map(len, lines)) <= max(40, width)
    assert view.table(width).isascii()


@pytest.mark.parametrize("with_plan", [True, False])
def test_hostile_events_leave_only_text(fixture, with_plan):
    plan = fixture.plan(1)
    names = ["no_such_event", HOSTILE, *report.live._LINES]
    view = report.LiveView(plan if with_plan else None)
    fields = ("larry", "worker", "cause", "owner", "resource", "plan", "host", "state", "name", "reason", "from", "run")
    for name in names:
        for value in (HOSTILE, None, 5, [HOSTILE], {"a": HOSTILE}):
            for task in ("first-01", value):
                event = {
                    "event": name,
                    "timestamp": HOSTILE,
                    "task_id": task,
                    "data": value,
                    **dict.fromkeys(fields, value),
                }
                view.apply(event)
                for line in view.lines_for(event):
                    assert line.isprintable() and len(line) < 800
    for line in view.table(80).split("\n"):
        assert line.isprintable() and len(line) <= 80


def test_what_is_no_event_is_passed_over(fixture):
    view = report.LiveView(fixture.plan(1))
    assert view.apply({}) is False and view.lines_for({}) == []
    assert view.apply({"event": ["x"]}) is False


def test_alerts_are_bounded_and_the_last_ones_shown(fixture):
    view = report.LiveView(fixture.plan(1))
    for number in range(100):
        view.apply(
            {"id": str(number), "event": "worker_failure", "worker": f"w{number}", "timestamp": fixture.at(number)}
        )
    assert len(view.alerts) == 20
    table = view.table(80)
    assert "w99" in table and "w95" not in table


def test_a_retry_says_its_attempt(fixture):
    view = report.LiveView(fixture.plan(1))
    event = {"event": "task_claimed", "task_id": "first-01", "worker": "w", "attempt": 2, "timestamp": fixture.at(0)}
    assert view.lines_for(event) == ["07:40:00  larry-01      first-01 claimed by w (attempt 2)"]


def test_bars_may_use_block_characters(fixture):
    view = report.LiveView(fixture.plan(1), unicode=True)
    assert "░" in view.table(100)
