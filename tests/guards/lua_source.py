# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A parser of the part of Lua 5.1 that the scripts of the protocol are written in: text to a tree with positions.

It refuses what it does not know, so that a guard written in an unknown form is an error and not an omission.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<comment>--[^\n]*)|(?P<string>'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\")"
    r"|(?P<number>0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<sign>\.\.\.|\.\.|==|~=|<=|>=|[-+*/%^#<>=(){}\[\];:,.])"
)
_WORDS = set(
    "and break do else elseif end false for function if in local nil not or repeat return then true until while".split()
)
# Left and right binding strength of the binary operators (the reference manual of Lua 5.1, section 2.5.6).
_BINARY = {
    "or": (1, 1), "and": (2, 2), "<": (3, 3), ">": (3, 3), "<=": (3, 3), ">=": (3, 3), "~=": (3, 3), "==": (3, 3),
    "..": (5, 4), "+": (6, 6), "-": (6, 6), "*": (7, 7), "/": (7, 7), "%": (7, 7), "^": (10, 9),
}  # fmt: skip
_UNARY = 8


class LuaError(Exception):
    """The text is no Lua that this parser knows."""


@dataclass(frozen=True)
class Token:
    """A word of the text with its first and its last position + 1."""

    kind: str
    text: str
    start: int
    end: int


@dataclass
class Node:
    """A part of the program.

    Attributes:
        kind: of an expression: const, name, index, call, unary, binary, table, function, paren, vararg; of a
            statement: local, assign, callstat, return, break, if, while, for, repeat, do, function; also clause (of an
            if; without a condition it is the else) and block.
        name: the operator, or the name of a function or variable.
        children: the parts in the order of the text.
    """

    kind: str
    start: int
    end: int = 0
    name: str = ""
    children: list[Node] = field(default_factory=list)

    def walk(self, into_functions: bool = True) -> Iterator[Node]:
        """This node and all below it, in the order of the text."""
        yield self
        for child in self.children:
            if into_functions or child.kind != "function":
                yield from child.walk(into_functions)


