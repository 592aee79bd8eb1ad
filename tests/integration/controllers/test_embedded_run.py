# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shipped plan on an embedded server: three controllers at once, watched with plain Redis commands."""

from __future__ import annotations

import json
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

ROOT = Path(__file__).resolve().parents[3]
PLAN = ROOT / "inventories" / "embedded" / "three-larrys.larry.yml"
LARRYS = ["larry-01", "larry-02", "larry-03"]
REAL = ["catalog-deployments", "catalog-helm-releases", "classify-assets"]


class Watcher(threading.Thread):
    """What an operator sees during the run: the channels, the locks and the phases."""

    def __init__(self, client: redis.Redis) -> None:
        super().__init__(daemon=True)
        self.client = client
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.locks: dict[str, set[str]] = {}
        self.states: dict[str, list[str]] = {larry: [] for larry in LARRYS}
        self.progress: dict[str, list[int]] = {larry: [] for larry in LARRYS}
        self.over = threading.Event()

    def run(self) -> None:
        with self.client.pubsub() as channel:
            channel.subscribe("larry:coordination", "larry:alerts")
            while not self.over.is_set():
                message = channel.get_message(timeout=0.02)
                while message:
                    if message["type"] == "message":
                        self.messages.append((message["channel"], json.loads(message["data"])))
                    message = channel.get_message(timeout=0)
                for key in self.client.scan_iter("task:lock:*"):
                    owner = self.client.get(key)
                    if owner is not None:
                        self.locks.setdefault(key, set()).add(owner)
                for larry in LARRYS:
                    state = self.client.get(f"phase:{larry}:status")
                    if state and state not in self.states[larry][-1:]:
                        self.states[larry].append(state)
                    progress = self.client.get(f"phase:{larry}:progress")
                    if progress is not None:
                        self.progress[larry].append(int(progress))


@pytest.fixture(scope="module")
def done(make_module_bench: Callable[..., Any]) -> Iterator[Any]:
    """Three controllers that have ended, with `codes`, `controllers` and `watcher` of their run."""
    bench = make_module_bench(PLAN, embedded=True)
    bench.controllers = [bench.site(larry.replace("-", "_"), name=larry) for larry in LARRYS]
    bench.wait(lambda: bench.client.ping() is True, "the embedded server", 60)
    bench.watcher = Watcher(bench.client)
    bench.watcher.start()
    bench.codes = bench.all_end(bench.controllers, 240)
    bench.watcher.over.set()
    bench.watcher.join(10)
    yield bench


def test_one_run(done: Any) -> None:
    """One run by three controllers, each task settled exactly once by the log."""
    tasks = json.loads((done.work / "coordination/reports/larry-01-final.json").read_text())["plan"]["tasks"]
    assert len(tasks) == 16
    log = done.check_log(list(tasks))
    assert len({event["controller"] for event in log if event["event"] == "run_joined"}) == 3
    failed = {event["task_id"]: event["cause"] for event in log if event["event"] == "task_failed"}
    assert not failed, failed
    assert done.codes == [0, 0, 0], "\n".join(one.tail for one in done.controllers)
    completed = {event["task_id"] for event in log if event["event"] == "task_completed"}
    assert completed == set(REAL)


def test_the_right_work(done: Any) -> None:
    """Each task was carried out by the entry point that the plan names for it: its evidence is its own."""
    evidence = {
        task: sorted(path.name for path in (done.work / "coordination/evidence" / task).iterdir()) for task in REAL
    }
    assert evidence["catalog-deployments"] != evidence["catalog-helm-releases"], evidence
    assert any("helm" in name for name in evidence["catalog-helm-releases"]), evidence
    assert not any("helm" in name for name in evidence["catalog-deployments"]), evidence


