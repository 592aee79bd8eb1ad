# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue and the dependency map, on the bundled estate and on small ones made for one question."""

from __future__ import annotations

import base64
import json
import pathlib
import typing as t

import pytest
import yaml

from ansible_collections.cortex.larry.plugins.module_utils._estate import EstateObject, Origin, Refused, open_source
from ansible_collections.cortex.larry.plugins.module_utils._estate.objects import identify
from ansible_collections.cortex.larry.plugins.module_utils._work import catalogue as catalogues
from ansible_collections.cortex.larry.plugins.module_utils._work.dependency_map import matches

BUNDLED = pathlib.Path(__file__).parents[3] / "examples" / "estate"


def things(text: str) -> t.Iterator[EstateObject]:
    for number, manifest in enumerate(yaml.safe_load_all(text)):
        yield EstateObject(identify(manifest), manifest, Origin("test.yaml", number, line=1))


def made(text: str) -> dict[str, t.Any]:
    return catalogues.catalogue(things(text))


def edges(text: str) -> set[tuple[str, str, str, bool]]:
    return {
        (edge["type"], edge["field"], edge["target"]["name"], edge["found"])
        for edge in made(text)["dependencies"]["edges"]
    }


@pytest.fixture(scope="module")
def bundled() -> dict[str, t.Any]:
    return catalogues.catalogue(open_source({"path": str(BUNDLED)}).objects())


@pytest.fixture(scope="module")
def manifests() -> list[dict[str, t.Any]]:
    """The bundled estate read without our code."""
    found = []
    for path in sorted(BUNDLED.rglob("*")):
        if path.suffix == ".json":
            whole = json.loads(path.read_text())
            kind = whole["kind"].removesuffix("List")
            found += [{"apiVersion": "v1", "kind": kind, **member} for member in whole["items"]]
        elif path.suffix == ".yaml" and path.name != "kustomization.yaml":
            for document in yaml.safe_load_all(path.read_text()):
                found += document["items"] if document["kind"] == "List" else [document]
    return found


def test_every_object_with_its_labels_annotations_and_owners(bundled: dict, manifests: list[dict]) -> None:
    assets = {(a["api_version"], a["kind"], a["namespace"], a["name"]): a for a in bundled["assets"]}
    assert len(assets) == len(manifests) == bundled["counts"]["assets"]
    by_uid = {manifest["metadata"]["uid"]: manifest for manifest in manifests}
    for manifest in manifests:
        metadata = manifest["metadata"]
        asset = assets[(manifest["apiVersion"], manifest["kind"], metadata.get("namespace", ""), metadata["name"])]
        assert asset["labels"] == metadata.get("labels", {})
        assert set(asset["annotations"]) == set(metadata.get("annotations", {}))
        chain = []
        while metadata.get("ownerReferences"):
            metadata = by_uid[metadata["ownerReferences"][0]["uid"]]["metadata"]
            chain.append(metadata["name"])
        assert [owner.rsplit("/", 1)[1] for owner in asset["owner_chain"]] == chain


def test_every_image(bundled: dict, manifests: list[dict]) -> None:
    def images(value: t.Any) -> t.Iterator[str]:
        if isinstance(value, dict):
            for name, held in value.items():
                if name in ("containers", "initContainers"):
                    yield from (container["image"] for container in held)
                yield from images(held)
        elif isinstance(value, list):
            for held in value:
                yield from images(held)

    expected = {image for manifest in manifests for image in images(manifest.get("spec"))}
    expected |= {m["spec"]["imageName"] for m in manifests if "imageName" in (m.get("spec") or {})}
    assert {image["reference"] for asset in bundled["assets"] for image in asset["images"]} == expected


def test_every_secret_and_config_map_that_pods_use_has_an_edge(bundled: dict, manifests: list[dict]) -> None:
    def used(value: t.Any) -> t.Iterator[tuple[str, str]]:
        if isinstance(value, dict):
            for name, held in value.items():
                if name in ("secretKeyRef", "secretRef") and isinstance(held, dict):
                    yield "Secret", held["name"]
                elif name in ("configMapKeyRef", "configMapRef"):
                    yield "ConfigMap", held["name"]
                elif name == "claimName":
                    yield "PersistentVolumeClaim", held
                yield from used(held)
        elif isinstance(value, list):
            for held in value:
                yield from used(held)

    found = {
        (edge["from"], edge["target"]["kind"], edge["target"]["name"]) for edge in bundled["dependencies"]["edges"]
    }
    checked = 0
    for manifest in manifests:
        metadata = manifest["metadata"]
        source = f"{manifest['apiVersion']}/{manifest['kind']}/{metadata.get('namespace', '-')}/{metadata['name']}"
        for kind, name in used(manifest.get("spec")):
            assert (source, kind, name) in found
            checked += 1
    assert checked > 50


