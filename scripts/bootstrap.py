# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make or refresh one of the project's virtual environments from its lock file.

Standard library only: this is what runs before anything is installed. Doing it again costs nothing while the lock
file, the Python version and the place of the checkout are the same; two starters at once wait for each other.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAMP = ".bootstrap-stamp"
LOG = "bootstrap.log"
# What makes pip install somewhere else than into the environment.
DIVERTING = ("PYTHONHOME", "PYTHONPATH", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON")


class BootstrapError(Exception):
    """What is missing and what to do, in sentences for the user."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment: its directory, its lock file, the Python versions it works with, the room it needs."""

    directory: str
    lock: str
    pythons: tuple[str, ...]
    megabytes: int


ENVIRONMENTS: dict[str, Environment] = {
    "run": Environment(".venv", "requirements/run.txt", ("3.11", "3.12", "3.13"), 150),
    "test": Environment(".venv-test", "requirements/test.txt", ("3.11", "3.12", "3.13"), 500),
    "bench": Environment(".venv-bench", "requirements/bench.txt", ("3.11", "3.12", "3.13"), 250),
    "core-2.17": Environment(".venv-core-2.17", "requirements/core-2.17.txt", ("3.11", "3.12", "3.13"), 200),
    "core-2.18": Environment(".venv-core-2.18", "requirements/core-2.18.txt", ("3.11", "3.12", "3.13"), 200),
    "core-newest": Environment(".venv-core-newest", "requirements/core-newest.txt", ("3.12", "3.13", "3.14"), 200),
}

# What pip says, and what that means to somebody who only typed `make run`.
DIAGNOSES: tuple[tuple[str, str], ...] = (
    ("No space left on device", "The disk is full: free some room and start again."),
    ("Permission denied", "A directory cannot be written: see the path above, or use a checkout of your own."),
    (
        "DO NOT MATCH THE HASHES",
        "A package differs from the one that was pinned: do not use it; try again, and report it.",
    ),
    (
        "Temporary failure in name resolution",
        "The package index cannot be reached: check the network or pip's settings.",
    ),
    ("Connection", "The package index cannot be reached: check the network, the proxy or pip's settings."),
    ("CERTIFICATE_VERIFY_FAILED", "The package index's certificate is not trusted: set PIP_CERT or pip's `cert`."),
    (
        "No matching distribution",
        "The package index lacks a pinned package for this Python: check pip's settings or run `make lock`.",
    ),
)


def say(name: str, text: str) -> None:
    """Print one line of progress."""
    print(f"[{name}] {text}", flush=True)


def wanted_stamp(environment: Environment, root: Path) -> str:
    """Return what the stamp of an up-to-date environment says: lock file, Python and place."""
    lock = root / environment.lock
    if not lock.is_file():
        raise BootstrapError(f"{environment.lock} is missing: the checkout is incomplete, or run `make lock`.")
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    version = ".".join(map(str, sys.version_info[:3]))
    return f"{digest}\npython {version}\n{root / environment.directory}\n"


def is_current(directory: Path, stamp: str) -> bool:
    """Tell whether the environment was made completely from the same lock file and Python, and still starts."""
    try:
        if (directory / STAMP).read_text(encoding="utf-8") != stamp:
            return False
        command = [str(directory / "bin" / "python"), "-c", ""]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@contextlib.contextmanager
def guarded(root: Path, environment: Environment) -> Iterator[None]:
    """Hold the environment's lock file, waiting aloud for another starter."""
    path = root / f"{environment.directory}.lock"
    try:
        handle = path.open("w", encoding="utf-8")
    except OSError as error:
        raise BootstrapError(f"{path} cannot be written ({error.strerror}): use a checkout that you own.") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(environment.directory, "somebody else is setting it up; waiting")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def check_machine(environment: Environment, root: Path) -> None:
    """Raise unless this Python and this directory can hold the environment."""
    version = ".".join(map(str, sys.version_info[:2]))
    if version not in environment.pythons:
        versions = ", ".join(environment.pythons)
        raise BootstrapError(f"{environment.directory} needs Python {versions}; this is {version} at {sys.executable}.")
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        raise BootstrapError(
            f"Python {version} at {sys.executable} has no {error.name} module: install it "
            f"(Debian and Ubuntu: python{version}-venv) or name another Python with PYTHON=/path/to/python."
        ) from error
    free = shutil.disk_usage(root).free // 2**20
    if free < environment.megabytes:
        raise BootstrapError(
            f"{environment.directory} needs about {environment.megabytes} MB, but {root} has only {free} MB free."
        )


def diagnose(output: str) -> str:
    """Return the sentence that fits pip's output, or an empty string."""
    return next((sentence for sign, sentence in DIAGNOSES if sign in output), "")


def run_logged(command: list[str], log: Path, doing: str, packages: int = 0) -> None:
    """Run `command` with its output in `log`; raise with the end of it if it fails.

    On a terminal it counts the packages that pip collects, of `packages` in all.
    """
    variables = {name: value for name, value in os.environ.items() if name not in DIVERTING}
    counting = packages and sys.stdout.isatty()
    collected = 0
    with (
        log.open("a", encoding="utf-8") as handle,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=variables,
            encoding="utf-8",
            errors="replace",
        ) as process,
    ):
        for line in process.stdout or ():
            handle.write(line)
            if counting and line.startswith("Collecting "):
                collected += 1
                print(f"\r  {collected}/{packages} {line.split()[1]:60.60}", end="", flush=True)
    if counting:
        print(f"\r{'':75}\r", end="", flush=True)
    if process.returncode:
        output = log.read_text(encoding="utf-8", errors="replace")
        tail = "\n".join(f"    {line}" for line in output.splitlines()[-15:])
        raise BootstrapError("\n".join(filter(None, (f"{doing} failed:", tail, diagnose(output)))))


