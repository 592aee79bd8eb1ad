# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Categories, tags and health scores."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
import yaml

from ansible_collections.cortex.larry.plugins.module_utils._estate import EstateObject, Origin, open_source
from ansible_collections.cortex.larry.plugins.module_utils._estate.objects import identify
from ansible_collections.cortex.larry.plugins.module_utils._work import health_score
from ansible_collections.cortex.larry.plugins.module_utils._work.catalogue import catalogue
from ansible_collections.cortex.larry.plugins.module_utils._work.classification import DEFAULT_RULES, merge_rules
from ansible_collections.cortex.larry.plugins.module_utils._work.portfolio import findings_of, portfolio

BUNDLED = pathlib.Path(__file__).parents[3] / "examples" / "estate"
GOOD = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec:
  replicas: 2
  serviceName: db
  template:
    metadata: {labels: {app: db}}
    spec:
      containers:
      - name: db
        image: postgres:16@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
        livenessProbe: {tcpSocket: {port: 5432}}
        readinessProbe: {tcpSocket: {port: 5432}}
        resources: {requests: {cpu: 1, memory: 1Gi}, limits: {memory: 1Gi}}
        securityContext:
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          runAsNonRoot: true
          capabilities: {drop: [ALL]}
  volumeClaimTemplates: [{metadata: {name: data}}]
status: {replicas: 2, readyReplicas: 2}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {selector: {app: db}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: db, namespace: shop}
spec: {selector: {matchLabels: {app: db}}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: db-backup, namespace: shop}
spec:
  jobTemplate:
    spec: {template: {spec: {containers: [{name: b, image: "postgres:16", env: [{name: PGHOST, value: db}]}]}}}
