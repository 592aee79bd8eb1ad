# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one Kubernetes object refers to, each reference with the field it stands in.

One walk over the object serves every kind, custom resources included: the names of fields say what they refer to.
What a reference means is decided in `dependency_map`, which knows all objects.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t

from .._estate.helm_releases import is_release
from .._estate.objects import dig, mapping, secret_texts, sequence

MAX_SCANNED_TEXT = 1024 * 1024
MAX_MENTIONS = 5000
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

# Kinds whose texts refer to nothing that runs: reports of what happened, and schemas.
_SILENT_KINDS = frozenset(
    {"Event", "CustomResourceDefinition", "ControllerRevision", "Lease", "Endpoints", "EndpointSlice"}
)
_PLAIN_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?<![A-Za-z0-9_.%-])({_LABEL}(?:\.{_LABEL}){{1,6}})\.?(?::(\d{{1,5}}))?(?![A-Za-z0-9_-])")
_BARE_HOST = re.compile(
    rf"(?:://|@|,|(?i:host(?:name)?[\"']?\s{{0,4}}[:=]\s{{0,4}}[\"']?)|\A)({_LABEL})(?::(\d{{1,5}}))?(?=[/?,;\s\"']|\Z)"
)
_BARE_HOST_AND_PORT = re.compile(rf"(?:(?<=[\s=\"',/@(])|\A)({_LABEL}):(\d{{2,5}})(?![A-Za-z0-9_.:-])")
_HOST_NAME = re.compile(
    r"(host|hostname|addr|address|url|uri|server|servers|service|endpoint|dsn|upstream|broker|brokers)s?$",
    re.IGNORECASE,
)

# field -> kind of the object whose name stands there as a text
_NAME_FIELDS = {
    "secretName": "Secret",
    "claimName": "PersistentVolumeClaim",
    "serviceAccountName": "ServiceAccount",
    "serviceName": "Service",
    "storageClassName": "StorageClass",
    "ingressClassName": "IngressClass",
    "priorityClassName": "PriorityClass",
    "volumeName": "PersistentVolume",
}
# field -> kind of the object whose name stands below it in `name`
_REFERENCE_FIELDS = {
    "secretKeyRef": "Secret",
    "secretRef": "Secret",
    "configMapKeyRef": "ConfigMap",
    "configMapRef": "ConfigMap",
    "configMap": "ConfigMap",
    "secret": "Secret",
    "service": "Service",
}
_LIST_FIELDS = {"imagePullSecrets": "Secret", "backendRefs": "Service", "parentRefs": "Gateway"}
# Without these a pod does not start or a route leads nowhere; other kinds are often not part of a repository.
_REQUIRED_KINDS = frozenset({"Secret", "ConfigMap", "PersistentVolumeClaim", "Service"})
_CREATES_ITS_SECRET = frozenset({"Certificate", "ExternalSecret", "SealedSecret"})
_CORE_GROUPS = ("", "apps", "batch", "networking.k8s.io", "gateway.networking.k8s.io", "extensions")


@dataclasses.dataclass(frozen=True)
class Reference:
    """A name in a field. With `required` a missing target is worth saying; otherwise it is merely no reference."""

    type: str
    field: str
    kind: str
    name: str
    namespace: str | None = None
    required: bool = False
    optional: bool = False
    port: str | None = None


@dataclasses.dataclass(frozen=True)
class Mention:
    """A host name in a text. `bare` is a single label, which means something only within its own namespace."""

    type: str
    field: str
    host: str
    port: str | None = None

    @property
    def bare(self) -> bool:
        """Whether the host is a single label."""
        return "." not in self.host


@dataclasses.dataclass(frozen=True)
class Selection:
    """A label selector: which pods (or services) of which namespaces an object chooses."""

    type: str
    field: str
    selector: dict[str, t.Any]
    target: str = "pods"
    namespaces: dict[str, t.Any] | None = None


@dataclasses.dataclass
class References:
    """All that one object refers to, in the order of its fields."""

    named: list[Reference] = dataclasses.field(default_factory=list)
    mentions: list[Mention] = dataclasses.field(default_factory=list)
    selections: list[Selection] = dataclasses.field(default_factory=list)


