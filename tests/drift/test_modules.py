# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules: documentation against argument spec, action groups and action plugins against what is there."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import ansible.module_utils.basic
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py") if path.stem != "__init__")
ACTIONS = sorted(path.stem for path in (ROOT / "plugins" / "action").glob("*.py") if not path.stem.startswith("_"))
COLLECTION = "cortex.larry"


class Captured(BaseException):
    """Carries what a module hands to AnsibleModule out of its main function."""


def specification(module: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the keyword arguments with which the module makes its AnsibleModule."""

    def capture(_self: Any, argument_spec: dict[str, Any], *_positional: Any, **others: Any) -> None:
        raise Captured({"argument_spec": argument_spec} | others)

    monkeypatch.setattr(ansible.module_utils.basic.AnsibleModule, "__init__", capture)
    imported = importlib.import_module(f"ansible_collections.{COLLECTION}.plugins.modules.{module}")
    with pytest.raises(Captured) as caught:
        imported.main()
    return caught.value.args[0]


def normalised(option: dict[str, Any]) -> dict[str, Any]:
    """Return what documentation and specification must agree on, with the defaults that both leave out."""
    choices = option.get("choices")
    nested = option.get("suboptions") or option.get("options") or {}
    return {
        "type": str(option.get("type") or "str"),
        "required": bool(option.get("required", False)),
        "default": option.get("default"),
        # Documentation may explain each choice in a dictionary.
        "choices": sorted(map(str, choices)) if choices else None,
        "elements": option.get("elements"),
        "aliases": sorted(option.get("aliases") or []),
        "options": {name: normalised(inner) for name, inner in nested.items()},
    }


@pytest.fixture
def documentation(ansible) -> dict[str, Any]:
    """What ansible-doc says about every module, doc fragments included."""
    names = [f"{COLLECTION}.{name}" for name in MODULES]
    result = ansible(
        "ansible-doc", "-t", "module", "-j", *names, ANSIBLE_COLLECTIONS_PATH=str(ROOT / "playbooks" / "collections")
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_options_are_documented_as_they_are(documentation: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    differences = []
    for name in MODULES:
        documented = {
            option: normalised(about)
            for option, about in documentation[f"{COLLECTION}.{name}"]["doc"]["options"].items()
        }
        specified = {
            option: normalised(about) for option, about in specification(name, monkeypatch)["argument_spec"].items()
        }
        for option in sorted(documented.keys() | specified.keys()):
            if documented.get(option) != specified.get(option):
                differences.append(
                    f"{name}.{option}: {documented.get(option)} documented, {specified.get(option)} meant"
                )
    assert not differences, "\n".join(differences)


def test_check_mode_is_documented_as_it_is(documentation: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in MODULES:
        supported = bool(specification(name, monkeypatch).get("supports_check_mode", False))
        attributes = documentation[f"{COLLECTION}.{name}"]["doc"].get("attributes") or {}
        assert "check_mode" in attributes, f"{name} does not document its check mode"
        assert (attributes["check_mode"]["support"] != "none") == supported, name


def test_every_module_has_examples_and_return_values(documentation: dict[str, Any]) -> None:
    for name in MODULES:
        about = documentation[f"{COLLECTION}.{name}"]
        assert about["examples"], f"{name} has no examples"
        assert about["return"], f"{name} has no return values"
        examples = yaml.safe_load(about["examples"])
        tasks = json.dumps(examples)
        assert f"{COLLECTION}.{name}" in tasks, f"the examples of {name} do not use it by its full name"
        reserved = {"keys", "items", "values"} & set(about["return"])
        assert not reserved, f"{name} returns {reserved}, which Jinja takes for methods"


def told(described: dict[str, Any]) -> tuple[Any, ...]:
    """What a return value says about itself, without its sample and when it is returned."""
    return described["description"], described["type"], described.get("elements")


def test_return_values_that_cannot_be_shared_say_the_same(documentation: dict[str, Any]) -> None:
    """Fragments hold options; for return values ansible-core 2.17 to 2.19 know none, so each module has its own."""
    returned = {name: documentation[f"{COLLECTION}.{name}"]["return"] for name in MODULES}
    assert set(ACTIONS) == {name for name, about in returned.items() if "error_class" in about}
    common = {str(about["error_class"]["description"][:3]) for about in returned.values() if "error_class" in about}
    assert len(common) == 1, common
    for shared in ("facts", "ansible_facts"):
        found = {str(told(about[shared])) for about in returned.values() if shared in about}
        assert len(found) == 1, found
    results = [about["result"]["contains"] for about in returned.values() if "result" in about]
    assert len(results) == 3
    for name in set().union(*results):
        found = {str(told(result[name])) for result in results}
        assert len(found) == 1, found


def test_action_groups_name_the_modules() -> None:
    groups = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))["action_groups"]
    assert sorted(groups["all"]) == MODULES
    assert sorted(groups["coordination"]) == ACTIONS


def test_every_action_plugin_has_its_module() -> None:
    assert ACTIONS, "no coordination module runs in the controller"
    assert set(ACTIONS) <= set(MODULES)
