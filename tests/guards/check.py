# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes each guard out of the scripts in turn and shows that a test fails without it.

    python tests/guards/check.py                    every guard with its directed test; 1 if one survives
    python tests/guards/check.py --only task_settle guards whose id holds that text
    python tests/guards/check.py --record           look for a directed test anew where none is known or it passes
    python tests/guards/check.py --document         write docs/guards.md as well
    python tests/guards/check.py --list             the guards that are found, without a run

The product knows nothing of this: the texts of the scripts are exchanged in the process that runs the tests. Which test
is directed at which guard stands in `directed.json`; a guard that is not in there survives, until `--record` has found
a test among those that reach it. `covered.json` names guards that no test can tell apart, with the reason; where
another guard covers one, both are taken out together and a test must fail.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(ROOT / "playbooks" / "collections"), str(ROOT / "tests" / "tools")]

import pytest  # noqa: E402
import redis  # noqa: E402
from _pytest.runner import runtestprotocol  # noqa: E402
from about import ABOUT, FORMS  # noqa: E402
from guard_finder import Guard, find, without  # noqa: E402

from ansible_collections.cortex.larry.plugins.module_utils._coordination import session as session_module  # noqa: E402
from ansible_collections.cortex.larry.plugins.module_utils._coordination.lua.scripts import SCRIPTS  # noqa: E402

TESTS = "tests/integration/coordination"
DIRECTED = HERE / "directed.json"
COVERED = HERE / "covered.json"
FOUND = ROOT / ".cache" / "guards-found.jsonl"
DOCUMENT = ROOT / "docs" / "guards.md"
ORIGINAL = dict(SCRIPTS)
# A test that does not end within that time has failed: without a guard somebody can wait for ever.
LONGEST_S = 10.0
# Tests of keepers and whole commands run the scripts in other processes, where nothing is exchanged; others have a
# server of their own, or take long because they do much.
ELSEWHERE = re.compile(r"test_keepers|test_secrets|hammering|whole_run|two_thousand|spent_and_held_never")
ELSEWHERE_FIXTURES = frozenset(("processes", "durable", "valkey", "commands", "make_commands"))
_CHANNEL = "guards:reached"


class TooLong(BaseException):
    """A test went on for too long; no `except Exception` may swallow it."""


def install(changed: dict[str, str]) -> None:
    """Exchanges the texts of scripts in this process; the others are as they were made."""
    SCRIPTS.update(ORIGINAL | {name: bounded(text) for name, text in changed.items()})
    session_module._DIGESTS.clear()


def bounded(text: str) -> str:
    """A script whose loops end: without its guard one could go on for ever, and the server with it."""
    budget = "local BUDGET_ = 20000\nlocal function bounded_() BUDGET_ = BUDGET_ - 1; assert(BUDGET_ > 0, 'endless'); return true end\n"  # noqa: E501
    return budget + re.sub(r"\bwhile (.+?) do\n", r"while bounded_() and (\1) do\n", text)


def probed(guards: list[Guard]) -> dict[str, str]:
    """The scripts with a probe at each guard, which says on a channel when it makes a difference.

    That is: a refusal whose condition holds, a condition that does not hold, a maximum that is the side taken out.
    Without such a moment a test cannot tell whether the guard is there.
    """
    changed = {}
    for name, text in ORIGINAL.items():
        inserts: list[tuple[int, int, str]] = []
        for number, guard in enumerate(guards):
            if name in guard.edits:
                start, end, instead = guard.edits[name]
                if not instead:  # a statement
                    inserts.append((start, 0, f"matters_({number}) "))
                    continue
                if instead in ("false", "nil"):
                    before, after = f"matters_if_({number}, true, ", ")"
                elif instead == "true":
                    before, after = f"matters_if_({number}, false, ", ")"
                elif guard.form == "remember":
                    before, after = f"(matters_({number}) or ", ")"
                else:
                    before, after = f"matters_unless_({number}, {instead}, ", ")"
                # Of two that begin or end at one place the longer one is outside.
                inserts.append((start, -(end - start), before))
                inserts.append((end, end - start, after))
        for start, _order, what in sorted(inserts, reverse=True):
            text = text[:start] + what + text[start:]
        changed[name] = _PROBE.replace("CHANNEL", _CHANNEL) + text
    return changed


