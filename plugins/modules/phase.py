#!/usr/bin/python
# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: phase
short_description: Lead the phase of a Larry
version_added: 0.1.0
description:
  - Takes the place of a Larry for this controller and starts its phase, looks after it while its workers are busy,
    and finishes it when all its tasks are settled.
  - The place is a lease that a keeper process beside C(ansible-playbook) renews. A second controller that asks for
    the same Larry becomes its standby; it does not fail, and takes over once the place is free. The time in which
    nobody led the phase does not count against it.
  - A phase has a deadline. Past it, nothing new is claimed, what is neither settled nor running is skipped, and the
    phase ends as failed.
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
      - The server is not asked; the answer is as if the place were free and all were done.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  larry:
    description:
      - Id of the Larry in the plan. The inventory of a plan gives it to each coordinator as C(larry_id).
    type: str
    required: true
  state:
    description:
      - What to do.
    type: str
    required: true
    choices:
      started: >-
        Take the place and start the phase. A phase that was started before, by a controller that is gone, is led on
        as it is. If another controller has the place, see RV(standby).
      watched: Look how far the phase is, or wait until all its tasks are settled.
      finished: >-
        As V(watched), and end the phase once all its tasks are settled, as completed if none failed and the deadline
        did not pass, else as failed. It is left as it is while tasks are unsettled; see RV(done).
      left: Give the place up. It is no failure if this controller does not have it.
  wait:
    description:
      - Seconds to wait. With O(state=started) as a standby, until the place is free; with O(state=watched) and
        O(state=finished) until all tasks are settled, or the Larry is drained.
      - A waiting task occupies one fork of Ansible. If there are fewer forks than hosts that can wait, keep it at two
        seconds or below and ask again.
    type: float
    default: 0.0
  ttl:
    description:
      - Seconds after which the place is free if nobody renews it, for O(state=started).
      - If left out, the variable C(larry_ttl) is taken, else the environment variable E(LARRY_TTL), else 15 seconds.
    type: int
notes:
  - The controller must have joined the run with M(cortex.larry.run); otherwise the error class is C(NotJoined).
  - The phase is visible in the keys C(phase:LARRY:status), C(phase:LARRY:progress), C(phase:LARRY:started_at) and
    C(phase:LARRY:completed_at).
seealso:
  - module: cortex.larry.run
  - module: cortex.larry.worker
  - module: cortex.larry.control
"""
EXAMPLES = r"""
- name: Start the phase
  cortex.larry.phase:
    larry: "{{ larry_id }}"
    state: started
  register: lead

- name: Lead it until all tasks are settled, for half an hour at most
  cortex.larry.phase:
    larry: "{{ larry_id }}"
    state: watched
    wait: 2
  register: phase
  until: phase is failed or phase.done
  retries: 900
  delay: 0
  when: lead.led

- name: Finish the phase
  cortex.larry.phase:
    larry: "{{ larry_id }}"
    state: finished
  register: phase
  when: lead.led

- name: Give the place up
  cortex.larry.phase:
    larry: "{{ larry_id }}"
    state: left
  when: lead.led
"""
RETURN = r"""
larry:
  description: Id of the Larry.
  returned: success
  type: str
  sample: larry-01
led:
  description: Whether this controller has the place.
  returned: success
  type: bool
standby:
  description: Whether another controller has the place, so that this one is its standby.
  returned: success and not O(state=left)
  type: bool
holder:
  description: Machine and process id of the controller that has the place.
  returned: when RV(standby=true)
  type: str
  sample: build7:4242
run_state:
  description: State of the run, V(running) or V(finished). A standby of a finished run is done.
  returned: success and not O(state=left), not in check mode
  type: str
  sample: running
phase:
  description: V(pending), V(in_progress), V(completed) or V(failed).
  returned: success, when RV(led=true)
  type: str
  sample: in_progress
mode:
  description: V(running), V(paused), V(draining) or V(cancelled), as M(cortex.larry.control) set it.
  returned: success, when RV(led=true), not in check mode
  type: str
  sample: running
done:
  description: Whether all tasks of the Larry are settled.
  returned: success, when RV(led=true)
  type: bool
