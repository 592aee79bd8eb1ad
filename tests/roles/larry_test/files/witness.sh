#!/bin/sh
# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# witness.sh FILE WORD...: one line with the words and the time; >> opens with O_APPEND, so writers never mix.
set -eu
file=$1
shift
printf '%s %s\n' "$*" "$(date +%s.%N)" >> "$file"
