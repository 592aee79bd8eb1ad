#!/usr/bin/python
# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lock
short_description: Hold a lock or a slot of a semaphore across playbooks
version_added: 0.1.0
description:
  - Takes a lock by name on a Redis or Valkey server, or gives it up. Whoever uses the same server, O(prefix) and
    O(name) shares the lock, in this playbook, in another one, and on another machine. Nothing has to be set up for a
    lock, and no plan or run is needed.
  - With O(slots) greater than 1 the lock is a semaphore, which as many can hold at once.
  - The holder is one inventory host in one process of C(ansible-playbook). The hosts of one play exclude each other
    as well; use C(run_once) or a play with one host to take a lock once for a whole playbook.
  - A lock is a lease. It has a deadline in the server's time, O(ttl) seconds after it was taken or last renewed. A
    keeper process beside C(ansible-playbook) renews it at a third of O(ttl), so a block may last much longer than
    that.
  - When C(ansible-playbook) ends, in whatever way, its keeper gives up at once what it still holds. When the keeper
    ends too, or the machine or its network is gone, the lock is free after O(ttl).
  - A lock on its own cannot keep a holder from acting late (a machine that was suspended wakes up and goes on). Each
    holder therefore gets a fence, RV(fence), a number that is greater than that of every holder before it. Store it
    with what you change and refuse a smaller one; see the examples.
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
      - A lock that is held by others fails with O(wait=0) as it would otherwise. With a longer O(wait) the answer is
        that it would be taken.
      - There is no fence in check mode.
  diff_mode:
    support: none
  idempotent:
    support: full
    details:
      - A lock that this host holds already stays as it is. It is not counted; one O(state=released) gives it up.
