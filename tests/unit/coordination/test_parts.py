# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the coordination that need no server: settings, identities, the loading of a plan, sentences."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from ansible_collections.cortex.larry.plugins.module_utils._coordination.budgets import budget_view
from ansible_collections.cortex.larry.plugins.module_utils._coordination.definition import capabilities, load_steps
from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import SettingsError
from ansible_collections.cortex.larry.plugins.module_utils._coordination.events import chain
from ansible_collections.cortex.larry.plugins.module_utils._coordination.identity import Controller, process_alive
from ansible_collections.cortex.larry.plugins.module_utils._coordination.locks import duration, holders_sentence
from ansible_collections.cortex.larry.plugins.module_utils._coordination.runs import new_run_id
from ansible_collections.cortex.larry.plugins.module_utils._coordination.session import without_none
from ansible_collections.cortex.larry.plugins.module_utils._coordination.settings import (
    OPTIONS,
    Address,
    Settings,
    has_hash_tag,
)
from ansible_collections.cortex.larry.plugins.module_utils._coordination.snapshot import iso
from ansible_collections.cortex.larry.plugins.module_utils.options import (
    CONNECTION_SPEC,
    secrets_of,
    settings_of,
    with_sources,
)


@pytest.mark.parametrize(
    "server, shown",
    [
        ("embedded", "embedded"),
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("redis://user:secret@h:1/2", "redis://h:1/2"),
        ("redis://:secret@h", "redis://h"),
        ("unix:///run/s?db=1&password=secret", "unix:/run/s"),
    ],
)
def test_a_server_is_shown_without_its_password(server: str, shown: str) -> None:
    assert Settings.of(server).shown.replace("unix:///", "unix:/") == shown


@pytest.mark.parametrize("value", [None, "", {}, "http://h", "host:6379", {"url": "embedded", "colour": 1}])
def test_what_is_no_server_is_refused(value: Any) -> None:
    with pytest.raises(SettingsError):
        Settings.of(value)


@pytest.mark.parametrize("prefix", ["a b", "a\n", "\x00", "\t"])
def test_a_bad_prefix_is_refused(prefix: str) -> None:
    with pytest.raises(SettingsError, match="prefix must not hold"):
        Settings.of("embedded", prefix=prefix)


def test_a_mapping_wins_over_the_default_prefix() -> None:
    assert Settings.of({"url": "embedded", "prefix": "x:"}, prefix="y:").prefix == "x:"
    assert Settings.of("embedded", prefix="y:").prefix == "y:"


@pytest.mark.parametrize(
    "url, kind, tls, hosts, service, db",
    [
        ("redis://h", "single", False, (("h", 6379),), "", 0),
        ("rediss://h:1/3", "single", True, (("h", 1),), "", 3),
        ("redis://[::1]:7", "single", False, (("::1", 7),), "", 0),
        ("redis://[fe80::1]", "single", False, (("fe80::1", 6379),), "", 0),
        ("redis+sentinel://a,b:1/larry", "sentinel", False, (("a", 26379), ("b", 1)), "larry", 0),
        ("rediss+sentinel://u:p@a/my.service-1/2", "sentinel", True, (("a", 26379),), "my.service-1", 2),
        ("redis+cluster://a:1,[::1]:2,c", "cluster", False, (("a", 1), ("::1", 2), ("c", 6379)), "", 0),
        ("rediss+cluster://a/0", "cluster", True, (("a", 6379),), "", 0),
    ],
)  # fmt: skip
def test_what_a_url_says(url: str, kind: str, tls: bool, hosts: Any, service: str, db: int) -> None:
    address = Address.of(url)
    assert (address.kind, address.tls, address.hosts, address.service, address.db) == (kind, tls, hosts, service, db)
    assert "p@" not in address.shown


def test_user_and_password_of_a_url() -> None:
    address = Address.of("redis://a%40b:c%2Fd%3A@h")
    assert (address.username, address.password) == ("a@b", "c/d:")
    address = Address.of("unix:///run/s?db=2&password=x")
    assert (address.path, address.db, address.username, address.password) == ("/run/s", 2, None, "x")


