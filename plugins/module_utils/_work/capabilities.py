# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory capabilities from parameters to task result; the modules add nothing but their documentation."""

from __future__ import annotations

import typing as t

from .._estate import EstateObject, EvidenceError, Refused, SourceNotAvailable, open_source
from .._estate.writing import Written, read_evidence, to_json, write_evidence
from . import catalogue as catalogues
from . import helm_catalogue as helms
from . import lineage as lineages
from . import portfolio as portfolios
from .classification import merge_rules
from .findings import MAX_IN_RESULT, Finding, by_severity
from .machine import this_machine
from .missing import skipped, skipped_without

# What every inventory module takes; each adds its own to it.
COMMON_ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "coordination_dir": {"type": "path", "default": "coordination"},
    "task_id": {"type": "str", "required": True},
}
ESTATE_ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "estate_path": {"type": "path", "required": True},
    "source": {"type": "str", "default": "gitops", "choices": ["gitops", "kubernetes"]},
    "namespaces": {"type": "list", "elements": "str"},
}
CLASSIFY_ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "evidence": {
        "type": "list",
        "elements": "dict",
        "options": {
            "path": {"type": "str", "required": True},
            "sha256": {"type": "str"},
            "title": {"type": "str"},
            "bytes": {"type": "int"},
        },
    },
    "catalogue_task": {"type": "str", "default": "catalog-deployments"},
    "helm_task": {"type": "str", "default": "catalog-helm-releases"},
    "rules": {"type": "list", "elements": "dict", "default": []},
}

# (file name, title, contents)
File = tuple[str, str, str]


class Outcome(t.NamedTuple):
    """What a module returns: whether bytes differ, the task result, and before and after for diff mode."""

    changed: bool
    result: dict[str, t.Any]
    diff: list[dict[str, str]]

    def as_return(self) -> dict[str, t.Any]:
        """The return values of a module."""
        return {"changed": self.changed, "result": self.result, "diff": self.diff}


def catalog_deployments(parameters: t.Mapping[str, t.Any], check_mode: bool = False) -> Outcome:
    """Catalogue the estate. *parameters* are the module's; raises EstateError."""
    try:
        made = catalogues.catalogue(_things(parameters))
    except SourceNotAvailable as error:
        return Outcome(False, {**skipped_without(error), "machine": this_machine()}, [])
    findings = catalogues.findings_of(made)
    dependencies, counts = made["dependencies"], made["counts"]
    summary = {
        "assets": counts["assets"],
        "objects_read": counts["objects_read"],
        "broken": counts["broken"],
        "kinds": len(counts["by_kind"]),
        "namespaces": len([name for name in counts["by_namespace"] if name != "(cluster)"]),
        "images": counts["images"],
        "images_floating": counts["images_floating"],
        "dependencies": dependencies["counts"]["edges"],
        "dependencies_missing": dependencies["counts"]["missing"],
        "service_dependencies": len(dependencies["services"]),
    }
    files = [
        ("catalogue.json", "Catalogue of every object", to_json(made)),
        ("dependency-map.json", "Service dependency map", to_json(dependencies)),
        ("dependency-map.mmd", "Service dependency map (Mermaid)", catalogues.dependency_diagram(dependencies)),
    ]
    public = {
        "phase": {"inventory:assets_discovered": counts["assets"]},
        "metrics": {"assets_cataloged": counts["assets"]},
    }
    return _deliver(parameters, files, findings, summary, public, check_mode)


def catalog_helm_releases(parameters: t.Mapping[str, t.Any], check_mode: bool = False) -> Outcome:
    """Catalogue the Helm releases of the estate. *parameters* are the module's; raises EstateError."""
    try:
        made = helms.helm_catalogue(_things(parameters))
    except SourceNotAvailable as error:
        return Outcome(False, {**skipped_without(error), "machine": this_machine()}, [])
    findings = helms.findings_of(made)
    drawn = lineages.lineage(made)
    counts = made["counts"]
    summary = {
        "releases": counts["releases"],
        "revisions": counts["revisions"],
        "charts": counts["charts"],
        "unreadable": counts["unreadable"],
        "failed": counts["by_status"].get("failed", 0),
        "images": len({row["image"] for row in drawn["rows"]}),
        "lineage_edges": len(drawn["edges"]),
    }
    files = [
        ("helm-catalogue.json", "Catalogue of the Helm releases", to_json(made)),
        ("lineage.json", "Lineage application, chart, image", to_json(drawn)),
        ("lineage.mmd", "Lineage application, chart, image (Mermaid)", lineages.lineage_diagram(drawn)),
    ]
    public = {"metrics": {"helm_releases_cataloged": counts["releases"]}}
    return _deliver(parameters, files, findings, summary, public, check_mode)


