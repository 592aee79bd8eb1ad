# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubernetes objects as the estate sees them: identity, lists, and where a kind keeps its pods."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import math
import typing as t

from .errors import ItemRefused

MAX_DEPTH = 100

# The places where a kind keeps a pod specification and the metadata of those pods.
POD_SPECS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Pod": (("spec",), ("metadata",)),
    "PodTemplate": (("template", "spec"), ("template", "metadata")),
    "CronJob": (
        ("spec", "jobTemplate", "spec", "template", "spec"),
        ("spec", "jobTemplate", "spec", "template", "metadata"),
    ),
}
for _kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"):
    POD_SPECS[_kind] = (("spec", "template", "spec"), ("spec", "template", "metadata"))

# Documents that have an apiVersion and a kind and still are no objects of a cluster, but input of a tool.
TOOL_GROUPS = ("kustomize.config.k8s.io", "config.kubernetes.io")


class Identity(t.NamedTuple):
    """What names an object within one estate. A missing namespace is the empty string."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @property
    def group(self) -> str:
        """The API group; empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def id(self) -> str:
        """One string for the identity, such as `apps/v1/Deployment/database/pgadmin`; `-` is no namespace."""
        return "/".join(
            (
                self.api_version,
                _segment(self.kind),
                _segment(self.namespace) if self.namespace else "-",
                _segment(self.name),
            )
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where an object was read: file (relative to the estate), document and item in its list (both from 0), line."""

    path: str
    document: int = 0
    item: int | None = None
    line: int | None = None

    def as_dict(self) -> dict[str, t.Any]:
        """JSON types; fields that do not apply are left out."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}

    def __str__(self) -> str:
        text = f"{self.path}:{self.line}" if self.line else self.path
        return text if self.item is None else f"{text} (item {self.item})"


@dataclasses.dataclass(frozen=True)
class EstateObject:
    """One object with its identity and where it was read."""

    identity: Identity
    manifest: dict[str, t.Any]
    origin: Origin


@dataclasses.dataclass(frozen=True)
class Refused:
    """Something that is not an object of the estate.

    `broken` is true when it should have been one, false for what merely lies beside (values files, kustomizations).
    """

    origin: Origin
    reason: str
    broken: bool = True


def _segment(text: str) -> str:
    return text.replace("%", "%25").replace("/", "%2F")


def plain(value: t.Any, depth: int = 0) -> t.Any:
    """Return *value* in JSON types: names of fields become strings, as the API server would read them.

    Raises ItemRefused for what JSON cannot hold and for nesting deeper than MAX_DEPTH.
    """
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    if depth > MAX_DEPTH:
        raise ItemRefused(f"It is nested deeper than {MAX_DEPTH} levels.")
    if isinstance(value, dict):
        return {_field_name(name): plain(held, depth + 1) for name, held in value.items()}
    if isinstance(value, list):
        return [plain(held, depth + 1) for held in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ItemRefused("It holds a number that is not finite, which no Kubernetes object can.")
        return value
    raise ItemRefused(f"It holds a value of the type {type(value).__name__}, which no Kubernetes object can.")


def _field_name(name: t.Any) -> str:
    if isinstance(name, bool):
        return "true" if name else "false"
    if isinstance(name, (str, int, float)):
        return str(name)
    raise ItemRefused("It has a field whose name is not a text.")


def dig(value: t.Any, *path: str) -> t.Any:
    """Follow *path* through mappings; None when a step is missing or is not a mapping."""
    for step in path:
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    return value


def mapping(value: t.Any) -> dict[str, t.Any]:
    """*value* if it is a mapping, else an empty one: estates hold anything anywhere."""
    return value if isinstance(value, dict) else {}


def sequence(value: t.Any) -> list[t.Any]:
    """*value* if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def whole(value: t.Any) -> int | None:
    """*value* if it is an integer (and not a boolean), else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def is_list(document: t.Mapping[str, t.Any]) -> bool:
    """Whether *document* is a list of objects (`List`, `PodList`, ...) and not an object of its own."""
    kind = document.get("kind")
    return (
        isinstance(kind, str)
        and kind.endswith("List")
        and isinstance(document.get("items"), list)
        and not mapping(document.get("metadata")).get("name")
    )


def expand(document: dict[str, t.Any]) -> t.Iterator[tuple[int | None, t.Any]]:
    """Yield (index in the list, object); a single object has the index None. Lists in lists are not expanded."""
    if not is_list(document):
        yield None, document
        return
    kind = document["kind"]
    inherited = {} if kind == "List" else {"apiVersion": document.get("apiVersion"), "kind": kind[: -len("List")]}
    for index, member in enumerate(document["items"]):
        # A typed list as the API serves it leaves these two out of its members.
        yield index, {**inherited, **member} if isinstance(member, dict) else member


def identify(manifest: t.Any) -> Identity:
    """The identity of *manifest*.

    Raises ItemRefused with the sentence that says what is missing.
    """
    if not isinstance(manifest, dict):
        raise ItemRefused("It is not a mapping, so it is no Kubernetes object.")
    api_version, kind = manifest.get("apiVersion"), manifest.get("kind")
    for name, value in (("apiVersion", api_version), ("kind", kind)):
        if not isinstance(value, str) or not value.strip():
            raise ItemRefused(f"It has no {name}, so it is no Kubernetes object.")
    metadata = manifest.get("metadata")
    if not isinstance(metadata, dict):
        raise ItemRefused(f"The {kind} has no metadata, so it has no name.")
    name, namespace = metadata.get("name"), metadata.get("namespace")
    if not isinstance(name, str) or not name:
        raise ItemRefused(f"The {kind} has no metadata.name that is a text; give it one, in quotes.")
    if namespace is not None and not isinstance(namespace, str):
        raise ItemRefused(f"The {kind} {name} has a metadata.namespace that is not a text; put it in quotes.")
    if len(name) > 253 or len(namespace or "") > 253:
        raise ItemRefused(f"The {kind} has a name or namespace longer than 253 characters, which Kubernetes refuses.")
    return Identity(str(api_version), str(kind), namespace or "", name)


def pod_spec(manifest: t.Mapping[str, t.Any]) -> tuple[dict[str, t.Any], str] | None:
    """The pod specification of a workload and the path of the field that holds it; None for other kinds."""
    places = POD_SPECS.get(str(manifest.get("kind")))
    if places is None:
        return None
    spec = dig(manifest, *places[0])
    return (spec, ".".join(places[0])) if isinstance(spec, dict) else None


def pod_metadata(manifest: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The metadata that the pods of a workload get; empty for other kinds."""
    places = POD_SPECS.get(str(manifest.get("kind")))
    return mapping(dig(manifest, *places[1])) if places else {}


def secret_texts(manifest: t.Mapping[str, t.Any]) -> dict[str, str]:
    """The texts of a Secret by name, decoded; what is not base64 or not UTF-8 is left out."""
    texts: dict[str, str] = {}
    for name, value in mapping(manifest.get("data")).items():
        if isinstance(value, str):
            try:
                texts[name] = base64.b64decode(value, validate=False).decode("utf-8")
            except (binascii.Error, ValueError):
                continue
    for name, value in mapping(manifest.get("stringData")).items():
        if isinstance(value, str):
            texts[name] = value
    return texts