def make(environment: Environment, root: Path = ROOT) -> bool:
    """Make or refresh the environment; return whether there was anything to do."""
    directory = root / environment.directory
    stamp = wanted_stamp(environment, root)
    if is_current(directory, stamp):
        return False
    with guarded(root, environment):
        if is_current(directory, stamp):
            return False
        check_machine(environment, root)
        started = time.monotonic()
        version = ".".join(map(str, sys.version_info[:3]))
        say(environment.directory, f"creating it with Python {version}")
        log = root / f"{environment.directory}.{LOG}"
        log.unlink(missing_ok=True)
        # A half-made environment has no stamp, so an interrupted set-up starts from nothing the next time.
        with contextlib.suppress(FileNotFoundError):
            (directory / STAMP).unlink()
        run_logged([sys.executable, "-m", "venv", "--clear", str(directory)], log, f"Creating {environment.directory}")
        count = sum("==" in line for line in (root / environment.lock).read_text(encoding="utf-8").splitlines())
        say(environment.directory, f"installing up to {count} pinned packages from {environment.lock}")
        install = ["-m", "pip", "install", "--require-hashes", "--no-input", "--disable-pip-version-check"]
        run_logged(
            [str(directory / "bin" / "python"), *install, "--progress-bar", "off", "-r", str(root / environment.lock)],
            log,
            f"Installing {environment.lock}",
            count,
        )
        log.unlink()
        (directory / STAMP).write_text(stamp, encoding="utf-8")
        say(environment.directory, f"ready after {time.monotonic() - started:.0f} s")
    return True


def main(arguments: list[str] | None = None) -> int:
    """Make the environments named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "names", nargs="+", choices=sorted(ENVIRONMENTS), metavar="ENVIRONMENT", help=", ".join(ENVIRONMENTS)
    )
    options = parser.parse_args(arguments)
    for name in options.names:
        try:
            make(ENVIRONMENTS[name])
        except BootstrapError as error:
            print(f"bootstrap: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("bootstrap: interrupted; the next start begins this environment anew.", file=sys.stderr)
            return 130
        except OSError as error:
            print(f"bootstrap: {error.filename or 'the system'}: {error.strerror}.", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
