# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Criteria of a plan: met, unmet or not measured, each with its evidence.

A criterion is met only by a figure that was measured. A needed task that is not completed, an expression that gives
null, a figure that cannot be compared with its threshold: not measured, with the reason.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .._text import sentence

try:
    import jmespath

    JMESPATH_ERROR: ImportError | None = None
except ImportError as error:
    jmespath = None
    JMESPATH_ERROR = error

_OPERATORS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_RUN_NAME = re.compile(r'\brun\."?([a-z_]+)')


def evaluate(
    criteria: Sequence[Mapping[str, Any]],
    *,
    plan: Mapping[str, Any],
    tasks: Mapping[str, Mapping[str, Any]],
    measures: tuple[Mapping[str, Any], Mapping[str, str]],
    missing: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Evaluate criteria, in their order.

    Args:
        criteria: ``id``, ``title``, ``scope``, ``needs``, ``measure``, ``op``, ``threshold``, ``unit``.
        plan: The canonical plan.
        tasks: By id, as in a final file. The expression sees ``tasks.<id>.status`` and what the task returned.
        measures: What `measures.measure_run` returned. The expression sees the figures as ``run.<name>``.
        missing: Larrys whose final file is not there.

    Returns:
        For each: ``id``, ``title``, ``scope``, ``state``, ``value``, ``op``, ``threshold``, ``unit``, ``reason``
        (``None`` unless not measured), ``evidence`` (``title`` with ``path`` and ``sha256``, or ``figure``).
    """
    values, reasons = measures
    data = {
        "tasks": {task: {**(state.get("result") or {}), "status": state["status"]} for task, state in tasks.items()},
        "run": dict(values),
    }
    found = []
    for one in criteria:
        value, reason = _value(one, plan, tasks, data, reasons, missing)
        state = "not measured"
        if reason is None:
            state, reason = _compare(one, value)
        found.append(
            {
                "id": one["id"],
                "title": one["title"],
                "scope": one["scope"],
                "state": state,
                "value": value,
                "op": one.get("op"),
                "threshold": one.get("threshold"),
                "unit": one.get("unit"),
                "reason": reason,
                "evidence": _evidence(one, tasks),
            }
        )
    return found


def _value(
    one: Mapping[str, Any],
    plan: Mapping[str, Any],
    tasks: Mapping[str, Mapping[str, Any]],
    data: Mapping[str, Any],
    reasons: Mapping[str, str],
    missing: Sequence[str],
) -> tuple[Any, str | None]:
    """The measured value, or ``None`` and the reason why there is none."""
    for task in one.get("needs") or []:
        reason = _not_completed(task, plan, tasks, missing)
        if reason:
            return None, reason
    expression = one.get("measure")
    if not expression:
        # Nothing to compute: that the needed tasks are completed is the criterion.
        return (True, None) if one.get("needs") else (None, "It names neither tasks nor a measure.")
    if jmespath is None:
        return None, "The Python library jmespath is not installed, so the expression cannot be evaluated."
    try:
        value = jmespath.search(expression, data)
    except jmespath.exceptions.JMESPathTypeError as error:
        # Functions on null (length of a list that is not there) end here, as do those on a value of another type.
        told = sentence(f"The expression {expression} does not fit: {_line(error)}")
        return None, _null_reason(expression, reasons) or told
    except (jmespath.exceptions.JMESPathError, RecursionError) as error:
        return None, sentence(f"The expression {expression} cannot be evaluated: {_line(error)}")
    if value is None:
        return None, _null_reason(expression, reasons) or f"The expression {expression} gives nothing."
    return value, None


def _not_completed(
    task: str, plan: Mapping[str, Any], tasks: Mapping[str, Mapping[str, Any]], missing: Sequence[str]
) -> str | None:
    state = tasks.get(task)
    if state is None:
        larry = (plan["tasks"].get(task) or {}).get("larry")
        if larry in missing:
            return f"It needs {task}, and the final file of {larry} is not there."
        return f"It needs {task}, of which nothing is known."
    if state["status"] != "completed":
        status = {"pending": "not started", "in_progress": "not finished"}.get(state["status"], state["status"])
        cause = f": {_line(state['cause'])}" if state.get("cause") else ""
        return sentence(f"It needs {task}, which is {status}{cause}")
    return None


def _null_reason(expression: str, reasons: Mapping[str, str]) -> str | None:
    return next((reasons[name] for name in _RUN_NAME.findall(expression) if name in reasons), None)


def _line(text: object) -> str:
    told = " ".join(str(text).split())
    return told if len(told) <= 300 else told[:297] + "..."


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    return {str: "a text", list: "a list", dict: "an object"}.get(type(value), "nothing")


def _compare(one: Mapping[str, Any], value: Any) -> tuple[str, str | None]:
    op, threshold = one.get("op"), one.get("threshold")
    if op is None and threshold is None:
        if isinstance(value, bool):
            return ("met" if value else "unmet"), None
        return "not measured", f"Its value is {_kind(value)}, and it names nothing to compare it with."
    compare = _OPERATORS.get(op)  # type: ignore[arg-type]
    if compare is None:
        return "not measured", f"Its operator {op} is none of {', '.join(_OPERATORS)}."
    if _kind(value) != _kind(threshold):
        return "not measured", f"Its value is {_kind(value)}, its threshold {_kind(threshold)}."
    if isinstance(value, float) and not math.isfinite(value):
        return "not measured", "Its value is not a finite number."
    if op not in ("==", "!=") and _kind(value) not in ("a number", "a text"):
        return "not measured", f"Its value is {_kind(value)}, which {op} cannot order."
    return ("met" if compare(value, threshold) else "unmet"), None


def _evidence(one: Mapping[str, Any], tasks: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The files of the needed tasks, and the figures of the run that the expression reads."""
    found: list[dict[str, Any]] = []
    for task in one.get("needs") or []:
        for file in ((tasks.get(task) or {}).get("result") or {}).get("evidence") or []:
            title = file.get("title") or file["path"]
            found.append({"title": title, "path": file["path"], "sha256": file.get("sha256")})
    for name in dict.fromkeys(_RUN_NAME.findall(one.get("measure") or "")):
        found.append({"title": f"figure of the run: {name}", "figure": name})
    return found