def test_one_report(done: Any) -> None:
    """One report, by one controller, under the documented names; it holds the whole log."""
    reports = done.work / "coordination" / "reports"
    assert {path.name for path in reports.iterdir()} >= {
        *(f"{larry}-final.json" for larry in LARRYS), "3-LARRY-EXECUTION-SUMMARY.md", "3-LARRY-EXECUTION-SUMMARY.html"
    }  # fmt: skip
    assert (done.work / "coordination/execution-plans/3-LARRY-ORCHESTRATION-PLAN.md").is_file()
    finals = [done.final(larry) for larry in LARRYS]
    run = done.events("run_created")[0]["run"]
    assert {final["run"]["id"] for final in finals} == {run}
    assert {final["written_at"] for final in finals} == {finals[0]["written_at"]}, "files of different reports"
    reported = sorted({int(event["id"]) for final in finals for event in final["events"]})
    assert reported == list(range(1, len(reported) + 1)), "gaps in the reported log"
    assert reported[-1] >= int(done.events("run_complete")[0]["id"]), "the report ends before the run"


def test_the_log_ends_with_the_run(done: Any) -> None:
    """What ends in order raises no alarm: nothing is lost, lapsed or failed after run_complete."""
    after = done.events()
    after = after[[event["event"] for event in after].index("run_complete") + 1 :]
    alarms = [
        event["event"] for event in after if event["event"] in ("worker_failure", "lease_lapsed", "controller_gone")
    ]
    assert alarms == []


def test_seen_during_the_run(done: Any) -> None:
    """SCAN and GET of task locks show the Larry's id; phases go forward; the channels carry what the log has."""
    watcher = done.watcher
    assert watcher.locks, "no task:lock was ever seen"
    owner = {
        task: done.final("larry-01")["plan"]["tasks"][task]["larry"] for task in done.final("larry-01")["plan"]["tasks"]
    }
    for key, owners in watcher.locks.items():
        assert owners == {owner[key.removeprefix("task:lock:")]}, key
    assert {f"task:lock:{task}" for task in REAL} <= set(watcher.locks)
    for larry in LARRYS:
        order = ["pending", "in_progress", "completed"]
        places = [order.index(state) for state in watcher.states[larry]]
        assert places == sorted(places) and watcher.states[larry][-1] == "completed", watcher.states
        assert watcher.progress[larry] == sorted(watcher.progress[larry]), "progress went back"
    logged = {event["id"]: event for event in done.events()}
    alerts = {"task_conflict", "worker_failure", "critical_cve", "rollback_initiated"}
    heard = [message for _channel, message in watcher.messages]
    for channel, message in watcher.messages:
        assert {"id", "from", "event", "timestamp", "run"} <= set(message)
        assert channel == ("larry:alerts" if message["event"] in alerts else "larry:coordination"), message["event"]
        if "." not in message["id"]:
            assert logged[message["id"]] == message
    assert {"task_claimed", "task_completed", "phase_complete", "barrier_open", "run_complete", "progress_update"} <= {
        message["event"] for message in heard
    }


def test_keys_after_the_run(done: Any) -> None:
    """The documented keys keep their last state until the clean-up."""
    with done.client as client:
        for larry in LARRYS:
            assert client.get(f"phase:{larry}:status") == "completed"
            assert client.get(f"phase:{larry}:progress") == "100"
            assert client.get(f"phase:{larry}:started_at") <= client.get(f"phase:{larry}:completed_at")
            assert client.get(f"phase:{larry}:started_at").endswith("Z")
        assert client.get("tokens:larry-01:limit") == "111000"
        assert client.get("tokens:larry-02:limit") == "81000"
        assert client.get("tokens:larry-03:limit") == "211000"
        assert client.get("tokens:larry-01:used") == "0"
        assert json.loads(client.get("phase:larry-02:tasks"))[0] == "security-scan-group-01"
        assert len(json.loads(client.get("phase:larry-03:workers"))) == 8
        assert client.get("worker:larry-01-cleanup-worker:master") == "larry-01"
        assert client.get("worker:larry-01-cleanup-worker:node") == "k3s-worker01"
        assert client.get("worker:larry-01-cleanup-worker:status") == "completed"
        # No scan could run in this release, and what was not measured has no figures.
        assert client.hgetall("phase:larry-02:findings") == {}
        assets = client.get("phase:larry-03:inventory:assets_discovered")
        catalogue = json.loads(client.hget("task:result:catalog-deployments", "result"))
        assert assets is not None, "phase:larry-03:inventory:assets_discovered was never published"
        assert int(assets) >= 150
        assert int(assets) in [value for value in catalogue["summary"].values() if isinstance(value, int)]


