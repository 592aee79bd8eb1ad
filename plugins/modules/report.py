#!/usr/bin/python
# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: report
short_description: Validate and publish the report of a run
version_added: 0.1.0
description:
  - Validates what another Larry reported, publishes the report of a run, or makes a report again from its files.
  - A report is a final file for each Larry (C(LARRY-final.json)) and the summary made from them, as Markdown and as
    HTML, all in C(reports) below O(directory), with the plan as a document in C(execution-plans) beside it.
  - A final file is complete in itself. O(state=regenerated) needs such files and nothing else, no server and no run.
author:
  - The cortex.larry contributors (@cortex-larry)
extends_documentation_fragment:
  - cortex.larry.connection
  - cortex.larry.plan
  - cortex.larry.attributes
  - cortex.larry.attributes.coordination
attributes:
  check_mode:
    support: full
    details:
      - Neither the server nor the files are read; the answer is what would be done.
  diff_mode:
    support: none
  idempotent:
    support: partial
    details:
      - A run that is finished is not published again, and a summary that is the same is reported as unchanged.
      - O(state=validated) and O(state=written) do their work each time.
options:
  state:
    description:
      - What to do.
    type: str
    required: true
    choices:
      validated: >-
        O(larry) checks the next Larry of the plan (the last one checks the first) by other routes than that one used,
        replays the log and compares it with the keys, and compares the digests of the evidence. The result is logged
        as the event C(cross_validated) and becomes part of the report.
      published: >-
        Write the report and finish the run. One controller does it; the others wait for it up to O(wait) seconds, see
        RV(published).
      written: >-
        Write the report of what there is and leave the run as it is, to be resumed, for example when its barrier
        failed.
      regenerated: Write the summary to O(output) from O(files) alone.
  larry:
    description:
      - Id of the Larry that validates or publishes. Required unless O(state=regenerated).
    type: str
  wait:
    description:
      - Seconds to wait while another controller publishes. It occupies one fork of Ansible. If there are fewer forks
        than hosts that can wait, keep it at two seconds or below and ask again.
    type: float
    default: 0.0
  files:
    description:
      - Final files of one run, of any number of its Larrys. Required for O(state=regenerated).
    type: list
    elements: path
  output:
    description:
      - Path of the summary in Markdown; the HTML is written beside it. Required for O(state=regenerated).
    type: path
notes:
  - Unless O(state=regenerated), the controller must have joined the run with M(cortex.larry.run); otherwise the
    reason is C(NotJoined).
seealso:
  - module: cortex.larry.run
  - module: cortex.larry.barrier
"""
EXAMPLES = r"""
- name: Validate the next Larry
  cortex.larry.report:
    state: validated
    larry: "{{ larry_id }}"

- name: Publish the report, or wait for whoever does
  cortex.larry.report:
    state: published
    larry: "{{ larry_id }}"
    wait: 2
  register: report
  until: report is failed or report.published
  retries: 300
  delay: 0

- name: Make the summary again from the final files of a run
  cortex.larry.report:
    state: regenerated
    files:
      - coordination/reports/larry-01-final.json
      - coordination/reports/larry-02-final.json
    output: coordination/reports/SUMMARY.md
"""
RETURN = r"""
larry:
  description: The Larry that validated.
  returned: success and O(state=validated)
  type: str
  sample: larry-01
of:
  description: The Larry that was validated.
  returned: success and O(state=validated)
  type: str
  sample: larry-02
rows:
  description: What was checked; empty in check mode.
  returned: success and O(state=validated)
  type: list
  elements: dict
  contains:
    title:
      description: What was checked.
      type: str
    state:
      description: V(met), V(unmet) or V(not measured).
      type: str
    detail:
      description: By what, or what is wrong.
      type: str
  sample:
    - title: The log of larry-02 tells the same as its status keys
      state: met
      detail: 4 tasks replayed from the log, all the same
published:
  description: Whether the report is there. If not, another controller is still writing it.
  returned: success and O(state=published) or O(state=written)
  type: bool
