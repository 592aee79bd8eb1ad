# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A round of whole controllers: ansible-playbook processes with their forks and keepers on a plan of the tests."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from typing import Any

import redis
import yaml
from chaos_round import PREFIX, ROOT, Round
from fault_schedule import GROUPS, Fault, draw_lengths
from faulty_processes import MARK, Controller

_ESTATE = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: default}\ndata: {colour: green}\n"
_WORKERS = ("one", "two")
# A controller makes a few calls a second, its keeper among them.
_CALLS = (25, 260)


class ControllersRound(Round):
    """Two controllers of `playbooks/site.yml`, one for each Larry, on a plan made from `pair.larry.yml`."""

    form = "controllers"
    ttl_s = 2.0
    room_s = 45.0
    least_s = 75.0
    faults_of_round = 9

    def make_plan(self) -> dict[str, Any]:
        """Writes the plan file and returns what the check needs to know of it."""
        plan = yaml.safe_load((ROOT / "tests" / "plans" / "pair.larry.yml").read_text())
        (self.directory / "estate").mkdir()
        (self.directory / "estate" / "settings.yaml").write_text(_ESTATE)
        plan["estate"]["path"] = str(self.directory / "estate")
        plan["run"]["prefix"] = PREFIX
        plan["barrier"] = {"policy": "wait", "timeout": "5m", "join_within": "4m"}
        for larry in plan["larrys"].values():
            hand = {"node": "here", "tokens": 50, "duration": "1m", "capabilities": ["echo", "slow"]}
            larry["workers"] = {worker: dict(hand) for worker in _WORKERS}
        plan["tasks"] = {}
        model: dict[str, Any] = {
            "larrys": {
                larry: {"workers": [f"{larry}-{worker}" for worker in _WORKERS], "tokens": 100}
                for larry in plan["larrys"]
            },
            "workers": {
                f"{larry}-{worker}": {"larry": larry, "capabilities": ["echo", "slow"]}
                for larry in plan["larrys"]
                for worker in _WORKERS
            },
            "tasks": {},
            "budgets": {"emergency": 0},
        }
        before: list[str] = []
        for index in range(self.tasks):
            larry = self.rng.choice(sorted(plan["larrys"]))
            capability = self.rng.choice(("slow", "slow", "echo"))
            name = f"t-{index:03d}"
            needed = sorted(self.rng.sample(before[-6:], min(len(before[-6:]), self.rng.choice((0, 0, 1)))))
            plan["tasks"][name] = {"larry": larry, "capability": capability, "attempts": 5, "backoff": "1s"}
            if capability == "slow":
                plan["tasks"][name]["parameters"] = {"seconds": self.rng.choice((1, 2, 3))}
            if needed:
                plan["tasks"][name]["depends_on"] = needed
            model["tasks"][name] = {
                "id": name, "larry": larry, "capability": capability, "depends_on": needed, "after": [],
            }  # fmt: skip
            before.append(name)
        (self.directory / "chaos.larry.yml").write_text(yaml.safe_dump(plan, sort_keys=False))
        return model

    def make_schedule(self) -> list[Fault]:
        # Recovering a run needs the digest of a real plan; the library form has the faults that lose history.
        kinds = [kind for kind in self.kinds if kind not in GROUPS["history"]]
        return draw_lengths(self.rng, kinds, self.faults_of_round, _CALLS, self.ttl_s)

    def clients(self) -> dict[str, str]:
        return {f"c{place}": larry for place, larry in enumerate(sorted(self.plan["larrys"]))}

    def launch(self, controller: Controller) -> subprocess.Popen[bytes]:
        work = self.directory / "w"
        for name in ("w", "h"):
            (self.directory / name).mkdir(exist_ok=True)
        config = self.directory / "ansible.cfg"
        # Relative paths in it mean the checkout.
        config.write_text(re.sub(r"\./", f"{ROOT}/", (ROOT / "ansible.cfg").read_text()))
        variables = self.environment(controller.this_mark)
        variables.pop("PYTHONPATH")
        variables.pop("XDG_STATE_HOME", None)
        variables |= {
            "HOME": str(self.directory / "h"),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_CONFIG": str(config),
            "ANSIBLE_ROLES_PATH": str(ROOT / "tests" / "roles"),
            "LARRY_TTL": str(int(self.ttl_s)),
            MARK: controller.this_mark,
        }
        with (self.directory / f"{controller.name}.log").open("ab") as log:
            return subprocess.Popen(
                [
                    os.path.join(os.path.dirname(sys.executable), "ansible-playbook"),
                    str(ROOT / "playbooks" / "site.yml"),
                    "-i",
                    str(self.directory / "chaos.larry.yml"),
                    "--limit",
                    "larry_" + self.leads[controller.name],
                    "-e",
                    f"larry_redis={self.url(controller.name)}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=work,
                env=variables,
                start_new_session=True,
            )

    def may_start(self, controller: Controller) -> bool:
        """A run that is finished would be started anew, so nobody is started again then."""
        with contextlib.suppress(redis.exceptions.RedisError), self.server.client() as client:
            state = client.hget(PREFIX + "larry:run", "state")
            met = int(client.hget(PREFIX + "larry:barrier:converge", "generation") or 0)
            others = any(one.running() for one in self.controllers if one is not controller)
            if state == "finished" or (met >= 2 and others):
                controller.done = True
            return not controller.done
        return False
