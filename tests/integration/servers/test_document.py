# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples of docs/servers.md are plans that load, and connections that can be made."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.cortex.larry.plugins.module_utils._coordination.settings import OPTIONS
from ansible_collections.cortex.larry.plugins.module_utils._plan import load_plan
from ansible_collections.cortex.larry.plugins.module_utils.options import SOURCES, settings_of, with_sources

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs" / "servers.md").read_text(encoding="utf-8")
EXAMPLES = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)]
PLAN = ROOT / "inventories" / "embedded" / "three-larrys.larry.yml"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: str(example["run"]["redis"])[:40])
def test_an_example_is_part_of_a_plan(example: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SOURCES.values():
        monkeypatch.delenv(name[1], raising=False)
    monkeypatch.setenv("LARRY_SECRET", "hunter2")
    whole = yaml.safe_load(PLAN.read_text(encoding="utf-8"))
    whole["run"].pop("redis", None)
    whole["run"] |= example["run"]
    path = tmp_path / "example.larry.yml"
    path.write_text(yaml.safe_dump(whole, sort_keys=False), encoding="utf-8")
    plan = load_plan(path)
    settings = settings_of(with_sources({}, {"larry_redis": plan.connection, "larry_prefix": plan.prefix}.get))
    assert settings.address.hosts and settings.prefix == example["run"].get("prefix", "")


def test_the_table_names_every_option() -> None:
    assert len(EXAMPLES) == 5
    for name in OPTIONS:
        assert re.search(rf"`{name}`", TEXT), f"docs/servers.md does not name the option {name}"
