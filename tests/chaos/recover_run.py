# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an operator does after a loss: `run: state=recovered`, as a process of its own in the round's surroundings."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from ansible_collections.cortex.larry.plugins.module_utils._coordination.identity import Controller
from ansible_collections.cortex.larry.plugins.module_utils._coordination.runs import RunService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.session import Session
from ansible_collections.cortex.larry.plugins.module_utils._coordination.settings import Settings


def main() -> None:
    """The configuration is that of a library client."""
    config = json.loads(sys.stdin.readline())
    session = Session(Settings(**config["settings"]), Controller.of_process(os.getpid()), "operator")
    plan = json.loads(Path(config["plan"]).read_text())
    done = RunService(session).recover(plan, config["digest"], run=config["run"])
    print(json.dumps({"changed": done.changed, "epoch": done.epoch, "sequence": done.sequence}))


if __name__ == "__main__":
    main()
