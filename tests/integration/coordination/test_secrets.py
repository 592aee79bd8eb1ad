# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No password in a key, an event, an error, a file or a list of processes (law 12)."""

from __future__ import annotations

import dataclasses
import json
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cortex.larry.plugins.module_utils._coordination.barriers import BarrierService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.connection import connect, disconnect
from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import CoordinationError
from ansible_collections.cortex.larry.plugins.module_utils._coordination.locks import LockService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.session import Session
from ansible_collections.cortex.larry.plugins.module_utils._coordination.settings import Settings

SECRET = "hunter2-planted"


@pytest.fixture
def guarded(place: Any, valkey_server: Any) -> Iterator[Any]:
    """The server with a user that has a password, and a place whose URL holds it."""
    started = valkey_server.started
    connection = valkey_server.connection if started else {"url": valkey_server.url}
    scheme, _colon, rest = connection["url"].partition("://")
    connection["url"] = f"{scheme}://planted:{SECRET}@{rest.rpartition('@')[2]}"
    servers = [one for name, one in started.processes.items() if "sentinel" not in name] if started else [valkey_server]
    for one in servers:
        one.client().execute_command("ACL", "SETUSER", "planted", "on", ">" + SECRET, "~*", "&*", "+@all")
    settings = Settings.of({**connection, "prefix": place.settings.prefix})
    yield dataclasses.replace(place, settings=settings)
    disconnect(settings)
    for one in servers:
        one.client().execute_command("ACL", "DELUSER", "planted")


def everything(plain: Any, prefix: str) -> str:
    """Every key under the prefix with its content, as text."""
    out = []
    for name in plain.scan_iter(prefix + "*", count=1000):
        kind = plain.type(name)
        read = {
            "string": plain.get, "hash": plain.hgetall, "set": plain.smembers, "stream": plain.xrange,
            "list": lambda key: plain.lrange(key, 0, -1), "zset": lambda key: plain.zrange(key, 0, -1),
        }[kind]  # fmt: skip
        out.append(f"{name} {read(name)}")
    return "\n".join(out)


def test_nothing_holds_it(guarded: Any, processes: Any, crew_at: Any, plan_of: Any) -> None:
    plan = plan_of({"larry-01": {"w1": ["cap"]}}, [{"id": "a"}])
    controller, process = processes.controller()
    one = crew_at(guarded, plan, controller).lead()
    one.do("w1", result={"summary": {"a": 1}})
    LockService(guarded.session(controller)).acquire("db", reason="r")
    BarrierService(guarded.session(controller)).meet("b", count=2, turn_s=0)
    text = everything(guarded.plain, guarded.settings.prefix)
    assert "larry:log" in text and "worker_registered" in text
    assert SECRET not in text
    (keeper,) = processes.keepers()
    for name in ("cmdline", "environ"):
        assert SECRET.encode() not in Path(f"/proc/{keeper}/{name}").read_bytes()
    for path in processes.runtime.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path


def test_the_keeper_has_no_part_of_our_environment_that_names_a_server(
    guarded: Any, processes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LARRY_REDIS may hold the URL with the password; the keeper got its settings through a pipe."""
    monkeypatch.setenv("LARRY_REDIS", guarded.settings.server)
    controller, _process = processes.controller()
    LockService(guarded.session(controller)).acquire("db")
    (keeper,) = processes.keepers()
    assert SECRET.encode() not in Path(f"/proc/{keeper}/environ").read_bytes()


def sentences(server: Any, **options: Any) -> str:
    """Everything that a wrong connection says, with the error's facts and its cause's text."""
    try:
        settings = Settings.of({"url": server, **options})
        disconnect(settings)
        connect(settings).connection_pool.connection_kwargs["retry"] = None
        Session(settings, _controller(), "h").call("lock_check", {"name": "x"})
    except CoordinationError as error:
        return error.sentence + json.dumps(error.facts) + repr(error)
    raise AssertionError("it worked")


def _controller() -> Any:
    from ansible_collections.cortex.larry.plugins.module_utils._coordination.identity import Controller

    return Controller("c", 1, "0", "h")


@pytest.mark.parametrize(
    "server",
    [
        "redis://larry:{0}@127.0.0.1:1/0",
        "redis://larry:{0}@127.0.0.1:{port}/0",  # no such user
        "redis://larry:{0}@127.0.0.1:{port}/not-a-number",
        pytest.param("redis://larry:{0}@127.0.0.1:99999/0"),
        pytest.param("redis://:{0}/slash@127.0.0.1:1/0"),
        pytest.param("redis://:a#{0}@127.0.0.1:1/0"),
        pytest.param("redis://:a?{0}@127.0.0.1:1/0"),
        "unix://larry:{0}@/nowhere/s",
        "unix:///nowhere/s?password={0}",
        "rediss://larry:{0}@127.0.0.1:1",
        "{0}",
        "[{0}",
        pytest.param("redis://[{0}]:1"),
    ],
)
def test_no_error_shows_it(valkey_server: Any, server: str) -> None:
    said = sentences(server.format(SECRET, port=valkey_server.port))
    assert SECRET not in said


def test_a_password_beside_the_url_is_not_shown(valkey_server: Any) -> None:
    said = sentences(f"redis://127.0.0.1:{valkey_server.port}/0", username="nobody", password=SECRET)
    assert "refused the user or the password" in said
    assert SECRET not in said


@pytest.mark.parametrize("server", [f"redis://u:{SECRET}@h:1/0", f"unix:///s?password={SECRET}"])
def test_settings_do_not_show_it(server: str) -> None:
    settings = Settings.of({"url": server, "password": SECRET})
    assert SECRET not in settings.shown
    assert SECRET not in repr(settings)
    assert urllib.parse.quote(SECRET) not in str(settings)
