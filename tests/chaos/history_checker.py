# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks a history against the laws. Shares nothing with the implementation: input are plain JSON types and calls.

The log is replayed by rules written down here a second time, the state it leads to is compared with the keys, and both
are compared with what the clients saw: an acknowledged call must be in the log, and what one client learned before
another asked must not be contradicted by the answer.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from call_records import Call

Event = dict[str, Any]
SETTLED = ("completed", "failed", "skipped")
_PHASES = ["pending", "in_progress", "completed", "failed"]


@dataclass
class Violation:
    """A law that does not hold, and the shortest evidence for it: entries of the log, calls or keys."""

    law: str
    sentence: str
    evidence: list[Any] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{self.law}: {self.sentence}"]
        lines += [f"    {json.dumps(one, sort_keys=True, default=str)[:400]}" for one in self.evidence[:8]]
        return "\n".join(lines)


@dataclass
class _Task:
    """A task as the log tells it."""

    plan: dict[str, Any]
    state: str = "pending"
    attempt: int = 0
    fence: int = 0
    worker: str = ""
    story: list[Event] = field(default_factory=list)


class Checker:
    """Collects violations; `check` is the entry."""

    def __init__(self, history: dict[str, Any], calls: Iterable[Call]) -> None:
        self.history = history
        self.plan = history["plan"]
        self.calls = sorted(calls, key=lambda call: call.begin)
        self.found: list[Violation] = []
        self.tasks = {name: _Task(task) for name, task in self.plan["tasks"].items()}
        self.phases = dict.fromkeys(self.plan["larrys"], "pending")
        self.swept: dict[str, str] = {}
        self.busy: dict[str, str] = {}
        # What clients saw before the server lost history was of another history, in which the laws held on their own.
        losses = history.get("losses") or []
        self.lost = bool(losses)
        self.since = max([*losses, *(history.get("recoveries") or [])], default=0.0)
        self.later_calls = [call for call in self.calls if call.begin > self.since]

    def say(self, law: str, sentence: str, *evidence: Any) -> None:
        self.found.append(Violation(law, sentence, list(evidence)))

    # --- L9: the log -----------------------------------------------------------------------------------------------

    def log_is_gapless(self, log: list[Event], head: str | None, name: str, trimmed: bool = False) -> None:
        expected = int(log[0]["id"]) if trimmed and log else 1
        for event in log:
            if event["id"] != str(expected) or event["at"] != f"{expected}-0":
                self.say("L9 log", f"{name} has entry {event['id']} at {event['at']} where {expected} belongs", event)
                return
            expected += 1
        if int(head or 0) != expected - 1:
            self.say("L9 log", f"{name} ends at {expected - 1} and its sequence is {head}")

    def log_is_one_run(self, log: list[Event]) -> None:
        run = self.history["run"].get("id")
        for event in log:
            if event["run"] != run:
                self.say("L9 log", f"an entry belongs to the run {event['run']!r}, not to {run!r}", event)
                return
        created = [event for event in log if event["event"] == "run_created"]
        if len(created) != 1 or created[0] is not log[0]:
            self.say("L9 log", f"the log has {len(created)} entries run_created, or it is not the first", *created[:2])
        ended = [event for event in log if event["event"] == "run_complete"]
        if ended and (len(ended) > 1 or ended[0] is not log[-1]):
            self.say("L9 log", "there is something after run_complete, or it is there twice", *ended, log[-1])
        if bool(ended) != (self.history["run"].get("state") == "finished"):
            self.say("L9 replay", "run_complete and the state of the run do not agree", self.history["run"])

    # --- replay ------------------------------------------------------------------------------------------------------

    def replay(self, log: list[Event]) -> None:
        """L1, L2, L6 and the phases: every entry must be possible after those before it."""
        for event in log:
            handler = getattr(self, "on_" + event["event"], None)
            if handler is not None:
                task = self.tasks.get(event.get("task_id", ""))
                if "task_id" in event:
                    if task is None:
                        self.say("L9 log", "an entry names a task that the plan does not know", event)
                        continue
                    handler(event, task)
                    task.story.append(event)
                else:
                    handler(event)

    def wrong(self, law: str, sentence: str, event: Event, task: _Task) -> None:
        self.say(law, f"{event['task_id']}: {sentence}", *task.story[-3:], event)

    def unmet(self, task: _Task) -> list[str]:
        hard = [one for one in task.plan["depends_on"] if self.tasks[one].state != "completed"]
        return hard + [one for one in task.plan["after"] if self.tasks[one].state not in SETTLED]

    def on_task_ready(self, event: Event, task: _Task) -> None:
        if task.state != "pending":
            self.wrong("L6 ready", f"it becomes ready while it is {task.state}", event, task)
        if self.unmet(task):
            self.wrong("L6 ready", f"it becomes ready before {', '.join(self.unmet(task))}", event, task)
        task.state = "ready"

    def on_task_claimed(self, event: Event, task: _Task) -> None:
        fence, worker = int(event["fence"]), event["worker"]
        if task.state != "ready":
            self.wrong("L6 claim", f"it is claimed while it is {task.state}", event, task)
        if self.unmet(task):
            self.wrong("L6 claim", f"it is claimed before {', '.join(self.unmet(task))}", event, task)
        if fence <= task.fence:
            self.wrong("L2 fence", f"its fence {fence} is not above {task.fence}", event, task)
        if event["attempt"] != task.attempt + 1:
            self.wrong("L9 replay", f"attempt {event['attempt']} follows {task.attempt}", event, task)
        declared = self.plan["workers"].get(worker)
        if declared is None or declared["larry"] != task.plan["larry"]:
            self.wrong("L6 claim", f"{worker} is no worker of its Larry", event, task)
        elif task.plan["capability"] not in declared["capabilities"]:
            self.wrong("L6 claim", f"{worker} has not the capability {task.plan['capability']}", event, task)
        if worker in self.busy:
            self.wrong("L6 claim", f"{worker} has {self.busy[worker]} still", event, task)
        if self.phases[task.plan["larry"]] != "in_progress":
            self.wrong("L6 claim", f"its phase is {self.phases[task.plan['larry']]}", event, task)
        if task.plan["larry"] in self.swept:
            self.wrong("L6 claim", f"nothing new is claimed after {self.swept[task.plan['larry']]}", event, task)
        task.state, task.fence, task.attempt, task.worker = "in_progress", fence, event["attempt"], worker
        self.busy[worker] = event["task_id"]

    def at_work(self, event: Event, task: _Task) -> bool:
        """True if this entry comes from the attempt that runs, by its fence, number and worker."""
        return (
            task.state == "in_progress"
            and int(event.get("fence", task.fence)) == task.fence
            and event.get("attempt", task.attempt) == task.attempt
            and event.get("worker", task.worker) == task.worker
        )

    def end_attempt(self, task: _Task, state: str) -> None:
        if task.state == "in_progress" and task.worker:
            self.busy.pop(task.worker, None)
        task.state = state

    def on_task_completed(self, event: Event, task: _Task) -> None:
        if task.state in SETTLED:
            self.wrong("L1 completion", f"a completion is accepted although it is {task.state}", event, task)
        elif "fence" not in event or not self.at_work(event, task):
            self.wrong("L1 completion", "a completion is accepted from somebody who does not hold it", event, task)
        self.end_attempt(task, "completed")

    def on_task_failed(self, event: Event, task: _Task) -> None:
        if not self.at_work(event, task):
            self.wrong("L1 completion", "a failure is accepted from somebody who does not hold it", event, task)
        self.end_attempt(task, "failed" if event["final"] else "requeue")

    def on_task_requeued(self, event: Event, task: _Task) -> None:
        if task.state not in ("in_progress", "requeue"):
            self.wrong("L9 replay", f"it is requeued while it is {task.state}", event, task)
        self.end_attempt(task, "ready")

    def on_task_skipped(self, event: Event, task: _Task) -> None:
        cause = event.get("cause", "")
        if "fence" in event:
            if not self.at_work(event, task):
                self.wrong("L1 completion", "a skip is accepted from somebody who does not hold it", event, task)
        elif task.state in SETTLED:
            self.wrong("L1 completion", f"it is skipped although it is {task.state}", event, task)
        elif cause.startswith("blocked by "):
            parent = cause.removeprefix("blocked by ")
            known = parent in task.plan["depends_on"] and self.tasks[parent].state in ("failed", "skipped")
            if not known or task.state != "pending":
                self.wrong("L6 ready", f"it is skipped while it is {task.state} because of {parent}", event, task)
        elif self.swept.get(task.plan["larry"]) != cause:
            self.wrong("L6 ready", f"it is skipped, {cause!r}, which its Larry is not", event, task)
        self.end_attempt(task, "skipped")

    def on_completion_fenced(self, event: Event, task: _Task) -> None:
        if task.state == "in_progress" and int(event["fence"]) == task.fence:
            self.wrong("L1 completion", "the holder itself was refused", event, task)

    def on_cancelled(self, event: Event) -> None:
        self.swept[event["name"]] = "cancelled"

    def on_phase_started(self, event: Event) -> None:
        if self.phases[event["larry"]] != "pending":
            self.say("phases", f"{event['larry']} starts while it is {self.phases[event['larry']]}", event)
        self.phases[event["larry"]] = "in_progress"

    def on_phase_complete(self, event: Event) -> None:
        self.end_phase(event, "completed")

    def on_phase_failed(self, event: Event) -> None:
        self.end_phase(event, "failed")

    def end_phase(self, event: Event, state: str) -> None:
        larry = event["larry"]
        if self.phases[larry] != "in_progress":
            self.say("phases", f"{larry} ends while it is {self.phases[larry]}", event)
        mine = Counter(task.state for task in self.tasks.values() if task.plan["larry"] == larry)
        if any(event[name] != mine[name] for name in SETTLED) or sum(mine[name] for name in SETTLED) != mine.total():
            self.say("phases", f"{larry} ends with {dict(mine)}", event)
        if (state == "failed") != (mine["failed"] > 0 or larry in self.swept):
            self.say("phases", f"{larry} is {state} with {dict(mine)}", event)
        self.phases[larry] = state

    # --- locks and barriers of a log ---------------------------------------------------------------------------------

    def locks_of(self, log: list[Event], trimmed: bool, slots: dict[str, int]) -> dict[str, tuple[int, int]]:
        """Never more holders than slots, and fences that grow; returns the last fence and the number of acquires."""
        held: dict[str, dict[int, Event]] = defaultdict(dict)
        last: dict[str, tuple[int, int]] = {}
        for event in log:
            name = event.get("resource", "")
            if not name.startswith("lock:") or "fence" not in event:
                continue
            fence = int(event["fence"])
            if event["event"] == "lease_acquired":
                before, times = last.get(name, (0, 0))
                if fence <= before:
                    self.say("L2 fence", f"{name}: the fence {fence} is not above {before}", event)
                held[name][fence] = event
                last[name] = (fence, times + 1)
                if len(held[name]) > slots.get(name.removeprefix("lock:"), 1):
                    self.say("L1 lock", f"{name} has {len(held[name])} holders", *held[name].values())
                    held[name].pop(min(held[name]))  # said once
            elif event["event"] in ("lease_released", "lease_lapsed", "lease_revoked"):
                if held[name].pop(fence, None) is None and not trimmed:
                    self.say("L9 replay", f"{name}: the end of a lease that nobody held", event)
        return last

    def barriers_of(self, log: list[Event], expected: dict[str, list[str]], trimmed: bool) -> dict[str, int]:
        """L7 by the log: a barrier opens when its members have arrived since it last ended, one generation a time."""
        arrived: dict[str, dict[str, Event]] = defaultdict(dict)
        opened: dict[str, int] = {}
        for event in log:
            name = event.get("barrier")
            if name is None or "generation" not in event:
                continue
            if event["event"] == "barrier_arrived":
                arrived[name][event["member"]] = event
                continue
            if event["event"] == "barrier_open":
                members = set(event["members"])
                without = {one["member"] for one in event.get("without") or []}
                missing = members - set(arrived[name])
                if missing and not trimmed:
                    self.say("L7 barrier", f"{name} opens with {sorted(missing)}, who did not arrive", event)
                if name in expected and members | without != set(expected[name]):
                    self.say("L7 barrier", f"{name} opens for {sorted(members)} of {expected[name]}", event)
                if without:
                    self.say("L7 barrier", f"{name} opens without {sorted(without)} under the policy wait", event)
                late = [one for one in arrived[name].values() if one["generation"] != event["generation"]]
                if late:
                    self.say("L7 barrier", f"{name}: an arrival of another generation", *late[:2], event)
                if name in opened and event["generation"] != opened[name] + 1:
                    self.say("L7 barrier", f"{name}: generation {event['generation']} follows {opened[name]}", event)
                opened[name] = event["generation"]
            arrived[name].clear()
        return opened

    # --- the final state ---------------------------------------------------------------------------------------------

    def state_is_replay(self) -> None:
        """Every task in one state, settled, and every key as the log says (L9)."""
        history = self.history
        counts: dict[str, Counter[str]] = {larry: Counter() for larry in self.plan["larrys"]}
        for name, task in self.tasks.items():
            seen = history["tasks"][name]
            record = seen["record"]
            counts[task.plan["larry"]][task.state] += 1
            if task.state not in SETTLED:
                self.say("ends", f"{name} is {task.state} at the end", *task.story[-2:], record)
            if record.get("state") != task.state or seen["status"] != task.state:
                self.say(
                    "L9 replay",
                    f"{name} is {task.state} by the log, {record.get('state')} in its record and "
                    f"{seen['status']} in its key",
                    *task.story[-2:],
                )
            if task.fence and int(record.get("fence", 0)) != task.fence:
                self.say("L9 replay", f"{name}: fence {record.get('fence')}, by the log {task.fence}", *task.story[-1:])
            if int(record.get("attempt", 0)) != task.attempt:
                self.say("L9 replay", f"{name}: attempt {record.get('attempt')}, by the log {task.attempt}")
            if "token" in seen["lease"] or "deadline" in seen["lease"]:
                self.say("ends", f"{name} is {task.state} and has a lease still", seen["lease"])
            if task.state == "completed" and self.unmet(task):
                self.say("L6 ready", f"{name} is completed without {self.unmet(task)}", *task.story[-2:])
            blocked = [one for one in task.plan["depends_on"] if self.tasks[one].state in ("failed", "skipped")]
            if blocked and task.state != "skipped":
                self.say("L6 ready", f"{name} is {task.state}, and {blocked[0]} is not completed", *task.story[-2:])
        for larry, count in counts.items():
            seen = history["larrys"][larry]
            record, metrics = seen["record"], seen["metrics"]
            for state in SETTLED:
                told = (int(record.get(state, 0)), int(metrics.get(f"tasks_{state}", 0)), count[state])
                if len(set(told)) > 1:
                    self.say("L9 replay", f"{larry}: {state} tasks by record, metric and log are {told}")
            if seen["status"] != self.phases[larry] or record.get("status") != self.phases[larry]:
                self.say("L9 replay", f"{larry} is {seen['status']}, by the log {self.phases[larry]}", record)
            if seen["progress"] != "100":
                self.say("ends", f"{larry} has progress {seen['progress']} at the end")
            if seen["running"] or seen.get("queue"):
                self.say("ends", f"{larry} has tasks running or queued", seen["running"], seen.get("queue"))
        for worker, seen in history["workers"].items():
            if seen["queue"] or seen["record"].get("task"):
                self.say("ends", f"{worker} has tasks queued or at hand", seen)
        left = [one for one in history["timers"] if one.split(":")[0] == "lease" and one.startswith("lease:task/")]
        if left or history["cascade"]:
            self.say("ends", "leases of tasks or settled tasks are waited for at the end", left, history["cascade"])
        self.counters()

    def counters(self) -> None:
        log, counters = self.history["log"], self.history["counters"]
        kinds = Counter(event["event"] for event in log)
        pairs = {"fenced_completions": kinds["completion_fenced"], "acquisitions": kinds["task_claimed"]}
        for name, count in pairs.items():
            if int(counters.get(name, 0)) != count:
                self.say("L9 replay", f"the counter {name} is {counters.get(name)}, by the log {count}")

    # --- L8 --------------------------------------------------------------------------------------------------------

    def budgets(self) -> None:
        """Spent and held never exceed the cap, and the books agree with what clients were told."""
        history = self.history
        pool = int(self.plan["budgets"]["emergency"])
        drawn_in_all = 0
        replies: dict[str, list[Call]] = defaultdict(list)
        for call in self.calls:
            if call.what in ("reserve", "spend"):
                replies[call.asked["larry"]].append(call)
                used, held, drawn = call.said("used"), call.said("held"), call.said("drawn")
                limit = int(self.plan["larrys"][call.asked["larry"]]["tokens"])
                if call.said("error") is None and used is not None and used + held > limit + (drawn or 0):
                    self.say("L8 budget", f"{used} + {held} exceed {limit} + {drawn}", vars(call))
        for seen in history["samples"]:
            for larry, (used, held, drawn) in seen["tokens"].items():
                if used + held > int(self.plan["larrys"][larry]["tokens"]) + drawn:
                    self.say("L8 budget", f"{larry}: {used} + {held} exceed the limit and {drawn} drawn", seen)
            if seen["reserve"] > pool:
                self.say("L8 budget", f"{seen['reserve']} drawn from a pool of {pool}", seen)
        for larry, seen in history["larrys"].items():
            book = seen["tokens"]
            used, held, drawn = (int(book.get(name, 0)) for name in ("used", "held", "drawn"))
            drawn_in_all += drawn
            # A hold that is kept after its end, so that a late call is known again, says so.
            open_holds = [one for one in map(json.loads, history["holds"].values()) if not one.get("over")]
            if held != sum(one["amount"] for one in open_holds if one["larry"] == larry):
                self.say("L8 budget", f"{larry}: {held} held, and the holds are", *open_holds[:5])
            if used != int(seen["used"] or 0):
                self.say("L9 replay", f"{larry}: {used} used in its record and {seen['used']} in its key")
            if used + held > int(self.plan["larrys"][larry]["tokens"]) + drawn:
                self.say("L8 budget", f"{larry}: {used} + {held} exceed the limit and {drawn} drawn")
            low, high = self.expected_use(replies[larry])
            if not self.lost and not low <= used + held <= high:
                book.pop("ops", None)
                odd = [vars(one) for one in replies[larry] if one.end is None or one.said("error") == "Refused"]
                self.say(
                    "L3 once",
                    f"{larry}: {used} used and {held} held, and its clients asked for {low} to {high}",
                    book,
                    *odd[-7:],
                )
        if drawn_in_all > pool or drawn_in_all != int(history["reserve"] or 0):
            self.say(
                "L8 budget", f"{drawn_in_all} drawn, {history['reserve']} in the pool's record, {pool} in the pool"
            )

    @staticmethod
    def expected_use(calls: list[Call]) -> tuple[int, int]:
        """The least and the most that can be used and held after these calls, whatever nobody got an answer to."""
        holds: dict[str, dict[str, Any]] = {}
        for call in calls:
            if call.what == "reserve":
                entry = holds.setdefault(call.asked["operation"], {"amount": call.asked["amount"], "sure": False})
                if call.said("hold"):
                    entry["sure"] = True
                elif call.said("error") == "BudgetExceeded":
                    entry["refused"] = True
            else:
                entry = holds.setdefault(call.asked["hold"], {"amount": 0, "sure": True})
                if call.said("error") is None and call.end is not None:
                    entry["spent"] = call.asked["spent"]
                elif call.said("error") == "Refused":
                    entry["expired"] = True
                else:
                    entry.setdefault("maybe", call.asked["spent"])
        low = high = 0
        for entry in holds.values():
            if entry.get("refused"):
                continue
            if "spent" in entry:
                low, high = low + entry["spent"], high + entry["spent"]
            else:
                least = entry["amount"] if entry["sure"] else 0
                if "maybe" in entry:
                    least = min(least, entry["maybe"])
                low, high = low + least, high + entry["amount"]
        return low, high

    # --- what clients saw --------------------------------------------------------------------------------------------

    def acknowledged(self) -> None:
        """What a client was told is in the log: no acknowledged change is lost, and none is told twice."""
        claims: dict[tuple[str, int], Event] = {}
        ends: dict[tuple[str, int], Event] = {}
        for event in self.history["log"]:
            if event["event"] == "task_claimed":
                claims[event["task_id"], int(event["fence"])] = event
            elif event["event"] in ("task_completed", "task_failed", "task_skipped") and "fence" in event:
                ends[event["task_id"], int(event["fence"])] = event
            elif event["event"] == "task_failed":
                # One that is not final has no fence: it belongs to the attempt with this number.
                ends[event["task_id"], -event["attempt"]] = event
        accepted: dict[str, Call] = {}
        for call in self.later_calls:
            if call.what == "claim" and call.said("status") == "claimed":
                if (call.said("task"), int(call.said("fence"))) not in claims:
                    self.say("L9 lost", f"the claim of {call.said('task')} is not in the log", vars(call))
            elif call.what == "settle" and call.said("status") == "settled":
                task, fence = call.asked["task"], int(call.asked["fence"])
                claim = claims.get((task, fence))
                event = ends.get((task, fence)) or (ends.get((task, -claim["attempt"])) if claim else None)
                if event is None or event["event"] != "task_" + call.asked["outcome"]:
                    self.say("L9 lost", f"the result of {task} was acknowledged and is not in the log", vars(call))
                if call.asked["outcome"] == "completed":
                    before = accepted.get(task)
                    if before is not None and before.asked["operation"] != call.asked["operation"]:
                        self.say("L1 completion", f"two results of {task} were accepted", vars(before), vars(call))
                    accepted[task] = call

    def published_once(self) -> None:
        """What a client published is in the log once if it was acknowledged, and never twice (L3)."""
        told = Counter(event.get("name") for event in self.history["log"] if event["event"] == "chaos_note")
        for call in self.calls:
            if call.what == "publish":
                sure = call.end is not None and call.said("error") is None and not self.lost
                if told[call.asked["name"]] > 1 or (sure and not told[call.asked["name"]]):
                    self.say("L3 once", f"an event was published {told[call.asked['name']]} times", vars(call))

    def fences_in_real_time(self) -> None:
        """Who asks after another was answered gets a greater fence, and a stale holder is never told that it holds."""
        fresh: dict[str, list[tuple[float, float, int, Call]]] = defaultdict(list)
        claimed: list[tuple[str, float, float, int, Call]] = []
        for call in self.later_calls:
            if call.end is None or call.said("fence") is None:
                continue
            fence, begin, end = int(call.said("fence")), call.begin, call.end
            if call.what == "claim" and call.said("status") == "claimed":
                claimed.append(("task " + call.said("task"), begin, end, fence, call))
            elif call.what == "lock":
                claimed.append((f"lock {call.asked['lock']}", begin, end, fence, call))
            elif call.what == "slot_take" and call.said("status") == "held":
                claimed.append((f"slot {call.asked['slot']}", begin, end, fence, call))
        for resource, begin, end, fence, call in claimed:
            fresh[resource].append((begin, end, fence, call))
        for resource, answers in fresh.items():
            pool = resource.startswith("lock ") and answers[0][3].asked["slots"] > 1
            by_end = sorted(answers, key=lambda one: one[1])
            place, highest = 0, (0, None)
            for begin, _end, fence, call in answers:
                while place < len(by_end) and by_end[place][1] < begin:
                    highest = max(highest, by_end[place][2:], key=lambda one: one[0])
                    place += 1
                # Of a semaphore one slot may be held on while another was given out anew.
                again = pool and call.said("already")
                if fence < highest[0] and not again and highest[1] is not None:
                    self.say(
                        "L2 fence", f"{resource}: {fence} was given after {highest[0]}", vars(highest[1]), vars(call)
                    )
                elif fence == highest[0] and highest[1] is not None and call.controller != highest[1].controller:
                    self.say("L2 fence", f"{resource}: {fence} was given to two", vars(highest[1]), vars(call))
        self.stale_holders(fresh)

    def stale_holders(self, fresh: dict[str, list[tuple[float, float, int, Call]]]) -> None:
        known = {
            resource: sorted(((fence, end) for _begin, end, fence, _call in answers), reverse=True)
            for resource, answers in fresh.items()
        }
        for call in self.later_calls:
            if call.end is None or call.said("error"):
                continue
            if call.what == "checkpoint" and call.said("status") == "held":
                resource = "task " + call.asked["task"]
            elif call.what == "settle" and call.said("status") == "settled":
                resource = "task " + call.asked["task"]
                # A repeated settle is answered as the first time; it is the first try that counts.
                if any(one.asked.get("operation") == call.asked["operation"] for one in self.tries(call)):
                    continue
            elif call.what == "extend" and call.asked["slots"] == 1:
                resource = f"lock {call.asked['lock']}"
            else:
                continue
            fence = int(call.asked["fence"])
            for other, end in known.get(resource, []):
                if other <= fence:
                    break
                if end < call.begin:
                    self.say("L1 holder", f"{resource}: {call.what} with {fence} was granted after {other}", vars(call))
                    break

    def tries(self, call: Call) -> list[Call]:
        """Earlier calls with the same operation id, which may have had the effect."""
        if not hasattr(self, "_by_operation"):
            self._by_operation: dict[str, list[Call]] = defaultdict(list)
            for one in self.calls:
                if one.what == "settle":
                    self._by_operation[one.asked["operation"]].append(one)
        return [one for one in self._by_operation[call.asked["operation"]] if one.begin < call.begin]

    def barriers_in_real_time(self) -> None:
        """L7 by what clients saw: when somebody passed, every member had come and not gone away again."""
        meets: dict[tuple[str, str], list[Call]] = defaultdict(list)
        for call in self.calls:
            # Somebody may have asked before the recovery of a lost history, and be there still.
            if call.what == "meet" and (call.end is None or call.end > self.since):
                meets[call.asked["barrier"], call.asked["member"]].append(call)
        for (name, _member), calls in list(meets.items()):
            for call in calls:
                if call.said("status") != "open" or call.end is None or call.begin <= self.since:
                    continue
                generation = call.said("generation")
                for other in call.asked["members"]:
                    if not any(self.was_there(one, call, generation) for one in meets[name, other]):
                        self.say(
                            "L7 barrier",
                            f"{call.asked['member']} passed {name} {generation} without {other}",
                            vars(call),
                            *[vars(one) for one in meets[name, other][-2:]],
                        )

    @staticmethod
    def was_there(one: Call, passed: Call, generation: int) -> bool:
        if one.begin > (passed.end or 0):
            return False
        if one.end is None:
            return True
        if one.said("status") == "open":
            return one.said("generation") == generation
        # It gave up: then it had come, and was there as long as it asked; an unanswered call may count for longer.
        return one.end >= passed.begin or one.said("error") not in ("BarrierFailed", "Refused")

    def foreign_locks(self) -> None:
        """A lock that somebody else set on a task is honoured until it expires, unless the clock jumped meanwhile."""
        if self.lost:
            return
        moves = self.history.get("clock_moves") or []
        set_by_hand = [one for one in self.calls if one.what == "set_task_lock" and one.said("done")]
        if not set_by_hand:
            return
        removed = [one for one in self.calls if one.what == "delete_task_lock"]
        claims = defaultdict(list)
        for call in self.calls:
            if call.what == "claim" and call.said("status") == "claimed" and not call.said("resumed"):
                claims[call.said("task")].append(call)
        for lock in set_by_hand:
            task, until = lock.asked["task"], lock.begin + lock.asked["seconds"] - 0.05
            for claim in claims[task]:
                cleared = any(one.asked["task"] == task and lock.begin < one.begin < claim.end for one in removed)
                moved = any(lock.begin - 0.1 < moment < claim.end for moment in moves)
                if lock.end < claim.begin and claim.end < until and not cleared and not moved:
                    self.say("lock by hand", f"{task} was claimed in spite of it", vars(lock), vars(claim))

    # --- while it ran ------------------------------------------------------------------------------------------------

    def moments(self) -> None:
        """What was sampled: no live task without a deadline, a log without gaps, phases that only go on."""
        before = dict.fromkeys(self.plan["larrys"], 0)
        losses = sorted(self.history.get("losses") or [])
        for seen in self.history["samples"]:
            while losses and losses[0] < seen.get("at", 0.0):
                losses.pop(0)
                before = dict.fromkeys(self.plan["larrys"], 0)
            if seen["seq"] != seen["log"]:
                self.say("L9 log", f"the sequence is {seen['seq']} and the log has {seen['log']} entries", seen)
            for task, live in seen["live"].items():
                if live["state"] == "in_progress" and not (live["token"] and live["deadline"] and live["timer"]):
                    self.say("L4 deadline", f"{task} is at work without a deadline that somebody watches", live)
            for larry, status in seen["phases"].items():
                if status is None:
                    continue
                rank = min(_PHASES.index(status), 2)
                if rank < before[larry]:
                    self.say("phases", f"{larry} goes back to {status}", seen)
                before[larry] = rank

    def others_keys(self) -> None:
        before, after = self.history.get("outside_before"), self.history.get("outside_after")
        if before is None or after is None or before == after:
            return
        for name in sorted(set(before) | set(after)):
            if before.get(name) != after.get(name):
                how = "is new" if name not in before else "is gone" if name not in after else "was changed"
                self.say("L11 prefix", f"the key {name!r} outside of the prefix {how}")

    def leftovers(self) -> None:
        """After the clean-up nothing of the run is left: only what is used without a run may be."""
        for name in self.history.get("left", []):
            self.say("L11 clean-up", f"the key {name!r} is left after the clean-up")


