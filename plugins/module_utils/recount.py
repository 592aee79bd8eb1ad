# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Recounts what a domain reported, for the cross-validation."""

from __future__ import annotations

import typing as t

from ._plan import Plan


def recount_rows(record: dict[str, t.Any], larry: str, directory: str, plan: Plan) -> list[dict[str, t.Any]]:
    """Rows of the recounts that apply to the completed tasks of `larry`."""
    return []