progress:
  description: Progress of the phase in percent, weighted by the planned duration of the tasks.
  returned: success, when RV(led=true), not in check mode
  type: int
  sample: 40
counts:
  description: Numbers of tasks.
  returned: success, when RV(led=true), not in check mode
  type: dict
  contains:
    total:
      description: All tasks of the Larry.
      type: int
    settled:
      description: Those that are completed, failed for good or skipped.
      type: int
    completed:
      description: Those that are completed.
      type: int
    failed:
      description: Those that failed for good.
      type: int
    skipped:
      description: Those that were skipped.
      type: int
  sample:
    total: 4
    settled: 1
    completed: 1
    failed: 0
    skipped: 0
running:
  description: Ids of the tasks that are being worked at; empty with O(state=started).
  returned: success, when RV(led=true), not in check mode
  type: list
  elements: str
  sample: [setup-monitoring]
waited:
  description: Seconds that the task waited.
  returned: success, when RV(led=true), not in check mode
  type: float
  sample: 2.004
ansible_facts:
  description: >-
    What this task returned, as a fact. A task that is skipped later overwrites what it registers, but not a fact.
  returned: success and not O(state=left), or in check mode
  type: dict
  contains:
    larry_phase:
      description: All of the above.
      type: dict
error_class:
  description:
    - Kind of a failure, for conditions in playbooks. C(msg) holds the sentence for people.
    - V(SettingsError) - an option or the way to the server is wrong, nothing was changed.
    - V(ServerUnavailable) - the server does not answer or refused the user.
    - V(NotJoined) - there is no run, or this controller has not joined it.
    - V(Refused) - this controller does not have the place, or the plan knows no such Larry.
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

from ansible_collections.cortex.larry.plugins.module_utils._coordination.phases import PhaseService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.slots import SlotService
from ansible_collections.cortex.larry.plugins.module_utils.module_entry import run_on_target
from ansible_collections.cortex.larry.plugins.module_utils.options import CONNECTION_SPEC, Context, with_fact

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "larry": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["started", "watched", "finished", "left"], "required": True},
    "wait": {"type": "float", "default": 0.0},
    "ttl": {"type": "int"},
    **CONNECTION_SPEC,
}


def execute(context: Context) -> dict[str, t.Any]:
    """Leads the phase of one Larry."""
    wanted = context.parameters
    larry = wanted["larry"]
    if context.check_mode:
        return with_fact(
            "larry_phase",
            {
                "changed": wanted["state"] != "watched",
                "larry": larry,
                "led": True,
                "standby": False,
                "done": True,
                "phase": "pending",
            },
        )
    session = context.session(member=True, actor=larry)
    phases, slots = PhaseService(session), SlotService(session)
    if wanted["state"] == "left":
        return {"changed": slots.leave(larry)["changed"], "larry": larry, "led": False}
    if wanted["state"] == "started":
        slot = slots.take(larry, wait_s=wanted["wait"], ttl_ms=context.ttl_ms)
        if slot["status"] == "standby":
            return with_fact(
                "larry_phase",
                {
                    "changed": False,
                    "larry": larry,
                    "led": False,
                    "standby": True,
                    "run_state": slot.get("run", "running"),
                    "holder": slot.get("owner"),
                },
            )
        view = phases.start(larry)
        view["changed"] = view["changed"] or bool(slot.get("changed"))
    else:
        view = phases.turn(larry, wait_s=wanted["wait"], finish=wanted["state"] == "finished", ttl_ms=context.ttl_ms)
    return with_fact(
        "larry_phase",
        {
            "changed": bool(view["changed"]),
            "larry": larry,
            "led": True,
            "standby": False,
            "run_state": "running",
            "phase": view["phase"],
            "mode": view["mode"],
            "done": bool(view["done"]),
            "progress": view["progress"],
            "counts": {name: view[name] for name in ("total", "settled", "completed", "failed", "skipped")},
            "running": view.get("running") or [],
            "waited": round(session.waited_s, 3),
        },
    )


def main() -> None:
    """Entry on a target (run_on: target)."""
    run_on_target(ARGUMENT_SPEC, execute)


if __name__ == "__main__":
    main()
