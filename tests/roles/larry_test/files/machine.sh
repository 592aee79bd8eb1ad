#!/bin/sh
# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# machine.sh DIRECTORY: writes evidence of this machine; prints its SHA-256 and its size in bytes.
set -eu
mkdir -p "$1"
printf '{"hostname": "%s", "kernel": "%s"}\n' "$(uname -n)" "$(uname -r)" > "$1/machine.json"
sha256sum < "$1/machine.json" | cut -d ' ' -f 1
wc -c < "$1/machine.json"
