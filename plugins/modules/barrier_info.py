#!/usr/bin/python
# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: barrier_info
short_description: Show who has arrived at a barrier
version_added: 0.1.0
description:
  - Reads who has arrived at a barrier of M(cortex.larry.barrier), who is missing and why, and how its last
    generations ended. It changes nothing, does not arrive, and needs no run.
author:
  - The cortex.larry contributors (@cortex-larry)
extends_documentation_fragment:
  - cortex.larry.connection
  - cortex.larry.attributes
  - cortex.larry.attributes.coordination
  - cortex.larry.attributes.info
options:
  name:
    description:
      - Name of the barrier. The meeting of all Larrys at the end of a run is called V(converge).
    type: str
    required: true
seealso:
  - module: cortex.larry.barrier
"""
EXAMPLES = r"""
- name: Look at the barrier
  cortex.larry.barrier_info:
    name: release-2026-11
    redis: redis://redis.example.com:6379
  register: meeting

- name: Say whom it waits for
  ansible.builtin.debug:
    msg: "{{ item.member }}: {{ item.why }}"
  loop: "{{ meeting.missing + meeting.dead }}"
"""
RETURN = r"""
name:
  description: Name of the barrier.
  returned: success
  type: str
  sample: release-2026-11
opened:
  description: The last generation that ended, by opening or by breaking; 0 if none has.
  returned: success
  type: int
  sample: 0
arrived:
  description: Who has arrived in the generation after that, in alphabetical order.
  returned: success
  type: list
  elements: str
  sample: [eu-north, eu-west]
missing:
  description: Who is expected by name and has not arrived yet.
  returned: success
  type: list
  elements: dict
  contains:
    member:
      description: Name of the member.
      type: str
    why:
      description: Why it is missing.
      type: str
  sample:
    - member: us-east
      why: has not arrived yet
dead:
  description: Who has arrived and died, or is known to come no more.
  returned: success
  type: list
  elements: dict
  contains:
    member:
      description: Name of the member.
      type: str
    why:
      description: How that is known.
      type: str
    dead:
      description: True where it is known from the phase of a Larry; else missing.
      type: bool
expected:
  description: How many are expected; null if nobody has used the barrier yet.
  returned: success
  type: int
  sample: 5
policy:
  description: >-
    What happens when a member is dead, V(fail), V(shrink) or V(wait); null if nobody has used the barrier yet.
  returned: success
  type: str
  sample: fail
outcomes:
  description: How the last generations ended, the last one first, 16 at most.
  returned: success
  type: list
  elements: dict
  contains:
    generation:
      description: The generation.
      type: int
    state:
      description: V(open) or V(failed).
      type: str
    cause:
      description: Why it broke. Missing if it opened.
      type: str
    members:
      description: Who had arrived.
      type: list
      elements: str
    missing:
      description: Who was missing, each with C(member) and C(why).
      type: list
      elements: dict
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

from ansible_collections.cortex.larry.plugins.module_utils._coordination.barriers import BarrierService
from ansible_collections.cortex.larry.plugins.module_utils.module_entry import run_on_target
from ansible_collections.cortex.larry.plugins.module_utils.options import CONNECTION_SPEC, Context

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {"name": {"type": "str", "required": True}, **CONNECTION_SPEC}


def execute(context: Context) -> dict[str, t.Any]:
    """Reads who arrived and who is missing."""
    view = BarrierService(context.session(member=False)).look(context.parameters["name"])
    return {
        "changed": False,
        "name": context.parameters["name"],
        "opened": view["generation"],
        "arrived": view["arrived"],
        "missing": view["missing"],
        "dead": view["dead"],
        "expected": view.get("expected"),
        "policy": view.get("policy"),
        "outcomes": view["outcomes"],
    }


def main() -> None:
    """Entry on a target (run_on: target)."""
    run_on_target(ARGUMENT_SPEC, execute)


if __name__ == "__main__":
    main()
