# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the launcher's command line to the command line and the environment of each controller."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from ansible_collections.cortex.larry.plugins.module_utils._coordination.settings import Settings
from ansible_collections.cortex.larry.plugins.module_utils._plan import Plan
from ansible_collections.cortex.larry.plugins.module_utils.options import SOURCES, settings_of, with_sources

from .variables import variables_of

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_PLAN = ROOT / "inventories" / "embedded" / "three-larrys.larry.yml"


def parse(arguments: list[str], description: str | None) -> argparse.Namespace:
    """The options; `more` is what stands after --."""
    own, more = arguments, []
    if "--" in arguments:
        place = arguments.index("--")
        own, more = arguments[:place], arguments[place + 1 :]
    parser = argparse.ArgumentParser(
        prog="launch.py", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--plan", "-i", type=Path, default=DEFAULT_PLAN, help="the plan (default: the embedded one)")
    parser.add_argument("--controllers", type=positive, help="how many to start (default: as the plan says)")
    parser.add_argument("--directory", help="the coordination directory (default: as the plan says)")
    parser.add_argument("--plain", action="store_true", help="plain lines instead of a table, also on a terminal")
    parser.add_argument("--forks", type=positive, help="of each controller (default: more than it has hosts)")
    parser.add_argument("-e", "--extra-vars", action="append", default=[], metavar="NAME=VALUE", help="handed on")
    options = parser.parse_args(own)
    options.more = more
    if options.plan.is_dir():
        plans = sorted(options.plan.glob("*.larry.y*ml"))
        if len(plans) != 1:
            parser.error(f"{options.plan} holds {len(plans)} plans (*.larry.yml); name one of them with --plan")
        options.plan = plans[0]
    return options


def positive(text: str) -> int:
    """A number from 1."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def commands(plan: Plan, options: argparse.Namespace) -> dict[str, list[str]]:
    """The arguments of ansible-playbook for each controller, by its name. Larrys are dealt round in turn."""
    larrys = list(plan.larrys)
    count = min(options.controllers or plan.canonical()["controllers"], len(larrys))
    playbook = "site.yml"
    if plan.estate["source"] == "kubernetes":
        playbook, count = "preflight.yml", 1  # it says that this source is not there yet, and stops
    shared = [str(ROOT / "playbooks" / playbook), "-i", str(plan.path)]
    for text in options.extra_vars:
        shared += ["-e", text]
    if options.directory:
        shared += ["-e", json.dumps({"larry_directory": str(Path(options.directory).absolute())})]
    found = {}
    for place in range(count):
        led = larrys[place::count]
        # More forks than hosts, so that no host that waits keeps another one from working.
        forks = options.forks or 1 + sum(1 + len(plan.larrys[larry]["workers"]) for larry in led)
        limit = ["--limit", ":".join(plan.group(larry) for larry in led)] if count > 1 else []
        name = "+".join(led) if count > 1 else plan.name
        found[name] = [*shared, *limit, "--forks", str(forks), *options.more]
    return found


def environment() -> dict[str, str]:
    """What the controllers' environment has besides the launcher's own."""
    added = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORCE_COLOR": "0",
        # The runner turns the check of host keys off unless told otherwise.
        "ANSIBLE_HOST_KEY_CHECKING": os.environ.get("ANSIBLE_HOST_KEY_CHECKING", "True"),
    }
    if "ANSIBLE_CONFIG" not in os.environ:
        added["ANSIBLE_CONFIG"] = str(ROOT / "ansible.cfg")
    return added


def settings_for(plan: Plan, options: argparse.Namespace) -> Settings:
    """How to reach the plan's server, as the modules do it: from the plan, variables beside it, -e and the environment.

    Where Ansible cannot say what the variables are, from the plan and the environment alone.
    """
    handed_on = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    handed_on.add_argument("-e", "--extra-vars", action="append", default=[])
    given = [*options.extra_vars, *handed_on.parse_known_args(options.more)[0].extra_vars]
    names = [variable for variable, _environment in SOURCES.values()]
    variables: dict[str, Any] | None = variables_of(
        str(plan.path), next(iter(plan.larrys)), given, names, os.environ | environment()
    )
    if variables is None:
        variables = {"larry_redis": plan.connection, "larry_prefix": plan.prefix}
    return settings_of(with_sources({}, variables.get))
