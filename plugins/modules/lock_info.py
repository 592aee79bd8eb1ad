#!/usr/bin/python
# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lock_info
short_description: Show who holds a lock
version_added: 0.1.0
description:
  - Reads who holds a lock of M(cortex.larry.lock), what for, for how long, and with which fence. It changes nothing,
    takes nothing and needs no run.
  - A lock that nobody ever took is a free one.
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
      - Name of the lock.
    type: str
    required: true
notes:
  - The answer is true at one moment of the past. Do not decide by it whether to act; take the lock for that.
seealso:
  - module: cortex.larry.lock
"""
EXAMPLES = r"""
- name: Ask who holds the lock
  cortex.larry.lock_info:
    name: schema-update
    redis: redis://redis.example.com:6379
  register: lock

- name: Say it
  ansible.builtin.debug:
    msg: "{{ item.owner }} for {{ item.left_ms / 1000 }} s, {{ item.reason | default('no reason given', true) }}"
  loop: "{{ lock.holders }}"
  loop_control:
    label: "{{ item.owner }}"

- name: Stop before a step that cannot be undone if the lock was taken from us
  ansible.builtin.assert:
    that: lock.held_by_me
    fail_msg: The lock schema-update was lost; another holder may be at work.
"""
RETURN = r"""
name:
  description: Name of the lock.
  returned: success
  type: str
  sample: schema-update
held:
  description: Whether anybody holds the lock, or a slot of it.
  returned: success
  type: bool
held_by_me:
  description: Whether this host of this controller holds it.
  returned: success
  type: bool
slots:
  description: How many can hold the lock at once, as its last user named it.
  returned: success
  type: int
  sample: 1
fence:
  description: The greatest fence given out so far; null if the lock was not used yet or not for seven days.
  returned: success
  type: str
  sample: "1795249388228190"
acquisitions:
  description: How often the lock was taken, since it was last forgotten (after seven days without use).
  returned: success
  type: int
  sample: 12
refusals:
  description: How often somebody asked for it while it was held. Who waits is counted once.
  returned: success
  type: int
  sample: 3
holders:
  description: Who holds the lock now, at most one for each slot.
  returned: success
  type: list
  elements: dict
  contains:
    resource:
      description: The lock, as events name it.
      type: str
    slot:
      description: The slot, counted from 1.
      type: int
    state:
      description: >-
        V(held), or V(foreign) if another client set the key C(lock:NAME). Of a foreign one only slot, owner and time
        are known.
      type: str
    owner:
      description: Owner as given when the lock was taken, or the content of the key that another client set.
      type: str
    reason:
      description: Reason as given when the lock was taken, else empty.
      type: str
    fence:
      description: Fence of the holder.
      type: str
    controller:
      description: Id of the holder's controller.
      type: str
    host:
      description: Inventory host of the holder.
      type: str
    since:
      description: When the lock was taken, in microseconds since 1970 in the server's time.
      type: str
    deadline:
      description: When the lock is free unless it is renewed, in microseconds since 1970 in the server's time.
      type: str
    left_ms:
      description: Milliseconds until then. Negative for a foreign one that never expires.
      type: int
  sample:
    - resource: lock:schema-update
      slot: 1
      state: held
      owner: web01 of build7:4242
      reason: update of the shop database
      fence: "1795249388228190"
      controller: f146b21f-0dc6-57e7-ae47-33c2b8e89243
      host: web01
      since: "1795249388228190"
      deadline: "1795249403228000"
      left_ms: 14861
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

from ansible_collections.cortex.larry.plugins.module_utils._coordination.locks import LockService
from ansible_collections.cortex.larry.plugins.module_utils.module_entry import run_on_target
from ansible_collections.cortex.larry.plugins.module_utils.options import CONNECTION_SPEC, Context

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {"name": {"type": "str", "required": True}, **CONNECTION_SPEC}


def execute(context: Context) -> dict[str, t.Any]:
    """Reads who holds the lock."""
    view = LockService(context.session(member=False)).look(context.parameters["name"])
    return {
        "changed": False,
        "name": context.parameters["name"],
        "held": bool(view["holders"]),
        "held_by_me": view.get("mine") is not None,
        "holders": view["holders"],
        "slots": view["slots"],
        "fence": view.get("fence"),
        "acquisitions": view["acquisitions"],
        "refusals": view["refusals"],
    }


def main() -> None:
    """Entry on a target (run_on: target)."""
    run_on_target(ARGUMENT_SPEC, execute)


if __name__ == "__main__":
    main()
