# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that can be wrong with a plan, found at once and told with its line.

Two passes: ``structure`` checks each value against the JSON Schema, ``meaning`` checks what values mean together. The
second also runs where the first found something, so it reads leniently: what has the wrong type counts as not there.
"""

from __future__ import annotations

import difflib
import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from . import durations, naming
from .document import Document, PathKey
from .schema import ID_PATTERN, ORDERING_OPERATORS, RUN_MEASURES, SCHEMA

try:
    import jmespath
    import jmespath.exceptions

    JMESPATH_IMPORT_ERROR: ImportError | None = None
except ImportError as error:
    jmespath = None
    JMESPATH_IMPORT_ERROR = error

try:
    import jsonschema

    JSONSCHEMA_IMPORT_ERROR: ImportError | None = None
except ImportError as error:
    jsonschema = None
    JSONSCHEMA_IMPORT_ERROR = error

# A wrong name in each of 10,000 tasks must not cost 10,000 searches for the nearest of 10,000 names.
_MAX_SUGGESTIONS = 50
_NAMES_IN_A_CYCLE = 12


def validate(document: Document) -> None:
    """Add all problems of a document that could be read to ``document.problems``."""
    if not isinstance(document.data, dict):
        document.add(1, "A plan is a mapping of sections. Begin with 'plugin: cortex.larry.plan'.")
        return
    structure(document)
    _Meaning(document).check()


# --- structure ---------------------------------------------------------------------------------------------------


def structure(document: Document) -> None:
    """Check each value against the schema."""
    if jsonschema is None:
        document.add(
            1,
            "A plan cannot be checked without the Python package jsonschema. Install it beside Ansible (pip install"
            " jsonschema).",
        )
        return
    suggest = _Suggestions()
    told: set[tuple[PathKey, str]] = set()
    for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(document.data):
        path = tuple(error.absolute_path)
        # propertyNames reports the key itself as the instance and the mapping as the path.
        in_key_name = "propertyNames" in error.absolute_schema_path
        if not in_key_name and error.validator in ("required", "additionalProperties"):
            if (path, error.validator) in told:
                continue  # one error each from jsonschema, all told at the first
            told.add((path, error.validator))
        for where, sentence in _sentences(error, path, in_key_name, suggest):
            if (where, sentence) not in told:
                told.add((where, sentence))
                document.add(document.line(*where), sentence)


def _sentences(error: Any, path: PathKey, in_key_name: bool, suggest: _Suggestions) -> Iterator[tuple[PathKey, str]]:
    rule, wanted, found = error.validator, error.validator_value, error.instance
    if in_key_name:
        yield (*path, found), f"{_place((*path, found))}: the name {_shown(found)} wants {_name_wants(error.schema)}."
    elif rule == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        for key in found:
            if key not in known:
                yield (*path, key), f"Unknown key {_shown(key)} in {_place(path)}.{suggest(key, known)}"
    elif rule == "required":
        for key in wanted:
            if key not in found:
                yield path, f"{_place(path)} lacks the key '{key}'."
    elif rule == "minProperties":
        yield (
            path,
            (
                f"{_place(path)} is empty. {'A Larry needs' if path and path[-1] == 'workers' else 'A plan needs'} at"
                " least one entry here."
            ),
        )
    elif rule == "uniqueItems":
        repeated = [element for index, element in enumerate(found) if element in found[:index]][0]
        yield path, f"{_place(path)} names {_shown(repeated)} twice. Keep one of them."
    else:
        # Whatever stands under run.redis may hold a password, so it is never repeated.
        secret = path[:2] == ("run", "redis")
        yield (
            path,
            f"{_place(path)} wants {error.schema.get('x-wants', wanted)}{'' if secret else f', not {_shown(found)}'}.",
        )


def _name_wants(schema: dict[str, Any]) -> str:
    if schema.get("pattern") == ID_PATTERN:
        return "at most 100 small letters, digits and dashes, beginning with a letter or a digit"
    return "to be a duration such as 10m"


class _Suggestions:
    def __init__(self) -> None:
        self.left = _MAX_SUGGESTIONS

    def __call__(self, wrong: object, known: Iterable[str]) -> str:
        if self.left <= 0:
            return ""
        self.left -= 1
        close = difflib.get_close_matches(str(wrong), list(known), n=1, cutoff=0.6)
        return f" Did you mean '{close[0]}'?" if close else ""


def _shown(value: object) -> str:
    """Return a value for a sentence: control characters escaped, short."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:76] + "..." + shown[-1]


