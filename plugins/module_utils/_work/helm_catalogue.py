# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""catalog-helm-releases: every release with its whole history, from the records that Helm keeps in the cluster."""

from __future__ import annotations

import collections
import typing as t

from .._estate.errors import ItemRefused
from .._estate.gitops import parse_yaml
from .._estate.helm_releases import decode_release, is_release
from .._estate.images import parse_image
from .._estate.objects import EstateObject, Refused, dig, expand, identify, mapping, plain, pod_spec, sequence, whole
from .._estate.redaction import redact, redact_text, secret_texts_of
from .findings import Finding, finding, ordered

FORMAT = "cortex.larry.helm-catalogue/1"

Release = dict[str, t.Any]


class HelmCatalogue:
    """Collects release records and the images of what runs; `finish` orders them into releases and revisions."""

    def __init__(self) -> None:
        self.revisions: dict[tuple[str, str], list[Release]] = collections.defaultdict(list)
        self.running: dict[tuple[str, str], set[str]] = collections.defaultdict(set)
        self.unread: list[dict[str, t.Any]] = []
        self.records = 0

    def add(self, thing: EstateObject | Refused) -> None:
        """Take in one object of a source; a broken release costs that release alone. Refusals are not its business."""
        if isinstance(thing, Refused):
            return
        if not is_release(thing.manifest):
            self._note_running(thing)
            return
        self.records += 1
        try:
            revision = describe(thing)
        except ItemRefused as error:
            self.unread.append({**thing.origin.as_dict(), "asset": thing.identity.id, "reason": str(error)})
            return
        self.revisions[(revision["namespace"], revision["name"])].append(revision)

    def _note_running(self, thing: EstateObject) -> None:
        annotations = mapping(dig(thing.manifest, "metadata", "annotations"))
        name = annotations.get("meta.helm.sh/release-name")
        namespace = annotations.get("meta.helm.sh/release-namespace")
        if isinstance(name, str) and isinstance(namespace, str):
            self.running[(namespace, name)].update(image for image, _field in _images_of(thing.manifest))

    def finish(self) -> dict[str, t.Any]:
        """The catalogue: `releases` sorted by namespace and name, each with its `history` of revisions."""
        releases = []
        for place in sorted(self.revisions):
            history = sorted(self.revisions[place], key=lambda one: (one["revision"], one["secret"]))
            current = _current(history)
            images = [image["reference"] for image in current["images"]]
            running = sorted(self.running.get(place, ()))
            releases.append(
                {
                    "id": f"{place[0]}/{place[1]}",
                    **{name: current[name] for name in ("name", "namespace", "revision", "status", "chart", "images")},
                    "objects": current["objects"],
                    "running_images": running,
                    # Only where something of the release was seen running can a difference be told.
                    "drifted": sorted(set(running) ^ set(images)) if running else [],
                    "history": [{name: held for name, held in one.items() if name != "objects"} for one in history],
                }
            )
        return {
            "format": FORMAT,
            "releases": releases,
            "unread": self.unread,
            "counts": {
                "records": self.records,
                "releases": len(releases),
                "revisions": sum(len(release["history"]) for release in releases),
                "unreadable": len(self.unread),
                "by_status": dict(sorted(collections.Counter(release["status"] for release in releases).items())),
                "charts": len({(release["chart"]["name"], release["chart"]["version"]) for release in releases}),
            },
        }


def helm_catalogue(things: t.Iterable[EstateObject | Refused]) -> dict[str, t.Any]:
    """The Helm catalogue of everything that *things* yields; see `HelmCatalogue.finish`."""
    collected = HelmCatalogue()
    for thing in things:
        collected.add(thing)
    return collected.finish()


