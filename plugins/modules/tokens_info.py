#!/usr/bin/python
# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: tokens_info
short_description: Show the token budget of a Larry
version_added: 0.1.0
description:
  - Reads what a Larry of a run may use, has used and holds, in all and by account. It changes nothing, and the
    controller need not have joined the run.
  - If RV(metered_requests) is 0, nothing was measured, and RV(used) says nothing about the work done. It is also 0,
    like all figures, for a Larry that the run does not know.
author:
  - The cortex.larry contributors (@cortex-larry)
extends_documentation_fragment:
  - cortex.larry.connection
  - cortex.larry.attributes
  - cortex.larry.attributes.coordination
  - cortex.larry.attributes.info
options:
  larry:
    description:
      - Id of the Larry in the plan.
    type: str
    required: true
seealso:
  - module: cortex.larry.tokens
"""
EXAMPLES = r"""
- name: Read the budget
  cortex.larry.tokens_info:
    larry: larry-03
    redis: embedded
  register: budget

- name: Say what is left, if anything was measured
  ansible.builtin.debug:
    msg: "{{ budget.limit + budget.reserve_drawn - budget.used - budget.held }} of {{ budget.limit }} tokens are left"
  when: budget.metered_requests > 0
"""
RETURN = r"""
larry:
  description: Id of the Larry.
  returned: success
  type: str
  sample: larry-03
limit:
  description: Tokens that the plan gives the Larry, for its workers and its master agents with their pools.
  returned: success
  type: int
  sample: 211000
used:
  description: Tokens used so far.
  returned: success
  type: int
  sample: 12000
held:
  description: Tokens held for requests now.
  returned: success
  type: int
  sample: 4000
metered_requests:
  description: Number of requests for which tokens were held.
  returned: success
  type: int
  sample: 7
reserve_drawn:
  description: Tokens that this Larry has drawn from the emergency pool.
  returned: success
  type: int
  sample: 0
reserve_left:
  description: Tokens that are left in the emergency pool, for all Larrys of the run.
  returned: success
  type: int
  sample: 25000
accounts:
  description: >-
    The accounts by name, the ids of the workers and the names of the master agents, each with C(limit), C(used) and
    C(held) as integers.
  returned: success
  type: dict
  sample:
    larry-03-documentation-worker:
      limit: 10000
      used: 2100
      held: 4000
error_class:
  description:
    - Kind of a failure, for conditions in playbooks. C(msg) holds the sentence for people.
    - V(SettingsError) - an option or the way to the server is wrong, nothing was changed.
    - V(ServerUnavailable) - the server does not answer or refused the user.
  returned: failure
  type: str
  sample: ServerUnavailable
facts:
  description:
    - Details behind a failure, as the server gave them. Which there are depends on RV(error_class).
  returned: failure
  type: dict
"""

import typing as t

from ansible_collections.cortex.larry.plugins.module_utils._coordination.budgets import BudgetService
from ansible_collections.cortex.larry.plugins.module_utils.module_entry import run_on_target
from ansible_collections.cortex.larry.plugins.module_utils.options import CONNECTION_SPEC, Context

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {"larry": {"type": "str", "required": True}, **CONNECTION_SPEC}


def execute(context: Context) -> dict[str, t.Any]:
    """Reads the budget of one Larry."""
    larry = context.parameters["larry"]
    return {"changed": False, "larry": larry, **BudgetService(context.session(member=False), larry).look()}


def main() -> None:
    """Entry on a target (run_on: target)."""
    run_on_target(ARGUMENT_SPEC, execute)


if __name__ == "__main__":
    main()
