# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The facts of the shipped plans, as the plan of the three Larrys states them."""

from __future__ import annotations

import json
from pathlib import Path

import jmespath
import pytest

from ansible_collections.cortex.larry.plugins.module_utils._plan import Plan, load_plan

REPOSITORY = Path(__file__).resolve().parents[3]
EMBEDDED = REPOSITORY / "inventories" / "embedded" / "three-larrys.larry.yml"
K3S = REPOSITORY / "inventories" / "k3s" / "three-larrys.larry.yml"

MINUTE = 60
WORKERS = {  # id: (node, tokens, minutes, task)
    "larry-01-cleanup-worker": ("k3s-worker01", 8000, 15, "fix-pgadmin-crashloop"),
    "larry-01-consolidation-worker": ("k3s-worker01", 10000, 20, "consolidate-postgresql"),
    "larry-01-optimization-worker": ("k3s-worker01", 8000, 15, "optimize-postgresql"),
    "larry-01-monitoring-worker": ("k3s-worker01", 10000, 20, "setup-monitoring"),
    "larry-02-scan-worker-01": ("k3s-worker02", 8000, 15, "security-scan-group-01"),
    "larry-02-scan-worker-02": ("k3s-worker02", 8000, 15, "security-scan-group-02"),
    "larry-02-audit-worker": ("k3s-worker02", 10000, 20, "dependency-audit"),
    "larry-02-remediation-worker": ("k3s-worker02", 10000, 25, "automated-remediation"),
    "larry-03-catalog-worker-01": ("k3s-worker03", 8000, 15, "catalog-deployments"),
    "larry-03-catalog-worker-02": ("k3s-worker03", 8000, 15, "catalog-helm-releases"),
    "larry-03-classification-worker": ("k3s-worker03", 10000, 20, "classify-assets"),
    "larry-03-code-quality-worker": ("k3s-worker04", 10000, 20, "analyze-code-quality"),
    "larry-03-test-coverage-worker": ("k3s-worker04", 10000, 25, "improve-test-coverage"),
    "larry-03-documentation-worker": ("k3s-worker04", 10000, 20, "generate-documentation"),
    "larry-03-feature-worker": ("k3s-worker04", 12000, 25, "implement-priority-feature"),
    "larry-03-review-worker": ("k3s-worker04", 8000, 15, "review-all-prs"),
}
MASTERS = {
    "larry-01": {"cicd-master": (30000, 15000), "monitoring-master": (20000, 10000)},
    "larry-02": {"security-master": (30000, 15000)},
    "larry-03": {
        "development-master": (30000, 20000),
        "inventory-master": (35000, 15000),
        "testing-master": (25000, 10000),
    },
}


@pytest.fixture(params=[EMBEDDED, K3S], ids=["embedded", "k3s"])
def plan(request: pytest.FixtureRequest) -> Plan:
    return load_plan(request.param)


def test_run(plan: Plan) -> None:
    canonical = plan.canonical()
    assert (plan.name, plan.title, plan.cluster) == ("three-larrys", "3-LARRY", "Larry & the Darryls")
    assert canonical["window_s"] == 40 * MINUTE
    assert canonical["controllers"] == 3
    assert (canonical["fail_on"], canonical["cleanup"]) == ("failed", "on_request")
    assert canonical["convergence_s"] == 30 * MINUTE
    assert canonical["milestones"] == [
        {"at_s": 31 * MINUTE, "name": "barrier"},
        {"at_s": 32 * MINUTE, "name": "validation"},
        {"at_s": 35 * MINUTE, "name": "aggregation"},
        {"at_s": 40 * MINUTE, "name": "published"},
    ]
    assert canonical["barrier"] == {"policy": "fail", "timeout_s": 600, "join_within_s": 300}


def test_nodes(plan: Plan) -> None:
    assert {name: (node["address"], node["role"]) for name, node in plan.nodes.items()} == {
        **{f"k3s-master0{n}": (f"10.0.10.2{n}", "master") for n in (1, 2, 3)},
        **{f"k3s-worker0{n}": (f"10.0.10.3{n}", "worker") for n in (1, 2, 3, 4)},
    }


