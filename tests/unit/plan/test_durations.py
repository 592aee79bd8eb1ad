# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cortex.larry.plugins.module_utils._plan import durations


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("25m", 1500),
        ("90s", 90),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("500ms", 0.5),
        (25, 1500),
        ("25", 1500),
        (0.5, 30),
        ("0m", 0),
    ],
)
def test_seconds(value: object, expected: float) -> None:
    seconds = durations.seconds(value)
    assert seconds == expected
    assert isinstance(seconds, int) == (expected == int(expected))


@pytest.mark.parametrize(
    "value", ["", "m", "25 m", "25min", "-5m", "25m\n", "1:30", "1e3s", None, True, [], {}, "9" * 50 + "s"]
)
def test_no_duration(value: object) -> None:
    assert durations.seconds(value) is None


@given(st.integers(min_value=0, max_value=durations.LONGEST_S * 1000))
def test_text_is_read_back(milliseconds: int) -> None:
    assert durations.seconds(durations.text(milliseconds / 1000)) == milliseconds / 1000
