# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the guards of the scripts by their form, and takes them out.

A guard is what keeps a script from doing something. By form, in every function that a changing script can reach:

- the condition of an `if` that ends the function or the script before something would change (refuse, return with an
  answer): taken out, it is false; of `a or b` each part is taken out for itself;
- the condition of an `if` under which something is changed, here or in a function that is called: taken out, it is
  true; of `a and b` each part is taken out for itself;
- a comparison that is returned or kept (`return token == mine`): taken out, it is true;
- `math.max` and `math.min`: taken out, one of the two sides alone;
- the calls `require_...(...)`, `tick()`, those that look an operation up (`recall(...)`, `recall_lately()`,
  `published(...)`: then nothing is remembered) and those that keep one (`remember(...)`, `remember_lately(...)`,
  `note_published(...)`: then nothing is kept).

No guards by this definition: what a script that changes nothing shows; an `if` that only fills the reply; the end of a
loop or function because nothing is left to work on (`if not due then return end`); the question whether there is what
the body then works on (`if rec.public ~= '' then redis.call('DEL', K(rec.public)) end`); `if before then return before
end`, which is the `recall` above it; the choice between things that a caller may ask for (`args.verb == 'pause'`,
`kind == 'slot'`); the bounds of steps.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lua_source import Node, parse

_READS = frozenset(
    "TIME GET MGET HGET HGETALL HMGET HEXISTS HKEYS HLEN EXISTS TTL PTTL PEXPIRETIME SMEMBERS SISMEMBER SCARD LLEN "
    "LINDEX LRANGE ZRANGE ZRANGEBYSCORE ZSCORE ZCARD XREVRANGE XRANGE XLEN".split()
)
_COMPARISONS = frozenset(("==", "~=", "<", ">", "<=", ">="))
# Fields and tables that only carry the answer to the caller.
_REPLY = re.compile(r"^(view|reply|answer|out)\b")
_SHOWN = re.compile(r"_ms\b|math\.max\(0, math\.ceil\(")
_MAIN = "main"
# Law 3: what looks an operation up, and what keeps it, with the place of the reply among the arguments.
_RECALLS = frozenset(("recall", "recall_in", "recall_lately", "published"))
_REMEMBERS = {"remember": 3, "remember_lately": 1, "note_published": 2}


@dataclass
class Guard:
    """One guard.

    Attributes:
        id: function or script, and the text that is taken out.
        where: the script of a guard in `main`, otherwise the function.
        form: what it is by its form.
        text: the piece of the program that is taken out.
        why: the comment at it, or what it refuses.
        edits: script -> (start, end, what stands there instead).
    """

    id: str
    where: str
    form: str
    text: str
    why: str
    edits: dict[str, tuple[int, int, str]] = field(default_factory=dict)

    def without(self, scripts: Mapping[str, str]) -> dict[str, str]:
        """The scripts that hold this guard, without it."""
        return without([self], scripts)


def without(guards: list[Guard], scripts: Mapping[str, str]) -> dict[str, str]:
    """The scripts that hold one of these guards, without them."""
    changed: dict[str, str] = {}
    for name, text in scripts.items():
        edits = sorted((guard.edits[name] for guard in guards if name in guard.edits), reverse=True)
        for start, end, instead in edits:
            text = text[:start] + instead + text[end:]
        if edits:
            changed[name] = text
    return changed


def _functions(tree: Node) -> dict[str, Node]:
    """Every named function, also those kept in a variable or table; inner ones as `outer.inner`."""
    found: dict[str, Node] = {}

    def look(node: Node, outer: str) -> None:
        for child in node.children:
            name = ""
            if child.kind == "function" and child.name:
                name = child.name
            elif child.kind in ("assign", "local") and child.children and child.children[0].kind == "function":
                name, child = child.name, child.children[0]
            if name:
                name = f"{outer}.{name}" if outer else name
                found[name] = child
                look(child, name)
            else:
                look(child, outer)

    look(tree, "")
    return found