def test_larrys(plan: Plan) -> None:
    facts = {
        larry["id"]: (larry["domain"], larry["node"], larry["phase_s"] // MINUTE, larry["checkpoints"], larry["tokens"])
        for larry in plan.larrys.values()
    }
    assert facts == {
        "larry-01": ("infrastructure", "k3s-master01", 25, [{"at_s": 600, "progress": 40}], 111_000),
        "larry-02": ("security", "k3s-master02", 30, [{"at_s": 600, "progress": 30}], 81_000),
        "larry-03": ("development", "k3s-master03", 30, [{"at_s": 600, "progress": 20}], 211_000),
    }
    masters = {
        larry["id"]: {name: (master["tokens"], master["pool"]) for name, master in larry["masters"].items()}
        for larry in plan.larrys.values()
    }
    assert masters == MASTERS


def test_workers_and_tasks_in_their_order(plan: Plan) -> None:
    workers = {
        worker["id"]: (worker["node"], worker["tokens"], worker["duration_s"] // MINUTE, task["id"])
        for worker, task in zip(plan.workers.values(), plan.tasks.values(), strict=True)
    }
    assert list(workers.items()) == list(WORKERS.items())
    for task, worker in zip(plan.tasks.values(), plan.workers.values(), strict=True):
        assert task["worker"] == worker["id"]
        assert task["capability"] == task["id"]
        assert task["planned_s"] == worker["duration_s"]
        assert task["deadline_s"] == 2 * worker["duration_s"]
        assert task["tokens"] == worker["tokens"]
        assert (task["attempts"], task["backoff_s"], task["metered"]) == (3, 2, False)
        assert task["role"] == f"cortex.larry.{plan.larrys[task['larry']]['domain']}"
        assert task["entry_point"] == task["id"].replace("-", "_")


def test_budgets_by_hand(plan: Plan) -> None:
    workers = sum(tokens for _node, tokens, _duration, _capabilities in WORKERS.values())
    personal = sum(tokens for masters in MASTERS.values() for tokens, _pool in masters.values())
    pools = sum(pool for masters in MASTERS.values() for _tokens, pool in masters.values())
    assert plan.canonical()["budgets"] == {
        "meta_coordinator": 50_000,
        "emergency": 25_000,
        "total": 478_000,
        "total_without_pools": 393_000,
    }
    assert workers + personal + pools + 75_000 == 478_000
    assert workers + personal + 75_000 == 393_000
    assert sum(len(masters) for masters in MASTERS.values()) + 1 == 7, "the seven masters"


def test_namespaces_belong_to_the_tasks(plan: Plan) -> None:
    """Whoever takes a scan over scans the same namespaces."""
    assert plan.tasks["security-scan-group-01"]["parameters"]["namespaces"] == [
        "database",
        "monitoring",
        "n8n",
        "ingress",
    ]
    assert plan.tasks["security-scan-group-02"]["parameters"]["namespaces"] == ["ai-agents", "redis-ha", "storage"]


def test_every_task_has_a_second_capable_worker(plan: Plan) -> None:
    assert {task: workers for task in plan.tasks if len(workers := plan.capable_workers(task)) < 2} == {}


def test_dependencies(plan: Plan) -> None:
    tasks = plan.tasks
    scans = {"security-scan-group-01", "security-scan-group-02", "dependency-audit"}
    assert set(tasks["automated-remediation"]["depends_on"]) == scans
    assert set(tasks["classify-assets"]["depends_on"]) == {"catalog-deployments", "catalog-helm-releases"}
    assert {tasks[other]["larry"] for other in tasks["review-all-prs"]["after"]} == {"larry-01", "larry-02", "larry-03"}
    assert tasks["review-all-prs"]["depends_on"] == [], "a failed task must not keep the others' requests from a review"


def test_criteria(plan: Plan) -> None:
    criteria = {criterion["id"]: criterion for criterion in plan.canonical()["criteria"]}
    assert {criterion["scope"] for criterion in criteria.values()} == {"system", *plan.larrys}
    system = {
        criterion["measure"]: (criterion["op"], criterion["threshold"])
        for criterion in criteria.values()
        if criterion["scope"] == "system"
    }
    assert system == {
        "run.duplicated_tasks": ("==", 0),
        "run.longest_larry_minutes": ("<=", 30),
        "run.barrier_clean": ("==", True),
        "run.log_complete": ("==", True),
        "run.tokens_used_percent": ("<", 95),
        "run.coordination_overhead_percent": ("<", 5),
        "run.workers_off_node": ("==", 0),
        "run.catalogue_difference": ("==", 0),
    }
    for criterion in criteria.values():
        if criterion["scope"] != "system":
            assert criterion["needs"], "a figure of a task needs the task"
            assert {plan.tasks[task]["larry"] for task in criterion["needs"]} == {criterion["scope"]}
            # The expression reads what it needs and nothing else: with these tasks filled in it gives a value (a
            # figure, or the truth of a comparison of two).
            results = {task: {"summary": _AnyFigure()} for task in criterion["needs"]}
            assert jmespath.search(criterion["measure"], {"tasks": results}) in (7, True), criterion["id"]


class _AnyFigure(dict):
    """A summary in which every figure is 7."""

    def get(self, name: str, default: object = None) -> int:
        return 7


def test_embedded_needs_nothing_from_elsewhere() -> None:
    plan = load_plan(EMBEDDED)
    assert plan.connection == "embedded"
    assert plan.time_scale == 20, "a planned minute is three seconds"
    assert plan.ansible_connection == "local"
    assert plan.estate["source"] == "gitops"
    assert plan.estate_path == REPOSITORY / "examples" / "estate"
    assert (plan.prefix, plan.run_directory) == ("", "coordination")


def test_k3s() -> None:
    plan = load_plan(K3S)
    assert plan.connection == "redis://redis-cluster.redis-ha.svc.cluster.local:6379"
    assert plan.estate == {"source": "kubernetes"} and plan.estate_path is None
    assert plan.time_scale == 1 and plan.ansible_connection is None


def test_both_are_the_same_plan_but_for_time_scale_and_estate() -> None:
    first, second = (json.loads(json.dumps(load_plan(path).canonical())) for path in (EMBEDDED, K3S))
    for canonical in (first, second):
        del canonical["time_scale"], canonical["estate"]
    assert first == second


def test_seven_larrys() -> None:
    plan = load_plan(REPOSITORY / "tests" / "plans" / "seven-larrys.larry.yml")
    assert (len(plan.larrys), len(plan.workers), len(plan.nodes), len(plan.tasks)) == (7, 14, 7, 14)
    assert plan.canonical()["controllers"] == 7
    assert {task["role"] for task in plan.tasks.values()} == {"larry_test"}
    assert {task["entry_point"] for task in plan.tasks.values()} == {"work"}
    assert [plan.group(larry) for larry in plan.larrys] == [
        "larry_atlas", "brook_2", "larry_cedar", "dune_east", "larry_ember", "frost_9", "larry_grove",
    ]  # fmt: skip
    assert all(len(plan.capable_workers(task)) == 2 for task in plan.tasks)
