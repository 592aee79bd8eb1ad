# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lineage of what runs: application -> chart -> image."""

from __future__ import annotations

import typing as t

from .diagrams import Node, flowchart

FORMAT = "cortex.larry.lineage/1"


def lineage(helm: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The lineage of every release of the Helm catalogue *helm*: nodes, edges and one row for each image."""
    nodes: dict[str, dict[str, t.Any]] = {}
    edges: set[tuple[str, str]] = set()
    rows = []
    for release in helm["releases"]:
        chart = release["chart"]
        application = f"application:{release['id']}"
        packaged = f"chart:{chart['name']}:{chart['version']}"
        nodes[application] = {"type": "application", "name": release["name"], "namespace": release["namespace"]}
        nodes[packaged] = {"type": "chart", "name": chart["name"], "version": chart["version"]}
        edges.add((application, packaged))
        for image in release["images"]:
            reference = f"image:{image['reference']}"
            nodes[reference] = {"type": "image", "name": image["reference"], "pinned": image["pinned"]}
            edges.add((packaged, reference))
            rows.append(
                {
                    "application": release["id"],
                    "chart": f"{chart['name']} {chart['version']}",
                    "app_version": chart["app_version"],
                    "image": image["reference"],
                    "pinned": image["pinned"],
                }
            )
    return {
        "format": FORMAT,
        "nodes": [{"id": identifier, **nodes[identifier]} for identifier in sorted(nodes)],
        "edges": [{"from": source, "to": target} for source, target in sorted(edges)],
        "rows": sorted(rows, key=lambda row: (row["application"], row["chart"], row["image"])),
    }


def lineage_diagram(made: t.Mapping[str, t.Any]) -> str:
    """The lineage as a Mermaid flowchart."""
    shapes = {"application": "round", "chart": "box", "image": "hexagon"}
    boxes = []
    for node in made["nodes"]:
        label = {
            "application": f"{node.get('namespace')}/{node['name']}",
            "chart": f"{node['name']} {node.get('version')}",
        }.get(node["type"], node["name"])
        boxes.append(Node(node["id"], label, "", shapes[node["type"]]))
    return flowchart(boxes, [(edge["from"], edge["to"], "") for edge in made["edges"]])
