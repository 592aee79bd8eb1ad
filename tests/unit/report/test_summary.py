# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The summary: merged from any of the final files of one run, and readable as Markdown and as HTML."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from ansible_collections.cortex.larry.plugins.module_utils import _report as report

HOSTILE = "</td></table><script src=//evil.example/x.js></script>|`'\"\x1b[31m\n# h\n[a](http://evil.example) {{ 1 }} "
VOID = {"meta", "link", "br", "hr", "img", "input", "line", "rect"}


class Page(HTMLParser):
    """What an HTML page consists of; fails on tags that do not close."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.stack: list[str] = []
        self.headings: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "xlink:href")]
        self.handlers += [name for name, _value in attrs if name.startswith("on")]
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.stack.pop()

    def handle_endtag(self, tag):
        assert self.stack and self.stack[-1] == tag, (tag, self.stack[-3:], self.getpos())
        self.stack.pop()

    def handle_data(self, data):
        if self.stack and self.stack[-1] == "style":
            return
        self.text += data
        if self.stack and self.stack[-1] == "h2":
            self.headings.append(data)


def assert_harmless(html: str) -> Page:
    page = Page(html)
    assert not {"script", "iframe", "object", "embed", "link", "base", "form", "img"} & set(page.tags)
    assert all(address.startswith("#s") for address in page.addresses)
    assert page.handlers == []
    assert not re.search(r"url\(|@import", html)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", html)
    return page


def tables(markdown: str) -> list[list[int]]:
    """For each table the number of cells of its rows, counted as GitHub does: a backslash keeps a pipe in its cell."""
    found, rows = [], []
    for line in [*markdown.split("\n"), ""]:
        if line.startswith("|"):
            rows.append(len(re.findall(r"(?<!\\)\|", line)) - 1)
        elif rows:
            found.append(rows)
            rows = []
    return found


def assert_well_formed(markdown: str) -> None:
    assert tables(markdown), "there is no table"
    for rows in tables(markdown):
        assert len(set(rows)) == 1 and len(rows) >= 2, rows
    assert markdown.count("\n```") % 2 == 0
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", markdown)


def make(fixture, tmp_path, record, validation=(), earlier=()):
    written = report.write_summary(fixture.write(tmp_path / "reports", record, validation), str(tmp_path), earlier)
    with open(written["markdown"]["path"], encoding="utf-8") as handle:
        markdown = handle.read()
    with open(written["html"]["path"], encoding="utf-8") as handle:
        html = handle.read()
    return written, markdown, html


@pytest.mark.parametrize("count", [1, 3, 7])
def test_the_summary_has_its_name_and_its_sections(fixture, tmp_path, count):
    written, markdown, html = make(fixture, tmp_path, fixture.record(count))
    assert written["markdown"]["path"] == str(tmp_path / f"{count}-LARRY-EXECUTION-SUMMARY.md")
    assert written["html"]["path"] == str(tmp_path / f"{count}-LARRY-EXECUTION-SUMMARY.html")
    sections = re.findall(r"^## (.*)$", markdown, re.MULTILINE)
    other = ["Data Platform Results"] if count >= 4 else []
    assert sections == [
        "Check of the whole run", "Executive Summary", "Phase Timelines", "Infrastructure Results",
        "Security Findings", "Development Outcomes", *other, "Cross-Phase Dependencies Resolved",
        "Token Budget Utilization", "Lessons Learned", "Next Steps", "Sources",
    ]  # fmt: skip
    assert_well_formed(markdown)
    page = assert_harmless(html)
    assert page.headings == sections
    assert page.tags.count("svg") == 2
    assert markdown.count("```mermaid\ngantt") == 2


def test_the_check_opens_the_summary_with_all_its_rows(fixture, tmp_path):
    validation = [{"title": "Catalogue", "state": "met", "detail": "ok", "measures": {"catalogue_difference": 0}}]
    written, markdown, _html = make(fixture, tmp_path, fixture.record(), validation)
    rows = {row["title"]: row for row in written["model"]["check"]}
    assert list(rows) == [
        "All Larrys complete", "No task duplicated", "Workers on their nodes", "Infrastructure SLA",
        "Security scan complete", "Inventory accurate", "Final report",
    ]  # fmt: skip
    assert {row["state"] for row in rows.values()} == {"met"}
    for row in rows.values():
        assert row["target"] and row["measured"] and row["command"]
    for told in ("6 acquisitions", "0 refusals", "0 takeovers", "0 fenced completions"):
        assert told in rows["No task duplicated"]["measured"]
    assert rows["All Larrys complete"]["command"].startswith("redis-cli MGET phase:larry-01:status ")
    assert markdown.index("## Check of the whole run") < markdown.index("## Executive Summary")


def test_the_same_files_give_the_same_summary(fixture, tmp_path):
    first = make(fixture, tmp_path, fixture.record())
    second = make(fixture, tmp_path, fixture.record())
    assert first[1:] == second[1:]


def test_the_order_of_the_files_does_not_matter(fixture, tmp_path):
    paths = fixture.write(tmp_path, fixture.record())
    first, second = report.read_summary(paths), report.read_summary(paths[::-1])
    assert first == second


@pytest.mark.parametrize("left", [0, 1, 2])
def test_a_missing_larry_is_named_and_its_rows_are_not_measured(fixture, tmp_path, left):
    paths = fixture.write(tmp_path, fixture.record())
    gone = f"larry-{left + 1:02d}"
    del paths[left]
    model = report.read_summary(paths)
    assert model["missing"] == [gone]
    rows = {row["title"]: row for row in model["check"]}
    assert rows["Final report"]["state"] == "unmet" and gone in rows["Final report"]["reason"]
    assert rows["All Larrys complete"]["state"] == "not measured"
    assert rows["No task duplicated"]["state"] == "not measured"
    assert rows["Workers on their nodes"]["state"] == "not measured"
    own = [one for one in model["criteria"] if one["scope"] == gone]
    assert own and {one["state"] for one in own} == {"not measured"}
    assert f"the final file of {gone} is not there" in own[0]["reason"]
    system = {one["id"]: one["state"] for one in model["criteria"] if one["scope"] == "system"}
    assert system == {
        "zero-duplicates": "not measured", "within-30": "not measured", "tokens": "not measured", "log": "unmet",
    }  # fmt: skip
    document = report.summary_document(model)
    markdown = report.render_markdown(document)
    assert f"**Missing:** the final file of {gone}" in markdown
    assert_well_formed(markdown)
    assert_harmless(report.render_html(document))
    assert any(gone in step["text"] for step in model["next_steps"])


def test_one_file_of_seven_is_enough_to_read(fixture, tmp_path):
    model = report.read_summary(fixture.write(tmp_path, fixture.record(7))[3:4])
    assert len(model["missing"]) == 6
    assert_well_formed(report.render_markdown(report.summary_document(model)))


def test_files_of_two_runs_are_refused(fixture, tmp_path):
    first = fixture.write(tmp_path / "a", fixture.record())
    second = fixture.write(tmp_path / "b", fixture.record(run="another-run"))
    with pytest.raises(report.ReportError) as caught:
        report.read_summary([first[0], second[1]])
    assert str(caught.value).startswith(f"{second[1]}: it belongs to the run another-run and {first[0]} to ")


def test_files_of_two_plans_are_refused(fixture, tmp_path):
    first, other = fixture.record(), fixture.record()
    other["run"]["digest"] = "f" * 64
    paths = [fixture.write(tmp_path / "a", first)[0], fixture.write(tmp_path / "b", other)[1]]
    with pytest.raises(report.ReportError, match="its plan is another one than that of"):
        report.read_summary(paths)


def test_two_files_of_one_larry_are_refused(fixture, tmp_path):
    paths = [fixture.write(tmp_path / name, fixture.record())[0] for name in "ab"]
    with pytest.raises(report.ReportError, match="it is a file of larry-01, as .* is; give one file of each Larry"):
        report.read_summary(paths)


def test_no_file_and_broken_files_are_sentences(fixture, tmp_path):
    with pytest.raises(report.ReportError, match="There is no final JSON file"):
        report.read_summary([])
    paths = fixture.write(tmp_path, fixture.record())
    for path in paths[:2]:
        with open(path, "a", encoding="utf-8") as handle:
            handle.write("}")
    with pytest.raises(report.ReportError) as caught:
        report.read_summary(paths)
    assert [problem.split(":")[0] for problem in caught.value.problems] == paths[:2]


def test_a_gap_in_the_log_is_said(fixture, tmp_path):
    record = fixture.record()
    del record["events"][7]
    model = report.read_summary(fixture.write(tmp_path, record))
    row = {row["title"]: row for row in model["check"]}["Final report"]
    assert row["state"] == "unmet" and "8 of 35" in row["measured"]


def test_files_written_at_different_moments_merge_to_what_they_hold(fixture):
    """An early file lacks what was logged for its Larry since: the summary says which entries."""
    record = fixture.record()
    early = fixture.finals({**record, "events": record["events"][:20], "run": {**record["run"], "log_entries": 20}})
    late = fixture.finals(record)
    gaps = report.build_summary([late[0], late[1], early[2]])["log"]["gaps"]
    lacking = {number for first, last in gaps for number in range(first, last + 1)}
    assert lacking == {int(event["id"]) for event in record["events"][20:] if event.get("larry") == "larry-03"}


def test_files_that_disagree_on_an_event_are_not_trusted(fixture):
    finals = fixture.finals(fixture.record())
    finals[1]["events"][0]["plan"] = "forged"
    model = report.build_summary(finals)
    assert model["log"]["conflicting"] == [1]
    assert {row["title"]: row["state"] for row in model["check"]}["Final report"] == "unmet"


def test_a_skipped_task_tells_what_is_missing_and_how_to_provide_it(fixture, tmp_path):
    record = fixture.record()
    record["tasks"]["first-02"].update(
        status="skipped", cause="There is no scanner.",
        result={"skipped": {"missing": "There is no scanner.", "provide": "Install one."}},
    )  # fmt: skip
    _written, markdown, _html = make(fixture, tmp_path, record)
    assert "**Skipped task:** first-02 was skipped: There is no scanner. Install one." in markdown
    check = next(line for line in markdown.split("\n") if line.startswith("| **Security scan complete**"))
    assert "not measured: Not completed: first-02" in check
    assert "It needs first-02, which is skipped: There is no scanner." in markdown


def test_a_failed_larry_makes_the_run_unmet(fixture):
    record = fixture.record()
    record["larrys"]["larry-02"]["status"] = "failed"
    row = report.build_summary(fixture.finals(record))["check"][0]
    assert (row["state"], row["measured"], row["reason"]) == ("unmet", "2 of 3 completed", "larry-02 is failed.")


def test_cross_phase_dependencies_name_their_events(fixture):
    record = fixture.record()
    found = report.build_summary(fixture.finals(record))["cross_dependencies"]
    assert [(one["task"], one["needs"], one["state"]) for one in found] == [
        ("first-02", "first-01", "resolved"), ("first-03", "first-01", "resolved"),
    ]  # fmt: skip
    by_id = {event["id"]: event for event in record["events"]}
    assert [(by_id[one]["event"], by_id[one]["task_id"]) for one in found[0]["events"]] == [
        ("task_completed", "first-01"), ("task_ready", "first-02"),
    ]  # fmt: skip


def test_lessons_come_from_the_events_and_name_them(fixture):
    record = fixture.record()
    fixture.add(record, 3, "task_requeued", task_id="first-01", larry="larry-01", cause="it broke", attempt=1)
    fixture.add(record, 4, "task_conflict", task_id="first-02", larry="larry-02", owner="someone")
    lessons = report.build_summary(fixture.finals(record))["lessons"]
    by_id = {f"event {event['id']}": event["event"] for event in record["events"]}
    retry = next(one for one in lessons if one["kind"] == "retries")
    assert by_id[retry["evidence"]] == "task_requeued" and "it broke" in retry["text"]
    conflict = next(one for one in lessons if one["kind"] == "conflicts")
    assert by_id[conflict["evidence"]] == "task_conflict" and "someone" in conflict["text"]
    path = next(one for one in lessons if one["kind"] == "critical path")
    assert "first-01 (9.50 s) → first-02 (9.50 s) → second-02 (9.50 s)" in path["text"]
    assert {by_id[one] for one in path["evidence"].split(", ")} == {"task_completed"}


def test_lessons_compare_with_earlier_runs(fixture, tmp_path):
    earlier = fixture.write(tmp_path / "before", fixture.record(run="run-before"))
    written, markdown, _html = make(fixture, tmp_path, fixture.record(), earlier=[earlier])
    told = [one["text"] for one in written["model"]["lessons"] if one["kind"] == "against earlier runs"]
    assert "The run took 31.3 s, in the run run-before 31.3 s." in told
    assert "run-before" in markdown


def test_an_event_storm_does_not_flood_the_lessons(fixture):
    record = fixture.record()
    for number in range(500):
        record["events"].append(
            {"at": 2 + number / 1000, "from": "x", "event": "task_conflict", "task_id": "first-01", "owner": "x"}
        )
    fixture.number(record)
    lessons = report.build_summary(fixture.finals(record))["lessons"]
    assert sum(1 for one in lessons if one["kind"] == "conflicts") == 21


def test_tokens_are_shown_when_they_were_metered(fixture, tmp_path):
    record = fixture.record()
    record["tokens"]["larry-01"].update(used=23400, metered_requests=4)
    written, markdown, _html = make(fixture, tmp_path, record)
    assert "10.0 % of the plan's 234000 tokens were used." in markdown
    assert {one["id"]: one["state"] for one in written["model"]["criteria"]}["tokens"] == "met"


def test_hostile_strings_everywhere_stay_text(fixture, tmp_path):
    record = fixture.record()
    plan = record["plan"]
    plan.update(title=f"../../{HOSTILE}", cluster=HOSTILE)
    plan["criteria"][0].update(title=HOSTILE, unit=HOSTILE)
    plan["larrys"]["larry-03"]["domain"] = HOSTILE
    for state in record["tasks"].values():
        state["cause"] = HOSTILE
        state["machine"] = {"hostname": HOSTILE, "machine_id": HOSTILE}
        result = state["result"]
        result["summary"] = {HOSTILE: HOSTILE, "objects": 12}
        result["findings"] = [{"id": HOSTILE, "severity": "critical", "title": HOSTILE, "asset": HOSTILE}]
        result["evidence"] = [{"title": HOSTILE, "path": HOSTILE, "sha256": HOSTILE}]
        result["changes"] = [{"what": HOSTILE, "where": {"a": HOSTILE}, "undo": [HOSTILE]}]
    record["metrics"]["larry-01"] = {HOSTILE: HOSTILE}
    record["tokens"]["larry-01"]["accounts"] = {HOSTILE: {"limit": 1, "used": 1}}
    record["larrys"]["larry-01"]["controllers"] = [{"id": HOSTILE, "host": HOSTILE, "pid": HOSTILE}]
    record["run"].update(server=HOSTILE, prefix=HOSTILE, log_head=HOSTILE, state=HOSTILE)
    fixture.add(record, 3, "task_requeued", task_id="first-01", larry="larry-01", cause=HOSTILE, attempt=HOSTILE)
    fixture.add(record, 4, "paused", scope=HOSTILE, name=HOSTILE, reason=HOSTILE)
    written, markdown, html = make(fixture, tmp_path, record, [{"title": HOSTILE, "state": "unmet", "detail": HOSTILE}])
    assert_well_formed(markdown)
    # Outside code nothing may read as HTML; within code Markdown shows it as it is.
    prose = re.sub(r"\\.|(`+)(?!`).*?(?<!`)\1(?!`)", "", re.sub(r"^```.*?^```$", "", markdown, flags=re.M | re.S))
    assert "<script" not in prose and "http://" not in prose
    page = assert_harmless(html)
    assert "<script src=//evil.example/x.js>" in page.text
    assert written["markdown"]["path"].startswith(str(tmp_path) + "/")
    assert "/" not in written["markdown"]["path"][len(str(tmp_path)) + 1 :]


def test_a_megabyte_in_one_string_and_ten_thousand_findings_stay_readable(fixture, tmp_path):
    record = fixture.record()
    finding = {"id": "F", "severity": "low", "title": "x", "asset": "a"}
    record["tasks"]["first-02"]["result"]["findings"] = [dict(finding) for _number in range(10_000)]
    record["tasks"]["first-01"]["cause"] = "A" * 1_000_000
    record["tasks"]["first-01"]["result"]["summary"]["text"] = "B" * 1_000_000
    _written, markdown, html = make(fixture, tmp_path, record)
    assert len(markdown) < 200_000 and len(html) < 300_000
    assert "9951 more rows are in the final JSON files." in markdown
    assert "| **Low** | 10000 |" in markdown
    assert "more characters" in markdown
    assert_well_formed(markdown)


def test_a_plan_without_the_usual_domains(fixture, tmp_path):
    plan = fixture.plan(1)
    plan["larrys"]["larry-01"]["domain"] = "network"
    written, markdown, _html = make(fixture, tmp_path, fixture.record(plan=plan))
    assert "## Network Results" in markdown
    assert "The plan has no Larry of the domain infrastructure." in markdown
    rows = {row["title"]: row["state"] for row in written["model"]["check"]}
    assert rows["Infrastructure SLA"] == rows["Security scan complete"] == "not measured"
    assert rows["Network criteria"] == "met"


@pytest.mark.parametrize(
    ("title", "stem"),
    [
        ("3-LARRY", "3-LARRY"), ("../../etc/passwd", "etc-passwd"), ("", "RUN"), ("..", "RUN"), ("a b\x00c", "a-b-c"),
        ("x" * 300, "x" * 80),
    ],
)  # fmt: skip
def test_a_title_makes_a_safe_file_name(title, stem):
    assert report.summary_file_stem(title) == f"{stem}-EXECUTION-SUMMARY"


def test_the_output_path_can_be_given(fixture, tmp_path):
    paths = fixture.write(tmp_path, fixture.record())
    written = report.write_summary(paths, str(tmp_path), output=str(tmp_path / "deep" / "mine.md"))
    assert written["markdown"]["path"].endswith("/deep/mine.md") and written["html"]["path"].endswith("/deep/mine.html")
