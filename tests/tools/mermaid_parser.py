# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mermaid's own parser, where Node.js is there: what it makes of the diagrams that we write.

Its packages are installed from tests/tools/mermaid/package-lock.json into .cache/mermaid, once for each lock file.
"""

from __future__ import annotations

import fcntl
import html
import json
import os
import pwd
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Path(__file__).resolve().parent / "mermaid"
INSTALLED = ROOT / ".cache" / "mermaid"
OLDEST_NODE = 20
INSTALL_WITHIN_S = 180
PARSE_WITHIN_S = 120


class Unavailable(Exception):
    """Mermaid's parser is not to be had on this machine; the sentence says why."""


def install() -> None:
    """Make .cache/mermaid what package-lock.json says.

    Raises:
        Unavailable: without Node.js and npm, or when the packages cannot be had.
    """
    if not (shutil.which("node") and shutil.which("npm")):
        raise Unavailable("Mermaid's own parser needs Node.js and npm, which are not installed.")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout.strip()
    if int((re.match(r"v(\d+)", version) or [0, 0])[1]) < OLDEST_NODE:
        raise Unavailable(
            f"Mermaid's own parser needs Node.js {OLDEST_NODE} or newer, and {version or 'none'} is here."
        )
    wanted = (SOURCE / "package-lock.json").read_text(encoding="utf-8")
    stamp = INSTALLED / "installed"
    INSTALLED.mkdir(parents=True, exist_ok=True)
    with (INSTALLED / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.is_file() or stamp.read_text(encoding="utf-8") != wanted:
            stamp.unlink(missing_ok=True)
            for name in ("package.json", "package-lock.json"):
                shutil.copyfile(SOURCE / name, INSTALLED / name)
            _npm_ci()
            stamp.write_text(wanted, encoding="utf-8")
    # Node.js looks for packages from where a program lies.
    shutil.copyfile(SOURCE / "parse.mjs", INSTALLED / "parse.mjs")


def _npm_ci() -> None:
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--fetch-retries=1"]
    # npm's settings, such as the registry, are those of the account; the tests run with a HOME of their own.
    variables = {**os.environ, "HOME": pwd.getpwuid(os.getuid()).pw_dir}
    try:
        done = subprocess.run(
            command,
            cwd=INSTALLED,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_WITHIN_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"npm did not install Mermaid's own parser within {INSTALL_WITHIN_S} s.") from error
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())[:300]
        raise Unavailable(f"npm could not install Mermaid's own parser: {said}")


def parse(diagrams: list[str]) -> list[dict[str, Any]]:
    """What the parser makes of each diagram, see parse.mjs, with labels as a browser shows them."""
    done = subprocess.run(
        ["node", "parse.mjs"],
        cwd=INSTALLED,
        input=json.dumps(diagrams),
        capture_output=True,
        text=True,
        timeout=PARSE_WITHIN_S,
        check=True,
    )
    return _unescaped(json.loads(done.stdout))


def _unescaped(value: Any) -> Any:
    if isinstance(value, str):
        return html.unescape(value)
    if isinstance(value, list):
        return [_unescaped(one) for one in value]
    return {name: _unescaped(one) for name, one in value.items()} if isinstance(value, dict) else value


def diagrams_in(markdown: str) -> list[str]:
    """The Mermaid diagrams of a Markdown document."""
    return re.findall(r"^```mermaid\n(.*?)^```$", markdown, re.MULTILINE | re.DOTALL)
