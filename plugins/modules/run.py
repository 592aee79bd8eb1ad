#!/usr/bin/python
# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: run
short_description: Join the run of a plan, recover it, or delete it
version_added: 0.1.0
description:
  - Validates a plan and makes this controller a member of its run. The run is created if there is none under
    O(prefix), joined if one of the same plan is there, and resumed if nobody leads it any more.
  - The plan is the same if its digest is the same, which covers the whole validated plan and the version of this
    collection, but not the connection, paths and secrets.
  - A run that is finished is archived into C(archive) below O(directory), its keys are deleted by name, and a new one
    takes its place.
  - A run of another plan that is not finished is left alone. The task fails and says which run that is and who leads
    it.
  - Every other module that acts within a run needs this first, once for each process of C(ansible-playbook).
  - With each call a controller says how far in the log of the run it has seen. A server that is behind that has lost a
    part of the history; nothing is changed then, and every call fails with the error class C(HistoryLost), until
    O(state=recovered) opens a new epoch.
  - If the plan says C(run.fallback=embedded), which needs C(controllers=1), and the server does not answer when the run
    is to be joined for the first time, this controller uses the embedded server instead, for everything, until it ends.
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
      - The plan and the server are checked, and the answer says whether the run would be created or joined.
  diff_mode:
    support: none
  idempotent:
    support: full
    details:
      - A controller that is a member already stays one. When its run was finished in between, a new one is created.
options:
  state:
    description:
      - What becomes of the run.
    type: str
    default: joined
    choices:
      joined: This controller is a member of the run.
      recovered: >-
        The run goes on although the server has lost a part of its history. Settled tasks stay as the server has them
        now, every lease is void, and all controllers have to join again. Where nothing is left of the run it is created
        anew under its name. Nothing happens where the server has all that this machine knows of. It does not join.
      absent: >-
        The keys of the run under O(prefix), whatever its plan, are deleted by name. It cannot be undone. Nothing is
        archived; use the playbook C(cortex.larry.archive) first.
  plan_file:
    description:
      - Path of the plan on the controller, for O(state=joined) and O(state=recovered).
      - The default is the plan that the inventory comes from, the variable C(larry_plan_file).
    type: path
  run:
    description:
      - Id of the run. A run with this id is joined or created, and no other, for O(state=joined).
      - For O(state=recovered) the id of the run that is created where nothing is left and this machine knows no id.
    type: str
  directory:
    description:
      - The coordination directory, in which a finished run is archived, for O(state=joined).
      - The default is the one that the plan names, below the current directory.
    type: path
  retry:
    description:
      - Opens the failed tasks of a run that is not finished, and what they blocked, once more.
    type: bool
    default: false
  force:
    description:
      - With O(state=absent) delete the run even while a controller leads it. Its controllers then fail with the
        error class C(NotJoined), those on other machines with C(HistoryLost), since they cannot tell it from a loss.
      - With O(state=recovered) open a new epoch even where nothing is known to be lost.
    type: bool
    default: false
notes:
  - The server must not evict keys. A run is created only where C(maxmemory-policy) is C(noeviction), or cannot be
    asked for.
seealso:
  - module: cortex.larry.run_info
  - module: cortex.larry.phase
  - module: cortex.larry.worker
"""
EXAMPLES = r"""
# With a plan as inventory (ansible-playbook -i my.larry.yml) there is nothing to name.
- name: Join the run
  cortex.larry.run:
    state: joined
  register: joined

- name: Say how
  ansible.builtin.debug:
    msg: "{{ joined.how }} {{ joined.run }} on {{ joined.server }}"

- name: Join the run of a plan that is not the inventory
  cortex.larry.run:
    plan_file: /srv/plans/three-larrys.larry.yml
    redis: redis://redis.example.com:6379
    prefix: "three-larrys:"

- name: Go on after the server lost a part of the history
  cortex.larry.run:
    state: recovered
    redis: redis://redis.example.com:6379
    prefix: "three-larrys:"

- name: Delete the run that is there, unless somebody leads it
  cortex.larry.run:
    state: absent
    redis: redis://redis.example.com:6379
    prefix: "three-larrys:"
"""
RETURN = r"""
run:
  description:
    - Id of the run. In check mode it is empty if the run would be created without O(run).
    - With O(state=absent) the id of the run that was deleted; null if there was none.
  returned: success
  type: str
  sample: 20261121T074001Z-3f9a1c
reopened:
  description: Ids of the tasks that were opened once more (O(retry=true)).
  returned: O(state=joined)
  type: list
  elements: str
  sample: []
how:
  description:
    - V(created) - there was none, or a finished one.
    - V(joined) - others are at it.
    - V(resumed) - nobody led it any more.
    - V(member) - this controller had joined it before.
  returned: success and O(state=joined)
  type: str
  sample: created
replaced:
  description: Id of the finished run that was archived and whose place this one took; null if there was none.
  returned: success and O(state=joined)
  type: str
  sample: 20261120T181500Z-77b0e2
fallback:
  description: >-
    The server, without user and password, that did not answer at the start, so that the embedded one is used. Null if
    there was no need.
  returned: success and O(state=joined)
  type: str
  sample: redis://redis.example.com:6379
epoch:
  description: The epoch of the run now.
  returned: success and O(state=recovered)
  type: int
  sample: 2
old_epoch:
  description: The epoch before.
  returned: success and O(state=recovered)
  type: int
  sample: 1
sequence:
  description: The last entry of the log that the server had; V(0) if nothing was left.
  returned: success and O(state=recovered)
  type: int
  sample: 57
