# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The in-process path of the coordination modules.

A module that is sent through the remote machinery costs about fourteen times a debug task; the same call inside the
controller costs little more than one. So each coordination module has an action plugin of its own name, which runs
the module's `execute` right here, unless the task says `run_on: target`.

The strategies load the action of a task in the parent process before they fork (they ask it about BYPASS_HOST_LOOP),
so what this file imports, the Redis client above all, is inherited by every fork.
"""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible.utils.unsafe_proxy import wrap_var

from ansible_collections.cortex.larry.plugins.module_utils._coordination import connection as _connection  # noqa: F401
from ansible_collections.cortex.larry.plugins.module_utils._coordination import embedded as _embedded  # noqa: F401
from ansible_collections.cortex.larry.plugins.module_utils._coordination import keeper as _keeper  # noqa: F401
from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import CoordinationError
from ansible_collections.cortex.larry.plugins.module_utils._coordination.identity import Controller
from ansible_collections.cortex.larry.plugins.module_utils._coordination.processes import watch_forks
from ansible_collections.cortex.larry.plugins.module_utils.options import Context, failure_of, with_sources

watch_forks()


def controller_of_fork() -> Controller:
    """The controller that this fork belongs to: its parent is the ansible-playbook process."""
    return Controller.of_process(os.getppid())


class CoordinationAction(ActionBase):
    """Runs a coordination module inside the controller."""

    # The module whose `execute` is run. The action imports it at its top, so it is compiled once, in the parent:
    # Ansible's loader keeps no byte code, and each fork would compile it anew.
    module: t.Any = None

    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False
    _supports_diff = True

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        variables = task_vars or {}
        module = self.module
        sent = {str(option): value for option, value in self._task.args.items()}
        checked = ArgumentSpecValidator(module.ARGUMENT_SPEC, **getattr(module, "ARGUMENT_RULES", {})).validate(sent)
        if checked.error_messages:
            raise AnsibleActionFail("; ".join(checked.error_messages))

        controller = controller_of_fork()
        host = str(variables.get("inventory_hostname", "localhost"))

        def variable(option: str) -> t.Any:
            value = variables.get(option)
            return None if value is None else self._templar.template(value)

        if str(sent.get("run_on", "controller")) == "target":
            # The target has neither our variables nor a process that lives as long as the play.
            known = with_sources({**dict.fromkeys(module.ARGUMENT_SPEC), **sent}, variable)
            known["caller"] = {**dataclasses.asdict(controller), "host": host}
            arguments = {
                name: plain(value)
                for name, value in known.items()
                if value is not None and name in module.ARGUMENT_SPEC
            }
            return self._execute_module(module_name=str(self._task.action), module_args=arguments, task_vars=variables)
        context = Context(
            parameters=plain(with_sources(checked.validated_parameters, variable)),
            controller=controller,
            host=host,
            check_mode=bool(self._task.check_mode),
            plan_file=plain(variable("larry_plan_file")),
        )
        try:
            # What comes from the server is hostile: never a template (law 12).
            return wrap_var(module.execute(context))
        except CoordinationError as error:
            return failure_of(error)


def plain(value: t.Any) -> t.Any:
    """`value` in plain types: since ansible-core 2.19 arguments are tagged subclasses of str, int, dict and list."""
    if isinstance(value, dict):
        return {str(name): plain(content) for name, content in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(content) for content in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    return value
