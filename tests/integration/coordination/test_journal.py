# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal: what is told while the server is away is in the log once when it is back, whoever delivers it."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from durable_server import DurableServer

from ansible_collections.cortex.larry.plugins.module_utils._coordination import journal as journals
from ansible_collections.cortex.larry.plugins.module_utils._coordination.connection import disconnect
from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import ServerUnavailable
from ansible_collections.cortex.larry.plugins.module_utils._coordination.events import EventService, write_journal
from ansible_collections.cortex.larry.plugins.module_utils._coordination.session import Session, new_operation
from ansible_collections.cortex.larry.plugins.module_utils._coordination.settings import Settings

ONE = {"larry-01": {"w1": ["cap"]}}
DIGEST = "d" * 64
SECRET = "a-password-that-no-file-may-hold"


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The runtime directory of this test alone."""
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path / "run" / "cortex-larry"


@pytest.fixture
def there(durable: DurableServer, place: Any, runtime: Path) -> Iterator[Any]:
    """A place, as the fixture `place` makes it, on the server that is killed and started again; with a password."""
    with durable.client() as plain:
        plain.config_set("requirepass", SECRET)
    settings = Settings.of({"url": durable.url, "prefix": "p:", "patience": 0.3, "password": SECRET})

    class Plain:
        """A plain client of whichever process the server is."""

        def __getattr__(self, name: str) -> Any:
            client = durable.client()
            client.connection_pool.connection_kwargs["password"] = SECRET
            return getattr(client, name)

    made = type(place)(settings, Plain())
    yield made
    disconnect(settings)


@pytest.fixture
def crew(there: Any, crew_at: Any, plan_of: Any, durable: DurableServer) -> Any:
    """A controller in a run, which has claimed its one task, and whose server is away."""
    made = crew_at(there, plan_of(ONE, [{"id": "only"}])).lead()
    made.task, made.fence = made.claimed("w1", ttl_ms=600_000)
    durable.kill()
    # AUTH with a password where none is asked for is an error, so it is started with the password.
    durable.start = lambda start=durable.start: start_with_password(start)  # type: ignore[method-assign]
    return made


def start_with_password(start: Any) -> None:
    """Start the server, which forgot its password, and give it back."""
    server = start()
    with server.client() as plain:
        plain.config_set("requirepass", SECRET)


def tell(crew: Any, event: str, **data: Any) -> dict[str, Any]:
    """What the module `event` does."""
    return EventService(crew.session.hasty()).publish(event, data, journal=True)


def journal_files(runtime: Path) -> list[Path]:
    return sorted(path for path in runtime.iterdir() if path.name.startswith("journal-"))


def told(there: Any) -> list[tuple[str, Any]]:
    """The events of the tests in the log, in its order, with their number."""
    return [(entry["event"], entry.get("number")) for entry in there.log() if entry["event"].startswith("told_")]


def test_written_while_away_and_delivered_once(there: Any, crew: Any, durable: Any, runtime: Path) -> None:
    for number in range(3):
        reply = tell(crew, "told_this", number=number, text="öäü 1.5e3 []")
        assert (reply["status"], reply["id"]) == ("journaled", None)
    (path,) = journal_files(runtime)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    lines = path.read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["told_this"] * 3
    for file in runtime.iterdir():
        assert SECRET.encode() not in file.read_bytes(), file
    copy = path.read_bytes()
    durable.start()
    # The next call of any kind delivers first, so what is told then comes after it.
    assert tell(crew, "told_that", number=3)["status"] == "published"
    assert told(there) == [("told_this", 0), ("told_this", 1), ("told_this", 2), ("told_that", 3)]
    assert journal_files(runtime) == []
    entry = there.log("told_this")[0]
    assert entry["text"] == "öäü 1.5e3 []" and entry["from"] == crew.session.actor
    assert entry["journaled_at"] <= entry["timestamp"] and "journaled_run" not in entry
    # Delivered a second time, as after a lost reply or a deliverer that was killed before it could put it away.
    path.write_bytes(copy)
    path.chmod(0o600)
    crew.phases.turn("larry-01")
    assert journal_files(runtime) == [] and len(told(there)) == 4
    log = there.log()
    assert [one["id"] for one in log] == [str(number + 1) for number in range(len(log))]


def test_published_without_an_answer(there: Any, crew: Any, durable: Any) -> None:
    """The server took an event in and died before it could say so: it is in the journal too, and in the log once."""
    durable.start()
    operation = new_operation()
    arguments = {"event": "told_this", "data": '"number":1', "journal": True}
    crew.session.call("event_publish", arguments, operation)
    for number in range(40):  # more than the server keeps replies of
        EventService(crew.session).publish("other", {"number": number})
    durable.kill()
    record = {"kind": "event", "event": "told_this", "data": '"number":1'}
    assert write_journal(crew.session, operation, record, ServerUnavailable("gone", given_up=True))
    durable.start()
    crew.phases.turn("larry-01")
    assert told(there) == [("told_this", 1)]


def test_by_the_next_controller(there: Any, crew: Any, crew_at: Any, durable: Any, runtime: Path) -> None:
    """The controller ended without the server: whoever joins next on this machine delivers, in the same run."""
    tell(crew, "told_this", number=1)
    durable.start()
    crew_at(there, crew.plan)
    assert told(there) == [("told_this", 1)] and journal_files(runtime) == []
    assert "journaled_run" not in there.log("told_this")[0]
    crew_at(there, crew.plan)
    assert told(there) == [("told_this", 1)]


def test_by_the_next_run(there: Any, crew: Any, crew_at: Any, durable: Any, runtime: Path) -> None:
    """The server came back without the run, which was then deleted: the next run tells it, and of which run it is."""
    run = crew.runs.session.memory.read().run
    tell(crew, "told_this", number=1)
    durable.put_data(None)
    durable.start()
    crew.runs.delete()
    crew_at(there, crew.plan)
    assert told(there) == [("told_this", 1)] and journal_files(runtime) == []
    assert there.log("told_this")[0]["journaled_run"] == run
    assert there.log("told_this")[0]["run"] != run


def test_a_finished_run_takes_nothing(there: Any, crew: Any, crew_at: Any, durable: Any, runtime: Path) -> None:
    """Its log is closed; the journal stays until there is another run."""
    tell(crew, "told_this", number=1)
    (path,) = journal_files(runtime)
    kept = path.read_bytes()
    path.unlink()
    durable.start()
    crew.runs.finish("completed", "r", "h")
    closed = there.log()
    path.write_bytes(kept)
    crew.session.deliver(everybody=True)
    assert there.log() == closed and len(journal_files(runtime)) == 1
    crew_at(there, crew.plan)
    assert told(there) == [("told_this", 1)] and journal_files(runtime) == []


def test_progress(there: Any, crew: Any, durable: Any, runtime: Path) -> None:
    """Progress of a task that is held still moves the key; that of an earlier holder is not shown."""
    for fence, percent in ((crew.fence, 40.0), ("1", 90.0)):
        record = {"kind": "progress", "task": "only", "fence": fence, "percent": percent, "text": "so far"}
        write_journal(crew.session, new_operation(), record, ServerUnavailable("gone", given_up=True))
    durable.start()
    seen = there.plain.pubsub()
    seen.subscribe(there.key("larry:coordination"))
    assert seen.get_message(timeout=5)["type"] == "subscribe"
    crew.phases.turn("larry-01")
    assert there.get("phase:larry-01:progress") == "40"
    ticks = []
    while message := seen.get_message(timeout=0.5):
        ticks.append(json.loads(message["data"]))
    progress = [one for one in ticks if one["event"] == "progress_update"]
    assert [(one["task_id"], one["percent"], one["text"]) for one in progress] == [("only", 40, "so far")]
    assert journal_files(runtime) == []


def test_it_is_bounded(crew: Any, runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "MOST_BYTES", 2_000)
    numbers = []
    with pytest.raises(ServerUnavailable, match="is full; nothing was recorded"):
        for number in range(50):
            tell(crew, "told_this", number=number)
            numbers.append(number)
    (path,) = journal_files(runtime)
    assert path.stat().st_size <= 2_000
    assert [json.loads(line)["data"].split(",")[0] for line in path.read_text().splitlines()] == [
        f'"number":{number}' for number in numbers
    ]


def test_a_killed_deliverer_and_a_cut_line(there: Any, crew: Any, durable: Any, runtime: Path) -> None:
    """What somebody took aside and never delivered is delivered by the next, without the line that was cut off."""
    tell(crew, "told_this", number=1)
    (path,) = journal_files(runtime)
    (taken,) = crew.session.journal.take()
    assert not path.exists()
    with open(taken, "a") as stream:
        stream.write('{"op":"cut off in the mid')
    tell(crew, "told_this", number=2)
    durable.start()
    crew.phases.turn("larry-01")
    assert sorted(told(there)) == [("told_this", 1), ("told_this", 2)] and journal_files(runtime) == []


def test_taken_away_in_mid_write(there: Any, crew: Any, durable: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deliverer that has read the file already does not lose a line that comes after that."""
    tell(crew, "told_this", number=1)
    write = os.write

    def late(descriptor: int, content: bytes) -> int:
        monkeypatch.setattr(os, "write", write)
        for path in crew.session.journal.take():  # read, sent and put away between open and write
            os.unlink(path)
        return write(descriptor, content)

    monkeypatch.setattr(os, "write", late)
    tell(crew, "told_this", number=2)
    durable.start()
    crew.phases.turn("larry-01")
    assert told(there) == [("told_this", 2)]


