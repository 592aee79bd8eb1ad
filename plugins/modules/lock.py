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
from ansible_collections.cortex.larry.plugins.module_utils._coordination.locks import LockService, holders_sentence
from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import Busy, Refused

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["held", "released"], "default": "held"},
    "wait": {"type": "float", "default": 0.0},
    "ttl": {"type": "int", "default": 15},
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
        reply = locks.release(name, slots=slots, force=wanted["force"], reason=wanted["reason"], probe=context.check_mode)
        released = reply["released"]
        if not released and reply["holders"] and wanted["force"]:
            raise Refused(f"The lock {name} could not be taken from {holders_sentence(reply['holders'])}.", **reply)
        return {"changed": bool(released), "name": name, "released": released, "holders": reply["holders"]}
    if context.check_mode:
        view = locks.look(name)
        if not locks.would_acquire(name, slots) and wanted["wait"] <= 0:
            raise Busy(f"The lock {name} is held by {holders_sentence(view['holders'])}.", **view)
        return {"changed": view.get("mine") is None, "name": name, "fence": None, "holders": view["holders"]}
    held = locks.acquire(
        name,
        wait_s=wanted["wait"],
        ttl_ms=wanted["ttl"] * 1000,
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
