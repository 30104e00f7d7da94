"""From a template's text to its nodes.

Reference: the lexer and the parser of Go's package text/template/parse.
"""

import re
from dataclasses import dataclass, field
from typing import NoReturn

from gateway.backends.ollama.templates.go.functions import FUNCTIONS
from gateway.backends.ollama.templates.go.tree import (
    Action,
    Block,
    Call,
    Constant,
    Kind,
    Node,
    Operand,
    Path,
    Pipeline,
    Text,
)
from gateway.core.errors import GoTemplateError

_SPACE = " \t\r\n"
_DEEPEST = 50
"""Levels of blocks or parentheses inside each other."""
_LONGEST = 1 << 16
"""Characters of a template; real ones have a few thousand."""

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
    |(?P<quoted>"(?:\\[^\n]|[^"\\\n])*")
    |(?P<raw>`[^`]*`)
    |(?P<number>[+-]?[0-9]+)(?![\w.])
    |(?P<variable>\$\w*)
    |(?P<field>\.[^\W\d]\w*)
    |(?P<dot>\.)
    |(?P<word>[^\W\d]\w*)
    |(?P<symbol>:=|[=|,()])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(
    r"""\\(?:(?P<code>x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3})|(?P<short>.))"""
)
_SHORT = dict(zip('abfnrtv\\"', '\a\b\f\n\r\t\v\\"', strict=True))
_END = re.compile(r"[ \t\r\n]-\}\}|\}\}")
_COMMENT = re.compile(r"/\*.*?\*/(?P<end>[ \t\r\n]-\}\}|\}\})", re.DOTALL)
_WORDS = {"true": True, "false": False, "nil": None}
_BLOCKS: dict[str, Kind] = {"if": "if", "with": "with", "range": "range"}
_CALLED = {"and", "or", *FUNCTIONS}


def parse(source: str) -> tuple[Node, ...]:
    """Read a template.

    Raises:
        GoTemplateError: it is wrong, or uses what is not read here; with the line.
    """
    if len(source) > _LONGEST:
        raise GoTemplateError(f"Go template: more than {_LONGEST} characters")
    return _Parser(source).nodes()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int
    """In the template."""


@dataclass(slots=True)
class _Parser:
    source: str
    position: int = 0
    depth: int = 0
    tokens: list[_Token] = field(default_factory=list)
    """Of the action that is being read, the next one last."""
    trims: bool = False
    """The action before ends with -}}."""
    variables: list[str] = field(default_factory=lambda: ["$"])
    """Those that are declared here."""

    def nodes(self) -> tuple[Node, ...]:
        nodes, keyword = self._list()
        if keyword:
            self._fail(f"{{{{{keyword}}}}} without a block")
        return nodes

    def _list(self) -> tuple[tuple[Node, ...], str]:
        """Nodes until an else or an end, whose rest is not read yet, or until the text's end."""
        found: list[Node] = []
        while self.position < len(self.source):
            if text := self._text():
                found.append(Text(text))
            if self.position >= len(self.source) or not self._action():
                continue
            keyword = self.tokens[-1].text if self.tokens[-1].kind == "word" else ""
            if keyword in ("else", "end"):
                self.tokens.pop()
                return tuple(found), keyword
            found.append(self._node(keyword))
        return tuple(found), ""

    def _text(self) -> str:
        """The text up to the next action."""
        start = self.source.find("{{", self.position)
        end = len(self.source) if start < 0 else start
        text = self.source[self.position : end]
        self.position = end
        if self.trims:
            text = text.lstrip(_SPACE)
        if self._marks_trim(end + 2):
            text = text.rstrip(_SPACE)
        self.trims = False
        return text

    def _marks_trim(self, at: int) -> bool:
        return self.source[at : at + 1] == "-" and self.source[at + 1 : at + 2] in tuple(_SPACE)

    def _action(self) -> bool:
        """Read the tokens up to }}; false for a comment, which has none."""
        self.position += 2
        if self._marks_trim(self.position):
            self.position += 2
        if comment := _COMMENT.match(self.source, self.position):
            self._finish(comment["end"], comment.end())
            return False
        self.tokens = self._scan()[::-1]
        if not self.tokens:
            self._fail("an action is empty")
        return True

    def _scan(self) -> list[_Token]:
        found: list[_Token] = []
        while True:
            if end := _END.match(self.source, self.position):
                self._finish(end.group(), end.end())
                while found and found[-1].kind == "space":
                    found.pop()
                return found
            token = _TOKEN.match(self.source, self.position)
            if self.position >= len(self.source):
                self._fail("an action has no }}")
            if token is None:
                self._fail(f"{self.source[self.position : self.position + 20]!r} is not read here")
            if found or token.lastgroup != "space":
                found.append(_Token(str(token.lastgroup), token.group(), self.position))
            # The space before -}} belongs to it.
            self.position = token.end()
            if token.lastgroup == "space" and self.source.startswith("-}}", self.position):
                self.position -= 1

    def _finish(self, end: str, position: int) -> None:
        self.trims = end.endswith("-}}")
        self.position = position

    def _node(self, keyword: str) -> Node:
        if keyword in _BLOCKS:
            self.tokens.pop()
            return self._block(_BLOCKS[keyword])
        pipeline = self._pipeline()
        self._done()
        return Action(pipeline)

    def _block(self, kind: Kind) -> Block:
        self._deeper()
        outside = len(self.variables)
        pipeline = self._pipeline(ranges=kind == "range")
        self._done()
        inside = len(self.variables)
        body, keyword = self._list()
        del self.variables[inside:]
        otherwise = self._otherwise(kind, keyword)
        del self.variables[outside:]
        self.depth -= 1
        return Block(kind, pipeline, body, otherwise)

    def _otherwise(self, kind: Kind, keyword: str) -> tuple[Node, ...] | None:
        """The rest of a block behind its body, to its end."""
        found: tuple[Node, ...] | None = None
        if keyword == "else" and kind == "if" and self._skip_space():
            if self.tokens.pop().text != "if":
                self._fail("only if can follow else")
            # It ends where this block ends.
            return (self._block("if"),)
        if keyword == "else":
            self._done()
            found, keyword = self._list()
        if keyword != "end":
            self._fail(f"a block {kind} has no end")
        self._done()
        return found

    def _pipeline(self, *, ranges: bool = False) -> Pipeline:
        self._deeper()
        variables, declares = self._variables(ranges)
        commands: list[Operand | Call] = [self._command()]
        while self._take("|"):
            command = self._command()
            if not isinstance(command, Call):
                self._fail("only a function can follow |")
            commands.append(command)
        if declares:
            self.variables += variables
        self.depth -= 1
        return Pipeline(tuple(commands), variables, declares)

    def _variables(self, ranges: bool) -> tuple[tuple[str, ...], bool]:
        """The variables before := or =; none where the variable is an operand."""
        if not self._skip_space() or self.tokens[-1].kind != "variable":
            return (), True
        before = list(self.tokens)
        found: list[str] = []
        while self.tokens and self.tokens[-1].kind == "variable":
            found.append(self.tokens.pop().text)
            if self._take(":="):
                return tuple(found), True
            if self._take("="):
                return tuple(map(self._known, found)), False
            if not ranges or len(found) == 2 or not self._take(","):
                break
            self._skip_space()
        self.tokens = before
        return (), True

    def _command(self) -> Operand | Call:
        self._skip_space()
        token = self.tokens[-1] if self.tokens else None
        if token is None or token.kind != "word" or token.text in _WORDS:
            operand = self._operand()
            self._skip_space()
            if self.tokens and self.tokens[-1].text not in ("|", ")"):
                self._fail(f"{self.tokens[-1].text!r} cannot follow a value")
            return operand
        self.tokens.pop()
        if token.text not in _CALLED:
            self._fail(f"the function {token.text} is not read here")
        arguments: list[Operand] = []
        while self._skip_space() and self.tokens[-1].text not in ("|", ")"):
            arguments.append(self._operand())
        return Call(token.text, tuple(arguments))

    def _operand(self) -> Operand:
        if not self.tokens:
            self._fail("a value is missing")
        token = self.tokens.pop()
        if token.kind in ("quoted", "raw"):
            return Constant(self._string(token))
        if token.kind == "number":
            return Constant(self._number(token))
        if token.kind == "word" and token.text in _WORDS:
            return Constant(_WORDS[token.text])
        if token.kind == "variable":
            return Path(self._known(token.text), self._fields())
        if token.kind == "field":
            return Path("", (token.text[1:], *self._fields()))
        if token.kind == "dot":
            return Path("", ())
        if token.text != "(":
            self._fail(f"{token.text!r} is not read here")
        inner = self._pipeline()
        if inner.variables or not self._take(")"):
            self._fail("( is not closed")
        return Path(inner, self._fields())

    def _known(self, variable: str) -> str:
        if variable not in self.variables:
            self._fail(f"no variable {variable}")
        return variable

    def _fields(self) -> tuple[str, ...]:
        """Fields that follow without a space."""
        found: list[str] = []
        while self.tokens and self.tokens[-1].kind == "field":
            found.append(self.tokens.pop().text[1:])
        return tuple(found)

    def _string(self, token: _Token) -> str:
        inside = token.text[1:-1]
        if token.kind == "raw":
            return inside.replace("\r", "")

        def plain(escape: re.Match[str]) -> str:
            if code := escape["code"]:
                number = int(code, 8) if code[0].isdigit() else int(code[1:], 16)
                # Above ASCII, x and octal escapes give single bytes.
                if (number > 127 and code[0] not in "uU") or number > 0x10FFFF:
                    self._fail(f"{escape.group()} is not read here")
                return chr(number)
            if escape["short"] not in _SHORT:
                self._fail(f"{escape.group()} is no escape")
            return _SHORT[escape["short"]]

        return _ESCAPE.sub(plain, inside)

    def _number(self, token: _Token) -> int:
        digits = token.text.lstrip("+-")
        if len(digits) > 1 and digits.startswith("0"):
            self._fail(f"{token.text} is not read here")
        if len(digits) > 18:
            self._fail(f"{token.text} is too large")
        return int(token.text)

    def _take(self, text: str) -> bool:
        if self._skip_space() and self.tokens[-1].text == text and self.tokens[-1].kind == "symbol":
            self.tokens.pop()
            return True
        return False

    def _skip_space(self) -> bool:
        """Whether a token follows."""
        while self.tokens and self.tokens[-1].kind == "space":
            self.tokens.pop()
        return bool(self.tokens)

    def _done(self) -> None:
        if self._skip_space():
            self._fail(f"{self.tokens[-1].text!r} is not read here")

    def _deeper(self) -> None:
        self.depth += 1
        if self.depth > _DEEPEST:
            self._fail(f"more than {_DEEPEST} levels")

    def _fail(self, what: str) -> NoReturn:
        at = self.tokens[-1].at if self.tokens else self.position
        line = self.source.count("\n", 0, at) + 1
        raise GoTemplateError(f"Go template, line {line}: {what}")
