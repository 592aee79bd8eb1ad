# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module classify_assets."""

from __future__ import annotations

DOCUMENTATION = r"""
module: classify_assets
short_description: Give every catalogued asset a category, tags and a health score
version_added: 0.1.0
description:
  - Reads the evidence of M(cortex.larry.catalog_deployments) and M(cortex.larry.catalog_helm_releases), verifies its
    digests, and writes a portfolio in which every asset has a category (such as database, ai, monitoring, ingress,
    storage, security, automation), tags, and a health score from 0 to 100.
  - The score is 100 times the sum of weight times grade, divided by the sum of the weights, over the checks that apply,
    and rounded. The checks and their weights are probes 15, resources 15, availability (replicas and disruption
    budget) 15, images 15, security context 20, stability (restarts, readiness) 15, API version 10, backups of stateful
    workloads 15, references 10. Each grade is between 0 and 1 and written down with its reasons.
  - A check that does not apply, or whose facts the estate does not hold, is left out of both sums and listed as not
    measured. Owned objects take the score of their owner.
author:
  - The cortex.larry contributors (@cortex-larry)
extends_documentation_fragment:
  - cortex.larry.attributes
  - cortex.larry.evidence
options:
  evidence:
    description:
      - The evidence of the two catalogues, as their results return it. What is neither catalogue is left aside.
      - Without it, the files are looked for by O(catalogue_task) and O(helm_task).
    type: list
    elements: dict
    suboptions:
      path:
        description: Path below O(coordination_dir).
        type: str
        required: true
      sha256:
        description: The digest that the file must have. Without it, the file is read unverified, and counted as that.
        type: str
      title:
        description: Not used; taken so that evidence can be passed on as it is.
        type: str
      bytes:
        description: Not used; taken so that evidence can be passed on as it is.
        type: int
  catalogue_task:
    description:
      - Id of the task whose evidence is the catalogue of the objects, where O(evidence) is not given.
    type: str
    default: catalog-deployments
  helm_task:
    description:
      - Id of the task whose evidence is the catalogue of the Helm releases, where O(evidence) is not given.
    type: str
    default: catalog-helm-releases
  rules:
    description:
      - Rules for categories beside the built-in ones. A rule with the C(id) of a built-in one replaces it.
      - A rule has C(id), C(category), C(weight) (1 to 1000, by default 20; the built-in ones have at most 12), C(tags)
        and C(match).
      - C(match) holds lists of shell-style patterns under V(image), V(kind), V(api_group), V(namespace), V(name) or
        V(label) (C(name=value)). A rule matches when every one of these that it names has a pattern that fits.
      - The category with the greatest sum of weights wins.
    type: list
    elements: dict
    default: []
seealso:
  - module: cortex.larry.catalog_deployments
  - module: cortex.larry.catalog_helm_releases
"""

EXAMPLES = r"""
- name: Classify what the two catalogues found
  cortex.larry.classify_assets:
    coordination_dir: coordination
    task_id: classify-assets
    evidence: "{{ catalogue.result.evidence + helm.result.evidence }}"

- name: The same, with a category of our own
  cortex.larry.classify_assets:
    coordination_dir: coordination
    task_id: classify-assets
    rules:
      - id: point-of-sale
        category: shop
        tags: [revenue]
        match:
          image: ["registry.example.com/shop/*"]
          namespace: [shop, payments]
"""

RETURN = r"""
result:
  description:
    - The result of the task, in the form in which M(cortex.larry.task) takes it.
    - When check mode finds no evidence to read, it holds C(skipped) with C(missing) and C(provide), one sentence each,
      and nothing else but C(machine).
  returned: success
  type: dict
  contains:
    summary:
      description: Figures of the work by name.
      type: dict
      returned: when the work was done
      sample:
        assets: 163
        workload_health: 61.5
    findings:
      description: The gravest findings, at most 200; the evidence C(findings.json) has all.
      type: list
      elements: dict
      returned: when the work was done
    evidence:
      description: Title, path below O(coordination_dir), SHA-256 and size in bytes of each evidence file.
      type: list
      elements: dict
      returned: when the work was done
    changes:
      description: Always empty, because the estate is only read.
      type: list
      elements: dict
      returned: when the work was done
      sample: []
    public:
      description: Figures for the public state of the run, by place.
      type: dict
      returned: when the work was done
      sample:
        metrics:
          assets_classified: 163
    skipped:
      description: What is missing and how to provide it.
      type: dict
      returned: in check mode, when there is no evidence to read
    machine:
      description: Host name and machine id of the machine that did the work.
      type: dict
      returned: always
      sample:
        hostname: k3s-worker03
        machine_id: 0123456789abcdef0123456789abcdef
"""

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.cortex.larry.plugins.module_utils._estate import EstateError, LibraryMissing
from ansible_collections.cortex.larry.plugins.module_utils._work.capabilities import (
    CLASSIFY_ARGUMENTS,
    COMMON_ARGUMENTS,
    classify_assets,
)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={**CLASSIFY_ARGUMENTS, **COMMON_ARGUMENTS},
        supports_check_mode=True,
    )
    try:
        outcome = classify_assets(module.params, module.check_mode)
    except LibraryMissing as error:
        module.fail_json(msg=missing_required_lib(error.library), exception=str(error.cause))
    except EstateError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**outcome.as_return())


if __name__ == "__main__":
    main()
