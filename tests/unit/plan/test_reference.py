# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The published schema and the plan reference are what the schema says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[3]
GENERATOR = REPOSITORY / "scripts" / "generate_plan_reference.py"


def test_files_are_up_to_date() -> None:
    run = subprocess.run([sys.executable, str(GENERATOR), "--check"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("plan", ["inventories/embedded/three-larrys.larry.yml", "tests/plans/seven-larrys.larry.yml"])
def test_editors_find_the_schema_and_nothing_wrong(plan: str) -> None:
    """An editor follows the comment of a plan to the published file and validates with it."""
    file = REPOSITORY / plan
    text = file.read_text(encoding="utf-8")
    [named] = [line.split("$schema=")[1] for line in text.splitlines() if line.startswith("# yaml-language-server:")]
    schema = json.loads((file.parent / named).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(json.loads(json.dumps(yaml.safe_load(text))))
    assert "x-wants" not in json.dumps(schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate({"plugin": "cortex.larry.plan"})


def test_the_example_of_the_reference_is_a_plan(tmp_path: Path) -> None:
    from ansible_collections.cortex.larry.plugins.module_utils._plan import load_plan

    reference = (REPOSITORY / "docs" / "plan-reference.md").read_text(encoding="utf-8")
    example = reference.split("```yaml\n")[1].split("```")[0]
    file = tmp_path / "small.larry.yml"
    file.write_text(example)
    assert list(load_plan(file).tasks) == ["catalog-deployments"]