def _place(path: PathKey) -> str:
    """Return the dotted place of a value in the plan."""
    if not path:
        return "the plan"
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part + 1}]"
        else:
            shown = part if re.fullmatch(r"[A-Za-z0-9_-]{1,100}", part) else repr(part)
            text += f".{shown}" if text else shown
    return text


# --- meaning -----------------------------------------------------------------------------------------------------


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _mappings(value: object) -> dict[str, dict[str, Any]]:
    return {key: _mapping(inner) for key, inner in _mapping(value).items()}


def _texts(value: object) -> list[tuple[int, str]]:
    return (
        [(index, text) for index, text in enumerate(value) if isinstance(text, str)] if isinstance(value, list) else []
    )


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


class _Meaning:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.plan: dict[str, Any] = document.data
        self.run = _mapping(self.plan.get("run"))
        self.nodes = _mapping(self.plan.get("nodes"))
        self.larrys = _mappings(self.plan.get("larrys"))
        self.tasks = _mappings(self.plan.get("tasks"))
        self.suggest = _Suggestions()

    def problem(self, path: PathKey, sentence: str) -> None:
        self.document.add(self.document.line(*path), f"{_place(path)}: {sentence}")

    def check(self) -> None:
        self.times()
        self.check_run()
        self.check_larrys()
        self.check_names()
        self.check_tasks()
        self.check_cycles()
        self.check_budgets()
        self.check_criteria()
        self.check_estate()

    # Each duration of a plan, once: whatever is not a duration at all was told by the schema.
    def times(self) -> None:
        for path, value in self._durations():
            length = durations.seconds(value)
            if length == 0:
                self.problem(path, "a duration must be longer than nothing.")
            elif length is not None and length > durations.LONGEST_S:
                self.problem(path, "a duration of more than a year is surely a slip.")

    def _durations(self) -> Iterator[tuple[PathKey, object]]:
        def present(path: PathKey, mapping: dict[str, Any], *names: str) -> Iterator[tuple[PathKey, object]]:
            for name in names:
                if name in mapping:
                    yield (*path, name), mapping[name]

        yield from present(("run",), self.run, "window", "convergence")
        yield from present(("run", "milestones"), milestones := _mapping(self.run.get("milestones")), *milestones)
        yield from present(("barrier",), _mapping(self.plan.get("barrier")), "timeout", "join_within")
        for larry, entry in self.larrys.items():
            yield from present(("larrys", larry), entry, "phase")
            for at in _mapping(entry.get("checkpoints")):
                yield ("larrys", larry, "checkpoints", at), at
            for name, worker in _mappings(entry.get("workers")).items():
                yield from present(("larrys", larry, "workers", name), worker, "duration")
        for task, entry in self.tasks.items():
            yield from present(("tasks", task), entry, "duration", "deadline")

    def check_run(self) -> None:
        controllers = _number(self.run.get("controllers"))
        if controllers is not None and self.larrys and controllers > len(self.larrys):
            self.problem(
                ("run", "controllers"),
                f"{controllers} controllers for {_count(len(self.larrys), 'Larry')}; a Larry is led by one. Give at"
                f" most {len(self.larrys)}.",
            )
        carried_by = controllers or len(self.larrys)
        if self.run.get("fallback") == "embedded" and carried_by > 1:
            self.problem(
                ("run", "fallback"),
                f"{carried_by} controllers cannot fall back to the embedded server: each would have a run of its own."
                " Write 'controllers: 1', or leave fallback out.",
            )
        self._check_redis(self.run.get("redis"))
        window = durations.seconds(self.run.get("window"))
        if window is None:
            return
        within = f"the window of {durations.text(window)} (run.window)"
        moments: list[tuple[PathKey, object, str]] = [
            (("run", "convergence"), self.run.get("convergence"), "the convergence begins after")
        ]
        moments += [
            (("run", "milestones", name), at, "this milestone is after")
            for name, at in _mapping(self.run.get("milestones")).items()
        ]
        moments += [
            (("larrys", larry, "phase"), entry.get("phase"), "the phase is longer than")
            for larry, entry in self.larrys.items()
        ]
        for path, value, what in moments:
            length = durations.seconds(value)
            if length is not None and length > window:
                self.problem(path, f"{what} {within}.")

    def _check_redis(self, redis: object) -> None:
        path: PathKey = ("run", "redis")
        options: dict[str, Any] = {}
        if isinstance(redis, dict):
            path, options, redis = (*path, "url"), redis, redis.get("url")
            if redis == "embedded":
                self.problem(path, "the embedded server takes no options. Write 'redis: embedded'.")
                return
        if not isinstance(redis, str) or redis == "embedded":
            return
        wrong = _redis_url_problem(redis)
        if wrong:
            self.problem(path, wrong)
            return
        scheme = urlsplit(redis).scheme
        prefix = self.run.get("prefix", "")
        if scheme.endswith("+cluster") and isinstance(prefix, str) and not re.match(r"[^{]*\{[^}]+\}", prefix):
            self.problem(
                ("run", "prefix") if "prefix" in self.run else path,
                "on a Cluster the prefix holds a hash tag, so that all keys are on one node: 'prefix: \"{larry}:\"'.",
            )
        for option in options:
            if str(option).startswith("sentinel_") and not scheme.endswith("+sentinel"):
                self.problem(
                    ("run", "redis", option),
                    "this option is for Sentinels, and the URL names none. Write redis+sentinel://host:port/service.",
                )
            elif str(option).startswith("tls_") and "rediss" not in scheme and not options.get("sentinel_tls"):
                self.problem(("run", "redis", option), "this option is for TLS, and the URL is not. Write rediss://.")
        if "tls_key_file" in options and "tls_cert_file" not in options:
            self.problem(("run", "redis", "tls_key_file"), "a key without its certificate. Name 'tls_cert_file' too.")

    def check_larrys(self) -> None:
        for larry, entry in self.larrys.items():
            path: PathKey = ("larrys", larry)
            self._check_node((*path, "node"), entry.get("node"))
            phase = durations.seconds(entry.get("phase"))
            last = (0.0, 0)
            timed = [(durations.seconds(at), at, percent) for at, percent in _mapping(entry.get("checkpoints")).items()]
            for at_s, at, percent in sorted((item for item in timed if item[0] is not None), key=lambda item: item[0]):
                if phase is not None and at_s > phase:
                    self.problem(
                        (*path, "checkpoints", at),
                        f"this checkpoint is after the end of the phase ({durations.text(phase)}).",
                    )
                if at_s == last[0]:
                    self.problem((*path, "checkpoints", at), "two checkpoints at the same moment. Keep one of them.")
                if _number(percent) is not None:
                    if percent < last[1]:
                        self.problem(
                            (*path, "checkpoints", at),
                            f"{percent} % is less than the {last[1]} % of an earlier checkpoint; progress never falls.",
                        )
                    last = (at_s, percent)
            for name, worker in _mappings(entry.get("workers")).items():
                self._check_node((*path, "workers", name, "node"), worker.get("node"))
                duration = durations.seconds(worker.get("duration"))
                if phase is not None and duration is not None and duration > phase:
                    self.problem(
                        (*path, "workers", name, "duration"),
                        f"the work is planned longer than the phase of {larry} ({durations.text(phase)}).",
                    )

    def _check_node(self, path: PathKey, node: object) -> None:
        if isinstance(node, str) and node not in self.nodes:
            self.problem(path, f"there is no node {_shown(node)}.{self.suggest(node, self.nodes)}")

    def check_names(self) -> None:
        """Hosts share one namespace in an inventory, and so do groups."""
        hosts: dict[str, str] = {}
        for what, path, host in naming.hosts(self.nodes, self.larrys):
            if host in hosts:
                self.problem(path, f"{what} has the same id, {_shown(host)}, as {hosts[host]}. Rename one of them.")
            else:
                hosts[host] = f"{what} on line {self.document.line(*path)}"
        groups: dict[str, str] = {name: "a group of every plan" for name in naming.COMMON_GROUPS}
        for what, path, group in naming.groups(self.larrys):
            if groups.setdefault(group, what) != what:
                self.problem(
                    path,
                    f"{what} would get the inventory group '{group}', and so does {groups[group]}. Rename one of them.",
                )
            if group in hosts:
                self.problem(
                    path,
                    f"{what} would get the inventory group '{group}', which is also {hosts[group]}. Rename one of"
                    " them.",
                )

    def check_tasks(self) -> None:
        capable: dict[str, set[str]] = {}
        for larry, entry in self.larrys.items():
            by_worker = naming.capabilities_of_workers(larry, entry, self.tasks)
            capable[larry] = {capability for listed in by_worker.values() for capability in listed}
        stated = set(_mapping(self.plan.get("capabilities")))
        used: set[str] = set()
        for task, entry in self.tasks.items():
            path: PathKey = ("tasks", task)
            larry = entry.get("larry")
            capability = entry.get("capability", task)
            used.add(capability if isinstance(capability, str) else task)
            if isinstance(larry, str) and larry not in self.larrys:
                self.problem((*path, "larry"), f"there is no Larry {_shown(larry)}.{self.suggest(larry, self.larrys)}")
            elif isinstance(larry, str):
                self._check_worker(task, entry, larry, capability, capable[larry])
            for field in ("depends_on", "after"):
                for index, other in _texts(entry.get(field)):
                    if other not in self.tasks:
                        self.problem(
                            (*path, field, index), f"there is no task {_shown(other)}.{self.suggest(other, self.tasks)}"
                        )
            both = {other for _index, other in _texts(entry.get("depends_on"))} & {
                other for _index, other in _texts(entry.get("after"))
            }
            for other in sorted(both):
                self.problem((*path, "after"), f"{_shown(other)} stands under depends_on as well. Keep one of them.")
        for larry, entry in self.larrys.items():
            for name, worker in _mappings(entry.get("workers")).items():
                for index, capability in _texts(worker.get("capabilities")):
                    if capability not in used and capability not in stated:
                        self.problem(
                            ("larrys", larry, "workers", name, "capabilities", index),
                            f"no task uses the capability {_shown(capability)} and 'capabilities' does not name"
                            f" it.{self.suggest(capability, used | stated)}",
                        )

    def _check_worker(
        self, task: str, entry: dict[str, Any], larry: str, capability: object, capable: set[str]
    ) -> None:
        path: PathKey = ("tasks", task)
        worker = entry.get("worker")
        if isinstance(worker, str):
            name = naming.short_worker_name(larry, worker)
            workers = _mappings(self.larrys[larry].get("workers"))
            if name in workers:
                listed = workers[name].get("capabilities")
                if isinstance(listed, list) and isinstance(capability, str) and capability not in listed:
                    self.problem(
                        (*path, "worker"),
                        f"the worker {_shown(worker)} does not have the capability {_shown(capability)}. Add it to the"
                        " worker's capabilities.",
                    )
                    return
            else:
                for other, other_entry in self.larrys.items():
                    if other != larry and naming.short_worker_name(other, worker) in _mapping(
                        other_entry.get("workers")
                    ):
                        self.problem(
                            (*path, "worker"),
                            f"the worker {_shown(worker)} belongs to {other}, the task to {larry}. Name a worker of"
                            f" {larry}.",
                        )
                        break
                else:
                    self.problem(
                        (*path, "worker"),
                        f"there is no worker {_shown(worker)} in {larry}.{self.suggest(worker, workers)}",
                    )
                return
        if isinstance(capability, str) and capability not in capable:
            self.problem(
                path,
                f"no worker of {larry} has the capability {_shown(capability)}, so nobody could carry the task out. Add"
                " it to a worker's capabilities.",
            )
        phase = durations.seconds(self.larrys[larry].get("phase"))
        duration = durations.seconds(entry.get("duration"))
        if phase is not None and duration is not None and duration > phase:
            self.problem(
                (*path, "duration"), f"the task is planned longer than the phase of {larry} ({durations.text(phase)})."
            )

    def check_cycles(self) -> None:
        edges: dict[str, list[tuple[str, str, int]]] = {
            task: [
                (other, field, index)
                for field in ("depends_on", "after")
                for index, other in _texts(entry.get(field))
                if other in self.tasks
            ]
            for task, entry in self.tasks.items()
        }
        for component in _knots(edges):
            cycle = _shortest_cycle(edges, component)
            steps = [
                f"'{task}' {'depends on' if field == 'depends_on' else 'comes after'} '{other}'"
                for task, other, field, _index in cycle
            ]
            if len(steps) > _NAMES_IN_A_CYCLE:
                steps[_NAMES_IN_A_CYCLE - 1 : -1] = [f"({len(steps) - _NAMES_IN_A_CYCLE} more)"]
            task, _other, field, index = cycle[0]
            self.problem(
                ("tasks", task, field, index),
                f"a cycle, so none of these could ever start: {', '.join(steps)}. Take one of them out.",
            )

    def check_budgets(self) -> None:
        personal_total = pool_total = 0
        whole = True
        for larry, entry in self.larrys.items():
            personal, pools, complete = naming.tokens(entry)
            whole = whole and complete
            personal_total += personal
            pool_total += pools
            if not complete:
                continue
            self._check_sum(
                ("larrys", larry, "tokens"),
                entry.get("tokens"),
                personal + pools,
                "its workers, master agents and pools",
            )
        budgets = _mapping(self.plan.get("budgets"))
        extra = [budgets.get(name, 0) for name in ("meta_coordinator", "emergency")]
        if not whole or any(_number(number) is None for number in extra):
            return
        self._check_sum(
            ("budgets", "total"),
            budgets.get("total"),
            personal_total + pool_total + sum(extra),
            "workers, master agents, pools, meta-coordinator and emergency pool",
        )
        self._check_sum(
            ("budgets", "total_without_pools"),
            budgets.get("total_without_pools"),
            personal_total + sum(extra),
            "workers, master agents, meta-coordinator and emergency pool",
        )

    def _check_sum(self, path: PathKey, stated: object, actual: int, what: str) -> None:
        if _number(stated) is not None and stated != actual:
            self.problem(path, f"the budgets do not add up: {what} come to {actual}, not {stated}.")

    def check_criteria(self) -> None:
        for name, entry in _mappings(self.plan.get("criteria")).items():
            path: PathKey = ("criteria", name)
            scope = entry.get("scope", "system")
            if isinstance(scope, str) and scope != "system" and scope not in self.larrys:
                self.problem(
                    (*path, "scope"),
                    f"there is no Larry {_shown(scope)}; a scope is 'system' or the id of a"
                    f" Larry.{self.suggest(scope, self.larrys)}",
                )
            for index, task in _texts(entry.get("needs")):
                if task not in self.tasks:
                    self.problem(
                        (*path, "needs", index), f"there is no task {_shown(task)}.{self.suggest(task, self.tasks)}"
                    )
            threshold = entry.get("threshold")
            if entry.get("op") in ORDERING_OPERATORS and isinstance(threshold, (str, bool)):
                self.problem(
                    (*path, "threshold"),
                    f"'{entry['op']}' compares numbers, and {_shown(threshold)} is not one. Give a number, or use =="
                    " or !=.",
                )
            if isinstance(entry.get("measure"), str):
                self._check_expression((*path, "measure"), entry["measure"])

    def _check_expression(self, path: PathKey, expression: str) -> None:
        if jmespath is None:
            self.problem(
                path,
                "the expression cannot be checked without the Python package jmespath. Install it beside Ansible (pip"
                " install jmespath).",
            )
            return
        try:
            parsed = jmespath.compile(expression).parsed
        # RecursionError: an expression of ten thousand parentheses is no expression either.
        except (jmespath.exceptions.JMESPathError, RecursionError, ValueError) as error:
            reason = " ".join(str(error).split("\n", 1)[0].split()) or type(error).__name__
            self.problem(
                path,
                f"the JMESPath expression does not compile: {reason[:160].rstrip(':')}. Ids with dashes are quoted, as"
                ' in tasks."some-task".summary.',
            )
            return
        for root, name in _references(parsed):
            if root == "tasks" and name not in self.tasks:
                self.problem(
                    path,
                    f"the expression reads the task {_shown(name)}, which does not"
                    f" exist.{self.suggest(name, self.tasks)}",
                )
            elif root == "run" and name not in RUN_MEASURES:
                known = self.suggest(name, RUN_MEASURES) or f" There are: {', '.join(RUN_MEASURES)}."
                self.problem(path, f"a run has no measure {_shown(name)}.{known}")

    def check_estate(self) -> None:
        estate = _mapping(self.plan.get("estate"))
        if estate.get("source") == "gitops" and "path" not in estate:
            self.problem(("estate",), "the source 'gitops' needs the key 'path', the repository's directory.")
        for name, source in (("path", "gitops"), ("context", "kubernetes")):
            if name in estate and estate.get("source") in ("gitops", "kubernetes") and estate["source"] != source:
                self.problem(
                    ("estate", name), f"'{name}' belongs to the source '{source}', not to '{estate['source']}'."
                )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _redis_url_problem(url: str) -> str | None:
    """Say what is wrong with a URL of Redis, without repeating any of it: it may hold a password."""
    form = (
        "Write 'embedded', redis://host:port/db, unix:///path, redis+sentinel://host:port,host:port/service/db or"
        " redis+cluster://host:port,host:port (rediss for TLS)."
    )
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        return f"the Redis URL cannot be read (host or port). {form}"
    if password or "password" in parts.query.lower():
        return (
            "the Redis URL holds a password, and plans are shared. Name an environment variable with 'password_env'"
            " instead."
        )
    base, _plus, how = parts.scheme.partition("+")
    if base not in ("redis", "rediss", "unix") or how not in ("", "sentinel", "cluster") or "://" not in url:
        return f"the Redis URL has no scheme that is known here. {form}"
    if any(character.isspace() or not character.isprintable() for character in url):
        return f"the Redis URL holds spaces or control characters. {form}"
    if parts.query or parts.fragment:
        return "the Redis URL has options behind '?' or '#'. Write a mapping with 'url' and its options instead."
    if base == "unix":
        has_path = parts.path.startswith("/") and not parts.netloc and not how
        return None if has_path else f"a unix URL wants an absolute path. {form}"
    hosts = parts.netloc.rpartition("@")[2].split(",")
    if not all(hosts):
        return f"the Redis URL names no host. {form}"
    for host in hosts:
        found = re.fullmatch(r"(?:\[[0-9a-fA-F:.%]+\]|[^:\[\]]+)(?::([0-9]+))?", host)
        if not found or not 0 < int(found[1] or 1) < 65536:
            return f"the Redis URL cannot be read (host or port). {form}"
    if len(hosts) > 1 and not how:
        return f"a redis:// URL names one server. {form}"
    if how == "sentinel" and not re.fullmatch(r"/[A-Za-z0-9._-]+(/[0-9]*)?", parts.path):
        return f"the Redis URL names no service behind the Sentinels. {form}"
    if how == "cluster" and parts.path not in ("", "/", "/0"):
        return f"a Cluster has only the database 0. {form}"
    if not how and not re.fullmatch(r"(/[0-9]*)?", parts.path):
        return f"the Redis URL wants a port from 1 to 65535 and a database number. {form}"
    return None


