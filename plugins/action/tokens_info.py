# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The in-process path of the module tokens_info."""

from __future__ import annotations

from ansible_collections.cortex.larry.plugins.modules import tokens_info
from ansible_collections.cortex.larry.plugins.plugin_utils.coordination_action import CoordinationAction


class ActionModule(CoordinationAction):
    """Runs cortex.larry.tokens_info inside the controller."""

    module = tokens_info
