# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cross-validation: one Larry checks what another one reported, by routes that the other did not use."""

from __future__ import annotations

import hashlib
import os
import typing as t

MET, UNMET, NOT_MEASURED = "met", "unmet", "not measured"
_SETTLING = {"task_completed": "completed", "task_failed": "failed", "task_skipped": "skipped"}


def neighbour(plan: dict[str, t.Any], larry: str) -> str:
    """The Larry that `larry` validates: the next one of the plan, the first after the last."""
    names = list(plan["larrys"])
    return names[(names.index(larry) + 1) % len(names)]


def file_digest(path: str) -> str | None:
    """SHA-256 of a file in hex; None for one that cannot be read."""
    try:
        with open(path, "rb") as stream:
            return hashlib.sha256(stream.read()).hexdigest()
    except OSError:
        return None


def check_log(record: dict[str, t.Any], larry: str) -> dict[str, t.Any]:
    """Replays the log and compares each task's last state with the key an operator reads."""
    replayed: dict[str, str] = {}
    for event in record["events"]:
        state = _SETTLING.get(event["event"])
        if event["event"] == "task_reopened":
            replayed.pop(event["task_id"], None)
        if state and event.get("final") is not False:
            replayed[event["task_id"]] = state
    wrong = [
        task
        for task, spec in record["plan"]["tasks"].items()
        if spec["larry"] == larry and replayed.get(task, "pending") != record["tasks"][task]["status"]
    ]
    count = sum(1 for spec in record["plan"]["tasks"].values() if spec["larry"] == larry)
    return {
        "title": f"The log of {larry} tells the same as its status keys",
        "state": UNMET if wrong else MET,
        "detail": f"different for {', '.join(wrong)}"
        if wrong
        else f"{count} tasks replayed from the log, all the same",
    }


def check_evidence(record: dict[str, t.Any], larry: str, directory: str) -> dict[str, t.Any]:
    """Reads every evidence file that the results of `larry` name and compares its digest."""
    named, wrong, absent = 0, [], []
    for task, spec in record["plan"]["tasks"].items():
        if spec["larry"] != larry:
            continue
        for one in (record["tasks"][task]["result"] or {}).get("evidence") or []:
            named += 1
            path = os.path.normpath(os.path.join(directory, str(one["path"])))
            if not path.startswith(os.path.normpath(directory) + os.sep):
                wrong.append(f"{one['path']} leads out of the coordination directory")
                continue
            digest = file_digest(path)
            if digest is None:
                absent.append(str(one["path"]))
            elif digest != one["sha256"]:
                wrong.append(f"{one['path']} has another digest")
    title = f"The evidence of {larry} is what its results name"
    if wrong:
        return {"title": title, "state": UNMET, "detail": "; ".join(wrong[:5])}
    if absent:
        return {"title": title, "state": NOT_MEASURED, "detail": f"not on this machine: {', '.join(absent[:5])}"}
    if not named:
        return {"title": title, "state": NOT_MEASURED, "detail": "no result names any evidence"}
    return {"title": title, "state": MET, "detail": f"{named} files read, every SHA-256 the same"}