seen:
  description: The last entry that a controller of this machine had seen; null if none is known.
  returned: success and O(state=recovered)
  type: int
  sample: 61
voided:
  description: How many leases are void.
  returned: success and O(state=recovered)
  type: int
  sample: 4
server:
  description: The server, without user and password.
  returned: success and O(state=joined)
  type: str
  sample: redis://redis.example.com:6379
error_class:
  description:
    - Kind of a failure, for conditions in playbooks. C(msg) holds the sentence for people.
    - V(SettingsError) - an option or the way to the server is wrong, nothing was changed.
    - V(ServerUnavailable) - the server does not answer or refused the user.
    - V(RunConflict) - another plan's run is there and not finished, it has another id than O(run), or another
      controller has been creating it for too long.
    - V(HistoryLost) - the server has lost a part of the history that this machine has seen.
    - V(Refused) - with O(state=absent), a controller leads the run; with O(state=recovered), the clock of the server is
      behind that of the lost history.
  returned: failure
  type: str
  sample: RunConflict
facts:
  description:
    - Details behind a failure, as the server gave them. Which there are depends on RV(error_class).
  returned: failure
  type: dict
"""

import dataclasses
import typing as t

from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import ServerUnavailable, SettingsError
from ansible_collections.cortex.larry.plugins.module_utils._coordination.fallback import (
    EMBEDDED,
    STAY,
    decide,
    decided,
    on_embedded,
)
from ansible_collections.cortex.larry.plugins.module_utils._coordination.history import known_of
from ansible_collections.cortex.larry.plugins.module_utils._coordination.runs import RunService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.session import Session, is_away
from ansible_collections.cortex.larry.plugins.module_utils._coordination.settings import Settings
from ansible_collections.cortex.larry.plugins.module_utils._plan import Plan
from ansible_collections.cortex.larry.plugins.module_utils.module_entry import run_on_target
from ansible_collections.cortex.larry.plugins.module_utils.options import CONNECTION_SPEC, Context, settings_of
from ansible_collections.cortex.larry.plugins.module_utils.plan_access import plan_of
from ansible_collections.cortex.larry.plugins.module_utils.run_archive import archive_of
from ansible_collections.cortex.larry.plugins.module_utils.version import COLLECTION_VERSION

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "state": {"type": "str", "choices": ["joined", "recovered", "absent"], "default": "joined"},
    "plan_file": {"type": "path"},
    "run": {"type": "str"},
    "directory": {"type": "path"},
    "force": {"type": "bool", "default": False},
    "retry": {"type": "bool", "default": False},
    **CONNECTION_SPEC,
}


def place_for(context: Context, plan: Plan) -> tuple[Settings, Settings | None]:
    """The server to join on, and the one that it stands in for: decided once for each controller (law 10)."""
    named = settings_of(context.parameters)
    if plan.fallback != EMBEDDED or not context.keep or named.server == EMBEDDED:
        return named, None
    if decided(named, context.controller) is None:
        probe = Session(named, context.controller, context.host)
        try:
            probe.patiently(probe.ping)
            wanted = STAY
        except ServerUnavailable as error:
            # Not where the server refuses us, and not away from a run that this machine knows is there, unfinished.
            if not is_away(error.__cause__ or error) or known_of(named) is not None:
                raise
            wanted = EMBEDDED
        decide(named, context.controller, wanted)
    if decided(named, context.controller) == EMBEDDED:
        return on_embedded(named), named
    return named, None


def execute(context: Context) -> dict[str, t.Any]:
    """Joins the run of the plan, recovers it, or deletes the run that is there."""
    wanted = context.parameters
    runs = RunService(context.session(member=True))
    if wanted["state"] == "absent":
        record = runs.look()
        if context.check_mode:
            return {"changed": bool(record), "run": record.get("id")}
        return {"changed": bool(record), "run": runs.delete(wanted["force"])}
    plan = plan_of(context)
    if plan.estate.get("source") == "kubernetes":
        raise SettingsError(
            f"The plan {plan.name} looks after a live Kubernetes cluster (estate.source: kubernetes), and that source "
            "is not there yet in this release; use a GitOps repository as estate (source: gitops)."
        )
    if wanted["state"] == "recovered":
        recovered = runs.recover(
            plan.canonical(),
            plan.digest(COLLECTION_VERSION),
            run=wanted["run"],
            force=wanted["force"],
            archive=archive_of(context, plan),
            probe=context.check_mode,
        )
        return dataclasses.asdict(recovered)
    settings, given_up = place_for(context, plan)
    runs.session.settings = settings
    joined = runs.join(
        plan.canonical(),
        plan.digest(COLLECTION_VERSION),
        run=wanted["run"],
        archive=archive_of(context, plan),
        probe=context.check_mode,
        fallback=given_up.shown if given_up else None,
    )
    reopened = []
    if wanted["retry"] and not context.check_mode and joined.how in ("joined", "resumed"):
        reopened = runs.reopen(plan.canonical())
    result = {
        "changed": joined.how != "member" or bool(reopened),
        "reopened": reopened,
        "run": joined.run,
        "how": joined.how,
        "replaced": joined.replaced,
        "server": settings.shown,
        "fallback": given_up.shown if given_up else None,
    }
    if given_up is not None:
        result["warnings"] = [
            f"The coordination server {given_up.shown} does not answer; this controller uses the embedded server of "
            "this machine instead, as the plan allows (run.fallback: embedded)."
        ]
    return result


def main() -> None:
    """Entry on a target (run_on: target)."""
    run_on_target(ARGUMENT_SPEC, execute)


if __name__ == "__main__":
    main()
