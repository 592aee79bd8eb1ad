# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start one controller for each Larry of a plan at the same moment and follow them: the program behind "make run".

    launch.py                                  the embedded plan, one controller for each Larry
    launch.py --plan my.larry.yml --controllers 1
    launch.py -e larry_retry=true -- --check   what stands after -- goes to ansible-playbook

Each controller is `ansible-playbook playbooks/site.yml -i PLAN --limit GROUP`, run by ansible-runner; its output is in
<coordination directory>/logs/. What is shown comes from the event log of the run that the controllers joined.
Exit codes: 0 everything is settled and nothing failed; 2 a task or a barrier failed (or a criterion is unmet, where the
plan says fail_on: unmet); 4 the plan is wrong and nothing was started; 130 and 143 after Ctrl-C and SIGTERM; else the
code of the first controller that failed.
"""

from __future__ import annotations

import queue
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "playbooks" / "collections"))

try:
    from launcher import arguments, ending
    from launcher.team import Team
    from launcher.view import View
    from launcher.watching import follow, watch
except ModuleNotFoundError as error:
    sys.exit(f"The launcher needs {error.name}, which is not installed: start it with 'make run', which installs it.")

from ansible_collections.cortex.larry.plugins.module_utils._coordination.connection import connect  # noqa: E402
from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import CoordinationError  # noqa: E402
from ansible_collections.cortex.larry.plugins.module_utils._coordination.fallback import on_embedded  # noqa: E402
from ansible_collections.cortex.larry.plugins.module_utils._plan import PlanError, load_plan  # noqa: E402


def main(words: list[str]) -> int:
    """Returns the exit code."""
    options = arguments.parse(words, __doc__)
    try:
        plan = load_plan(options.plan)
        settings = arguments.settings_for(plan, options)
        commands = arguments.commands(plan, options)
        if settings.server == "embedded":
            connect(settings)  # starts the server, and keeps it while this process lives
    except PlanError as error:
        print(f"{error}\nThe plan cannot be used; nothing was started.", file=sys.stderr)
        return 4
    except CoordinationError as error:
        print(error.sentence, file=sys.stderr)
        return 1
    directory = Path(options.directory or plan.run_directory).absolute()
    told: queue.Queue[Any] = queue.Queue()
    with tempfile.TemporaryDirectory(prefix="larry-") as private:
        team = Team(commands, directory, Path(private))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, team.stop)
        with View(plan.canonical(), options.plain) as view:
            count = f"{len(commands)} controller{'s' if len(commands) > 1 else ''}"
            view.note(f"starting {count}, output in {ending.shown(directory / 'logs')}")
            for controller in team.controllers:
                controller.start()
            threading.Thread(target=follow, args=(team, settings, told), daemon=True).start()
            watch(team, told, view)
    model = ending.read_result(plan, directory, team.run)
    settings = on_embedded(settings) if team.fell_back else settings
    print("", *ending.closing_lines(plan, settings, directory, team.run, model), sep="\n")
    ending.print_failures([one for one in team.controllers if one.runner.rc != 0 and not team.stopped_by])
    unmet = model is not None and any(one["state"] == "unmet" for one in model["criteria"])
    return team.exit_code() or (2 if unmet and plan.canonical()["fail_on"] == "unmet" else 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