def check(history: dict[str, Any], calls: Iterable[Call], finished: bool = True) -> list[Violation]:
    """Every law, on one history. `finished` is False for a run that was not meant to end."""
    checker = Checker(history, calls)
    log, alone = history["log"], history["standalone_log"]
    checker.log_is_gapless(log, history["run"].get("seq"), "the log")
    trimmed = bool(alone) and alone[0]["id"] != "1"
    checker.log_is_gapless(alone, history["standalone_sequence"], "the log without a run", trimmed)
    if log:
        checker.log_is_one_run(log)
    checker.replay(log)
    slots = {name: int(record.get("slots", 1)) for name, record in history["locks"].items()}
    for entries, short in ((log, False), (alone, trimmed)):
        for resource, (fence, times) in checker.locks_of(entries, short, slots).items():
            record = history["locks"].get(resource.removeprefix("lock:"), {})
            if record.get("fence") != str(fence) or (not short and record.get("acquisitions") != str(times)):
                checker.say("L9 replay", f"{resource}: its record says {record}, the log {fence} after {times}")
    expected = {"converge": sorted(history["plan"]["larrys"])}
    for entries, short in ((log, False), (alone, trimmed)):
        for name, generation in checker.barriers_of(entries, expected, short).items():
            kept = history["barriers"].get(name, {}).get("generation")
            if kept != str(generation):
                checker.say("L9 replay", f"the barrier {name} is at generation {kept}, by the log at {generation}")
    if finished:
        checker.state_is_replay()
    checker.budgets()
    checker.acknowledged()
    checker.published_once()
    checker.fences_in_real_time()
    checker.barriers_in_real_time()
    checker.foreign_locks()
    checker.moments()
    checker.others_keys()
    checker.leftovers()
    return checker.found
