# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The artefact: small, without links and environments, and of use after an installation without any network."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest

# What a reader of DESIGN.md expects an installed collection to have; the rest belongs to a checkout.
NEVER = (
    "playbooks/collections",
    "ansible.cfg",
    ".venv",
    ".cache",
    ".git/",
    ".ansible/",
    "coordination/",
    "tests/output",
)


@pytest.fixture
def artefact(ansible, root: Path, tmp_path: Path) -> Path:
    """The artefact, freshly built."""
    result = ansible("ansible-galaxy", "collection", "build", "--output-path", tmp_path / "artefact", root)
    assert result.returncode == 0, result.stderr
    (path,) = (tmp_path / "artefact").glob("*.tar.gz")
    return path


def test_it_holds_the_collection_and_nothing_else(artefact: Path, galaxy: dict[str, Any]) -> None:
    assert artefact.name == f"{galaxy['namespace']}-{galaxy['name']}-{galaxy['version']}.tar.gz"
    with tarfile.open(artefact) as archive:
        members = archive.getmembers()
    assert not [member.name for member in members if member.issym() or member.islnk()]
    assert not [member.name for member in members if member.name.startswith(NEVER)]
    assert not [member.name for member in members if "__pycache__" in member.name or member.name.endswith(".pyc")]
    assert {"MANIFEST.json", "FILES.json", "LICENSE", "README.md", "meta/runtime.yml"} <= {
        member.name for member in members
    }
    assert artefact.stat().st_size < 3_000_000


def test_it_can_be_installed_and_used_without_a_network(ansible, artefact: Path, root: Path, tmp_path: Path) -> None:
    """Also without any ansible.cfg: the commands run in an empty directory."""
    place = tmp_path / "collections"
    place.mkdir()
    installed = ansible("ansible-galaxy", "collection", "install", artefact, "-p", place, "--offline")
    assert installed.returncode == 0, installed.stdout + installed.stderr
    collection = place / "ansible_collections" / "cortex" / "larry"
    assert not [path for path in collection.rglob("*") if path.is_symlink()]
    playbooks = sorted(path.stem for path in (root / "playbooks").glob("*.yml"))
    assert "site" in playbooks
    for playbook in playbooks:
        checked = ansible(
            "ansible-playbook",
            f"cortex.larry.{playbook}",
            "--syntax-check",
            "-i",
            collection / "inventories" / "embedded",
            ANSIBLE_COLLECTIONS_PATH=str(place),
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr
