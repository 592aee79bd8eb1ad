# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module catalog_deployments."""

from __future__ import annotations

DOCUMENTATION = r"""
module: catalog_deployments
short_description: Catalogue every Kubernetes object of an estate
version_added: 0.1.0
description:
  - Reads every object of an estate and writes a catalogue of them with kind, namespace, labels, annotations, owner
    chain, images (registry, repository, tag, digest, and whether they name a fixed version), replicas, ports,
    resources, and the names of the configuration, secrets and claims that they refer to.
  - Writes a service dependency map with an edge for every reference found (environment, configuration, volumes, Ingress
    and Gateway backends, service selectors, network policies) and the field each was found in, as JSON and Mermaid.
  - Values of Secrets are read for host names alone and never written. A file or object that is broken costs that item
    alone and is reported with its reason.
author:
  - The cortex.larry contributors (@cortex-larry)
extends_documentation_fragment:
  - cortex.larry.attributes
  - cortex.larry.evidence
  - cortex.larry.evidence.estate
seealso:
  - module: cortex.larry.catalog_helm_releases
  - module: cortex.larry.classify_assets
"""

EXAMPLES = r"""
- name: Catalogue a GitOps repository
  cortex.larry.catalog_deployments:
    estate_path: /srv/gitops
    coordination_dir: coordination
    task_id: catalog-deployments
  register: catalogue

- name: Show how many objects there are
  ansible.builtin.debug:
    msg: "{{ catalogue.result.summary.assets }} objects, {{ catalogue.result.summary.dependencies }} references"

- name: Catalogue two namespaces of it
  cortex.larry.catalog_deployments:
    estate_path: /srv/gitops
    task_id: catalog-shop
    namespaces:
      - shop
      - payments
"""

RETURN = r"""
result:
  description:
    - The result of the task, in the form in which M(cortex.larry.task) takes it.
    - When the estate cannot be had, it holds C(skipped) with C(missing) and C(provide), one sentence each,
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
        dependencies: 240
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
        phase:
          inventory:assets_discovered: 163
        metrics:
          assets_cataloged: 163
    skipped:
      description: What is missing and how to provide it.
      type: dict
      returned: when the estate cannot be had
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
    COMMON_ARGUMENTS,
    ESTATE_ARGUMENTS,
    catalog_deployments,
)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={**ESTATE_ARGUMENTS, **COMMON_ARGUMENTS},
        supports_check_mode=True,
    )
    try:
        outcome = catalog_deployments(module.params, module.check_mode)
    except LibraryMissing as error:
        module.fail_json(msg=missing_required_lib(error.library), exception=str(error.cause))
    except EstateError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**outcome.as_return())


if __name__ == "__main__":
    main()
