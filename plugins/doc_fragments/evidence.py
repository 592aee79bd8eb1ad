# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the modules that do the work of a task and leave evidence of it."""

from __future__ import annotations


class ModuleDocFragment:
    """Documents module_utils._work.capabilities.COMMON_ARGUMENTS and ESTATE_ARGUMENTS; tests/drift compares both."""

    DOCUMENTATION = r"""
options:
  coordination_dir:
    description:
      - Directory of the run's reports and evidence; created when it is not there.
    type: path
    default: coordination
  task_id:
    description:
      - Id of the task that this work is done for; it names the directory of the evidence.
      - Lower-case letters, digits, dots and hyphens.
    type: str
    required: true
attributes:
  check_mode:
    support: full
    details:
      - It does the whole work and returns its result, but writes no evidence.
  diff_mode:
    support: full
    details:
      - Size and digest of each evidence file before and after are shown.
  idempotent:
    support: full
    details:
      - The same input gives the same bytes, and bytes that are there already are not written again.
  platform:
    description: Systems that the module can run on.
    support: full
    platforms: posix
notes:
  - The evidence goes to C(evidence/<task_id>/) below O(coordination_dir). It is written whole or not at all and only
    when its bytes differ, so that a second run over the same input changes nothing.
  - The module runs where its task runs, needs no Redis and reads nothing but files.
"""

    # For those among them that read the objects of an estate.
    ESTATE = r"""
options:
  estate_path:
    description:
      - Directory with the objects of the estate, as YAML (also several documents in a file) or JSON, one by one
        or in lists.
      - Links in it are not followed and C(.git) is left out.
    type: path
    required: true
  source:
    description:
      - Where the objects come from.
    type: str
    default: gitops
    choices:
      gitops: The directory O(estate_path).
      kubernetes: A live cluster. Not there yet in this release; the result says so.
  namespaces:
    description:
      - Take only objects of these namespaces, and those that are in no namespace. By default, all are taken.
    type: list
    elements: str
requirements:
  - PyYAML
"""