def references_of(manifest: dict[str, t.Any]) -> References:
    """Everything *manifest* refers to. Values of Secrets are read for host names and never kept."""
    found = References()
    kind = str(manifest.get("kind"))
    if kind in _SILENT_KINDS or is_release(manifest):
        return found
    _Walk(manifest, found).run()
    found.selections.extend(_selections(manifest, kind))
    found.mentions = list(dict.fromkeys(found.mentions))[:MAX_MENTIONS]
    found.named = list(dict.fromkeys(found.named))
    return found


class _Walk:
    def __init__(self, manifest: dict[str, t.Any], found: References) -> None:
        self.manifest = manifest
        self.kind = str(manifest.get("kind"))
        self.group = str(manifest.get("apiVersion")).rpartition("/")[0]
        self.found = found

    def run(self) -> None:
        for field, value in self.manifest.items():
            if field in ("apiVersion", "kind", "status", "data", "stringData", "binaryData"):
                continue
            if field == "metadata":
                self._texts("annotation", "metadata.annotations", mapping(mapping(value).get("annotations")))
            else:
                self._visit(field, value, field)
        if self.kind == "ConfigMap":
            self._texts("config", "data", mapping(self.manifest.get("data")))
        elif self.kind == "Secret":
            self._texts("secret", "data", secret_texts(self.manifest))

    def _texts(self, kind: str, field: str, texts: dict[str, t.Any]) -> None:
        for name, text in texts.items():
            if isinstance(text, str) and name != LAST_APPLIED:
                self._mention(kind, join_field(field, name), name, text)

    def _visit(self, name: str, value: t.Any, path: str) -> None:
        if isinstance(value, dict):
            self._reference(name, value, path)
            if isinstance(value.get("name"), str) and isinstance(value.get("value"), str):
                # An environment variable: its own name says whether a single word is a host.
                self._mention(self._place(path), f"{path}.value", value["name"], value["value"])
                value = {field: held for field, held in value.items() if field != "value"}
            for field, held in value.items():
                self._visit(field, held, join_field(path, field))
        elif isinstance(value, list):
            for index, held in enumerate(value):
                place = f"{path}[{index}]"
                if name in _LIST_FIELDS and isinstance(held, dict):
                    self._named(_LIST_FIELDS[name], held, place)
                elif name == "subjects" and isinstance(held, dict):
                    self._named(str(held.get("kind")), held, place, required=False)
                self._visit("", held, place)
        elif isinstance(value, str):
            kind = _NAME_FIELDS.get(name)
            if kind is not None:
                self._add(kind, value, path)
            else:
                self._mention(self._place(path), path, name, value)

    def _reference(self, name: str, value: dict[str, t.Any], path: str) -> None:
        kind = _REFERENCE_FIELDS.get(name)
        if kind is not None:
            self._named(kind, value, path)
        elif isinstance(value.get("kind"), str) and isinstance(value.get("name"), str):
            # scaleTargetRef, claimRef, roleRef, issuerRef and their likes in any custom resource
            self._named(value["kind"], value, path, required=False)
        elif isinstance(value.get("name"), str) and set(value) == {"name", "key"}:
            self._named("Secret", value, path, required=False)
        elif isinstance(value.get("name"), str) and set(value) <= {"name", "namespace"} and name:
            self._named(name[0].upper() + name[1:], value, path, required=False)

    def _named(self, kind: str, value: dict[str, t.Any], path: str, required: bool = True) -> None:
        name = value.get("name")
        if not isinstance(name, str) or not name:
            return
        if isinstance(value.get("kind"), str):
            kind = value["kind"]
        port = value.get("port")
        if isinstance(port, dict):
            port = port.get("number", port.get("name"))
        namespace = value.get("namespace")
        self._add(
            kind,
            name,
            f"{path}.name",
            namespace=namespace if isinstance(namespace, str) else None,
            required=required,
            optional=value.get("optional") is True,
            port=str(port) if isinstance(port, (str, int)) else None,
        )

    def _add(
        self,
        kind: str,
        name: str,
        field: str,
        *,
        namespace: str | None = None,
        required: bool = True,
        optional: bool = False,
        port: str | None = None,
    ) -> None:
        if not name:
            return
        required = (
            required
            and kind in _REQUIRED_KINDS
            and self.group in _CORE_GROUPS
            and not (kind == "Secret" and self.kind in _CREATES_ITS_SECRET)
        )
        place = self._place(field)
        if kind == "ServiceAccount" and place == "field":
            place = "service_account"
        self.found.named.append(Reference(place, field, kind, name, namespace, required, optional, port))

    def _place(self, field: str) -> str:
        """What kind of reference a field is, by where it stands."""
        if self.kind in ("Ingress", "HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute"):
            return "ingress_tls" if ".tls[" in field else "route_backend"
        for part, place in (
            (".envFrom[", "env_from"),
            (".env[", "env"),
            ("olumes[", "volume"),
            (".imagePullSecrets[", "image_pull_secret"),
            (".args[", "args"),
            (".command[", "args"),
            ("scaleTargetRef", "scale_target"),
        ):
            if part in field:
                return place
        return "field"

    def _mention(self, kind: str, field: str, name: str, text: str) -> None:
        if len(self.found.mentions) >= MAX_MENTIONS:
            return
        text = text[:MAX_SCANNED_TEXT]
        for match in _HOST.finditer(text):
            self.found.mentions.append(Mention(kind, field, match.group(1), match.group(2)))
        for match in _BARE_HOST_AND_PORT.finditer(text):
            self.found.mentions.append(Mention(kind, field, match.group(1), match.group(2)))
        named = bool(_HOST_NAME.search(name))
        for match in _BARE_HOST.finditer(text):
            # A text that is one word is a host only where the name of its field says so.
            if named or match.start(1) > 0:
                self.found.mentions.append(Mention(kind, field, match.group(1), match.group(2)))


