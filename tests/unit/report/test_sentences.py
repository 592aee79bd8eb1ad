# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a reader reads: sentences that end once, targets in words, the run in short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ansible_collections.cortex.larry.plugins.module_utils import _report as report
from ansible_collections.cortex.larry.plugins.module_utils._report.document import measured, target_of
from ansible_collections.cortex.larry.plugins.module_utils._text import sentence

CAUSES = [
    "The server went away.",
    "blocked by first-01",
    "Is it there?",
    "It broke..",
    "wait for it...",
    "  Two\nlines. ",
]


@pytest.mark.parametrize(
    ("parts", "one"),
    [
        (("It broke",), "It broke."),
        (("It broke.",), "It broke."),
        (("It broke..",), "It broke."),
        (("It failed:", "It broke."), "It failed: It broke."),
        (("Why?.",), "Why?"),
        (("Stop!",), "Stop!"),
        (("and so on...",), "and so on..."),
        (("and so on....",), "and so on..."),
        ((" two\n lines ",), "two lines."),
        (("", None, "."), ""),
        ((), ""),
    ],
)
def test_a_sentence_ends_once(parts, one) -> None:
    assert sentence(*parts) == one
    assert sentence(sentence(*parts)) == one


@pytest.mark.parametrize("cause", CAUSES)
def test_no_reason_of_a_summary_ends_twice_or_not_at_all(fixture, tmp_path, cause) -> None:
    record = fixture.record()
    for place, task in enumerate(("first-01", "second-01")):
        state = "failed" if place else "skipped"
        result = None if place else {"skipped": {"missing": cause, "provide": cause}}
        record["tasks"][task].update(status=state, cause=cause, result=result)
        fixture.add(record, 5, f"task_{state}", task_id=task, larry="larry-01", worker="w", attempt=1, cause=cause)
    fixture.add(
        record, 6, "completion_fenced", task_id="first-02", larry="larry-02", worker="w", fence="1", cause=cause
    )
    fixture.add(record, 7, "worker_failure", worker="w", larry="larry-02", cause=cause)
    fixture.add(record, 8, "paused", scope="larry", name="larry-02", reason=cause)
    written = report.write_summary(fixture.write(tmp_path / "reports", record), str(tmp_path))
    model = written["model"]
    told = [one["text"] for one in (*model["lessons"], *model["next_steps"])]
    told += [one["reason"] for one in (*model["criteria"], *model["check"]) if one["reason"]]
    assert sum(sentence(cause).rstrip(".?!")[:10] in text for text in told) >= 6
    for text in told:
        assert re.search(r"(?<![.?!])(?:\.|\?|!|\.\.\.|\))$", text), text
    for kind in ("markdown", "html"):
        text = Path(written[kind]["path"]).read_text(encoding="utf-8").replace("...", "")
        assert not re.search(r"[.?!]\.(?=[\s<|)])", text), re.search(r".{60}[.?!]\.(?=[\s<|)])", text)


@pytest.mark.parametrize(
    ("op", "threshold", "unit", "words"),
    [
        ("==", 0, "tasks", "0 tasks"),
        ("!=", 3, None, "not 3"),
        ("<", 5, "%", "below 5 %"),
        ("<=", 30.0, "minutes", "at most 30 minutes"),
        (">", 1, None, "above 1"),
        (">=", 10, "pull requests", "at least 10 pull requests"),
        ("==", True, None, "yes"),
        (None, None, None, "completed"),
    ],
)
def test_targets_are_words(op, threshold, unit, words) -> None:
    assert target_of({"op": op, "threshold": threshold, "unit": unit}) == words


def test_measured_values_have_their_unit() -> None:
    assert [measured(value, {"unit": "ms"}) for value in (5.4, False, None)] == ["5.4 ms", "no", "–"]


