# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sum the JUnit XML files of every pytest run below a directory: `N passed, N failed, N skipped`.

Exits with 1 if a test failed, none was executed, or a file cannot be read.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree


@dataclass
class Count:
    """Figures of one or more pytest runs; an error in a fixture counts as a failure."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed" + (f", {self.skipped} skipped" if self.skipped else "")


def count_file(path: Path) -> Count:
    """Return the figures of one file, counted test by test rather than taken from the totals it states."""
    count = Count()
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        outcomes = {child.tag for child in case}
        if outcomes & {"failure", "error"}:
            count.failed += 1
        elif "skipped" in outcomes:
            count.skipped += 1
        else:
            count.passed += 1
    return count


def main(arguments: list[str]) -> int:
    """Print the sum for the directory named on the command line."""
    total = Count()
    complaints: list[str] = []
    for path in sorted(Path(arguments[0]).glob("*.xml")):
        try:
            count = count_file(path)
        except (OSError, ElementTree.ParseError) as error:
            complaints.append(f"{path}: {error}")
            continue
        total.passed += count.passed
        total.failed += count.failed
        total.skipped += count.skipped
    if not total.passed + total.failed:
        complaints.append(f"{arguments[0]}: no test was executed")
    for complaint in complaints:
        print(f"count_tests: {complaint}", file=sys.stderr)
    print(total)
    return 1 if complaints or total.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