def test_every_edge_names_a_field_that_exists(bundled: dict, manifests: list[dict]) -> None:
    by_id = {
        f"{m['apiVersion']}/{m['kind']}/{m['metadata'].get('namespace', '-')}/{m['metadata']['name']}": m
        for m in manifests
    }
    for edge in bundled["dependencies"]["edges"]:
        value: t.Any = by_id[edge["from"]]
        rest = edge["field"]
        while rest:
            if rest.startswith('["'):
                name, stop = json.JSONDecoder().raw_decode(rest[1:])
                value, rest = value[name], rest[stop + 2 :]
            elif rest.startswith("["):
                number, _bracket, rest = rest[1:].partition("]")
                value = value[int(number)]
            else:
                rest = rest.removeprefix(".")
                stop = min((rest.find(mark) for mark in ".[" if mark in rest), default=len(rest))
                value, rest = value[rest[:stop]], rest[stop:]


def test_nothing_secret_is_in_the_catalogue(bundled: dict, manifests: list[dict]) -> None:
    text = json.dumps(bundled)
    planted = 0
    for manifest in manifests:
        if manifest["kind"] == "Secret" and manifest.get("type") != "helm.sh/release.v1":
            for value in manifest["data"].values():
                held = base64.b64decode(value).decode()
                # Host and user names stand elsewhere too; what is meant to be secret is marked as an example.
                if "example-only-" in held:
                    assert value not in text and held not in text
                    planted += 1
    assert planted > 20
    assert "example-only-" not in text


def test_the_same_estate_gives_the_same_bytes(bundled: dict) -> None:
    again = catalogues.catalogue(open_source({"path": str(BUNDLED)}).objects())
    assert json.dumps(again) == json.dumps(bundled)
    assert catalogues.dependency_diagram(again["dependencies"]) == catalogues.dependency_diagram(
        bundled["dependencies"]
    )


DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    metadata: {labels: {app: web, tier: front}}
    spec:
      serviceAccountName: web
      initContainers: [{name: init, image: busybox}]
      containers:
      - name: web
        image: registry.example.com/web:1.2
        ports: [{name: http, containerPort: 80}]
        resources: {requests: {cpu: 100m}, limits: {memory: 1Gi}}
        env:
        - {name: DB_HOST, value: db}
        - {name: CACHE, value: "redis://:pw@cache.data.svc.cluster.local:6379/0"}
        - {name: GREETING, value: db}
        - {name: PW, valueFrom: {secretKeyRef: {name: web-secret, key: pw}}}
        - {name: OPT, valueFrom: {configMapKeyRef: {name: absent, key: x, optional: true}}}
        envFrom: [{configMapRef: {name: web-config}}]
        args: ["--upstream=api:8080"]
      volumes:
      - {name: data, persistentVolumeClaim: {claimName: web-data}}
      - {name: conf, projected: {sources: [{secret: {name: web-secret}}, {configMap: {name: web-config}}]}}
