#!/usr/bin/python
# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: control
short_description: Pause, resume, drain or cancel parts of a run
version_added: 0.1.0
description:
  - Pauses, resumes, drains or cancels Larrys of a run, or pauses and resumes whatever touches a named thing (as the
    plan says under C(touches) of a task).
  - It can be used from anywhere that reaches the server. The controller need not have joined the run, and the
    controllers at work follow within moments.
author:
  - The cortex.larry contributors (@cortex-larry)
extends_documentation_fragment:
  - cortex.larry.connection
  - cortex.larry.attributes
  - cortex.larry.attributes.coordination
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  verb:
    description:
      - What to do.
    type: str
    required: true
    choices:
      pause: >-
        Nothing new is claimed, tasks at work wait at their next checkpoint, leases stay renewed, the barrier of the
        run stays shut, and deadlines move by the pause.
      resume: A pause or a drain ends.
      drain: Nothing new is claimed; what is being worked at is finished. For O(larrys) only.
      cancel: >-
        Nothing new is claimed, tasks at work are told to stop at their next checkpoint, and the others are skipped.
        It cannot be undone. For O(larrys) only.
  larrys:
    description:
      - Ids of Larrys. Give either O(larrys) or O(things).
    type: list
    elements: str
  things:
    description:
      - Names of things that tasks touch. Give either O(larrys) or O(things).
      - A name that no task touches is accepted and stops nothing.
    type: list
    elements: str
  reason:
    description:
      - Why, for those who ask; it stands in the event and in the answer of M(cortex.larry.task_info).
    type: str
seealso:
  - module: cortex.larry.phase
  - module: cortex.larry.task_info
"""
EXAMPLES = r"""
- name: Pause two Larrys
  cortex.larry.control:
    verb: pause
    larrys: [larry-01, larry-02]
    reason: maintenance of the storage
    redis: embedded

- name: Go on
  cortex.larry.control:
    verb: resume
    larrys: [larry-01, larry-02]
    redis: embedded

- name: Keep everybody away from one database
  cortex.larry.control:
    verb: pause
    things: [postgresql]
    reason: restore from backup, ticket 4711

- name: Let a Larry finish what it is at and claim nothing more
  cortex.larry.control:
    verb: drain
    larrys: [larry-03]
"""
RETURN = r"""
verb:
  description: What was done.
  returned: success
  type: str
  sample: pause
scope:
  description: V(larry) or V(thing).
  returned: success
  type: str
  sample: larry
touched:
  description: >-
    Those whose state was changed, or would be in check mode. Who was in it already, or is cancelled, is not among
    them.
  returned: success
  type: list
  elements: str
  sample: [larry-01, larry-02]
error_class:
  description:
    - Kind of a failure, for conditions in playbooks. C(msg) holds the sentence for people.
    - V(SettingsError) - an option or the way to the server is wrong, nothing was changed.
    - V(ServerUnavailable) - the server does not answer or refused the user.
    - V(NotJoined) - there is no run.
    - V(Refused) - the run knows no such Larry.
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

from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import SettingsError
from ansible_collections.cortex.larry.plugins.module_utils._coordination.phases import PhaseService
from ansible_collections.cortex.larry.plugins.module_utils.module_entry import run_on_target
from ansible_collections.cortex.larry.plugins.module_utils.options import CONNECTION_SPEC, Context

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "verb": {"type": "str", "choices": ["pause", "resume", "drain", "cancel"], "required": True},
    "larrys": {"type": "list", "elements": "str"},
    "things": {"type": "list", "elements": "str"},
    "reason": {"type": "str"},
    **CONNECTION_SPEC,
}


def execute(context: Context) -> dict[str, t.Any]:
    """Pauses, resumes, drains or cancels."""
    wanted = context.parameters
    verb, larrys, things = wanted["verb"], wanted["larrys"] or [], wanted["things"] or []
    if bool(larrys) == bool(things):
        raise SettingsError("Name either larrys or things.")
    if things and verb not in ("pause", "resume"):
        raise SettingsError(f"Things can be paused and resumed; {verb} is for larrys.")
    scope = "larry" if larrys else "thing"
    names = larrys or things
    touched = PhaseService(context.session(member=False, actor="operator")).control(
        verb, scope, names, wanted["reason"], probe=context.check_mode
    )
    return {"changed": bool(touched), "verb": verb, "scope": scope, "touched": touched}


def main() -> None:
    """Entry on a target (run_on: target)."""
    run_on_target(ARGUMENT_SPEC, execute)


if __name__ == "__main__":
    main()
