# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The working copy of an estate: a git repository of its own, so that nothing is changed where the estate came from."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import typing as t

_MARK = ".larry-estate"
# Hooks, file watchers, filters and foreign transports of an estate's git configuration never run.
_GIT = (
    "git",
    "-c", "core.hooksPath=/dev/null",
    "-c", "core.fsmonitor=false",
    "-c", "protocol.ext.allow=never",
    "-c", "protocol.file.allow=user",
    "-c", "submodule.recurse=false",
    "-c", "commit.gpgSign=false",
    "-c", "user.name=cortex.larry",
    "-c", "user.email=cortex.larry@localhost",
)  # fmt: skip


def tree_digest(directory: str) -> str:
    """SHA-256 over names and contents of the regular files below `directory`, without `.git` and links."""
    digest = hashlib.sha256()
    for folder, folders, files in os.walk(directory):
        folders[:] = sorted(
            name for name in folders if name != ".git" and not os.path.islink(os.path.join(folder, name))
        )
        for name in sorted(files):
            path = os.path.join(folder, name)
            if os.path.islink(path) or not os.path.isfile(path) or name == _MARK:
                continue
            digest.update(os.path.relpath(path, directory).encode() + b"\0")
            with open(path, "rb") as stream:
                digest.update(
                    hashlib.file_digest(stream, "sha256").digest() if hasattr(hashlib, "file_digest") else stream.read()
                )
    return digest.hexdigest()


def prepare_working_copy(source: str, target: str, probe: bool = False) -> dict[str, t.Any]:
    """Makes `target` a working copy of the estate at `source`; does nothing when it is one already.

    Args:
        source: directory of the estate.
        target: directory of the working copy; replaced when it is a copy of something else.
        probe: only say whether something would change.

    Returns:
        `changed`, `path`, `digest` of the source, and `git`: whether the copy is a git repository.

    Raises:
        OSError: a file cannot be read or written.
    """
    wanted = tree_digest(source)
    mark = os.path.join(target, ".git" if os.path.isdir(os.path.join(target, ".git")) else "", _MARK)
    try:
        with open(mark, encoding="utf-8") as stream:
            if stream.read().strip() == wanted:
                return {"changed": False, "path": target, "digest": wanted, "git": mark != os.path.join(target, _MARK)}
    except OSError:
        pass
    if probe:
        return {"changed": True, "path": target, "digest": wanted, "git": shutil.which("git") is not None}
    fresh = f"{target}.{os.getpid()}.part"
    shutil.rmtree(fresh, ignore_errors=True)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copytree(source, fresh, symlinks=True, ignore=shutil.ignore_patterns(".git"))
    is_git = shutil.which("git") is not None
    if is_git:
        for arguments in (
            ("init", "--quiet", "--initial-branch=main"),
            ("add", "--all"),
            ("commit", "--quiet", "--allow-empty", "--message", "The estate as it was found"),
        ):
            subprocess.run([*_GIT, *arguments], cwd=fresh, check=True, capture_output=True, env=_environment())
    with open(os.path.join(fresh, ".git" if is_git else "", _MARK), "w", encoding="utf-8") as stream:
        stream.write(wanted + "\n")
    if os.path.isdir(target):
        old = f"{target}.{os.getpid()}.old"
        os.rename(target, old)
        os.rename(fresh, target)
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.rename(fresh, target)
    return {"changed": True, "path": target, "digest": wanted, "git": is_git}


def _environment() -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }
