# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Publishing the report of a run: who may, from what, and when it counts as finished."""

from __future__ import annotations

import datetime
import os
import typing as t

from ._coordination.errors import Busy, SettingsError
from ._coordination.events import EventService
from ._coordination.locks import LockService
from ._coordination.runs import RunService
from ._coordination.session import Session
from ._coordination.snapshot import take_snapshot
from ._plan import Plan
from ._report import ReportError, build_final, write_final, write_plan_document, write_summary
from .cross_validation import check_evidence, check_log, file_digest, neighbour
from .options import Context
from .plan_access import coordination_directory, estate_directory, plan_of
from .recount import recount_rows
from .run_archive import write_archive
from .version import COLLECTION_VERSION

_LOCK = "larry-report"


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def validate_neighbour(context: Context, larry: str) -> dict[str, t.Any]:
    """`larry` validates the next Larry of the plan and logs what it found."""
    plan = plan_of(context)
    canonical = plan.canonical()
    if larry not in canonical["larrys"]:
        raise SettingsError(f"The plan {plan.name} has no Larry {larry}.")
    of = neighbour(canonical, larry)
    if context.check_mode:
        return {"changed": False, "larry": larry, "of": of, "rows": []}
    session = context.session(member=True, actor=larry)
    record = take_snapshot(session, canonical, COLLECTION_VERSION)
    directory = coordination_directory(context, plan)
    rows = [
        check_log(record, of),
        check_evidence(record, of, directory),
        *recount_rows(record, of, directory, estate_directory(context, plan)),
    ]
    EventService(session).publish("cross_validated", {"larry": larry, "of": of, "rows": rows})
    return {"changed": True, "larry": larry, "of": of, "rows": rows}


def publish_turn(context: Context, larry: str, finish: bool) -> dict[str, t.Any]:
    """Publishes the report if nobody else does; otherwise waits up to `wait` seconds for it.

    Args:
        finish: ends the run afterwards; without it the run can be resumed (its barrier failed).
    """
    plan = plan_of(context)
    if context.check_mode:
        return {
            "changed": True,
            "published": True,
            "report": None,
            "unmet": [],
            "failed_tasks": [],
            "failed_larrys": [],
        }
    session = context.session(member=True, actor=larry)
    runs, locks = RunService(session), LockService(session)
    record = runs.look()
    directory = coordination_directory(context, plan)
    if finish and record.get("state") == "finished":
        return {
            "changed": False,
            "published": True,
            "fail_on": plan.canonical()["fail_on"],
            **_outcome(session, plan, directory),
        }
    try:
        locks.acquire(_LOCK, reason=f"{larry} publishes the report", wait_s=0.0 if finish else 30.0)
    except Busy:
        done = runs.wait_finished(record.get("id", ""), context.parameters["wait"])
        return {"changed": False, "published": done, **(_outcome(session, plan, directory) if done else {})}
    try:
        written = write_reports(session, plan, directory)
        if finish:
            failed = written["failed_tasks"] or written["failed_larrys"]
            runs.finish("failed" if failed else "completed", written["report"], written["log_head"])
            # Once more, so that the report holds the last entry of the log, too.
            written = write_reports(session, plan, directory)
            written["archive"] = write_archive(session, plan, directory)
            if plan.canonical()["cleanup"] == "on_finish":
                runs.delete(force=True)
    finally:
        if runs.look().get("state"):
            locks.release(_LOCK)
    return {"changed": True, "published": True, "fail_on": plan.canonical()["fail_on"], **written}


def write_reports(session: Session, plan: Plan, directory: str) -> dict[str, t.Any]:
    """Writes the final files, the summary and the plan document from one snapshot."""
    canonical = plan.canonical()
    record = take_snapshot(session, canonical, COLLECTION_VERSION)
    validated = {event["of"]: event["rows"] or [] for event in record["events"] if event["event"] == "cross_validated"}
    reports = os.path.join(directory, "reports")
    written_at = _now()
    paths = [
        write_final(reports, build_final(record, larry, validated.get(larry, []), written_at))["path"]
        for larry in canonical["larrys"]
    ]
    summary = write_summary(paths, reports)
    write_plan_document(canonical, os.path.join(directory, "execution-plans"), record["run"]["digest"])
    return {
        "report": summary["markdown"]["path"],
        "html": summary["html"]["path"],
        "finals": paths,
        "criteria": [
            {name: one.get(name) for name in ("id", "title", "scope", "state", "value", "reason")}
            for one in summary["model"]["criteria"]
        ],
        "unmet": [one["id"] for one in summary["model"]["criteria"] if one["state"] == "unmet"],
        "failed_tasks": sorted(task for task, one in record["tasks"].items() if one["status"] == "failed"),
        "failed_larrys": sorted(name for name, one in record["larrys"].items() if one["status"] == "failed"),
        "log_head": record["run"]["log_head"],
    }


def _outcome(session: Session, plan: Plan, directory: str) -> dict[str, t.Any]:
    """What the controllers that did not publish need for their exit code."""
    failed = [task for task in plan.tasks if session.client.get(session.key(f"task:status:{task}")) == "failed"]
    larrys = [name for name in plan.larrys if session.client.get(session.key(f"phase:{name}:status")) == "failed"]
    return {"failed_tasks": sorted(failed), "failed_larrys": sorted(larrys), "report": None, "directory": directory}


def regenerate(files: list[str], output: str, check_mode: bool) -> dict[str, t.Any]:
    """The summary from final files alone, without a server.

    Raises:
        SettingsError: a file cannot be used, or the files are not of one run.
    """
    before = file_digest(output)
    if check_mode:
        return {"changed": True, "report": output}
    try:
        written = write_summary(files, os.path.dirname(os.path.abspath(output)), output=output)
    except ReportError as error:
        raise SettingsError(str(error)) from error
    except OSError as error:
        raise SettingsError(f"The summary {output} cannot be written: {error.strerror}.") from error
    return {
        "changed": file_digest(output) != before,
        "report": written["markdown"]["path"],
        "html": written["html"]["path"],
        "unmet": [one["id"] for one in written["model"]["criteria"] if one["state"] == "unmet"],
    }
