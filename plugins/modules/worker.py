#!/usr/bin/python
# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: worker
short_description: Register a worker of a run, or let it leave
version_added: 0.1.0
description:
  - Takes the place of a worker of the plan for this controller, or gives it up. Only the controller that holds a
    worker's place may claim tasks for it with M(cortex.larry.task).
  - The place is a lease that a keeper process beside C(ansible-playbook) renews. A second controller that asks for
    the same worker becomes its standby; it does not fail, and takes over once the place is free.
  - When a worker leaves or is lost, the task that it was at goes back to be claimed again (or fails for good if its
    attempts are used up), and tasks that were bound to it are offered to every worker of its Larry that has the
    capability.
author:
  - The cortex.larry contributors (@cortex-larry)
extends_documentation_fragment:
  - cortex.larry.connection
  - cortex.larry.attributes
  - cortex.larry.attributes.coordination
attributes:
  check_mode:
    support: full
    details:
      - The server is not asked; the answer is that the place would be taken or given up.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  worker:
    description:
      - Id of the worker in the plan. The inventory of a plan gives it to each worker host as C(larry_worker_id).
    type: str
    required: true
  state:
    description:
      - What becomes of the worker's place.
    type: str
    default: registered
    choices:
      registered: This controller holds it, or is the standby of the one that does; see RV(standby).
      left: It is given up, and the worker counts as completed.
      failed: It is given up, the worker counts as failed, and the alert C(worker_failure) says so with O(cause).
  wait:
    description:
      - Seconds to wait as a standby until the place is free, for O(state=registered). With V(0) the server is asked
        once.
    type: float
    default: 0.0
  ttl:
    description:
      - Seconds after which the place is free if nobody renews it.
      - If left out, the variable C(larry_ttl) is taken, else the environment variable E(LARRY_TTL), else 15 seconds.
    type: int
  cause:
    description:
      - Why the worker failed or left. It becomes the cause of its task's lost attempt, and stands in the alert.
    type: str
  claim_next:
    description:
      - Claim the first task for O(worker) in the same call, once this controller holds the place, without waiting for
        one. For O(state=registered). The answer is the fact C(larry_claim), as after M(cortex.larry.task) with
        O(cortex.larry.task#module:state=claimed). In check mode nothing is claimed.
    type: bool
    default: false
  plan_file:
    description:
      - Path of the plan on the controller, for O(claim_next=true). The default is the plan that the inventory comes
        from, the variable C(larry_plan_file).
    type: path
  directory:
    description:
      - The coordination directory, for O(claim_next=true). The default is the one that the plan names.
    type: path
notes:
  - The controller must have joined the run with M(cortex.larry.run); otherwise the error class is C(NotJoined).
  - It registers the machine that this module runs on as evidence of where the worker works.
seealso:
  - module: cortex.larry.run
  - module: cortex.larry.task
  - module: cortex.larry.phase
"""
EXAMPLES = r"""
- name: Register, or wait two seconds as a standby
  cortex.larry.worker:
    worker: "{{ larry_worker_id }}"
    wait: 2
  register: place

- name: Say that this worker is out of order, so that others take its tasks
  cortex.larry.worker:
    worker: "{{ larry_worker_id }}"
    state: failed
    cause: The disk of its node is full.

- name: Leave in good order
  cortex.larry.worker:
    worker: "{{ larry_worker_id }}"
    state: left
"""
RETURN = r"""
worker:
  description: Id of the worker.
  returned: success
  type: str
  sample: larry-01-cleanup-worker
registered:
  description: Whether this controller holds the place.
  returned: success
  type: bool
standby:
  description: Whether another controller holds the place, so that this one is its standby.
  returned: success
  type: bool
holder:
  description: Machine and process id of the controller that holds the place; null if it is this one.
  returned: success and O(state=registered), not in check mode
  type: str
  sample: build7:4242
run_state:
  description: State of the run, V(running) or V(finished). A standby of a finished run is done.
  returned: success and O(state=registered), not in check mode
  type: str
  sample: running
ansible_facts:
  description: >-
    What this task returned, as a fact. A task that is skipped later overwrites what it registers, but not a fact.
  returned: success and O(state=registered), or in check mode
  type: dict
  contains:
    larry_slot:
      description: All of the above.
      type: dict
    larry_claim:
      description: All that a claim returns, with O(claim_next=true).
      type: dict
error_class:
  description:
    - Kind of a failure, for conditions in playbooks. C(msg) holds the sentence for people.
    - V(SettingsError) - an option or the way to the server is wrong, nothing was changed.
    - V(ServerUnavailable) - the server does not answer or refused the user.
    - V(NotJoined) - there is no run, or this controller has not joined it.
    - V(Refused) - the plan knows no such worker.
  returned: failure
  type: str
  sample: NotJoined
facts:
  description:
    - Details behind a failure, as the server gave them. Which there are depends on RV(error_class).
  returned: failure
  type: dict
"""

import typing as t

from ansible_collections.cortex.larry.plugins.module_utils._coordination.slots import SlotService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.tasks import TaskService
from ansible_collections.cortex.larry.plugins.module_utils.claims import claim
from ansible_collections.cortex.larry.plugins.module_utils.module_entry import run_on_target
from ansible_collections.cortex.larry.plugins.module_utils.options import CONNECTION_SPEC, Context, with_fact

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "worker": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["registered", "left", "failed"], "default": "registered"},
    "wait": {"type": "float", "default": 0.0},
    "ttl": {"type": "int"},
    "cause": {"type": "str"},
    "claim_next": {"type": "bool", "default": False},
    "plan_file": {"type": "path"},
    "directory": {"type": "path"},
    **CONNECTION_SPEC,
}


def execute(context: Context) -> dict[str, t.Any]:
    """Takes the worker's slot for this controller, or gives it up."""
    wanted = context.parameters
    worker = wanted["worker"]
    if context.check_mode:
        registered = wanted["state"] == "registered"
        return with_fact("larry_slot", {"changed": True, "worker": worker, "registered": registered, "standby": False})
    session = context.session(member=True, actor=worker)
    slots = SlotService(session)
    if wanted["state"] == "registered":
        reply = slots.take(worker, wait_s=wanted["wait"], ttl_ms=context.ttl_ms)
        standby = reply["status"] == "standby"
        result = with_fact(
            "larry_slot",
            {
                "changed": bool(reply.get("changed")),
                "worker": worker,
                "registered": not standby,
                "standby": standby,
                "run_state": reply.get("run", "running"),
                "holder": reply.get("owner") if standby else None,
            },
        )
        if wanted["claim_next"] and not standby:
            result["ansible_facts"]["larry_claim"] = claim(context, TaskService(session), 0.0)
        return result
    state = "failed" if wanted["state"] == "failed" else "completed"
    reply = slots.leave(worker, state, wanted["cause"])
    return {"changed": reply["changed"], "worker": worker, "registered": False, "standby": False}


def main() -> None:
    """Entry on a target (run_on: target)."""
    run_on_target(ARGUMENT_SPEC, execute)


if __name__ == "__main__":
    main()
