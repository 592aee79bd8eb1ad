# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Controllers whose server is killed: it comes back, never does, was not there at the start, or lost something."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from durable_server import DurableServer
from servers import free_port

# They wait for most of their time, and nothing in them depends on the version of ansible-core.
pytestmark = pytest.mark.main_core

TASKS = ["east-slow", "east-echo", "west-echo"]


@pytest.fixture
def away(make_bench: Callable[..., Any]) -> Iterator[Callable[..., tuple[Any, DurableServer]]]:
    """Return a function that makes a bench on a server that keeps every write and that the test kills."""
    made: list[DurableServer] = []

    def make(*arguments: Any, **options: Any) -> tuple[Any, DurableServer]:
        bench = make_bench(*arguments, embedded=True, **options)
        server = DurableServer(bench.directory / "v").start()
        bench.socket = server.socket
        made.append(server)
        return bench, server

    yield make
    for server in made:
        server.kill()


def play(bench: Any, name: str, tasks: list[dict[str, Any]]) -> Path:
    """A playbook for the Larry `east` with these tasks, in any order of plays that a user writes."""
    path = bench.directory / f"{name}.yml"
    path.write_text(yaml.safe_dump([{"name": name, "hosts": "larry_east_coordinator", "gather_facts": False,
                                     "tasks": tasks}], sort_keys=False))  # fmt: skip
    return path


def when_told(bench: Any, name: str) -> dict[str, Any]:
    """A task that says that it is reached, and goes on when the test says so."""
    script = f"touch {bench.work}/{name}; while [ ! -e {bench.work}/{name}-go ]; do sleep 0.1; done"
    return {"name": f"Wait at {name}", "ansible.builtin.command": {"argv": ["sh", "-c", script]}}


@pytest.mark.parametrize("ttl", [3, 15])
def test_back_in_time(away: Any, ttl: int) -> None:
    """Killed in mid-task and back after more than the shorter TTL: both controllers finish as if nothing had been."""
    bench, server = away("pair")
    options = ["-e", f"larry_ttl={ttl}"]
    controllers = [bench.site("larry_east", *options, name="east"), bench.site("larry_west", *options, name="west")]
    bench.wait(lambda: bench.told()["start", "east-slow"], "the start of east-slow")
    bench.wait_event("barrier_arrived", member="west")
    before = bench.events()
    if bench.told()["end", "east-slow"]:
        pytest.fail("The task ended before the kill; the machine is too slow for this test.")
    server.kill()
    # The task ends and wants to be settled while the server is away.
    bench.wait(lambda: bench.told()["end", "east-slow"], "the end of east-slow")
    time.sleep(6)
    assert all(controller.running() for controller in controllers), bench.story(controllers)
    server.start()
    assert bench.all_end(controllers) == [0, 0], bench.story(controllers)
    log = bench.check_log(TASKS)
    assert log[: len(before)] == before, "what was in the log before is not in it any more"
    assert bench.told() == {
        ("start", "east-slow"): 1, ("end", "east-slow"): 1, ("echo", "east-echo"): 1, ("echo", "west-echo"): 1
    }  # fmt: skip
    assert [event["event"] for event in log].count("server_away") == 1
    for name in ("task_requeued", "lease_lapsed", "completion_fenced", "worker_failure", "slot_taken_over"):
        assert not bench.events(name), name
    bench.nothing_left()


