# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the named test stages, say how long each took, and fail if one failed or could not run.

Every stage runs even when an earlier one failed: one run shows everything that is wrong. What follows `--` is handed
to pytest. The linters, sanity and molecule work on the extracted build artefact, in a directory outside the checkout:
that is what users install, ansible-test refuses linked directories, and the checkout's one link leads walkers astray.
"""

from __future__ import annotations

import argparse
import ast
import configparser
import functools
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
OUTPUT = ROOT / "tests" / "output"
HOMES = ROOT / ".cache" / "home"


class CannotRun(Exception):
    """A stage lacks something it needs; the sentence says what."""


class NotWanted(Exception):
    """A stage that is optional on this machine has nothing to run on; the sentence says why."""


@dataclass(frozen=True)
class Stage:
    """A named stage: what it shows and the function that runs it with pytest's extra arguments."""

    title: str
    run: Callable[[list[str]], None]


@dataclass(frozen=True)
class Outcome:
    """How a stage ended: `ok`, `FAILED` or `not run`, why, and after how many seconds."""

    name: str
    state: str
    detail: str
    seconds: float


def environment(home: str, **extra: str) -> dict[str, str]:
    """Return the variables for a tool: a HOME of its own, none of the caller's Ansible settings, our environment first.

    The user's ~/.ansible could hold another copy of the collection, which would shadow the one under test.
    """
    directory = HOMES / home
    directory.mkdir(parents=True, exist_ok=True)
    dropped = ("ANSIBLE_", "LARRY_", "MOLECULE_", "PYTEST_", "XDG_", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    variables["HOME"] = str(directory)
    variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    # An embedded server that a test leaves behind goes soon after it.
    variables["LARRY_EMBEDDED_IDLE_S"] = "10"
    if not sys.stdout.isatty():
        variables["NO_COLOR"] = variables["ANSIBLE_NOCOLOR"] = "1"
    return variables | extra


def run(command: list[str], cwd: Path = ROOT, variables: dict[str, str] | None = None) -> None:
    """Run a command with its output shown; raise CalledProcessError if it fails."""
    print("$ " + " ".join(command), flush=True)
    try:
        subprocess.run(command, cwd=cwd, env=variables or environment("tools"), stdin=subprocess.DEVNULL, check=True)
    except FileNotFoundError as error:
        raise CannotRun(f"{error.filename} is not installed") from error


@functools.cache
def scratch() -> Path:
    """Return a new directory outside the checkout, removed when the process ends."""
    return Path(tempfile.mkdtemp(prefix="larry-test-")).resolve()


@functools.cache
def staged() -> Path:
    """Build the artefact once, extract it as an installed collection, and return its directory."""
    artefacts = scratch() / "artefact"
    run(["ansible-galaxy", "collection", "build", "--force", "--output-path", str(artefacts), str(ROOT)])
    (artefact,) = artefacts.glob("*.tar.gz")
    directory = scratch() / "collections" / "ansible_collections" / "cortex" / "larry"
    directory.mkdir(parents=True)
    with tarfile.open(artefact) as archive:
        archive.extractall(directory, filter="data")
    return directory


def collections_path() -> str:
    """Return the collections path that holds the staged collection."""
    return str(staged().parents[2])


def lint(_extra: list[str]) -> None:
    """Run ruff and yamllint on the checkout and ansible-lint on the artefact."""
    failures: list[str] = []

    def attempt(command: list[str], cwd: Path = ROOT, variables: dict[str, str] | None = None) -> None:
        try:
            run(command, cwd, variables)
        except subprocess.CalledProcessError:
            failures.append(command[0])

    attempt(["ruff", "check", "."])
    attempt(["yamllint", "--strict", "."])
    attempt(
        ["ansible-lint", "--offline", "--strict", "--profile", "production", "--nocolor"],
        staged(),
        # The playbooks refuse to start without a plan, also for a syntax check.
        environment(
            "lint",
            ANSIBLE_COLLECTIONS_PATH=collections_path(),
            ANSIBLE_INVENTORY=str(staged() / "inventories" / "embedded"),
        ),
    )
    if failures:
        raise CannotRun(f"{', '.join(failures)} reported something")


def docs(_extra: list[str]) -> None:
    """Check the collection's documentation and changelog fragments."""
    variables = environment("docs", ANSIBLE_COLLECTIONS_PATH=collections_path())
    run(["antsibull-docs", "lint-collection-docs", "--plugin-docs", "--skip-rstcheck", "."], staged(), variables)
    run(["antsibull-changelog", "lint"], ROOT, variables)


def write_pip_conf(home: Path) -> None:
    """Write pip's present settings into `home`: ansible-test hands on HOME and PATH, but no variable of pip's."""
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    settings = configparser.RawConfigParser()
    for line in listing.stdout.splitlines():
        name, separator, value = line.partition("=")
        section, _dot, key = name.rpartition(".")
        if not separator:
            continue
        # Variables (":env:") come last in the listing and win, as they do in pip itself.
        section = "global" if section == ":env:" else section
        if not settings.has_section(section):
            settings.add_section(section)
        settings.set(section, key, ast.literal_eval(value).replace("\n", "\n    "))
    path = home / ".config" / "pip" / "pip.conf"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    with path.open("w", encoding="utf-8") as handle:
        settings.write(handle)


# Takes the place of the get-pip script that ansible-test would load from its own site: pip's own wheel can install pip.
GET_PIP = """\
import sys
sys.path.insert(0, {wheel!r})
from pip._internal.cli.main import main
sys.exit(main(["install", *(word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel"))]))
"""


def provide_pip(home: Path) -> None:
    """Put the pip that ansible-test wants in its environments where it looks for it, from the package index."""
    question = (
        "import sys, types; from ansible_test._internal.python_requirements import get_venv_packages;"
        "print(get_venv_packages(types.SimpleNamespace(version='%d.%d' % sys.version_info[:2]))['pip'])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", question], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    )
    version = answer.stdout.strip()
    cache = home / ".ansible" / "test" / "cache"
    script = cache / f"get_pip_{version.replace('.', '_')}.py"
    if script.is_file():
        return
    cache.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(cache), f"pip=={version}"]
    run(command, variables=dict(os.environ))
    (wheel,) = cache.glob(f"pip-{version}-*.whl")
    script.write_text(GET_PIP.format(wheel=str(wheel)), encoding="utf-8")