report:
  description: Path of the summary in Markdown; null if another controller wrote it, or in check mode.
  returned: success, when RV(published=true), or O(state=regenerated)
  type: str
  sample: coordination/reports/3-LARRY-EXECUTION-SUMMARY.md
html:
  description: Path of the summary in HTML.
  returned: success, if this task wrote it
  type: str
  sample: coordination/reports/3-LARRY-EXECUTION-SUMMARY.html
finals:
  description: Paths of the final files, one for each Larry.
  returned: success and O(state=published) or O(state=written), if this task wrote them
  type: list
  elements: str
  sample: [coordination/reports/larry-01-final.json]
directory:
  description: The coordination directory in which another controller wrote the report.
  returned: success and O(state=published) or O(state=written), if another controller wrote it
  type: str
  sample: /srv/larry/coordination
criteria:
  description: The success criteria.
  returned: success and O(state=published) or O(state=written), if this task wrote the report
  type: list
  elements: dict
  contains:
    id:
      description: Id of the criterion in the plan.
      type: str
    title:
      description: What is asked for.
      type: str
    scope:
      description: V(system), or the id of a Larry.
      type: str
    state:
      description: V(met), V(unmet) or V(not measured).
      type: str
    value:
      description: What was measured; null if nothing was.
      type: raw
    reason:
      description: Why it is not met or not measured.
      type: str
unmet:
  description: Ids of the criteria that were measured and not met.
  returned: success, if this task wrote the report, or in check mode
  type: list
  elements: str
  sample: []
failed_tasks:
  description: Ids of the tasks that failed for good.
  returned: success and O(state=published) or O(state=written)
  type: list
  elements: str
  sample: []
log_head:
  description: SHA-256 over the log of the run, each entry chained to the one before.
  returned: success and O(state=published) or O(state=written), if this task wrote the report
  type: str
  sample: 0d7f6a5d1c3b2a4958677685948392a1b0c9d8e7f6a5b4c3d2e1f00112233445
ansible_facts:
  description: >-
    What this task returned, as a fact. A task that is skipped later overwrites what it registers, but not a fact.
  returned: success and O(state=published) or O(state=written)
  type: dict
  contains:
    larry_report:
      description: All of the above.
      type: dict
error_class:
  description:
    - Kind of a failure, for conditions in playbooks. C(msg) holds the sentence for people.
    - V(SettingsError) - an option or the way to the server is wrong, nothing was changed.
    - V(ServerUnavailable) - the server does not answer or refused the user.
    - V(NotJoined) - there is no run, or this controller has not joined it.
    - V(Busy) - with O(state=written), another controller has been writing the report for 30 seconds.
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

from ansible_collections.cortex.larry.plugins.module_utils.module_entry import run_on_target
from ansible_collections.cortex.larry.plugins.module_utils.options import CONNECTION_SPEC, Context, with_fact
from ansible_collections.cortex.larry.plugins.module_utils.publishing import (
    publish_turn,
    regenerate,
    validate_neighbour,
)

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "state": {"type": "str", "choices": ["validated", "published", "written", "regenerated"], "required": True},
    "larry": {"type": "str"},
    "plan_file": {"type": "path"},
    "directory": {"type": "path"},
    "wait": {"type": "float", "default": 0.0},
    "files": {"type": "list", "elements": "path"},
    "output": {"type": "path"},
    **CONNECTION_SPEC,
}


def execute(context: Context) -> dict[str, t.Any]:
    """Validates a neighbour, publishes the report of the run, or makes it again from files."""
    state = context.parameters["state"]
    if state == "regenerated":
        files, output = context.required("files", "output")
        return regenerate(files, output, context.check_mode)
    (larry,) = context.required("larry")
    if state == "validated":
        return validate_neighbour(context, larry)
    return with_fact("larry_report", publish_turn(context, larry, finish=state == "published"))


def main() -> None:
    """Entry on a target (run_on: target)."""
    run_on_target(ARGUMENT_SPEC, execute)


if __name__ == "__main__":
    main()
