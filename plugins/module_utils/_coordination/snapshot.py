# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of a run: everything on the server under this prefix, read by name, as plain JSON types."""

from __future__ import annotations

import datetime
import json
import typing as t

from .budgets import budget_view
from .errors import NotJoined
from .events import EventService, chain
from .session import Session, not_joined, patient

_PAGE = 500


def iso(microseconds: str | None) -> str | None:
    """Server microseconds as ISO 8601 in UTC; None for a time that has not come."""
    if not microseconds:
        return None
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=int(microseconds))
    return moment.isoformat(timespec="microseconds") + "Z"


def server_version(session: Session) -> str:
    """``valkey 9.1.0 (embedded)`` or ``redis 7.0.15``; the address is not in it."""
    try:
        info = session.client.info("server")
    except Exception:
        return "unknown"
    name = info.get("server_name") or ("valkey" if "valkey_version" in info else "redis")
    version = info.get("valkey_version") or info.get("redis_version")
    where = " (embedded)" if session.settings.server == "embedded" else ""
    return f"{name} {version}{where}"


def _instead_of(run: dict[str, str]) -> str:
    return f", in place of {run['fallback']}, which did not answer at the start" if run.get("fallback") else ""


@patient
def take_snapshot(
    session: Session, plan: dict[str, t.Any], collection_version: str, run_id: str | None = None
) -> dict[str, t.Any]:
    """Reads the whole run.

    Args:
        plan: the canonical plan; what is read is looked up by its ids.
        run_id: of the run that is meant; any by default.

    Returns:
        run, plan, larrys, tasks, tokens, metrics and events (the whole log).

    Raises:
        NotJoined: there is no such run under this prefix, or it was deleted while it was read.
    """
    client, key = session.client, session.key
    run = client.hgetall(key("larry:run"))
    if not run or run["id"] != (run_id or run["id"]):
        raise not_joined(session, {"status": "no_run"})
    events = list(EventService(Session(session.settings, session.controller, session.host, member=True)).everything())
    controllers = {name: json.loads(text) for name, text in client.hgetall(key("larry:controllers")).items()}
    ready_at = {event["task_id"]: event["timestamp"] for event in events if event["event"] == "task_ready"}
    led_by: dict[str, set[str]] = {}
    for event in events:
        if event["event"] == "task_claimed":
            led_by.setdefault(event["larry"], set()).add(event["controller"])
    reserve = client.get(key("larry:reserve"))
    larrys, tokens, metrics = {}, {}, {}
    for larry in plan["larrys"]:
        pipe = client.pipeline(transaction=True)
        pipe.hgetall(key(f"larry:larry:{larry}"))
        pipe.get(key(f"phase:{larry}:progress"))
        pipe.hgetall(key(f"larry:tokens:{larry}"))
        pipe.get(key(f"tokens:{larry}:limit"))
        pipe.hgetall(key(f"larry:metrics:{larry}"))
        pipe.hgetall(key(f"phase:{larry}:findings"))
        fields, progress, book, limit, counted, findings = pipe.execute()
        ids = led_by.get(larry, set()) | ({fields["controller"]} if fields.get("controller") else set())
        larrys[larry] = {
            "status": fields.get("status", "pending"),
            "mode": fields.get("mode", "running"),
            "progress": int(progress or 0),
            "started_at": iso(fields.get("started_at")),
            "completed_at": iso(fields.get("completed_at")),
            "deadline": iso(fields.get("deadline")),
            "failure": fields.get("failure") or None,
            "controllers": [controllers[one] for one in sorted(ids) if one in controllers],
            "findings": {name: int(value) for name, value in findings.items()},
        }
        tokens[larry] = budget_view(book, limit, reserve, run.get("emergency"))
        metrics[larry] = {name: int(value) for name, value in counted.items()}
    tasks = _tasks(session, plan, ready_at)
    # A run that somebody deletes meanwhile would give a record with holes.
    if client.hmget(key("larry:run"), "id", "state") not in ([run["id"], run["state"]], [run["id"], "finished"]):
        raise not_joined(session, {"status": "no_run"})
    return {
        "run": {
            "id": run["id"],
            "plan": plan["name"],
            "cluster": plan["cluster"],
            "digest": run["digest"],
            "state": run["state"],
            "outcome": run.get("outcome"),
            "collection_version": collection_version,
            "created_at": iso(run.get("created_at")),
            "started_at": iso(run.get("started_at")),
            "finished_at": iso(run.get("finished_at")),
            "epoch": run.get("epoch"),
            "log_head": chain(events) if events else None,
            "log_entries": max(int(run.get("seq") or 0), int(events[-1]["id"]) if events else 0),
            "server": server_version(session) + _instead_of(run),
            "prefix": session.settings.prefix,
        },
        "plan": plan,
        "larrys": larrys,
        "tasks": tasks,
        "tokens": tokens,
        "metrics": metrics,
        "events": events,
    }


