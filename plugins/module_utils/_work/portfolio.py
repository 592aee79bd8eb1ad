# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The portfolio: every asset with its category, tags and health, and the summary of them all."""

from __future__ import annotations

import collections
import statistics
import typing as t

from .api_versions import removed_in
from .classification import classify
from .findings import Finding, finding, ordered
from .health_score import BANDS, FORMULA, WEIGHTS, score_assets

FORMAT = "cortex.larry.portfolio/1"
POOR = 50
WORKLOADS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "CronJob", "Job", "Pod", "ReplicationController"})


def portfolio(
    catalogue: t.Mapping[str, t.Any],
    helm: t.Mapping[str, t.Any] | None,
    rules: t.Sequence[t.Mapping[str, t.Any]],
) -> dict[str, t.Any]:
    """Classify and score everything in *catalogue*; *helm*, where given, names the release of each asset."""
    assets = catalogue["assets"]
    verdicts = classify(assets, catalogue["dependencies"], rules)
    scores = score_assets(assets, catalogue["dependencies"])
    releases = _releases(helm)
    made = []
    for asset in assets:
        place = f"{asset['api_version']} {asset['kind']} {asset['namespace']}/{asset['name']}"
        made.append(
            {
                "id": asset["id"],
                "kind": asset["kind"],
                "namespace": asset["namespace"],
                "name": asset["name"],
                "api_version": asset["api_version"],
                "path": asset["origin"]["path"],
                "owner": asset["owner_chain"][-1] if asset["owner_chain"] else None,
                "release": asset["annotations"].get("meta.helm.sh/release-name") or releases.get(place),
                **verdicts[asset["id"]],
                "health": scores[asset["id"]],
            }
        )
    return {
        "format": FORMAT,
        "formula": {"score": FORMULA, "weights": WEIGHTS, "bands": {word: least for least, word in BANDS}},
        "rules": list(rules),
        "assets": made,
        "summary": summary(made),
    }


def _releases(helm: t.Mapping[str, t.Any] | None) -> dict[str, str]:
    named: dict[str, str] = {}
    for release in helm["releases"] if helm else ():
        for held in release["objects"]:
            api_version, kind, name = held.split(" ", 2)
            place = name if "/" in name else f"{release['namespace']}/{name}"
            named[f"{api_version} {kind} {place}"] = release["name"]
    return named


def summary(assets: t.Sequence[t.Mapping[str, t.Any]]) -> dict[str, t.Any]:
    """How many assets and what average health by category, namespace and band; owned objects count for no average."""
    own = [
        asset for asset in assets if "inherited_from" not in asset["health"] and asset["health"]["score"] is not None
    ]
    workloads = [asset for asset in own if asset["kind"] in WORKLOADS]
    return {
        "assets": len(assets),
        "scored": len(own),
        "average": _average(own),
        "workloads": len(workloads),
        "workload_average": _average(workloads),
        "by_category": _grouped(assets, workloads, "category"),
        "by_namespace": _grouped(assets, workloads, "namespace"),
        "by_band": dict(sorted(collections.Counter(asset["health"]["band"] for asset in workloads).items())),
        "weakest": [
            {"id": asset["id"], "score": asset["health"]["score"], "band": asset["health"]["band"]}
            for asset in sorted(workloads, key=lambda one: (one["health"]["score"], one["id"]))[:10]
        ],
    }


def _grouped(
    assets: t.Sequence[t.Mapping[str, t.Any]], workloads: t.Sequence[t.Mapping[str, t.Any]], by: str
) -> dict[str, dict[str, t.Any]]:
    names = sorted({asset[by] for asset in assets})
    return {
        name or "(cluster)": {
            "assets": sum(asset[by] == name for asset in assets),
            "workloads": sum(asset[by] == name for asset in workloads),
            "workload_average": _average([asset for asset in workloads if asset[by] == name]),
        }
        for name in names
    }


def _average(assets: t.Sequence[t.Mapping[str, t.Any]]) -> float | None:
    return round(statistics.fmean(asset["health"]["score"] for asset in assets), 1) if assets else None


def findings_of(made: t.Mapping[str, t.Any]) -> list[Finding]:
    """Workloads in a poor state, and API versions that are gone."""
    found: list[Finding] = []
    for asset in made["assets"]:
        more = {"asset": asset["id"], "path": asset["path"]}
        health = asset["health"]
        gone = removed_in(asset["api_version"], asset["kind"])
        if gone is not None:
            title = f"{asset['api_version']} {asset['kind']} was removed in Kubernetes {gone[0]}; use {gone[1]}."
            found.append(finding("removed-api-version", "high", title, **more))
        if "inherited_from" in health or asset["kind"] not in WORKLOADS or health["score"] is None:
            continue
        unstable = [check for check in health["checks"] if check["check"] == "stability" and check["grade"] == 0]
        if unstable:
            title = f"{asset['kind']} {asset['name']} does not run: {'; '.join(unstable[0]['reasons'])}."
            found.append(finding("not-running", "high", title, **more))
        if health["score"] < POOR:
            worst = min(health["checks"], key=lambda check: (check["grade"], -check["weight"], check["check"]))
            title = f"{asset['kind']} {asset['name']} has a health of {health['score']}; weakest: {worst['check']}."
            found.append(finding("poor-health", "medium", title, score=health["score"], **more))
    return ordered(found)


def portfolio_table(made: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The summary alone with the formula, for reports that need no single asset."""
    return {name: made[name] for name in ("format", "formula", "summary")}
