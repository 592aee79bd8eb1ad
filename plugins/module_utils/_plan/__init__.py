# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan file (``*.larry.yml``) becomes a validated model. Knows no Redis and no Ansible."""

from __future__ import annotations

from .errors import PlanError, Problem
from .model import Plan, load_plan

__all__ = ["Plan", "PlanError", "Problem", "load_plan"]