def _tasks(session: Session, plan: dict[str, t.Any], ready_at: dict[str, str]) -> dict[str, dict[str, t.Any]]:
    out = {}
    ids = list(plan["tasks"])
    for start in range(0, len(ids), _PAGE):
        page = ids[start : start + _PAGE]
        pipe = session.client.pipeline(transaction=False)
        for task in page:
            pipe.hgetall(session.key(f"larry:task:{task}"))
            pipe.get(session.key(f"task:status:{task}"))
            pipe.hget(session.key(f"task:result:{task}"), "result")
        answers = pipe.execute()
        for place, task in enumerate(page):
            fields, status, result = answers[3 * place : 3 * place + 3]
            worker = fields.get("worker_now") or None
            evidence = fields.get("machine")
            out[task] = {
                "status": status or "pending",
                "cause": fields.get("cause") or None,
                "attempts": int(fields.get("attempt", 0)),
                "worker": worker,
                "node": plan["workers"][worker]["node"] if worker in plan["workers"] else None,
                "machine": json.loads(evidence) if evidence else None,
                "ready_at": ready_at.get(task),
                "claimed_at": iso(fields.get("claimed_at")),
                "settled_at": iso(fields.get("settled_at")),
                "fence": fields.get("fence"),
                "result": json.loads(result) if result else None,
            }
            machine = (out[task]["result"] or {}).get("machine")
            if machine:
                # Where the work itself ran counts more than where it was claimed.
                out[task]["machine"] = machine
    return out


@patient
def results_of(session: Session, tasks: t.Iterable[str]) -> dict[str, dict[str, t.Any]]:
    """Results of settled tasks by id; a task without a result is left out."""
    names = list(tasks)
    pipe = session.client.pipeline(transaction=False)
    for task in names:
        pipe.hget(session.key(f"task:result:{task}"), "result")
    return {task: json.loads(text) for task, text in zip(names, pipe.execute(), strict=True) if text}


@patient
def overview(session: Session) -> dict[str, t.Any]:
    """State of the run in short, without its plan: run, Larrys and workers.

    Raises:
        NotJoined: there is no run under this prefix.
    """
    client, key = session.client, session.key
    run = client.hgetall(key("larry:run"))
    if not run:
        raise NotJoined(not_joined(session, {"status": "no_run"}).sentence)
    larrys, workers = [], []
    for larry in sorted(client.smembers(key("larry:larrys"))):
        fields = client.hgetall(key(f"larry:larry:{larry}"))
        lease = client.hgetall(key(f"larry:lease:slot/{larry}"))
        larrys.append(
            {
                "larry": larry,
                "phase": fields.get("status"),
                "mode": fields.get("mode"),
                "progress": int(client.get(key(f"phase:{larry}:progress")) or 0),
                "led": "token" in lease,
                "controller": lease.get("controller") if "token" in lease else None,
                **{name: int(fields.get(name) or 0) for name in ("total", "settled", "completed", "failed", "skipped")},
            }
        )
        for worker in sorted(client.smembers(key(f"larry:workers:{larry}"))):
            record = client.hgetall(key(f"larry:worker:{worker}"))
            workers.append(
                {
                    "worker": worker,
                    "larry": larry,
                    "node": record.get("node"),
                    "status": record.get("status"),
                    "task": record.get("task") or None,
                }
            )
    return {
        "run": {
            "id": run.get("id"),
            "plan": run.get("plan"),
            "state": run.get("state"),
            "outcome": run.get("outcome"),
            "digest": run.get("digest"),
            "epoch": int(run["epoch"]) if run.get("epoch", "").isdigit() else None,
            "history_lost": bool(run.get("lost")),
            "fallback": run.get("fallback") or None,
            "created_at": iso(run.get("created_at")),
            "finished_at": iso(run.get("finished_at")),
            "log_entries": int(run.get("seq") or 0),
        },
        "larrys": larrys,
        "workers": workers,
    }
