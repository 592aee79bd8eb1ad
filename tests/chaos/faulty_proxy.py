# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A proxy between clients and a server that reads RESP2 and spoils chosen calls; a process of its own.

Each client has a listening socket of its own, so that one can be cut off while the others go on. A call is an EVALSHA
or EVAL; it is known by the name of its script. Calls are counted, and a rule names the call it spoils by the count:
`{"script": "task_settle" or "*", "nth": 17, "fault": "drop_reply", "seconds": 1.5, "id": 4}`.

    drop_request    the connection closes, the server never sees the call
    drop_reply      the server carries the call out, and the connection closes before the reply
    delay_request   the call waits; if its client gives up meanwhile, it reaches the server all the same
    delay_reply     the call is carried out at once, the reply waits
    duplicate       the server carries the call out twice, and the client gets the second reply
    late_duplicate  a copy of the call reaches the server seconds later, by another connection
    READONLY, OOM, NOREPLICAS, BUSY, CLUSTERDOWN   that error is the answer, the server never sees the call

Orders come as lines of JSON on the socket `control`, one answer for each.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter, defaultdict
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

ERRORS = {
    "READONLY": b"-READONLY You can't write against a read only replica.\r\n",
    "OOM": b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
    "NOREPLICAS": b"-NOREPLICAS Not enough good replicas to write.\r\n",
    "BUSY": b"-BUSY Server is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n",
    "CLUSTERDOWN": b"-CLUSTERDOWN The cluster is down\r\n",
}
CALL_FAULTS = ["drop_request", "drop_reply", "delay_request", "delay_reply", "duplicate", "late_duplicate", *ERRORS]
_CHUNK = 1 << 16


class Dropped(Exception):
    """The connection of this client is to be closed."""


def frame_end(data: bytes | bytearray, start: int = 0) -> int | None:
    """Where the RESP2 frame that begins at `start` ends, or None while it is incomplete."""
    line = data.find(b"\r\n", start)
    if line < 0:
        return None
    kind = data[start]
    end = line + 2
    if kind == 36:  # $ a bulk string
        length = int(data[start + 1 : line])
        if length < 0:
            return end
        end += length + 2
        return end if len(data) >= end else None
    if kind == 42:  # * an array
        for _number in range(max(0, int(data[start + 1 : line]))):
            after = frame_end(data, end)
            if after is None:
                return None
            end = after
        return end
    return end


def words(frame: bytes, most: int = 6) -> list[bytes]:
    """The first words of a request."""
    found = []
    line = frame.index(b"\r\n")
    place = line + 2
    for _number in range(min(most, int(frame[1:line]))):
        line = frame.index(b"\r\n", place)
        length = int(frame[place + 1 : line])
        found.append(frame[line + 2 : line + 2 + length])
        place = line + 2 + length + 2
    return found