_PROBE = """\
local seen_ = {}
local function matters_(n)
  if not seen_[n] then seen_[n] = true redis.call('PUBLISH', 'CHANNEL', n) end
  return false
end
local function matters_if_(n, wanted, value)
  if (value and true or false) == wanted then matters_(n) end
  return value
end
local function matters_unless_(n, other, value)
  if value ~= other then matters_(n) end
  return value
end
"""


class Runner:
    """A pytest plugin that collects once and then runs the tests that it wants, as often as it wants."""

    def __init__(self, work: Any, wanted: str = "") -> None:
        self.work = work
        self.wanted = re.compile(wanted)
        self.items: dict[str, pytest.Item] = {}
        self.server: Any = None

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [
            item
            for item in items
            if self.wanted.search(item.nodeid)
            and not ELSEWHERE.search(item.nodeid)
            and not ELSEWHERE_FIXTURES & set(getattr(item, "fixturenames", ()))
        ]

    @pytest.fixture(autouse=True)
    def _see_server(self, request: pytest.FixtureRequest) -> None:
        self.server = request.getfixturevalue("valkey_server")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.items = {item.nodeid: item for item in session.items}
        self.work(self)
        session.items[:] = []
        return True

    def run(self, name: str) -> tuple[str, float]:
        """How a test went (passed, or why it failed), and how long it took in seconds."""
        item = self.items[name]
        others = [one for one in self.items.values() if one is not item]
        other = next((one for one in others if one.path != item.path), others[0])
        began = time.monotonic()

        def too_long(_number: int, _frame: Any) -> None:
            raise TooLong

        before = signal.signal(signal.SIGALRM, too_long)
        signal.setitimer(signal.ITIMER_REAL, LONGEST_S)
        try:
            # The next item decides what is torn down: the file's fixtures, never the server.
            reports = runtestprotocol(item, log=False, nextitem=other)
        except TooLong:
            item.session._setupstate.teardown_exact(other)
            item._request = False  # type: ignore[attr-defined]
            return "time-out", time.monotonic() - began
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        for report in reports:
            if report.failed:
                text = str(report.longrepr)
                if report.when == "teardown":
                    continue
                if "TooLong" in text:
                    return "time-out", time.monotonic() - began
                if "answered with an error" in text or "ResponseError" in text:
                    return "script error", time.monotonic() - began
                return "assertion", time.monotonic() - began
        return "passed", time.monotonic() - began