def test_events_and_progress_while_it_is_away(away: Any) -> None:
    """A play does not wait to tell something; everything is in the log once, and the last progress is shown."""
    bench, server = away("pair")
    event = {"event": "told_this", "within_run": True}
    claim = {"worker": "east-one", "state": "claimed"}
    progress = {"task": "east-slow", "fence": "{{ claim.fence }}"}
    path = play(bench, "tells", [
        {"name": "Join", "cortex.larry.run": {"state": "joined"}},
        {"name": "Lead", "cortex.larry.phase": {"larry": "east", "state": "started"}},
        {"name": "Register", "cortex.larry.worker": {"worker": "east-one", "state": "registered"}},
        {"name": "Claim", "cortex.larry.task": claim, "register": "claim"},
        {"name": "Tell before", "cortex.larry.event": {**event, "data": {"number": 0}}},
        when_told(bench, "claimed"),
        {"name": "Tell", "cortex.larry.event": {**event, "data": {"number": "{{ item | int }}"}},
         "loop": [1, 2, 3], "register": "told"},
        {"name": "Say how far", "cortex.larry.progress": {**progress, "percent": 40}, "register": "far"},
        {"name": "See", "ansible.builtin.assert": {"that": [
            "told.results | map(attribute='journaled') | unique == [true]",
            "told.results | map(attribute='id') | unique == [none]", "far.state == 'away'", "far.held"]}},
        when_told(bench, "journaled"),
        {"name": "Go on", "cortex.larry.progress": {**progress, "percent": 50}, "register": "far"},
        {"name": "Tell after", "cortex.larry.event": {**event, "data": {"number": 4}}, "register": "told"},
        {"name": "See", "ansible.builtin.assert": {"that": [
            "far.state == 'held'", "not told.journaled", "told.id | int > 0"]}},
    ])  # fmt: skip
    process = bench.playbook(path, name="tells")
    bench.wait((bench.work / "claimed").exists, "the claim")
    server.kill()
    (bench.work / "claimed-go").touch()
    bench.wait((bench.work / "journaled").exists, "the journal", 90)
    (journal,) = (bench.directory / "x" / "cortex-larry").glob("journal-*")
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [record["kind"] for record in records] == ["event"] * 3 + ["progress"]
    assert stat.S_IMODE(journal.stat().st_mode) == 0o600
    server.start()
    (bench.work / "journaled-go").touch()
    assert process.wait(90) == 0, process.tail
    numbers = [int(entry["number"]) for entry in bench.events("told_this")]
    assert numbers == [0, 1, 2, 3, 4]
    assert not journal.exists()
    with bench.client as client:
        assert client.get("phase:east:progress") is not None


def test_never_back(away: Any) -> None:
    """A clear end after the time that was set, the journal is kept, and the next run delivers it once."""
    bench, server = away("pair", LARRY_REDIS_OUTAGE="4")
    event = {"event": "told_this", "within_run": True}
    path = play(bench, "ends", [
        {"name": "Join", "cortex.larry.run": {"state": "joined"}},
        when_told(bench, "joined"),
        {"name": "Tell", "cortex.larry.event": {**event, "data": {"number": 1}}},
        {"name": "Tell again", "cortex.larry.event": {**event, "data": {"number": 2}}},
        {"name": "Lead", "cortex.larry.phase": {"larry": "east", "state": "started"}},
        {"name": "Never", "cortex.larry.event": {**event, "data": {"number": 3}}},
    ])  # fmt: skip
    process = bench.playbook(path, name="ends")
    bench.wait((bench.work / "joined").exists, "the run to be joined")
    run = bench.events("run_created")[0]["run"]
    server.kill()
    (bench.work / "joined-go").touch()
    began = time.monotonic()
    assert process.wait(60) == 2, process.tail
    assert time.monotonic() - began < 40
    assert "waits no longer than 4 s (redis_outage)" in process.output, process.tail
    (journal,) = (bench.directory / "x" / "cortex-larry").glob("journal-*")
    assert str(journal) in process.output.replace("\n", ""), "the sentence names the journal"
    assert len(journal.read_text().splitlines()) == 2
    bench.nothing_left()
    server.start()
    again = bench.site(name="again")
    assert again.wait(120) == 0, again.tail
    log = bench.check_log(TASKS)
    assert log[0]["run"] == run, "the run was not resumed"
    assert [int(entry["number"]) for entry in log if entry["event"] == "told_this"] == [1, 2]
    assert not journal.exists()
    once_more = bench.site(name="once-more")
    assert once_more.wait(120) == 0, once_more.tail
    assert not bench.events("told_this"), "delivered a second time, into the log of the run after it"


def one_controller(url: str, fallback: bool) -> Callable[[dict[str, Any]], None]:
    def change(plan: dict[str, Any]) -> None:
        plan["run"].update(controllers=1, redis=url)
        plan["tasks"]["east-slow"]["parameters"]["seconds"] = 1
        if fallback:
            plan["run"]["fallback"] = "embedded"

    return change


