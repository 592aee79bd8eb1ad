# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The remote path of the coordination modules: the same `execute`, inside an AnsibleModule on the target."""

from __future__ import annotations

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ._coordination.errors import CoordinationError
from ._coordination.identity import Controller
from .options import Context, failure_of, secrets_of, with_sources


def run_on_target(
    argument_spec: dict[str, t.Any],
    execute: t.Callable[[Context], dict[str, t.Any]],
    rules: dict[str, t.Any] | None = None,
) -> None:
    """Runs `execute` as an ordinary module. There is no keeper here: a lease ends with its TTL."""
    module = AnsibleModule(argument_spec=argument_spec, supports_check_mode=True, **(rules or {}))
    parameters = with_sources(module.params)
    module.no_log_values.update(secrets_of(parameters))
    caller = dict(parameters.get("caller") or {})
    host = str(caller.pop("host", os.uname().nodename))
    context = Context(
        parameters=parameters,
        controller=Controller(**caller) if caller else Controller.of_process(os.getppid()),
        host=host,
        check_mode=module.check_mode,
        keep=False,
    )
    try:
        result = execute(context)
    except CoordinationError as error:
        result = failure_of(error)
    if result.pop("failed", False):
        module.fail_json(**result)
    module.exit_json(**result)
