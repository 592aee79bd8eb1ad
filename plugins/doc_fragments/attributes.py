# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the attributes of a module mean, said once."""

from __future__ import annotations


class ModuleDocFragment:
    """The fragment itself says what an attribute means; each module says whether it has it."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode; it then predicts the result and writes nothing.
  diff_mode:
    description: Shows in diff mode what was changed, or in check mode what would be.
  idempotent:
    description: A second run with the same options changes nothing and reports RV(ignore:changed=false).
"""

    # For the modules that talk to the server.
    COORDINATION = r"""
options: {}
attributes:
  action:
    description: Has an action plugin of the same name, which runs it in the process of C(ansible-playbook).
    support: full
    details:
      - With O(run_on=target) the module is sent to the task's host instead.
  action_group:
    description: >-
      Use C(group/cortex.larry.coordination) in C(module_defaults) to set options of all modules that talk to the
      server.
    support: full
    membership:
      - cortex.larry.all
      - cortex.larry.coordination
  async:
    description: Can be used with the task keyword C(async).
    support: none
  platform:
    description: Systems that the module can run on.
    support: full
    platforms: posix
"""

    # For the readers among them.
    INFO = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - It only reads, in check mode as well.
  diff_mode:
    support: N/A
    details:
      - It changes nothing.
  idempotent:
    support: full
    details:
      - It changes nothing.
"""
