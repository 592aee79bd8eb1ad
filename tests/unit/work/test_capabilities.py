# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From parameters to task result: what the modules return, twice, in check mode, and when something is missing."""

from __future__ import annotations

import hashlib
import json
import pathlib
import re
import typing as t

import pytest

from ansible_collections.cortex.larry.plugins.module_utils._estate import EvidenceError
from ansible_collections.cortex.larry.plugins.module_utils._work import capabilities, machine

BUNDLED = pathlib.Path(__file__).parents[3] / "examples" / "estate"


def parameters(directory: pathlib.Path, task: str, **more: t.Any) -> dict[str, t.Any]:
    given: dict[str, t.Any] = {
        "coordination_dir": str(directory),
        "task_id": task,
        "estate_path": str(BUNDLED),
        "source": "gitops",
        "namespaces": None,
        "evidence": None,
        "catalogue_task": "catalog-deployments",
        "helm_task": "catalog-helm-releases",
        "rules": [],
    }
    return {**given, **more}


def everything(directory: pathlib.Path) -> list[capabilities.Outcome]:
    first = capabilities.catalog_deployments(parameters(directory, "catalog-deployments"))
    second = capabilities.catalog_helm_releases(parameters(directory, "catalog-helm-releases"))
    evidence = first.result["evidence"] + second.result["evidence"]
    return [first, second, capabilities.classify_assets(parameters(directory, "classify-assets", evidence=evidence))]