"""
REST = """
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {selector: {app: web}}
---
apiVersion: v1
kind: Service
metadata: {name: cache, namespace: data}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: web-config, namespace: shop}
data: {a.properties: "backend = http://gone.shop.svc:80\\nother = cache.data"}
---
apiVersion: v1
kind: Secret
metadata: {name: web-secret, namespace: shop}
stringData: {DATABASE_URL: "postgresql://u:p@db:5432/x"}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: shop}
spec:
  rules: [{http: {paths: [{path: /, backend: {service: {name: api, port: {number: 80}}}}]}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop}
spec: {rules: [{backendRefs: [{name: cache, namespace: data, port: 6379}]}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: data, labels: {team: a}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: np, namespace: shop}
spec:
  podSelector: {matchExpressions: [{key: tier, operator: In, values: [front]}]}
  ingress: [{from: [{namespaceSelector: {matchLabels: {team: a}}}]}]
"""


def test_each_way_to_refer_to_something_is_an_edge_with_its_field() -> None:
    container = "spec.template.spec.containers[0]"
    volume = "spec.template.spec.volumes"
    assert edges(DEPLOYMENT + REST) == {
        ("env", f"{container}.env[0].value", "db", True),
        ("env", f"{container}.env[1].value", "cache", True),
        ("env", f"{container}.env[3].valueFrom.secretKeyRef.name", "web-secret", True),
        ("env", f"{container}.env[4].valueFrom.configMapKeyRef.name", "absent", False),
        ("env_from", f"{container}.envFrom[0].configMapRef.name", "web-config", True),
        ("args", f"{container}.args[0]", "api", True),
        ("volume", f"{volume}[0].persistentVolumeClaim.claimName", "web-data", False),
        ("volume", f"{volume}[1].projected.sources[0].secret.name", "web-secret", True),
        ("volume", f"{volume}[1].projected.sources[1].configMap.name", "web-config", True),
        ("service_selector", "spec.selector", "web", True),
        ("config", 'data["a.properties"]', "gone", False),
        ("config", 'data["a.properties"]', "cache", True),
        ("secret", "data.DATABASE_URL", "db", True),
        ("route_backend", "spec.rules[0].http.paths[0].backend.service.name", "api", True),
        ("route_backend", "spec.rules[0].backendRefs[0].name", "cache", True),
        ("network_policy", "spec.podSelector", "web", True),
        ("network_policy", "spec.ingress[0].from[0].namespaceSelector", "data", True),
    }


def test_dangling_references_are_found_once() -> None:
    titles = [finding["title"] for finding in catalogues.findings_of(made(DEPLOYMENT + REST))]
    assert titles == [
        "It refers to the PersistentVolumeClaim shop/web-data, which the estate does not hold.",
        "It refers to the Service shop/gone, which the estate does not hold.",
    ]


def test_the_record_of_a_workload() -> None:
    asset = made(DEPLOYMENT)["assets"][0]
    assert asset["replicas"] == {"desired": 1, "ready": None, "available": None}
    assert asset["ports"] == [{"container": "web", "name": "http", "port": 80, "protocol": "TCP"}]
    assert asset["references"] == {
        "config_maps": ["absent", "web-config"],
        "secrets": ["web-secret"],
        "claims": ["web-data"],
        "claim_templates": [],
    }
    assert {image["container"]: image["pin"] for image in asset["images"]} == {"web": "version", "init": "floating"}
    assert asset["containers"][1]["resources"] == {"requests": {"cpu": "100m"}, "limits": {"memory": "1Gi"}}


def test_services_are_followed_to_the_workloads_behind_them() -> None:
    links = made(DEPLOYMENT + REST)["dependencies"]["services"]
    found = {(link["from"].split("/")[-3], link["to"].split("/")[-3], link["to"].split("/")[-1]) for link in links}
    assert {("Deployment", "Service", "db"), ("Ingress", "Deployment", "web")} <= found
    through = next(link for link in links if link["from"].startswith("apps") and link["to"].endswith("/cache"))
    assert "v1/ConfigMap/shop/web-config" in through["via"]


def test_hostile_objects() -> None:
    markup = '<img src=x onerror=alert(1)>"];\n  click n0 "javascript:x"'
    text = yaml.safe_dump_all(
        [
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {
                    "name": markup,
                    "namespace": "a",
                    "annotations": {"big": "x" * 1_048_576, "note": "https://u:planted@h/", "x/password": "planted"},
                    "labels": {"a": 5, "b": None},
                    "ownerReferences": [{"kind": "Deployment", "name": markup, "apiVersion": "apps/v1"}, "no", None],
                },
                "spec": {
                    "template": {
                        "metadata": {"labels": {"app": "x"}},
                        "spec": {
                            "containers": [
                                "no container",
                                {"name": ["list"], "image": {"a": 1}, "env": "none", "ports": [7], "resources": []},
                                {"name": "ok", "image": "{{ 1 }}", "env": [{"name": "H", "value": "b:80"}]},
                            ],
                            "volumes": {"not": "a list"},
                        },
                    }
                },
            },
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "b", "namespace": "a"}, "spec": []},
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": None, "status": []},
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": ["no"], "stringData": "no"},
        ]
    )
    result = made(text)
    assert len(result["assets"]) == 4 and not result["unread"]
    evidence = json.dumps(result)
    assert "planted" not in evidence and len(evidence) < 20_000
    diagram = catalogues.dependency_diagram(result["dependencies"])
    assert "<" not in diagram and "click n0 " not in diagram.replace("#34;", "'").split("\n", maxsplit=1)[0]
    assert len(diagram.splitlines()) == 6
    assert all(line.count('"') in (0, 2) for line in diagram.splitlines())


def test_owners_in_a_circle_end() -> None:
    text = yaml.safe_dump_all(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": a, "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": b}]},
        }
        for a, b in (("a", "b"), ("b", "c"), ("c", "a"), ("d", "d"))
    )
    chains = {asset["name"]: [o.rsplit("/", 1)[1] for o in asset["owner_chain"]] for asset in made(text)["assets"]}
    assert chains == {"a": ["b", "c"], "b": ["c", "a"], "c": ["a", "b"], "d": []}


def test_the_same_object_twice_is_one_asset() -> None:
    twice = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: '%s'}\n"
    result = made(twice % 1 + "---\n" + twice % 1 + "---\n" + twice % 2)
    assert result["counts"]["assets"] == 1 and result["counts"]["declared_again"] == 2
    assert [finding["id"] for finding in catalogues.findings_of(result)] == ["declared-twice"]


def test_broken_items_are_findings() -> None:
    beside = Refused(Origin("values.yaml"), "It is something else.", broken=False)
    result = catalogues.catalogue([Refused(Origin("a.yaml", 2, line=7), "It is broken."), beside])
    assert [(f["severity"], f["path"], f["title"]) for f in catalogues.findings_of(result)] == [
        ("medium", "a.yaml:7", "It is broken.")
    ]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({}, True),
        ({"matchLabels": {"a": "1"}}, True),
        ({"matchLabels": {"a": "2"}}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, False),
        ({"matchExpressions": [{"key": "z", "operator": "NotIn", "values": ["1"]}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, False),
        ({"matchExpressions": [{"key": "a", "operator": "Nonsense"}]}, False),
        ({"matchExpressions": ["no"]}, False),
    ],
)
def test_label_selectors(selector: dict, expected: bool) -> None:
    assert matches(selector, {"a": "1"}) is expected
