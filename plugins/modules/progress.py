#!/usr/bin/python
# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: progress
short_description: Publish how far a task of a run is
version_added: 0.1.0
description:
  - Publishes how far a claimed task is, and answers whether it is still held. The progress of its Larry, the key
    C(phase:LARRY:progress), moves with it, weighted by the planned duration of the task.
  - Progress is told on the channel C(larry:coordination) as C(progress_update); it is not written to the log.
  - If the task is not held any more, or its Larry or what it touches is paused or cancelled, nothing is published;
    see RV(state). It is no failure.
  - While the server is away the progress goes to the journal of this controller, which is delivered once when the
    server is back, if the task is held still.
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
      - The server is not asked; the answer is that the task is held.
  diff_mode:
    support: none
  idempotent:
    support: none
    details:
      - The same percentage is published again and reported as changed.
options:
  task:
    description:
      - Id of the task.
    type: str
    required: true
  fence:
    description:
      - RV(cortex.larry.task#module:fence) of the claim.
    type: str
    required: true
  percent:
    description:
      - How far the task is, from V(0) to V(100). A task counts as done only when it is settled.
    type: float
    required: true
  text:
    description:
      - What is being done, for those who watch.
    type: str
notes:
  - The controller must have joined the run with M(cortex.larry.run); otherwise the error class is C(NotJoined).
seealso:
  - module: cortex.larry.task
"""
EXAMPLES = r"""
- name: Say how far the scan is
  cortex.larry.progress:
    task: "{{ claim.task }}"
    fence: "{{ claim.fence }}"
    percent: 40
    text: 12 of 30 images scanned
  register: lease

- name: Stop if the task was taken from us
  ansible.builtin.fail:
    msg: The task {{ claim.task }} is {{ lease.state }}.
  when: lease.state in ['lost', 'cancelled']
"""
RETURN = r"""
task:
  description: Id of the task.
  returned: success
  type: str
  sample: security-scan-group-01
held:
  description: Whether to go on with the task. Only then the progress was published.
  returned: success
  type: bool
state:
  description: >-
    V(held), V(paused) (wait; the lease is renewed and the deadline moves), V(cancelled) (stop), V(lost) (stop;
    somebody else may be at it) or V(away) (the server does not answer; go on, but ask with M(cortex.larry.task) before
    the next effect outside).
  returned: success
  type: str
  sample: held
journaled:
  description: The server is away, and the progress is in the journal.
  returned: success, not in check mode
  type: bool
error_class:
  description:
    - Kind of a failure, for conditions in playbooks. C(msg) holds the sentence for people.
    - V(SettingsError) - an option or the way to the server is wrong, nothing was changed.
    - V(ServerUnavailable) - the server does not answer or refused the user.
    - V(NotJoined) - there is no run, or this controller has not joined it.
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

from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import ServerUnavailable, SettingsError
from ansible_collections.cortex.larry.plugins.module_utils._coordination.events import write_journal
from ansible_collections.cortex.larry.plugins.module_utils._coordination.session import new_operation
from ansible_collections.cortex.larry.plugins.module_utils._coordination.tasks import TaskService
from ansible_collections.cortex.larry.plugins.module_utils.module_entry import run_on_target
from ansible_collections.cortex.larry.plugins.module_utils.options import CONNECTION_SPEC, Context

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "task": {"type": "str", "required": True},
    "fence": {"type": "str", "required": True},
    "percent": {"type": "float", "required": True},
    "text": {"type": "str"},
    **CONNECTION_SPEC,
}


def execute(context: Context) -> dict[str, t.Any]:
    """Publishes how far a task is; answers whether it is still held."""
    wanted = context.parameters
    if not 0 <= wanted["percent"] <= 100:
        raise SettingsError(f"percent must be between 0 and 100, not {wanted['percent']:g}.")
    if context.check_mode:
        return {"changed": True, "task": wanted["task"], "state": "held", "held": True}
    # What is told need not wait for a server that is away: there is the journal.
    session = context.session(member=True).hasty()
    told = {name: wanted[name] for name in ("task", "fence", "percent", "text")}
    try:
        reply = TaskService(session).checkpoint(**told)
    except ServerUnavailable as error:
        if not write_journal(session, new_operation(), {"kind": "progress", **told}, error):
            raise
        return {"changed": True, "task": wanted["task"], "state": "away", "held": True, "journaled": True}
    held = reply["status"] == "held"
    return {"changed": held, "task": wanted["task"], "state": reply["status"], "held": held, "journaled": False}


def main() -> None:
    """Entry on a target (run_on: target)."""
    run_on_target(ARGUMENT_SPEC, execute)


if __name__ == "__main__":
    main()
