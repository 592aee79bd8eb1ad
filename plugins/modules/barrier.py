#!/usr/bin/python
# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: barrier
short_description: Wait until everybody is here
version_added: 0.1.0
description:
  - Arrives at a meeting point on a Redis or Valkey server and waits there until everybody who is expected has
    arrived. Then all of them go on together, in whatever playbook and on whatever machine they run. Nothing has to be
    set up for a barrier, and no plan or run is needed.
  - Who is expected is said by O(count) (so many, whoever they are) or by O(members) (these, by name).
  - A barrier is used again and again under the same name. Each meeting is a generation, counted from 1. A generation
    ends when the barrier opens or breaks, and the next arrival belongs to the next one. Nobody passes a generation
    before everybody who counts has arrived in it.
  - An arrival is a lease, which a keeper process beside C(ansible-playbook) renews. When a member that has arrived
    dies, the others learn it at once or within O(ttl), and O(policy) says what happens then.
  - When O(timeout) is over, the task fails, withdraws its arrival and names who is missing.
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
      - It does not arrive and does not wait. It answers that the barrier is open, with RV(state=would arrive), so
        that the play goes on, and who has arrived and who is missing at that moment.
  diff_mode:
    support: none
  idempotent:
    support: partial
    details:
      - Without O(generation) a second run meets once more. With O(generation) a generation that is over is answered
        at once, but reported as changed.
      - O(state=left) is idempotent.
options:
  name:
    description:
      - Name of the barrier, 1 to 200 characters without control characters.
    type: str
    required: true
  state:
    description:
      - What to do at the barrier.
    type: str
    default: passed
    choices:
      passed: Arrive, and wait until the barrier opens.
      left: >-
        Withdraw an arrival of this controller that is waiting still (see O(turn)). It is no failure if there is none.
  members:
    description:
      - Who is expected, by name. One of them must be O(member).
      - Everybody must give the same names in the same order, and each name once. The first one to arrive in a
        generation fixes them, and whoever expects others fails with the error class C(Refused).
      - Give either O(members) or O(count) with O(state=passed). With O(within_run) both can be left out; then the
        Larrys of the plan are expected, and O(policy), O(timeout) and O(join_within) are those of the plan, whatever
        the task says.
    type: list
    elements: str
  count:
    description:
      - How many are expected, at least V(1). Everybody must give the same number.
      - See O(members) for when it can be left out.
    type: int
  member:
    description:
      - Who arrives. Required with O(members). One member can arrive once in a generation; if another controller has
        arrived under this name and is alive, the task fails with the error class C(Refused).
      - The default is the controller with the inventory host, which suits O(count). So each host of a play counts as
        one, and the hosts of different playbooks are different members.
    type: str
  policy:
    description:
      - What happens when a member is dead. The first one to arrive in a generation fixes it.
      - Dead is who has arrived and no longer renews the arrival. In a run a member that is the id of a Larry is also
        dead if its phase failed, if its controller is gone, or if it did not join within O(join_within).
      - Who has not arrived yet and cannot be known to be dead is waited for until O(timeout).
    type: str
    default: fail
    choices:
      fail: The barrier breaks at once, for all who wait, with the error class C(BarrierFailed) and the cause.
      shrink: The others go on without the dead; RV(missing) names them.
      wait: The dead are waited for until O(timeout); they can come back under the same name. An alert is published.
  timeout:
    description:
      - Seconds to wait for the others. Then the arrival is withdrawn and the task fails with the reason
        C(BarrierFailed). The others go on waiting.
      - It counts from the arrival, over all turns of it (see O(turn)).
    type: float
    default: 600.0
  turn:
    description:
      - Seconds after which the task returns with RV(state=waiting) instead of blocking on. The arrival stays, and the
        next task with the same O(name), O(member) and O(generation) goes on with it.
      - Use it where more hosts wait than there are forks, with V(0) to look without blocking. Give O(generation)
        then, because a barrier that opened between two turns would otherwise be entered anew.
      - By default the task blocks until the barrier opens or breaks, or until O(timeout).
    type: float
  join_within:
    description:
      - Seconds from the start of the run after which a Larry that never joined counts as dead. The first one to
        arrive fixes it. It has a meaning with O(within_run) only.
    type: float
    default: 300.0
  generation:
    description:
      - Which meeting is meant. If it is over, the task returns at once with its outcome, open or failed. Outcomes are
        kept of the last 16 generations; an older one counts as open.
      - A number above the next generation fails with the error class C(Refused).
      - By default the next one to open.
    type: int
  ttl:
    description:
      - Seconds after which an arrival that is not renewed counts as dead. From V(1) to V(86400).
      - With O(run_on=target) nobody renews it, so it must be longer than the wait.
      - If left out, the variable C(larry_ttl) is taken, else the environment variable E(LARRY_TTL), else 15 seconds.
    type: int
  within_run:
    description:
      - Act as a member of the run that this controller has joined. Events go to the log of the run, members that are
        Larrys are judged by their phase (see O(policy)), and the barrier stays shut while a Larry is paused.
      - Fails with the error class C(NotJoined) where the controller has not joined a run.
    type: bool
    default: false
