#!/usr/bin/python
# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: run_info
short_description: Show the state of a run in short
version_added: 0.1.0
description:
  - Reads the state of the run under O(prefix), of its Larrys and of its workers. It changes nothing, needs no plan,
    and the controller need not have joined the run.
author:
  - The cortex.larry contributors (@cortex-larry)
extends_documentation_fragment:
  - cortex.larry.connection
  - cortex.larry.attributes
  - cortex.larry.attributes.coordination
  - cortex.larry.attributes.info
seealso:
  - module: cortex.larry.run
  - module: cortex.larry.task_info
  - module: cortex.larry.event_info
"""
EXAMPLES = r"""
- name: Look at the run
  cortex.larry.run_info:
    redis: embedded
  register: now

- name: Say how far each Larry is
  ansible.builtin.debug:
    msg: >-
      {{ item.larry }} is {{ item.phase }}, {{ item.progress }} %,
      {{ item.settled }} of {{ item.total }} tasks settled
  loop: "{{ now.larrys }}"
  loop_control:
    label: "{{ item.larry }}"
"""
RETURN = r"""
run:
  description: The run.
  returned: success
  type: dict
  contains:
    id:
      description: Its id.
      type: str
    plan:
      description: Name of its plan.
      type: str
    state:
      description: V(creating), V(running), V(finished) or V(deleting).
      type: str
    outcome:
      description: V(completed) or V(failed) once it is finished; else null.
      type: str
    digest:
      description: SHA-256 of the plan and the version of the collection.
      type: str
    epoch:
      description: Its epoch, a number that grows when a lost history is recovered.
      type: int
    history_lost:
      description: >-
        A controller noticed that the server has lost a part of the history; nothing is changed until
        M(cortex.larry.run) with C(state=recovered).
      type: bool
    fallback:
      description: The server in whose place the embedded one was used, because it did not answer; else null.
      type: str
    created_at:
      description: When it was created, ISO 8601 in UTC.
      type: str
    finished_at:
      description: When it was finished, ISO 8601 in UTC; null before.
      type: str
    log_entries:
      description: Number of entries in its log.
      type: int
  sample:
    id: 20261121T074001Z-3f9a1c
    plan: three-larrys
    state: running
    outcome: null
    digest: 5f1d7a3c9b2e4f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8
    created_at: "2026-11-21T07:40:01.123456Z"
    finished_at: null
    log_entries: 57
larrys:
  description: Its Larrys, in alphabetical order.
  returned: success
  type: list
  elements: dict
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
    led:
      description: Whether a controller leads it.
      type: bool
    controller:
      description: Id of that controller; null if there is none.
      type: str
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
      description: Number of those that failed for good.
      type: int
    skipped:
      description: Number of those that were skipped.
      type: int
workers:
  description: Its workers, in alphabetical order within each Larry.
  returned: success
  type: list
  elements: dict
  contains:
    worker:
      description: Id of the worker.
      type: str
    larry:
      description: Id of its Larry.
      type: str
    node:
      description: Name of its node.
      type: str
    status:
      description: V(absent) (never registered), V(idle), V(busy), V(completed), V(failed) or V(lost).
      type: str
    task:
      description: The task that it is at; null if none.
      type: str
error_class:
  description:
    - Kind of a failure, for conditions in playbooks. C(msg) holds the sentence for people.
    - V(SettingsError) - an option or the way to the server is wrong, nothing was changed.
    - V(ServerUnavailable) - the server does not answer or refused the user.
    - V(NotJoined) - there is no run.
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

from ansible_collections.cortex.larry.plugins.module_utils._coordination.snapshot import overview
from ansible_collections.cortex.larry.plugins.module_utils.module_entry import run_on_target
from ansible_collections.cortex.larry.plugins.module_utils.options import CONNECTION_SPEC, Context

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {**CONNECTION_SPEC}


def execute(context: Context) -> dict[str, t.Any]:
    """Reads the state of the run in short."""
    return {"changed": False, **overview(context.session(member=False))}


def main() -> None:
    """Entry on a target (run_on: target)."""
    run_on_target(ARGUMENT_SPEC, execute)


if __name__ == "__main__":
    main()
