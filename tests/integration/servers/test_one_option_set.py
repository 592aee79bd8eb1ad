# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One option set: modules, inventory, callback and launcher reach a server with a password from the same three places.

The server lets nobody in without the user and the password, which stand in the plan (as the name of an environment
variable), in group_vars beside it, or in the environment. What each face did is read by a connection of our own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import servers
import yaml

from ansible_collections.cortex.larry.plugins.module_utils._plan import load_plan

ROOT = Path(__file__).resolve().parents[3]
PLACES = ("plan", "variables", "extra variables", "environment")
JOINS = """---
- hosts: larrys
  gather_facts: false
  tasks:
    - name: Join
      cortex.larry.run:
        state: joined
    - name: Tell
      cortex.larry.event:
        event: told_this
        within_run: true
"""


class Face:
    """A plan whose server wants a user and a password, which are said in one place."""

    def __init__(self, directory: Path, acl: servers.Servers, place: str) -> None:
        self.acl = acl
        self.prefix = f"t{uuid.uuid4().hex[:8]}:"
        self.file = directory / "small.larry.yml"
        self.environment: dict[str, str] = {}
        self.options: list[str] = []
        connection: dict[str, Any] = {"url": f"redis://127.0.0.1:{acl.primary.port}/0"}
        if place == "plan":
            connection |= {"username": "larry", "password_env": "SECRET_OF_A_TEST"}
            self.environment["SECRET_OF_A_TEST"] = servers.ACL_PASSWORD
        elif place == "variables":
            (directory / "group_vars").mkdir()
            said = {"larry_redis_username": "larry", "larry_redis_password": "{{ 'only' ~ '-for-tests' }}"}
            (directory / "group_vars" / "all.yml").write_text(yaml.safe_dump(said), encoding="utf-8")
        elif place == "extra variables":
            (directory / "more.yml").write_text(
                yaml.safe_dump({"larry_redis_username": "larry", "larry_redis_password": servers.ACL_PASSWORD}),
                encoding="utf-8",
            )
            self.options = ["-e", f"@{directory / 'more.yml'}"]
        else:
            self.environment |= {"LARRY_REDIS_USERNAME": "larry", "LARRY_REDIS_PASSWORD": servers.ACL_PASSWORD}
        plan = {
            "plugin": "cortex.larry.plan", "name": "small", "title": "SMALL",
            "run": {"window": "20m", "redis": connection, "prefix": self.prefix, "connection": "local",
                    "time_scale": 20},
            "nodes": {"machine-01": {"address": "127.0.0.1"}},
            "larrys": {"solo": {"domain": "development", "node": "machine-01", "phase": "15m", "workers": {
                "digger": {"node": "machine-01", "tokens": 0, "duration": "10m",
                           "capabilities": ["catalog-deployments"]}}}},
            "tasks": {"catalog-deployments": {"larry": "solo", "worker": "digger"}},
            "estate": {"source": "gitops", "path": str(ROOT / "examples" / "estate")},
        }  # fmt: skip
        self.file.write_text(yaml.safe_dump(plan, sort_keys=False), encoding="utf-8")

    def events(self) -> list[str]:
        """The names of the events of the run's log."""
        with overseer(self.acl) as plain:
            return [json.loads(entry["m"])["event"] for _id, entry in plain.xrange(self.prefix + "larry:log")]


def overseer(acl: servers.Servers) -> redis.Redis:
    """The connection of the tests themselves."""
    return acl.primary.client(username="overseer", password="of-the-tests")


@pytest.fixture(scope="module")
def acl(start: Any) -> servers.Servers:
    """A server that lets in only its user larry, with the shipped rights, and the tests' own user."""
    started = start("acl")
    with started.primary.client() as plain:
        plain.execute_command("ACL", "SETUSER", "overseer", "on", ">of-the-tests", "~*", "&*", "+@all")
        plain.execute_command("ACL", "SETUSER", "default", "off")
    return started


@pytest.fixture(params=PLACES)
def face(request: pytest.FixtureRequest, tmp_path: Path, acl: servers.Servers) -> Iterator[Face]:
    """A plan, with user and password in one of the places."""
    made = Face(tmp_path, acl, request.param)
    yield made
    with overseer(acl) as plain:
        for name in plain.scan_iter(made.prefix + "*", count=1000):
            plain.unlink(name)


def test_without_them_nobody_is_let_in(tmp_path: Path, acl: servers.Servers, make_commands: Any) -> None:
    """Else the other tests would show nothing."""
    face = Face(tmp_path, acl, "environment")
    done = make_commands().run("ansible", "solo", "-i", face.file, "-m", "cortex.larry.lock", "-a", '{"name": "db"}')
    assert done.returncode == 2 and "refused the user or the password" in done.stdout


def test_modules_and_inventory(face: Face, make_commands: Any) -> None:
    commands = make_commands(**face.environment)
    done = commands.run(
        "ansible", "solo", "-i", face.file, *face.options, "-m", "cortex.larry.lock", "-a", '{"name": "db"}'
    )
    assert done.returncode == 0, done.stdout
    assert servers.ACL_PASSWORD not in done.stdout
    with overseer(face.acl) as plain:
        assert int(plain.hget(face.prefix + "larry:lock:db", "fence")) > 0