class Check:
    """Holds guards against tests."""

    def __init__(self, guards: list[Guard], options: argparse.Namespace) -> None:
        self.all_guards = guards
        self.guards = [guard for guard in guards if not options.only or any(one in guard.id for one in options.only)]
        shard, shards = (int(one) for one in options.shard.split("/"))
        self.guards = self.guards[shard::shards]
        self.options = options
        self.directed: dict[str, str] = json.loads(DIRECTED.read_text()) if DIRECTED.exists() else {}
        self.covered: dict[str, dict[str, Any]] = json.loads(COVERED.read_text()) if COVERED.exists() else {}
        self.results: list[dict[str, Any]] = []
        self._reach: dict[str, list[str]] | None = None
        self.sound: dict[str, bool] = {}

    def __call__(self, runner: Runner) -> None:
        self.runner = runner
        if self.options.reach_only:
            self._reaching([])
            return
        for guard in self.guards:
            began = time.monotonic()
            covered = self.covered.get(guard.id)
            if covered is not None and not self.options.record:
                state, detail, test = self._together(guard, covered)
            else:
                outcome, test = self._hold([guard])
                state, detail = ("SURVIVED", test or "") if outcome == "passed" else ("killed", outcome)
                if state == "SURVIVED":
                    test = None
                if covered is not None and state == "SURVIVED":
                    state, detail, test = self._together(guard, covered)
                elif covered is not None:
                    state, detail = "SURVIVED", f"covered.json says that no test tells it apart, but {test} does"
            self.results.append(
                {"id": guard.id, "state": state, "how": detail, "test": test, "s": time.monotonic() - began}
            )
            self._say(self.results[-1])
            self._keep(self.results[-1])
        install({})

    def _together(self, guard: Guard, covered: dict[str, Any]) -> tuple[str, str, str | None]:
        if not covered.get("by"):
            return "equal", covered["reason"], None
        by_id = {one.id: one for one in self.all_guards}
        if not set(covered["by"]) <= set(by_id):
            return "SURVIVED", "a guard that covered.json names is not there", None
        others = [by_id[name] for name in covered["by"]]
        outcome, test = self._hold([guard, *others])
        if outcome == "passed":
            return "SURVIVED", f"together with {', '.join(one.id for one in others)}: {test}", None
        return "covered", covered["reason"], test

    def _hold(self, guards: list[Guard]) -> tuple[str, str | None]:
        """Takes guards out and runs the directed test; with `--record` others as well, until one fails."""
        changed = without(guards, ORIGINAL)
        known = self.directed.get(" + ".join(guard.id for guard in guards))
        if known in self.runner.items and self._is_sound(known):
            install(changed)
            outcome, _seconds = self.runner.run(known)
            if outcome != "passed":
                return outcome, known
        if self.options.record:
            return self._search(guards, changed, known)
        if known is None:
            return "passed", "no directed test is known: run check.py --record"
        if known not in self.runner.items:
            return "passed", f"its directed test is not there any more: {known}"
        if not self._is_sound(known):
            return "passed", f"its directed test fails with every guard in place: {known}"
        return "passed", f"its directed test passes without it: {known}"

    def _search(self, guards: list[Guard], changed: dict[str, str], known: str | None) -> tuple[str, str | None]:
        crashed = None
        until = time.monotonic() + self.options.search_s
        for name in self._reaching(guards):
            if time.monotonic() > until:
                break
            if name == known or not self._is_sound(name):
                continue
            install(changed)
            outcome, _seconds = self.runner.run(name)
            # A test that says what is wrong is better than one that trips over a broken script.
            if outcome == "assertion":
                return outcome, name
            if outcome != "passed" and crashed is None:
                crashed = (outcome, name)
        return crashed or ("passed", "no test was found that fails without it")

    def _is_sound(self, name: str) -> bool:
        """True if the test passes with every guard in its place."""
        if name not in self.sound:
            install({})
            # Once more: on a busy machine a test can take too long for no fault of its own.
            self.sound[name] = any(self.runner.run(name)[0] == "passed" for _try in range(2))
            if not self.sound[name]:
                print(f"not used, it fails with every guard in place: {name}", flush=True)
        return self.sound[name]

    def _reaching(self, guards: list[Guard]) -> list[str]:
        """Tests that come to these guards; those that come to few others, the directed ones, first."""
        if self._reach is None:
            kept = Path(self.options.reach)
            if kept.exists():
                self._reach = json.loads(kept.read_text())
            else:
                self._reach = self._record_reach()
                kept.write_text(json.dumps(self._reach))
            counts = collections.Counter(name for kept in self._reach.values() for name in kept)
            self._reach["*"].sort(key=lambda one: ("test_guards_" not in one, counts[one]))
        names = {name for guard in guards for name in self._reach.get(guard.id, [])} & set(self.runner.items)
        return [name for name in self._reach["*"] if name in names]

    def _record_reach(self) -> dict[str, list[str]]:
        print("looking where which guard makes a difference ...", flush=True)
        changed = probed(self.all_guards)
        reach: dict[str, list[str]] = collections.defaultdict(list)
        times = {}
        self.runner.run(next(iter(self.runner.items)))  # the first one starts the server
        client = redis.Redis(unix_socket_path=str(self.runner.server.socket), decode_responses=True)
        listener = client.pubsub(ignore_subscribe_messages=True)
        listener.subscribe(_CHANNEL)
        for name in self.runner.items:
            SCRIPTS.update(changed)
            session_module._DIGESTS.clear()
            outcome, times[name] = self.runner.run(name)
            if outcome != "passed":
                print(f"{outcome} while it was looked at: {name}", flush=True)
            client.publish(_CHANNEL, "end")
            for number in set(_until_end(listener)):
                reach[self.all_guards[number].id].append(name)
        reach["*"] = sorted(times, key=lambda one: ("test_guards_" not in one, times[one]))
        install({})
        return reach

    def _keep(self, result: dict[str, Any]) -> None:
        """What was found is not lost when the search is ended early: `--record` goes on from there."""
        if self.options.record and result["state"] == "killed":
            with FOUND.open("a") as found:
                found.write(json.dumps({result["id"]: result["test"]}) + "\n")

    @staticmethod
    def _say(result: dict[str, Any]) -> None:
        if result["state"] == "SURVIVED":
            print(f"{result['state']:9} {result['s']:5.1f} s  {result['id']}  [{result['how']}]", flush=True)


def _until_end(listener: Any) -> Iterator[int]:
    while True:
        message = listener.get_message(timeout=5)
        if message is not None:
            if message["data"] == "end":
                return
            yield int(message["data"])