def in_short(fixture, tmp_path, record) -> str:
    written = report.write_summary(fixture.write(tmp_path / "reports", record), str(tmp_path))
    text = Path(written["markdown"]["path"]).read_text(encoding="utf-8")
    return re.search(r"## Executive Summary\n\n(.*)\n", text)[1]


def test_the_run_in_short(fixture, tmp_path) -> None:
    assert in_short(fixture, tmp_path, fixture.record()) == (
        "3 of 3 Larrys completed their phase, with 6 of 6 tasks completed, 0 failed and 0 skipped."
        " Unmet: All Larrys within 30 minutes. Not measured: 1 of 7 criteria."
    )


def test_the_run_in_short_names_what_is_unmet_and_what_could_not_be_measured(fixture, tmp_path) -> None:
    record = fixture.record()
    record["larrys"]["larry-02"]["status"] = "failed"
    record["tasks"]["first-02"].update(status="skipped", cause="There is no scanner.", result=None)
    record["tasks"]["first-01"]["result"]["summary"]["objects"] = 1
    assert in_short(fixture, tmp_path, record) == (
        "2 of 3 Larrys completed their phase, with 5 of 6 tasks completed, 0 failed and 1 skipped."
        " Unmet: All Larrys within 30 minutes; Objects seen."
        " Not measured: 2 of 7 criteria, 1 of them because a task that they need was not completed."
    )


def test_tasks_that_lack_the_same_are_one_step(fixture) -> None:
    record = fixture.record()
    for task, missing in (("first-01", "No scanner."), ("first-02", "No scanner"), ("first-03", "No forge.")):
        skipped = {"missing": missing, "provide": "Install one"}
        record["tasks"][task].update(status="skipped", cause=missing, result={"skipped": skipped})
    steps = [one for one in report.build_summary(fixture.finals(record))["next_steps"] if "skipped" in one["kind"]]
    assert [(one["kind"], one["text"], one["evidence"]) for one in steps] == [
        ("skipped tasks", "first-01, first-02 were skipped: No scanner. Install one.", "tasks first-01, first-02"),
        ("skipped task", "first-03 was skipped: No forge. Install one.", "task first-03"),
    ]


@pytest.mark.parametrize(
    ("event", "line", "lesson"),
    [
        ({"worker": "larry-01-w", "larry": "larry-01"}, "WORKER FAILED: larry-01-w: x", "larry-01-w failed: x."),
        ({"worker": "larry-01", "larry": "larry-01"}, "LARRY LOST: larry-01: x", "The lead of larry-01 was lost: x."),
        (
            {"kind": "larry", "worker": "larry-01", "larry": "larry-01", "barrier": "converge"},
            "LARRY LOST: larry-01: x",
            "The lead of larry-01 was lost: x.",
        ),
        (
            {"kind": "member", "worker": "eu-west", "barrier": "release"},
            "MEMBER LOST: eu-west: x",
            "The member eu-west of the barrier release was lost: x.",
        ),
    ],
)
def test_a_lost_larry_is_no_failed_worker(fixture, event, line, lesson) -> None:
    record = fixture.record()
    fixture.add(record, 5, "worker_failure", cause="x", **event)
    assert lesson in [one["text"] for one in report.build_summary(fixture.finals(record))["lessons"]]
    (entry,) = (one for one in record["events"] if one["event"] == "worker_failure")
    assert report.LiveView(record["plan"]).lines_for(entry)[0].endswith(line)


def test_accounts_are_listed_where_one_was_charged(fixture, tmp_path) -> None:
    record = fixture.record()
    for used, listed in ((0, False), (1, True)):
        record["tokens"]["larry-01"]["accounts"]["scan-worker"]["used"] = used
        written = report.write_summary(fixture.write(tmp_path / "reports", record), str(tmp_path))
        text = Path(written["markdown"]["path"]).read_text(encoding="utf-8")
        assert ("### By worker and master agent" in text) is listed
        assert ("None of the 3 accounts of workers and master agents was charged." in text) is not listed