"""


def built(text: str, rules: t.Sequence[dict] = ()) -> dict[str, t.Any]:
    objects = (
        EstateObject(identify(manifest), manifest, Origin("t.yaml", number, line=1))
        for number, manifest in enumerate(yaml.safe_load_all(text))
    )
    merged, problems = merge_rules(rules)
    assert problems == []
    return portfolio(catalogue(objects), None, merged)


def asset(made: dict, kind: str, name: str) -> dict[str, t.Any]:
    return next(one for one in made["assets"] if (one["kind"], one["name"]) == (kind, name))


def test_a_workload_that_does_everything_right_has_a_hundred() -> None:
    health = asset(built(GOOD), "StatefulSet", "db")["health"]
    assert health["score"] == 100 and health["band"] == "excellent"
    assert {check["check"] for check in health["checks"]} == set(health_score.WEIGHTS)


# What is taken out, the check that it costs, and the grade that is left.
@pytest.mark.parametrize(
    ("old", "new", "check", "grade"),
    [
        ("        readinessProbe: {tcpSocket: {port: 5432}}\n", "", "probes", 0.5),
        (", limits: {memory: 1Gi}", "", "resources", 0.6667),
        ("  replicas: 2\n  serviceName", "  replicas: 1\n  serviceName", "availability", 0.2),
        ("kind: PodDisruptionBudget", "kind: Other", "availability", 0.6),
        ("postgres:16@sha256:", "postgres:16 # ", "images", 0.8),
        ("postgres:16@sha256:", "postgres:latest # ", "images", 0.0),
        ("runAsNonRoot: true", "privileged: true", "security", 0.5),
        ("readyReplicas: 2", "readyReplicas: 1", "stability", 0.0),
        ("apiVersion: apps/v1\n", "apiVersion: apps/v1beta2\n", "api_version", 0.0),
        ("name: db-backup", "name: db-report", "backups", 0.0),
        ("kind: Service\n", "kind: Other\n", "references", 0.0),
    ],
)
def test_each_check_has_its_price(old: str, new: str, check: str, grade: float) -> None:
    assert old in GOOD
    health = asset(built(GOOD.replace(old, new, 1)), "StatefulSet", "db")["health"]
    found = next(one for one in health["checks"] if one["check"] == check)
    assert found["grade"] == grade and found["reasons"]
    total = sum(one["weight"] for one in health["checks"])
    assert health["score"] == round(100 * sum(one["weight"] * one["grade"] for one in health["checks"]) / total)
    assert health["score"] < 100


def test_restarts_and_crash_loops() -> None:
    def scored(restarts: int, waiting: str) -> dict[str, t.Any]:
        state = {"waiting": {"reason": waiting}} if waiting else {"running": {}}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "p", "namespace": "a"},
            "spec": {"containers": [{"name": "c", "image": "a:1"}]},
            "status": {"containerStatuses": [{"name": "c", "restartCount": restarts, "state": state}]},
        }
        checks = asset(built(yaml.safe_dump(pod)), "Pod", "p")["health"]["checks"]
        return next(check for check in checks if check["check"] == "stability")

    assert [scored(count, "")["grade"] for count in (0, 3, 9)] == [1.0, 0.5, 0.25]
    assert scored(9, "CrashLoopBackOff")["grade"] == 0.0


def test_what_was_not_seen_is_not_measured() -> None:
    text = GOOD.replace("status: {replicas: 2, readyReplicas: 2}", "")
    health = asset(built(text), "StatefulSet", "db")["health"]
    assert [one["check"] for one in health["not_measured"]] == ["stability"]
    assert "stability" not in {check["check"] for check in health["checks"]}


def test_owned_objects_take_the_score_of_their_owner() -> None:
    made = portfolio(catalogue(open_source({"path": str(BUNDLED)}).objects()), None, merge_rules()[0])
    scores = {one["id"]: one["health"]["score"] for one in made["assets"]}
    owned = [one for one in made["assets"] if one["owner"]]
    assert len(owned) > 50
    assert all(one["health"]["score"] == scores[one["owner"]] for one in owned)
    assert all(0 <= score <= 100 for score in scores.values() if score is not None)


def test_the_bundled_crash_loop_and_old_api_are_found() -> None:
    made = portfolio(catalogue(open_source({"path": str(BUNDLED)}).objects()), None, merge_rules()[0])
    found = {(finding["id"], finding["asset"].rsplit("/", 1)[1]) for finding in findings_of(made)}
    assert ("not-running", "pgadmin") in found
    assert any(identifier == "removed-api-version" for identifier, _name in found)
    categories = {one["category"] for one in made["assets"]}
    assert {"database", "ai", "monitoring", "ingress", "storage", "security", "automation"} <= categories


def test_categories_by_image_relation_and_owner() -> None:
    made = built(GOOD)
    assert asset(made, "StatefulSet", "db")["category"] == "database"
    assert asset(made, "Service", "db")["category"] == "database"
    assert asset(made, "PodDisruptionBudget", "db")["category"] == "database"
    assert {"stateful", "workload", "postgresql"} <= set(asset(made, "StatefulSet", "db")["tags"])


def test_users_extend_and_replace_rules() -> None:
    mine = {"id": "mine", "category": "shop", "tags": ["own"], "match": {"namespace": "shop", "kind": ["Stateful*"]}}
    made = built(GOOD, [mine])
    assert asset(made, "StatefulSet", "db")["category"] == "shop"
    assert "rule mine (+20)" in asset(made, "StatefulSet", "db")["because"]
    replaced = {"id": "postgresql", "category": "legacy", "weight": 10, "match": {"image": ["*/postgres"]}}
    assert asset(built(GOOD, [replaced]), "StatefulSet", "db")["category"] == "legacy"


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("text", "no id"),
        ({"category": "a"}, "no id"),
        ({"id": "a", "match": {"kind": ["x"]}}, "no category"),
        ({"id": "a", "category": "b"}, "no match"),
        ({"id": "a", "category": "b", "match": {"color": ["x"]}}, "matches on 'color'"),
        ({"id": "a", "category": "b", "match": {"kind": [5]}}, "patterns for 'kind'"),
        ({"id": "a", "category": "b", "match": {"kind": ["*a*a*a*a*a*a*a*a"]}}, "patterns for 'kind'"),
        ({"id": "a", "category": "b", "match": {"kind": ["x"]}, "weight": "5"}, "weight"),
        ({"id": "a", "category": "b", "match": {"kind": ["x"]}, "tags": "t"}, "tags"),
        ({"id": "a", "category": "b", "match": {"kind": ["x"]}, "wheight": 5}, "unknown field 'wheight'"),
    ],
)
def test_broken_rules_are_said(rule: t.Any, sentence: str) -> None:
    _rules, problems = merge_rules([rule])
    assert len(problems) == 1 and sentence in problems[0] and problems[0].startswith("Rule 1")


def test_default_rules_are_valid_by_their_own_check() -> None:
    rules, problems = merge_rules(DEFAULT_RULES)
    assert problems == [] and len(rules) == len(DEFAULT_RULES)
