# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every benchmark, one after the other; writes the tables of docs/benchmarks.md.

    make bench-all                     # about an hour and a half on two cores; use the machine for nothing else
    make bench-all ARGS=--short        # about five minutes: that everything works; no figures, writes nothing

One that fails leaves its table in the docs as it was, and the others run all the same.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from measuring import BENCH, ROOT, Table, options, publish, server

PROGRAMS = (
    "peers/task_throughput.py",
    "peers/lock_cost.py",
    "peers/barrier_wakeup.py",
    "crash_to_claim.py",
    "scale.py",
    "playbook_scale.py",
    "run.py",
)
PACKAGES = (
    "redis", "hiredis", "celery", "kombu", "rq", "dramatiq", "huey", "arq", "python-redis-lock", "pottery", "tooz",
    "ansible-core",
)  # fmt: skip


def _first(path: str, name: str) -> str:
    lines = (line.partition(":") for line in Path(path).read_text(encoding="utf-8").splitlines())
    return next((value.strip() for key, _colon, value in lines if key.strip() == name), "unknown")


def machine() -> Table:
    """What all of it ran on."""
    with server() as place:
        info = place.plain.info("server")
        valkey = info.get("valkey_version") or info["redis_version"]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    rows = [
        ("date", datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")),
        ("commit", commit or "not from a checkout"),
        ("processor", f"{_first('/proc/cpuinfo', 'model name')}, {os.cpu_count()} cores"),
        ("memory", f"{int(_first('/proc/meminfo', 'MemTotal').split()[0]) / 2**20:.0f} GB"),
        ("load before the start", " ".join(f"{one:.2f}" for one in os.getloadavg())),
        ("system", f"{platform.system()} {platform.release()}"),
        ("server", f"Valkey {valkey}, append-only file off"),
        ("Python", platform.python_version()),
        *((name, importlib.metadata.version(name)) for name in PACKAGES),
    ]
    return Table("Everything below ran on this machine, one benchmark after the other.", ("", ""), rows)


def main() -> int:
    """Entry."""
    chosen = options(__doc__)
    publish("machine", [machine()], short=chosen.short, write=not chosen.short)
    failed = []
    for program in PROGRAMS:
        began = time.monotonic()
        command = [sys.executable, str(BENCH / program)]
        if chosen.short:
            command += ["modules", "scripts"] if program == "run.py" else ["--short"]
        else:
            command.append("--write")
        print(f"\n{program}", flush=True)
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            failed.append(program)
        print(f"{program}: {time.monotonic() - began:.0f} s", flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
