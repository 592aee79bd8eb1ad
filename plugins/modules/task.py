#!/usr/bin/python
# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: task
short_description: Claim and settle tasks of a run
version_added: 0.1.0
description:
  - Claims the next ready task of the plan that a worker may do, asks whether the task is still held, and settles it
    with its result.
  - A claimed task is a lease, which a keeper process beside C(ansible-playbook) renews until the deadline of the
    attempt (twice the planned duration unless the plan says otherwise). Each claim has a fence, RV(fence), a number
    that is greater than that of every claim of this task before. Only the holder, with this fence and before the
    deadline, can settle the task; anybody else fails with the error class C(Fenced). So a task has at most one accepted
    result, whatever died on the way.
  - What a task does outside can happen more than once, because an attempt that was lost is made again. Ask with
    O(state=held) before each effect, and make the effect such that doing it twice is doing it once, by the id of the
    task or by its fence.
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
      - The server is not asked. With O(state=claimed) the tasks that the plan binds to O(worker) are answered in the
        order of the plan, one for each O(turn), as if each were ready. This needs the plan.
      - The other states answer that the task would be settled.
  diff_mode:
    support: none
  idempotent:
    support: none
    details:
      - Each claim is for another task, except that a worker which has a task already gets the same one again.
        Settling a task a second time fails with the error class C(Fenced).
