# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A callback that records what ansible-core hands to callbacks, for the tests beside it; see record.sh."""

from __future__ import annotations

import json
import os

from ansible.plugins.callback import CallbackBase
from ansible.release import __version__

DOCUMENTATION = """
name: recorder
type: notification
short_description: Records task results as callbacks get them
description: Writes them as JSON to the file that RECORDER_FILE names.
"""
_FIELDS = ("host", "task", "result", "task_fields", "_host", "_task", "_result", "_task_fields")
# Of no use to a test, or different on each machine.
_DROPPED = {"invocation", "ansible_facts", "exception", "deprecations", "warnings", "coordination_dir", "estate_path"}


def _field(result, name):
    return getattr(result, name) if hasattr(result, name) else getattr(result, "_" + name)


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "recorder"

    def __init__(self):
        super().__init__()
        self._recorded = []

    def _record(self, event, result):
        task, content = _field(result, "task"), dict(_field(result, "result"))
        self._recorded.append(
            {
                "event": event,
                "host": _field(result, "host").get_name(),
                "action": str(task.action),
                "resolved_action": str(task.resolved_action),
                "name": task.get_name(),
                "has_loop": bool(task.loop),
                "fields": [name for name in _FIELDS if name in dir(result)],
                "result": {name: value for name, value in content.items() if name not in _DROPPED},
            }
        )

    def v2_runner_on_ok(self, result):
        self._record("v2_runner_on_ok", result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._record("v2_runner_on_failed", result)

    def v2_runner_on_unreachable(self, result):
        self._record("v2_runner_on_unreachable", result)

    def v2_runner_on_skipped(self, result):
        self._record("v2_runner_on_skipped", result)

    def v2_runner_item_on_ok(self, result):
        self._record("v2_runner_item_on_ok", result)

    def v2_playbook_on_stats(self, stats):
        with open(os.environ["RECORDER_FILE"], "w", encoding="utf-8") as stream:
            json.dump({"core": __version__, "results": self._recorded}, stream, indent=1, sort_keys=True, default=str)
            stream.write("\n")
