# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sentinels and their servers on two sides of a network that can be divided, on the loopback address alone.

Each server is known to the others by the port of a gate, and connects to them from the address of its side, so a gate
can tell who comes. While the network is divided a gate hands nothing on between the sides: connections stay open and
silent, as where packets are dropped. Clients have no side; they go where the Sentinels of their URL send them.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import servers

# Any address of 127.0.0.0/8 can be the source of a connection on Linux, without being set up.
ADDRESSES = {"near": "127.0.0.11", "far": "127.0.0.12"}
SIDES = {"primary": "near", "sentinel-1": "near", "replica-1": "far", "replica-2": "far"} | {
    name: "far" for name in ("sentinel-2", "sentinel-3")
}


class Network:
    """The gates, served by a thread of their own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._open = asyncio.Event()
        self._loop.call_soon_threadsafe(self._open.set)
        self._crossing: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    def gate(self, processes: dict[str, servers.Process], name: str) -> int:
        """Open a gate to the process of this name, which need not run yet; returns its port."""

        async def come(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            source = writer.get_extra_info("peername")[0]
            crosses = source in ADDRESSES.values() and source != ADDRESSES[SIDES[name]]
            with contextlib.suppress(OSError, asyncio.CancelledError):
                if crosses:
                    self._crossing.add(writer)
                    await self._open.wait()
                within, out = await asyncio.open_connection("127.0.0.1", processes[name].port)
                if crosses:
                    self._crossing.add(out)
                await asyncio.gather(self._pump(reader, out, crosses), self._pump(within, writer, crosses))
            writer.close()
            self._crossing.discard(writer)
            self._tasks.discard(task)

        async def listen() -> int:
            server = await asyncio.start_server(come, "127.0.0.1", 0)
            return server.sockets[0].getsockname()[1]

        return asyncio.run_coroutine_threadsafe(listen(), self._loop).result(10)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, crosses: bool) -> None:
        while True:
            data = await reader.read(1 << 16)
            if crosses:
                await self._open.wait()
            if not data:
                break
            writer.write(data)
            await writer.drain()
        writer.close()
        self._crossing.discard(writer)

    def divide(self) -> None:
        """Nothing passes between the sides any more."""
        self._call(self._open.clear)

    def unite(self) -> None:
        """What was cut off may connect anew; connections from before are broken, as after a time-out."""

        def unite() -> None:
            for writer in self._crossing:
                writer.transport.abort()
            self._crossing.clear()
            self._open.set()

        self._call(unite)

    def _call(self, what: Any) -> None:
        async def call() -> None:
            what()

        asyncio.run_coroutine_threadsafe(call(), self._loop).result(10)

    def close(self) -> None:
        """End the thread."""

        async def end() -> None:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


class Divided(servers.Servers):
    """A primary and one Sentinel on the near side; two replicas and two Sentinels, a majority, on the far one."""

    network: Network

    def url(self, side: str) -> str:
        """What a client of this side is given: the Sentinels that it can reach."""
        hosts = ",".join(f"127.0.0.1:{self.gates[name]}" for name in self.of("sentinel") if SIDES[name] == side)
        return f"redis+sentinel://{hosts}/{servers.SERVICE}/0"

    def of(self, kind: str) -> list[str]:
        """The names of the Sentinels, or of the servers with data."""
        return [name for name in SIDES if name.startswith("sentinel") == (kind == "sentinel")]

    gates: dict[str, int]


@contextlib.contextmanager
def divisible() -> Iterator[Divided]:
    """Servers whose network can be divided, started, and ended afterwards."""
    made = Divided("sentinel", servers.new_directory(), {}, {}, lambda: None)
    made.network = Network()
    try:
        _start(made)
        yield made
    finally:
        made.stop()
        made.network.close()


def _start(made: Divided) -> None:
    made.gates = {name: made.network.gate(made.processes, name) for name in SIDES}
    for name, side in SIDES.items():
        gate = made.gates[name]
        settings = [f"bind-source-addr {ADDRESSES[side]}"]
        if name.startswith("sentinel"):
            # No host name and no lookup: the address of the gate is what everybody is told.
            settings += ["sentinel announce-ip 127.0.0.1", f"sentinel announce-port {gate}"]
            settings += servers.watched(made.gates["primary"], 2)
        else:
            settings += [*servers.QUICK, "replica-announce-ip 127.0.0.1", f"replica-announce-port {gate}"]
            settings += [f"replicaof 127.0.0.1 {made.gates['primary']}"] if name != "primary" else []
        one = servers.Process(
            servers.valkey_program(), made.directory / name, settings, is_sentinel=name.startswith("sentinel")
        )
        made.processes[name] = one
        one.start()
    made.connection = {"url": made.url("far")}
    made.make_client = servers.ThroughSentinels(made)
    servers.wait_until_whole(made)
