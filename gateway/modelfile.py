"""Ollama's Modelfile: reading one.

Grammar: Ollama's `parser/parser.go`, version 0.33. A line is an instruction, in any case, and its
value; a value in quotes, single or triple, may go over several lines; # begins a comment line.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gateway.errors import ConfigError

_ONE_EACH = ("from", "template", "system")
_KNOWN = {
    *_ONE_EACH,
    "adapter",
    "parameter",
    "license",
    "message",
    "renderer",
    "parser",
    "requires",
}
_LINE = re.compile(r"\s*(\w+)[^\S\n]+", re.ASCII)
_QUOTES = ('"""', '"')
_SHOWN = 200
"""Characters of a system prompt that a remark quotes."""


@dataclass(frozen=True, slots=True)
class Modelfile:
    """What a Modelfile says of the model; licenses are passed over."""

    source: str
    """The value of FROM: a path or the name of a model."""
    adapters: tuple[str, ...] = ()
    template: str = ""
    """In Go's language."""
    system: str = ""
    parameters: tuple[tuple[str, str], ...] = ()
    """Name and value, as written; `stop` may come several times."""
    others: tuple[str, ...] = ()
    """Other instructions that are there, such as message."""

    def last(self, parameter: str) -> str:
        """A parameter's value; empty where it is absent."""
        return next((v for name, v in reversed(self.parameters) if name == parameter), "")


def parse(text: str) -> Modelfile:
    """Read a Modelfile.

    Raises:
        ConfigError: an instruction is unknown or has no value, quotes are open, or FROM is absent.
    """
    found: dict[str, list[str]] = {name: [] for name in _KNOWN}
    for instruction, value in _instructions(text):
        found[instruction].append(value)
    if not found["from"]:
        raise ConfigError("a Modelfile needs a line FROM", hint="FROM ./model.gguf")
    parameters = []
    for line in found["parameter"]:
        name, _, value = line.partition(" ")
        parameters.append((name.lower(), _unquoted(value.strip())))
    read = {*_ONE_EACH, "adapter", "parameter", "license"}
    return Modelfile(
        source=found["from"][-1],
        adapters=tuple(found["adapter"]),
        template="".join(found["template"][-1:]),
        system="".join(found["system"][-1:]),
        parameters=tuple(parameters),
        others=tuple(sorted(name for name in _KNOWN - read if found[name])),
    )


def left_out(template: str, system: str, parameters: Iterable[str]) -> Iterator[str]:
    """What of a model of Ollama's is not taken over, a sentence each."""
    if template:
        yield "left out: Ollama's chat template; the file's own is used, where it has one"
    if system:
        shown = system if len(system) <= _SHOWN else f"{system[:_SHOWN]}…"
        yield f"left out: the system prompt {shown!r}; send it as a message"
    if names := sorted(set(parameters)):
        yield f"left out: the parameters {', '.join(names)}; a request says its own"


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    position, text = 0, text.replace("\r\n", "\n")
    while position < len(text):
        end = _end(text, position)
        line = text[position:end].strip()
        if not line or line.startswith("#"):
            position = end + 1
            continue
        where = f"line {text.count(chr(10), 0, position) + 1}"
        start = _LINE.match(text, position)
        if start is None or start.end() >= end:
            raise ConfigError(f"{where}: {line!r} is no instruction and its value")
        instruction = start[1].lower()
        if instruction not in _KNOWN:
            raise ConfigError(
                f"{where}: {start[1]!r} is no instruction",
                hint=f"known: {', '.join(sorted(_KNOWN))}",
            )
        value, position = _value(text, start.end(), where)
        yield instruction, value


def _value(text: str, begin: int, where: str) -> tuple[str, int]:
    """A value, and where what follows its line begins."""
    for quote in _QUOTES:
        if text.startswith(quote, begin):
            begin += len(quote)
            close = text.find(quote, begin)
            if close < 0:
                raise ConfigError(f"{where}: the quotes {quote} are not closed")
            return text[begin:close], _end(text, close) + 1
    end = _end(text, begin)
    return text[begin:end].strip(), end + 1


def _end(text: str, begin: int) -> int:
    """Of the line."""
    found = text.find("\n", begin)
    return len(text) if found < 0 else found


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] == '"'
    return value[1:-1] if quoted else value