SECRET = "hunter2"


@pytest.mark.parametrize(
    "url",
    [
        "redis://", "redis://:hunter2@", "redis://h:0", "redis://h:65536", "redis://h:x", "redis://h/one", "redis://h/0/1",
        "redis://h?ssl_cert_reqs=none", "rediss://:hunter2@h?ssl_check_hostname=False", "redis://h#hunter2", "redis://a,b",
        "redis+sentinel://h", "redis+sentinel://h/", "redis+sentinel://h/a b", "redis+sentinel://h/a/x",
        "redis+cluster://h/1", "redis+other://h", "unix+cluster:///s", "unix://host/s", "unix:s", "ftp://h",
        "redis://h/hunter2", "redis+cluster://:hunter2@a,:1", "redis://:hunter2/x@h",
    ],
)  # fmt: skip
def test_a_wrong_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.of({"url": url, "prefix": "{a}"})
    assert SECRET not in caught.value.sentence and caught.value.__cause__ is None


@pytest.mark.parametrize(
    "prefix, has", [("{a}", True), ("x{a}y", True), ("{{a}", True), ("", False), ("{}", False), ("{}{a}", False),
                    ("a}b{", False), ("{", False), ("a", False)],
)  # fmt: skip
def test_hash_tags(prefix: str, has: bool) -> None:
    """As Redis counts them: the first brace, and what stands before the first one that closes it, if anything."""
    assert has_hash_tag(prefix) is has


@pytest.mark.parametrize(
    "options, fragment",
    [
        ({"tls_ca_file": "x"}, "is for TLS"), ({"sentinel_password": "x"}, "is for a redis.sentinel:// URL"),
        ({"url": "rediss://h", "tls_key_file": "x"}, "set tls_cert_file too"),
        ({"timeout": "soon"}, "number of seconds"),
        ({"timeout": 0}, "number of seconds"), ({"patience": -1}, "number of seconds"),
        ({"timeout": float("nan")}, "number of seconds"),
        ({"url": "rediss://h", "tls_check_hostname": "maybe"}, "true or false"),
        ({"colour": 1}, "does not know colour"),
        ({"password_env": "NOT_SET_IN_A_TEST"}, "NOT_SET_IN_A_TEST, which holds the password"),
        ({"url": "redis+cluster://h", "prefix": "larry:"}, "write {larry}: instead of 'larry:'"),
    ],
)  # fmt: skip
def test_options_that_cannot_be_are_refused(options: dict[str, Any], fragment: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.of({"url": "redis://h", **options})
    assert fragment.replace(".", "+") in caught.value.sentence or fragment in caught.value.sentence


def test_settings_survive_the_pipe_to_the_keeper(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("A_TESTS_SECRET", SECRET)
    monkeypatch.chdir(tmp_path)
    settings = Settings.of(
        {
            "url": "rediss+sentinel://a,b/larry", "prefix": "p:", "username": "u", "password_env": "A_TESTS_SECRET",
            "timeout": "2.5", "tls_ca_file": "ca.pem", "tls_cert_file": "~/c.pem", "tls_check_hostname": "no",
            "tls_key_password_env": "A_TESTS_SECRET", "sentinel_username": "s",
            "sentinel_password_env": "A_TESTS_SECRET", "sentinel_tls": False,
        }
    )  # fmt: skip
    assert Settings(**json.loads(json.dumps(settings.as_dict()))) == settings
    assert settings.tls_ca_file == str(tmp_path / "ca.pem") and settings.tls_cert_file == os.path.expanduser("~/c.pem")
    assert (settings.password, settings.tls_key_password, settings.sentinel_password) == (SECRET,) * 3
    assert (settings.timeout_s, settings.tls_check_hostname, settings.sentinel_tls) == (2.5, False, False)
    assert SECRET not in repr(settings) and SECRET not in settings.shown


def test_a_fail_over_is_waited_for() -> None:
    assert Settings.of("redis://h").patience_s < Settings.of("redis+sentinel://h/larry").patience_s
    assert Settings.of({"url": "redis+sentinel://h/larry", "patience": 3}).patience_s == 3


def test_what_the_environment_says_of_a_server_is_not_for_the_embedded_one() -> None:
    settings = Settings.of({"url": "embedded", "password": SECRET, "tls_ca_file": "x", "username": "u"})
    assert (settings.password, settings.username, settings.tls_ca_file) == (None, None, None)


def test_one_option_set_for_tasks_mappings_variables_and_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("LARRY_"):
            monkeypatch.delenv(name)
    said = {
        "username": "u", "password": SECRET, "timeout": 2.0, "patience": 3.0, "tls_ca_file": "/ca", "prefix": "p:",
        "tls_cert_file": "/c", "tls_key_file": "/k", "tls_key_password": "kp", "tls_check_hostname": False,
        "sentinel_username": "su", "sentinel_password": "sp", "sentinel_tls": False,
    }  # fmt: skip
    assert set(said) == set(OPTIONS)
    url = "rediss+sentinel://h/larry"
    wanted = Settings.of({"url": url, **said})
    names = {name: name if name == "prefix" else f"redis_{name}" for name in said}
    tasks = {"redis": url} | {names[name]: value for name, value in said.items()}
    variables = {f"larry_{name}": value for name, value in tasks.items()}
    assert set(tasks) <= set(CONNECTION_SPEC)
    assert settings_of(with_sources(tasks)) == wanted
    assert settings_of(with_sources({"redis": {"url": url, **said}})) == wanted
    assert settings_of(with_sources({}, {"larry_redis": {"url": url, **said}}.get)) == wanted
    assert settings_of(with_sources({}, variables.get)) == wanted
    for name, value in variables.items():
        monkeypatch.setenv(name.upper(), str(value))
    assert settings_of(with_sources({})) == wanted
    # A task wins over a variable, a variable over the environment, and each of them over a mapping.
    assert settings_of(with_sources({"redis_username": "t"}, {"larry_redis_username": "v"}.get)).username == "t"
    assert settings_of(with_sources({}, {"larry_redis_username": "v"}.get)).username == "v"
    assert settings_of(with_sources({"redis": {"url": url, "username": "m"}})).username == "u"
    assert set(secrets_of(with_sources({}))) == {SECRET, "kp", "sp"}


def test_a_mapping_becomes_options_that_a_target_can_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TESTS_SECRET", SECRET)
    filled = with_sources({}, {"larry_redis": {"url": "redis://h", "password_env": "A_TESTS_SECRET"}}.get)
    assert (filled["redis"], filled["redis_password"]) == ("redis://h", SECRET)
    with pytest.raises(SettingsError, match="does not know colour"):
        settings_of(with_sources({"redis": {"url": "redis://h", "colour": 1}}))


def test_a_controller_is_one_incarnation() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        one = Controller.of_process(process.pid)
        assert one == Controller.of_process(process.pid)
        assert one.alive()
        assert one.id != Controller.of_process(os.getpid()).id
        assert not process_alive(process.pid, "0")
        process.kill()
        # A zombie does not run, although its process id is still taken.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not one.alive()
    finally:
        process.communicate()
    assert not one.alive()


@pytest.mark.parametrize(
    "milliseconds, said",
    [
        (None, "without an expiry"), (-1, "without an expiry"), (0, "0.0 s"), (1500, "1.5 s"), (12_000, "12 s"),
        (65_000, "1 min 5 s"), (59_999, "1 min 0 s"),
    ],
)  # fmt: skip
def test_durations_as_people_say_them(milliseconds: float | None, said: str) -> None:
    assert duration(milliseconds) == said


def test_holders_as_people_name_them() -> None:
    said = holders_sentence(
        [{"owner": "a", "reason": "r", "left_ms": 2000}, {"owner": "b", "state": "foreign", "left_ms": -1}]
    )
    assert said == "a (r), 2.0 s left unless renewed; b, set by another client, without an expiry"


def test_none_is_left_out_at_every_depth() -> None:
    assert without_none({"a": None, "b": [{"c": None, "d": 0}], "e": False}) == {"b": [{"d": 0}], "e": False}


def test_run_ids_sort_by_time_and_differ() -> None:
    early = new_run_id(datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc))
    late = new_run_id(datetime.datetime(2026, 1, 1, 0, 0, 1, tzinfo=datetime.timezone.utc))
    assert early < late and early.startswith("20260101T000000Z-")
    assert len({new_run_id() for _number in range(50)}) == 50


def test_server_times() -> None:
    assert iso(None) is None and iso("") is None
    assert iso("1795251087616116") == "2026-11-21T08:51:27.616116Z"


def test_the_chain_depends_on_order_and_content() -> None:
    assert chain([]) == ""
    assert chain([{"a": 1, "b": 2}]) == chain([{"b": 2, "a": 1}])
    assert chain([{"a": 1}, {"b": 2}]) != chain([{"b": 2}, {"a": 1}])


def test_accounts_as_numbers() -> None:
    view = budget_view({"used": "5", "limit:w": "10", "used:w": "5", "requests": "2"}, "100", "7", "25")
    assert view["accounts"] == {"w": {"limit": 10, "used": 5, "held": 0}}
    assert (view["limit"], view["used"], view["reserve_left"], view["metered_requests"]) == (100, 5, 18, 2)


def _plan(count: int) -> dict[str, Any]:
    def task(number: int) -> dict[str, Any]:
        return {
            "id": f"t{number}", "larry": "l", "index": number, "capability": f"c{number % 3}", "worker": None,
            "depends_on": [f"t{number - 1}"] if number else [], "after": ["t0"] if number > 1 else [], "touches": [],
            "metered": False, "planned_s": 0.4, "deadline_s": 10, "attempts": 1, "backoff_s": 2,
        }  # fmt: skip

    return {
        "time_scale": 20.0,
        "larrys": {
            "l": {
                "id": "l", "domain": "d", "node": "n", "phase_s": 100, "checkpoints": [{"at_s": 10, "progress": 5}],
                "masters": {"m": {"tokens": 30, "pool": 15}}, "tokens": 50, "workers": ["w"],
            }
        },
        "workers": {"w": {"id": "w", "larry": "l", "node": "n", "tokens": 5, "capabilities": ["x", "c0"]}},
        "tasks": {f"t{number}": task(number) for number in range(count)},
    }  # fmt: skip


def test_a_plan_is_loaded_in_steps_that_lose_nothing() -> None:
    steps = list(load_steps(_plan(450)))
    tasks = [task for step in steps for task in step.get("tasks", [])]
    assert max(len(step.get("tasks", [])) for step in steps) <= 200
    assert [task["id"] for task in tasks] == [f"t{number}" for number in range(450)]
    by_id = {task["id"]: task for task in tasks}
    waiting = dict.fromkeys(by_id, 0)
    for task in tasks:
        for entry in task["dependents"]:
            kind, _colon, child = entry.partition(":")
            waiting[child] += 1
            listed = json.loads(by_id[child]["depends_on" if kind == "h" else "after"])
            assert task["id"] in listed
    assert {name: task["waiting"] for name, task in by_id.items()} == waiting


def test_planned_time_becomes_real_time() -> None:
    first = next(iter(load_steps(_plan(1))))["larrys"][0]
    task = list(load_steps(_plan(1)))[-1]["tasks"][0]
    assert first["phase_us"] == 5_000_000 and first["planned_us"] == 4_500_000
    assert json.loads(first["checkpoints"]) == [{"at_s": 10, "at_us": 500_000, "progress": 5}]
    assert task["deadline_us"] == 500_000
    assert task["backoff_us"] == 2_000_000  # real seconds
    assert task["weight"] == 1  # even the shortest counts
    assert first["accounts"] == {"w": 5, "m": 45}


def test_capabilities_of_tasks_and_workers() -> None:
    assert capabilities(_plan(2)) == ["c0", "c1", "x"]
