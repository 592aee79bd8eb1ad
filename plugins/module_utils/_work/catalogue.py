# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""catalog-deployments: every object of an estate as one record, without anything secret in it."""

from __future__ import annotations

import collections
import hashlib
import json
import re
import typing as t

from .._estate.images import parse_image
from .._estate.objects import EstateObject, Refused, dig, mapping, pod_metadata, pod_spec, sequence, whole
from .._estate.redaction import REDACTED, looks_secret, redact_text, shorten
from .dependency_map import dependency_map
from .diagrams import Node, flowchart
from .findings import Finding, finding, ordered
from .references import LAST_APPLIED, References, references_of

FORMAT = "cortex.larry.catalogue/1"
MAX_UNREAD = 1000

_BACKUP = re.compile(
    r"backup|pg_?dump|mysqldump|mongodump|restic|velero|wal-?g|pgbackrest|barman|snapshot", re.IGNORECASE
)
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")

Record = dict[str, t.Any]


class Catalogue:
    """Collects objects one by one; `finish` puts them in relation. Keeps records, never the objects themselves."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.references: dict[str, References] = {}
        self.unread: list[dict[str, t.Any]] = []
        self.beside = 0
        self.broken = 0
        self.read = 0

    def add(self, thing: EstateObject | Refused) -> None:
        """Take in one object or refusal of a source. A record that cannot be made costs that object alone."""
        if isinstance(thing, Refused):
            self._refuse(thing)
            return
        self.read += 1
        identifier = thing.identity.id
        try:
            record = describe(thing)
            references = references_of(thing.manifest)
        except (TypeError, ValueError, AttributeError, RecursionError) as error:
            reason = f"{thing.identity} has a shape that no object of its kind has: {error}."
            self._refuse(Refused(thing.origin, reason))
            return
        known = self.records.get(identifier)
        if known is None:
            self.records[identifier] = record
            self.references[identifier] = references
        else:
            known["declared_again"].append({**record["origin"], "same": record["digest"] == known["digest"]})

    def _refuse(self, thing: Refused) -> None:
        if thing.broken:
            self.broken += 1
        else:
            self.beside += 1
        if len(self.unread) < MAX_UNREAD:
            self.unread.append(
                {**thing.origin.as_dict(), "reason": redact_text(thing.reason, limit=500), "broken": thing.broken}
            )

    def finish(self) -> dict[str, t.Any]:
        """The catalogue: `assets` sorted by id, `unread`, `counts`, and under `dependencies` the dependency map."""
        assets = [self.records[identifier] for identifier in sorted(self.records)]
        _resolve_owners(assets)
        return {
            "format": FORMAT,
            "assets": assets,
            "unread": self.unread,
            "counts": {
                "objects_read": self.read,
                "assets": len(assets),
                "declared_again": sum(len(asset["declared_again"]) for asset in assets),
                "broken": self.broken,
                "beside": self.beside,
                "by_kind": _count(asset["kind"] for asset in assets),
                "by_namespace": _count(asset["namespace"] or "(cluster)" for asset in assets),
                "images": len({image["reference"] for asset in assets for image in asset["images"]}),
                "images_floating": len(
                    {image["reference"] for asset in assets for image in asset["images"] if not image["pinned"]}
                ),
            },
            "dependencies": dependency_map(assets, self.references),
        }


def catalogue(things: t.Iterable[EstateObject | Refused]) -> dict[str, t.Any]:
    """The catalogue of everything that *things* yields; see `Catalogue.finish`."""
    collected = Catalogue()
    for thing in things:
        collected.add(thing)
    return collected.finish()


def findings_of(made: t.Mapping[str, t.Any]) -> list[Finding]:
    """What the catalogue itself shows to be wrong: broken items, contradictions, references that lead nowhere."""
    found: list[Finding] = []
    for entry in made["unread"]:
        if entry["broken"]:
            place = f"{entry['path']}:{entry['line']}" if "line" in entry else entry["path"]
            found.append(finding("estate-unreadable", "medium", entry["reason"], path=place, item=entry.get("item")))
    for asset in made["assets"]:
        for again in asset["declared_again"]:
            if not again["same"]:
                title = f"{asset['kind']} {asset['name']} is declared twice with different content."
                found.append(
                    finding("declared-twice", "low", title, asset=asset["id"], path=f"{again['path']}:{again['line']}")
                )
    by_id = {asset["id"]: asset for asset in made["assets"]}
    missing = [edge for edge in made["dependencies"]["edges"] if not edge["found"] and not edge.get("optional")]
    said = {(edge["from"], *edge["target"].values()) for edge in missing}
    for edge in missing:
        target = edge["target"]
        # What a workload's template refers to, its ReplicaSets and Pods repeat.
        if any((owner, *target.values()) in said for owner in by_id[edge["from"]]["owner_chain"]):
            continue
        # A Secret is often kept out of a repository on purpose; anything else that is missing breaks the object.
        severity = "low" if target["kind"] == "Secret" else "medium"
        name = f"{target['namespace']}/{target['name']}" if target["namespace"] else target["name"]
        title = f"It refers to the {target['kind']} {name}, which the estate does not hold."
        found.append(
            finding(
                "dangling-reference",
                severity,
                title,
                asset=edge["from"],
                path=by_id[edge["from"]]["origin"]["path"],
                field=edge["field"],
            )
        )
    return ordered(found)


def dependency_diagram(dependencies: t.Mapping[str, t.Any]) -> str:
    """The service dependencies as a Mermaid flowchart, grouped by namespace."""
    nodes = {node["id"]: node for node in dependencies["nodes"]}
    links = dependencies["services"]
    shapes = {"StatefulSet": "cylinder", "Ingress": "hexagon", "Service": "round"}
    boxes = []
    for identifier in {end for link in links for end in (link["from"], link["to"])}:
        node = nodes.get(identifier)
        if node is not None:
            label = f"{node['kind']} {node['name']}"
            boxes.append(Node(identifier, label, node["namespace"], shapes.get(node["kind"], "box")))
    return flowchart(boxes, [(link["from"], link["to"], "") for link in links])


def describe(thing: EstateObject) -> Record:
    """The record of one object; owners are resolved later, when all objects are known."""
    manifest, identity = thing.manifest, thing.identity
    metadata = mapping(manifest.get("metadata"))
    record: Record = {
        "id": identity.id,
        "api_version": identity.api_version,
        "kind": identity.kind,
        "namespace": identity.namespace,
        "name": identity.name,
        "uid": _text(metadata.get("uid")),
        "created_at": _text(metadata.get("creationTimestamp")),
        "labels": _labels(metadata.get("labels")),
        "annotations": _annotations(metadata.get("annotations")),
        "owners": _owners(metadata),
        "owner_chain": [],
        "origin": thing.origin.as_dict(),
        "declared_again": [],
        "digest": _digest(manifest),
        "images": [],
        "containers": [],
        "ports": [],
        "replicas": None,
        "references": {},
    }
    found = pod_spec(manifest)
    if found is not None:
        _describe_pods(record, manifest, *found)
    elif identity.kind == "Service":
        _describe_service(record, manifest)
    elif identity.kind in ("ConfigMap", "Secret"):
        _describe_data(record, manifest)
    elif identity.kind == "PersistentVolumeClaim":
        record["storage"] = {
            "class": _text(dig(manifest, "spec", "storageClassName")),
            "requested": _text(dig(manifest, "spec", "resources", "requests", "storage")),
            "phase": _text(dig(manifest, "status", "phase")),
        }
    elif whole(dig(manifest, "spec", "instances")) is not None:
        # How operators' objects (database clusters, for one) say their replicas.
        _describe_instances(record, manifest)
    record["replicas"] = record["replicas"] or _replicas(identity.kind, manifest)
    return record


def _describe_pods(record: Record, manifest: dict[str, t.Any], spec: dict[str, t.Any], path: str) -> None:
    statuses = {
        str(status.get("name")): status
        for place in ("containerStatuses", "initContainerStatuses")
        for status in map(mapping, sequence(dig(manifest, "status", place)))
    }
    security = mapping(spec.get("securityContext"))
    for place in ("initContainers", "containers"):
        for index, container in enumerate(sequence(spec.get(place))):
            if isinstance(container, dict):
                field = f"{path}.{place}[{index}]"
                record["containers"].append(_container(container, field, place == "initContainers", security, statuses))
    record["images"] = sorted(
        (
            {"container": container["name"], "field": f"{container['field']}.image", **container.pop("parsed")}
            for container in record["containers"]
            if container["image"]
        ),
        key=lambda image: image["field"],
    )
    for container in record["containers"]:
        container.pop("parsed", None)
        record["ports"].extend({"container": container["name"], **port} for port in container.pop("ports"))
    metadata = mapping(manifest.get("metadata")) if record["kind"] == "Pod" else pod_metadata(manifest)
    record["pod_labels"] = _labels(metadata.get("labels"))
    record["pod"] = {
        "service_account": _text(spec.get("serviceAccountName")) or "default",
        "mounts_token": spec.get("automountServiceAccountToken") is not False,
        "host_network": spec.get("hostNetwork") is True,
        "host_pid": spec.get("hostPID") is True,
        "host_ipc": spec.get("hostIPC") is True,
        "host_paths": sorted(
            str(dig(volume, "hostPath", "path"))
            for volume in sequence(spec.get("volumes"))
            if dig(volume, "hostPath", "path")
        ),
        "node": _text(spec.get("nodeName")),
        "backup_annotation": any("backup" in name for name in mapping(metadata.get("annotations"))),
    }
    record["references"] = _name_lists(spec, manifest)
    record["backs_up"] = bool(_BACKUP.search(" ".join((record["name"], *_command_lines(spec)))))
    if record["kind"] == "Pod" and isinstance(manifest.get("status"), dict):
        record["status"] = _pod_status(manifest["status"])


def _container(
    container: dict[str, t.Any],
    field: str,
    init: bool,
    pod_security: dict[str, t.Any],
    statuses: dict[str, dict[str, t.Any]],
) -> dict[str, t.Any]:
    image = _text(container.get("image"))
    resources = mapping(container.get("resources"))
    security = {**pod_security, **mapping(container.get("securityContext"))}
    capabilities = mapping(security.get("capabilities"))
    name = _text(container.get("name")) or ""
    described = {
        "name": name,
        "field": field,
        "init": init,
        "image": image,
        "running_image": _text(dig(statuses.get(name), "imageID")),
        "probes": {
            probe.removesuffix("Probe"): sorted(mapping(container[probe]))
            for probe in _PROBES
            if isinstance(container.get(probe), dict)
        },
        "resources": {side: _quantities(resources.get(side)) for side in ("requests", "limits")},
        "security": {
            "privileged": security.get("privileged") is True,
            "run_as_non_root": security.get("runAsNonRoot") is True or (whole(security.get("runAsUser")) or 0) > 0,
            "read_only_root": security.get("readOnlyRootFilesystem") is True,
            "no_escalation": security.get("allowPrivilegeEscalation") is False,
            "drops_all": "ALL" in sequence(capabilities.get("drop")),
            "adds": sorted(str(added) for added in sequence(capabilities.get("add"))),
        },
        "ports": [
            {
                "name": _text(port.get("name")),
                "port": whole(port.get("containerPort")),
                "protocol": _text(port.get("protocol")) or "TCP",
            }
            for port in map(mapping, sequence(container.get("ports")))
        ],
    }
    if image:
        described["parsed"] = parse_image(image).as_dict()
    return described


def _describe_service(record: Record, manifest: dict[str, t.Any]) -> None:
    spec = mapping(manifest.get("spec"))
    record["service"] = {
        "type": _text(spec.get("type")) or "ClusterIP",
        "headless": spec.get("clusterIP") == "None",
        "selects": bool(spec.get("selector")),
        "external_name": _text(spec.get("externalName")),
    }
    record["ports"] = [
        {
            "name": _text(port.get("name")),
            "port": whole(port.get("port")),
            "target": _text(port.get("targetPort")),
            "node_port": whole(port.get("nodePort")),
            "protocol": _text(port.get("protocol")) or "TCP",
        }
        for port in map(mapping, sequence(spec.get("ports")))
    ]


def _describe_data(record: Record, manifest: dict[str, t.Any]) -> None:
    """The names of what a ConfigMap or Secret holds; the contents stay where they are."""
    names = {name for place in ("data", "stringData", "binaryData") for name in mapping(manifest.get(place))}
    record["data"] = {"names": sorted(shorten(name, 253) for name in names), "type": _text(manifest.get("type"))}


def _describe_instances(record: Record, manifest: dict[str, t.Any]) -> None:
    spec = mapping(manifest.get("spec"))
    record["replicas"] = {
        "desired": whole(spec.get("instances")),
        "ready": whole(dig(manifest, "status", "readyInstances")),
        "available": None,
    }
    image = _text(spec.get("imageName") or spec.get("image"))
    if image:
        field = "spec.imageName" if spec.get("imageName") else "spec.image"
        record["images"] = [{"container": "", "field": field, **parse_image(image).as_dict()}]
    record["backs_up"] = isinstance(spec.get("backup"), dict)


def _replicas(kind: str, manifest: dict[str, t.Any]) -> dict[str, t.Any] | None:
    spec, status = mapping(manifest.get("spec")), mapping(manifest.get("status"))
    if kind == "DaemonSet":
        return {
            "desired": whole(status.get("desiredNumberScheduled")),
            "ready": whole(status.get("numberReady")),
            "available": whole(status.get("numberAvailable")),
        }
    if kind not in ("Deployment", "StatefulSet", "ReplicaSet", "ReplicationController"):
        return None
    desired = whole(spec.get("replicas"))
    return {
        # One is what Kubernetes makes of a workload that does not say it.
        "desired": 1 if desired is None else desired,
        "ready": whole(status.get("readyReplicas")) or (0 if status else None),
        "available": whole(status.get("availableReplicas")) or (0 if status else None),
    }


def _pod_status(status: dict[str, t.Any]) -> dict[str, t.Any]:
    containers = [
        mapping(one) for place in ("containerStatuses", "initContainerStatuses") for one in sequence(status.get(place))
    ]
    return {
        "phase": _text(status.get("phase")),
        "restarts": sum(whole(one.get("restartCount")) or 0 for one in containers),
        "waiting": sorted(
            {
                str(dig(one, "state", "waiting", "reason"))
                for one in containers
                if dig(one, "state", "waiting", "reason")
            }
        ),
        "last_terminated": sorted(
            {
                str(dig(one, "lastState", "terminated", "reason"))
                for one in containers
                if dig(one, "lastState", "terminated", "reason")
            }
        ),
    }


def _name_lists(spec: dict[str, t.Any], manifest: dict[str, t.Any]) -> dict[str, list[str]]:
    """The names of the configuration, secrets and claims that the pods use."""
    probe = references_of({"apiVersion": "v1", "kind": "Pod", "spec": spec})
    lists: dict[str, set[str]] = collections.defaultdict(set)
    for reference in probe.named:
        if reference.kind in ("ConfigMap", "Secret", "PersistentVolumeClaim"):
            lists[reference.kind].add(reference.name)
    for template in sequence(dig(manifest, "spec", "volumeClaimTemplates")):
        name = dig(template, "metadata", "name")
        if isinstance(name, str):
            lists["template"].add(name)
    return {
        "config_maps": sorted(lists["ConfigMap"]),
        "secrets": sorted(lists["Secret"]),
        "claims": sorted(lists["PersistentVolumeClaim"]),
        "claim_templates": sorted(lists["template"]),
    }


def _command_lines(spec: dict[str, t.Any]) -> t.Iterator[str]:
    for container in map(mapping, sequence(spec.get("containers"))):
        yield str(container.get("image") or "")
        for place in ("command", "args"):
            yield from (word for word in sequence(container.get(place)) if isinstance(word, str))


def _owners(metadata: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    return [
        {
            "api_version": _text(owner.get("apiVersion")),
            "kind": _text(owner.get("kind")),
            "name": _text(owner.get("name")),
            "uid": _text(owner.get("uid")),
            "controller": owner.get("controller") is True,
        }
        for owner in map(mapping, sequence(metadata.get("ownerReferences")))
    ]


def _resolve_owners(assets: t.Sequence[Record]) -> None:
    by_uid = {asset["uid"]: asset for asset in assets if asset["uid"]}
    by_name = {(asset["api_version"], asset["kind"], asset["namespace"], asset["name"]): asset for asset in assets}
    direct: dict[str, str] = {}
    for asset in assets:
        for owner in sorted(asset["owners"], key=lambda one: not one["controller"]):
            name = (owner["api_version"], owner["kind"])
            found = (
                by_uid.get(owner["uid"])
                or by_name.get((*name, asset["namespace"], owner["name"]))
                or by_name.get((*name, "", owner["name"]))
            )
            if found is not None and found is not asset:
                owner["id"] = found["id"]
                direct.setdefault(asset["id"], found["id"])
    for asset in assets:
        chain: list[str] = []
        step = direct.get(asset["id"])
        # Hostile objects can own each other in a circle.
        while step is not None and step not in chain and step != asset["id"]:
            chain.append(step)
            step = direct.get(step)
        asset["owner_chain"] = chain


def _labels(value: t.Any) -> dict[str, str]:
    return {shorten(name, 400): shorten(str(held), 100) for name, held in sorted(mapping(value).items())}


def _annotations(value: t.Any) -> dict[str, str]:
    shown = {}
    for name, held in sorted(mapping(value).items()):
        text = str(held)
        if name == LAST_APPLIED:
            # It repeats the whole object, a Secret's contents included.
            text = f"(left out: {len(text)} characters that repeat the object)"
        elif looks_secret(name.rpartition("/")[2]):
            text = REDACTED
        else:
            text = redact_text(text)
        shown[shorten(name, 400)] = text
    return shown


def _quantities(value: t.Any) -> dict[str, str]:
    return {str(name): str(held)[:64] for name, held in sorted(mapping(value).items())}


def _digest(manifest: dict[str, t.Any]) -> str:
    """The SHA-256 of the object; of a Secret without its contents, which a digest could confirm to a guesser."""
    if manifest.get("kind") == "Secret":
        metadata = {name: held for name, held in mapping(manifest.get("metadata")).items() if name != "annotations"}
        manifest = {**manifest, "metadata": metadata, "data": None, "stringData": None}
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _text(value: t.Any) -> str | None:
    return None if value is None or isinstance(value, (dict, list)) else shorten(str(value), 1024)


def _count(names: t.Iterable[str]) -> dict[str, int]:
    return dict(sorted(collections.Counter(names).items()))