notes:
  - Each host that blocks here occupies a fork of Ansible. If more hosts of a play wait than there are forks (5 by
    default), the others never get their turn. Raise C(forks), or use O(turn).
  - Under the strategy C(linear) the hosts of one play reach a task together anyway. A barrier is for hosts of
    different plays, playbooks or controllers, and for the strategies C(free) and C(host_pinned).
  - A barrier that nobody uses for seven days is forgotten outside a run and counts its generations anew.
  - The events are C(barrier_arrived), C(barrier_open) and C(barrier_failed) on the channel C(larry:coordination).
seealso:
  - module: cortex.larry.barrier_info
  - module: cortex.larry.lock
"""
EXAMPLES = r"""
# The same in five playbooks at once, each with its own region. All of them leave the barrier together.
- name: Wait until all five regions are ready to switch over
  cortex.larry.barrier:
    name: release-2026-11
    redis: redis://redis.example.com:6379
    members: [eu-west, eu-north, us-east, us-west, ap-south]
    member: "{{ region }}"
    timeout: 1800
  run_once: true

- name: Wait until any five hosts of any playbooks are here
  cortex.larry.barrier:
    name: cluster-formed
    redis: embedded
    count: 5
  register: meeting

- name: Go on without regions that died on the way, and say which
  cortex.larry.barrier:
    name: release-2026-11
    members: "{{ regions }}"
    member: "{{ region }}"
    policy: shrink
  register: meeting

- name: Say who is missing
  ansible.builtin.debug:
    msg: "{{ item.member }}: {{ item.why }}"
  loop: "{{ meeting.missing }}"

# Many hosts with few forks: each turn blocks for two seconds at most. After 600 seconds in all it fails.
- name: Wait in turns
  cortex.larry.barrier:
    name: "rollout-{{ rollout_id }}"
    count: 40
    generation: 1
    turn: 2
  register: meeting
  until: meeting is failed or meeting.open
  retries: 400
  delay: 0

- name: Withdraw the arrival if it was in vain
  cortex.larry.barrier:
    name: "rollout-{{ rollout_id }}"
    state: left
  when: not meeting.open | default(false)
"""
RETURN = r"""
name:
  description: Name of the barrier.
  returned: success
  type: str
  sample: release-2026-11
open:
  description: Whether the barrier opened, that is, whether to go on.
  returned: success and O(state=passed)
  type: bool
state:
  description:
    - V(open), V(waiting) (with O(turn)), V(would arrive) (in check mode), or V(left).
    - A barrier that broke is a failure.
  returned: success
  type: str
  sample: open
generation:
  description: The generation that was met in; in check mode O(generation).
  returned: success and O(state=passed)
  type: int
  sample: 1
members:
  description: Who has arrived, in alphabetical order.
  returned: success and O(state=passed)
  type: list
  elements: str
  sample: [ap-south, eu-north, eu-west, us-east, us-west]
missing:
  description: >-
    Who is missing and why. With RV(state=open) those whom the barrier went on without. Members that are expected by
    number are not known by name.
  returned: success and O(state=passed)
  type: list
  elements: dict
  contains:
    member:
      description: Name of the member.
      type: str
    why:
      description: Why it is missing.
      type: str
    dead:
      description: True if it is dead rather than late. Missing otherwise.
      type: bool
  sample:
    - member: us-east
      why: has not arrived yet
waited:
  description: Seconds that this task waited.
  returned: success and O(state=passed), not in check mode
  type: float
  sample: 12.408
ansible_facts:
  description: >-
    What this task returned, as a fact. A task that is skipped later overwrites what it registers, but not a fact.
  returned: success and O(state=passed) and O(within_run=true)
  type: dict
  contains:
    larry_barrier:
      description: All of the above.
      type: dict
