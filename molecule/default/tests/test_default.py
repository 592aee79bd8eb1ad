# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the inventory entry points left behind, checked against the estate by a reader that shares no code with them."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ESTATE = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"]) / "examples" / "estate"
COORDINATION = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "coordination"
CONFIDENTIAL = re.compile(r"passw|token|secret|key|credential|uri|url|dsn|pgpass|auth", re.IGNORECASE)


def objects() -> Iterator[dict[str, Any]]:
    """Yield every Kubernetes object of the estate, those inside lists one by one."""
    for path in sorted(ESTATE.rglob("*")):
        if path.suffix not in {".yaml", ".yml", ".json"} or not path.is_file():
            continue
        try:
            documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
        except (yaml.YAMLError, UnicodeDecodeError):
            continue
        for document in documents:
            if not isinstance(document, dict) or "kind" not in document or "apiVersion" not in document:
                continue
            inner = document.get("items") if document["kind"].endswith("List") else None
            # Objects in a SecretList do not say again that they are a Secret.
            kind = document["kind"].removesuffix("List")
            yield from [{"kind": kind} | one for one in inner] if isinstance(inner, list) else [document]


def identity(thing: dict[str, Any]) -> tuple[str, str, str]:
    """Return kind, namespace and name of an object."""
    metadata = thing.get("metadata") or {}
    return thing["kind"], metadata.get("namespace") or "", metadata.get("name") or ""


@pytest.fixture
def evidence(host):
    """Return a function that reads a JSON file of a task's evidence on the instance."""

    def read(task: str, name: str) -> Any:
        return json.loads(host.file(str(COORDINATION / "evidence" / task / name)).content_string)

    return read


def test_the_catalogue_is_the_estate_object_by_object(evidence) -> None:
    catalogue = evidence("catalog-deployments", "catalogue.json")
    listed = {(one["kind"], one["namespace"] or "", one["name"]) for one in catalogue["assets"]}
    wanted = {identity(thing) for thing in objects() if identity(thing)[2]}
    assert len(wanted) >= 150
    assert listed == wanted


def test_every_helm_release_is_decoded(evidence) -> None:
    wanted = set()
    for thing in objects():
        if thing["kind"] == "Secret" and thing.get("type") == "helm.sh/release.v1":
            packed = base64.b64decode(base64.b64decode(thing["data"]["release"]))
            try:
                release = json.loads(gzip.decompress(packed) if packed[:2] == b"\x1f\x8b" else packed)
            except (ValueError, OSError):
                continue
            wanted.add((release["namespace"], release["name"]))
    assert wanted
    catalogue = evidence("catalog-helm-releases", "helm-catalogue.json")
    assert {(one["namespace"], one["name"]) for one in catalogue["releases"]} == wanted


def test_every_asset_is_classified_with_a_health_score(evidence) -> None:
    catalogue = evidence("catalog-deployments", "catalogue.json")
    portfolio = evidence("classify-assets", "portfolio.json")
    assert {one["id"] for one in portfolio["assets"]} == {one["id"] for one in catalogue["assets"]}


def test_the_digests_of_the_result_are_those_of_the_files(host) -> None:
    result = json.loads(host.file(str(COORDINATION / "classify-assets-result.json")).content_string)
    assert result["evidence"]
    for item in result["evidence"]:
        content = host.file(str(COORDINATION / item["path"])).content
        assert hashlib.sha256(content).hexdigest() == item["sha256"]
        assert len(content) == item["bytes"]


@pytest.mark.parametrize("name", ["catalog-deployments/dependency-map.mmd", "catalog-helm-releases/lineage.mmd"])
def test_diagrams_are_there(host, name: str) -> None:
    assert host.file(str(COORDINATION / "evidence" / name)).content_string.startswith(("flowchart", "graph"))


def test_no_secret_of_the_estate_is_in_the_evidence(host) -> None:
    secrets = set()
    for thing in objects():
        if thing["kind"] == "Secret" and thing.get("type") != "helm.sh/release.v1":
            for key, value in (thing.get("data") or {}).items():
                # The names of hosts and databases in a secret are no secrets: services have them.
                if CONFIDENTIAL.search(key):
                    secrets |= {str(value), base64.b64decode(value).decode(errors="replace")}
    # Short values are words that may stand anywhere.
    secrets = {value for value in secrets if len(value) >= 8}
    assert secrets
    for path in sorted((COORDINATION / "evidence").rglob("*")):
        if path.is_file():
            text = host.file(str(path)).content_string
            leaked = {value for value in secrets if value in text}
            assert not leaked, path
