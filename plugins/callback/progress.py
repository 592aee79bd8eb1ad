# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: progress
type: notification
short_description: Says what this controller does in the coordination
version_added: 0.1.0
author:
  - The cortex.larry contributors (@cortex-larry)
description:
  - Adds one line to the output whenever a module of this collection claimed or settled a task, took or gave up a lock
    or a place, started or finished a phase, or passed a barrier.
  - When C(ansible-playbook) ends, by Ctrl-C or C(SIGTERM) too, it says which leases it still held. They are given up
    by a process of the coordination modules, with or without this plugin.
  - It reads results and nothing else. It never waits and never asks the server, and what it says has no influence on
    the run.
  - It says nothing where P(cortex.larry.console#callback) is the stdout callback, which shows the same from the events
    of the whole run.
requirements:
  - enabled in C(callbacks_enabled), for example C(ANSIBLE_CALLBACKS_ENABLED=cortex.larry.progress)
notes:
  - Of a task with C(no_log=true) nothing is known but that it ran, so it is not told.
seealso:
  - plugin: cortex.larry.console
    plugin_type: callback
"""

import atexit
import contextlib
import functools
import os
import signal
import typing as t

from ansible import constants as C
from ansible.plugins.callback import CallbackBase

from ansible_collections.cortex.larry.plugins.module_utils._text import escape_terminal

_COLLECTION = "cortex.larry."


def field_of(result: t.Any, name: str) -> t.Any:
    """A field of a task result: public since ansible-core 2.19, with an underscore before it up to 2.18."""
    return getattr(result, name) if hasattr(result, name) else getattr(result, "_" + name)


def module_of(result: t.Any) -> str:
    """Name of this collection's module that gave the result, without the collection; empty for any other."""
    task = field_of(result, "task")
    action = str(getattr(task, "resolved_action", None) or task.action)
    return action[len(_COLLECTION) :] if action.startswith(_COLLECTION) else ""


def results_in(result: t.Any) -> list[dict[str, t.Any]]:
    """The results of a task: one, or one for each element of its loop."""
    found = field_of(result, "result")
    several = found.get("results")
    return [one for one in several if isinstance(one, dict)] if isinstance(several, list) else [found]


def quietly(method: t.Callable[..., None]) -> t.Callable[..., None]:
    """Whatever a result looks like, showing it must not disturb the playbook."""

    @functools.wraps(method)
    def shielded(self: CallbackModule, *args: t.Any, **kwargs: t.Any) -> None:
        try:
            method(self, *args, **kwargs)
        except Exception as error:
            with contextlib.suppress(Exception):
                self._display.vvv(f"cortex.larry.progress could not show a result: {error!r}")

    return shielded


class Holdings:
    """What this controller holds as far as results tell, and the sentence for each change.

    Attributes:
        held: what is held -> by which host, in the order in which it was taken.
    """

    def __init__(self) -> None:
        self.held: dict[str, str] = {}
        self._progress: dict[str, t.Any] = {}

    def summary(self, kinds: t.Sequence[str]) -> str:
        """What is held, in one line: places only counted, because each worker has one."""
        told = []
        for kind in kinds:
            names = [what[len(kind) + 1 :] for what in self.held if what.startswith(kind + " ")]
            if names and kind == "place of":
                told.append(f"{len(names)} places of workers")
            elif names:
                told.append(f"{kind} {', '.join(names)}")
        return "; ".join(told)

    def take_in(self, module: str, host: str, result: dict[str, t.Any], failed: bool = False) -> str | None:
        """Takes a result in; returns what happened, or None if that is not worth a line."""
        if failed or result.get("skipped"):
            return self._refused(result, host) if module == "task" else None
        teller = getattr(self, f"_of_{module}", None)
        return teller(host, result) if teller is not None else None

    def _refused(self, result: dict[str, t.Any], host: str) -> str | None:
        if result.get("error_class") != "Fenced":
            return None
        for what in [what for what, holder in self.held.items() if holder == host and what.startswith("task ")]:
            del self.held[what]
        return "is no longer the holder of its task"

    def _of_run(self, _host: str, result: dict[str, t.Any]) -> str | None:
        if result.get("how") in (None, "member"):
            return None
        return f"{result['how']} the run {result.get('run')}"

    def _of_task(self, host: str, result: dict[str, t.Any]) -> str | None:
        task = result.get("task")
        if task is None or "held" in result:
            return None
        if "claimed" in result:
            if not result.get("simulated"):
                self.held[f"task {task}"] = host
            attempt = result.get("attempt") or 1
            return f"claimed {task}" + (f" (attempt {attempt})" if attempt > 1 else "")
        self.held.pop(f"task {task}", None)
        return f"settled {task}: {result.get('state')}"

    def _of_worker(self, host: str, result: dict[str, t.Any]) -> str | None:
        worker = str(result.get("worker"))
        told = self._place(host, f"place of {worker}", bool(result.get("registered")), result)
        return told.replace(f"the place of {worker}", "its place") if told and worker == host else told

    def _of_phase(self, host: str, result: dict[str, t.Any]) -> str | None:
        larry = result.get("larry")
        told = self._place(host, f"lead of {larry}", bool(result.get("led")), result)
        if not result.get("led"):
            return told
        state = (result.get("phase"), result.get("progress"))
        if self._progress.get(str(larry)) == state:
            return told
        self._progress[str(larry)] = state
        counts = result.get("counts") or {}
        settled = f", {counts['settled']} of {counts['total']} tasks settled" if counts.get("total") else ""
        return f"phase {state[0]}, {state[1]} %{settled}" if state[1] is not None else told

    def _place(self, host: str, what: str, has_it: bool, result: dict[str, t.Any]) -> str | None:
        if has_it:
            is_new = what not in self.held
            self.held[what] = host
            return f"took the {what}" if is_new else None
        if self.held.pop(what, None) is not None:
            return f"gave up the {what}"
        return f"stands by for the {what}" if result.get("standby") else None

    def _of_lock(self, host: str, result: dict[str, t.Any]) -> str | None:
        what = f"lock {result.get('name')}"
        if "released" in result:
            self.held.pop(what, None)
            return f"released the {what}" if result["released"] else None
        if result.get("fence") is None:  # check mode
            return None
        self.held[what] = host
        return f"holds the {what}" if result.get("changed") else None

    def _of_barrier(self, _host: str, result: dict[str, t.Any]) -> str | None:
        if not result.get("open"):
            return None
        return f"passed the barrier, generation {result.get('generation')}"


class CallbackModule(CallbackBase):
    """Prints a line for each change of what this controller holds."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "cortex.larry.progress"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._holdings = Holdings()
        self._process = os.getpid()
        self._ended = False
        self._previous: t.Any = None

    @quietly
    def v2_playbook_on_start(self, _playbook: t.Any) -> None:
        atexit.register(self._say_at_exit)
        try:
            self._previous = signal.signal(signal.SIGTERM, self._on_sigterm)
        except ValueError:  # not in the main thread
            return
        # Forks inherit the handler, and what it says is not theirs.
        os.register_at_fork(after_in_child=self._restore_sigterm)

    @quietly
    def v2_runner_on_ok(self, result: t.Any) -> None:
        self._show(result)

    @quietly
    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        self._show(result, failed=True)

    @quietly
    def v2_playbook_on_stats(self, _stats: t.Any) -> None:
        self._ended = True

    def _show(self, result: t.Any, failed: bool = False) -> None:
        module = module_of(result)
        if not module:
            return
        host = field_of(result, "host").get_name()
        for one in results_in(result):
            # Only the results within a loop say themselves whether they failed.
            told = self._holdings.take_in(module, host, one, bool(one.get("failed", failed)))
            if told and C.DEFAULT_STDOUT_CALLBACK != "cortex.larry.console":
                self._display.display(f"[larry] {escape_terminal(f'{host} {told}', 500)}", color=C.COLOR_HIGHLIGHT)

    def _sentence(self) -> str:
        """What is given up with this process. After an orderly end only locks are news: the rest was handed in."""
        told = self._holdings.summary(("lock",) if self._ended else ("lead of", "place of", "task", "lock"))
        return f"[larry] This controller ends and gives up: {escape_terminal(told, 2000)}" if told else ""

    def _say_at_exit(self) -> None:
        if os.getpid() == self._process and (sentence := self._sentence()):
            with contextlib.suppress(Exception):
                self._display.display(sentence, color=C.COLOR_WARN)

    def _on_sigterm(self, number: int, frame: t.Any) -> None:
        # Straight to the descriptor: the signal may have come in the middle of a write to the same stream.
        if os.getpid() == self._process and (sentence := self._sentence()):
            with contextlib.suppress(OSError):
                os.write(1, f"\n{sentence}\n".encode(errors="replace"))
        self._restore_sigterm()
        if callable(self._previous):
            self._previous(number, frame)
        else:
            os.kill(os.getpid(), number)

    def _restore_sigterm(self) -> None:
        with contextlib.suppress(ValueError, TypeError):
            signal.signal(signal.SIGTERM, signal.SIG_DFL if self._previous is None else self._previous)
