# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Helm releases and their lineage against the standard library's reading of the same records."""

from __future__ import annotations

import base64
import collections
import gzip
import json
import pathlib
import re
import typing as t

import pytest
import yaml

from ansible_collections.cortex.larry.plugins.module_utils._estate import EstateObject, Origin, open_source
from ansible_collections.cortex.larry.plugins.module_utils._estate.objects import identify
from ansible_collections.cortex.larry.plugins.module_utils._work import helm_catalogue as helms
from ansible_collections.cortex.larry.plugins.module_utils._work.lineage import lineage, lineage_diagram

BUNDLED = pathlib.Path(__file__).parents[3] / "examples" / "estate"


def record(release: t.Any, name: str = "a", number: int = 1) -> EstateObject:
    data = release if isinstance(release, bytes) else gzip.compress(json.dumps(release).encode())
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "helm.sh/release.v1",
        "metadata": {"name": f"sh.helm.release.v1.{name}.v{number}", "namespace": "shop"},
        "data": {"release": base64.b64encode(base64.b64encode(data)).decode()},
    }
    return EstateObject(identify(manifest), manifest, Origin("helm.yaml", number, line=1))


@pytest.fixture(scope="module")
def bundled() -> dict[str, t.Any]:
    return helms.helm_catalogue(open_source({"path": str(BUNDLED)}).objects())


@pytest.fixture(scope="module")
def decoded() -> dict[tuple[str, str], list[dict[str, t.Any]]]:
    found: dict[tuple[str, str], list[dict[str, t.Any]]] = collections.defaultdict(list)
    for path in BUNDLED.rglob("*.yaml"):
        for document in yaml.safe_load_all(path.read_text()):
            if document.get("type") == "helm.sh/release.v1":
                raw = gzip.decompress(base64.b64decode(base64.b64decode(document["data"]["release"])))
                release = json.loads(raw)
                found[(release["namespace"], release["name"])].append(release)
    return found


def test_every_revision_of_every_release(bundled: dict, decoded: dict) -> None:
    assert {(release["namespace"], release["name"]) for release in bundled["releases"]} == set(decoded)
    for release in bundled["releases"]:
        expected = sorted(decoded[(release["namespace"], release["name"])], key=lambda one: one["version"])
        assert [
            (one["revision"], one["status"], one["chart"]["version"], one["chart"]["app_version"])
            for one in release["history"]
        ] == [
            (
                one["version"],
                one["info"]["status"],
                one["chart"]["metadata"]["version"],
                one["chart"]["metadata"]["appVersion"],
            )
            for one in expected
        ]
        deployed = [one for one in expected if one["info"]["status"] == "deployed"]
        assert release["revision"] == deployed[-1]["version"]
        images = set(re.findall(r"^\s*(?:- )?image: (\S+)$", deployed[-1]["manifest"], re.MULTILINE))
        assert {image["reference"] for image in release["images"]} == images
    assert {status for release in bundled["releases"] for status in (one["status"] for one in release["history"])} == {
        "deployed",
        "superseded",
        "failed",
    }


def test_lineage_has_every_application_chart_and_image(bundled: dict) -> None:
    drawn = lineage(bundled)
    expected = {
        (release["id"], release["chart"]["name"], image["reference"])
        for release in bundled["releases"]
        for image in release["images"]
    }
    assert {(row["application"], row["chart"].split(" ")[0], row["image"]) for row in drawn["rows"]} == expected
    diagram = lineage_diagram(drawn)
    assert diagram.count("-->") == len(drawn["edges"])
    assert len(diagram.splitlines()) == 1 + len(drawn["nodes"]) + len(drawn["edges"])


def test_no_value_of_a_bundled_release_that_is_secret_is_written(bundled: dict, decoded: dict) -> None:
    text = json.dumps(bundled) + json.dumps(lineage(bundled))
    assert "example-only-" in json.dumps(list(decoded.values()))
    assert "example-only-" not in text


def test_secrets_are_redacted_in_all_revisions_and_texts() -> None:
    planted = "planted-4711"
    release = {
        "name": "a",
        "namespace": "shop",
        "version": 1,
        "info": {"status": "failed", "description": f"bad password {planted}", "notes": planted},
        "chart": {"metadata": {"name": "c", "version": "1"}, "values": {"apiToken": planted + "-default"}},
        "config": {"auth": {"password": planted}, "url": f"http://x/{planted}", "replicas": 2},
        "manifest": f"apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData: {{a: {planted}}}\n",
    }
    made = helms.helm_catalogue([record(release), record({**release, "version": 2}, number=2)])
    text = json.dumps([made, helms.findings_of(made), lineage(made)])
    assert planted not in text
    assert made["releases"][0]["history"][0]["config"]["replicas"] == 2


def test_broken_records_cost_themselves_alone() -> None:
    good = {"name": "good", "version": 1, "info": {"status": "deployed"}}
    made = helms.helm_catalogue(
        [
            record(b"\x1f\x8bnothing", "x"),
            record(good, "good"),
            record({"name": "odd", "version": "one", "info": [], "chart": 5, "config": "x", "manifest": ["y"]}, "odd"),
            record({"name": "half", "manifest": "a: [\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: p}\n"}, "half"),
        ]
    )
    assert [release["name"] for release in made["releases"]] == ["good", "half", "odd"]
    assert made["counts"]["unreadable"] == 1
    assert made["releases"][1]["objects"] == ["v1 Pod p"] and made["releases"][1]["history"][0]["unrendered"] == 1
    assert [finding["id"] for finding in helms.findings_of(made)] == ["helm-unreadable"]


def test_failed_stuck_deprecated_and_drifted_releases_are_findings() -> None:
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a, image: 'web:%s'}]}\n"
    chart = {"metadata": {"name": "c", "version": "1", "deprecated": True}}
    running = yaml.safe_load(pod % "2")
    running["metadata"].update(
        namespace="shop", annotations={"meta.helm.sh/release-name": "a", "meta.helm.sh/release-namespace": "shop"}
    )
    made = helms.helm_catalogue(
        [
            record({"name": "a", "version": 1, "info": {"status": "deployed"}, "chart": chart, "manifest": pod % "1"}),
            record({"name": "a", "version": 2, "info": {"status": "failed"}, "chart": chart}, number=2),
            record({"name": "b", "version": 1, "info": {"status": "pending-upgrade"}}, "b"),
            EstateObject(identify(running), running, Origin("pod.yaml")),
        ]
    )
    assert [finding["id"] for finding in helms.findings_of(made)] == [
        "helm-failed",
        "helm-drift",
        "helm-pending",
        "helm-deprecated-chart",
    ]
    assert made["releases"][0]["drifted"] == ["web:1", "web:2"]
    assert made["releases"][0]["revision"] == 1
