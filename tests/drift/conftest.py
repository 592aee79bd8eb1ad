# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the drift tests share: the checkout and Ansible commands that know nothing but it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def galaxy() -> dict[str, Any]:
    """The content of galaxy.yml."""
    return yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def tracked() -> list[Path]:
    """Every file that is tracked or would be by `git add .`, relative to the root."""
    # A checkout may belong to somebody else than the one who tests it.
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    files = [Path(name) for name in listing.split("\0") if name]
    return [path for path in files if (ROOT / path).is_symlink() or (ROOT / path).is_file()]


@pytest.fixture
def ansible(tmp_path: Path):
    """Return a function that runs an Ansible command with a HOME and a configuration of its own."""

    def run(program: str, *arguments: str | Path, cwd: Path = tmp_path, **variables: str):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "LARRY_"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}"
        own = {"HOME": str(tmp_path), "PATH": path, "ANSIBLE_NOCOLOR": "1"}
        command = [str(Path(sys.executable).parent / program), *map(str, arguments)]
        return subprocess.run(
            command,
            cwd=cwd,
            env=kept | own | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    return run
