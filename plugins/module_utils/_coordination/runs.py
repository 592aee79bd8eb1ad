# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The run: joined when it is there, created when it is not, replaced when it is finished."""

from __future__ import annotations

import dataclasses
import datetime
import json
import time
import typing as t
import uuid

from .definition import capabilities, load_steps
from .errors import Refused, RunConflict, SettingsError
from .keeper import ensure_keeper
from .locks import duration
from .session import Session, new_operation

_CREATION_TTL_MS = 10_000
_CREATION_WAIT_S = 60.0


@dataclasses.dataclass(frozen=True)
class Joined:
    """How this controller came into the run.

    Attributes:
        run: id of the run.
        how: created, joined, resumed (nobody led it any more), or member (it was in already).
        replaced: id of the finished run that was archived and replaced, or None.
    """

    run: str
    how: str
    replaced: str | None = None


def new_run_id(now: datetime.datetime | None = None) -> str:
    """An id that sorts by time: ``20261121T074001Z-3f9a1c``."""
    moment = now or datetime.datetime.now(datetime.timezone.utc)
    return moment.strftime("%Y%m%dT%H%M%SZ-") + uuid.uuid4().hex[:6]


class RunService:
    """Creates, joins, finishes and deletes the run under a session's prefix."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def look(self) -> dict[str, str]:
        """The run's record as plain strings; empty when there is none."""
        return self.session.client.hgetall(self.session.key("larry:run"))

    def join(
        self,
        plan: dict[str, t.Any],
        digest: str,
        *,
        run: str | None = None,
        archive: t.Callable[[dict[str, str]], t.Any] | None = None,
        probe: bool = False,
    ) -> Joined:
        """Joins the run of this plan; creates it when there is none or the one that is there is finished.

        Args:
            plan: the canonical plan.
            digest: of the plan and the collection's version.
            run: pins a run id: that one is joined or created, no other.
            archive: called with the finished run's record before its keys are deleted.
            probe: says what would happen and changes nothing.

        Raises:
            RunConflict: a run of another plan is there and not finished, or a pinned id is not the one there.
        """
        replaced = None
        deadline = time.monotonic() + _CREATION_WAIT_S
        wanted = {
            "digest": digest,
            "run": run,
            "host": self.session.controller.hostname,
            "pid": self.session.controller.pid,
        }
        while True:
            view = self._look_before_joining(wanted) if probe else self.session.call("run_join", wanted)
            status = view["status"]
            if status == "joined":
                ensure_keeper(self.session)
                led = bool(view.get("leaders"))
                how = ("joined" if led else "resumed") if view.get("changed") else "member"
                return Joined(view["run"], how, replaced)
            if probe:
                return Joined(view.get("run") or run or "", "joined" if status == "would_join" else "created", None)
            if status == "busy":
                if time.monotonic() > deadline:
                    raise RunConflict(
                        f"The controller {view['controller']} is preparing a run under the prefix "
                        f"{self.session.settings.prefix!r} since more than {_CREATION_WAIT_S:g} s "
                        f"({duration(view['left_ms'])} left of its lease); look at it, or run playbooks/cleanup.yml.",
                        **view,
                    )
                time.sleep(0.05)
            elif status == "other_digest" or status == "other_run":
                raise RunConflict(self._conflict(view, run), **view)
            elif status == "absent":
                if self._create(plan, digest, run or new_run_id()):
                    return Joined(self._join_created(wanted), "created", replaced)
            else:  # finished, or abandoned in the middle of its creation or deletion
                if status == "finished" and archive is not None:
                    archive(self.look())
                if self._delete(plan, view["run"]):
                    replaced = view["run"] if status == "finished" else replaced

    def _join_created(self, wanted: dict[str, t.Any]) -> str:
        view = self.session.call("run_join", wanted)
        if view["status"] != "joined":
            raise RunConflict(self._conflict(view, None), **view)
        ensure_keeper(self.session)
        return view["run"]

    def _look_before_joining(self, wanted: dict[str, t.Any]) -> dict[str, t.Any]:
        record = self.look()
        if not record or record.get("state") in ("finished", "creating", "deleting"):
            return {"status": "would_create"}
        view = {"run": record["id"], "plan": record.get("plan"), "state": record.get("state"), "leaders": []}
        if wanted["run"] and wanted["run"] != record["id"]:
            raise RunConflict(self._conflict({**view, "status": "other_run"}, wanted["run"]))
        if record.get("digest") != wanted["digest"]:
            raise RunConflict(self._conflict({**view, "status": "other_digest"}, None))
        return {**view, "status": "would_join"}

    def _conflict(self, view: dict[str, t.Any], pinned: str | None) -> str:
        prefix = self.session.settings.prefix
        leaders = view.get("leaders") or []
        who = (
            "led by "
            + ", ".join(
                f"{one['larry']} (controller {one['controller'][:8]}, {duration(one['left_ms'])} left)"
                for one in leaders
            )
            if leaders
            else "led by nobody now"
        )
        if view["status"] == "other_run":
            return (
                f"The run under the prefix {prefix!r} is {view['run']}, and {pinned} was asked for; leave larry_run "
                "out to join it, or choose another prefix."
            )
        return (
            f"Another run is under the prefix {prefix!r} and not finished: {view['run']} of the plan {view['plan']}, "
            f"{who}. Resume it with the plan it was started with, take it over by ending its controllers and running "
            "playbooks/cleanup.yml with that plan, or choose another prefix with run.prefix or -e larry_prefix=NAME."
        )

    def _create(self, plan: dict[str, t.Any], digest: str, run: str) -> bool:
        policy = self._eviction_policy()
        if policy not in (None, "noeviction"):
            raise SettingsError(
                f"The server {self.session.settings.shown} evicts keys when its memory is full (maxmemory-policy "
                f"{policy}); leases would vanish. Set maxmemory-policy noeviction."
            )
        token = new_operation()
        begun = self.session.call(
            "run_begin",
            {
                "token": token,
                "run": run,
                "digest": digest,
                "plan": plan["name"],
                "epoch": new_operation()[:8],
                "host": self.session.controller.hostname,
                "ttl_ms": _CREATION_TTL_MS,
                "definition": json.dumps({"capabilities": capabilities(plan)}),
                "emergency": plan["budgets"]["emergency"],
                "time_scale": plan["time_scale"],
            },
        )
        if begun["status"] == "leftovers":
            raise Refused(
                f"There is a log ({self.session.key('larry:log')}) but no run under the prefix "
                f"{self.session.settings.prefix!r}: keys were deleted by hand. Save the log if it matters and delete "
                "it, or choose another prefix."
            )
        if begun["status"] != "begun":
            time.sleep(0.05)
            return False
        for step in load_steps(plan):
            if (
                self.session.call("run_load", {**step, "token": token, "ttl_ms": _CREATION_TTL_MS})["status"]
                != "loaded"
            ):
                return False
        opened = self.session.call("run_open", {"token": token, "tasks": len(plan["tasks"])})
        return opened["status"] == "running"

    def _eviction_policy(self) -> str | None:
        try:
            return self.session.client.config_get("maxmemory-policy").get("maxmemory-policy")
        except Exception:
            return None

    def _delete(self, plan: dict[str, t.Any] | None, run: str, force: bool = False) -> bool:
        named = json.loads(self.look().get("definition") or "{}").get("capabilities", [])
        if plan is not None:
            named = sorted(set(named) | set(capabilities(plan)))
        token = new_operation()
        while True:
            reply = self.session.call(
                "run_delete",
                {
                    "run": run,
                    "token": token,
                    "host": self.session.controller.hostname,
                    "ttl_ms": _CREATION_TTL_MS,
                    "capabilities": named,
                    "force": force or None,
                },
            )
            if reply["status"] == "deleting":
                continue
            if reply["status"] == "led":
                raise Refused(
                    f"The run {run} is led by the controller {reply['controller'][:8]} for {reply['larry']} "
                    f"({duration(reply['left_ms'])} left unless renewed); end it first, or force the clean-up.",
                    **reply,
                )
            return reply["status"] == "deleted"

    def reopen(self, plan: dict[str, t.Any]) -> list[str]:
        """Opens the failed tasks of an unfinished run, and what they blocked, once more. Returns their ids."""
        tasks = plan["tasks"]
        found = self.session.client.mget([self.session.key(f"task:status:{task}") for task in tasks])
        states = dict(zip(tasks, found, strict=True))
        again = {task for task, state in states.items() if state == "failed"}
        while True:
            blocked = {
                task
                for task, entry in tasks.items()
                if states[task] == "skipped" and task not in again and again & set(entry["depends_on"])
            }
            if not blocked:
                break
            again |= blocked
        opened = []
        for task in sorted(again):
            entry = tasks[task]
            parents = [{"id": one, "kind": "h"} for one in entry["depends_on"] if one in again]
            parents += [{"id": one, "kind": "s"} for one in entry["after"] if one in again]
            opened.append({"id": task, "state": states[task], "waiting": len(parents), "parents": parents})
        if not opened:
            return []
        reply = self.session.call("run_reopen", {"tasks": opened}, new_operation())
        if reply.get("refused"):
            raise Refused(
                f"The failed tasks of the run {reply.get('run')} cannot be opened again: it is {reply.get('state')}."
            )
        return list(reply["tasks"] or [])

    def delete(self, force: bool = False) -> str | None:
        """Deletes the keys of the run that is there, by name. It cannot be undone. Returns the run's id, or None."""
        record = self.look()
        if not record.get("id"):
            return None
        self._delete(None, record["id"], force)
        return record["id"]

    def finish(self, outcome: str, report: str, log_head: str) -> dict[str, t.Any]:
        """Marks the run as finished; `outcome` is completed or failed."""
        return self.session.call("run_finish", {"outcome": outcome, "report": report, "log_head": log_head})

    def wait_finished(self, run: str, timeout_s: float) -> bool:
        """Waits up to `timeout_s` seconds until the run is finished (or was replaced by another one)."""
        deadline = time.monotonic() + timeout_s
        while True:
            bells = self.session.client.xrevrange(self.session.key("larry:bell:run"), count=1)
            record = self.look()
            if not record or record.get("state") != "running" or record.get("id") != run:
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.session.wait_for({"run": bells[0][0] if bells else "0-0"}, left)