class Pipe:
    """One side of a connection, read frame by frame."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.rest = bytearray()

    async def frame(self) -> bytes:
        """The next frame; raises Dropped when the other side is gone."""
        while True:
            end = frame_end(self.rest) if self.rest else None
            if end is not None:
                out = bytes(self.rest[:end])
                del self.rest[:end]
                return out
            chunk = await self.reader.read(_CHUNK)
            if not chunk:
                raise Dropped
            self.rest += chunk

    def close(self) -> None:
        self.writer.close()


class Proxy:
    """Everything that the proxy knows; one for each process."""

    def __init__(self, directory: Path, upstream: str, scripts: dict[str, str]) -> None:
        self.directory = directory
        self.upstream = upstream
        # digest -> name. A script that comes as text (EVAL) is found by its digest too.
        self.scripts = scripts
        self.calls: Counter[str] = Counter()
        self.rules: dict[str, list[tuple[int, int, dict[str, Any]]]] = defaultdict(list)
        self.fired: list[dict[str, Any]] = []
        self.cut_until: dict[str, float] = {}
        self.live: dict[str, set[Pipe]] = defaultdict(set)
        self.armed = 0
        self.tasks: set[asyncio.Task[Any]] = set()

    # --- the way of a call -----------------------------------------------------------------------------------------

    async def to_server(self) -> Pipe:
        return Pipe(*await asyncio.open_unix_connection(self.upstream, limit=1 << 20))

    def rule_for(self, script: str) -> dict[str, Any] | None:
        """Counts the call, and takes the rule that is due for it."""
        due = None
        for name in (script, "*"):
            self.calls[name] += 1
            waiting = self.rules.get(name)
            # One fault for each call: whatever else is due takes the next one.
            if due is None and waiting and waiting[0][0] <= self.calls[name]:
                due = heappop(waiting)[2]
        return due

    async def serve(self, client: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a client, call after call."""
        near = Pipe(reader, writer)
        far: Pipe | None = None
        self.live[client].add(near)
        try:
            if self.is_cut(client):
                return
            far = await self.to_server()
            while True:
                request = await near.frame()
                if self.is_cut(client):
                    return
                head = words(request, 2)
                rule = None
                if head[0].upper() in (b"EVALSHA", b"EVAL"):
                    script = self.name_of(head)
                    rule = self.rule_for(script)
                    if rule is not None:
                        self.note(rule, client, script, request)
                reply = await self.carry(request, rule, far)
                # A cut that began meanwhile swallows the reply.
                if self.is_cut(client):
                    return
                writer.write(reply)
                await writer.drain()
        except (Dropped, OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.live[client].discard(near)
            near.close()
            if far is not None:
                far.close()

    async def carry(self, request: bytes, rule: dict[str, Any] | None, far: Pipe) -> bytes:
        """The reply for a request, after whatever the rule does to it."""
        fault = rule["fault"] if rule else ""
        seconds = rule.get("seconds", 0.0) if rule else 0.0
        if fault in ERRORS:
            return ERRORS[fault]
        if fault == "drop_request":
            raise Dropped
        if fault == "delay_request":
            await asyncio.sleep(seconds)
        if fault == "late_duplicate":
            self.spawn(self.later(request, seconds))
        reply = await self.ask(request, far)
        if fault == "duplicate":
            reply = await self.ask(request, far)
        if fault == "drop_reply":
            raise Dropped
        if fault == "delay_reply":
            await asyncio.sleep(seconds)
        return reply

    @staticmethod
    async def ask(request: bytes, far: Pipe) -> bytes:
        far.writer.write(request)
        await far.writer.drain()
        return await far.frame()

    async def later(self, request: bytes, seconds: float) -> None:
        await asyncio.sleep(seconds)
        try:
            far = await self.to_server()
            await self.ask(request, far)
            far.close()
        except (Dropped, OSError):
            pass

    def name_of(self, head: list[bytes]) -> str:
        if head[0].upper() == b"EVAL":
            return "eval"
        return self.scripts.get(head[1].decode(), "other")

    def note(self, rule: dict[str, Any], client: str, script: str, request: bytes) -> None:
        """What was done to which call; the operation id is in the first argument after the key."""
        try:
            context = json.loads(words(request, 4 if script == "eval" else 5)[-1] if script != "eval" else b"{}")
        except ValueError:
            context = {}
        self.fired.append(
            {
                **rule,
                "at": time.monotonic(),
                "client": client,
                "called": script,
                "operation": context.get("op"),
                "host": context.get("host"),
            }
        )

    # --- orders ----------------------------------------------------------------------------------------------------

    def is_cut(self, client: str) -> bool:
        return self.cut_until.get(client, 0.0) > time.monotonic()

    def order(self, message: dict[str, Any]) -> dict[str, Any]:
        """Carries one order out; the answer goes back as JSON."""
        verb = message["do"]
        if verb == "arm":
            for rule in message["rules"]:
                self.armed += 1
                heappush(self.rules[rule["script"]], (rule["nth"], self.armed, rule))
            return {}
        if verb == "disarm":
            left = [entry[2] for waiting in self.rules.values() for entry in waiting]
            self.rules.clear()
            self.cut_until.clear()
            return {"left": left}
        if verb == "cut":
            self.cut_until[message["client"]] = time.monotonic() + message["seconds"]
            for pipe in list(self.live[message["client"]]):
                pipe.close()
            return {}
        if verb == "status":
            return {"calls": self.calls["*"], "fired": len(self.fired)}
        if verb == "story":
            return {"calls": dict(self.calls), "fired": self.fired}
        raise ValueError(f"the proxy does not know the order {verb}")

    async def control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(json.dumps(self.order(json.loads(line))).encode() + b"\n")
            await writer.drain()
        writer.close()

    def spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def run(self, clients: dict[str, int | None]) -> None:
        """Listens for each client: on a Unix socket of its name, and also on TCP where a port is given."""
        servers = [
            await asyncio.start_unix_server(self.control, str(self.directory / "control"), limit=1 << 24),
        ]
        for client, port in clients.items():

            def serve(reader: Any, writer: Any, client: str = client) -> Any:
                return self.serve(client, reader, writer)

            servers.append(await asyncio.start_unix_server(serve, str(self.directory / client), limit=1 << 20))
            if port is not None:
                servers.append(await asyncio.start_server(serve, "127.0.0.1", port, limit=1 << 20))
        print("ready", flush=True)
        await asyncio.gather(*(server.serve_forever() for server in servers))


def main() -> None:
    """Entry of the process; its configuration is one line of JSON on standard input."""
    wanted = json.loads(sys.stdin.readline())
    proxy = Proxy(Path(wanted["directory"]), wanted["upstream"], wanted["scripts"])
    asyncio.run(proxy.run(wanted["clients"]))


if __name__ == "__main__":
    main()
