# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the protocol's tests on every kind of server and print what ran where: the program behind "make servers".

    every_server.py                              every kind, one after the other
    every_server.py --kinds sentinel,cluster     these
    every_server.py --workers 2 -- -k locks      what stands after -- goes to pytest

The exit code is 1 if a test failed. A kind that this machine cannot start is told and does not count as a failure,
unless --all is given.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree
from pathlib import Path

import servers

ROOT = Path(__file__).resolve().parents[2]


def run(kind: str, workers: int, more: list[str]) -> tuple[dict[str, int], float, int]:
    """The counts of one run of pytest, its seconds and its exit code."""
    with tempfile.TemporaryDirectory(prefix="larry-") as directory:
        report = Path(directory) / "junit.xml"
        words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junit-xml={report}"]
        words += [f"-n{workers}"] if workers > 1 else []
        began = time.monotonic()
        code = subprocess.run(
            [*words, "tests/integration/coordination", *more],
            cwd=ROOT,
            env=os.environ | {"LARRY_TEST_SERVER": kind},
            check=False,
        ).returncode
        taken = time.monotonic() - began
        suite = xml.etree.ElementTree.parse(report).getroot().find("testsuite") if report.exists() else None
    counts = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")} if suite else {}
    return counts, taken, code


def main(arguments: list[str]) -> int:
    """Return the exit code."""
    own, more = arguments, []
    if "--" in arguments:
        own, more = arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", default=",".join(servers.KINDS), help="which ones (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="processes of pytest (default: %(default)s)")
    parser.add_argument("--all", action="store_true", help="a kind that cannot be started is a failure")
    options = parser.parse_args(own)
    rows, has_failed = [], False
    for kind in options.kinds.split(","):
        if kind not in servers.KINDS:
            parser.error(f"there is no kind {kind}; the kinds are {', '.join(servers.KINDS)}")
        print(f"--- {kind}", flush=True)
        try:
            with servers.running(kind) as started:
                version = started.version()
        except servers.NotHere as error:
            rows.append((kind, "not here", "", "", "", ""))
            print(error)
            has_failed |= options.all
            continue
        counts, seconds, code = run(kind, options.workers, more)
        failed = counts.get("failures", 0) + counts.get("errors", 0)
        passed = counts.get("tests", 0) - failed - counts.get("skipped", 0)
        rows.append((kind, version, str(passed), str(failed), str(counts.get("skipped", 0)), f"{seconds:.0f}"))
        # An exit code without a failed test (a collection error, nothing collected) is a failure as well.
        has_failed |= code != 0
    head = ("server", "version", "passed", "failed", "skipped", "seconds")
    widths = [max(len(row[place]) for row in [head, *rows]) for place in range(len(head))]
    for row in [head, tuple("-" * width for width in widths), *rows]:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")
    return 1 if has_failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
