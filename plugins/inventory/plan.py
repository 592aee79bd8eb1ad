# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: plan
short_description: A plan of cortex.larry as inventory
version_added: 0.1.0
author:
  - The cortex.larry contributors (@cortex-larry)
description:
  - Reads a plan file and makes hosts of its Larrys (coordinators), workers and nodes.
  - The file must be called C(*.larry.yml) or C(*.larry.yaml).
  - The groups are C(larrys), C(workers) and C(nodes); for each Larry one group of its coordinator and its workers
    (C(larry_01) for the Larry C(larry-01), C(larry_atlas) for C(atlas)) with the groups C(larry_01_coordinator) and
    C(larry_01_workers) below it; and for each domain one group of its coordinators and workers.
  - Each host knows itself by the variables C(larry_role_in_run) (C(coordinator), C(worker) or C(node)), C(larry_id),
    C(larry_worker_id), C(larry_node) and C(larry_domain). The groups C(larrys), C(workers) and C(nodes) carry
    C(larry_plan_file) (absolute path), C(larry_redis), C(larry_prefix) and C(larry_directory), so that C(group_vars)
    beside the plan win over them. Tasks, budgets and criteria do not become variables.
  - Without C(run.connection) in the plan, C(ansible_host) is the address of the host's node. With
    C(run.connection=local) the interpreter is that of the controller.
  - A plan that is wrong in any way ends the program, with a sentence and a line for each problem.
requirements:
  - jsonschema (Python package)
  - jmespath (Python package), if criteria measure anything
notes:
  - A file that is no YAML at all never reaches this plugin. Ansible then only warns and goes on with an empty
    inventory, unless C(any_unparsed_is_failed) is set in the section C(inventory) of C(ansible.cfg).
seealso:
  - name: Plan reference
    description: Every key of a plan, with types and defaults.
    link: https://github.com/cortex-larry/cortex.larry/blob/main/docs/plan-reference.md
options:
  plugin:
    description: Makes the file an inventory source of this plugin.
    type: str
    required: true
    choices: [cortex.larry.plan]
  name:
    description: The plan's id, of small letters, digits and dashes.
    type: str
    required: true
  title:
    description: The plan's name in reports. The default is the name in capitals.
    type: str
  cluster:
    description: Name of the cluster. The default is the plan's name.
    type: str
  run:
    description: Window, controllers, Redis, prefix, directory, connection, time scale and milestones of the run.
    type: dict
    required: true
  nodes:
    description: The machines of the cluster by name, each with C(address) and C(role).
    type: dict
    required: true
  larrys:
    description: The Larrys by id, each with domain, node, phase, checkpoints, master agents and workers.
    type: dict
    required: true
  capabilities:
    description: Role and entry point of capabilities for which the defaults do not fit.
    type: dict
    default: {}
  tasks:
    description: The tasks by id, in the order in which ready ones are offered.
    type: dict
    required: true
  criteria:
    description: The success criteria by id.
    type: dict
    default: {}
  barrier:
    description: Policy and timeouts of the meeting of all Larrys at the end.
    type: dict
    default: {}
  budgets:
    description: Token budgets outside the Larrys, and the stated sums.
    type: dict
    default: {}
  estate:
    description: What the Larrys look after.
    type: dict
    required: true
"""

EXAMPLES = r"""
# Save as small.larry.yml and look at it with: ansible-inventory -i small.larry.yml --graph
plugin: cortex.larry.plan
name: small
run:
  window: 20m
  redis: embedded
  connection: local
nodes:
  machine-01: {address: 127.0.0.1}
larrys:
  larry-01:
    domain: development
    node: machine-01
    phase: 15m
    workers:
      catalog-worker:
        node: machine-01
        tokens: 0
        duration: 10m
tasks:
  catalog-deployments:
    larry: larry-01
    worker: catalog-worker
estate:
  source: gitops
  path: ../my-gitops-repository
