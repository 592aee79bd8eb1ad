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
from ansible_collections.cortex.larry.plugins.module_utils._coordination.budgets import BudgetService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import SettingsError

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "state": {"type": "str", "choices": ["reserved", "settled"], "required": True},
    "larry": {"type": "str", "required": True},
    "account": {"type": "str"},
    "amount": {"type": "int"},
    "hold": {"type": "str"},
    "spent": {"type": "int"},
    "hold_for": {"type": "float", "default": 300.0},
    **CONNECTION_SPEC,
}


def execute(context: Context) -> dict[str, t.Any]:
    """Holds tokens before a request, or charges what it used."""
    wanted = context.parameters
    budgets = BudgetService(context.session(member=True), wanted["larry"])
    if wanted["state"] == "reserved":
        account, amount = context.required("account", "amount")
        if amount < 1:
            raise SettingsError(f"amount must be at least 1, not {amount}.")
        if context.check_mode:
            return {"changed": True, "hold": None}
        reply = budgets.reserve(account, amount, hold_s=wanted["hold_for"])
        return {"changed": True, "hold": reply["hold"], **{name: reply[name] for name in ("used", "held", "limit", "drawn", "reserve_left")}}
    hold, spent = context.required("hold", "spent")
    if spent < 0:
        raise SettingsError(f"spent must not be negative: {spent}.")
    if context.check_mode:
        return {"changed": True, "hold": hold}
    reply = budgets.settle(hold, spent)
    return {"changed": True, "hold": hold, **{name: reply[name] for name in ("used", "held", "limit", "drawn")}}


def main() -> None:
    """Entry on a target (run_on: target)."""
    run_on_target(ARGUMENT_SPEC, execute)


if __name__ == "__main__":
    main()
