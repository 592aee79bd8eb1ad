# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Recounts what a Larry reported by a second route, for the cross-validation.

The catalogue is compared with the estate's files as plain YAML and JSON, read here without the code that made the
catalogue. Which catalogue, is told by the format of an evidence file, never by the name of a task.
"""

from __future__ import annotations

import json
import os
import typing as t

try:
    import yaml

    _LOADER: t.Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
except ImportError:  # the controller's ansible-core brings it; said where it is needed
    yaml = None  # type: ignore[assignment]

CATALOGUE_FORMAT = "cortex.larry.catalogue/1"
_TITLE = "The catalogue equals the estate, object by object"


def recount_rows(
    record: dict[str, t.Any], larry: str, directory: str, estate_path: str | None
) -> list[dict[str, t.Any]]:
    """Rows of the recounts that apply to the completed tasks of `larry`."""
    rows: dict[str, dict[str, t.Any]] = {}
    for task, spec in record["plan"]["tasks"].items():
        state = record["tasks"][task]
        if spec["larry"] != larry or state["status"] != "completed":
            continue
        for one in (state["result"] or {}).get("evidence") or []:
            catalogue = None if one["path"] in rows else _read_catalogue(os.path.join(directory, str(one["path"])))
            if catalogue is not None:
                rows[one["path"]] = _compare(catalogue, estate_path)
    return list(rows.values())


def _read_catalogue(path: str) -> dict[str, t.Any] | None:
    if not path.endswith(".json"):
        return None
    try:
        with open(path, encoding="utf-8") as stream:
            content = json.load(stream)
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and content.get("format") == CATALOGUE_FORMAT else None


def _compare(catalogue: dict[str, t.Any], estate_path: str | None) -> dict[str, t.Any]:
    if yaml is None or not estate_path or not os.path.isdir(estate_path):
        why = "PyYAML is missing" if yaml is None else "the estate is not on this machine"
        return {"title": _TITLE, "state": "not measured", "detail": why}
    counted, problem = count_objects(estate_path)
    if problem:
        return {"title": _TITLE, "state": "not measured", "detail": problem}
    listed = {asset["id"]: asset for asset in catalogue["assets"]}
    differing = sorted(set(listed) ^ set(counted))
    for name in set(listed) & set(counted):
        metadata = counted[name]
        same = (metadata.get("labels") or {}) == (listed[name].get("labels") or {}) and _same_annotations(
            metadata.get("annotations") or {}, listed[name].get("annotations") or {}
        )
        owners = sorted(str(owner.get("name")) for owner in metadata.get("ownerReferences") or [])
        if not same or owners != sorted(str(owner.get("name")) for owner in listed[name].get("owners") or []):
            differing.append(name)
    detail = f"{len(counted)} objects counted in the files, {len(listed)} in the catalogue, {len(differing)} differ"
    if differing:
        detail += ": " + ", ".join(differing[:5])
    return {
        "title": _TITLE,
        "state": "unmet" if differing else "met",
        "detail": detail,
        "measures": {"catalogue_difference": len(differing)},
    }


def count_objects(directory: str) -> tuple[dict[str, dict[str, t.Any]], str | None]:
    """Metadata of every Kubernetes object below `directory` by its id, and what prevented a count, if anything did."""
    found: dict[str, dict[str, t.Any]] = {}
    for folder, folders, files in os.walk(directory):
        folders[:] = [name for name in folders if name != ".git" and not os.path.islink(os.path.join(folder, name))]
        for name in files:
            path = os.path.join(folder, name)
            if not name.endswith((".yaml", ".yml", ".json")) or os.path.islink(path):
                continue
            try:
                with open(path, encoding="utf-8") as stream:
                    for document in yaml.load_all(stream, Loader=_LOADER):
                        _collect(document, found)
            except (OSError, ValueError, yaml.YAMLError) as error:
                return {}, f"{os.path.relpath(path, directory)} cannot be read: {str(error).splitlines()[0]}"
    return found, None


def _same_annotations(actual: dict[str, t.Any], listed: dict[str, t.Any]) -> bool:
    # The catalogue leaves out values that may hold secrets, and says so in their place; their names must be there.
    return set(actual) == set(listed) and all(
        str(listed[name]).startswith("(left out") or listed[name] == value for name, value in actual.items()
    )


def _collect(document: t.Any, found: dict[str, dict[str, t.Any]]) -> None:
    if not isinstance(document, dict):
        return
    kind = str(document.get("kind", ""))
    if kind.endswith("List") and isinstance(document.get("items"), list):
        for one in document["items"]:
            if isinstance(one, dict) and kind != "List":
                # The items of a typed list do not repeat their type.
                one = {"apiVersion": document.get("apiVersion"), "kind": kind[:-4], **one}
            _collect(one, found)
        return
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or not metadata.get("name") or not document.get("apiVersion"):
        return
    where = metadata.get("namespace") or "-"
    found[f"{document['apiVersion']}/{document.get('kind')}/{where}/{metadata['name']}"] = metadata
