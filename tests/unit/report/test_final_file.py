# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Final files: what is built can be read, and what cannot be read is a sentence with the file's name."""

from __future__ import annotations

import copy
import hashlib
import json

import pytest

from ansible_collections.cortex.larry.plugins.module_utils import _report as report


def test_what_is_written_is_read_back_and_has_its_digest(fixture, tmp_path):
    final = fixture.finals(fixture.record())[0]
    written = report.write_final(str(tmp_path), final)
    assert written["path"] == str(tmp_path / "larry-01-final.json")
    assert written["sha256"] == hashlib.sha256((tmp_path / "larry-01-final.json").read_bytes()).hexdigest()
    assert report.read_final(written["path"]) == (final, written)
    assert [path.name for path in tmp_path.iterdir()] == ["larry-01-final.json"]


def test_the_same_record_gives_the_same_bytes(fixture):
    first, second = (report.dump_json(fixture.finals(fixture.record())[1]) for _turn in range(2))
    assert first == second
    assert json.loads(first) == fixture.finals(fixture.record())[1]


def test_a_file_has_its_own_tasks_and_the_files_together_have_every_event(fixture):
    record = fixture.record(7)
    finals = fixture.finals(record)
    assert sorted(task for final in finals for task in final["tasks"]) == sorted(record["plan"]["tasks"])
    assert {event["id"] for final in finals for event in final["events"]} == {event["id"] for event in record["events"]}
    claims = [event for event in finals[2]["events"] if event["event"] == "task_claimed"]
    assert {event["larry"] for event in claims} == {"larry-03"}


def test_a_file_of_a_run_that_has_just_begun(fixture):
    record = fixture.record()
    record.update(larrys={}, tasks={}, tokens={}, metrics={}, events=[])
    record["run"].update(log_entries=0, finished_at=None, started_at=None)
    final = report.build_final(record, "larry-02", [], fixture.at(0))
    assert report.validate_final(final) == []
    assert final["larry"]["status"] == "pending"
    assert {task["status"] for task in final["tasks"].values()} == {"pending"}
    assert {one["state"] for one in final["criteria"]} == {"not measured"}
    assert report.render_markdown(report.summary_document(report.build_summary([final])))


def test_an_unknown_larry_is_a_sentence(fixture):
    with pytest.raises(report.ReportError, match=r"There is no Larry larry-09 .* name one of larry-01, larry-02"):
        report.build_final(fixture.record(), "larry-09", [], fixture.at(0))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", r"larry.json:1: it is not JSON"),
        (b'{"format":\n"cortex', r"larry.json:2: it is not JSON"),
        (b'{"a": NaN}', r"larry.json: it is not JSON \(NaN is no JSON number\)"),
        (b"\xff\xfe", r"larry.json: it is not UTF-8 text"),
        (b"[" * 200_000, r"larry.json: its JSON is nested too deeply"),
        (b"[]", r"larry.json: it holds no JSON object"),
        (b"{}", r"larry.json: its format is None and not cortex.larry.final/1"),
        (b'{"format": "cortex.larry.final/1"}', r"larry.json: written_at is missing"),
    ],
)
def test_a_broken_file_is_a_sentence_with_its_name(tmp_path, content, sentence):
    path = tmp_path / "larry.json"
    path.write_bytes(content)
    with pytest.raises(report.ReportError, match=sentence):
        report.read_final(str(path))


def test_a_file_that_is_not_there_is_a_sentence(tmp_path):
    with pytest.raises(report.ReportError, match=r"none.json: it cannot be read \(No such file or directory\)"):
        report.read_final(str(tmp_path / "none.json"))


def _set(path, value):
    def change(final):
        place = final
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_set(("tasks", "first-01", "status"), "done"), "tasks.first-01.status is 'done' and has to be one of pending"),
        (_set(("tasks", "first-01", "attempts"), True), "tasks.first-01.attempts is True and has to be a number"),
        (_set(("larry", "progress"), 10**400), "larry.progress is 1000"),
        (_set(("plan", "time_scale"), 0), "plan.time_scale has to be greater than 0"),
        (_set(("plan", "tasks", "first-01", "depends_on"), ["x"]), "plan.tasks.'first-01' depends on 'x'"),
        (_set(("events", 0), "x"), "events[0] is 'x' and has to be an object"),
        (_set(("tasks", "first-01", "result", "findings"), [{}]), "result.findings[0].severity is missing"),
        (_set(("tasks", "x"), None), "tasks.x is None and has to be an object"),
        (_set(("larry", "id"), "larry-99"), "larry.id is 'larry-99', which is not in its plan"),
        (lambda final: final["tasks"].pop("first-01"), "tasks lacks 'first-01'"),
        (lambda final: final.pop("events"), "events is missing"),
    ],
)
def test_what_does_not_fit_the_format_is_named(fixture, change, sentence):
    final = copy.deepcopy(fixture.finals(fixture.record())[0])
    assert report.validate_final(final) == []
    change(final)
    assert any(sentence in problem for problem in report.validate_final(final)), report.validate_final(final)


def test_many_problems_are_not_all_told(fixture):
    final = fixture.finals(fixture.record())[0]
    final["events"] = [None] * 1000
    problems = report.validate_final(final)
    assert len(problems) == 21 and "980 more" in problems[-1]


def test_tokens_that_belong_to_no_larry_stand_in_every_file(fixture):
    record = fixture.record()
    record["tokens"]["meta-coordinator"] = {"limit": 50000, "used": 500, "held": 0, "metered_requests": 1}
    for final in fixture.finals(record):
        assert final["shared_tokens"]["meta-coordinator"]["used"] == 500
        assert final["tokens"]["used"] == 0
