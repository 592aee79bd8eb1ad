# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The helpers of the tool chain: counting tests, making environments, finding a Python, writing role READMEs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import bootstrap
import count_tests
import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.main_core

JUNIT = """<?xml version="1.0"?>
<testsuites><testsuite name="x" tests="99">
<testcase name="a"/><testcase name="b"><system-out>hi</system-out></testcase>
<testcase name="c"><failure message="no"/></testcase><testcase name="d"><error message="no"/></testcase>
<testcase name="e"><skipped message="no"/></testcase>
</testsuite></testsuites>
"""


def test_counting_goes_test_by_test_over_all_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "one.xml").write_text(JUNIT, encoding="utf-8")
    (tmp_path / "two.xml").write_text('<testsuite><testcase name="a"/></testsuite>', encoding="utf-8")
    assert count_tests.main([str(tmp_path)]) == 1
    assert capsys.readouterr().out == "3 passed, 2 failed, 1 skipped\n"


def test_counting_succeeds_when_nothing_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "one.xml").write_text('<testsuite><testcase name="a"/></testsuite>', encoding="utf-8")
    assert count_tests.main([str(tmp_path)]) == 0
    assert capsys.readouterr().out == "1 passed, 0 failed\n"


@pytest.mark.parametrize("content", [None, "<testsuite/>", "<testsuite><testcase"])
def test_counting_fails_without_a_test(tmp_path: Path, content: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    if content is not None:
        (tmp_path / "one.xml").write_text(content, encoding="utf-8")
    assert count_tests.main([str(tmp_path)]) == 1
    assert capsys.readouterr().out == "0 passed, 0 failed\n"


@pytest.fixture
def tiny(tmp_path: Path) -> bootstrap.Environment:
    """An environment with an empty lock: nothing is fetched."""
    (tmp_path / "tiny.txt").write_text("# nothing\n", encoding="utf-8")
    version = ".".join(map(str, sys.version_info[:2]))
    return bootstrap.Environment(".venv-tiny", "tiny.txt", (version,), 1)


@pytest.fixture
def without_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make environments without pip, which takes most of the time; nothing can be installed into them."""
    run_logged = bootstrap.run_logged

    def quicker(command: list[str], *others: Any) -> None:
        if "venv" in command:
            run_logged([*command, "--without-pip"], *others)

    monkeypatch.setattr(bootstrap, "run_logged", quicker)


@pytest.mark.usefixtures("without_pip")
def test_an_environment_is_made_once(tmp_path: Path, tiny: bootstrap.Environment) -> None:
    assert bootstrap.make(tiny, tmp_path)
    made = (tmp_path / ".venv-tiny" / "pyvenv.cfg").stat().st_mtime_ns
    assert not bootstrap.make(tiny, tmp_path)
    assert (tmp_path / ".venv-tiny" / "pyvenv.cfg").stat().st_mtime_ns == made


@pytest.mark.usefixtures("without_pip")
def test_another_lock_or_a_broken_environment_makes_it_anew(tmp_path: Path, tiny: bootstrap.Environment) -> None:
    bootstrap.make(tiny, tmp_path)
    (tmp_path / "tiny.txt").write_text("# something else\n", encoding="utf-8")
    assert bootstrap.make(tiny, tmp_path)
    (tmp_path / ".venv-tiny" / "bin" / "python").unlink()
    assert bootstrap.make(tiny, tmp_path)


def test_a_failed_installation_says_why_and_leaves_no_stamp(tmp_path: Path, tiny: bootstrap.Environment) -> None:
    (tmp_path / "tiny.txt").write_text("no-hash==1.0\n", encoding="utf-8")
    with pytest.raises(bootstrap.BootstrapError, match=r"Installing tiny\.txt failed:"):
        bootstrap.make(tiny, tmp_path)
    assert not (tmp_path / ".venv-tiny" / bootstrap.STAMP).exists()
    assert "no-hash==1.0" in (tmp_path / ".venv-tiny.bootstrap.log").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"pythons": ("2.7",)}, "needs Python 2.7; this is"),
        ({"megabytes": 10**9}, "MB free"),
        ({"lock": "absent.txt"}, "absent.txt is missing"),
    ],
)
def test_what_is_missing_is_said(
    tmp_path: Path, tiny: bootstrap.Environment, change: dict[str, object], sentence: str
) -> None:
    environment = bootstrap.Environment(**{**vars(tiny), **change})
    with pytest.raises(bootstrap.BootstrapError, match=sentence):
        bootstrap.make(environment, tmp_path)


def test_two_starters_make_one_environment(tmp_path: Path, tiny: bootstrap.Environment) -> None:
    program = (
        "import sys; from pathlib import Path; import bootstrap;"
        f"print(bootstrap.make(bootstrap.Environment{tuple(vars(tiny).values())!r}, Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    variables = os.environ | {"PYTHONPATH": str(ROOT / "scripts")}
    starters = [subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True) for _starter in "ab"]
    answers = sorted(starter.communicate(timeout=60)[0].splitlines()[-1] for starter in starters)
    assert answers == ["False", "True"]


def find_python(*versions: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run scripts/find_python.sh with nothing but `variables`."""
    return subprocess.run(
        [shutil.which("sh") or "/bin/sh", str(ROOT / "scripts" / "find_python.sh"), *versions],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )


def fake_python(directory: Path, answer: str) -> Path:
    """Write a program `python3` that answers the probe with `answer`."""
    path = directory / "python3"
    path.write_text(f"#!/bin/sh\necho '{answer}'\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_the_named_python_is_taken(tmp_path: Path) -> None:
    python = fake_python(tmp_path, "3.12 yes /somewhere/python3.12")
    found = find_python("3.11", "3.12", PYTHON=str(python))
    assert (found.returncode, found.stdout) == (0, "/somewhere/python3.12\n")


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ("3.9 yes /somewhere/python3.9", "is Python 3.9 at /somewhere/python3.9, but one of these versions is needed"),
        ("3.12 no /somewhere/python3.12", "has no ensurepip or venv module"),
    ],
)
def test_an_unsuitable_python_is_refused_in_a_sentence(tmp_path: Path, answer: str, sentence: str) -> None:
    python = fake_python(tmp_path, answer)
    found = find_python("3.11", "3.12", PYTHON=str(python))
    assert found.returncode == 1
    assert sentence in found.stderr
    assert not found.stdout


def test_a_python_of_another_version_in_path_is_named(tmp_path: Path) -> None:
    fake_python(tmp_path, "3.9 yes /somewhere/python3.9")
    found = find_python("2.99", PATH=str(tmp_path), HOME=str(tmp_path))
    assert found.returncode == 1
    assert "found 3.9 at /somewhere/python3.9" in found.stderr
