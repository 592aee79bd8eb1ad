#!/usr/bin/python
# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: archive
short_description: Archive a run with its reports, evidence and event log
version_added: 0.1.0
description:
  - Writes the run under O(prefix) into one file, C(archive/RUN.tar.gz) below the coordination directory, with the
    whole event log (C(events.jsonl)), the state (C(state.json)), the plan, and the directories C(reports),
    C(execution-plans) and C(evidence) as far as they are there.
  - The run itself stays as it is. An archive of the same run that is there already is replaced, whole or not at all.
  - M(cortex.larry.run) does this by itself before a new run takes the place of a finished one.
author:
  - The cortex.larry contributors (@cortex-larry)
extends_documentation_fragment:
  - cortex.larry.connection
  - cortex.larry.plan
  - cortex.larry.attributes
  - cortex.larry.attributes.coordination
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: none
    details:
      - The archive is written each time, since the log may have grown.
notes:
  - The controller need not have joined the run.
seealso:
  - module: cortex.larry.run
  - module: cortex.larry.report
"""
EXAMPLES = r"""
- name: Archive the run of the plan that the inventory comes from
  cortex.larry.archive:
  run_once: true
  register: archived

- name: Say where it is
  ansible.builtin.debug:
    var: archived.path

- name: Archive the run of another plan
  cortex.larry.archive:
    plan_file: /srv/plans/three-larrys.larry.yml
    directory: /srv/larry/coordination
    redis: redis://redis.example.com:6379
"""
RETURN = r"""
path:
  description: Absolute path of the archive. Null in check mode if there is no run.
  returned: success
  type: str
  sample: /srv/larry/coordination/archive/20261121T074001Z-3f9a1c.tar.gz
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

import os
import typing as t

from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import SettingsError
from ansible_collections.cortex.larry.plugins.module_utils._coordination.runs import RunService
from ansible_collections.cortex.larry.plugins.module_utils.module_entry import run_on_target
from ansible_collections.cortex.larry.plugins.module_utils.options import CONNECTION_SPEC, Context
from ansible_collections.cortex.larry.plugins.module_utils.plan_access import coordination_directory, plan_of
from ansible_collections.cortex.larry.plugins.module_utils.run_archive import write_archive

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "plan_file": {"type": "path"},
    "directory": {"type": "path"},
    **CONNECTION_SPEC,
}


def execute(context: Context) -> dict[str, t.Any]:
    """Writes the archive of the run that is there."""
    plan = plan_of(context)
    directory = coordination_directory(context, plan)
    session = context.session(member=True)
    if context.check_mode:
        run = RunService(session).look().get("id")
        return {
            "changed": run is not None,
            "path": os.path.join(directory, "archive", f"{run}.tar.gz") if run else None,
        }
    try:
        return {"changed": True, "path": write_archive(session, plan, directory)}
    except OSError as error:
        raise SettingsError(f"The archive below {directory} cannot be written: {error.strerror}.") from error


def main() -> None:
    """Entry on a target (run_on: target)."""
    run_on_target(ARGUMENT_SPEC, execute)


if __name__ == "__main__":
    main()
