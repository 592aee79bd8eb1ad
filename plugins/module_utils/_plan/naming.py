# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts and groups a plan makes, which capabilities a worker has, what a Larry's tokens come to.

Shared by validation (which reads a plan that may be wrong anywhere) and the model (which reads a valid one), so that
both mean the same. Everything here takes the plan as it is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .document import PathKey

COMMON_GROUPS = ("all", "ungrouped", "larrys", "workers", "nodes")


def group_name(name: str) -> str:
    """Return the inventory group for an id: Ansible wants no dashes in group names."""
    text = name.replace("-", "_")
    return f"_{text}" if text[:1].isdigit() else text


def larry_group(larry: str) -> str:
    """Return the group of a Larry: ``larry_01`` for ``larry-01``, and ``larry_atlas`` for ``atlas``.

    The coordinator is a host named as its Larry, and Ansible warns about a group that is called like a host. An id
    without a dash would give that, so its group gets the word in front.
    """
    name = group_name(larry)
    return f"larry_{name}" if name == larry else name


def worker_id(larry: str, name: str) -> str:
    """Return the id of a worker: ``<larry>-<name>``."""
    return f"{larry}-{name}"


def short_worker_name(larry: str, worker: str) -> str:
    """Return the short name of a worker that a task names by its short name or by its id."""
    return worker.removeprefix(f"{larry}-")


def hosts(nodes: dict[str, Any], larrys: dict[str, dict[str, Any]]) -> Iterator[tuple[str, PathKey, str]]:
    """Yield (what it is, its place in the plan, host name) for each host."""
    for larry, entry in larrys.items():
        yield f"the Larry '{larry}'", ("larrys", larry), larry
        workers = entry.get("workers")
        for name in workers if isinstance(workers, dict) else ():
            yield f"the worker '{name}' of {larry}", ("larrys", larry, "workers", name), worker_id(larry, name)
    for node in nodes:
        yield f"the node '{node}'", ("nodes", node), node


def groups(larrys: dict[str, dict[str, Any]]) -> Iterator[tuple[str, PathKey, str]]:
    """Yield (what it is, its place in the plan, group name) for each group that the plan names."""
    for larry, entry in larrys.items():
        group = larry_group(larry)
        for name in (group, f"{group}_coordinator", f"{group}_workers"):
            yield f"the Larry '{larry}'", ("larrys", larry), name
        domain = entry.get("domain")
        if isinstance(domain, str):
            yield f"the domain '{domain}'", ("larrys", larry, "domain"), group_name(domain)


def capabilities_of_workers(
    larry: str, entry: dict[str, Any], tasks: dict[str, dict[str, Any]]
) -> dict[str, list[str]]:
    """Return short worker name -> capabilities: those listed, or those of the tasks that name the worker."""
    workers = entry.get("workers")
    workers = workers if isinstance(workers, dict) else {}
    result: dict[str, list[str]] = {}
    for name, worker in workers.items():
        listed = worker.get("capabilities") if isinstance(worker, dict) else None
        result[name] = [text for text in listed if isinstance(text, str)] if isinstance(listed, list) else []
    derived = {name for name, worker in workers.items() if isinstance(worker, dict) and "capabilities" not in worker}
    if derived:
        for task_id, task in tasks.items():
            if task.get("larry") != larry or not isinstance(task.get("worker"), str):
                continue
            name = short_worker_name(larry, task["worker"])
            capability = task.get("capability", task_id)
            if name in derived and isinstance(capability, str) and capability not in result[name]:
                result[name].append(capability)
    return result


def tokens(entry: dict[str, Any]) -> tuple[int, int, bool]:
    """Return (tokens of workers and master agents, tokens of pools, whether every figure could be read) of a Larry."""
    figures: list[Any] = []
    pools: list[Any] = []
    for section in ("workers", "masters"):
        members = entry.get(section, {})
        for member in members.values() if isinstance(members, dict) else [None]:
            member = member if isinstance(member, dict) else {}
            figures.append(member.get("tokens"))
            if section == "masters":
                pools.append(member.get("pool", 0))
    complete = all(isinstance(figure, int) and not isinstance(figure, bool) for figure in figures + pools)
    return (sum(figures), sum(pools), True) if complete else (0, 0, False)
