# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The private directory for sockets, locks and logs of this user's processes."""

from __future__ import annotations

import os
import stat
import tempfile

from .errors import SettingsError


def runtime_directory() -> str:
    """Path of a directory that only this user can enter; made when missing.

    `$XDG_RUNTIME_DIR/cortex-larry`, else `cortex-larry-<uid>` below the temporary directory.

    Raises:
        SettingsError: the directory belongs to somebody else or is open to others.
    """
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base and os.path.isdir(base) and os.access(base, os.W_OK):
        path = os.path.join(base, "cortex-larry")
    else:
        path = os.path.join(tempfile.gettempdir(), f"cortex-larry-{os.getuid()}")
    return private_directory(path)


def private_directory(path: str) -> str:
    """Makes `path` with mode 0700, or checks that it is ours and closed to others. Returns the path."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise SettingsError(f"The directory {path} cannot be made: {error.strerror}.") from error
    seen = os.lstat(path)
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid():
        raise SettingsError(
            f"{path} is not a directory of the user {os.getuid()}; remove it, or set XDG_RUNTIME_DIR to a directory of yours."
        )
    if seen.st_mode & 0o077:
        raise SettingsError(f"The directory {path} is open to other users; run: chmod 700 {path}")
    return path
