# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands in README.md and docs/: every target, playbook, inventory and script that they name is there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SHELLS = {"", "sh", "bash", "shell", "console", "text"}
FENCE = re.compile(r"^\s*(```+|~~~+)\s*([\w-]*)")
TARGET = re.compile(r"^([a-z][a-z0-9-]*):", re.MULTILINE)
INLINE = re.compile(r"`(make [^`\n]+|ansible-playbook [^`\n]+)`")
# A placeholder stands for something of the reader's: <id>, …, {larry}.
PLACEHOLDER = re.compile(r"[<{…*$]|\.\.\.")


@dataclass(frozen=True)
class Command:
    """A command in a document, its words, and where it stands."""

    document: Path
    line: int
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}: {' '.join(self.words)}"


def blocks(document: Path) -> Iterator[tuple[int, str, list[str]]]:
    """Yield the fenced blocks of a document: number of the first line, language, lines."""
    fence, language, start, lines = "", "", 0, []
    for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), 1):
        match = FENCE.match(line)
        if fence:
            if match and match.group(1).startswith(fence) and not match.group(2):
                yield start, language, lines
                fence = ""
            else:
                lines.append(line)
        elif match:
            fence, language, start, lines = match.group(1), match.group(2).lower(), number + 1, []


def split(text: str) -> Iterator[tuple[str, ...]]:
    """Yield the simple commands of a line of shell."""
    lexer = shlex.shlex(text.removeprefix("$ ").removeprefix("# "), posix=True, punctuation_chars="&|;()")
    lexer.whitespace_split = True
    words: list[str] = []
    try:
        for word in lexer:
            if set(word) <= set("&|;()"):
                yield tuple(words)
                words = []
            else:
                words.append(word)
    except ValueError:  # prose with an apostrophe, output of a program
        return
    yield tuple(words)


def commands(document: Path) -> Iterator[Command]:
    """Yield the commands of the document's shell blocks and of its inline code."""
    for start, language, lines in blocks(document):
        if language not in SHELLS:
            continue
        number, joined = start, ""
        for offset, line in enumerate(lines):
            if not joined:
                number = start + offset
            joined += line.strip()
            if joined.endswith("\\"):
                joined = joined[:-1] + " "
                continue
            for words in split(joined):
                # Variables set for the command: A=b make run.
                while words and re.match(r"^[A-Z_]+=", words[0]):
                    words = words[1:]
                if words:
                    yield Command(document, number, words)
            joined = ""
    for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), 1):
        for match in INLINE.finditer(line):
            for words in split(match.group(1)):
                if words:
                    yield Command(document, number, words)


def shown_files(document: Path) -> set[str]:
    """Return the files that the document shows in full: blocks whose first line is a comment with the file's name."""
    firsts = (lines[0] for _start, _language, lines in blocks(document) if lines)
    return {match.group(1) for first in firsts if (match := re.match(r"^#\s*([\w./-]+\.\w+)", first))}


def complaint(command: Command, targets: set[str]) -> str:
    """Return what the command names that is not there, or an empty string."""
    program, *arguments = command.words
    name = Path(program).name
    words = [word for word in arguments if not PLACEHOLDER.search(word)]
    if name == "make":
        if "-C" in words or "-f" in words:
            return ""
        for word in words:
            if "=" not in word and not word.startswith("-") and word not in targets:
                return f"no target {word}"
        return ""
    if name in {"ansible-playbook", "ansible-inventory", "ansible-doc", "python", "python3", "bash", "sh"}:
        shown = shown_files(command.document)
        for word in words:
            if name == "ansible-playbook" and (match := re.fullmatch(r"cortex\.larry\.(\w+)", word)):
                if not (ROOT / "playbooks" / f"{match.group(1)}.yml").is_file():
                    return f"no playbook {word}"
            elif re.match(r"^(\./)?(playbooks|inventories|scripts|examples|tests|docs)/", word):
                if not (ROOT / word).exists():
                    return f"no {word}"
            elif (
                name == "ansible-playbook" and word.endswith((".yml", ".yaml")) and not word.startswith(("-", "@", "/"))
            ):
                if word not in shown and not (ROOT / word).exists():
                    return f"{word} is neither in the repository nor shown in the document"
    if program.startswith(("scripts/", "./scripts/", ".ci/")) and not (ROOT / program).exists():
        return f"no {program}"
    return ""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_commands_name_is_there(document: Path) -> None:
    targets = set(TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))
    wrong = [f"{command}: {said}" for command in commands(document) if (said := complaint(command, targets))]
    assert not wrong, "\n".join(wrong)


def test_the_readme_is_there() -> None:
    assert (ROOT / "README.md").is_file(), "galaxy.yml names README.md"


def test_make_help_lists_every_target_with_a_description() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = set(re.search(r"^\.PHONY: (.+)$", text, re.MULTILINE).group(1).split())  # type: ignore[union-attr]
    assert set(TARGET.findall(text)) == phony
    described = set(re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE))
    assert phony - described == {"setup", "setup-test", "setup-bench"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("make run CONTROLLERS=1", ""),
        ("make nonsense", "no target nonsense"),
        ("PLAN=x make run && make nonsense", "no target nonsense"),
        ("ansible-playbook playbooks/nonsense.yml", "no playbooks/nonsense.yml"),
        ("ansible-playbook cortex.larry.nonsense -i x", "no playbook cortex.larry.nonsense"),
        ("ansible-playbook mine.yml", "mine.yml is neither in the repository nor shown in the document"),
        ("ansible-playbook shown.yml", ""),
        ("ansible-playbook \\\n  playbooks/nonsense.yml", "no playbooks/nonsense.yml"),
    ],
)
def test_the_check_itself(tmp_path: Path, line: str, expected: str) -> None:
    document = tmp_path / "README.md"
    document.write_text(f"# Title\n\n```yaml\n# shown.yml\n- hosts: all\n```\n\n```sh\n{line}\n```\n", encoding="utf-8")
    said = [complaint(command, {"run", "test"}) for command in commands(document)]
    assert [text for text in said if text] == ([expected] if expected else [])
