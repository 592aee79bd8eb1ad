# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module catalog_helm_releases."""

from __future__ import annotations

DOCUMENTATION = r"""
module: catalog_helm_releases
short_description: Catalogue the Helm releases of an estate
version_added: 0.1.0
description:
  - Decodes every release record that Helm keeps in an estate's Secrets or ConfigMaps, all revisions of them, and writes
    a catalogue with chart, version, application version, status, history, images and the values that were given.
  - Values under names that look secret are redacted, and so is the same text wherever else it stands.
  - Writes the lineage from application to chart to image as JSON and Mermaid.
  - A record that is broken costs that record alone and is reported with its reason.
author:
  - The cortex.larry contributors (@cortex-larry)
extends_documentation_fragment:
  - cortex.larry.attributes
  - cortex.larry.evidence
  - cortex.larry.evidence.estate
seealso:
  - module: cortex.larry.catalog_deployments
  - module: cortex.larry.classify_assets
"""

EXAMPLES = r"""
- name: Catalogue the Helm releases of a cluster's dump
  cortex.larry.catalog_helm_releases:
    estate_path: /srv/gitops
    coordination_dir: coordination
    task_id: catalog-helm-releases
  register: helm

- name: Name the releases that failed
  ansible.builtin.debug:
    msg: "{{ helm.result.findings | selectattr('id', 'eq', 'helm-failed') | map(attribute='release') }}"
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
        releases: 8
        revisions: 19
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
          helm_releases_cataloged: 8
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
    catalog_helm_releases,
)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={**ESTATE_ARGUMENTS, **COMMON_ARGUMENTS},
        supports_check_mode=True,
    )
    try:
        outcome = catalog_helm_releases(module.params, module.check_mode)
    except LibraryMissing as error:
        module.fail_json(msg=missing_required_lib(error.library), exception=str(error.cause))
    except EstateError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**outcome.as_return())


if __name__ == "__main__":
    main()