def _references(parsed: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (``tasks`` or ``run``, name) for each direct reference in a parsed expression."""
    waiting = [parsed]
    while waiting:
        part = waiting.pop()
        children = [child for child in part.get("children", []) if isinstance(child, dict)]
        # a.b.c is one subexpression with three children
        first, second = (child if child.get("type") == "field" else {} for child in [*children, {}, {}][:2])
        if part.get("type") == "subexpression" and first and second and first["value"] in ("tasks", "run"):
            yield first["value"], second["value"]
        waiting.extend(children)


def _knots(edges: dict[str, list[tuple[str, str, int]]]) -> list[list[str]]:
    """Return the strongly connected components that hold a cycle (Tarjan, without recursion)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    open_tasks: list[str] = []
    is_open: set[str] = set()
    found: list[list[str]] = []
    for start in edges:
        if start in order:
            continue
        work = [(start, iter(edges[start]))]
        order[start] = low[start] = len(order)
        open_tasks.append(start)
        is_open.add(start)
        while work:
            task, rest = work[-1]
            for other, _field, _index in rest:
                if other not in order:
                    order[other] = low[other] = len(order)
                    open_tasks.append(other)
                    is_open.add(other)
                    work.append((other, iter(edges[other])))
                    break
                if other in is_open:
                    low[task] = min(low[task], order[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[task])
                if low[task] == order[task]:
                    component = []
                    while not component or component[-1] != task:
                        component.append(open_tasks.pop())
                        is_open.discard(component[-1])
                    if len(component) > 1 or any(other == task for other, _field, _index in edges[task]):
                        found.append(component)
    return found


def _shortest_cycle(
    edges: dict[str, list[tuple[str, str, int]]], component: list[str]
) -> list[tuple[str, str, str, int]]:
    """Return the shortest cycle through a component's first task as (task, other, field, index of other there)."""
    members = set(component)
    start = next(task for task in edges if task in members)
    came_by: dict[str, tuple[str, str, str, int]] = {}
    waiting = deque([start])
    while waiting:
        task = waiting.popleft()
        for other, field, index in edges[task]:
            if other not in members or other in came_by:
                continue
            came_by[other] = (task, other, field, index)
            if other == start:
                cycle = [came_by[start]]
                while cycle[0][0] != start:
                    cycle.insert(0, came_by[cycle[0][0]])
                return cycle
            waiting.append(other)
    raise AssertionError("a strongly connected component has a cycle through each member")
