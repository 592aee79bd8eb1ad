#!/usr/bin/python
# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: event
short_description: Publish an event that others can read later as well
version_added: 0.1.0
description:
  - Writes an event to a log on a Redis or Valkey server and publishes it on a channel, both in one step. Subscribers
    of the channel get it at once; whoever comes later reads it from the log with M(cortex.larry.event_info).
  - An event has a name, data of your own, and the fields C(id) (a number without gaps, as a string), C(from) (the
    inventory host), C(timestamp) (ISO 8601, UTC, the server's time) and C(run) (the run's id, or empty).
  - Nothing has to be set up for it, and no plan or run is needed.
author:
  - The cortex.larry contributors (@cortex-larry)
extends_documentation_fragment:
  - cortex.larry.connection
  - cortex.larry.attributes
  - cortex.larry.attributes.coordination
attributes:
  check_mode:
    support: full
    details:
      - There is no id in check mode.
  diff_mode:
    support: none
  idempotent:
    support: none
    details:
      - Each task publishes an event. A task whose answer was lost on the way is repeated without a second event.
options:
  event:
    description:
      - Name of the event, a small letter and then small letters, digits and underscores, at most 64 characters.
    type: str
    required: true
  data:
    description:
      - What the event says, as JSON, at most 64 KiB. Put more into a file and name the file.
      - C(id), C(event), C(timestamp), C(run) and C(from) are set by the module; data under these names is left out.
      - Do not put secrets here. Everybody who can read the server can read events.
    type: dict
  alert:
    description:
      - Publish the event on the channel C(larry:alerts) instead of C(larry:coordination).
      - The events C(critical_cve), C(rollback_initiated), C(task_conflict), C(tokens_reserve_deployed) and
        C(worker_failure) go there in any case.
    type: bool
    default: false
  within_run:
    description:
      - Write to the log of the run that this controller has joined, which its report takes up. That log is complete
        and kept until the run is cleaned up.
      - Without it the event goes to the log of those outside a run, which keeps the last 10,000 events or so.
      - While the server is away such an event goes to the journal of this controller, which is delivered once when the
        server is back; see RV(journaled).
      - Fails with the error class C(NotJoined) where the controller has not joined a run.
    type: bool
    default: false
seealso:
  - module: cortex.larry.event_info
"""
EXAMPLES = r"""
- name: Say that the release is out
  cortex.larry.event:
    redis: redis://redis.example.com:6379
    event: release_published
    data:
      application: shop
      version: "{{ shop_version }}"

- name: Raise an alert in the log of the run
  cortex.larry.event:
    event: critical_cve
    within_run: true
    alert: true
    data:
      severity: critical
      data:
        cve_id: CVE-2021-44228
        cvss: 10.0
        affected_service: search
        namespace: shop
        recommendation: Update log4j-core to 2.17.1 or newer.
"""
RETURN = r"""
event:
  description: Name of the event.
  returned: success
  type: str
  sample: release_published
id:
  description: >-
    The event's id, a decimal number that grows by one with each event of its log. Null in check mode, and of an event
    in the journal.
  returned: success
  type: str
  sample: "42"
channel:
  description: The channel that was asked for, without O(prefix).
  returned: success
  type: str
  sample: larry:coordination
timestamp:
  description: >-
    When it was published, ISO 8601 in UTC with microseconds; of an event in the journal the time of this machine.
  returned: success, not in check mode
  type: str
  sample: "2026-11-21T08:23:09.392939Z"
journaled:
  description: >-
    The server is away, and the event is in the journal. Once delivered it also has the field C(journaled_at), the time
    of this machine at which it was written, and C(journaled_run) if the run was another one.
  returned: success, not in check mode
  type: bool
error_class:
  description:
    - Kind of a failure, for conditions in playbooks. C(msg) holds the sentence for people.
    - V(SettingsError) - an option or the way to the server is wrong, nothing was changed.
    - V(ServerUnavailable) - the server does not answer or refused the user.
    - V(NotJoined) - with O(within_run) only, this controller has not joined a run.
  returned: failure
  type: str
  sample: NotJoined
facts:
  description:
    - Details behind a failure, as the server gave them. Which there are depends on RV(error_class).
  returned: failure
  type: dict
"""

import typing as t

from ansible_collections.cortex.larry.plugins.module_utils._coordination.events import EventService
from ansible_collections.cortex.larry.plugins.module_utils.module_entry import run_on_target
from ansible_collections.cortex.larry.plugins.module_utils.options import CONNECTION_SPEC, Context

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "event": {"type": "str", "required": True},
    "data": {"type": "dict"},
    "alert": {"type": "bool", "default": False},
    "within_run": {"type": "bool", "default": False},
    **CONNECTION_SPEC,
}


def execute(context: Context) -> dict[str, t.Any]:
    """Writes the event to the log and publishes it."""
    wanted = context.parameters
    channel = "larry:alerts" if wanted["alert"] else "larry:coordination"
    if context.check_mode:
        return {"changed": True, "event": wanted["event"], "channel": channel, "id": None}
    session = context.session()
    if wanted["within_run"]:
        # What is told need not wait for a server that is away: there is the journal.
        session = session.hasty()
    reply = EventService(session).publish(
        wanted["event"], wanted["data"], alert=wanted["alert"], journal=wanted["within_run"]
    )
    return {
        "changed": True,
        "event": wanted["event"],
        "channel": reply["channel"],
        "id": reply["id"],
        "timestamp": reply["timestamp"],
        "journaled": reply["status"] == "journaled",
    }


def main() -> None:
    """Entry on a target (run_on: target)."""
    run_on_target(ARGUMENT_SPEC, execute)


if __name__ == "__main__":
    main()