options:
  name:
    description:
      - Name of the lock, 1 to 200 characters without control characters.
    type: str
    required: true
  state:
    description:
      - Whether this host holds the lock when the task is done.
    type: str
    default: held
    choices:
      held: The lock is taken. If this host holds it already, nothing changes, not even its O(ttl) and O(reason).
      released: The lock is given up. It is no failure if this host does not hold it.
  wait:
    description:
      - Seconds to wait for the lock, for O(state=held). With V(0) the server is asked once.
      - A waiting task is woken when the lock becomes free, without polling. When the time is over, the task fails
        with the error class C(Busy), and names the holders, what for, and how long they hold it still.
      - A waiting task occupies one fork of Ansible.
    type: float
    default: 0.0
  ttl:
    description:
      - Seconds after which the lock is free if nobody renews it, for O(state=held). From V(1) to V(86400).
      - It bounds how long others wait after a crash of the machine, and how long the server may be away before the
        lock is lost. It does not bound the block that the lock protects, except with O(run_on=target), where nobody
        renews.
      - If left out, the variable C(larry_ttl) is taken, else the environment variable E(LARRY_TTL), else 15 seconds.
    type: int
  slots:
    description:
      - How many can hold the lock at once.
      - While a lock is in use, everybody must name the same number; another one fails with the error class C(Refused).
    type: int
    default: 1
  owner:
    description:
      - What others read when they ask who holds the lock. It identifies nobody; two holders can have the same.
      - The default names inventory host, machine and process, such as V(web01 of build7:4242).
    type: str
  reason:
    description:
      - What others read when they ask what the lock is held for; with O(state=released) and O(force) the cause in the
        event.
    type: str
  force:
    description:
      - With O(state=released) take the lock from whoever holds it, and from all of them if it has several slots.
      - The holder is not interrupted. Its keeper stops renewing and notes the loss, M(cortex.larry.lock_info) answers
        it RV(cortex.larry.lock_info#module:held_by_me=false), its own O(state=released) releases nothing, and whoever
        takes the lock next has a greater fence. The event C(lease_revoked) says who lost it, and why.
      - Make sure that the holder is really stuck, or that what it changes is guarded by the fence.
    type: bool
    default: false
  within_run:
    description:
      - Act as a member of the run that this controller has joined. Events of the lock then go to the log of the run,
        and refusals are logged too. It is the same lock with and without.
      - Fails with the error class C(NotJoined) where the controller has not joined a run.
    type: bool
    default: false
notes:
  - Release the lock in C(always), so that a failure of the block does not keep it until the playbook ends.
  - A lock with one slot is visible as the key C(lock:NAME) with its owner and its expiry, and one with several as
    C(lock:NAME:1) and so on. Deleting that key revokes the lock like O(force). If another client sets it (such as
    C(SET lock:NAME somebody NX EX 60)), this is honoured until it expires.
  - Within one play, a host that waits for a lock of another host needs a fork for each of them. Under the strategy
    C(linear) all hosts take part in a task before the next one begins; a lock that one host takes and gives up in
    different tasks can therefore not be waited for by the other hosts of the same play. Use C(throttle) there, or the
    strategy C(free).
  - The events are C(lease_acquired), C(lease_released), C(lease_revoked), C(lease_lapsed) and, within a run,
    C(lease_refused), on the channel C(larry:coordination).
seealso:
  - module: cortex.larry.lock_info
  - module: cortex.larry.barrier
  - module: cortex.larry.event_info
"""
EXAMPLES = r"""
# Two playbooks with these tasks never update at the same time, wherever they run.
- name: Update the schema with the lock
  run_once: true
  block:
    - name: Take the lock, and wait for it up to ten minutes
      cortex.larry.lock:
        name: schema-update
        redis: embedded # or redis://redis.example.com:6379
        wait: 600
        reason: update of the shop database

    - name: Do what only one may do
      ansible.builtin.command: /usr/local/bin/update-schema
      changed_when: true
  always:
    - name: Give the lock up
      cortex.larry.lock:
        name: schema-update
        redis: embedded
        state: released

# For a play with "strategy: free". At most three hosts restart at once, over all playbooks and controllers.
- name: Restart with one of three slots
  module_defaults:
    group/cortex.larry.coordination:
      redis: redis://redis.example.com:6379
  block:
    - name: Take a slot
      cortex.larry.lock:
        name: web-restart
        slots: 3
        wait: 1800

    - name: Restart
      ansible.builtin.service:
        name: nginx
        state: restarted
  always:
    - name: Give the slot up
      cortex.larry.lock:
        name: web-restart
        slots: 3
        state: released

# The row holds the fence of its last writer, so a holder that was overtaken changes nothing.
- name: Take the lock
  cortex.larry.lock:
    name: shop-release
    wait: 60
  register: release_lock

- name: Write, unless somebody with a greater fence has written
  community.postgresql.postgresql_query:
    db: shop
    query: >-
      UPDATE release SET version = %(version)s, fence = %(fence)s
      WHERE name = 'shop' AND fence <= %(fence)s
    named_args:
      version: "{{ shop_version }}"
      fence: "{{ release_lock.fence | int }}"
  register: written
  failed_when: written.rowcount != 1

- name: Skip the work if somebody else does it already
  cortex.larry.lock:
    name: nightly-backup
  register: backup_lock
  failed_when:
    - backup_lock is failed
    - backup_lock.reason | default('') != 'Busy'

- name: Take a lock from a holder that is known to be stuck
  cortex.larry.lock:
    name: schema-update
    state: released
    force: true
    reason: build7 was shut down, ticket 4711
"""
RETURN = r"""
name:
  description: Name of the lock.
  returned: success
  type: str
  sample: schema-update
fence:
  description:
    - The fence of this holder as a decimal number. It is greater than that of every holder of this lock before, in
      any slot, and fits into a signed 64-bit integer.
    - It is a string, because it exceeds what some tools represent exactly. Null in check mode.
  returned: success and O(state=held)
  type: str
  sample: "1795249388228190"
slot:
  description: Which of the slots is held, counted from 1.
  returned: success and O(state=held), not in check mode
  type: int
  sample: 1
waited:
  description: Seconds that the task waited for the lock.
  returned: success and O(state=held), not in check mode
  type: float
  sample: 3.217
released:
  description: Who was released by this task; empty if this host did not hold the lock.
  returned: success and O(state=released)
  type: list
  elements: dict
  contains:
    owner:
      description: Owner as given when the lock was taken, or the content of the key that another client set.
      type: str
    fence:
      description: Fence of the holder. Missing if another client had set the key.
      type: str
    slot:
      description: The slot that is free now.
      type: int
  sample:
    - owner: web01 of build7:4242
      fence: "1795249388228190"
      slot: 1
holders:
  description: Who holds the lock still. In check mode with O(state=held) who holds it now.
  returned: success and O(state=released), or in check mode
  type: list
  elements: dict
  contains:
    resource:
      description: The lock, as events name it.
      type: str
      sample: lock:schema-update
    state:
      description: V(held), or V(foreign) if another client set the key. Of a foreign one only owner and time are known.
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
      description: >-
        Milliseconds until then. Negative for a foreign one that never expires; it can be missing for a foreign one.
      type: int
error_class:
  description:
    - Kind of a failure, for conditions in playbooks. C(msg) holds the sentence for people.
    - V(SettingsError) - an option or the way to the server is wrong, nothing was changed.
    - V(ServerUnavailable) - the server does not answer or refused the user.
    - V(Busy) - others hold the lock and O(wait) is over; RV(facts) has the C(holders).
    - V(Refused) - the lock is in use with another number of O(slots).
    - V(NotJoined) - with O(within_run) only, this controller has not joined a run.
  returned: failure
  type: str
  sample: Busy
facts:
  description:
    - Details behind a failure, as the server gave them. Which there are depends on RV(error_class).
  returned: failure
  type: dict
"""

import typing as t

from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import Busy
from ansible_collections.cortex.larry.plugins.module_utils._coordination.locks import LockService, holders_sentence
from ansible_collections.cortex.larry.plugins.module_utils.module_entry import run_on_target
from ansible_collections.cortex.larry.plugins.module_utils.options import CONNECTION_SPEC, Context

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["held", "released"], "default": "held"},
    "wait": {"type": "float", "default": 0.0},
    "ttl": {"type": "int"},
    "slots": {"type": "int", "default": 1},
    "owner": {"type": "str"},
    "reason": {"type": "str"},
    "force": {"type": "bool", "default": False},
    "within_run": {"type": "bool", "default": False},
    **CONNECTION_SPEC,
}


def execute(context: Context) -> dict[str, t.Any]:
    """Takes the lock or gives it up."""
    wanted = context.parameters
    locks = LockService(context.session())
    name, slots = wanted["name"], wanted["slots"]
    if wanted["state"] == "released":
        reply = locks.release(
            name, slots=slots, force=wanted["force"], reason=wanted["reason"], probe=context.check_mode
        )
        released = reply["released"]
        return {"changed": bool(released), "name": name, "released": released, "holders": reply["holders"]}
    if context.check_mode:
        view = locks.look(name)
        if not locks.would_acquire(name, slots) and wanted["wait"] <= 0:
            raise Busy(f"The lock {name} is held by {holders_sentence(view['holders'])}.", **view)
        return {"changed": view.get("mine") is None, "name": name, "fence": None, "holders": view["holders"]}
    held = locks.acquire(
        name,
        wait_s=wanted["wait"],
        ttl_ms=context.ttl_ms,
        slots=slots,
        owner=wanted["owner"],
        reason=wanted["reason"],
        keep=context.keep,
    )
    return {
        "changed": not held.already,
        "name": name,
        "fence": held.fence,
        "slot": held.slot,
        "waited": round(locks.session.waited_s, 3),
    }


def main() -> None:
    """Entry on a target (run_on: target)."""
    run_on_target(ARGUMENT_SPEC, execute)


if __name__ == "__main__":
    main()
