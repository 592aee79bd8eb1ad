# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin, through ansible-inventory and ansible-playbook themselves and with no ansible.cfg."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ansible_collections.cortex.larry.plugins.module_utils._plan import load_plan

REPOSITORY = Path(__file__).resolve().parents[3]
EMBEDDED = REPOSITORY / "inventories" / "embedded"
BIN = Path(sys.executable).parent


def ansible(program: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "HOME": str(cwd),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / "playbooks" / "collections"),
        "ANSIBLE_NOCOLOR": "1",
    }
    return subprocess.run(
        [str(BIN / program), *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def listing(tmp_path: Path, source: Path) -> dict:
    run = ansible("ansible-inventory", "-i", str(source), "--list", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "WARNING" not in run.stderr, run.stderr
    # ansible-core 2.19 marks what comes from a plugin as not to be templated.
    return json.loads(run.stdout, object_hook=lambda value: value.get("__ansible_unsafe", value))


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> dict:
    return listing(tmp_path_factory.mktemp("embedded"), EMBEDDED)


def test_a_directory_gives_hosts_and_groups(embedded: dict) -> None:
    plan = load_plan(EMBEDDED / "three-larrys.larry.yml")
    assert embedded["larrys"]["hosts"] == ["larry-01", "larry-02", "larry-03"]
    assert embedded["workers"]["hosts"] == list(plan.workers) and len(plan.workers) == 16
    assert embedded["nodes"]["hosts"] == list(plan.nodes) and len(plan.nodes) == 7
    for larry in plan.larrys.values():
        group = larry["id"].replace("-", "_")
        assert embedded[group]["children"] == [f"{group}_coordinator", f"{group}_workers"]
        assert embedded[f"{group}_coordinator"]["hosts"] == [larry["id"]]
        assert embedded[f"{group}_workers"]["hosts"] == larry["workers"]
        assert embedded[larry["domain"]]["hosts"] == [larry["id"], *larry["workers"]]


def test_variables(embedded: dict) -> None:
    common = {
        "ansible_connection": "local",
        "larry_plan_file": str(EMBEDDED / "three-larrys.larry.yml"),
        "larry_redis": "embedded",
        "larry_prefix": "",
        "larry_directory": "coordination",
    }
    hostvars = embedded["_meta"]["hostvars"]
    python = hostvars["larry-02"]["ansible_python_interpreter"]
    assert "{" not in python and Path(python).exists()
    common["ansible_python_interpreter"] = python
    larry = {"larry_id": "larry-02", "larry_domain": "security"}
    assert hostvars["larry-02"] == {
        **common, **larry, "larry_node": "k3s-master02", "larry_role_in_run": "coordinator",
    }  # fmt: skip
    assert hostvars["larry-02-audit-worker"] == {
        **common, **larry, "larry_node": "k3s-worker02", "larry_role_in_run": "worker",
        "larry_worker_id": "larry-02-audit-worker",
    }  # fmt: skip
    assert hostvars["k3s-worker02"] == {**common, "larry_node": "k3s-worker02", "larry_role_in_run": "node"}


def test_hosts_have_their_nodes_addresses(tmp_path: Path) -> None:
    hostvars = listing(tmp_path, REPOSITORY / "inventories" / "k3s")["_meta"]["hostvars"]
    assert hostvars["larry-03-review-worker"]["ansible_host"] == "10.0.10.34"
    assert hostvars["larry-03"]["ansible_host"] == "10.0.10.23"
    assert "ansible_connection" not in hostvars["larry-03"]


def test_seven_larrys(tmp_path: Path) -> None:
    groups = listing(tmp_path, REPOSITORY / "tests" / "plans" / "seven-larrys.larry.yml")
    assert len(groups["larrys"]["hosts"]) == 7 and len(groups["workers"]["hosts"]) == 14
    assert groups["mapping"]["hosts"] == ["atlas", "atlas-one", "atlas-two", "cedar", "cedar-one", "cedar-two"]
    assert groups["larry_atlas"]["children"] == ["larry_atlas_coordinator", "larry_atlas_workers"]


def test_group_vars_beside_the_plan_win(tmp_path: Path, small: str) -> None:
    (tmp_path / "small.larry.yml").write_text(small)
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "all.yml").write_text(yaml.safe_dump({"larry_directory": "elsewhere"}))
    assert (
        listing(tmp_path, tmp_path / "small.larry.yml")["_meta"]["hostvars"]["larry-01"]["larry_directory"]
        == "elsewhere"
    )


@pytest.mark.parametrize("program", ["ansible-inventory", "ansible-playbook", "ansible"])
def test_a_broken_plan_ends_the_program(tmp_path: Path, small: str, program: str) -> None:
    (tmp_path / "broken.larry.yml").write_text(small.replace("[one]}", "[noe]}").replace("window: 20m", "window: soon"))
    (tmp_path / "play.yml").write_text(yaml.safe_dump([{"hosts": "larrys", "gather_facts": False, "tasks": []}]))
    arguments = {
        "ansible-inventory": ["--list"],
        "ansible-playbook": ["play.yml"],
        "ansible": ["larrys", "-m", "ansible.builtin.debug"],
    }[program]
    run = ansible(program, "-i", "broken.larry.yml", *arguments, cwd=tmp_path)
    assert run.returncode == 4
    assert "2 problems; nothing was started" in run.stderr
    file = tmp_path / "broken.larry.yml"
    assert f"{file}:4: run.window wants a duration" in run.stderr
    assert f"{file}:17: tasks.two.depends_on[1]: there is no task 'noe'. Did you mean 'one'?" in run.stderr
    assert "Traceback" not in run.stderr and "PLAY" not in run.stdout


def test_other_names_are_not_read(tmp_path: Path, small: str) -> None:
    (tmp_path / "plan.yml").write_text(small)
    run = ansible("ansible-inventory", "-i", "plan.yml", "--list", cwd=tmp_path)
    assert "could not be verified" in run.stderr


def test_documentation(tmp_path: Path) -> None:
    run = ansible("ansible-doc", "-t", "inventory", "--json", "cortex.larry.plan", cwd=tmp_path)
    options = json.loads(run.stdout)["cortex.larry.plan"]["doc"]["options"]
    schema = json.loads((REPOSITORY / "docs" / "schema" / "larry-plan.schema.json").read_text(encoding="utf-8"))
    assert set(options) == set(schema["properties"])
    assert {name for name, option in options.items() if option.get("required")} == set(schema["required"])
