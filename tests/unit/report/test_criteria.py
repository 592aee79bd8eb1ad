# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Criteria are met by what was measured and by nothing else."""

from __future__ import annotations

import pytest

from ansible_collections.cortex.larry.plugins.module_utils import _report as report
from ansible_collections.cortex.larry.plugins.module_utils._report import criteria as criteria_module


def evaluate(fixture, record, **changes):
    one = {
        **fixture.criterion("c", "C", 'tasks."first-01".summary.objects', ">=", 10),
        "needs": ["first-01"],
        **changes,
    }
    found = report.evaluate([one], plan=record["plan"], tasks=record["tasks"], measures=fixture.measure(record))
    return found[0]


def test_met_and_unmet_with_value_and_files(fixture):
    record = fixture.record()
    found = evaluate(fixture, record)
    assert (found["state"], found["value"], found["reason"]) == ("met", 12, None)
    assert found["evidence"] == [{"title": "catalogue", "path": "evidence/first-01/catalogue.json", "sha256": "a" * 64}]
    assert evaluate(fixture, record, threshold=13)["state"] == "unmet"


@pytest.mark.parametrize("op", ["==", "!=", "<", "<=", ">", ">="])
def test_null_is_never_met(fixture, op):
    found = evaluate(fixture, fixture.record(), measure='tasks."first-01".summary.nothing', op=op, threshold=0)
    assert found["state"] == "not measured"
    assert "gives nothing" in found["reason"]


@pytest.mark.parametrize("op", ["==", "!=", "<", "<="])
@pytest.mark.parametrize("threshold", [0, None, "x", True])
def test_a_figure_that_was_not_measured_is_never_met_and_says_why(fixture, op, threshold):
    found = evaluate(fixture, fixture.record(), needs=[], measure="run.tokens_used_percent", op=op, threshold=threshold)
    assert (found["state"], found["reason"]) == ("not measured", "No metered request was made.")


@pytest.mark.parametrize(
    ("value", "threshold", "op", "state"),
    [
        (1, True, "==", "not measured"), (True, 1, "==", "not measured"), ("1", 1, "==", "not measured"),
        (1.0, 1, "==", "met"), (True, True, "==", "met"), (False, True, "==", "unmet"), ("a", "b", "<", "met"),
        ([1], 1, ">", "not measured"), ([1], [0], ">", "not measured"), ([1], [1], "==", "met"),
        (True, False, ">", "not measured"), (1, 0, "~", "not measured"), (1, None, "==", "not measured"),
        (1, None, None, "not measured"), (False, None, None, "unmet"), (True, None, None, "met"),
        (float("inf"), 0, ">", "not measured"),
    ],
)  # fmt: skip
def test_comparison_needs_one_kind(fixture, value, threshold, op, state):
    record = fixture.record()
    record["tasks"]["first-01"]["result"]["summary"]["objects"] = value
    found = evaluate(fixture, record, op=op, threshold=threshold)
    assert found["state"] == state
    assert (found["reason"] is None) == (state != "not measured")


@pytest.mark.parametrize(
    ("status", "cause", "reason"),
    [
        ("skipped", "kubectl is missing", "It needs first-01, which is skipped: kubectl is missing."),
        ("failed", None, "It needs first-01, which is failed."),
        ("pending", None, "It needs first-01, which is not started."),
        ("in_progress", None, "It needs first-01, which is not finished."),
    ],
)
def test_a_needed_task_that_is_not_completed(fixture, status, cause, reason):
    record = fixture.record()
    record["tasks"]["first-01"].update(status=status, cause=cause)
    assert evaluate(fixture, record)["reason"] == reason
    assert evaluate(fixture, record, measure=None, op=None, threshold=None)["state"] == "not measured"


def test_without_a_measure_completion_is_the_criterion(fixture):
    assert evaluate(fixture, fixture.record(), measure=None, op=None, threshold=None)["state"] == "met"
    assert evaluate(fixture, fixture.record(), measure=None, needs=[])["state"] == "not measured"


@pytest.mark.parametrize("measure", ["tasks.[", "nosuch(tasks)", "length(run.tokens_used_percent)", "abs('x')"])
def test_an_expression_that_fails_is_a_reason_not_an_error(fixture, measure):
    found = evaluate(fixture, fixture.record(), measure=measure)
    assert found["state"] == "not measured" and found["reason"]


def test_a_result_cannot_pass_for_a_status(fixture):
    record = fixture.record()
    record["tasks"]["first-01"]["result"]["status"] = "forged"
    found = evaluate(fixture, record, measure='tasks."first-01".status', op="==", threshold="completed")
    assert found["state"] == "met"


def test_without_jmespath_nothing_is_measured(fixture, monkeypatch):
    monkeypatch.setattr(criteria_module, "jmespath", None)
    found = evaluate(fixture, fixture.record())
    assert found["state"] == "not measured" and "jmespath is not installed" in found["reason"]
