# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Roles: defaults against argument specs, entry points against task files, READMEs against both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import generate_role_readmes
import pytest
import yaml

ROLES = sorted(path for path in (Path(__file__).resolve().parents[2] / "roles").glob("*") if path.is_dir())

pytestmark = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)


def load(path: Path) -> Any:
    """Return the content of a YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def specs_of(role: Path) -> dict[str, Any]:
    """Return the role's argument specs by entry point."""
    return load(role / "meta" / "argument_specs.yml")["argument_specs"]


def test_every_entry_point_is_there(role: Path) -> None:
    for name in specs_of(role):
        assert (role / "tasks" / f"{name}.yml").is_file(), f"{role.name} has a spec for {name}, but no tasks/{name}.yml"


def test_defaults_are_in_the_argument_specs(role: Path) -> None:
    """A default is declared in the specs with the same value, and what the specs declare as default is one."""
    path = role / "defaults" / "main.yml"
    defaults = (load(path) or {}) if path.is_file() else {}
    # A default that is computed cannot be stated in a spec with a type; its description tells it.
    computed = {name for name, value in defaults.items() if isinstance(value, str) and "{{" in value}
    declared: dict[str, Any] = {}
    mentioned: set[str] = set()
    for entry_point, spec in specs_of(role).items():
        for name, option in (spec.get("options") or {}).items():
            mentioned.add(name)
            if "default" in option:
                assert declared.setdefault(name, option["default"]) == option["default"], (
                    f"{role.name}: {name} has another default in {entry_point}"
                )
            else:
                assert name not in defaults or name in computed, (
                    f"{role.name}: {entry_point} does not tell the default of {name}"
                )
    assert {name: value for name, value in declared.items() if name not in computed} == {
        name: value for name, value in defaults.items() if name not in computed
    }
    assert computed <= mentioned


def test_variables_carry_the_name_of_the_role(role: Path) -> None:
    for spec in specs_of(role).values():
        for name in spec.get("options") or {}:
            assert name.startswith((f"{role.name}_", "larry_")), f"{name} is no variable of {role.name}"


def test_readme_is_current(role: Path) -> None:
    path = role / "README.md"
    assert path.is_file(), f"roles/{role.name}/README.md is missing: run `make docs`"
    wanted = generate_role_readmes.readme(role)
    assert path.read_text(encoding="utf-8") == wanted, f"roles/{role.name}/README.md is not current: run `make docs`"
