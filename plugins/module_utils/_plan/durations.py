# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations of a plan: ``25m``, ``90s``, ``1h30m``, ``1.5h`` or, where a plan allows it, a number of minutes."""

from __future__ import annotations

import re

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
_PART = r"[0-9]+(\.[0-9]+)?(ms|s|m|h)"
# Python's $ also matches before a closing newline, ECMAScript's does not: the look-ahead makes both agree.
PATTERN = rf"^({_PART})+$(?!\n)"
PATTERN_OR_MINUTES = rf"^(({_PART})+|[0-9]+(\.[0-9]+)?)$(?!\n)"
MAX_CHARACTERS = 40
LONGEST_S = 366 * 24 * 3600


def seconds(value: object) -> int | float | None:
    """Return the seconds that ``value`` stands for, or None if it is not a duration.

    Args:
        value: text with units (h, m, s, ms), or a bare number (or its text) of minutes.

    Returns:
        Seconds, as an int where they are whole (so that equal plans have equal digests however they are written).
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, str):
        if not re.search(PATTERN_OR_MINUTES, value) or len(value) > MAX_CHARACTERS:
            return None
        if value[-1].isdigit():
            total = float(value) * 60
        else:
            total = sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9.]+)(ms|s|m|h)", value))
    else:
        total = value * 60
    total = round(total, 3)
    return int(total) if total == int(total) else total


def text(value: int | float) -> str:
    """Return seconds as people write them in a plan: ``1500`` -> ``25m``, ``90`` -> ``1m30s``, ``0.5`` -> ``500ms``."""
    milliseconds = round(value * 1000)
    parts = []
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, milliseconds = divmod(milliseconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