error_class:
  description:
    - Kind of a failure, for conditions in playbooks. C(msg) holds the sentence for people.
    - V(SettingsError) - an option or the way to the server is wrong, nothing was changed.
    - V(ServerUnavailable) - the server does not answer or refused the user.
    - V(BarrierFailed) - the barrier broke or O(timeout) is over; RV(facts) has C(generation), C(cause), C(members)
      and C(missing).
    - V(Refused) - others expect other members, or O(member) is not expected or has arrived from another controller,
      or O(generation) is too great.
    - V(NotJoined) - with O(within_run) only, this controller has not joined a run.
  returned: failure
  type: str
  sample: BarrierFailed
facts:
  description:
    - Details behind a failure, as the server gave them. Which there are depends on RV(error_class).
  returned: failure
  type: dict
"""

import typing as t

from ansible_collections.cortex.larry.plugins.module_utils._coordination.barriers import (
    DEFAULT_TIMEOUT_S,
    POLICIES,
    BarrierService,
)
from ansible_collections.cortex.larry.plugins.module_utils.module_entry import run_on_target
from ansible_collections.cortex.larry.plugins.module_utils.options import CONNECTION_SPEC, Context, with_fact
from ansible_collections.cortex.larry.plugins.module_utils.plan_access import plan_of

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["passed", "left"], "default": "passed"},
    "members": {"type": "list", "elements": "str"},
    "count": {"type": "int"},
    "member": {"type": "str"},
    "policy": {"type": "str", "choices": list(POLICIES), "default": "fail"},
    "timeout": {"type": "float", "default": DEFAULT_TIMEOUT_S},
    "turn": {"type": "float"},
    "join_within": {"type": "float", "default": 300.0},
    "generation": {"type": "int"},
    "ttl": {"type": "int"},
    "within_run": {"type": "bool", "default": False},
    **CONNECTION_SPEC,
}


def execute(context: Context) -> dict[str, t.Any]:
    """Arrives and waits, or withdraws the arrival."""
    wanted = context.parameters
    barriers = BarrierService(context.session())
    name = wanted["name"]
    if wanted["state"] == "left":
        if context.check_mode:
            return {"changed": False, "name": name, "state": "left"}
        return {"changed": barriers.leave(name, wanted["member"]), "name": name, "state": "left"}
    if context.check_mode:
        view = barriers.look(name)
        # Nobody is kept waiting in check mode: the answer is that this host would arrive.
        result = {
            "changed": True,
            "name": name,
            "open": True,
            "state": "would arrive",
            "generation": wanted["generation"],
            "members": view["arrived"],
            "missing": view["missing"],
        }
        return with_fact("larry_barrier", result) if wanted["within_run"] else result
    token = None
    if wanted["turn"] is not None:
        # Every turn of one member in one controller is the same arrival.
        token = f"{context.controller.id}/{wanted['member'] or context.host}/{wanted['generation']}"
    members, policy, timeout_s, join_within_s = (
        wanted[name] for name in ("members", "policy", "timeout", "join_within")
    )
    if wanted["within_run"] and members is None and wanted["count"] is None:
        # The barrier of a run: its members and its policy come from the plan.
        plan = plan_of(context).canonical()
        members = list(plan["larrys"])
        policy, timeout_s, join_within_s = (plan["barrier"][name] for name in ("policy", "timeout_s", "join_within_s"))
    reply = barriers.meet(
        name,
        member=wanted["member"],
        members=members,
        count=wanted["count"],
        policy=policy,
        timeout_s=timeout_s,
        turn_s=wanted["turn"],
        join_within_s=join_within_s,
        generation=wanted["generation"],
        ttl_ms=context.ttl_ms,
        token=token,
        keep=context.keep,
    )
    result = {
        # Asking a generation that opened before changes nothing.
        "changed": not reply.get("over", False),
        "name": name,
        "open": reply["status"] == "open",
        "state": reply["status"],
        "generation": reply["generation"],
        "members": reply["members"],
        "missing": reply["missing"],
        "waited": round(barriers.session.waited_s, 3),
    }
    return with_fact("larry_barrier", result) if wanted["within_run"] else result


def main() -> None:
    """Entry on a target (run_on: target)."""
    run_on_target(ARGUMENT_SPEC, execute)


if __name__ == "__main__":
    main()
