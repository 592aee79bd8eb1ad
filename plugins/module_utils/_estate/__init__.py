# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what the Larrys look after. Knows no Redis and no Ansible.

`open_source(options)` is the one way in; everything it yields is an `EstateObject` or a `Refused`.
"""

from __future__ import annotations

from .errors import EstateError, EvidenceError, ItemRefused, LibraryMissing, SourceNotAvailable
from .objects import EstateObject, Identity, Origin, Refused
from .source import Source, open_source

__all__ = [
    "EstateError",
    "EstateObject",
    "EvidenceError",
    "Identity",
    "ItemRefused",
    "LibraryMissing",
    "Origin",
    "Refused",
    "Source",
    "SourceNotAvailable",
    "open_source",
]