def describe(thing: EstateObject) -> Release:
    """One revision of a release, decoded and without secrets. Raises ItemRefused when its record is broken."""
    release = decode_release(thing.manifest)
    info, chart = mapping(release.get("info")), mapping(release.get("chart"))
    metadata = mapping(chart.get("metadata"))
    config, defaults = mapping(release.get("config")), mapping(chart.get("values"))
    # What is secret in the values given is secret wherever it came to stand: in defaults, notes and descriptions too.
    known = sorted(secret_texts_of(config) | secret_texts_of(defaults), key=lambda text: (-len(text), text))
    objects, images, unrendered = _rendered(release.get("manifest"))
    try:
        config = redact(plain(config), known)
    except ItemRefused:
        config = {}
    return {
        "name": str(release["name"]),
        "namespace": str(release.get("namespace") or thing.identity.namespace),
        "revision": whole(release.get("version")) or 0,
        "status": _line(info.get("status"), known) or "unknown",
        "chart": {
            "name": _line(metadata.get("name"), known) or "unknown",
            "version": _line(metadata.get("version"), known) or "unknown",
            "app_version": _line(metadata.get("appVersion"), known),
            "description": _line(metadata.get("description"), known),
            "deprecated": metadata.get("deprecated") is True,
            "dependencies": sorted(
                f"{one.get('name')} {one.get('version')}"
                for one in map(mapping, sequence(metadata.get("dependencies")))
            ),
        },
        "first_deployed": _line(info.get("first_deployed"), known),
        "last_deployed": _line(info.get("last_deployed"), known),
        "description": _line(info.get("description"), known),
        "secret": thing.identity.id,
        "origin": thing.origin.as_dict(),
        "images": images,
        "objects": objects,
        "unrendered": unrendered,
        "config": config,
    }


def _line(value: t.Any, known: t.Sequence[str]) -> str | None:
    return None if value is None else redact_text(str(value), known, 500)


def _rendered(manifest: t.Any) -> tuple[list[str], list[dict[str, t.Any]], int]:
    """The objects and images of a rendered manifest, and how many documents of it could not be read."""
    objects: set[str] = set()
    images: dict[str, dict[str, t.Any]] = {}
    broken = 0
    for document in _split(manifest if isinstance(manifest, str) else ""):
        try:
            parsed = parse_yaml(document)
            members = list(expand(parsed)) if isinstance(parsed, dict) else []
            for _index, member in members:
                held = plain(member)
                identity = identify(held)
                objects.add(f"{identity.api_version} {identity}")
                for image, _field in _images_of(held):
                    images[image] = parse_image(image).as_dict()
        except ItemRefused:
            broken += 1
    return sorted(objects), [images[reference] for reference in sorted(images)], broken


def _split(text: str) -> t.Iterator[str]:
    held: list[str] = []
    for line in text.splitlines():
        if line == "---" or line.startswith(("--- ", "---\t")):
            yield "\n".join(held)
            held = [line[3:]]
        else:
            held.append(line)
    yield "\n".join(held)


def _images_of(manifest: dict[str, t.Any]) -> t.Iterator[tuple[str, str]]:
    found = pod_spec(manifest)
    if found is None:
        spec = mapping(manifest.get("spec"))
        for name in ("imageName", "image"):
            if isinstance(spec.get(name), str) and spec[name]:
                yield spec[name], f"spec.{name}"
        return
    spec, path = found
    for place in ("initContainers", "containers"):
        for index, container in enumerate(sequence(spec.get(place))):
            image = dig(container, "image")
            if isinstance(image, str) and image:
                yield image, f"{path}.{place}[{index}].image"


def _current(history: t.Sequence[Release]) -> Release:
    """The revision that Helm calls the release's: the deployed one, and where none is, the newest."""
    deployed = [one for one in history if one["status"] == "deployed"]
    return (deployed or list(history))[-1]


def findings_of(made: t.Mapping[str, t.Any]) -> list[Finding]:
    """What the releases show to be wrong: broken records, failed or stuck revisions, drift, floating images."""
    found: list[Finding] = []
    for entry in made["unread"]:
        place = f"{entry['path']}:{entry['line']}" if "line" in entry else entry["path"]
        found.append(finding("helm-unreadable", "medium", entry["reason"], asset=entry["asset"], path=place))
    for release in made["releases"]:
        newest = release["history"][-1]
        more = {"asset": newest["secret"], "path": newest["origin"]["path"], "release": release["id"]}
        if newest["status"] == "failed":
            title = f"The newest revision {newest['revision']} of the release {release['name']} failed."
            found.append(finding("helm-failed", "high", title, **more))
        elif newest["status"].startswith("pending"):
            title = f"The release {release['name']} is stuck in {newest['status']}."
            found.append(finding("helm-pending", "medium", title, **more))
        if release["chart"]["deprecated"]:
            title = f"The chart {release['chart']['name']} of the release {release['name']} is deprecated."
            found.append(finding("helm-deprecated-chart", "low", title, **more))
        if release["drifted"]:
            title = f"The release {release['name']} runs other images than its chart declares."
            found.append(finding("helm-drift", "medium", title, images=release["drifted"], **more))
    return ordered(found)