class _Script:
    """One assembled script: its functions, and which of them change something."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.functions = _functions(parse(text))
        named = {id(node) for node in self.functions.values()}
        # Anonymous functions belong to the one around them; named ones inside another are looked at by themselves.
        self.own = {name: list(_own(node, named)) for name, node in self.functions.items()}
        self.writing: set[str] = set()
        while True:
            more = {one for one in self.functions if one not in self.writing and self._writes(self.own[one], one)}
            if not more:
                break
            self.writing |= more
        self.reached = self._reach()

    def _called(self, node: Node, inside: str) -> str | None:
        """The function that a call goes to, looked up from the inside out."""
        if node.kind != "call":
            return None
        # A function that is handed over under another name (`act(id)`): whatever it is, it may change something.
        outer = inside
        while True:
            full = f"{outer}.{node.name}" if outer else node.name
            if full in self.functions:
                return full
            if not outer:
                return None
            outer = outer.rpartition(".")[0]

    def _writes(self, nodes: list[Node], inside: str) -> bool:
        for node in nodes:
            if node.kind == "call":
                if node.name == "redis.call":
                    command = node.children[1]
                    if command.kind != "const" or command.name.strip("'\"").upper() not in _READS:
                        return True
                elif node.name.startswith("TIMERS") or self._called(node, inside) in self.writing:
                    return True
                elif node.name == "act":
                    return True
        return False

    def _reach(self) -> set[str]:
        """Functions that the main of a changing script can come to; timers are come to by name at run time."""
        if _MAIN not in self.writing:
            return set()
        todo, seen = [_MAIN, *(name for name in self.functions if name.startswith("TIMERS."))], set()
        while todo:
            name = todo.pop()
            if name in seen:
                continue
            seen.add(name)
            for node in self.own[name]:
                for called in (self._called(node, name), node.name if node.kind == "name" else None):
                    if called in self.functions and called not in seen:
                        todo.append(called)
        # Inner functions are handed over as values.
        return seen | {name for name in self.functions if name.rpartition(".")[0] in seen}

    def guards(self) -> Iterator[Guard]:
        """The guards of this script, in the order of the text."""
        for function in self.functions:
            if function not in self.reached:
                continue
            where = self.name if function == _MAIN else function
            if where.startswith(_MAIN + "."):
                where = self.name + where[len(_MAIN) :]
            counts: dict[str, int] = {}
            for form, start, end, instead, why in sorted(self._in(function), key=lambda found: (found[1], -found[2])):
                text = re.sub(r"\s+", " ", self.text[start:end])
                if form.startswith("math"):
                    text += " -> " + re.sub(r"\s+", " ", instead)
                counts[text] = counts.get(text, 0) + 1
                number = f" #{counts[text]}" if counts[text] > 1 else ""
                yield Guard(f"{where}: {text}{number}", where, form, text, why, {self.name: (start, end, instead)})

    def _in(self, function: str) -> Iterator[tuple[str, int, int, str, str]]:
        """Form, start, end, what stands there instead, and why, of the guards of one function."""
        alone: set[int] = set()  # calls that are statements
        for node in self.own[function]:
            if node.kind == "if":
                for number, clause in enumerate(node.children):
                    if len(clause.children) == 2:
                        yield from self._condition(node, number, clause, function)
            elif node.kind in ("return", "local", "assign"):
                for value in node.children[:1]:
                    if value.kind == "binary" and value.name in _COMPARISONS and not _REPLY.match(node.name):
                        yield "comparison", value.start, value.end, "true", self._why(node)
            elif node.kind == "callstat":
                name = node.children[0].name
                if name.startswith("require_") or name == "tick":
                    yield "call", node.start, node.end, "", self._why(node) or _CALLS.get(name, "")
                elif name in _REMEMBERS:
                    yield "remember", node.start, node.end, "", self._why(node) or _CALLS["remember"]
                    alone.add(id(node.children[0]))
            elif node.kind == "call" and id(node) not in alone:
                if node.name in _RECALLS:
                    yield "recall", node.start, node.end, "nil", self._why(node) or _CALLS["recall"]
                elif node.name in _REMEMBERS:
                    reply = self._text(node.children[_REMEMBERS[node.name]])
                    yield "remember", node.start, node.end, f"({reply})", self._why(node) or _CALLS["remember"]
                elif node.name in ("math.max", "math.min") and not _SHOWN.search(self._line(node)):
                    one, two = (self._text(part) for part in node.children[1:3])
                    for kept in (one, two):
                        yield node.name, node.start, node.end, f"({kept})", self._why(node)

    def _condition(
        self, statement: Node, number: int, clause: Node, function: str
    ) -> Iterator[tuple[str, int, int, str, str]]:
        condition, body = clause.children
        why = self._why(clause if number else statement, body)
        effect = self._effect(body, function)
        if effect == "exit":
            if _nothing_there(condition, body) or self._text(body) == f"return {self._text(condition)}":
                return
            for part in _split(condition, "or"):
                yield "refusal" if why.startswith("refuses") else "exit", part.start, part.end, "false", why
        elif effect == "change":
            for alternative in _split(condition, "or"):
                for part in _split(alternative, "and"):
                    if self._there(part, body) or self._asked_for(part, statement):
                        continue
                    yield "condition", part.start, part.end, "true", why

    def _there(self, part: Node, body: Node) -> bool:
        """True if the question is only whether there is something, which the body then works on."""
        if part.kind == "binary" and part.name == "~=" and self._text(part.children[1]) == "''":
            part = part.children[0]
        return part.kind in ("name", "index") and re.search(
            rf"(?<![\w.]){re.escape(self._text(part))}(?!\w)", self._text(body)
        ) is not None  # fmt: skip

    def _asked_for(self, part: Node, statement: Node) -> bool:
        """True if it is a choice between things that a caller may ask for, or between kinds of a thing."""
        if part.kind != "binary" or part.name != "==" or part.children[1].kind != "const":
            return False
        what = self._text(part.children[0])
        chosen = [self._text(clause.children[0]) for clause in statement.children if len(clause.children) == 2]
        return what.startswith("args.") or what == "kind" or sum(text.startswith(f"{what} == '") for text in chosen) > 1

    def _effect(self, body: Node, function: str) -> str:
        if body.children:
            last = body.children[-1]
            if last.kind in ("return", "break"):
                return "exit"
            if last.kind == "callstat" and last.children[0].name in ("refuse", "error"):
                return "exit"
        inside = list(body.walk())
        if self._writes(inside, function):
            return "change"
        for node in inside:
            if node.kind == "assign" and not _REPLY.match(node.name):
                return "change"
            if node.kind == "if" and any(
                self._effect(clause.children[-1], function) == "exit" for clause in node.children
            ):
                return "change"
        return "none"

    def _text(self, node: Node) -> str:
        return self.text[node.start : node.end]

    def _line(self, node: Node) -> str:
        start = self.text.rfind("\n", 0, node.start) + 1
        end = self.text.find("\n", node.end)
        return self.text[start : end if end >= 0 else None]

    def _why(self, node: Node, body: Node | None = None) -> str:
        """The comment above or beside the statement, in its body, or the word it refuses with."""
        lines = self.text[: node.start].splitlines()[:-1]
        said: list[str] = []
        while lines and lines[-1].strip().startswith("--"):
            said.insert(0, lines.pop().strip().removeprefix("--").strip())
        if not said:
            beside = re.search(r"--\s*(.*)", self._line(node))
            if beside:
                said.append(beside.group(1))
        if not said and body is not None:
            within = re.match(r"(?:\s*--[^\n]*\n)+", self.text[self.text.rfind("then", 0, body.start) + 4 : body.start])
            if within:
                said = [line.strip().removeprefix("--").strip() for line in within.group().strip().splitlines()]
        if body is not None and not said:
            refusal = re.search(r"refuse\('(\w+)'", self._text(body))
            status = re.search(r"status = '(\w+)'", self._text(body))
            if refusal:
                said = [f"refuses: {refusal.group(1)}"]
            elif status:
                said = [f"answers: {status.group(1)}"]
        return " ".join(said)


_CALLS = {
    "require_history": "only who has seen no more than there is",
    "require_member": "only who has joined the run there is",
    "require_slot": "only who holds the slot",
    "tick": "what is due is worked off first",
    "recall": "a repeated call gets the first answer",
    "remember": "the answer is kept for a repeated call",
}


def _own(function: Node, named: set[int]) -> Iterator[Node]:
    for child in function.children:
        if id(child) not in named:
            yield child
            yield from _own(child, named)


def _split(node: Node, operator: str) -> list[Node]:
    """The operands of a chain of `and` or `or`, also inside brackets."""
    if node.kind == "binary" and node.name == operator:
        return [part for child in node.children for part in _split(child, operator)]
    if node.kind == "paren":
        inner = _split(node.children[0], operator)
        if len(inner) > 1:
            return inner
    return [node]


def _nothing_there(condition: Node, body: Node) -> bool:
    """`if not due then return end`: nothing is left to work on, so there is nothing to guard."""
    last = body.children[-1]
    plain = last.kind == "break" or (
        last.kind == "return" and all(one.kind == "const" and one.name in ("nil", "false") for one in last.children)
    )
    return plain and condition.kind == "unary" and condition.name == "not" and condition.children[0].kind in (
        "name", "index",
    )  # fmt: skip


def find(scripts: Mapping[str, str]) -> list[Guard]:
    """Every guard of the scripts. One in a function that several scripts share is one guard, taken out of all."""
    found: dict[str, Guard] = {}
    for name, text in scripts.items():
        for guard in _Script(name, text).guards():
            known = found.setdefault(guard.id, guard)
            known.edits |= guard.edits
    return list(found.values())
