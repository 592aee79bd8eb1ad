# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings as every capability reports them: typed records, sorted by severity."""

from __future__ import annotations

import collections
import typing as t

SEVERITIES = ("critical", "high", "medium", "low", "info")
# A task result travels through Redis; the evidence holds all findings, the result the gravest of them.
MAX_IN_RESULT = 200

Finding = dict[str, t.Any]


def finding(identifier: str, severity: str, title: str, **more: t.Any) -> Finding:
    """One finding; *more* are fields such as `asset`, `path` and `field`, left out when empty."""
    return {
        "id": identifier,
        "severity": severity,
        "title": title,
        **{name: value for name, value in more.items() if value not in (None, "", [], {})},
    }


def ordered(findings: t.Iterable[Finding]) -> list[Finding]:
    """The findings by severity, then id, asset and place."""
    return sorted(
        findings,
        key=lambda one: (
            SEVERITIES.index(one["severity"]),
            one["id"],
            one.get("asset", ""),
            one.get("path", ""),
            one.get("field", ""),
            one["title"],
        ),
    )


def by_severity(findings: t.Iterable[Finding]) -> dict[str, int]:
    """How many findings there are of each severity; every severity is named."""
    counts = collections.Counter(one["severity"] for one in findings)
    return {severity: counts.get(severity, 0) for severity in SEVERITIES}
