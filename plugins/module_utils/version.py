# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collection's version, for code that cannot read galaxy.yml. A drift test keeps the two equal."""

from __future__ import annotations

COLLECTION_VERSION = "0.1.0"
