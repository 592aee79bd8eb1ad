# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times of a run: ISO 8601 texts to seconds, seconds to texts. No clock is read here."""

from __future__ import annotations

from datetime import datetime, timezone


def _moment(text: object) -> datetime | None:
    """The moment of an ISO 8601 text; one without an offset is taken as UTC, as every time of a run is."""
    if not isinstance(text, str) or not text:
        return None
    try:
        # Python 3.10 does not read the Z.
        moment = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text)
    except ValueError:
        return None
    return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment


def parse_time(text: object) -> float | None:
    """Seconds since the epoch (UTC) of an ISO 8601 text; ``None`` for anything else."""
    moment = _moment(text)
    try:
        return None if moment is None else moment.timestamp()
    except (OverflowError, ValueError):
        return None


def seconds_between(start: object, end: object) -> float | None:
    """Seconds from one ISO 8601 text to another, to the microsecond; ``None`` when one of them is missing."""
    first, last = _moment(start), _moment(end)
    try:
        return None if first is None or last is None else (last - first).total_seconds()
    except OverflowError:
        return None


def clock_time(text: object, *, milliseconds: bool = False) -> str:
    """``HH:MM:SS`` (UTC) of an ISO 8601 text, with ``.mmm`` on request; ``--:--:--`` when it is none."""
    moment = _moment(text)
    try:
        local = None if moment is None else moment.astimezone(timezone.utc)
    except OverflowError:
        local = None
    if local is None:
        return "--:--:--"
    return local.strftime("%H:%M:%S") + (f".{local.microsecond // 1000:03d}" if milliseconds else "")


def format_seconds(seconds: float | None) -> str:
    """A duration for people: ``0.42 s``, ``12.3 s``, ``4 min 05 s``, ``1 h 02 min``; a dash for ``None``."""
    if seconds is None:
        return "–"
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    if seconds < 9.995:
        return f"{sign}{seconds:.2f} s"
    if seconds < 59.95:
        return f"{sign}{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{sign}{whole // 60} min {whole % 60:02d} s"
    return f"{sign}{whole // 3600} h {whole % 3600 // 60:02d} min"


def format_minutes(minutes: float | None) -> str:
    """Planned minutes for people, ``12.5 min``; a dash for ``None``."""
    return "–" if minutes is None else f"{minutes:.1f} min"
