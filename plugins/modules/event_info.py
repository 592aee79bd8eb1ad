#!/usr/bin/python
# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: event_info
short_description: Read events, or wait for one
version_added: 0.1.0
description:
  - Reads the log of events on a Redis or Valkey server from a given place on, and can wait for the next event that
    fits. Since the log is kept, a reader that comes late or was cut off misses nothing.
  - It reads what M(cortex.larry.event) and the other modules of this collection write.
author:
  - The cortex.larry contributors (@cortex-larry)
extends_documentation_fragment:
  - cortex.larry.connection
  - cortex.larry.attributes
  - cortex.larry.attributes.coordination
  - cortex.larry.attributes.info
options:
  since:
    description:
      - Id of the last event that is known already; those after it are read. RV(last) of the reading before is made
        for it.
      - V(0) reads from the beginning of what is kept.
    type: str
    default: "0"
  count:
    description:
      - How many events are read at most, before O(names) is applied.
    type: int
    default: 1000
  names:
    description:
      - Return only events of these names. By default all.
    type: list
    elements: str
    default: []
  wait:
    description:
      - If no event fits, wait for the first one that does, and return it alone. The wait is over when no event at
        all, of whatever name, came for so many seconds. It is no failure; RV(events) is empty then.
      - With V(0) nothing is waited for.
    type: float
    default: 0.0
  within_run:
    description:
      - Read the log of the run under O(prefix). The controller need not have joined it.
      - Without it the log of those outside a run is read, which keeps the last 10,000 events or so.
    type: bool
    default: false
notes:
  - Events are data from others. Strings in them come from whoever published them; do not use them in templates that
    evaluate them.
seealso:
  - module: cortex.larry.event
"""
EXAMPLES = r"""
- name: Wait until somebody has published a release, or nothing happens for ten minutes
  cortex.larry.event_info:
    redis: redis://redis.example.com:6379
    names: [release_published]
    wait: 600
  register: news

- name: Remember where to go on
  ansible.builtin.set_fact:
    last_event: "{{ news.last }}"

- name: Read what came after it
  cortex.larry.event_info:
    redis: redis://redis.example.com:6379
    since: "{{ last_event }}"
  register: news

- name: List failures of the run
  cortex.larry.event_info:
    within_run: true
    count: 100000
    names: [task_failed, worker_failure, phase_failed]
  register: failures
"""
RETURN = r"""
events:
  description: The events, the oldest first, each with the fields of its kind beside those below.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: A decimal number that grows by one with each event of its log.
      type: str
    event:
      description: Name of the event.
      type: str
    from:
      description: Who published it, such as an inventory host, a worker or a Larry.
      type: str
    timestamp:
      description: When, ISO 8601 in UTC with microseconds.
      type: str
    run:
      description: Id of the run; empty outside a run.
      type: str
  sample:
    - id: "42"
      event: release_published
      from: localhost
      timestamp: "2026-11-21T08:23:09.392939Z"
      run: ""
      application: shop
      version: 1.4.2
last:
  description: Id of the last event that was read, whether it fits or not; O(since) if there was none.
  returned: success
  type: str
  sample: "42"
error_class:
  description:
    - Kind of a failure, for conditions in playbooks. C(msg) holds the sentence for people.
    - V(SettingsError) - an option or the way to the server is wrong, nothing was changed.
    - V(ServerUnavailable) - the server does not answer or refused the user.
  returned: failure
  type: str
  sample: ServerUnavailable
facts:
  description:
    - Details behind a failure, as the server gave them. Which there are depends on RV(error_class).
  returned: failure
  type: dict
"""

import time
import typing as t

from ansible_collections.cortex.larry.plugins.module_utils._coordination.events import EventService
from ansible_collections.cortex.larry.plugins.module_utils.module_entry import run_on_target
from ansible_collections.cortex.larry.plugins.module_utils.options import CONNECTION_SPEC, Context

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
    deadline = time.monotonic() + wanted["wait"]
    while not found and (left := deadline - time.monotonic()) > 0:
        for event in service.follow(last, left):
            last = event["id"]
            if fits(event):
                found.append(event)
            if found or time.monotonic() > deadline:
                break
    return {"changed": False, "events": found, "last": last}


def main() -> None:
    """Entry on a target (run_on: target)."""
    run_on_target(ARGUMENT_SPEC, execute)


if __name__ == "__main__":
    main()