def test_nothing_is_left_running(done: Any) -> None:
    done.nothing_left()


def test_regenerated_report(done: Any) -> None:
    """The report again, from any N final files, without a server, from anywhere."""
    reports = done.work / "coordination" / "reports"
    made = {}
    for names in (LARRYS, ["larry-02"]):
        files = [str(reports / f"{larry}-final.json") for larry in names]
        # Beside the first summary, since its commands name the files as seen from its directory.
        output = reports / f"AGAIN-{len(names)}.md"
        variables = json.dumps({"larry_files": files, "larry_output": str(output)})
        process = done.start("ansible-playbook", ROOT / "playbooks/report.yml", "-e", variables)
        assert process.wait(60) == 0, process.tail
        made[len(names)] = output.read_text()
        assert output.with_suffix(".html").exists()
    assert made[3] == (reports / "3-LARRY-EXECUTION-SUMMARY.md").read_text()
    assert "larry-02" in made[1] and made[1] != made[3]


def test_status_and_archive(done: Any) -> None:
    """status shows every Larry; archive writes one timestamped file with reports, plan and the whole log."""
    status = done.run("status")
    assert status.wait() == 0, status.tail
    assert all(larry in status.output for larry in LARRYS) and "completed" in status.output
    archive = done.run("archive")
    assert archive.wait() == 0, archive.tail
    (path,) = (done.work / "coordination" / "archive").glob("*.tar.gz")
    run = done.events("run_created")[0]["run"]
    assert path.name.startswith(run) or run in path.name
    with tarfile.open(path) as content:
        names = [name.partition("/")[2] for name in content.getnames()]
        stream = content.extractfile(f"{run}/events.jsonl")
        assert stream is not None
        events = [json.loads(line) for line in stream.read().splitlines()]
    assert {
        "events.jsonl",
        "plan.larry.yml",
        "reports/3-LARRY-EXECUTION-SUMMARY.md",
        "reports/larry-01-final.json",
    } <= set(names)
    assert [event["id"] for event in events] == [str(number) for number in range(1, len(events) + 1)]
    assert events == done.events()[: len(events)]


def test_cleanup(done: Any) -> None:
    """cleanup deletes this run's keys by name and nothing else. The last test: it takes the run away."""
    with done.client as client:
        client.set("task:lock:of-somebody-else", "them")
        client.set("phase:larry-09:status", "theirs")
        client.set("other", "1")
        ours = set(client.scan_iter("*")) - {"task:lock:of-somebody-else", "phase:larry-09:status", "other"}
        assert len(ours) > 50
    cleanup = done.run("cleanup")
    assert cleanup.wait() == 0, cleanup.tail
    with done.client as client:
        left = set(client.scan_iter("*"))
    assert {"task:lock:of-somebody-else", "phase:larry-09:status", "other"} <= left, "keys of others were deleted"
    named = ("task:", "phase:", "worker:", "metrics:", "tokens:", "larry:log", "larry:run")
    rest = sorted(key for key in left & ours if key.startswith(named))
    assert rest == []
    # What stays belongs to stand-alone locks (fences must not start anew), or goes by itself, and never to the run.
    kept = ("larry:standalone", "larry:lately:")
    assert all("lock" in key or key.startswith(kept) for key in left & ours), sorted(left & ours)
    with done.client as client:
        assert all(client.pttl(key) <= 120_000 for key in left if key.startswith("larry:lately:"))
        assert all(client.pttl(key) != -1 for key in left if key.startswith("larry:lately:"))
