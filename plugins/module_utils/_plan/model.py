# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A valid plan: everything spelt out, defaults applied, with an identity."""

from __future__ import annotations

import hashlib
import json
import os.path
from pathlib import Path
from typing import Any

from . import durations, naming
from .document import Document, read_document
from .errors import PlanError
from .validation import validate

DEFAULT_ATTEMPTS = 3
DEFAULT_BACKOFF_S = 2
DEFAULT_BARRIER_TIMEOUT_S = 600
DEFAULT_JOIN_WITHIN_S = 300

# path -> (modification time in ns, size, plan). An inventory plugin fills it in the parent process, and every fork
# inherits it: a task then pays nothing for the plan, however large it is.
_cache: dict[str, tuple[int, int, Plan]] = {}


def load_plan(path: str | Path) -> Plan:
    """Read, check and return a plan; a file that did not change since is not read again.

    Args:
        path: the plan file (``*.larry.yml``), absolute or relative to the current directory.

    Raises:
        PlanError: with every problem that was found.
    """
    file = Path(path).absolute()
    try:
        status = file.stat()
        stamp = (status.st_mtime_ns, status.st_size)
    except OSError:
        stamp = (-1, -1)  # read_document finds the words
    cached = _cache.get(str(file))
    if cached and cached[:2] == stamp:
        return cached[2]
    document = read_document(path)
    if not document.problems:
        validate(document)
    if document.problems:
        raise PlanError(document.problems)
    plan = Plan(document, file)
    _cache[str(file)] = (*stamp, plan)
    return plan


class Plan:
    """A plan that was found valid. Not to be changed: all of a process shares it.

    Attributes:
        path: the plan file, absolute.
        directory: the directory of the plan file.
        name, title, cluster: as in the plan.
        connection: ``run.redis`` as written: ``"embedded"``, a URL, or a mapping with ``url`` and options.
        ansible_connection: ``run.connection``, or None for Ansible's own default.
        prefix: stands before every key and channel; may be empty.
        fallback: ``run.fallback``: ``none``, or ``embedded`` where the one controller may use the embedded server.
        run_directory: the coordination directory, relative to the current directory unless absolute.
        estate: the estate as written (``source``, ``path``, ``context``).
        estate_path: absolute path of the estate's repository, or None if it has none.
    """

    def __init__(self, document: Document, path: Path) -> None:
        data = document.data
        run = data["run"]
        self.path = path
        self.directory = path.parent
        self.name: str = data["name"]
        self.title: str = data.get("title", self.name.upper())
        self.cluster: str = data.get("cluster", self.name)
        self.connection: str | dict[str, Any] = run.get("redis", "embedded")
        self.ansible_connection: str | None = run.get("connection")
        self.prefix: str = run.get("prefix", "")
        self.fallback: str = run.get("fallback", "none")
        self.run_directory: str = run.get("directory", "coordination")
        self.estate: dict[str, Any] = data["estate"]
        self.estate_path: Path | None = None
        if "path" in self.estate:
            # Without resolve(): a link that an operator moves must keep its meaning.
            self.estate_path = Path(os.path.normpath(self.directory / self.estate["path"]))
        self._canonical = _canonical(self, data)

    def __repr__(self) -> str:
        return f"<Plan {self.name} from {self.path}>"

    def canonical(self) -> dict[str, Any]:
        """Return the plan as JSON types with every default applied.

        Times are planned seconds (real seconds are planned seconds divided by ``time_scale``), except ``backoff_s`` of
        a task and ``timeout_s`` and ``join_within_s`` of the barrier, which are real seconds. The connection, the
        prefix and paths are not in it. The same object at each call: read it, do not change it.
        """
        return self._canonical

    def digest(self, collection_version: str) -> str:
        """Return the SHA-256 (hex) of the canonical plan and the collection's version: the identity of a run."""
        identity = {"collection_version": str(collection_version), "plan": self._canonical}
        text = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def time_scale(self) -> float:
        """Planned seconds in one real second."""
        return self._canonical["time_scale"]

    @property
    def larrys(self) -> dict[str, dict[str, Any]]:
        return self._canonical["larrys"]

    @property
    def workers(self) -> dict[str, dict[str, Any]]:
        return self._canonical["workers"]

    @property
    def tasks(self) -> dict[str, dict[str, Any]]:
        return self._canonical["tasks"]

    @property
    def nodes(self) -> dict[str, dict[str, Any]]:
        return self._canonical["nodes"]

    def capable_workers(self, task: str) -> list[str]:
        """Return the ids of the workers of the task's Larry that have its capability, in the order of the plan."""
        entry = self.tasks[task]
        return [
            worker
            for worker in self.larrys[entry["larry"]]["workers"]
            if entry["capability"] in self.workers[worker]["capabilities"]
        ]

    def group(self, larry: str) -> str:
        """Return the inventory group of a Larry, as ``--limit`` wants it: ``larry_01`` for ``larry-01``."""
        if larry not in self.larrys:
            raise KeyError(larry)
        return naming.larry_group(larry)

    def domain_group(self, domain: str) -> str:
        """Return the inventory group of a domain."""
        return naming.group_name(domain)


