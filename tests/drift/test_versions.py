# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One version everywhere, and dependencies that are all pinned."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import bootstrap
import pytest
import yaml

from ansible_collections.cortex.larry.plugins.module_utils.version import COLLECTION_VERSION

PINNED = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)")


def pins(text: str) -> dict[str, list[str]]:
    """Return the hashes of every pinned requirement by its name."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines():
        match = PINNED.match(line)
        if match:
            name = match.group(1).lower()
            found.setdefault(name, [])
        elif line.strip().startswith("--hash="):
            found[name].append(line.strip())
    return found


def inputs(path: Path) -> set[str]:
    """Return the names that an input file asks for, those of the files it includes too."""
    names: set[str] = set()
    for line in path.read_text(encoding="utf-8").splitlines():
        line = line.partition("#")[0].strip()
        if line.startswith("-r "):
            names |= inputs(path.parent / line[3:].strip())
        elif line:
            names.add(re.split(r"[^A-Za-z0-9._-]", line)[0].lower())
    return names


def test_code_and_metadata_agree(galaxy: dict[str, Any]) -> None:
    assert galaxy["version"] == COLLECTION_VERSION


def test_the_changelog_ends_with_this_version(root: Path, galaxy: dict[str, Any]) -> None:
    releases = yaml.safe_load((root / "changelogs" / "changelog.yaml").read_text(encoding="utf-8"))["releases"]
    latest = max(releases, key=lambda version: tuple(map(int, re.findall(r"\d+", version))))
    assert latest == galaxy["version"]
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"v{galaxy['version']}" in text.replace("\\.", ".")


@pytest.mark.parametrize("name", bootstrap.ENVIRONMENTS)
def test_every_dependency_is_pinned_with_its_hashes(root: Path, name: str) -> None:
    lock = root / bootstrap.ENVIRONMENTS[name].lock
    pinned = pins(lock.read_text(encoding="utf-8"))
    missing = inputs(lock.with_suffix(".in")) - set(pinned)
    assert not missing, f"{lock.name} does not pin {missing}: run `make lock`"
    assert all(pinned.values()), "a requirement has no hash"
