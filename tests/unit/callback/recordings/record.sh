#!/bin/sh
# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Records the results that callbacks get from the ansible-core in PATH into core-<version>.json:
#   PATH=.venv-core-2.17/bin:$PATH tests/unit/callback/recordings/record.sh
set -eu
cd "$(dirname "$0")"
version=$(ansible-playbook --version | sed -n '1s/.*core \([0-9]*\.[0-9]*\).*/\1/p')
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cp recorder.py "$scratch/recorder.py"
printf '[defaults]\ncollections_path = %s\ncallbacks_enabled = recorder\n' "$PWD/../../../../playbooks/collections" > "$scratch/ansible.cfg"
# The last host cannot be reached: nothing listens on the discard port of this machine.
printf '[nobody]\nnobody-01 ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=9\n' > "$scratch/nobody.ini"
ANSIBLE_CONFIG="$scratch/ansible.cfg" ANSIBLE_CALLBACK_PLUGINS="$scratch" RECORDER_FILE="$PWD/core-$version.json" \
    LARRY_EMBEDDED_DIR="$scratch/server" LARRY_EMBEDDED_IDLE_S=1 \
    ansible-playbook record.yml -i record.larry.yml -i "$scratch/nobody.ini" || [ $? -eq 4 ]
