# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sentences made from parts of which some come from elsewhere, with or without a mark at their end."""

from __future__ import annotations


def sentence(*parts: object) -> str:
    """The parts as one line that ends with exactly one mark; empty where there is nothing to say.

    A cause may be a sentence of its own ("The server went away.") or a mere remark ("blocked by scan"): put into
    another sentence, neither leaves two full stops nor none. A question, an exclamation and an ellipsis stay.

    Args:
        parts: Put together with single blanks; ``None`` and empty ones are left out.
    """
    text = " ".join(" ".join(str(part) for part in parts if part is not None).split())
    stem = text.rstrip(".")
    if not stem:
        return ""
    if stem[-1] in "!?…":
        return stem
    return stem + ("..." if len(text) - len(stem) > 2 else ".")