def sanity(extra: list[str]) -> None:
    """Run ansible-test sanity with this Python; its tools live in environments below a HOME that is kept."""
    variables = environment("sanity")
    write_pip_conf(Path(variables["HOME"]))
    provide_pip(Path(variables["HOME"]))
    version = ".".join(map(str, sys.version_info[:2]))
    # Without the bundled estate: it is no Ansible content, and each of its files with several Kubernetes objects, as
    # is usual there, would need a line in an ignore file, because the yamllint of ansible-test allows one document.
    directory = scratch() / "sanity" / "ansible_collections" / "cortex" / "larry"
    shutil.copytree(
        staged(), directory, ignore=lambda path, _names: ["estate"] if Path(path).name == "examples" else []
    )
    run(["ansible-test", "sanity", "--local", "--python", version, "--color", "no", *extra], directory, variables)


def pytest(directory: str, suite: str, extra: list[str], python: str = sys.executable, parallel: bool = False) -> None:
    """Run a directory of tests with their results in tests/output/junit/SUITE.xml."""
    junit = OUTPUT / "junit" / f"{suite}.xml"
    junit.unlink(missing_ok=True)
    if not any((ROOT / directory).rglob("test_*.py")):
        raise CannotRun(f"{directory} has no tests")
    command = [python, "-m", "pytest", directory, f"--junitxml={junit}", "-o", f"junit_suite_name={suite}"]
    variables = environment(f"pytest-{suite}")
    variables["PATH"] = f"{Path(python).parent}{os.pathsep}{variables['PATH']}"
    # Whole files go to one process: what a file prepares once stays with it.
    run([*command, *(["-n", "2", "--dist", "loadfile"] if parallel else []), *extra], ROOT, variables)


def drift(extra: list[str]) -> None:
    """Compare what is written down with what is there."""
    pytest("tests/drift", "drift", extra)


def unit(extra: list[str]) -> None:
    """Run the tests that need no server."""
    pytest("tests/unit", "unit-2.19", extra, parallel=True)


def integration(extra: list[str]) -> None:
    """Run the tests against a real Valkey, with controllers as processes."""
    pytest("tests/integration", "integration-2.19", extra, parallel=True)


def model(extra: list[str]) -> None:
    """Play random histories against a real server and compare them with a model."""
    pytest("tests/model", "model", extra, parallel=True)


def guards(extra: list[str]) -> None:
    """Take each guard out of the scripts in turn; its directed test must fail."""
    run([sys.executable, "tests/guards/check.py", *extra], variables=environment("guards"))


def chaos(extra: list[str]) -> None:
    """Run under faults for five minutes and check every history; lost histories only in `make chaos` for now."""
    command = [sys.executable, "tests/chaos/run.py", "--forms", "library,controllers", "--minutes", "5"]
    command += ["--faults=all,-history", *extra]
    run(command, variables=environment("chaos"))


