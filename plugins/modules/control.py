#!/usr/bin/python
# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""TODO"""
EXAMPLES = r"""TODO"""
RETURN = r"""TODO"""

import typing as t

from ansible_collections.cortex.larry.plugins.module_utils.module_entry import run_on_target
from ansible_collections.cortex.larry.plugins.module_utils.options import CONNECTION_SPEC, Context
from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import SettingsError
from ansible_collections.cortex.larry.plugins.module_utils._coordination.phases import PhaseService

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
