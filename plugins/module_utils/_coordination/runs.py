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
from .errors import HistoryLost, NotJoined, Refused, RunConflict, SettingsError
from .history import Seen, forget_loss, forget_run, known_of
from .keeper import ensure_keeper
from .locks import duration
from .session import Session, new_operation

_CREATION_TTL_MS = 10_000
_CREATION_WAIT_S = 60.0
_CLOCK_WAIT_S = 60.0


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


@dataclasses.dataclass(frozen=True)
class Recovered:
    """What became of a run whose history was lost.

    Attributes:
        run: its id.
        changed: a new epoch was opened; False if the server has all that this machine knows of.
        epoch: the epoch now.
        old_epoch: the epoch that the server was found in; the lost one where nothing was left.
        sequence: the last entry of the log that the server had.
        seen: the last entry that a controller of this machine had seen, or None.
        voided: how many leases were void with it.
    """

    run: str
    changed: bool
    epoch: int
    old_epoch: int
    sequence: int
    seen: int | None
    voided: int


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
        return self.session.patiently(lambda: self.session.client.hgetall(self.session.key("larry:run")))

    def join(
        self,
        plan: dict[str, t.Any],
        digest: str,
        *,
        run: str | None = None,
        archive: t.Callable[[dict[str, str]], t.Any] | None = None,
        probe: bool = False,
        fallback: str | None = None,
    ) -> Joined:
        """Joins the run of this plan; creates it when there is none or the one that is there is finished.

        Args:
            plan: the canonical plan.
            digest: of the plan and the collection's version.
            run: pins a run id: that one is joined or created, no other.
            archive: called with the finished run's record before its keys are deleted; raises NotJoined if that run is
                gone.
            probe: says what would happen and changes nothing.
            fallback: the server that did not answer at the start, where this one takes its place; kept with the run.

        Raises:
            RunConflict: a run of another plan is there and not finished, or a pinned id is not the one there.
            HistoryLost: this machine has seen more of the run than the server has.
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
                self._welcome()
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
                if self._create(plan, digest, run or new_run_id(), previous=replaced, fallback=fallback):
                    return Joined(self._join_created(wanted), "created", replaced)
            else:  # finished, or abandoned in the middle of its creation or deletion
                if status == "finished" and archive is not None:
                    try:
                        archive({**self.look(), "id": view["run"]})
                    except HistoryLost:
                        raise
                    except NotJoined:
                        continue  # another controller was faster: it has archived and deleted the run
                if self._delete(plan, view["run"]):
                    replaced = view["run"] if status == "finished" else replaced

    def _join_created(self, wanted: dict[str, t.Any]) -> str:
        view = self.session.call("run_join", wanted)
        if view["status"] != "joined":
            raise RunConflict(self._conflict(view, None), **view)
        self._welcome()
        return view["run"]

    def _welcome(self) -> None:
        """A controller that has just joined."""
        ensure_keeper(self.session)
        if self.session.keep:
            forget_loss(self.session.settings)
            # What controllers of this machine could not send before they ended.
            self.session.deliver(everybody=True)

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

    def _create(
        self,
        plan: dict[str, t.Any],
        digest: str,
        run: str,
        *,
        previous: str | None = None,
        fallback: str | None = None,
        lost: Seen | None = None,
    ) -> bool:
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
                "epoch": str(lost.epoch + 1 if lost else 1),
                "previous": previous,
                "fallback": fallback,
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
        opened = self.session.call(
            "run_open", {"token": token, "tasks": len(plan["tasks"]), "seen": lost.seq if lost else None}
        )
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
            if reply["status"] == "deleted" and self.session.keep:
                forget_run(self.session.settings, run)
            return reply["status"] == "deleted"

    def recover(
        self,
        plan: dict[str, t.Any],
        digest: str,
        *,
        run: str | None = None,
        force: bool = False,
        archive: t.Callable[[dict[str, str]], t.Any] | None = None,
        probe: bool = False,
    ) -> Recovered:
        """Opens a new epoch of a run whose history the server has lost, or has lost a part of.

        Settled tasks stay as the server has them now; every lease of the run is void, and every controller has to join
        again. Where nothing is left the run is created anew under its name. Does nothing where the server has all that
        this machine knows of, unless `force` says that something is lost all the same.

        Args:
            plan: the canonical plan, of the same digest as the run.
            run: the name of the run to create where nothing is left and this machine does not know it.
            archive: called with the record of a finished run that is in the place of the lost one.
            probe: says what would happen and changes nothing.

        Raises:
            RunConflict: another plan's run is there.
            Refused: the server's clock is too far behind that of the lost history.
        """
        known = known_of(self.session.settings)
        operation = new_operation()
        asked = {
            "digest": digest,
            "known": known.sent() if known else None,
            "force": force or None,
            "probe": probe or None,
        }
        began = time.monotonic()
        previous = None
        while True:
            view = self.session.call("run_recover", asked, operation)
            status = view["status"]
            if status in ("recovered", "whole", "would_recover"):
                if not probe:
                    forget_loss(self.session.settings)
                return Recovered(
                    view["run"],
                    changed=status != "whole",
                    epoch=int(view["epoch"]),
                    old_epoch=int(view.get("old_epoch") or view["epoch"]),
                    sequence=int(view.get("sequence") or view["seq"]),
                    seen=known.seq if known and known.run == view["run"] else None,
                    voided=int(view.get("voided") or 0),
                )
            if status == "other_digest":
                raise RunConflict(self._conflict(view, None), **view)
            if status == "clock_behind":
                if view["left_ms"] / 1000 > _CLOCK_WAIT_S - (time.monotonic() - began):
                    raise Refused(
                        f"The clock of the server {self.session.settings.shown} is {duration(view['left_ms'])} behind "
                        "that of the lost history, so fences would not grow; set it right (NTP) and try again.",
                        **view,
                    )
                time.sleep(view["left_ms"] / 1000 + 0.001)
            elif status == "busy":
                if time.monotonic() - began > _CREATION_WAIT_S:
                    raise RunConflict("Another controller is creating or deleting a run; try again.", **view)
                time.sleep(0.05)
            elif probe or status == "absent":
                name = known.run if known else run or new_run_id()
                lost = known or Seen(name, 0, 0, 0)
                anew = Recovered(name, True, lost.epoch + 1, lost.epoch, 0, known.seq if known else None, 0)
                if probe:
                    return anew
                if known and known.at > self._server_time_us():
                    time.sleep(min(_CLOCK_WAIT_S, (known.at - self._server_time_us()) / 1_000_000 + 0.001))
                if self._create(plan, digest, name, previous=previous, lost=lost):
                    forget_loss(self.session.settings)
                    return anew
            else:  # finished, or abandoned in the middle of its creation or deletion
                if status == "finished" and archive is not None:
                    archive(self.look())
                if self._delete(plan, view["run"]):
                    previous = view["run"] if status == "finished" else previous

    def _server_time_us(self) -> int:
        seconds, microseconds = self.session.client.time()
        return int(seconds) * 1_000_000 + int(microseconds)

    def reopen(self, plan: dict[str, t.Any]) -> list[str]:
        """Opens the failed tasks of an unfinished run, and what they blocked, once more. Returns their ids."""
        tasks = plan["tasks"]
        names = [self.session.key(f"task:status:{task}") for task in tasks]
        found = self.session.patiently(lambda: self.session.client.mget(names))
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
            # Deleted before, perhaps from another machine: that was meant, then.
            if self.session.keep:
                forget_run(self.session.settings, None)
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
            bells = self.session.patiently(
                lambda: self.session.client.xrevrange(self.session.key("larry:bell:run"), count=1)
            )
            record = self.look()
            if not record or record.get("state") != "running" or record.get("id") != run:
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.session.wait_for({"run": bells[0][0] if bells else "0-0"}, left)
