# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The health score of an asset: from 0 to 100, with a trace for every check that made it.

    score = round(100 * sum(weight * grade) / sum(weight))   over the checks that apply

Each check gives a grade from 0 to 1 and the reason for it. A check that does not apply to the asset, or whose facts
are not in the estate (restarts without pod status, for one), is left out of both sums and listed as not measured.

| check | weight | grade 1 means | partial grades |
|---|---|---|---|
| probes | 15 | every container has a readiness and a liveness probe | the share of the probes that are there |
| resources | 15 | every container requests and limits memory and requests CPU | the share of these three |
| availability | 15 | two or more replicas and a disruption budget | 0.6 replicas alone, 0.2 budget alone |
| images | 15 | every image is named by digest | 0.8 by version, 0 by a tag that moves |
| security | 20 | not privileged, not root, no escalation, no capabilities, read-only root, no host | the share |
| stability | 15 | no restarts and every replica ready | 0.5 for up to five restarts; 0 in a crash loop or not ready |
| api_version | 10 | the API version is still served by Kubernetes | none |
| backups | 15 | something in the estate backs the data up | none |
| references | 10 | everything it refers to is in the estate | the share that is found |

Objects owned by another take the score of that owner (`inherited_from`), so that nothing is judged twice.
"""

from __future__ import annotations

import collections
import statistics
import typing as t

from .api_versions import removed_in

FORMULA = "round(100 * sum(weight * grade) / sum(weight)) over the checks that apply"
WEIGHTS = {
    "probes": 15,
    "resources": 15,
    "availability": 15,
    "images": 15,
    "security": 20,
    "stability": 15,
    "api_version": 10,
    "backups": 15,
    "references": 10,
}
BANDS = ((90, "excellent"), (75, "good"), (50, "fair"), (25, "poor"), (0, "critical"))
_LONG_RUNNING = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController")
_CRASHING = frozenset(
    {"CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "CreateContainerConfigError", "RunContainerError"}
)

Asset = t.Mapping[str, t.Any]
# A grade from 0 to 1 and the reasons; None as a grade: not measured.
Grade = tuple[t.Union[float, None], list[str]]


class Facts:
    """What the scores of all assets rest on, gathered once: pods by owner, budgets, backups, references."""

    def __init__(self, assets: t.Sequence[Asset], dependencies: t.Mapping[str, t.Any]) -> None:
        self.by_id = {asset["id"]: asset for asset in assets}
        self.pods: dict[str, list[Asset]] = collections.defaultdict(list)
        for asset in assets:
            if asset.get("status") is not None:
                self.pods[asset["owner_chain"][-1] if asset["owner_chain"] else asset["id"]].append(asset)
        self.budgets: set[str] = set()
        self.references: dict[str, list[t.Mapping[str, t.Any]]] = collections.defaultdict(list)
        self.selects: set[str] = set()
        self.backed_up: dict[str, str] = {}
        backends: dict[str, set[str]] = collections.defaultdict(set)
        for edge in dependencies["edges"]:
            if edge["type"] == "disruption_budget":
                self.budgets.add(edge["to"])
            elif edge["type"] == "service_selector":
                self.selects.add(edge["from"])
                backends[edge["from"]].add(edge["to"])
            if edge["type"] not in ("disruption_budget", "network_policy", "service_selector", "monitor"):
                self.references[edge["from"]].append(edge)
        self._find_backups(assets, dependencies, backends)

    def _find_backups(
        self, assets: t.Sequence[Asset], dependencies: t.Mapping[str, t.Any], backends: t.Mapping[str, set[str]]
    ) -> None:
        """A workload is backed up by what is named a backup and reaches it, its claims, or its own operator object."""
        claims: dict[str, set[str]] = collections.defaultdict(set)
        for asset in assets:
            root = asset["owner_chain"][-1] if asset["owner_chain"] else asset["id"]
            for claim in asset["references"].get("claims", ()):
                claims[f"v1/PersistentVolumeClaim/{asset['namespace'] or '-'}/{claim}"].add(root)
            if asset.get("backs_up") and not asset["owner_chain"] and not asset["containers"]:
                self.backed_up[asset["id"]] = "its own backup configuration"
            if (asset.get("pod") or {}).get("backup_annotation"):
                self.backed_up[root] = "a backup annotation on its pods"
        working = {asset["id"] for asset in assets if asset.get("backs_up") and asset["containers"]}
        # An operator's schedule of backups is an object of its own that names what it backs up.
        working |= {asset["id"] for asset in assets if "Backup" in asset["kind"]}
        for link in dependencies["services"]:
            if link["from"] in working:
                self.backed_up.setdefault(link["to"], link["from"])
        for edge in dependencies["edges"]:
            if edge["from"] in working and edge["to"]:
                for reached in (*backends.get(edge["to"], ()), *claims.get(edge["to"], ()), edge["to"]):
                    if reached != edge["from"]:
                        self.backed_up.setdefault(reached, edge["from"])


def score_assets(assets: t.Sequence[Asset], dependencies: t.Mapping[str, t.Any]) -> dict[str, dict[str, t.Any]]:
    """The score of each asset by its id: `{"score", "band", "checks", "not_measured"}` or `{"inherited_from", ...}`."""
    facts = Facts(assets, dependencies)
    scores: dict[str, dict[str, t.Any]] = {}
    for asset in assets:
        if not asset["owner_chain"]:
            scores[asset["id"]] = score_asset(asset, facts)
    for asset in assets:
        if asset["owner_chain"]:
            # In a circle of owners nobody is the last one; such an object is judged by itself.
            root = scores.get(asset["owner_chain"][-1])
            if root is None:
                scores[asset["id"]] = score_asset(asset, facts)
            else:
                scores[asset["id"]] = {
                    "score": root["score"],
                    "band": root["band"],
                    "inherited_from": asset["owner_chain"][-1],
                    "checks": [],
                    "not_measured": [],
                }
    return {identifier: scores[identifier] for identifier in sorted(scores)}


def score_asset(asset: Asset, facts: Facts) -> dict[str, t.Any]:
    """The score of one asset with its trace; the score is None when no check applies."""
    checks: list[dict[str, t.Any]] = []
    not_measured: list[dict[str, t.Any]] = []
    for name, check in _CHECKS.items():
        verdict = check(asset, facts)
        if verdict is None:
            continue
        grade, reasons = verdict
        if grade is None:
            not_measured.append({"check": name, "reasons": reasons})
            continue
        weight = WEIGHTS[name]
        checks.append(
            {
                "check": name,
                "weight": weight,
                "grade": round(grade, 4),
                "points": round(weight * grade, 4),
                "reasons": reasons,
            }
        )
    total = sum(check["weight"] for check in checks)
    score = round(100 * sum(check["points"] for check in checks) / total) if total else None
    return {"score": score, "band": band_of(score), "checks": checks, "not_measured": not_measured}


def band_of(score: int | None) -> str:
    """The word for a score, `not measured` for none."""
    return "not measured" if score is None else next(word for least, word in BANDS if score >= least)


def _containers(asset: Asset) -> list[t.Mapping[str, t.Any]]:
    return [container for container in asset["containers"] if not container["init"]]


def _share(parts: t.Sequence[tuple[bool, str]]) -> Grade:
    """The share of the parts that hold, and what is said about those that do not."""
    missing = [text for holds, text in parts if not holds]
    return (len(parts) - len(missing)) / len(parts), missing


def _probes(asset: Asset, facts: Facts) -> Grade | None:
    if asset["kind"] not in _LONG_RUNNING and asset["kind"] != "Pod":
        return None
    parts = [
        (probe in container["probes"], f"{container['name']} has no {probe} probe")
        for container in _containers(asset)
        for probe in ("readiness", "liveness")
    ]
    return _share(parts) if parts else None


def _resources(asset: Asset, facts: Facts) -> Grade | None:
    parts = []
    for container in _containers(asset):
        for side, name in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
            held = container["resources"][side]
            # Kubernetes takes a limit for the request where only the limit is set.
            holds = name in held or (side == "requests" and name in container["resources"]["limits"])
            parts.append((holds, f"{container['name']} has no {name} in {side}"))
    return _share(parts) if parts else None


def _availability(asset: Asset, facts: Facts) -> Grade | None:
    replicas = asset["replicas"]
    if replicas is None or asset["kind"] in ("DaemonSet", "ReplicaSet") or replicas["desired"] is None:
        return None
    if replicas["desired"] == 0:
        return None, ["it is scaled to zero"]
    several, budget = replicas["desired"] >= 2, asset["id"] in facts.budgets
    reasons = [] if several else ["one replica"]
    if not asset["containers"]:
        # Operators make the budgets of their clusters themselves.
        return (1.0 if several else 0.0), reasons
    if not budget:
        reasons.append("no PodDisruptionBudget chooses it")
    return (1.0 if several and budget else 0.6 if several else 0.2 if budget else 0.0), reasons


def _images(asset: Asset, facts: Facts) -> Grade | None:
    if not asset["images"]:
        return None
    grades = {"digest": 1.0, "version": 0.8, "floating": 0.0}
    said = {"version": "a version, not a digest", "floating": "a tag that moves"}
    reasons = [
        f"{image['reference']} is named by {said[image['pin']]}"
        for image in asset["images"]
        if image["pin"] != "digest"
    ]
    return statistics.fmean(grades[image["pin"]] for image in asset["images"]), reasons


def _security(asset: Asset, facts: Facts) -> Grade | None:
    parts = []
    for container in _containers(asset):
        name, security = container["name"], container["security"]
        parts += [
            (not security["privileged"], f"{name} is privileged"),
            (security["run_as_non_root"], f"{name} may run as root"),
            (security["no_escalation"] and not security["privileged"], f"{name} may gain privileges"),
            (security["drops_all"], f"{name} keeps its default capabilities"),
            (security["read_only_root"], f"{name} can write to its root file system"),
        ]
    pod = asset.get("pod")
    if pod is None or not parts:
        return None
    host = pod["host_network"] or pod["host_pid"] or pod["host_ipc"] or bool(pod["host_paths"])
    return _share([*parts, (not host, "it has access to its node (network, processes or paths)")])


def _stability(asset: Asset, facts: Facts) -> Grade | None:
    if asset["kind"] in ("CronJob", "Job") or (not asset["containers"] and asset["replicas"] is None):
        return None
    pods, replicas = facts.pods.get(asset["id"], []), asset["replicas"] or {}
    desired, ready = replicas.get("desired"), replicas.get("ready")
    if not pods and ready is None:
        return None, ["the estate holds no status of it"]
    if desired == 0:
        return None, ["it is scaled to zero"]
    restarts = sum(pod["status"]["restarts"] for pod in pods)
    stuck = sorted({reason for pod in pods for reason in pod["status"]["waiting"] if reason in _CRASHING})
    if stuck:
        return 0.0, [f"a pod is in {reason}, after {restarts} restarts in all" for reason in stuck]
    if desired is not None and ready is not None and ready < desired:
        return 0.0, [f"{ready} of {desired} replicas are ready"]
    if restarts > 5:
        return 0.25, [f"{restarts} restarts"]
    return (0.5, [f"{restarts} restarts"]) if restarts else (1.0, [])


def _api_version(asset: Asset, facts: Facts) -> Grade | None:
    gone = removed_in(asset["api_version"], asset["kind"])
    if gone is None:
        return 1.0, []
    return 0.0, [f"{asset['api_version']} was removed in Kubernetes {gone[0]}; use {gone[1]}"]


def _backups(asset: Asset, facts: Facts) -> Grade | None:
    references = asset["references"]
    if asset.get("backs_up") and asset["containers"]:
        return None
    keeps_data = asset["kind"] == "StatefulSet" or (asset["replicas"] is not None and not asset["containers"])
    if not keeps_data and not (asset["kind"] == "Deployment" and references.get("claims")):
        return None
    if asset["kind"] == "StatefulSet" and not (references.get("claim_templates") or references.get("claims")):
        return None
    by = facts.backed_up.get(asset["id"])
    return (1.0, [f"backed up by {by}"]) if by else (0.0, ["nothing in the estate backs its data up"])


def _references(asset: Asset, facts: Facts) -> Grade | None:
    edges = [edge for edge in facts.references.get(asset["id"], ()) if not edge.get("optional")]
    if asset["kind"] == "Service" and (asset.get("service") or {}).get("selects"):
        return (1.0, []) if asset["id"] in facts.selects else (0.0, ["its selector chooses nothing in the estate"])
    if not edges:
        return None
    return _share(
        [
            (edge["found"], f"{edge['target']['kind']} {edge['target']['name']} is missing ({edge['field']})")
            for edge in edges
        ]
    )


_CHECKS: dict[str, t.Callable[[Asset, Facts], Grade | None]] = {
    "probes": _probes,
    "resources": _resources,
    "availability": _availability,
    "images": _images,
    "security": _security,
    "stability": _stability,
    "api_version": _api_version,
    "backups": _backups,
    "references": _references,
}
