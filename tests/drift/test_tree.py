# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is committed: one link, no place of a machine, no package index, a licence header in every source file."""

from __future__ import annotations

import os
import re
from pathlib import Path

# Written in pieces, so that this file does not contain what it looks for.
FORBIDDEN = re.compile(
    "|".join(
        (
            "/work/" + r"(?:main|shared|\.)",
            "/tmp/" + r"(?:venv|larry)/",
            r"/root/" + r"\.(?:pyenv|cache|ansible)",
            "pypi" + r"\.org",
            "python" + r"hosted\.org",
            "registry" + r"\.npmjs\.org",
            "crates" + r"\.io",
            "proxy" + r"\.golang\.org",
            "repo" + r"\.maven\.apache\.org",
            "deb" + r"\.debian\.org",
        )
    )
)
HEADER = "SPDX-License-Identifier: GPL-3.0-or-later"


def test_there_is_exactly_one_link(root: Path, tracked: list[Path]) -> None:
    link = Path("playbooks/collections/ansible_collections/cortex/larry")
    assert [path for path in tracked if (root / path).is_symlink()] == [link]
    assert os.readlink(root / link) == "../../../.."


def test_no_file_names_a_machine_or_a_package_index(root: Path, tracked: list[Path]) -> None:
    found = []
    for path in tracked:
        if (root / path).is_symlink():
            continue
        text = (root / path).read_bytes().decode("utf-8", errors="replace")
        found += [f"{path}: {match.group()}" for match in FORBIDDEN.finditer(text)]
    assert not found, "\n".join(found)


def test_every_source_file_says_its_licence(root: Path, tracked: list[Path]) -> None:
    lacking = [
        str(path)
        for path in tracked
        if path.suffix in {".py", ".sh"} and path.parts[0] != "examples"
        if (text := (root / path).read_text(encoding="utf-8")) and HEADER not in text[:600]
    ]
    assert not lacking, "\n".join(lacking)


def test_nothing_large_is_committed(root: Path, tracked: list[Path]) -> None:
    large = [str(path) for path in tracked if (root / path).lstat().st_size > 1_000_000]
    assert not large
