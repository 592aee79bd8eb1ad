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
from ansible_collections.cortex.larry.plugins.module_utils._coordination.runs import RunService
from ansible_collections.cortex.larry.plugins.module_utils.plan_access import plan_of
from ansible_collections.cortex.larry.plugins.module_utils.run_archive import archive_of
from ansible_collections.cortex.larry.plugins.module_utils.version import COLLECTION_VERSION

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "state": {"type": "str", "choices": ["joined", "absent"], "default": "joined"},
    "plan_file": {"type": "path"},
    "run": {"type": "str"},
    "directory": {"type": "path"},
    "force": {"type": "bool", "default": False},
    **CONNECTION_SPEC,
}


def execute(context: Context) -> dict[str, t.Any]:
    """Joins the run of the plan, or deletes the run that is there."""
    wanted = context.parameters
    runs = RunService(context.session(member=True))
    if wanted["state"] == "absent":
        record = runs.look()
        if context.check_mode or not record:
            return {"changed": bool(record), "run": record.get("id")}
        return {"changed": True, "run": runs.delete(wanted["force"])}
    plan = plan_of(context)
    if plan.estate.get("source") == "kubernetes":
        raise SettingsError(
            f"The plan {plan.name} looks after a live Kubernetes cluster (estate.source: kubernetes), and that source is "
            "not there yet in this release; use a GitOps repository as estate (source: gitops)."
        )
    joined = runs.join(
        plan.canonical(),
        plan.digest(COLLECTION_VERSION),
        run=wanted["run"],
        archive=archive_of(context, plan),
        probe=context.check_mode,
    )
    return {
        "changed": joined.how != "member",
        "run": joined.run,
        "how": joined.how,
        "replaced": joined.replaced,
        "server": runs.session.settings.shown,
    }


def main() -> None:
    """Entry on a target (run_on: target)."""
    run_on_target(ARGUMENT_SPEC, execute)


if __name__ == "__main__":
    main()
