# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a task that lacks what it needs."""

from __future__ import annotations

import typing as t

from .._estate.errors import SourceNotAvailable


def skipped(missing: str, provide: str) -> dict[str, t.Any]:
    """A task result that settles the task as skipped; both texts are whole sentences."""
    return {"skipped": {"missing": missing, "provide": provide}}


def skipped_without(source: SourceNotAvailable) -> dict[str, t.Any]:
    """The same for an estate that cannot be had."""
    return skipped(source.missing, source.provide)
