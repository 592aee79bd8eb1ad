# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""classify-assets: the category and tags of every asset, by rules that users extend.

A rule is `{"id", "category", "weight", "tags", "match"}`. `match` names properties of an asset, each with a list of
patterns (shell style, `*` and `?`); a rule matches when every property it names has a pattern that fits:

- `image`: repository of an image, with and without its registry
- `kind`, `api_group`, `namespace`, `name`
- `label`: `name=value` of a label

The category with the greatest sum of weights wins, the alphabet decides between equal ones. What no rule matches takes
the category of what it belongs to: its owner, the workloads it selects or serves, else `other`.
"""

from __future__ import annotations

import collections
import fnmatch
import typing as t

CATEGORIES = (
    "ai",
    "automation",
    "cache",
    "configuration",
    "database",
    "ingress",
    "monitoring",
    "networking",
    "security",
    "storage",
    "system",
)
OTHER = "other"
PROPERTIES = ("api_group", "image", "kind", "label", "name", "namespace")


def _rule(identifier: str, category: str, weight: int, tags: str = "", /, **match: str) -> dict[str, t.Any]:
    return {
        "id": identifier,
        "category": category,
        "weight": weight,
        "tags": tags.split(),
        "match": {place: patterns.split() for place, patterns in match.items()},
    }


# Knowledge of common software and API groups, not of any estate.
DEFAULT_RULES: tuple[dict[str, t.Any], ...] = (
    _rule(
        "postgresql",
        "database",
        10,
        "postgresql sql",
        image="*/postgres */postgresql */spilo* *timescaledb*",
    ),
    _rule("mysql", "database", 10, "mysql sql", image="*/mysql */mariadb */percona*"),
    _rule(
        "document-databases",
        "database",
        10,
        "nosql",
        image="*/mongo */mongodb */couchdb */cassandra* *elasticsearch* *opensearch*",
    ),
    _rule(
        "database-tools",
        "database",
        8,
        "database-tool",
        image="*/pgadmin* */adminer */phpmyadmin */pgbouncer* *postgres-operator* *cloudnative-pg*",
    ),
    _rule(
        "database-operators",
        "database",
        10,
        "operator-managed",
        api_group="postgresql.cnpg.io acid.zalan.do *crunchydata.com mariadb.* *mongodb.com",
    ),
    _rule(
        "caches",
        "cache",
        10,
        "in-memory",
        image="*/redis */valkey */memcached */keydb* */sentinel */redis-sentinel */haproxy-redis",
    ),
    _rule("vector-databases", "ai", 10, "vector-database", image="*qdrant* *weaviate* *milvus* *chroma* *pgvector*"),
    _rule(
        "model-servers",
        "ai",
        10,
        "inference",
        image="*ollama* *vllm* *text-generation-inference* *localai* *tritonserver* *litellm*",
    ),
    _rule(
        "ai-applications",
        "ai",
        9,
        "llm",
        image="*langflow* *flowise* *open-webui* *langfuse* *langchain* *jupyter* *crewai*",
    ),
    _rule(
        "metrics",
        "monitoring",
        10,
        "metrics",
        image="*prometheus* *alertmanager* *thanos* *victoria* "
        "*node-exporter* *_exporter *-exporter *kube-state-metrics* *metrics-server*",
    ),
    _rule(
        "logs-and-traces",
        "monitoring",
        10,
        "observability",
        image="*/loki* */promtail* */fluent-bit* */fluentd* */tempo* *jaeger* *otel* *opentelemetry*",
    ),
    _rule("dashboards", "monitoring", 10, "dashboards", image="*/grafana* *uptime-kuma* */kibana*"),
    _rule("monitoring-objects", "monitoring", 10, "", api_group="monitoring.coreos.com"),
    _rule(
        "ingress-controllers",
        "ingress",
        10,
        "edge",
        image="*ingress-nginx* *nginx-ingress* */traefik* */haproxy* *kong* */envoy* *contour*",
    ),
    _rule(
        "ingress-objects",
        "ingress",
        6,
        "edge",
        kind="Ingress IngressClass Gateway GatewayClass HTTPRoute GRPCRoute TCPRoute TLSRoute",
    ),
    _rule("load-balancers", "networking", 8, "", image="*metallb* *kube-vip* *klipper-lb*"),
    _rule("cluster-network", "networking", 8, "", image="*coredns* *flannel* *calico* *cilium* *kube-proxy*"),
    _rule("network-policies", "security", 6, "isolation", kind="NetworkPolicy CiliumNetworkPolicy GlobalNetworkPolicy"),
    _rule(
        "storage-systems",
        "storage",
        10,
        "",
        image="*longhorn* *csi-* */minio* *rook* *ceph* *local-path-provisioner* *nfs* *openebs*",
    ),
    _rule(
        "storage-objects",
        "storage",
        6,
        "",
        kind="PersistentVolume PersistentVolumeClaim StorageClass VolumeSnapshot "
        "VolumeSnapshotClass CSIDriver CSINode VolumeAttachment",
    ),
    _rule("storage-groups", "storage", 8, "", api_group="longhorn.io snapshot.storage.k8s.io"),
    _rule("backups", "storage", 6, "backup", image="*velero* *restic* *pgbackrest* *barman*"),
    _rule("backup-objects", "storage", 6, "backup", api_group="velero.io"),
    _rule("certificates", "security", 10, "certificates", image="*cert-manager*"),
    _rule("certificate-objects", "security", 8, "certificates", api_group="cert-manager.io acme.cert-manager.io"),
    _rule("secret-stores", "security", 10, "secrets", image="*/vault* *external-secrets* *sealed-secrets*"),
    _rule(
        "scanners", "security", 10, "scanning", image="*trivy* *falco* *kyverno* *gatekeeper* *kubescape* *kube-bench*"
    ),
    _rule("identity", "security", 10, "identity", image="*oauth2-proxy* *keycloak* *authelia* *authentik* */dex*"),
    _rule("access-control", "security", 5, "rbac", api_group="rbac.authorization.k8s.io"),
    _rule("access-identities", "security", 1, "rbac", kind="ServiceAccount"),
    _rule("security-reports", "security", 8, "scanning", api_group="aquasecurity.github.io kyverno.io wgpolicyk8s.io"),
    _rule(
        "workflow-engines",
        "automation",
        10,
        "workflow",
        image="*n8n* *airflow* *node-red* *argoexec* *workflow-controller* *temporal* *windmill*",
    ),
    _rule(
        "delivery",
        "automation",
        10,
        "delivery",
        image="*argocd* *fluxcd* *jenkins* *gitea* *drone* *tekton* *actions-runner* *renovate*",
    ),
    _rule("scheduled-work", "automation", 3, "scheduled", kind="CronJob Job"),
    _rule("helm-records", "configuration", 12, "helm-release", name="sh.helm.release.v1.*"),
    _rule(
        "cluster-objects",
        "system",
        4,
        "cluster",
        kind="Node Namespace PriorityClass RuntimeClass "
        "Lease APIService CustomResourceDefinition ResourceQuota LimitRange",
    ),
    _rule("cluster-reports", "system", 3, "", kind="Event ComponentStatus"),
)

Asset = t.Mapping[str, t.Any]


def merge_rules(extra: t.Sequence[t.Mapping[str, t.Any]] = ()) -> tuple[list[dict[str, t.Any]], list[str]]:
    """The default rules and *extra*; a rule with the id of another replaces it.

    Returns (rules, problems): each problem is one sentence that names the rule. With problems, do not use the rules.
    """
    rules = {rule["id"]: rule for rule in DEFAULT_RULES}
    problems: list[str] = []
    for position, rule in enumerate(extra, 1):
        name = rule.get("id") if isinstance(rule, dict) else None
        called = f"Rule {position}" + (f" ({name})" if name else "")
        if not isinstance(rule, dict) or not isinstance(name, str) or not name:
            problems.append(f"{called} has no id; give every rule an id of its own.")
            continue
        unknown = sorted(set(rule) - {"id", "category", "weight", "tags", "match"})
        if unknown:
            problems.append(f"{called} has the unknown field '{unknown[0]}'; use id, category, weight, tags and match.")
            continue
        category, weight, tags, match = (
            rule.get("category"),
            rule.get("weight", 20),
            rule.get("tags") or [],
            rule.get("match"),
        )
        if not isinstance(category, str) or not category:
            problems.append(f"{called} has no category.")
        elif not isinstance(weight, int) or isinstance(weight, bool) or not 0 < weight <= 1000:
            problems.append(f"{called} has the weight {weight!r}; use a whole number from 1 to 1000.")
        elif not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            problems.append(f"{called} has tags that are not a list of texts.")
        elif not isinstance(match, dict) or not match:
            problems.append(f"{called} has no match; name at least one of {', '.join(PROPERTIES)}.")
        elif set(match) - set(PROPERTIES):
            stray = sorted(set(match) - set(PROPERTIES))[0]
            problems.append(f"{called} matches on '{stray}', which is none of {', '.join(PROPERTIES)}.")
        else:
            patterns = {place: [held] if isinstance(held, str) else held for place, held in match.items()}
            bad = [place for place, held in patterns.items() if not _patterns(held)]
            if bad:
                problems.append(f"{called} has patterns for '{bad[0]}' that are not a list of short texts.")
                continue
            rules[name] = {"id": name, "category": category, "weight": weight, "tags": list(tags), "match": patterns}
    return [rules[name] for name in sorted(rules)], problems


def _patterns(held: t.Any) -> bool:
    # Many stars in one pattern make matching slow; no sensible pattern has more than a few.
    return (
        isinstance(held, list)
        and bool(held)
        and all(isinstance(one, str) and 0 < len(one) <= 200 and one.count("*") <= 6 for one in held)
    )


def classify(
    assets: t.Sequence[Asset], dependencies: t.Mapping[str, t.Any], rules: t.Sequence[t.Mapping[str, t.Any]]
) -> dict[str, dict[str, t.Any]]:
    """The category of each asset by its id: `{"category", "tags", "because"}`, where `because` names the rules."""
    decided: dict[str, dict[str, t.Any]] = {}
    undecided: list[Asset] = []
    for asset in assets:
        verdict = _by_rules(asset, rules)
        if verdict is None:
            undecided.append(asset)
        else:
            decided[asset["id"]] = verdict
    neighbours = _neighbours(dependencies)
    by_id = {asset["id"]: asset for asset in assets}
    # Twice: what belongs to something that was itself decided by what it belongs to.
    for _round in range(2):
        still: list[Asset] = []
        inherited: dict[str, dict[str, t.Any]] = {}
        for asset in undecided:
            verdict = _by_relation(asset, decided, neighbours)
            if verdict is None:
                still.append(asset)
            else:
                inherited[asset["id"]] = verdict
        decided.update(inherited)
        undecided = still
    for asset in undecided:
        decided[asset["id"]] = {"category": OTHER, "tags": [], "because": ["no rule and no relation"]}
    for identifier, verdict in decided.items():
        verdict["tags"] = sorted({*verdict["tags"], *_tags(by_id[identifier])})
    return {identifier: decided[identifier] for identifier in sorted(decided)}


def _by_rules(asset: Asset, rules: t.Sequence[t.Mapping[str, t.Any]]) -> dict[str, t.Any] | None:
    properties = _properties(asset)
    sums: dict[str, int] = collections.defaultdict(int)
    because: dict[str, list[str]] = collections.defaultdict(list)
    tags: set[str] = set()
    for rule in rules:
        if all(_fits(properties[place], patterns) for place, patterns in rule["match"].items()):
            sums[rule["category"]] += rule["weight"]
            because[rule["category"]].append(f"rule {rule['id']} (+{rule['weight']})")
            tags.update(rule["tags"])
    if not sums:
        return None
    category = min(sums, key=lambda name: (-sums[name], name))
    return {"category": category, "tags": sorted(tags), "because": because[category]}


def _fits(held: t.Sequence[str], patterns: t.Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(text, pattern.lower()) for text in held for pattern in patterns)


def _properties(asset: Asset) -> dict[str, list[str]]:
    images = []
    for image in asset["images"]:
        images.append(f"{image['registry']}/{image['repository']}".lower())
    return {
        "kind": [asset["kind"].lower()],
        "api_group": [asset["api_version"].rpartition("/")[0].lower()],
        "namespace": [asset["namespace"].lower()],
        "name": [asset["name"].lower()],
        "image": images,
        "label": [f"{name}={held}".lower() for name, held in asset["labels"].items()],
    }


def _neighbours(dependencies: t.Mapping[str, t.Any]) -> dict[str, list[str]]:
    """What an asset may take its category from: what it selects, and what uses it."""
    found: dict[str, list[str]] = collections.defaultdict(list)
    for edge in dependencies["edges"]:
        if not edge["to"] or edge["type"] == "network_policy":
            continue
        if edge["type"] in ("service_selector", "disruption_budget", "monitor", "scale_target"):
            found[edge["from"]].append(edge["to"])
        elif edge["target"]["kind"] not in ("Service", "Namespace", "StorageClass", "IngressClass"):
            found[edge["to"]].append(edge["from"])
    return found


def _by_relation(
    asset: Asset, decided: t.Mapping[str, dict[str, t.Any]], neighbours: t.Mapping[str, list[str]]
) -> dict[str, t.Any] | None:
    for owner in reversed(asset["owner_chain"]):
        if owner in decided:
            return {"category": decided[owner]["category"], "tags": [], "because": [f"owned by {owner}"]}
    votes = collections.Counter(
        decided[other]["category"] for other in neighbours.get(asset["id"], ()) if other in decided
    )
    votes.pop(OTHER, None)
    if not votes:
        return None
    category = min(votes, key=lambda name: (-votes[name], name))
    return {"category": category, "tags": [], "because": [f"belongs to {votes[category]} asset(s) of this category"]}


def _tags(asset: Asset) -> set[str]:
    """Tags that say how an asset is built, whatever its category."""
    tags = set()
    pod = asset.get("pod") or {}
    if asset["kind"] == "StatefulSet" or (
        asset["references"].get("claims") or asset["references"].get("claim_templates")
    ):
        tags.add("stateful")
    if any(not image["pinned"] for image in asset["images"]):
        tags.add("floating-image")
    if any(container["security"]["privileged"] for container in asset["containers"]):
        tags.add("privileged")
    if pod.get("host_network") or pod.get("host_pid") or pod.get("host_ipc") or pod.get("host_paths"):
        tags.add("host-access")
    if asset["labels"].get("app.kubernetes.io/managed-by") == "Helm":
        tags.add("helm")
    if asset["owner_chain"]:
        tags.add("owned")
    if asset["kind"] in ("DaemonSet", "Deployment", "StatefulSet") and not asset["owner_chain"]:
        tags.add("workload")
    return tags