def _selections(manifest: dict[str, t.Any], kind: str) -> t.Iterator[Selection]:
    spec = mapping(manifest.get("spec"))
    selector = spec.get("selector")
    if kind == "Service" and isinstance(selector, dict) and selector:
        yield Selection("service_selector", "spec.selector", {"matchLabels": selector})
    elif kind == "PodDisruptionBudget" and isinstance(selector, dict):
        yield Selection("disruption_budget", "spec.selector", selector)
    elif kind in ("ServiceMonitor", "PodMonitor") and isinstance(selector, dict):
        chosen = mapping(spec.get("namespaceSelector"))
        names = [name for name in sequence(chosen.get("matchNames")) if isinstance(name, str)]
        scope: dict[str, t.Any] | None = {"names": names} if names else {} if chosen.get("any") is True else None
        yield Selection("monitor", "spec.selector", selector, "services" if kind == "ServiceMonitor" else "pods", scope)
    elif kind == "NetworkPolicy":
        if isinstance(spec.get("podSelector"), dict):
            yield Selection("network_policy", "spec.podSelector", spec["podSelector"])
        for direction, side in (("ingress", "from"), ("egress", "to")):
            for number, rule in enumerate(sequence(spec.get(direction))):
                for index, peer in enumerate(sequence(mapping(rule).get(side))):
                    field = f"spec.{direction}[{number}].{side}[{index}]"
                    pods, namespaces = dig(peer, "podSelector"), dig(peer, "namespaceSelector")
                    scope = namespaces if isinstance(namespaces, dict) else None
                    if isinstance(pods, dict):
                        yield Selection("network_policy", f"{field}.podSelector", pods, "pods", scope)
                    elif scope is not None:
                        yield Selection("network_policy", f"{field}.namespaceSelector", {}, "namespaces", scope)


def join_field(path: str, name: str) -> str:
    """*path* and the field *name* below it, in the notation of kubectl; odd names are quoted."""
    return f"{path}.{name}" if _PLAIN_FIELD.fullmatch(name) else f"{path}[{json.dumps(name[:200])}]"