def molecule(_extra: list[str]) -> None:
    """Run every molecule scenario on the artefact; testinfra's results are counted like the others."""
    junit = OUTPUT / "junit" / "molecule.xml"
    junit.unlink(missing_ok=True)
    junit.parent.mkdir(parents=True, exist_ok=True)
    home = HOMES / "molecule"
    # molecule copies the collection into ~/.ansible/collections: an old copy would be tested in place of this one.
    shutil.rmtree(home, ignore_errors=True)
    variables = environment(
        "molecule",
        ANSIBLE_COLLECTIONS_PATH=collections_path(),
        PYTEST_ADDOPTS=f"--junitxml={junit} -o junit_suite_name=molecule -p no:cacheprovider",
    )
    run(["molecule", "test", "--all"], staged(), variables)


def on_core(name: str, needed: tuple[str, ...], optional: bool = False) -> Callable[[list[str]], None]:
    """Return a stage that runs unit and integration tests on another ansible-core, in an environment of its own."""

    def stage(extra: list[str]) -> None:
        found = subprocess.run(
            ["sh", "scripts/find_python.sh", *needed],
            cwd=ROOT,
            # The Python named for the main environment may be too old for the newest core.
            env={key: value for key, value in os.environ.items() if key != "PYTHON"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if found.returncode:
            raise NotWanted(found.stderr.strip()) if optional else CannotRun(found.stderr.strip())
        run([found.stdout.strip(), "scripts/bootstrap.py", f"core-{name}"], variables=dict(os.environ))
        python = str(ROOT / f".venv-core-{name}" / "bin" / "python")
        failures: list[str] = []
        for directory in ("unit", "integration"):
            try:
                chosen = ["-m", "not main_core", *extra]
                pytest(f"tests/{directory}", f"{directory}-{name}", chosen, python, parallel=True)
            except subprocess.CalledProcessError:
                failures.append(directory)
        if failures:
            raise CannotRun(f"{' and '.join(failures)} failed")

    return stage


STAGES: dict[str, Stage] = {
    "lint": Stage("ruff, yamllint, ansible-lint", lint),
    "docs": Stage("antsibull-docs, changelog", docs),
    "sanity": Stage("ansible-test sanity", sanity),
    "drift": Stage("what is written against what is", drift),
    "unit": Stage("unit tests", unit),
    "integration": Stage("integration tests with a real Valkey", integration),
    "model": Stage("random histories against a model", model),
    "guards": Stage("each guard of the scripts taken out in turn", guards),
    "chaos": Stage("five minutes under faults, every history checked", chaos),
    "molecule": Stage("roles under molecule and testinfra", molecule),
    "core-2.17": Stage("unit and integration on ansible-core 2.17", on_core("2.17", ("3.12", "3.11", "3.13"))),
    "core-2.18": Stage("unit and integration on ansible-core 2.18", on_core("2.18", ("3.12", "3.13", "3.11"))),
    "core-newest": Stage(
        "unit and integration on the newest ansible-core", on_core("newest", ("3.13", "3.12", "3.14"), optional=True)
    ),
}


def perform(name: str, extra: list[str]) -> Outcome:
    """Run one stage between two lines that name it."""
    stage = STAGES[name]
    print(f"\n=== {name}: {stage.title}", flush=True)
    started = time.monotonic()
    state, detail = "ok", ""
    try:
        stage.run(extra)
    except NotWanted as reason:
        state, detail = "not run", str(reason)
    except CannotRun as error:
        state, detail = "FAILED", str(error)
    except subprocess.CalledProcessError as error:
        state, detail = "FAILED", f"{Path(error.cmd[0]).name} ended with {error.returncode}"
    seconds = time.monotonic() - started
    print(f"=== {name}: {state}{f' ({detail})' if detail else ''} after {seconds:.0f} s", flush=True)
    return Outcome(name, state, detail, seconds)


def main(arguments: list[str] | None = None) -> int:
    """Run the stages named on the command line, `all` for every one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "stages", nargs="+", choices=["all", *STAGES], metavar="STAGE", help=f"all, {', '.join(STAGES)}"
    )
    parser.add_argument("--skip", action="append", default=[], choices=list(STAGES), help="leave a stage out")
    given = sys.argv[1:] if arguments is None else arguments
    ours, extra = (given[: given.index("--")], given[given.index("--") + 1 :]) if "--" in given else (given, [])
    options = parser.parse_args(ours)
    names = [
        name for name in STAGES if name not in options.skip and ("all" in options.stages or name in options.stages)
    ]
    # A shell that starts us in the background leaves Ctrl-C ignored, and every process of a test would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        outcomes = [perform(name, extra) for name in names]
    except KeyboardInterrupt:
        print("\nstages: interrupted", file=sys.stderr)
        return 130
    finally:
        if scratch.cache_info().currsize:
            shutil.rmtree(scratch(), ignore_errors=True)
    if len(outcomes) > 1:
        print("\n=== stages")
        for outcome in outcomes:
            print(f"{outcome.name:12} {outcome.state:8} {outcome.seconds:6.0f} s  {outcome.detail}".rstrip())
    return 1 if any(outcome.state == "FAILED" for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
