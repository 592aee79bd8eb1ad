# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which machine this runs on: the evidence that a task ran where its plan binds it."""

from __future__ import annotations

import re
import socket


def this_machine(machine_id_path: str = "/etc/machine-id") -> dict[str, str | None]:
    """`{"hostname", "machine_id"}`; the machine id is None where the system has none."""
    try:
        with open(machine_id_path, encoding="ascii") as stream:
            text = stream.read(64).strip().lower()
    except (OSError, ValueError):
        text = ""
    return {"hostname": socket.gethostname(), "machine_id": text if re.fullmatch(r"[0-9a-f]{32}", text) else None}
