#!/usr/bin/python
# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: task_info
short_description: Show where tasks of a run are, and why one is not running
version_added: 0.1.0
description:
  - Answers for each task in which state it is and why, in sentences, with the most important first. It names
    unsettled dependencies, the holder of the lease and the time left, back-off and attempts, a pause, the phase and
    its deadline, and workers that are missing or busy.
  - It changes nothing, and the controller need not have joined the run.
author:
  - The cortex.larry contributors (@cortex-larry)
extends_documentation_fragment:
  - cortex.larry.connection
  - cortex.larry.attributes
  - cortex.larry.attributes.coordination
  - cortex.larry.attributes.info
options:
  tasks:
    description:
      - Ids of the tasks.
    type: list
    elements: str
    required: true
seealso:
  - module: cortex.larry.task
"""
EXAMPLES = r"""
- name: Ask why a task is not running
  cortex.larry.task_info:
    tasks: [automated-remediation]
    redis: embedded
  register: asked

- name: Say it
  ansible.builtin.debug:
    msg: "{{ asked.tasks[0].because }}"
"""
RETURN = r"""
tasks:
  description: An answer for each task, in the order of O(tasks).
  returned: success
  type: list
  elements: dict
  contains:
    task:
      description: Id of the task.
      type: str
    status:
      description: Always V(seen).
      type: str
    state:
      description: V(pending), V(ready), V(in_progress), V(completed), V(failed) or V(skipped).
      type: str
    because:
      description: Why it is there, in sentences.
      type: list
      elements: str
    cause:
      description: Why it failed or was skipped; else empty or missing.
      type: str
    larry:
      description: Id of its Larry.
      type: str
    capability:
      description: The capability that it needs.
      type: str
    worker:
      description: The worker that the plan binds it to; empty if any capable one may take it.
      type: str
    worker_now:
      description: The worker that has it, or had it last. Empty or missing if none has.
      type: str
    shared:
      description: Whether any capable worker may take it by now, although the plan binds it to one.
      type: bool
    attempt:
      description: Attempts made, the present one included.
      type: int
    attempts:
      description: Attempts that the plan gives it.
      type: int
    fence:
      description: Fence of its last claim. Missing if there was none.
      type: str
    hard:
      description: >-
        Deadline of the last attempt, in microseconds since 1970 in the server's time; renewals end there. Missing or
        empty if there was none.
      type: str
    lease:
      description: Its lease.
      type: dict
      contains:
        resource:
          description: The key that shows it to operators.
          type: str
        state:
          description: >-
            V(held), V(free), V(lapsed), V(revoked) (the key was deleted), or V(foreign) (another client set the key).
            The fields below are there for V(held), and for V(foreign) owner and time.
          type: str
        owner:
          description: Id of the Larry, or the content of the key that another client set.
          type: str
        host:
          description: The worker.
          type: str
        controller:
          description: Id of the controller.
          type: str
        fence:
          description: Fence of the claim.
          type: str
        reason:
          description: Always empty.
          type: str
        since:
          description: When it was claimed, in microseconds since 1970.
          type: str
        deadline:
          description: When it lapses unless it is renewed, in microseconds since 1970.
          type: str
        left_ms:
          description: Milliseconds until then. Negative for a foreign one that never expires.
          type: int
    waits:
      description: What it still waits for.
      type: list
      elements: dict
      contains:
        task:
          description: Id of the other task.
          type: str
        kind:
          description: V(depends_on) (it must complete) or V(after) (it must settle).
          type: str
        state:
          description: State of the other task.
          type: str
    paused:
      description: Paused things that it touches.
      type: list
      elements: dict
      contains:
        name:
          description: Name of the thing.
          type: str
        reason:
          description: Why it is paused.
          type: str
    capable:
      description: Workers of its Larry that have the capability.
      type: list
      elements: dict
      contains:
        worker:
          description: Id of the worker.
          type: str
        present:
          description: Whether a controller holds its place.
          type: bool
        controller:
          description: Id of that controller. Missing if there is none.
          type: str
        task:
          description: The task that it is at; empty if none.
          type: str
    phase:
      description: Its Larry.
      type: dict
      contains:
        larry:
          description: Id of the Larry.
          type: str
        phase:
          description: V(pending), V(in_progress), V(completed) or V(failed).
          type: str
        mode:
          description: V(running), V(paused), V(draining) or V(cancelled).
          type: str
        progress:
          description: Progress of the phase in percent.
          type: int
        done:
          description: Whether all its tasks are settled.
          type: bool
        total:
          description: Number of its tasks.
          type: int
        settled:
          description: Number of those that are settled.
          type: int
        completed:
          description: Number of those that are completed.
          type: int
        failed:
          description: Number of those that failed.
          type: int
        skipped:
          description: Number of those that were skipped.
          type: int
    phase_left_ms:
      description: >-
        Milliseconds until the deadline of the phase, negative when it is past. Missing if it has not started.
      type: int
    pause_reason:
      description: Why the Larry was paused, drained or cancelled last. Missing if it never was.
      type: str
    sweep:
      description: >-
        Why nothing new is claimed and what is unsettled is being skipped, V(deadline) or V(cancelled). Missing if
        this is not so.
      type: str
    retry_ms:
      description: Milliseconds until it is tried again. Missing if that is not due.
      type: int
    conflict:
      description: Who had set the key of its lease last, as another client. Missing or empty if nobody had.
      type: str
  sample:
    - task: automated-remediation
      status: seen
      state: pending
      because:
        - It waits for dependency-audit, which is in progress and must complete first.
      larry: larry-02
      capability: automated-remediation
      worker: larry-02-remediation-worker
      shared: false
      attempt: 0
      attempts: 3
error_class:
  description:
    - Kind of a failure, for conditions in playbooks. C(msg) holds the sentence for people.
    - V(SettingsError) - an option or the way to the server is wrong, nothing was changed.
    - V(ServerUnavailable) - the server does not answer or refused the user.
    - V(NotJoined) - there is no run.
    - V(Refused) - the plan knows no such task.
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

from ansible_collections.cortex.larry.plugins.module_utils._coordination.tasks import TaskService
from ansible_collections.cortex.larry.plugins.module_utils.module_entry import run_on_target
from ansible_collections.cortex.larry.plugins.module_utils.options import CONNECTION_SPEC, Context

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "tasks": {"type": "list", "elements": "str", "required": True},
    **CONNECTION_SPEC,
}


def execute(context: Context) -> dict[str, t.Any]:
    """Says where each task is and why."""
    service = TaskService(context.session(member=False))
    return {"changed": False, "tasks": [service.why(task) for task in context.parameters["tasks"]]}


def main() -> None:
    """Entry on a target (run_on: target)."""
    run_on_target(ARGUMENT_SPEC, execute)


if __name__ == "__main__":
    main()
