# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fallback to the embedded server: decided once for a controller, before it has joined a run (law 10).

The decision is a symbolic link in the runtime directory: made at once or not at all, so that of the forks that ask at
the same moment one decides and the others follow. After it every call of this controller goes to the same server.
"""

from __future__ import annotations

import contextlib
import os

from .history import place_of
from .identity import Controller, process_alive
from .runtime_directory import runtime_directory
from .settings import Settings

STAY, EMBEDDED = "stay", "embedded"


def _path(settings: Settings, controller: Controller) -> str:
    return os.path.join(runtime_directory(), f"fallback-{controller.id}-{place_of(settings)}")


def decide(settings: Settings, controller: Controller, wanted: str) -> str:
    """What this controller does: `wanted` (STAY or EMBEDDED), unless another fork of it decided before."""
    forget_decisions()
    with contextlib.suppress(FileExistsError):
        os.symlink(f"{wanted}:{controller.pid}:{controller.start_time}", _path(settings, controller))
    return decided(settings, controller) or wanted


def decided(settings: Settings, controller: Controller) -> str | None:
    """What was decided; None before that."""
    if settings.server == "embedded":
        return None
    try:
        return os.readlink(_path(settings, controller)).partition(":")[0]
    except OSError:
        return None


def forget_decisions() -> None:
    """Removes the decisions of controllers that are gone."""
    for entry in os.scandir(runtime_directory()):
        if entry.name.startswith("fallback-"):
            with contextlib.suppress(OSError, ValueError):
                _what, pid, start = os.readlink(entry.path).split(":", 2)
                if not process_alive(int(pid), start):
                    os.unlink(entry.path)


def fallen_back(settings: Settings, controller: Controller) -> Settings | None:
    """The settings of the embedded server if this controller fell back to it, with the same prefix; else None."""
    return on_embedded(settings) if decided(settings, controller) == EMBEDDED else None


def on_embedded(settings: Settings) -> Settings:
    """The embedded server instead of the one of these settings: nothing of its user, password or TLS."""
    return Settings.of("embedded", settings.prefix)