options:
  state:
    description:
      - What to do.
    type: str
    required: true
    choices:
      claimed: Take the next ready task for O(worker). It is no failure if there is none; see RV(claimed) and RV(why).
      held: >-
        Ask whether O(task) is still held with O(fence), and whether its Larry is paused or cancelled. It does not
        fail if it is not; see RV(held) and RV(state).
      completed: Settle O(task) as completed.
      failed: >-
        Settle O(task) as failed, or have it tried again after its back-off while attempts are left (see O(retry)).
      skipped: >-
        Settle O(task) as skipped, because something that it needs is not there. What depends on it is skipped too.
  worker:
    description:
      - Id of the worker in the plan, registered by this controller with M(cortex.larry.worker). The inventory of a
        plan gives it to each worker host as C(larry_worker_id).
    type: str
    required: true
  task:
    description:
      - Id of the task. Required unless O(state=claimed).
    type: str
  turn:
    description:
      - Which claim of this worker it is, counted from V(0). In check mode, where no claim is recorded, it says which
        task comes next; otherwise it has no meaning.
    type: int
    default: 0
  plan_file:
    description:
      - Path of the plan on the controller, for O(state=claimed) and O(claim_next=true). What is to be done for a
        task is looked up there; see RV(role).
      - The default is the plan that the inventory comes from, the variable C(larry_plan_file). Without a plan only
        the id of the task is answered.
    type: path
  directory:
    description:
      - The coordination directory, for O(state=claimed) and O(claim_next=true); the working copy of the estate is
        below it, see RV(estate_path).
      - The default is the one that the plan names, below the current directory.
    type: path
  fence:
    description:
      - RV(fence) of the claim. Required unless O(state=claimed).
    type: str
  wait:
    description:
      - Seconds to wait for a task if none is ready, for O(state=claimed). With V(0) the server is asked once.
      - A waiting task occupies one fork of Ansible. If there are fewer forks than hosts that can wait, keep it at two
        seconds or below and ask again.
    type: float
    default: 0.0
  ttl:
    description:
      - Seconds after which the task can be claimed by others if nobody renews the lease, for O(state=claimed).
      - If left out, the variable C(larry_ttl) is taken, else the environment variable E(LARRY_TTL), else 15 seconds.
    type: int
  result:
    description:
      - What the task found and did, kept with the task and taken up in the report. For O(state=completed),
        O(state=failed) and O(state=skipped).
      - C(summary) is a mapping of figures, C(findings), C(evidence) and C(changes) are lists of mappings; the modules
        of this collection that carry tasks out return it in this form as
        RV(cortex.larry.catalog_deployments#module:result).
      - C(public) is published in the same step. C(public.phase) has figures for the keys C(phase:LARRY:NAME),
        C(public.metrics) is added to the counters C(metrics:LARRY:NAME), and C(public.findings) to the fields of
        C(phase:LARRY:findings). Names of C(public.phase) consist of small letters, digits, underscores and colons,
        those of C(public.metrics) have no colons. Names that the run itself uses (such as C(status), C(progress),
        C(tasks_completed)) are refused, and then nothing is settled.
      - It is not kept of an attempt that is tried again. Do not put secrets here.
    type: dict
  cause:
    description:
      - Why the task failed or was skipped, one sentence, for O(state=failed) and O(state=skipped).
    type: str
  retry:
    description:
      - Whether a failed attempt may be tried again. With V(false) the task fails for good, even if the plan gives it
        more attempts.
    type: bool
    default: true
  claim_next:
    description:
      - Claim the next task for O(worker) in the same call, once O(task) is settled, without waiting for one. For
        O(state=completed), O(state=failed) and O(state=skipped).
      - The answer is the fact C(larry_claim), as after O(state=claimed); RV(task) and RV(state) are those of the task
        that was settled. In check mode nothing is claimed.
    type: bool
    default: false
notes:
  - The controller must have joined the run with M(cortex.larry.run); otherwise the error class is C(NotJoined).
  - The server answers a claim with the id of a task and the results of those before it. Role and parameters come from
    the plan on this controller, so nobody who can write to the server decides what runs on your machines.
  - The lease is visible as the key C(task:lock:TASK) with the id of the Larry. Deleting it revokes the claim; the old
    holder is refused then. If another client sets it beforehand, this is honoured until it expires.
seealso:
  - module: cortex.larry.task_info
  - module: cortex.larry.progress
  - module: cortex.larry.worker
"""
EXAMPLES = r"""
- name: Claim a task
  cortex.larry.task:
    state: claimed
    worker: "{{ larry_worker_id }}"
    wait: 2
  register: claim

- name: Carry it out and settle it
  when: claim.claimed
  block:
    - name: Do the work
      cortex.larry.catalog_deployments:
        estate_path: "{{ claim.estate_path }}"
        task_id: "{{ claim.task }}"
      register: work

    - name: Ask whether the task is still ours, before an effect outside
      cortex.larry.task:
        state: held
        worker: "{{ larry_worker_id }}"
        task: "{{ claim.task }}"
        fence: "{{ claim.fence }}"
      register: lease

    - name: Push the catalogue
      ansible.builtin.command: /usr/local/bin/push-catalogue --key {{ claim.task }}
      changed_when: true
      when: lease.held

    - name: Settle the task with its result
      cortex.larry.task:
        state: completed
        worker: "{{ larry_worker_id }}"
        task: "{{ claim.task }}"
        fence: "{{ claim.fence }}"
        result: "{{ work.result }}"
  rescue:
    - name: Have it tried again
      cortex.larry.task:
        state: failed
        worker: "{{ larry_worker_id }}"
        task: "{{ claim.task }}"
        fence: "{{ claim.fence }}"
        cause: "{{ ansible_failed_result.msg | default('unknown') }}"

- name: Settle a task that lacks what it needs
  cortex.larry.task:
    state: skipped
    worker: "{{ larry_worker_id }}"
    task: "{{ claim.task }}"
    fence: "{{ claim.fence }}"
    cause: The program trivy is not installed.
    result:
      skipped:
        missing: The program trivy is not installed.
        provide: Install trivy on the node of the worker.
"""
RETURN = r"""
claimed:
  description: Whether there is a task to do now.
  returned: success and O(state=claimed)
  type: bool
done:
  description: >-
    Whether the worker can stop asking, because every task of its Larry is settled, its phase is over, or the Larry is
    drained.
  returned: success and O(state=claimed)
  type: bool
task:
  description: Id of the task; null if none was claimed.
  returned: success
  type: str
  sample: catalog-deployments
fence:
  description: >-
    The fence of this claim, a decimal number; hand it on as O(fence). Null if none was claimed; V(0) in check mode.
  returned: success and O(state=claimed)
  type: str
  sample: "1795249388228190"
attempt:
  description: Which attempt at the task this is, from 1; null if none was claimed.
  returned: success and O(state=claimed)
  type: int
  sample: 1
why:
  description:
    - Why no task was claimed; null if one was, or if every task is settled. Missing in check mode.
    - V(nothing_ready) - dependencies are not settled, or others are at what is ready.
    - V(phase_pending), V(phase_completed), V(phase_failed) - the phase of the Larry is in that state.
    - V(paused), V(draining), V(cancelled) - M(cortex.larry.control) said so.
    - V(sweep) - the deadline of the phase passed or it was cancelled, and what is unsettled is being skipped.
    - V(held_by_previous_controller) - the worker's task is still held by the controller that had its place before.
  returned: success and O(state=claimed)
  type: str
  sample: nothing_ready
next:
  description: Seconds until something can change by itself, if nothing happens before; null if nothing is due.
  returned: success and O(state=claimed), not in check mode
  type: float
  sample: 4.2
waited:
  description: Seconds that the task waited.
  returned: success and O(state=claimed), not in check mode
  type: float
  sample: 1.93
role:
  description: The role that carries the task out, as the plan says.
  returned: success and O(state=claimed), when a task was claimed and there is a plan
  type: str
  sample: cortex.larry.development
entry_point:
  description: The entry point of this role, for C(tasks_from).
  returned: success and O(state=claimed), when a task was claimed and there is a plan
  type: str
  sample: catalog_deployments
role_prefix:
  description: What the variables of this role begin with.
  returned: success and O(state=claimed), when a task was claimed and there is a plan
  type: str
  sample: development
capability:
  description: The capability of the task, as the plan says.
  returned: success and O(state=claimed), when a task was claimed and there is a plan
  type: str
  sample: catalog-deployments
task_parameters:
  description: Parameters of the worker and of the task, as the plan says; those of the task win.
  returned: success and O(state=claimed), when a task was claimed and there is a plan
  type: dict
  sample:
    namespaces: [database, monitoring]
estate_path:
  description: Path of the working copy of the estate; empty if the estate of the plan has no files.
  returned: success and O(state=claimed), when a task was claimed and there is a plan
  type: str
  sample: /srv/larry/coordination/work/estate
coordination_dir:
  description: Absolute path of the coordination directory.
  returned: success and O(state=claimed), when a task was claimed and there is a plan
  type: str
  sample: /srv/larry/coordination
dependencies:
  description: >-
    Results of the tasks that this one comes after (C(depends_on) and C(after)), by their ids. Those without a result
    are missing. Empty in check mode.
  returned: success and O(state=claimed), when a task was claimed and there is a plan
  type: dict
  sample: {}
simulated:
  description: True in check mode.
  returned: success and O(state=claimed), in check mode, when there is a task
  type: bool
turn:
  description: Which claim of the worker it is, the same as O(turn).
  returned: success and O(state=claimed), in check mode, when there is a task
  type: int
  sample: 0
held:
  description: Whether to go on with the task.
  returned: success and O(state=held), not in check mode
  type: bool
state:
  description:
    - With O(state=held) V(held), V(paused) (wait; the lease is renewed and the deadline moves), V(cancelled) (stop)
      or V(lost) (stop; somebody else may be at it).
    - With O(state=completed), O(state=failed) and O(state=skipped) the state that the task is in now; V(requeued) if
      it will be tried again.
  returned: success and not O(state=claimed)
  type: str
  sample: completed
ansible_facts:
  description: >-
    What this task returned, as a fact. A task that is skipped later overwrites what it registers, but not a fact.
  returned: success and O(state=claimed), or O(claim_next=true)
  type: dict
  contains:
    larry_claim:
      description: All that a claim returns.
      type: dict
error_class:
  description:
    - Kind of a failure, for conditions in playbooks. C(msg) holds the sentence for people.
    - V(SettingsError) - an option or the way to the server is wrong, nothing was changed.
    - V(ServerUnavailable) - the server does not answer or refused the user.
    - V(Fenced) - the task is no longer held, is held by somebody else, or is settled already; RV(facts) has the
      C(cause), C(state) and C(lease).
    - V(NotJoined) - there is no run, or this controller has not joined it.
    - V(Refused) - this controller does not hold the worker's place, the plan knows no such task or worker, or
      O(result) publishes under a reserved name.
  returned: failure
  type: str
  sample: Fenced
facts:
  description:
    - Details behind a failure, as the server gave them. Which there are depends on RV(error_class).
  returned: failure
  type: dict
"""

import contextlib
import typing as t

from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import CoordinationError
from ansible_collections.cortex.larry.plugins.module_utils._coordination.tasks import TaskService
from ansible_collections.cortex.larry.plugins.module_utils.claims import claim, work_of
from ansible_collections.cortex.larry.plugins.module_utils.module_entry import run_on_target
from ansible_collections.cortex.larry.plugins.module_utils.options import CONNECTION_SPEC, Context, with_fact
from ansible_collections.cortex.larry.plugins.module_utils.plan_access import plan_of

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "state": {
        "type": "str",
        "choices": ["claimed", "held", "completed", "failed", "skipped"],
        "required": True,
    },
    "worker": {"type": "str", "required": True},
    "task": {"type": "str"},
    "turn": {"type": "int", "default": 0},
    "plan_file": {"type": "path"},
    "directory": {"type": "path"},
    "fence": {"type": "str"},
    "wait": {"type": "float", "default": 0.0},
    "ttl": {"type": "int"},
    "result": {"type": "dict"},
    "cause": {"type": "str"},
    "retry": {"type": "bool", "default": True},
    "claim_next": {"type": "bool", "default": False},
    **CONNECTION_SPEC,
}


def simulated_claim(context: Context) -> dict[str, t.Any]:
    """Check mode: the tasks bound to this worker in the order of the plan, one a turn; nothing is asked or written."""
    plan = plan_of(context)
    worker, turn = context.parameters["worker"], context.parameters["turn"]
    mine = [task for task in plan.tasks if (plan.tasks[task]["worker"] or plan.capable_workers(task)[0]) == worker]
    if turn >= len(mine):
        return {"changed": False, "claimed": False, "done": True, "task": None}
    return {
        "changed": True,
        "claimed": True,
        "done": False,
        "task": mine[turn],
        "fence": "0",
        "attempt": 1,
        "simulated": True,
        "turn": turn,
        **work_of(context, mine[turn], None),
    }


def execute(context: Context) -> dict[str, t.Any]:
    """Claims a task, asks whether it is still held, or settles it."""
    wanted = context.parameters
    tasks = TaskService(context.session(member=True, actor=wanted["worker"]))
    if wanted["state"] == "claimed":
        if context.check_mode:
            return with_fact("larry_claim", simulated_claim(context))
        return with_fact("larry_claim", claim(context, tasks, wanted["wait"]))
    task, fence = context.required("task", "fence")
    if context.check_mode:
        return {"changed": wanted["state"] != "held", "task": task, "state": wanted["state"]}
    if wanted["state"] == "held":
        reply = tasks.checkpoint(task, fence)
        return {"changed": False, "task": task, "state": reply["status"], "held": reply["status"] == "held"}
    reply = tasks.settle(
        task,
        fence,
        wanted["state"],
        worker=wanted["worker"],
        result=wanted["result"],
        cause=wanted["cause"],
        retry=wanted["retry"],
    )
    settled: dict[str, t.Any] = {"changed": True, "task": task, "state": reply["state"]}
    if wanted["claim_next"]:
        # The task is settled, whatever comes now: the next claim by itself says what is wrong.
        with contextlib.suppress(CoordinationError):
            settled["ansible_facts"] = {"larry_claim": claim(context, tasks, 0.0)}
    return settled


def main() -> None:
    """Entry on a target (run_on: target)."""
    run_on_target(ARGUMENT_SPEC, execute)


if __name__ == "__main__":
    main()