def write_many(session: Session, first: int) -> None:
    for number in range(first, first + 40):
        record = {"kind": "event", "event": "told_this", "data": f'"number":{number}'}
        assert write_journal(session, new_operation(), record, ServerUnavailable("gone", given_up=True))


def deliver_often(session: Session) -> None:
    for _number in range(30):
        session.deliver(everybody=True)


def test_writers_and_deliverers_at_once(there: Any, crew: Any, durable: Any, runtime: Path) -> None:
    """Processes write while others take the file away: nothing is missing and nothing is there twice."""
    durable.start()
    fork = multiprocessing.get_context("fork")
    started = [fork.Process(target=write_many, args=(crew.session, 100 * number)) for number in range(3)]
    started += [fork.Process(target=deliver_often, args=(crew.session,)) for _number in range(2)]
    for process in started:
        process.start()
    for process in started:
        process.join(60)
        assert process.exitcode == 0
    crew.session.deliver(everybody=True)
    assert sorted(number for _event, number in told(there)) == sorted(
        100 * writer + number for writer in range(3) for number in range(40)
    )
    assert journal_files(runtime) == []


def test_not_for_those_outside_a_run(there: Any, durable: Any, runtime: Path) -> None:
    """Who has not joined a run learns that the server does not answer."""
    durable.kill()
    session = Session(there.settings, there.session().controller, "host", member=True)
    with pytest.raises(ServerUnavailable):
        EventService(session.hasty()).publish("told_this", {}, journal=True)
    assert not runtime.exists() or journal_files(runtime) == []
    assert os.path.isdir(runtime.parent)