def test_not_there_at_the_start(make_bench: Any) -> None:
    """One controller finishes on the embedded server, and the output and the report say so."""
    url = f"redis://127.0.0.1:{free_port()}/0"
    bench = make_bench("pair", one_controller(url, fallback=True), embedded=True)
    options = ["-e", "larry_redis_patience=1"]
    trial = bench.site(None, "--check", *options, name="check")
    assert trial.wait(90) == 0, trial.tail
    process = bench.site(None, *options, name="falls-back")
    assert process.wait(120) == 0, process.tail
    shown = " ".join(process.output.split())
    assert f"The coordination server {url} does not answer; this controller uses the embedded server" in shown
    bench.check_log(TASKS)
    summary = (bench.work / "coordination" / "reports" / "PAIR-EXECUTION-SUMMARY.md").read_text()
    assert f"in place of {url}, which did not answer at the start" in summary
    assert f"in place of {url}" in bench.final("east")["run"]["server"]
    with bench.client as client:
        assert client.hget("larry:run", "fallback") == url


def test_not_there_and_no_fallback(make_bench: Any) -> None:
    """Without run.fallback nothing is begun."""
    url = f"redis://127.0.0.1:{free_port()}/0"
    bench = make_bench("pair", one_controller(url, fallback=False), embedded=True)
    process = bench.site(None, "-e", "larry_redis_patience=1", name="refused")
    assert process.wait(60) == 2, process.tail
    assert "does not answer" in process.output
    assert not list((bench.directory / "e").glob("**/*.aof")), "the embedded server was started"


def test_it_does_not_fall_back_from_a_run(away: Any) -> None:
    """The server has an unfinished run that this machine knows of: the next controller does not begin another one."""
    bench, server = away("pair", one_controller("embedded", fallback=True), LARRY_REDIS_OUTAGE="2")
    first = bench.playbook(play(bench, "joins", [
        {"name": "Join", "cortex.larry.run": {"state": "joined"}}]), name="joins")  # fmt: skip
    assert first.wait(60) == 0, first.tail
    server.kill()
    process = bench.site(None, "-e", "larry_redis_patience=1", name="refused")
    assert process.wait(60) == 2, process.tail
    assert "does not answer" in process.output
    server.start()
    again = bench.site(name="again")
    assert again.wait(120) == 0, again.tail
    assert "resumed" in again.output or bench.events("run_created")[0]["run"] == bench.events("run_complete")[0]["run"]
    bench.check_log(TASKS)


def test_a_lost_history(away: Any) -> None:
    """Started on an older state in mid-run: the controllers end with a sentence; recovered, the next ones finish."""
    bench, server = away("pair", lambda plan: plan["barrier"].update(policy="wait"))
    east = bench.site("larry_east", name="east")
    bench.wait(lambda: bench.told()["start", "east-slow"], "the start of east-slow")
    server.kill()
    old = server.keep_data("old")
    server.start()
    west = bench.site("larry_west", name="west")
    bench.wait_event("barrier_arrived", member="west")
    seen = bench.events()
    server.kill()
    server.put_data(old)
    server.start()
    assert bench.all_end([east, west], 90) == [2, 2], bench.story([east, west])
    for controller in (east, west):
        assert "has lost a part of the history" in " ".join(controller.output.split()), controller.tail
    refused = bench.site("larry_east", name="refused")
    assert refused.wait(60) == 2 and "state=recovered" in " ".join(refused.output.split()), refused.tail
    recovered = bench.run("recover", name="recover")
    assert recovered.popen.returncode == 0, recovered.tail
    assert "Epoch 2 is open" in " ".join(recovered.output.split()), recovered.tail
    again = [bench.site("larry_east", name="east-again"), bench.site("larry_west", name="west-again")]
    assert bench.all_end(again) == [0, 0], bench.story(again)
    log = bench.check_log(TASKS)
    (event,) = (entry for entry in log if entry["event"] == "run_recovered")
    assert event["seen"] >= len(seen) > event["sequence"]
    assert bench.final("east")["run"]["epoch"] in (2, "2")
    # What the server had forgotten was done again, and it is the only thing that was.
    assert bench.told()["echo", "west-echo"] == 2
    bench.nothing_left()
