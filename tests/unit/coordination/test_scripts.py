# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scripts read by name is what they ask the server for."""

from __future__ import annotations

import re

import pytest

from ansible_collections.cortex.larry.plugins.module_utils._coordination.lua.scripts import SCRIPTS

FIELDS = set(re.findall(r"'(\w+)'", re.search(r"local RUN_FIELDS = \{(.*?)\}", SCRIPTS["task_claim"], re.S)[1]))


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_every_field_of_the_run_that_a_script_reads_is_loaded(name: str) -> None:
    read = set(re.findall(r"\bRUN\.(\w+)\b", SCRIPTS[name]))
    assert read
    assert read <= FIELDS


def test_no_field_of_the_run_is_loaded_in_vain() -> None:
    assert {field for text in SCRIPTS.values() for field in re.findall(r"\bRUN\.(\w+)\b", text)} == FIELDS
