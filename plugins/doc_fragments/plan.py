# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options by which a module finds the plan and the coordination directory."""

from __future__ import annotations


class ModuleDocFragment:
    """Documents what module_utils.plan_access takes; tests/drift compares it with the argument specs."""

    DOCUMENTATION = r"""
options:
  plan_file:
    description:
      - Path of the plan on the controller.
      - The default is the plan that the inventory comes from, the variable C(larry_plan_file).
    type: path
  directory:
    description:
      - The coordination directory, with the reports and the evidence.
      - The default is the one that the plan names, below the current directory.
    type: path
"""