"""

import importlib
import sys

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin

from ansible_collections.cortex.larry.plugins.module_utils._plan import Plan, PlanError, load_plan

try:
    # Not used here. Ansible forks for every task, and a fork that has to import the client pays 78 to 90 ms for it
    # each time (measured); imported once in the parent, all forks inherit it.
    importlib.import_module("redis")
except ImportError:
    pass

_PARSER_ERROR = 4  # what ansible-playbook itself ends with for a playbook that cannot be parsed


class InventoryModule(BaseInventoryPlugin):
    NAME = "cortex.larry.plan"

    def verify_file(self, path: str) -> bool:
        return path.endswith((".larry.yml", ".larry.yaml")) and super().verify_file(path)

    def parse(self, inventory, loader, path, cache=True) -> None:
        super().parse(inventory, loader, path, cache)
        try:
            # Paths are tagged strings since ansible-core 2.19; the plan's own code wants plain ones.
            plan = load_plan(str(path))
        except PlanError as error:
            self._refuse(error)
        else:
            self._populate(plan)

    def _refuse(self, error: PlanError) -> None:
        """End the program.

        Whatever Exception a plugin raises here, AnsibleParserError included, Ansible turns into a warning: it tries
        the other inventory plugins, and ansible-playbook ends with 0 because there were no hosts to do anything on.
        For a broken plan that is the worst answer, and asking for ansible.cfg settings would fail those who have none.
        SystemExit is no Exception and passes, with Ansible's own exit code for what it cannot parse.
        """
        count = len(error.problems)
        message = f"The plan has {count} problem{'' if count == 1 else 's'}; nothing was started."
        # Not wrapped: an editor and a CI log find `file:line:` only at the start of an unbroken line.
        self.display.error(f"{message}\n{error}", wrap_text=False)
        raise SystemExit(_PARSER_ERROR) from AnsibleParserError(f"{message}\n{error}")

    def _populate(self, plan: Plan) -> None:
        inventory = self.inventory
        common = {
            "larry_plan_file": str(plan.path),
            "larry_redis": plan.connection,
            "larry_prefix": plan.prefix,
            "larry_directory": plan.run_directory,
        }
        if plan.ansible_connection:
            common["ansible_connection"] = plan.ansible_connection
        if plan.ansible_connection == "local":
            # A value, because a template set by a plugin is not trusted and stays literal since ansible-core 2.19; and
            # set at all, because interpreter discovery may pick a Python that lacks what this one has.
            common["ansible_python_interpreter"] = sys.executable
        for group in ("larrys", "workers", "nodes"):
            inventory.add_group(group)
            for name, value in common.items():
                inventory.set_variable(group, name, value)

        for name in plan.nodes:
            self._host(plan, "nodes", name, name, larry_role_in_run="node")
        for larry in plan.larrys.values():
            group, domain = plan.group(larry["id"]), plan.domain_group(larry["domain"])
            for name in (group, f"{group}_coordinator", f"{group}_workers", domain):
                inventory.add_group(name)
            for child in (f"{group}_coordinator", f"{group}_workers"):
                inventory.add_child(group, child)
            about = {"larry_id": larry["id"], "larry_domain": larry["domain"]}
            self._host(plan, "larrys", larry["id"], larry["node"], larry_role_in_run="coordinator", **about)
            for parent in (f"{group}_coordinator", domain):
                inventory.add_child(parent, larry["id"])
            for worker in larry["workers"]:
                node = plan.workers[worker]["node"]
                self._host(plan, "workers", worker, node, larry_role_in_run="worker", larry_worker_id=worker, **about)
                for parent in (f"{group}_workers", domain):
                    inventory.add_child(parent, worker)

    def _host(self, plan: Plan, group: str, host: str, node: str, **variables: str) -> None:
        self.inventory.add_host(host, group=group)
        self.inventory.set_variable(host, "larry_node", node)
        for name, value in variables.items():
            self.inventory.set_variable(host, name, value)
        if plan.ansible_connection != "local":
            self.inventory.set_variable(host, "ansible_host", plan.nodes[node]["address"])