def _canonical(plan: Plan, data: dict[str, Any]) -> dict[str, Any]:
    run = data["run"]
    larrys, workers = _larrys(data)
    longest_phase = max(larry["phase_s"] for larry in larrys.values())
    personal, pools = 0, 0
    for entry in data["larrys"].values():
        more_personal, more_pools, _complete = naming.tokens(entry)
        personal, pools = personal + more_personal, pools + more_pools
    budgets = data.get("budgets") or {}
    meta, emergency = budgets.get("meta_coordinator", 0), budgets.get("emergency", 0)
    barrier = data.get("barrier") or {}
    milestones = [{"at_s": _seconds(at), "name": name} for name, at in run.get("milestones", {}).items()]
    return {
        "name": plan.name,
        "title": plan.title,
        "cluster": plan.cluster,
        "window_s": _seconds(run["window"]),
        "time_scale": float(run.get("time_scale", 1)),
        "controllers": run.get("controllers", len(larrys)),
        "fail_on": run.get("fail_on", "failed"),
        "cleanup": run.get("cleanup", "on_request"),
        "nodes": {
            name: {"name": name, "address": node["address"], "role": node.get("role", "worker")}
            for name, node in data["nodes"].items()
        },
        "larrys": larrys,
        "workers": workers,
        "tasks": _tasks(data, workers),
        "milestones": sorted(milestones, key=lambda milestone: milestone["at_s"]),
        "convergence_s": _seconds(run["convergence"]) if "convergence" in run else longest_phase,
        "budgets": {
            "meta_coordinator": meta,
            "emergency": emergency,
            "total": personal + pools + meta + emergency,
            "total_without_pools": personal + meta + emergency,
        },
        "barrier": {
            "policy": barrier.get("policy", "fail"),
            "timeout_s": _seconds(barrier["timeout"]) if "timeout" in barrier else DEFAULT_BARRIER_TIMEOUT_S,
            "join_within_s": _seconds(barrier["join_within"]) if "join_within" in barrier else DEFAULT_JOIN_WITHIN_S,
        },
        "criteria": [_criterion(name, entry) for name, entry in data.get("criteria", {}).items()],
        "estate": {"source": data["estate"]["source"]},
    }


def _larrys(data: dict[str, Any]) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    larrys: dict[str, dict[str, Any]] = {}
    workers: dict[str, dict[str, Any]] = {}
    for larry, entry in data["larrys"].items():
        capabilities = naming.capabilities_of_workers(larry, entry, data["tasks"])
        own = []
        for name, worker in entry["workers"].items():
            worker_id = naming.worker_id(larry, name)
            own.append(worker_id)
            workers[worker_id] = {
                "id": worker_id,
                "name": name,
                "larry": larry,
                "node": worker["node"],
                "tokens": worker["tokens"],
                "duration_s": _seconds(worker["duration"]),
                "capabilities": capabilities[name],
                "parameters": worker.get("parameters", {}),
            }
        personal, pools, _complete = naming.tokens(entry)
        checkpoints = [
            {"at_s": _seconds(at), "progress": progress} for at, progress in entry.get("checkpoints", {}).items()
        ]
        larrys[larry] = {
            "id": larry,
            "domain": entry["domain"],
            "node": entry["node"],
            "phase_s": _seconds(entry["phase"]),
            "checkpoints": sorted(checkpoints, key=lambda checkpoint: checkpoint["at_s"]),
            "masters": {
                name: {"tokens": master["tokens"], "pool": master.get("pool", 0)}
                for name, master in entry.get("masters", {}).items()
            },
            "tokens": personal + pools,
            "workers": own,
        }
    return larrys, workers


def _tasks(data: dict[str, Any], workers: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    able: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for worker in workers.values():
        for capability in worker["capabilities"]:
            able.setdefault((worker["larry"], capability), []).append(worker)
    tasks = {}
    for index, (task_id, entry) in enumerate(data["tasks"].items()):
        larry = entry["larry"]
        capability = entry.get("capability", task_id)
        worker = None
        if "worker" in entry:
            worker = workers[naming.worker_id(larry, naming.short_worker_name(larry, entry["worker"]))]
        candidates = [worker] if worker else able[larry, capability]
        found_at = data.get("capabilities", {}).get(capability, {})
        domain = data["larrys"][larry]["domain"]
        planned_s = (
            _seconds(entry["duration"]) if "duration" in entry else max(each["duration_s"] for each in candidates)
        )
        hard, soft = entry.get("depends_on", []), entry.get("after", [])
        if not entry.get("wait_for_completion", True):
            hard, soft = [], [*hard, *soft]
        tasks[task_id] = {
            "id": task_id,
            "larry": larry,
            "index": index,
            "capability": capability,
            "role": entry.get("role") or found_at.get("role") or f"cortex.larry.{domain.replace('-', '_')}",
            "entry_point": entry.get("entry_point") or found_at.get("entry_point") or capability.replace("-", "_"),
            "worker": worker["id"] if worker else None,
            "depends_on": hard,
            "after": soft,
            "touches": entry.get("touches", []),
            # The worker's parameters belong to the task: whoever takes it over works on the same things.
            "parameters": {**(worker["parameters"] if worker else {}), **entry.get("parameters", {})},
            "metered": entry.get("metered", False),
            "planned_s": planned_s,
            "deadline_s": _seconds(entry["deadline"]) if "deadline" in entry else planned_s * 2,
            "attempts": entry.get("attempts", DEFAULT_ATTEMPTS),
            "backoff_s": _seconds(entry["backoff"]) if "backoff" in entry else DEFAULT_BACKOFF_S,
            "tokens": entry["tokens"] if "tokens" in entry else max(each["tokens"] for each in candidates),
        }
    return tasks


def _criterion(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": name,
        "title": entry["title"],
        "scope": entry.get("scope", "system"),
        "needs": entry.get("needs", []),
        "measure": entry.get("measure"),
        "op": entry["op"],
        "threshold": entry["threshold"],
        "unit": entry.get("unit", ""),
    }


def _seconds(value: object) -> int | float:
    length = durations.seconds(value)
    if length is None:
        raise AssertionError("validation let a duration through that is none")
    return length
