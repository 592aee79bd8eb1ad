# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who imports whom: no circles, not for types either, and Ansible nowhere below the modules."""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COLLECTION = "ansible_collections.cortex.larry"


def module_name(path: Path) -> str:
    """The dotted name of a source file; a script's begins with nothing, as its directory is on the path."""
    inside = path.relative_to(ROOT).with_suffix("")
    parts = inside.parts[1:] if inside.parts[0] == "scripts" else (COLLECTION, *inside.parts)
    return ".".join(parts).removesuffix(".__init__")


def imported(path: Path, name: str) -> set[str]:
    """Every name that the file imports anywhere, those under TYPE_CHECKING and within functions too."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return found


def graph(directory: str) -> dict[str, set[str]]:
    """Which of the directory's modules each of them imports."""
    names = {module_name(path): path for path in sorted((ROOT / directory).rglob("*.py"))}
    # A package that offers what its parts define is no circle with a part that imports its neighbour.
    return {
        name: {other for other in imported(path, name) & names.keys() if not name.startswith(f"{other}.")} - {name}
        for name, path in names.items()
    }


def test_nothing_imports_in_a_circle() -> None:
    for directory in ("scripts", "plugins"):
        edges = graph(directory)
        assert sum(map(len, edges.values())) > 10, f"the imports below {directory} were not found"
        graphlib.TopologicalSorter(edges).prepare()


def test_what_stands_below_the_modules_knows_no_ansible() -> None:
    for path in sorted((ROOT / "plugins" / "module_utils").glob("_*/**/*.py")):
        foreign = {name for name in imported(path, module_name(path)) if name.split(".")[0] == "ansible"}
        assert not foreign, f"{path.relative_to(ROOT)} imports {foreign}"


def test_dependencies_point_one_way() -> None:
    """Each package knows only those after it in this order, which is that of CONTRIBUTING.md."""
    order = ["_report", "_work", "_estate", "_plan", "_coordination", "_text"]
    for place, package in enumerate(order):
        for path in sorted((ROOT / "plugins" / "module_utils" / package).rglob("*.py")):
            for name in imported(path, module_name(path)):
                known = name.removeprefix(f"{COLLECTION}.plugins.module_utils.").split(".")[0]
                assert known not in order[:place], f"{path.relative_to(ROOT)} imports {known}"
