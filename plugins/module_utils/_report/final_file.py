# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The final file of a Larry: built from the snapshot of a run, written, read and checked.

A final file is self-contained: the summary of a run is made from any of them, without a server. What is read is
hostile until `validate_final` has found nothing; later code relies on the shapes checked here.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from .criteria import evaluate
from .events import belongs_to, sequence_of
from .measures import lock_log, measure_run

FORMAT = "cortex.larry.final/1"
TASK_STATES = ("pending", "in_progress", "completed", "failed", "skipped")
LARRY_STATES = ("pending", "in_progress", "completed", "failed")
CRITERION_STATES = ("met", "unmet", "not measured")
SEVERITIES = ("critical", "high", "medium", "low", "info")

_RUN_FIELDS = (
    "id", "plan", "cluster", "digest", "state", "collection_version", "created_at", "started_at", "finished_at",
    "epoch", "log_head", "log_entries", "server", "prefix",
)  # fmt: skip
_TASK_FIELDS = (
    "status", "cause", "attempts", "worker", "node", "machine", "ready_at", "claimed_at", "settled_at", "fence",
    "result",
)  # fmt: skip


class ReportError(Exception):
    """Final files that cannot be used; ``str`` gives one sentence a line, each naming its file."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


def build_final(
    record: Mapping[str, Any], larry_id: str, validation: Sequence[Mapping[str, Any]], written_at: str
) -> dict[str, Any]:
    """The final file of one Larry from the snapshot of the whole run.

    Files of one run that are built from one and the same record merge into a log without gaps; a file built from an
    earlier record lacks what was logged since, and the summary then says so.

    Args:
        record: ``run``, ``plan`` (canonical), ``larrys``, ``tasks``, ``tokens``, ``metrics``, ``events`` (whole log).
        larry_id: Whose file it is.
        validation: What cross-validation found: ``title``, ``state`` and ``detail`` each, and ``measures`` if it
            measured something (``{"catalogue_difference": 0}``).
        written_at: ISO 8601, UTC.

    Raises:
        ReportError: the plan of the record has no such Larry.
    """
    plan = record["plan"]
    if larry_id not in plan["larrys"]:
        known = ", ".join(plan["larrys"])
        raise ReportError([f"There is no Larry {larry_id} in the plan {plan.get('name')}: name one of {known}."])
    events = sorted(record.get("events") or [], key=sequence_of)
    tasks = {
        task: _task((record.get("tasks") or {}).get(task) or {})
        for task, spec in plan["tasks"].items()
        if task in (record.get("tasks") or {}) or spec["larry"] == larry_id
    }
    run = {name: record["run"].get(name) for name in _RUN_FIELDS}
    run["epoch"] = run["epoch"] or 1
    run["log_entries"] = run["log_entries"] or 0
    run["prefix"] = run["prefix"] or ""
    state = (record.get("larrys") or {}).get(larry_id) or {}
    larrys = record.get("larrys") or {}
    tokens = record.get("tokens") or {}
    measures = measure_run(
        plan=plan, run=run, larrys=larrys, tasks=tasks, tokens=tokens, events=events, validation=validation
    )
    mine = [one for one in plan["criteria"] if one["scope"] in (larry_id, "system")]
    return {
        "format": FORMAT,
        "written_at": written_at,
        "run": run,
        "plan": plan,
        "larry": {
            "id": larry_id,
            "domain": plan["larrys"][larry_id]["domain"],
            "node": plan["larrys"][larry_id]["node"],
            "status": state.get("status") or "pending",
            "progress": state.get("progress") or 0,
            "started_at": state.get("started_at"),
            "completed_at": state.get("completed_at"),
            "controllers": list(state.get("controllers") or []),
        },
        "tasks": {task: one for task, one in tasks.items() if plan["tasks"][task]["larry"] == larry_id},
        "tokens": _tokens(tokens.get(larry_id) or {}, plan["larrys"][larry_id].get("tokens") or 0),
        # Accounts that belong to no Larry (the meta-coordinator, the emergency pool) stand in every file.
        "shared_tokens": {name: _tokens(one, 0) for name, one in sorted(tokens.items()) if name not in plan["larrys"]},
        "metrics": dict((record.get("metrics") or {}).get(larry_id) or {}),
        "lock_log": lock_log(plan, events, larry_id),
        "validation": [dict(one) for one in validation],
        "events": [event for event in events if belongs_to(event, plan, larry_id)],
        "criteria": evaluate(mine, plan=plan, tasks=tasks, measures=measures),
    }


def _task(state: Mapping[str, Any]) -> dict[str, Any]:
    one = {name: state.get(name) for name in _TASK_FIELDS}
    one["status"] = one["status"] or "pending"
    one["attempts"] = one["attempts"] or 0
    one["fence"] = None if one["fence"] is None else str(one["fence"])
    return one


def _tokens(state: Mapping[str, Any], limit: int) -> dict[str, Any]:
    one: dict[str, Any] = {name: state.get(name) or 0 for name in ("used", "held", "metered_requests", "reserve_drawn")}
    one["limit"] = state.get("limit") or limit
    one["accounts"] = dict(state.get("accounts") or {})
    return one


def dump_json(data: object) -> str:
    """The one way JSON is written here: sorted keys, two blanks, ASCII, no NaN, a newline at the end."""
    return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=True, allow_nan=False) + "\n"


def write_text(path: str, text: str) -> dict[str, Any]:
    """Write a file whole or not at all.

    Returns:
        ``{"path", "sha256", "bytes"}`` of what was written.
    """
    data = text.encode("utf-8")
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    # Readers of a report (and a second writer) never see half a file.
    partial = f"{path}.{os.getpid()}.partial"
    try:
        with open(partial, "wb") as handle:
            handle.write(data)
        os.replace(partial, path)
    except BaseException:
        if os.path.exists(partial):
            os.unlink(partial)
        raise
    return {"path": path, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def final_file_name(larry_id: str) -> str:
    """``larry-01-final.json`` for ``larry-01``."""
    return f"{larry_id}-final.json"


def write_final(directory: str, final: Mapping[str, Any]) -> dict[str, Any]:
    """Write a final file into `directory` (made if missing); the same content gives the same bytes."""
    return write_text(os.path.join(directory, final_file_name(final["larry"]["id"])), dump_json(final))


def read_final(path: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read and check one final file.

    Returns:
        The final file and its source, ``{"path", "sha256", "bytes"}``.

    Raises:
        ReportError: one sentence for each thing that is wrong, naming the file.
    """
    try:
        with open(path, "rb") as handle:
            data = handle.read()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ReportError([f"{path}: it cannot be read ({reason}); name an existing final JSON file."]) from error
    again = "write it again with the report playbook, or leave it out"
    try:
        final = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise ReportError([f"{path}: it is not UTF-8 text (byte {error.start}); {again}."]) from error
    except json.JSONDecodeError as error:
        raise ReportError(
            [f"{path}:{error.lineno}: it is not JSON ({error.msg}, column {error.colno}); {again}."]
        ) from error
    except RecursionError as error:
        raise ReportError([f"{path}: its JSON is nested too deeply to be a final file; {again}."]) from error
    except ValueError as error:
        raise ReportError([f"{path}: it is not JSON ({error}); {again}."]) from error
    problems = validate_final(final)
    if problems:
        raise ReportError([f"{path}: {problem}" for problem in problems])
    return final, {"path": path, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


# --- the shape -------------------------------------------------------------------------------------------------------
# A shape is a type, a tuple of shapes (any of them), a one-element list (list of), or a dict of fields; "*" stands for
# any field name, and a name that ends with "?" may be missing. Fields that are not named are left alone.

_NUMBER = (int, float)
_TEXT_OR_NULL = (str, None)
_TOKENS = {
    "limit": _NUMBER, "used": _NUMBER, "held": _NUMBER, "metered_requests": _NUMBER, "reserve_drawn": _NUMBER,
    "accounts": {"*": {"limit": _NUMBER, "used": _NUMBER}},
}  # fmt: skip
_RESULT = {
    "summary?": {"*": (int, float, str, bool, None)},
    "findings?": [{"severity": SEVERITIES, "title": str, "id?": _TEXT_OR_NULL, "asset?": _TEXT_OR_NULL}],
    "evidence?": [{"path": str, "title?": _TEXT_OR_NULL, "sha256?": _TEXT_OR_NULL}],
    "changes?": [{"what?": object, "where?": object, "undo?": object}],
    "skipped?": ({"missing": str, "provide?": _TEXT_OR_NULL}, None),
}
_PLAN_TASK = {
    "larry": str, "index": int, "capability": str, "worker": _TEXT_OR_NULL, "depends_on": [str], "after": [str],
    "planned_s": _NUMBER, "tokens?": _NUMBER,
}  # fmt: skip
_PLAN = {
    "name": str, "title": str, "cluster": str, "window_s": _NUMBER, "time_scale": _NUMBER,
    "nodes": {"*": {"name": str, "address?": _TEXT_OR_NULL, "role?": _TEXT_OR_NULL}},
    "larrys": {"*": {
        "domain": str, "node": str, "phase_s": _NUMBER, "tokens?": _NUMBER, "workers": [str],
        "checkpoints?": [{"at_s": _NUMBER, "progress": _NUMBER}],
        "masters?": {"*": {"tokens?": _NUMBER, "pool?": _NUMBER}},
    }},
    "workers": {"*": {"larry": str, "node": str, "tokens?": _NUMBER, "duration_s?": _NUMBER}},
    "tasks": {"*": _PLAN_TASK},
    "milestones?": [{"at_s": _NUMBER, "name": str}],
    "budgets?": {"*": _NUMBER},
    "criteria": [{
        "id": str, "title": str, "scope": str, "needs?": [str], "measure?": _TEXT_OR_NULL, "op?": _TEXT_OR_NULL,
        "unit?": _TEXT_OR_NULL,
    }],
}  # fmt: skip
_EVENT = {"event": str, "timestamp": str, "id?": (str, int, None), "from?": _TEXT_OR_NULL}
_FINAL = {
    "written_at": str,
    "run": {
        "id": str, "digest": str, "state": _TEXT_OR_NULL, "collection_version?": _TEXT_OR_NULL,
        "created_at?": _TEXT_OR_NULL, "started_at?": _TEXT_OR_NULL, "finished_at?": _TEXT_OR_NULL,
        "log_head?": _TEXT_OR_NULL, "log_entries": int, "server?": _TEXT_OR_NULL, "prefix?": _TEXT_OR_NULL,
    },
    "plan": _PLAN,
    "larry": {
        "id": str, "domain": str, "status": LARRY_STATES, "progress": _NUMBER, "started_at": _TEXT_OR_NULL,
        "completed_at": _TEXT_OR_NULL, "controllers": [{"id?": object, "host?": object, "pid?": object}],
    },
    "tasks": {"*": {
        "status": TASK_STATES, "cause": _TEXT_OR_NULL, "attempts": int, "worker": _TEXT_OR_NULL,
        "node": _TEXT_OR_NULL, "machine": ({"hostname?": _TEXT_OR_NULL, "machine_id?": _TEXT_OR_NULL}, None),
        "ready_at": _TEXT_OR_NULL, "claimed_at": _TEXT_OR_NULL, "settled_at": _TEXT_OR_NULL, "result": (_RESULT, None),
    }},
    "tokens": _TOKENS,
    "shared_tokens?": {"*": _TOKENS},
    "metrics": {"*": (int, float, str, None)},
    "lock_log?": {"*": int},
    "validation": [{"title": str, "state": CRITERION_STATES, "detail?": _TEXT_OR_NULL, "measures?": {"*": object}}],
    "events": [_EVENT],
    "criteria": [{"id": str, "title": str, "scope": str, "state": CRITERION_STATES}],
}  # fmt: skip
_MOST_PROBLEMS = 20
_MISSING = object()


def validate_final(final: object) -> list[str]:
    """What is wrong with the content of a final file: sentences that name the place, none when it can be used."""
    if not isinstance(final, dict):
        return ["it holds no JSON object; a final file begins with {."]
    if final.get("format") != FORMAT:
        found = final.get("format")
        return [f"its format is {_short(found)} and not {FORMAT}: no final file of a Larry, or one of another version."]
    problems: list[str] = []
    _check(final, _FINAL, "", problems)
    if not problems:
        _check_references(final, problems)
    if len(problems) > _MOST_PROBLEMS:
        more = len(problems) - _MOST_PROBLEMS
        problems = [*problems[:_MOST_PROBLEMS], f"it has {more} more problems like these."]
    return problems


def _check_references(final: Mapping[str, Any], problems: list[str]) -> None:
    plan, larry = final["plan"], final["larry"]["id"]
    if larry not in plan["larrys"]:
        problems.append(f"larry.id is {_short(larry)}, which is not in its plan.")
    for task in final["tasks"]:
        if plan["tasks"].get(task, {}).get("larry") != larry:
            problems.append(f"tasks names {_short(task)}, which is no task of {_short(larry)} in its plan.")
    for task, spec in plan["tasks"].items():
        if spec["larry"] not in plan["larrys"]:
            problems.append(f"plan.tasks.{_short(task)} belongs to {_short(spec['larry'])}, which is no Larry.")
        if spec["larry"] == larry and task not in final["tasks"]:
            problems.append(f"tasks lacks {_short(task)}, a task of {_short(larry)} in its plan.")
        for needed in (*spec["depends_on"], *spec["after"]):
            if needed not in plan["tasks"]:
                problems.append(f"plan.tasks.{_short(task)} depends on {_short(needed)}, which is no task.")
    if plan["time_scale"] <= 0:
        problems.append("plan.time_scale has to be greater than 0.")
    if final["run"]["log_entries"] < 0:
        problems.append("run.log_entries is negative.")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _name(shape: object) -> str:
    if shape is None:
        return "null"
    if isinstance(shape, dict):
        return "an object"
    if isinstance(shape, list):
        return "a list"
    if isinstance(shape, tuple):
        if all(isinstance(one, str) for one in shape):
            return "one of " + ", ".join(shape)
        return " or ".join(dict.fromkeys(_name(one) for one in shape))
    return {int: "a number", float: "a number", str: "a text", bool: "true or false"}.get(shape, "any value")  # type: ignore[call-overload]


def _fits(value: object, shape: object) -> bool:
    """Whether the outermost type fits; what is inside is checked on the way down."""
    if shape is None:
        return value is None
    if isinstance(shape, dict):
        return isinstance(value, dict)
    if isinstance(shape, list):
        return isinstance(value, list)
    if shape in (int, float):
        number = isinstance(value, (int, shape)) and not isinstance(value, bool)
        # Also refuses NaN and infinity; beyond this bound arithmetic on figures of a run has no meaning.
        return number and abs(value) < 1e18
    return isinstance(value, shape)  # type: ignore[arg-type]


def _check(value: object, shape: Any, where: str, problems: list[str]) -> None:
    if isinstance(shape, tuple) and all(isinstance(one, str) for one in shape):
        if value not in shape:
            problems.append(f"{where} is {_short(value)} and has to be {_name(shape)}.")
        return
    choices = shape if isinstance(shape, tuple) else (shape,)
    fitting = next((one for one in choices if _fits(value, one)), _MISSING)
    if fitting is _MISSING:
        problems.append(f"{where} is {_short(value)} and has to be {_name(shape)}.")
    elif isinstance(fitting, list):
        for index, one in enumerate(value):  # type: ignore[arg-type]
            _check(one, fitting[0], f"{where}[{index}]", problems)
    elif isinstance(fitting, dict):
        dot = where + "." if where else ""
        for field, inner in fitting.items():
            name = field.rstrip("?")
            if field == "*":
                for key, one in value.items():  # type: ignore[attr-defined]
                    _check(one, inner, dot + key[:60], problems)
            elif name in value:  # type: ignore[operator]
                _check(value[name], inner, dot + name, problems)  # type: ignore[index]
            elif field == name:
                problems.append(f"{dot}{name} is missing.")