def work(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Checks this shard in one pytest session with one server."""
    os.chdir(ROOT)
    check = Check(find(ORIGINAL), options)
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        pytest.main(
            [TESTS, "-p", "no:cacheprovider", "-p", "no:terminal", "-p", "no:timeout", "-s"]
            + ["-o", "addopts=--import-mode=importlib --strict-markers", "-o", "timeout="],
            plugins=[Runner(check, options.tests)],
        )
    if len(check.results) != len(check.guards) and not options.reach_only:
        print(said.getvalue())
        raise SystemExit(f"{len(check.guards) - len(check.results)} guards were not looked at")
    return check.results


def main() -> int:
    """Everything: shards as processes, the table, the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", help="guards whose id holds this text")
    parser.add_argument("--record", action="store_true", help="write directed.json anew")
    parser.add_argument("--document", action="store_true", help="write docs/guards.md")
    parser.add_argument("--list", action="store_true", help="show the guards and end")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--search-s", type=float, default=60.0, help="how long a directed test is looked for")
    parser.add_argument("--tests", default="test_guards_", help="only tests whose id matches this expression")
    parser.add_argument("--reach-only", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--reach", help=argparse.SUPPRESS)
    parser.add_argument("--shard", default="0/1", help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.document and options.only:
        parser.error("--document wants every guard, so it does not go with --only")
    guards = find(ORIGINAL)
    if options.list:
        for guard in guards:
            print(f"{guard.form:10} {guard.id}  -- {guard.why}")
        print(f"{len(guards)} guards")
        return 0
    if options.out:
        Path(options.out).write_text(json.dumps(work(options)))
        return 0
    began = time.monotonic()
    if FOUND.exists():
        _keep_found()
    results = _in_processes(options)
    order = {guard.id: number for number, guard in enumerate(guards)}
    results.sort(key=lambda one: order[one["id"]])
    table(guards, results)
    if options.record:
        record(guards, results)
        FOUND.unlink(missing_ok=True)
    states = collections.Counter(one["state"] for one in results)
    print(", ".join(f"{number} {state}" for state, number in sorted(states.items())), end="")
    print(f" of {len(results)} guards in {time.monotonic() - began:.0f} s")
    stale = stale_entries(guards)
    for sentence in stale:
        print(sentence)
    if options.document:
        document(guards, results)
    return 1 if states["SURVIVED"] or stale else 0


def _in_processes(options: argparse.Namespace) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as directory:
        common = [sys.executable, __file__, "--search-s", str(options.search_s), "--tests", options.tests]
        common += ["--reach", str(Path(directory) / "reach.json")]
        common += ["--record"] if options.record else []
        for one in options.only or []:
            common += ["--only", one]
        if options.record:
            # Once for all processes.
            subprocess.run([*common, "--reach-only", "--out", str(Path(directory) / "none.json")], cwd=ROOT, check=True)
        started = []
        for number in range(options.processes):
            out = Path(directory) / f"{number}.json"
            command = [*common, "--shard", f"{number}/{options.processes}", "--out", str(out)]
            started.append((subprocess.Popen(command, cwd=ROOT), out))
        results = []
        for process, out in started:
            if process.wait():
                raise SystemExit("a process of the check failed")
            results += json.loads(out.read_text())
    return results


def table(guards: list[Guard], results: list[dict[str, Any]]) -> None:
    """Prints guard, script, why, test and result."""
    by_id = {guard.id: guard for guard in guards}
    for one in results:
        guard = by_id[one["id"]]
        test = (one["test"] or "-").rpartition("/")[2]
        print(
            f"{one['state']:8} | {guard.id} | {scripts_of(guard)} | {guard.why or guard.form} | {test} | {one['how']}"
        )


def scripts_of(guard: Guard) -> str:
    """The scripts that hold a guard, in few words."""
    names = list(guard.edits)
    return names[0] if len(names) == 1 else f"{len(names)} scripts"


def record(guards: list[Guard], results: list[dict[str, Any]]) -> None:
    """Keeps the directed test of every guard that was looked at."""
    kept = json.loads(DIRECTED.read_text()) if DIRECTED.exists() else {}
    covered = json.loads(COVERED.read_text()) if COVERED.exists() else {}
    for one in results:
        key = one["id"]
        kept.pop(key, None)
        if one["state"] == "covered":
            key = " + ".join([key, *covered[key]["by"]])
        if one["test"]:
            kept[key] = one["test"]
    known = {guard.id for guard in guards} | {" + ".join([key, *one.get("by", [])]) for key, one in covered.items()}
    kept = {key: test for key, test in kept.items() if key in known}
    DIRECTED.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


def _keep_found() -> None:
    """Takes over what an earlier search found before it was ended."""
    kept = json.loads(DIRECTED.read_text()) if DIRECTED.exists() else {}
    for line in FOUND.read_text().splitlines():
        kept |= json.loads(line)
    DIRECTED.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    FOUND.unlink()


def stale_entries(guards: list[Guard]) -> list[str]:
    """Entries about guards that are not there any more."""
    ids = {guard.id for guard in guards}
    covered = json.loads(COVERED.read_text()) if COVERED.exists() else {}
    found = [f"covered.json names a guard that is not there: {name}" for name in covered if name not in ids]
    wheres = {guard.where for guard in guards}
    found += [f"about.py says nothing of {name}" for name in sorted(wheres - set(ABOUT))]
    found += [f"about.py names what has no guard: {name}" for name in ABOUT if name not in wheres]
    return found


def document(guards: list[Guard], results: list[dict[str, Any]]) -> None:
    """Writes the list with its result for people."""
    by_id = {one["id"]: one for one in results}
    covered = json.loads(COVERED.read_text()) if COVERED.exists() else {}
    states = collections.Counter(one["state"] for one in results)
    lines = [
        "<!-- Written by tests/guards/check.py --document; do not edit. -->",
        "# The guards of the scripts",
        "",
        "Every change in [the protocol](protocol.md) is one Lua script, and its laws hold because the scripts refuse,",
        "compare and remember. Each such place is a guard. This list names every one with the test that fails without",
        "it.",
        "",
        "```sh",
        "python tests/guards/check.py                        # the whole check; 1 if a guard survives",
        "python tests/guards/check.py --only task_settle     # some guards",
        "python tests/guards/check.py --record               # look for the test of new guards",
        "python tests/guards/check.py --record --document    # and write this file",
        "```",
        "",
        "The check finds guards by their form (`tests/guards/guard_finder.py` says which), takes each out of the",
        "scripts in turn, and runs the directed test against a real Valkey server. The test must fail. With every",
        "guard in its place it must pass. Nothing in the product knows of this: the scripts are exchanged in the",
        "process of the test.",
        "",
        "| result | guards | means |",
        "| --- | --- | --- |",
        f"| killed | {states['killed']} | the directed test fails without the guard |",
        f"| covered | {states['covered']} | another guard stands in for it; without both a test fails |",
        f"| equal | {states['equal']} | without it the scripts do the same, for the reason that is given |",
        f"| survived | {states['SURVIVED']} | no test fails without it |",
        f"| all | {len(results)} | |",
        "",
        "A guard in a function that several scripts share is one guard, taken out of all of them. Of `a or b` and of",
        "`a and b` each part is taken out for itself. Tests without a file are in",
        "`tests/integration/coordination/test_guards_*.py`.",
        "",
        "## Guards that no test tells apart",
        "",
        "| guard | result | why |",
        "| --- | --- | --- |",
    ]
    for one in results:
        if one["state"] in ("equal", "covered"):
            others = covered[one["id"]].get("by") or []
            with_what = f" Covered by {' and '.join(_code(other) for other in others)}." if others else ""
            lines.append(f"| {_code(one['id'])} | {one['state']} | {_cell(one['how'])}.{with_what} |")
    where = None
    for guard in guards:
        one = by_id.get(guard.id)
        if one is None:
            continue
        if guard.where != where:
            where = guard.where
            law, sentence = ABOUT.get(where, ("", ""))
            lines += ["", f"## {where}", "", f"{sentence} ({law}) In {scripts_of(guard)}.", ""]
            lines += ["| guard | what it does | directed test |", "| --- | --- | --- |"]
        path, _colons, test = (one["test"] or "").rpartition("::")
        name = Path(path).stem
        shown = f"`{test}`" if name.startswith("test_guards_") else f"`{name}.py::{test}`"
        if one["state"] == "SURVIVED":
            shown = "**none**"
        elif not one["test"]:
            shown = "none, see above"
        elif one["state"] == "covered":
            shown += ", see above"
        text = guard.id.partition(": ")[2]
        what = guard.why.removeprefix("guard: ") or FORMS.get(guard.form, guard.form)
        lines.append(f"| {_code(text)} | {_cell(what)} | {_cell(shown)} |")
    DOCUMENT.write_text("\n".join(lines) + "\n")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _code(text: str) -> str:
    return f"`{_cell(text)}`"


if __name__ == "__main__":
    sys.exit(main())
