# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every unit test shares: no server, no settings of the caller."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _no_settings_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the Ansible and Larry settings of whoever started the tests."""
    for name in list(os.environ):
        if name.startswith(("ANSIBLE_", "LARRY_")):
            monkeypatch.delenv(name)
