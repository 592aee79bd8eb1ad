# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the tests of each kind of server: started servers, and sessions on them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import servers

from ansible_collections.cortex.larry.plugins.module_utils._coordination.connection import disconnect
from ansible_collections.cortex.larry.plugins.module_utils._coordination.identity import Controller
from ansible_collections.cortex.larry.plugins.module_utils._coordination.locks import LockService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.session import Session
from ansible_collections.cortex.larry.plugins.module_utils._coordination.settings import Settings


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[[str], servers.Servers]]:
    """Return a function that starts a kind of server, which ends with the tests of this file."""
    with ExitStack() as stack:

        def start_one(kind: str) -> servers.Servers:
            try:
                return stack.enter_context(servers.running(kind))
            except servers.NotHere as error:
                pytest.skip(str(error))

        yield start_one


class Locks(LockService):
    """Locks whose leases nobody renews, on a session of their own."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        super().__init__(Session(settings, Controller(str(uuid.uuid4()), os.getpid(), "0", "h"), "h"))

    def take(self, name: str = "db", **options: Any) -> Any:
        """Acquire without a keeper."""
        return self.acquire(name, keep=False, **options)


@pytest.fixture
def locks_at() -> Iterator[Callable[..., Locks]]:
    """Return a function that makes `Locks` for what a user would write under redis."""
    made: list[Settings] = []

    def make(connection: dict[str, Any], prefix: str | None = None, **options: Any) -> Locks:
        name = f"t{uuid.uuid4().hex[:8]}"
        tag = "{{{}}}:" if "cluster" in connection["url"] else "{}:"
        settings = Settings.of({"prefix": tag.format(name) if prefix is None else prefix, **connection, **options})
        made.append(settings)
        return Locks(settings)

    yield make
    for settings in made:
        disconnect(settings)
