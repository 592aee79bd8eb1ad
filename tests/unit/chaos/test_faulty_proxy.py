# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The proxy of the chaos harness does to a call what its rule says, and the schedule is drawn by the seed alone."""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "chaos"))

from fault_schedule import GROUPS, draw_schedule, wanted_kinds
from faulty_proxy import ERRORS, Proxy, frame_end

pytestmark = pytest.mark.main_core

_CALL = b"*3\r\n$7\r\nEVALSHA\r\n$4\r\nabcd\r\n$2\r\n{}\r\n"
_PING = b"*1\r\n$4\r\nPING\r\n"


class Surroundings:
    """A proxy before a server that answers with the number of the call it got, in this process."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.proxy = Proxy(directory, str(directory / "up"), {"abcd": "task_settle"})
        self.served: list[float] = []

    async def __aenter__(self) -> Surroundings:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.read(65536):
                self.served.append(time.monotonic())
                writer.write(b":%d\r\n" % len(self.served))

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self.proxy.serve("c0", reader, writer)

        self.servers = [
            await asyncio.start_unix_server(answer, str(self.directory / "up")),
            await asyncio.start_unix_server(serve, str(self.directory / "c0")),
        ]
        return self

    async def __aexit__(self, *_ignored: Any) -> None:
        for server in self.servers:
            server.close()

    async def ask(self, request: bytes = _CALL, seconds: float = 2.0) -> bytes:
        """What a client gets back; nothing when the connection closes or nobody answers in time."""
        reader, writer = await asyncio.open_unix_connection(str(self.directory / "c0"))
        writer.write(request)
        try:
            return await asyncio.wait_for(reader.read(65536), seconds)
        except (asyncio.TimeoutError, ConnectionError):
            return b""
        finally:
            writer.close()


def with_rule(fault: str, seconds: float, act: Any) -> Any:
    """Runs `act` with a proxy that does this to the second call of the script."""

    async def main() -> Any:
        with tempfile.TemporaryDirectory(prefix="larry-") as directory:
            async with Surroundings(Path(directory)) as around:
                rule = {"id": 1, "script": "task_settle", "nth": 2, "fault": fault, "seconds": seconds}
                around.proxy.order({"do": "arm", "rules": [rule]})
                assert await around.ask() == b":1\r\n", "the first call is left alone"
                return await act(around)

    return asyncio.run(main())


def spoiled(fault: str, seconds: float = 0.3, wait: float = 2.0) -> tuple[bytes, int, int, float]:
    """Reply of the spoiled call, calls at the server then and half a second later, and how long it took."""

    async def act(around: Surroundings) -> tuple[bytes, int, int, float]:
        began = time.monotonic()
        reply = await around.ask(seconds=wait)
        took, then = time.monotonic() - began, len(around.served)
        await asyncio.sleep(0.5)
        assert [one["fault"] for one in around.proxy.fired] == [fault]
        return reply, then, len(around.served), took

    return with_rule(fault, seconds, act)


def test_request_is_dropped() -> None:
    """The client sees a closed connection, the server nothing."""
    assert spoiled("drop_request")[:3] == (b"", 1, 1)


def test_reply_is_dropped() -> None:
    """The server carried the call out, the client sees a closed connection."""
    assert spoiled("drop_reply")[:3] == (b"", 2, 2)


def test_call_is_duplicated() -> None:
    """The server gets it twice, the client the second answer."""
    assert spoiled("duplicate")[:3] == (b":3\r\n", 3, 3)


def test_copy_comes_later() -> None:
    """The client gets its answer at once, and the server a copy afterwards."""
    assert spoiled("late_duplicate")[:3] == (b":2\r\n", 2, 3)


def test_call_waits() -> None:
    """The call reaches the server after the time."""
    reply, then, _later, took = spoiled("delay_request")
    assert (reply, then) == (b":2\r\n", 2) and took >= 0.3


def test_call_arrives_although_its_client_gave_up() -> None:
    """A client that does not wait so long gets nothing, and the server gets the call all the same."""
    reply, then, later, _took = spoiled("delay_request", seconds=0.4, wait=0.1)
    assert (reply, then, later) == (b"", 1, 2)


def test_reply_waits() -> None:
    """The server carries the call out at once, and the reply comes after the time."""
    reply, _then, _later, took = spoiled("delay_reply")
    assert reply == b":2\r\n" and took >= 0.3


@pytest.mark.parametrize("fault", sorted(ERRORS))
def test_error_is_the_answer(fault: str) -> None:
    """The client gets the error, the server nothing."""
    reply, then, later, _took = spoiled(fault)
    assert reply.startswith(b"-" + fault.encode()) and (then, later) == (1, 1)


def test_only_its_call_is_spoiled() -> None:
    """What is no call of the script passes, and so does the call after the spoiled one."""

    async def act(around: Surroundings) -> list[bytes]:
        return [await around.ask(_PING), await around.ask(), await around.ask()]

    assert with_rule("READONLY", 0, act) == [b":2\r\n", ERRORS["READONLY"], b":3\r\n"]


def test_cut_client_gets_nothing() -> None:
    """While a client is cut off its connections close; afterwards it is served again."""

    async def act(around: Surroundings) -> list[bytes]:
        around.proxy.order({"do": "cut", "client": "c0", "seconds": 0.3})
        first = await around.ask(_PING, 0.2)
        await asyncio.sleep(0.4)
        return [first, await around.ask(_PING)]

    assert with_rule("none", 0, act) == [b"", b":2\r\n"]


@pytest.mark.parametrize("frame", [_CALL, b"+OK\r\n", b"$-1\r\n", b"*-1\r\n", b"*2\r\n:1\r\n*1\r\n$2\r\n\r\n\r\n"])
def test_frames(frame: bytes) -> None:
    """A frame ends where it ends, and no part of it is taken for the whole."""
    assert frame_end(frame + b"+rest") == len(frame)
    assert [frame_end(frame[:size]) for size in range(1, len(frame))] == [None] * (len(frame) - 1)


def test_schedule_is_drawn_by_the_seed() -> None:
    """The same seed gives the same schedule, another one another; faults that lose history are in none by default."""
    kinds = wanted_kinds("all")

    def draw(seed: int) -> list[dict[str, Any]]:
        return [fault.as_dict() for fault in draw_schedule(random.Random(seed), kinds, 1000, 1.0)]

    assert draw(1) == draw(1) != draw(2)
    assert {fault["group"] for fault in draw(1)} == set(GROUPS)
    drawn = {fault["kind"] for seed in range(5) for fault in draw(seed)}
    assert drawn == {kind for kinds in GROUPS.values() for kind in kinds}


def test_kinds_are_named() -> None:
    """Kinds and groups are added and taken away."""
    assert wanted_kinds("kill_fork,cut") == ["kill_fork", "cut"]
    assert wanted_kinds("none") == []
    assert set(wanted_kinds("all")) - set(wanted_kinds("-clock")) == {"clock_forward", "clock_back"}
    assert set(wanted_kinds("all,history")) > {"flushall", "truncate", "older_snapshot"}
    with pytest.raises(SystemExit, match="no fault nonsense"):
        wanted_kinds("nonsense")
