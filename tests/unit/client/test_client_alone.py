# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python face without a server, and without redis-py."""

from __future__ import annotations

import inspect
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.lock

from ansible_collections.cortex.larry.plugins.module_utils import client as larry

COLLECTIONS = Path(__file__).resolve().parents[3] / "playbooks" / "collections"
pytestmark = pytest.mark.main_core


def test_the_errors_are_those_of_redis_py() -> None:
    assert larry.LockError is redis.exceptions.LockError
    assert larry.LockNotOwnedError is redis.exceptions.LockNotOwnedError


def test_it_can_be_imported_without_redis_py() -> None:
    """Scripts that only name the errors, and tools that look at the file, need no redis-py."""
    script = """
import sys
sys.modules["redis"] = None
from ansible_collections.cortex.larry.plugins.module_utils import client
assert issubclass(client.LockNotOwnedError, client.LockError)
assert issubclass(client.LockError, ValueError)
try:
    client.Lock("redis://localhost", "l")
except client.SettingsError as error:
    print(error.sentence)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(COLLECTIONS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("The Python package redis is missing"), done.stderr


def test_it_imports_nothing_of_ansible() -> None:
    script = """
import sys
from ansible_collections.cortex.larry.plugins.module_utils import client
print([name for name in sys.modules if name.partition(".")[0] == "ansible"])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": str(COLLECTIONS)}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_signatures_are_those_of_redis_py() -> None:
    """Every call that a program makes on redis-py's lock can be made on ours, with the same defaults."""
    for name in ("__init__", "acquire", "release", "extend", "reacquire", "owned", "locked", "__enter__", "__exit__"):
        theirs = inspect.signature(getattr(redis.lock.Lock, name)).parameters
        ours = inspect.signature(getattr(larry.Lock, name)).parameters
        shared = list(ours.values())[: len(theirs)]
        assert [(one.name, one.default, one.kind) for one in shared] == [
            (one.name, one.default, one.kind) for one in theirs.values()
        ], name
        assert all(one.kind is inspect.Parameter.KEYWORD_ONLY for one in list(ours.values())[len(theirs) :]), name


def public() -> list[Any]:
    """Public classes and their public methods."""
    found = []
    for name in larry.__all__:
        kind = getattr(larry, name)
        if kind.__module__ != larry.__name__:
            continue
        found.append(pytest.param(kind, id=name))
        for method, function in vars(kind).items():
            if not method.startswith("_") and callable(function):
                found.append(pytest.param(function, id=f"{name}.{method}"))
    return found


@pytest.mark.parametrize("thing", public())
def test_everything_public_is_described_and_typed(thing: Any) -> None:
    assert thing.__doc__
    function = thing.__init__ if isinstance(thing, type) else thing
    if isinstance(thing, type) and issubclass(thing, Exception):
        return
    hints = typing.get_type_hints(function)
    assert set(inspect.signature(function).parameters) - {"self"} <= set(hints)
    assert "return" in hints
    if not isinstance(thing, type):
        thing = function
    for name in set(inspect.signature(thing).parameters) - {"self", "options"}:
        assert f"{name}:" in thing.__doc__ or f"`{name}`" in thing.__doc__, f"{name} is not described"


@pytest.mark.parametrize(
    ("client", "url"),
    [
        (redis.Redis(), "redis://localhost:6379/0"),
        (redis.Redis(host="::1", port=1, db=2), "redis://[::1]:1/2"),
        (redis.Redis(unix_socket_path="/a dir/s", db=4), "unix:///a%20dir/s?db=4"),
        (redis.Redis.from_url("redis://me:my%40secret@h:7/3"), "redis://h:7/3"),
    ],
)
def test_the_address_of_a_client(client: redis.Redis, url: str) -> None:
    settings = larry.Lock(client, "l").settings
    assert settings.server == url
    given = client.connection_pool.connection_kwargs
    assert (settings.username, settings.password) == (given.get("username"), given.get("password"))
