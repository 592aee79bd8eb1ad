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
from ansible_collections.cortex.larry.plugins.module_utils._coordination.events import EventService

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "since": {"type": "str", "default": "0"},
    "count": {"type": "int", "default": 1000},
    "names": {"type": "list", "elements": "str", "default": []},
    "wait": {"type": "float", "default": 0.0},
    "within_run": {"type": "bool", "default": False},
    **CONNECTION_SPEC,
}


def execute(context: Context) -> dict[str, t.Any]:
    """Reads the log after an id; waits for the first event that fits if there is none yet."""
    wanted = context.parameters
    service = EventService(context.session())

    def fits(event: dict[str, t.Any]) -> bool:
        return not wanted["names"] or event["event"] in wanted["names"]

    read = service.read(wanted["since"], wanted["count"])
    found = [event for event in read if fits(event)]
    last = read[-1]["id"] if read else wanted["since"]
    if not found and wanted["wait"] > 0:
        for event in service.follow(last, wanted["wait"]):
            last = event["id"]
            if fits(event):
                found.append(event)
                break
    return {"changed": False, "events": found, "last": last}


def main() -> None:
    """Entry on a target (run_on: target)."""
    run_on_target(ARGUMENT_SPEC, execute)


if __name__ == "__main__":
    main()