def tokens(text: str) -> list[Token]:
    """The words of a text, without spaces and comments, with an end mark."""
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise LuaError(f"unknown sign at {at}: {text[at : at + 20]!r}")
        kind = str(match.lastgroup)
        if kind not in ("space", "comment"):
            word = match.group()
            found.append(Token("word" if word in _WORDS else kind, word, at, match.end()))
        at = match.end()
    found.append(Token("end", "", at, at))
    return found


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokens(text)
        self.at = 0

    @property
    def now(self) -> Token:
        return self.tokens[self.at]

    def step(self) -> Token:
        self.at += 1
        return self.tokens[self.at - 1]

    def have(self, text: str) -> bool:
        if self.now.text == text and self.now.kind in ("word", "sign"):
            self.at += 1
            return True
        return False

    def need(self, text: str) -> None:
        if not self.have(text):
            raise LuaError(f"expected {text!r} at {self.text[self.now.start : self.now.start + 40]!r}")

    def need_name(self) -> str:
        if self.now.kind != "name":
            raise LuaError(f"expected a name at {self.text[self.now.start : self.now.start + 40]!r}")
        return self.step().text

    def close(self, node: Node) -> Node:
        node.end = self.tokens[self.at - 1].end
        return node

    def block(self, *ends: str) -> Node:
        node = Node("block", self.now.start)
        while not (self.now.kind == "end" or (self.now.kind == "word" and self.now.text in ends)):
            if not self.have(";"):
                node.children.append(self.statement())
        node.end = self.tokens[self.at - 1].end if node.children else node.start
        return node

    def expressions(self) -> list[Node]:
        found = [self.expression()]
        while self.have(","):
            found.append(self.expression())
        return found

    def statement(self) -> Node:
        start = self.now.start
        node = Node("", start)
        if self.have("local"):
            if self.have("function"):
                node.kind, node.name = "function", self.need_name()
                return self.body(node)
            node.kind = "local"
            node.name = self.need_name()
            while self.have(","):
                node.name += "," + self.need_name()
            if self.have("="):
                node.children = self.expressions()
        elif self.have("if"):
            node.kind = "if"
            while True:
                clause = Node("clause", self.now.start, children=[self.expression()])
                self.need("then")
                clause.children.append(self.block("elseif", "else", "end"))
                node.children.append(self.close(clause))
                if not self.have("elseif"):
                    break
            if self.have("else"):
                clause = Node("clause", self.now.start, children=[self.block("end")])
                node.children.append(self.close(clause))
            self.need("end")
        elif self.have("while"):
            node.kind, node.children = "while", [self.expression()]
            self.need("do")
            node.children.append(self.block("end"))
            self.need("end")
        elif self.have("for"):
            node.kind, node.name = "for", self.need_name()
            while self.have(","):
                node.name += "," + self.need_name()
            if not self.have("in"):
                self.need("=")
            node.children = self.expressions()
            self.need("do")
            node.children.append(self.block("end"))
            self.need("end")
        elif self.have("do"):
            node.kind, node.children = "do", [self.block("end")]
            self.need("end")
        elif self.have("return"):
            node.kind = "return"
            if self.now.text not in ("end", "else", "elseif", ";") and self.now.kind != "end":
                node.children = self.expressions()
        elif self.have("break"):
            node.kind = "break"
        else:
            target = self.suffixed()
            if target.kind == "call" and self.now.text not in ("=", ","):
                node.kind, node.children = "callstat", [target]
            else:
                targets = [target]
                while self.have(","):
                    targets.append(self.suffixed())
                self.need("=")
                node.kind = "assign"
                node.name = ",".join(self.text[one.start : one.end] for one in targets)
                node.children = self.expressions()
        return self.close(node)

    def body(self, node: Node) -> Node:
        self.need("(")
        while not self.have(")"):
            self.step()
        node.children = [self.block("end")]
        self.need("end")
        return self.close(node)

    def suffixed(self) -> Node:
        start = self.now.start
        if self.have("("):
            node = Node("paren", start, children=[self.expression()])
            self.need(")")
            self.close(node)
        else:
            node = self.close(Node("name", start, name=self.need_name()))
        while True:
            if self.have("."):
                node = Node("index", start, name=f"{node.name}.{self.need_name()}", children=[node])
            elif self.have("["):
                node = Node("index", start, name=node.name, children=[node, self.expression()])
                self.need("]")
            elif self.now.text == "(" and self.now.kind == "sign":
                self.step()
                node = Node("call", start, name=node.name, children=[node])
                if not self.have(")"):
                    node.children += self.expressions()
                    self.need(")")
            else:
                return node
            self.close(node)

    def simple(self) -> Node:
        token = self.now
        if token.kind in ("string", "number") or token.text in ("nil", "true", "false", "..."):
            self.step()
            return self.close(Node("const", token.start, name=token.text))
        if self.have("function"):
            return self.body(Node("function", token.start))
        if self.have("{"):
            node = Node("table", token.start)
            while not self.have("}"):
                if self.have("["):
                    node.children.append(self.expression())
                    self.need("]")
                    self.need("=")
                elif self.now.kind == "name" and self.tokens[self.at + 1].text == "=":
                    self.at += 2
                node.children.append(self.expression())
                if not self.have(","):
                    self.have(";")
            return self.close(node)
        return self.suffixed()

    def expression(self, strength: int = 0) -> Node:
        start = self.now.start
        if self.now.text in ("not", "-", "#") and self.now.kind in ("word", "sign"):
            operator = self.step().text
            node = self.close(Node("unary", start, name=operator, children=[self.expression(_UNARY)]))
        else:
            node = self.simple()
        while self.now.kind in ("word", "sign") and self.now.text in _BINARY and _BINARY[self.now.text][0] > strength:
            operator = self.step().text
            right = self.expression(_BINARY[operator][1])
            node = self.close(Node("binary", start, name=operator, children=[node, right]))
        return node


def parse(text: str) -> Node:
    """The tree of a program.

    Raises:
        LuaError: the text is not understood.
    """
    parser = _Parser(text)
    tree = parser.block()
    if parser.now.kind != "end":
        raise LuaError(f"what is {text[parser.now.start : parser.now.start + 40]!r}?")
    return tree
