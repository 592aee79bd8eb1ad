# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The private directory for sockets, locks and logs of this user's processes."""

from __future__ import annotations

import os
import stat

from .errors import SettingsError


def runtime_directory() -> str:
    """Path of a directory that only this user can enter (see `runtime_path`); made when missing.

    Raises:
        SettingsError: the directory belongs to somebody else or is open to others.
    """
    return private_directory(runtime_path())


def runtime_path() -> str:
    """`$XDG_RUNTIME_DIR/cortex-larry` if that variable names a directory of this user alone, else `short_path`."""
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    # After su or sudo the variable may name another user's directory.
    if os.path.isabs(base) and os.path.isdir(base) and privacy_problem(os.path.realpath(base)) is None:
        return os.path.join(base, "cortex-larry")
    return short_path()


def short_path() -> str:
    """`/tmp/cortex-larry-<uid>`.

    Not `tempfile.gettempdir()`: it may differ between two processes of one user, which would not find each other, and
    it may be too long for the path of a socket.
    """
    return f"/tmp/cortex-larry-{os.geteuid()}"


def private_directory(path: str) -> str:
    """Makes `path` with mode 0700, or checks that it is ours and closed to others. Returns the path.

    Raises:
        SettingsError: it cannot be made, belongs to somebody else or is open to others.
    """
    try:
        problem = make_private(path)
    except OSError as error:
        raise SettingsError(f"The directory {path} cannot be made: {error.strerror}.") from error
    if problem:
        advice = "" if "chmod" in problem else "; remove it, or set XDG_RUNTIME_DIR to a directory of your own"
        raise SettingsError(f"The directory {path} for sockets and locks is not used, because it {problem}{advice}.")
    return path


def make_private(path: str) -> str | None:
    """Makes a directory with mode 0700 for this user alone; returns why the one that is there is not private."""
    try:
        return privacy_problem(path)
    except FileNotFoundError:
        try:
            os.makedirs(path, mode=0o700, exist_ok=True)
        except FileExistsError:
            pass  # a file or a dangling link: the look below says it
        return privacy_problem(path)
    except NotADirectoryError:
        return "lies below something that is not a directory"


def privacy_problem(path: str) -> str | None:
    """Why others could get at what we put into a directory; a symbolic link counts as one."""
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode):
        return "is not a directory"
    if status.st_uid != os.geteuid():
        return f"belongs to user {status.st_uid}, and this process runs as user {os.geteuid()}"
    if status.st_mode & 0o077:
        return f"can be entered by other users (mode {stat.S_IMODE(status.st_mode):04o}); run 'chmod 700 {path}'"
    return None
