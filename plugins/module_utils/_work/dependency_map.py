# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service dependency map: an edge for every reference between objects, with the field it was found in."""

from __future__ import annotations

import collections
import typing as t

from .references import Mention, Reference, References, Selection

FORMAT = "cortex.larry.dependency-map/1"
# Objects that every cluster makes by itself, so that a repository rarely holds them.
_IMPLICIT = frozenset({("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")})
_CONFIGURATION = frozenset({"ConfigMap", "Secret"})

Record = t.Mapping[str, t.Any]
Edge = dict[str, t.Any]


class _Index:
    """The objects of an estate, by everything that a reference can name."""

    def __init__(self, records: t.Iterable[Record]) -> None:
        self.by_id = {record["id"]: record for record in records}
        self.by_name: dict[tuple[str, str, str], str] = {}
        self.pods: dict[str, list[Record]] = collections.defaultdict(list)
        self.services: dict[str, list[Record]] = collections.defaultdict(list)
        self.namespaces: dict[str, dict[str, str]] = {}
        for record in self.by_id.values():
            kind, namespace = record["kind"], record["namespace"]
            self.by_name.setdefault((kind, namespace, record["name"]), record["id"])
            if kind == "Namespace":
                # The API server sets this label on every namespace.
                self.namespaces[record["name"]] = {"kubernetes.io/metadata.name": record["name"], **record["labels"]}
            else:
                self.namespaces.setdefault(namespace, {"kubernetes.io/metadata.name": namespace})
            if record.get("pod_labels"):
                self.pods[namespace].append(record)
            if kind == "Service":
                self.services[namespace].append(record)

    def find(self, kind: str, namespace: str, name: str) -> str | None:
        return self.by_name.get((kind, namespace, name)) or self.by_name.get((kind, "", name))

    def root(self, record: Record) -> str:
        return record["owner_chain"][-1] if record["owner_chain"] else record["id"]


def dependency_map(records: t.Sequence[Record], references: t.Mapping[str, References]) -> dict[str, t.Any]:
    """The map of all *records*, from the *references* of each by its id.

    Returns `nodes`, `edges` (sorted; `found` is false where the estate does not hold the target), `services` (which
    application reaches which through services and configuration, with the ids on the way) and counts.
    """
    index = _Index(records)
    edges: list[Edge] = []
    for source, found in references.items():
        record = index.by_id.get(source)
        if record is None:
            continue
        for reference in found.named:
            edges.extend(_named(index, record, reference))
        for mention in found.mentions:
            edges.extend(_mentioned(index, record, mention))
        for selection in found.selections:
            edges.extend(_selected(index, record, selection))
    unique = {(edge["from"], edge["field"], edge["to"] or "", str(edge["target"])): edge for edge in edges}
    ordered = [unique[place] for place in sorted(unique)]
    touched = sorted({edge["from"] for edge in ordered} | {edge["to"] for edge in ordered if edge["to"]})
    return {
        "format": FORMAT,
        "nodes": [{name: index.by_id[node][name] for name in ("id", "kind", "namespace", "name")} for node in touched],
        "edges": ordered,
        "services": _services(index, ordered),
        "counts": {
            "nodes": len(touched),
            "edges": len(ordered),
            "missing": sum(not edge["found"] for edge in ordered),
            "by_type": dict(sorted(collections.Counter(edge["type"] for edge in ordered).items())),
        },
    }


def _edge(record: Record, kind: str, field: str, to: str | None, target: tuple[str, str, str], **more: t.Any) -> Edge:
    edge = {
        "from": record["id"],
        "to": to,
        "type": kind,
        "field": field,
        "found": to is not None,
        "target": {"kind": target[0], "namespace": target[1], "name": target[2]},
    }
    edge.update({name: value for name, value in more.items() if value})
    return edge


def _named(index: _Index, record: Record, reference: Reference) -> t.Iterator[Edge]:
    namespace = record["namespace"] if reference.namespace is None else reference.namespace
    to = index.find(reference.kind, namespace, reference.name)
    if to == record["id"] or (to is None and (not reference.required or (reference.kind, reference.name) in _IMPLICIT)):
        return
    yield _edge(
        record,
        reference.type,
        reference.field,
        to,
        (reference.kind, namespace, reference.name),
        optional=reference.optional,
        port=reference.port,
    )


def _mentioned(index: _Index, record: Record, mention: Mention) -> t.Iterator[Edge]:
    labels = mention.host.split(".")
    certain = False
    if mention.bare:
        candidates = [(labels[0], record["namespace"])]
    elif "svc" in labels[2:]:
        # service.namespace.svc, with the pod's name in front for headless services
        position = labels.index("svc", 2)
        candidates = [(labels[position - 2], labels[position - 1])]
        certain = labels[position + 1 :] in ([], ["cluster", "local"])
    else:
        candidates = [(labels[-2], labels[-1]), (labels[-1], record["namespace"])]
    for name, namespace in candidates:
        to = index.find("Service", namespace, name) if namespace else None
        if to is not None or certain:
            if to != record["id"]:
                yield _edge(record, mention.type, mention.field, to, ("Service", namespace, name), port=mention.port)
            return


def _selected(index: _Index, record: Record, selection: Selection) -> t.Iterator[Edge]:
    namespaces = _scope(index, record, selection.namespaces)
    for namespace in namespaces:
        if selection.target == "namespaces":
            to = index.find("Namespace", "", namespace)
            if to is not None:
                yield _edge(record, selection.type, selection.field, to, ("Namespace", "", namespace))
            continue
        pool = index.services if selection.target == "services" else index.pods
        for candidate in pool.get(namespace, ()):
            labels = candidate["labels"] if selection.target == "services" else candidate["pod_labels"]
            if matches(selection.selector, labels):
                chosen = index.by_id.get(index.root(candidate), candidate)
                target = (chosen["kind"], chosen["namespace"], chosen["name"])
                yield _edge(record, selection.type, selection.field, chosen["id"], target)


def _scope(index: _Index, record: Record, namespaces: dict[str, t.Any] | None) -> list[str]:
    if namespaces is None:
        return [record["namespace"]]
    if isinstance(namespaces.get("names"), list):
        return sorted(set(namespaces["names"]))
    return sorted(name for name, labels in index.namespaces.items() if name and matches(namespaces, labels))


def matches(selector: t.Mapping[str, t.Any], labels: t.Mapping[str, t.Any]) -> bool:
    """Whether *labels* satisfy a Kubernetes label selector; an empty selector chooses everything."""
    wanted = selector.get("matchLabels")
    if isinstance(wanted, dict) and any(labels.get(name) != value for name, value in wanted.items()):
        return False
    expressions = selector.get("matchExpressions")
    for expression in expressions if isinstance(expressions, list) else []:
        if not isinstance(expression, dict):
            return False
        name, operator = expression.get("key"), expression.get("operator")
        allowed = expression.get("values")
        held = labels.get(name) if isinstance(name, str) else None
        chosen = held is not None and isinstance(allowed, list) and held in allowed
        verdict = {
            "In": chosen,
            "NotIn": not chosen,
            "Exists": held is not None,
            "DoesNotExist": held is None,
        }.get(str(operator), False)
        if not verdict:
            return False
    return True


def _services(index: _Index, edges: t.Sequence[Edge]) -> list[dict[str, t.Any]]:
    """Which application depends on which: references to a Service, directly or through configuration, to its pods."""
    to_service: dict[str, list[Edge]] = collections.defaultdict(list)
    to_configuration: dict[str, set[str]] = collections.defaultdict(set)
    backs: dict[str, set[str]] = collections.defaultdict(set)
    sources: set[str] = set()
    for edge in edges:
        target = index.by_id.get(edge["to"] or "")
        if target is None:
            continue
        if edge["type"] == "service_selector":
            backs[edge["from"]].add(edge["to"])
        elif edge["type"] in ("network_policy", "disruption_budget"):
            continue
        elif target["kind"] == "Service":
            to_service[edge["from"]].append(edge)
        elif target["kind"] in _CONFIGURATION:
            to_configuration[edge["from"]].add(edge["to"])
        if index.by_id[edge["from"]]["kind"] not in _CONFIGURATION:
            sources.add(edge["from"])
    found: dict[tuple[str, str], dict[str, set[str]]] = {}
    for source in sources:
        steps = [((), edge) for edge in to_service.get(source, ())]
        for configuration in to_configuration.get(source, ()):
            steps.extend(((configuration,), edge) for edge in to_service.get(configuration, ()))
        origin = index.root(index.by_id[source])
        for before, edge in steps:
            for target in backs.get(edge["to"]) or {edge["to"]}:
                if target != origin:
                    link = found.setdefault((origin, target), {"via": set(), "fields": set()})
                    link["via"].update((*before, edge["to"]) if target != edge["to"] else before)
                    link["fields"].add(edge["field"])
    return [
        {"from": origin, "to": target, "via": sorted(link["via"]), "fields": sorted(link["fields"])}
        for (origin, target), link in sorted(found.items())
    ]
