# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS: what must be trusted is checked, and whatever is wrong is a sentence at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import servers

from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import (
    CoordinationError,
    ServerUnavailable,
    SettingsError,
)


@pytest.fixture(scope="module")
def tls(start: Any) -> servers.Servers:
    """A Redis that speaks TLS and wants a certificate of its clients."""
    return start("tls")


@pytest.fixture(scope="module")
def certificates(tls: servers.Servers) -> Path:
    """Where the certificates are."""
    return tls.directory / "c"


@pytest.fixture(scope="module")
def lenient(tls: servers.Servers, certificates: Path) -> Iterator[dict[str, servers.Process]]:
    """Servers that want no certificate of their clients, by the name of their own certificate."""
    started = {}
    for name in ("elsewhere", "expired"):
        started[name] = servers.start_tls(tls.directory / name, certificates, name, clients="no")
        tls.processes[name] = started[name]
    yield started


def refused(locks: Any, kind: type[CoordinationError] = ServerUnavailable) -> str:
    """The sentence with which a call is refused, at once: what TLS refuses is not tried again."""
    began = time.monotonic()
    with pytest.raises(kind) as caught:
        locks.take()
    assert time.monotonic() - began < 5, "a certificate does not become right by waiting"
    return caught.value.sentence


def test_both_sides_show_certificates(tls: servers.Servers, locks_at: Any) -> None:
    locks = locks_at(tls.connection)
    fence = locks.take().fence
    with tls.primary.client() as plain:  # by the Unix socket, not the way that is tested
        assert plain.get(locks.settings.prefix + "lock:db") is not None
        assert plain.hget(locks.settings.prefix + "larry:lock:db", "fence") == fence


@pytest.mark.parametrize("authority", ["other", None])
def test_a_server_that_is_not_trusted(
    tls: servers.Servers, certificates: Path, locks_at: Any, authority: str | None
) -> None:
    connection = {**tls.connection, "tls_ca_file": authority and str(certificates / f"{authority}.crt")}
    assert "is not trusted" in refused(locks_at(connection))
    # Leaving the name unchecked leaves the trust checked.
    assert "is not trusted" in refused(locks_at(connection, tls_check_hostname=False))


def test_a_certificate_for_another_name(lenient: Any, certificates: Path, locks_at: Any) -> None:
    connection = {
        "url": f"rediss://localhost:{lenient['elsewhere'].tls_port}",
        "tls_ca_file": str(certificates / "ca.crt"),
    }
    said = refused(locks_at(connection))
    assert "another name" in said and "redis_tls_check_hostname" in said
    assert locks_at(connection, tls_check_hostname="false").take().fence


def test_an_expired_certificate(lenient: Any, certificates: Path, locks_at: Any) -> None:
    url = f"rediss://localhost:{lenient['expired'].tls_port}"
    said = refused(locks_at({"url": url, "tls_ca_file": str(certificates / "ca.crt")}, tls_check_hostname=False))
    assert "expired" in said


@pytest.mark.parametrize("client", [None, "stranger"])
def test_a_client_that_the_server_does_not_trust(
    tls: servers.Servers, certificates: Path, locks_at: Any, client: str | None
) -> None:
    connection = dict(tls.connection)
    for option, suffix in (("tls_cert_file", "crt"), ("tls_key_file", "key")):
        connection[option] = client and str(certificates / f"{client}.{suffix}")
    said = refused(locks_at(connection))
    assert "does not accept our certificate" in said and "redis_tls_cert_file" in said


def test_an_encrypted_key(
    tls: servers.Servers, certificates: Path, locks_at: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {
        **tls.connection,
        "tls_cert_file": str(certificates / "locked.crt"),
        "tls_key_file": str(certificates / "locked.key"),
    }
    for password in (None, "wrong"):
        said = refused(locks_at(connection, tls_key_password=password), SettingsError)
        assert "redis_tls_key_password" in said and "wrong" not in said
    assert locks_at(connection, tls_key_password="open").take().fence
    monkeypatch.setenv("KEY_OF_A_TEST", "open")
    assert locks_at(connection, tls_key_password_env="KEY_OF_A_TEST").take().fence


def test_a_key_of_another_certificate(tls: servers.Servers, certificates: Path, locks_at: Any) -> None:
    connection = {**tls.connection, "tls_key_file": str(certificates / "stranger.key")}
    assert "do not belong together" in refused(locks_at(connection), SettingsError)


@pytest.mark.parametrize("option", ["tls_ca_file", "tls_cert_file", "tls_key_file"])
def test_a_file_that_is_not_there(tls: servers.Servers, locks_at: Any, option: str) -> None:
    said = refused(locks_at({**tls.connection, option: "/nowhere/at-all.pem"}), SettingsError)
    assert "/nowhere/at-all.pem" in said and option in said


def test_tls_with_a_server_without(tls: servers.Servers, locks_at: Any) -> None:
    locks = locks_at({**tls.connection, "url": f"rediss://localhost:{tls.primary.port}"}, patience=0, timeout=0.5)
    with pytest.raises(ServerUnavailable, match=r"check that it runs \(speaking TLS on this port\)"):
        locks.take()


def test_no_tls_with_a_server_that_wants_it(tls: servers.Servers, locks_at: Any) -> None:
    locks = locks_at({"url": f"redis://localhost:{tls.primary.tls_port}"}, patience=0)  # type: ignore[attr-defined]
    with pytest.raises(ServerUnavailable, match=r"\(without TLS: else write rediss\)"):
        locks.take()


def test_a_relative_path_means_the_directory_of_who_wrote_it(
    tls: servers.Servers, certificates: Path, locks_at: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keeper lives in another directory than the playbook that started it."""
    monkeypatch.chdir(certificates)
    locks = locks_at({**tls.connection, "tls_ca_file": "ca.crt"})
    monkeypatch.chdir("/")
    assert locks.take().fence


@pytest.fixture(scope="module")
def watched(tls: servers.Servers, certificates: Path) -> Iterator[servers.Process]:
    """A Sentinel that speaks TLS, also to the primary that it watches."""
    watches = servers.watched(tls.primary.tls_port, 1)  # type: ignore[attr-defined]
    one = servers.start_tls(
        tls.directory / "watched", certificates, "server", "yes", "tls-replication yes", *watches, is_sentinel=True
    )
    tls.processes["sentinel-1"] = one
    yield one


def test_through_sentinels(tls: servers.Servers, watched: Any, certificates: Path, locks_at: Any) -> None:
    """What is trusted and shown is the same for the Sentinels and the server; either can do without TLS."""
    url = f"rediss+sentinel://127.0.0.1:{watched.tls_port}/{servers.SERVICE}"
    locks = locks_at({**tls.connection, "url": url})
    fence = locks.take().fence
    with tls.primary.client() as plain:
        assert plain.hget(locks.settings.prefix + "larry:lock:db", "fence") == fence
    assert "is not trusted" in refused(
        locks_at({**tls.connection, "url": url, "tls_ca_file": str(certificates / "other.crt")})
    )
    without = f"rediss+sentinel://127.0.0.1:{watched.port}/{servers.SERVICE}"
    assert locks_at({**tls.connection, "url": without, "sentinel_tls": False}).take().fence


def test_a_cluster(tls: servers.Servers, certificates: Path, locks_at: Any) -> None:
    """Two nodes with half of the slots each: the port that a node names for the other one speaks TLS too."""
    nodes = [
        servers.start_tls(
            tls.directory / f"node-{number}", certificates, "server", "yes", "cluster-enabled yes", "tls-cluster yes",
            "cluster-port {port}",
        )
        for number in range(2)
    ]  # fmt: skip
    for number, node in enumerate(nodes):
        tls.processes[f"node-{number}"] = node
        with node.client() as plain:
            plain.execute_command("CLUSTER", "ADDSLOTSRANGE", number * 8192, number * 8192 + 8191)
            plain.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
    first, second = (node.client() for node in nodes)
    bus = int(second.config_get("cluster-port")["cluster-port"])
    first.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[1].tls_port, bus)  # type: ignore[attr-defined]

    servers.wait_for(lambda: all(servers.is_whole(one, 2) for one in (first, second)), "the Cluster to come up")
    url = f"rediss+cluster://127.0.0.1:{nodes[0].tls_port}"  # type: ignore[attr-defined]
    for name, owner in (("{b}", first), ("{a}", second)):
        slot = int(first.execute_command("CLUSTER", "KEYSLOT", name))
        assert (slot > 8191) == (owner is second)
        locks = locks_at({**tls.connection, "url": url}, f"{name}:")
        assert locks.take().fence == owner.hget(f"{name}:larry:lock:db", "fence")