def test_the_callback_follows_the_run(face: Face, make_commands: Any, tmp_path: Path) -> None:
    playbook = tmp_path / "joins.yml"
    playbook.write_text(JOINS, encoding="utf-8")
    commands = make_commands(
        **face.environment, ANSIBLE_STDOUT_CALLBACK="cortex.larry.console", LARRY_CONSOLE_VIEW="lines"
    )
    done = commands.playbook(playbook, "-i", face.file, *face.options)
    assert done.returncode == 0, done.stdout
    assert face.events()[-1] == "told_this"
    # A line that only the event log can give; the default callback names tasks and hosts.
    assert "told_this" in done.stdout and "TASK [Tell]" not in done.stdout
    assert "live view ended" not in done.stdout and servers.ACL_PASSWORD not in done.stdout


def test_the_launcher_reaches_the_server(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it follows the run with; each of its controllers is an ansible-playbook with modules."""
    from launcher import arguments

    for name in list(os.environ):
        if name.startswith("LARRY_"):
            monkeypatch.delenv(name)
    for name, value in face.environment.items():
        monkeypatch.setenv(name, value)
    options = argparse.Namespace(extra_vars=face.options[1:], more=[])
    settings = arguments.settings_for(load_plan(face.file), options)
    assert (settings.username, settings.password, settings.prefix) == ("larry", servers.ACL_PASSWORD, face.prefix)
    # What stands after -- goes to ansible-playbook as well.
    options = argparse.Namespace(extra_vars=[], more=["--check", *face.options, "-e", "larry_prefix=t-other:"])
    settings = arguments.settings_for(load_plan(face.file), options)
    assert (settings.password, settings.prefix) == (servers.ACL_PASSWORD, "t-other:")


def test_the_launcher_follows_a_whole_run(acl: servers.Servers, make_commands: Any, tmp_path: Path) -> None:
    """With the password in group_vars, where only Ansible finds it."""
    face = Face(tmp_path, acl, "variables")
    variables = dict(make_commands(**face.environment).variables)
    del variables["ANSIBLE_CONFIG"]  # the launcher finds the checkout's
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "launch.py"), "--plan", str(face.file), "--plain"],
        cwd=tmp_path, env=variables, text=True, capture_output=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "run_complete" in face.events()
    assert "catalog-deployments" in done.stdout, "it shows what happens in the run"
    assert f'redis ARGS="GET {face.prefix}phase:solo:status"' in done.stdout
    assert servers.ACL_PASSWORD not in done.stdout + done.stderr


@pytest.fixture
def embedded(short_tmp: Path) -> Iterator[dict[str, str]]:
    """The environment in which the embedded server is one of this test."""
    yield {"LARRY_EMBEDDED_DIR": str(short_tmp / "e"), "LARRY_EMBEDDED_IDLE_S": "2", "LARRY_REDIS_PATIENCE": "1"}
    for path in (short_tmp / "e").glob("**/*.sock"):
        with contextlib.suppress(redis.RedisError), redis.Redis(unix_socket_path=str(path)) as client:
            client.shutdown(nosave=True)


def fallen_back(directory: Path, acl: servers.Servers) -> Path:
    """A plan whose server is not there, and that may fall back to the embedded one."""
    face = Face(directory, acl, "environment")
    plan = yaml.safe_load(face.file.read_text(encoding="utf-8"))
    plan["run"] |= {"redis": f"redis://127.0.0.1:{servers.free_port()}/0", "controllers": 1, "fallback": "embedded"}
    face.file.write_text(yaml.safe_dump(plan, sort_keys=False), encoding="utf-8")
    return face.file


def test_the_callback_goes_where_the_controller_went(
    acl: servers.Servers, embedded: dict[str, str], make_commands: Any, tmp_path: Path
) -> None:
    playbook = tmp_path / "joins.yml"
    playbook.write_text(JOINS, encoding="utf-8")
    commands = make_commands(**embedded, ANSIBLE_STDOUT_CALLBACK="cortex.larry.console", LARRY_CONSOLE_VIEW="lines")
    done = commands.playbook(playbook, "-i", fallen_back(tmp_path, acl))
    assert done.returncode == 0, done.stdout
    assert "told_this" in done.stdout and "live view ended" not in done.stdout


def test_the_launcher_goes_where_the_controller_went(
    acl: servers.Servers, embedded: dict[str, str], make_commands: Any, tmp_path: Path
) -> None:
    file = fallen_back(tmp_path, acl)
    variables = dict(make_commands(**embedded).variables)
    del variables["ANSIBLE_CONFIG"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "launch.py"), "--plan", str(file), "--plain"],
        cwd=tmp_path, env=variables, text=True, capture_output=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "does not answer" not in done.stdout and "catalog-deployments" in done.stdout
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("Server "))
    assert "LARRY_REDIS=" not in line
