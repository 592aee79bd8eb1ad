#!/bin/sh
# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Usage: find_python.sh VERSION...
# Prints the path of a Python that can make virtual environments and whose version is one of VERSION (3.11 3.12 ...).
# PYTHON, if set, is the only candidate. Otherwise: python3, pythonX.Y in PATH, then the places where pyenv, uv and
# packages put interpreters. A pyenv shim answers only for versions that are switched on, so every candidate is run.
set -u

probe='
import sys
try:
    import ensurepip, venv
    usable = "yes"
except ImportError:
    usable = "no"
print("%d.%d" % sys.version_info[:2], usable, sys.executable)
'

unusable=''
seen=''

# consider CANDIDATE: prints its path and ends the script if it fits, else remembers what was wrong with it.
consider() {
    answer=$("$1" -c "$probe" 2>/dev/null </dev/null) || return 0
    version=${answer%% *}
    rest=${answer#* }
    usable=${rest%% *}
    path=${rest#* }
    case " $wanted " in
        *" $version "*)
            if [ "$usable" = yes ]; then
                printf '%s\n' "$path"
                exit 0
            fi
            unusable="$path ($version)"
            ;;
        *) case "$seen" in *"$version at $path"*) ;; *) seen="$seen${seen:+, }$version at $path" ;; esac ;;
    esac
}

wanted="$*"
if [ -n "${PYTHON:-}" ]; then
    consider "$PYTHON"
    if [ -n "$unusable" ]; then
        echo "PYTHON=$PYTHON has no ensurepip or venv module; install it (Debian and Ubuntu: pythonX.Y-venv)." >&2
    elif [ -n "$seen" ]; then
        echo "PYTHON=$PYTHON is Python $seen, but one of these versions is needed: $wanted." >&2
    else
        echo "PYTHON=$PYTHON is not a Python that runs; name the path of a Python of one of these versions: $wanted." >&2
    fi
    exit 1
fi

consider python3
for version in "$@"; do
    consider "python$version"
done
for version in "$@"; do
    for candidate in "${PYENV_ROOT:-${HOME:-/}/.pyenv}/versions/$version".*/bin/python3 \
        "${HOME:-/}/.local/share/uv/python/cpython-$version".*/bin/python3 \
        "/usr/local/bin/python$version" "/usr/bin/python$version" "/opt/homebrew/bin/python$version"; do
        if [ -x "$candidate" ]; then
            consider "$candidate"
        fi
    done
done

if [ -n "$unusable" ]; then
    echo "Python at $unusable has no ensurepip or venv module: install it (Debian and Ubuntu: pythonX.Y-venv) or name another with PYTHON=/path/to/python." >&2
elif [ -n "$seen" ]; then
    echo "No suitable Python: one of these versions is needed: $wanted; found $seen. Install one, or name it with PYTHON=/path/to/python." >&2
else
    echo "No Python found: install one of these versions: $wanted, or name it with PYTHON=/path/to/python." >&2
fi
exit 1
