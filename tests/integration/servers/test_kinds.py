# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine that lacks a kind of server: told as not here, skipped with the reason, and never counted as tested."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
ONE_TEST = "tests/integration/coordination/test_locks.py"
REASON = "There is no redis-server here: install Debian's package redis-server"


def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program of Python on a machine that has nothing but Python."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LARRY_", "PYTEST_"))}
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environment | {"PATH": "/nowhere"} | variables, text=True,
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["redis", "tls"])
def test_every_server_says_what_is_not_here(kind: str) -> None:
    done = run("tests/tools/every_server.py", "--kinds", kind)
    assert done.returncode == 0, done.stderr
    assert REASON in done.stdout
    (row,) = (line.split("|") for line in done.stdout.splitlines() if line.startswith(f"| {kind} "))
    assert [cell.strip() for cell in row[2:-1]] == ["not here", "", "", "", ""]


def test_what_is_not_here_fails_where_everything_must_be_tested() -> None:
    assert run("tests/tools/every_server.py", "--kinds", "redis", "--all").returncode == 1


def test_pytest_skips_it_with_the_reason() -> None:
    done = run(
        "-m", "pytest", "-p", "no:cacheprovider", "-q", ONE_TEST, "-k", "take or acquire", LARRY_TEST_SERVER="redis"
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" not in done.stdout and " skipped" in done.stdout
    assert REASON in done.stdout


def test_a_kind_that_nobody_knows_is_an_error() -> None:
    assert run("-m", "pytest", "-p", "no:cacheprovider", ONE_TEST, LARRY_TEST_SERVER="memcached").returncode != 0
    assert run("tests/tools/every_server.py", "--kinds", "memcached").returncode == 2
