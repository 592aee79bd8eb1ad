# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The test bench itself: a server that answers on both ways, and Ansible that finds the checkout's collection."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import redis


def test_the_server_answers_by_socket_and_by_tcp(valkey) -> None:
    with valkey.client() as by_socket, redis.Redis.from_url(valkey.url, decode_responses=True) as by_tcp:
        by_socket.set("larry", "1")
        assert by_tcp.get("larry") == "1"
        assert by_tcp.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_the_server_is_emptied_between_tests(valkey) -> None:
    with valkey.client() as client:
        assert client.dbsize() == 0


@pytest.mark.parametrize("configured", [True, False])
def test_a_playbook_of_the_checkout_finds_the_collection(
    make_commands: Callable[..., object], checkout: Path, configured: bool
) -> None:
    """Also without ansible.cfg: `playbooks/collections` is next to the playbooks."""
    commands = make_commands(configured)
    playbooks = sorted(path for path in (checkout / "playbooks").glob("*.yml"))
    if not playbooks:
        pytest.fail("playbooks/ has no playbook")
    result = commands.run("ansible-playbook", "--syntax-check", "-i", "inventories/embedded", *playbooks)
    assert result.returncode == 0, result.stdout