def snapshot(directory: pathlib.Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(directory)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_results_have_the_agreed_shape_and_true_digests(tmp_path: pathlib.Path) -> None:
    for outcome in everything(tmp_path):
        assert outcome.changed
        result = json.loads(json.dumps(outcome.result))
        assert set(result) == {"summary", "findings", "evidence", "changes", "public", "machine"}
        assert all(isinstance(value, (int, float, str)) for value in result["summary"].values())
        assert result["machine"]["hostname"]
        assert sum(result["public"]["findings"].values()) == result["summary"]["findings"]
        for one in result["evidence"]:
            data = (tmp_path / one["path"]).read_bytes()
            assert (hashlib.sha256(data).hexdigest(), len(data)) == (one["sha256"], one["bytes"])


def test_the_public_figures_of_the_catalogue(tmp_path: pathlib.Path) -> None:
    result = everything(tmp_path)[0].result
    count = len(json.loads((tmp_path / "evidence/catalog-deployments/catalogue.json").read_text())["assets"])
    assert result["public"]["phase"] == {"inventory:assets_discovered": count}
    assert result["public"]["metrics"] == {"assets_cataloged": count}
    assert count >= 150


def test_a_second_run_changes_no_byte_and_touches_no_file(tmp_path: pathlib.Path) -> None:
    first = everything(tmp_path)
    before = snapshot(tmp_path)
    second = everything(tmp_path)
    assert snapshot(tmp_path) == before
    assert [outcome.changed for outcome in second] == [False, False, False]
    assert [outcome.result for outcome in second] == [outcome.result for outcome in first]
    assert all(outcome.diff == [] for outcome in second)


def test_check_mode_does_the_work_and_writes_nothing(tmp_path: pathlib.Path) -> None:
    outcome = capabilities.catalog_deployments(parameters(tmp_path, "catalog-deployments"), check_mode=True)
    assert outcome.changed and outcome.result["summary"]["assets"] >= 150
    assert outcome.diff[0]["before"] == "absent\n" and "sha256" in outcome.diff[0]["after"]
    assert list(tmp_path.iterdir()) == []


def test_check_mode_of_the_classification_does_without_evidence_that_check_mode_did_not_write(
    tmp_path: pathlib.Path,
) -> None:
    promised = capabilities.catalog_deployments(parameters(tmp_path, "one"), check_mode=True).result["evidence"]
    outcome = capabilities.classify_assets(parameters(tmp_path, "c", evidence=promised), check_mode=True)
    assert not outcome.changed and "cannot be read" in outcome.result["skipped"]["missing"]


def test_no_secret_is_in_any_file_or_result(tmp_path: pathlib.Path) -> None:
    estate = tmp_path / "estate"
    estate.mkdir()
    planted = "planted-secret-4711"
    (estate / "all.yaml").write_text(
        f"""
apiVersion: v1
kind: Secret
metadata:
  name: s
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: '{{"stringData": {{"password": "{planted}"}}}}'
stringData: {{password: {planted}, url: "postgresql://u:{planted}@db:5432/x"}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: c}}
data: {{conf: "password = {planted}"}}
---
apiVersion: v1
kind: Pod
metadata: {{name: p}}
spec: {{containers: [{{name: a, image: b, env: [{{name: PASSWORD, value: {planted}}}], args: ["--token={planted}"]}}]}}
---
not: [closed, {planted}
"""
    )
    coordination = tmp_path / "coordination"
    outcomes = [
        capabilities.catalog_deployments(parameters(coordination, "a", estate_path=str(estate))),
        capabilities.catalog_helm_releases(parameters(coordination, "b", estate_path=str(estate))),
    ]
    evidence = [one for outcome in outcomes for one in outcome.result["evidence"]]
    outcomes.append(capabilities.classify_assets(parameters(coordination, "c", evidence=evidence)))
    for path, (data, _time) in snapshot(coordination).items():
        assert planted.encode() not in data, path
    assert planted not in json.dumps([outcome.as_return() for outcome in outcomes])
    assert outcomes[0].result["summary"]["broken"] == 1


def test_namespaces_limit_the_catalogue(tmp_path: pathlib.Path) -> None:
    capabilities.catalog_deployments(parameters(tmp_path, "t", namespaces=["n8n"]))
    assets = json.loads((tmp_path / "evidence/t/catalogue.json").read_text())["assets"]
    assert {asset["namespace"] for asset in assets} == {"", "n8n"}


def test_classification_verifies_what_it_reads(tmp_path: pathlib.Path) -> None:
    first = capabilities.catalog_deployments(parameters(tmp_path, "catalog-deployments"))
    evidence = first.result["evidence"]
    verified = capabilities.classify_assets(parameters(tmp_path, "c", evidence=evidence))
    assert (verified.result["summary"]["inputs_verified"], verified.result["summary"]["inputs_unverified"]) == (1, 0)
    path = tmp_path / evidence[0]["path"]
    path.write_text(path.read_text().replace("pgadmin", "pgadmjn"))
    with pytest.raises(EvidenceError, match="sha256"):
        capabilities.classify_assets(parameters(tmp_path, "c", evidence=evidence))
    with pytest.raises(EvidenceError, match="outside"):
        capabilities.classify_assets(parameters(tmp_path, "c", evidence=[{"path": "../x.json"}]))


def test_classification_finds_the_catalogues_by_task_and_says_what_is_missing(tmp_path: pathlib.Path) -> None:
    with pytest.raises(EvidenceError, match="run the task that writes it first"):
        capabilities.classify_assets(parameters(tmp_path, "c"))
    capabilities.catalog_deployments(parameters(tmp_path, "one"))
    capabilities.catalog_helm_releases(parameters(tmp_path, "two"))
    outcome = capabilities.classify_assets(parameters(tmp_path, "c", catalogue_task="one", helm_task="two"))
    assert outcome.result["summary"]["inputs_unverified"] == 2
    with pytest.raises(EvidenceError, match="None of the evidence"):
        capabilities.classify_assets(parameters(tmp_path, "c", evidence=[{"path": "evidence/one/findings.json"}]))
    with pytest.raises(EvidenceError, match=r"Rule 1 .* no match"):
        capabilities.classify_assets(parameters(tmp_path, "c", rules=[{"id": "a", "category": "b"}]))


def test_an_estate_that_cannot_be_had_is_skipped(tmp_path: pathlib.Path) -> None:
    for work in (capabilities.catalog_deployments, capabilities.catalog_helm_releases):
        for more in ({"source": "kubernetes"}, {"estate_path": str(tmp_path / "none")}):
            outcome = work(parameters(tmp_path, "t", **more))
            assert not outcome.changed and set(outcome.result) == {"skipped", "machine"}
            assert all(text.endswith(".") for text in outcome.result["skipped"].values())
    assert list(tmp_path.iterdir()) == []


def test_the_machine(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "machine-id"
    assert machine.this_machine(str(path))["machine_id"] is None
    path.write_text("0123456789ABCDEF0123456789abcdef\n")
    assert machine.this_machine(str(path))["machine_id"] == "0123456789abcdef0123456789abcdef"
    path.write_text("not a machine id")
    assert machine.this_machine(str(path))["machine_id"] is None


def test_no_code_knows_the_bundled_estate() -> None:
    """Names that exist only in the bundled estate are in no source file."""
    root = pathlib.Path(__file__).parents[3] / "plugins"
    code = "\n".join(path.read_text() for path in root.rglob("*.py") if "_estate" in str(path) or "_work" in str(path))
    for name in ("postgresql-main", "reporting-db", "app-cluster", "research-agent", "larry-and-the-darryls"):
        assert not re.search(re.escape(name), code), name
