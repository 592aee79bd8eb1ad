#!/usr/bin/python
# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: estate
short_description: Make the working copy of a plan's estate
version_added: 0.1.0
description:
  - Copies the estate that a plan names to C(work/estate) below the coordination directory, so that nothing is changed
    where it came from. Where the program C(git) is there, the copy becomes a git repository of its own, with one
    commit; the history of the source is not taken over.
  - If the copy was made from the same files, it stays as it is, with all that was changed in it since. If the source
    is another one by now, the copy is replaced.
  - One controller does it at a time. The others wait up to two minutes and then find it done.
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
    support: full
options:
  state:
    description:
      - V(prepared) means that the working copy is there.
    type: str
    default: prepared
    choices: [prepared]
notes:
  - The controller must have joined the run with M(cortex.larry.run), except in check mode; otherwise the reason is
    C(NotJoined).
seealso:
  - module: cortex.larry.run
  - module: cortex.larry.catalog_deployments
"""
EXAMPLES = r"""
- name: Join the run
  cortex.larry.run:

- name: Make the working copy of the estate
  cortex.larry.estate:
  register: estate

- name: Say where it is
  ansible.builtin.debug:
    var: estate.path
"""
RETURN = r"""
path:
  description: Absolute path of the working copy; null if the estate of the plan has no files.
  returned: success
  type: str
  sample: /srv/larry/coordination/work/estate
digest:
  description: SHA-256 over the files of the source; null if there are none.
  returned: success
  type: str
  sample: 5f1d7a3c9b2e4f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8
git:
  description: Whether the working copy is a git repository.
  returned: success
  type: bool
error_class:
  description:
    - Kind of a failure, for conditions in playbooks. C(msg) holds the sentence for people.
    - V(SettingsError) - an option or the way to the server is wrong, nothing was changed.
    - V(ServerUnavailable) - the server does not answer or refused the user.
    - V(NotJoined) - there is no run, or this controller has not joined it.
    - V(Busy) - another controller has been making the working copy for two minutes.
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
import subprocess
import typing as t

from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import SettingsError
from ansible_collections.cortex.larry.plugins.module_utils._coordination.locks import LockService
from ansible_collections.cortex.larry.plugins.module_utils._estate.working_copy import prepare_working_copy
from ansible_collections.cortex.larry.plugins.module_utils.module_entry import run_on_target
from ansible_collections.cortex.larry.plugins.module_utils.options import CONNECTION_SPEC, Context
from ansible_collections.cortex.larry.plugins.module_utils.plan_access import estate_directory, plan_of

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "state": {"type": "str", "choices": ["prepared"], "default": "prepared"},
    "plan_file": {"type": "path"},
    "directory": {"type": "path"},
    **CONNECTION_SPEC,
}


def execute(context: Context) -> dict[str, t.Any]:
    """Makes the working copy of the plan's estate, one controller at a time."""
    plan = plan_of(context)
    target = estate_directory(context, plan)
    if target is None:
        return {"changed": False, "path": None, "digest": None, "git": False}
    if not os.path.isdir(str(plan.estate_path)):
        raise SettingsError(f"The estate of the plan {plan.name} is not there: {plan.estate_path} is no directory.")
    try:
        if context.check_mode:
            return prepare_working_copy(str(plan.estate_path), target, probe=True)
        locks = LockService(context.session(member=True))
        locks.acquire("larry-estate", wait_s=120.0, reason="preparing the working copy of the estate")
        try:
            return prepare_working_copy(str(plan.estate_path), target)
        finally:
            locks.release("larry-estate")
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()
        raise SettingsError(f"git could not make the working copy {target} of the estate: {said}.") from error
    except OSError as error:
        raise SettingsError(f"The working copy {target} of the estate cannot be made: {error}.") from error


def main() -> None:
    """Entry on a target (run_on: target)."""
    run_on_target(ARGUMENT_SPEC, execute)


if __name__ == "__main__":
    main()
