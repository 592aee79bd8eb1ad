# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Escapers for the text formats this collection writes, and its sentences; a leaf package that knows nothing else."""

from __future__ import annotations

from .escape import (
    escape_csv,
    escape_dot,
    escape_html,
    escape_markdown,
    escape_markdown_code,
    escape_mermaid,
    escape_terminal,
)
from .sentences import sentence

__all__ = [
    "escape_csv",
    "escape_dot",
    "escape_html",
    "escape_markdown",
    "escape_markdown_code",
    "escape_mermaid",
    "escape_terminal",
    "sentence",
]