def classify_assets(parameters: t.Mapping[str, t.Any], check_mode: bool = False) -> Outcome:
    """Classify what the two catalogues hold. *parameters* are the module's; raises EstateError."""
    rules, problems = merge_rules(parameters["rules"] or ())
    if problems:
        raise EvidenceError(" ".join(problems))
    try:
        inputs = _read_inputs(parameters)
    except EvidenceError as error:
        if not check_mode:
            raise
        # In check mode the catalogues wrote nothing, so that there may be nothing to read, or older bytes.
        missing = skipped(str(error), "Run the catalogues without check mode, then this task again.")
        return Outcome(False, {**missing, "machine": this_machine()}, [])
    catalogued = inputs.get(catalogues.FORMAT)
    if catalogued is None:
        raise EvidenceError(
            "None of the evidence is a catalogue of the estate; run catalog_deployments first and pass its evidence."
        )
    made = portfolios.portfolio(catalogued, inputs.get(helms.FORMAT), rules)
    findings = portfolios.findings_of(made)
    totals = made["summary"]
    summary = {
        "assets": totals["assets"],
        "categories": len(totals["by_category"]),
        "workloads": totals["workloads"],
        "other": totals["by_category"].get("other", {}).get("assets", 0),
        "rules": len(rules),
        "inputs_verified": inputs["verified"],
        "inputs_unverified": inputs["unverified"],
    }
    if totals["workload_average"] is not None:
        summary["workload_health"] = totals["workload_average"]
    files = [
        ("portfolio.json", "Category, tags and health of every asset", to_json(made)),
        ("portfolio-summary.json", "Portfolio summary", to_json(portfolios.portfolio_table(made))),
    ]
    public = {"metrics": {"assets_classified": totals["assets"]}}
    return _deliver(parameters, files, findings, summary, public, check_mode)


def _things(parameters: t.Mapping[str, t.Any]) -> t.Iterator[EstateObject | Refused]:
    """What the estate holds; with `namespaces`, only objects of these and those that are in no namespace."""
    source = open_source({"source": parameters["source"], "path": parameters["estate_path"]})
    wanted = parameters.get("namespaces")
    for thing in source.objects():
        if not wanted or isinstance(thing, Refused) or thing.identity.namespace in ("", *wanted):
            yield thing


def _read_inputs(parameters: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The JSON evidence by its format, and how many files were verified against a digest."""
    promised = [one for one in parameters["evidence"] or () if str(one.get("path", "")).endswith(".json")]
    if not promised:
        promised = [
            {"path": f"evidence/{parameters['catalogue_task']}/catalogue.json"},
            {"path": f"evidence/{parameters['helm_task']}/helm-catalogue.json"},
        ]
    found: dict[str, t.Any] = {"verified": 0, "unverified": 0}
    for one in promised:
        digest = one.get("sha256")
        held = read_evidence(parameters["coordination_dir"], str(one["path"]), digest)
        if isinstance(held, dict) and held.get("format") in (catalogues.FORMAT, helms.FORMAT):
            found[held["format"]] = held
            found["verified" if digest else "unverified"] += 1
    return found


def _deliver(
    parameters: t.Mapping[str, t.Any],
    files: t.Sequence[File],
    findings: t.Sequence[Finding],
    summary: dict[str, t.Any],
    public: dict[str, t.Any],
    check_mode: bool,
) -> Outcome:
    """Write the evidence and put the task result together."""
    counts = by_severity(findings)
    everything = [*files, ("findings.json", "Findings", to_json({"counts": counts, "findings": list(findings)}))]
    written: list[Written] = [
        write_evidence(parameters["coordination_dir"], parameters["task_id"], name, title, text, check_mode=check_mode)
        for name, title, text in everything
    ]
    changed = [one for one in written if one.changed]
    result = {
        "summary": {**summary, "findings": len(findings)},
        "findings": list(findings[:MAX_IN_RESULT]),
        "evidence": [one.as_evidence() for one in written],
        # Evidence is no change to the estate: there is nothing to undo.
        "changes": [],
        "public": {**public, "findings": counts},
        "machine": this_machine(),
    }
    diff = [
        {"before_header": one.path, "after_header": one.path, "before": one.before, "after": one.after}
        for one in changed
    ]
    return Outcome(bool(changed), result, diff)
