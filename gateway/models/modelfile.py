"""Ollama's Modelfile: reading one.

Grammar: Ollama's `parser/parser.go`. A line is an instruction, in any case, and its value; a value
that begins with a quote, single or triple, goes on to the next line that ends with it; # begins a
comment line.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gateway.core.errors import ConfigError

_OTHERS = {"message", "renderer", "parser", "requires", "draft"}
_KNOWN = {"from", "adapter", "template", "system", "parameter", "license", *_OTHERS}
_NAMED = ("parameter", "message")
_LINE = re.compile(r"\s*(?P<instruction>[A-Za-z]+)[ \t](?P<value>.*)", re.DOTALL)
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
    instructions = list(_instructions(text))
    last = {instruction: value for instruction, _, value in instructions}
    if not last.get("from"):
        raise ConfigError("a Modelfile needs a line FROM", hint="FROM ./model.gguf")
    return Modelfile(
        source=last["from"],
        adapters=tuple(value for each, _, value in instructions if each == "adapter"),
        template=last.get("template", ""),
        system=last.get("system", ""),
        parameters=tuple(
            (name, value) for each, name, value in instructions if each == "parameter"
        ),
        others=tuple(sorted(_OTHERS & last.keys())),
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


def _instructions(text: str) -> Iterator[tuple[str, str, str]]:
    """Instruction in small letters, the name of its parameter or role, and value."""
    text = re.sub("\r\n?", "\n", text.removeprefix("\ufeff"))
    lines = iter(enumerate(text.split("\n"), 1))
    for number, line in lines:
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        start = _LINE.fullmatch(line)
        if start is None:
            raise ConfigError(f"line {number}: {bare!r} is no instruction and its value")
        instruction = start["instruction"].lower()
        if instruction not in _KNOWN:
            raise ConfigError(
                f"line {number}: {start['instruction']!r} is no instruction",
                hint=f"known: {', '.join(sorted(_KNOWN))}",
            )
        name, value = "", start["value"]
        if instruction in _NAMED:
            # Space at the end may stand in quotes that are still open.
            name, _, value = value.lstrip().partition(" ")
            if not value.strip():
                raise ConfigError(f"line {number}: {bare!r} has no value")
        while (whole := _unquoted(value.strip())) is None:
            following = next(lines, None)
            if following is None:
                raise ConfigError(f"line {number}: the quotes are not closed")
            value += "\n" + following[1]
        yield instruction, name, whole


def _unquoted(value: str) -> str | None:
    """A value without the quotes around it; None where they are open at its end."""
    for quote in _QUOTES:
        if value.startswith(quote):
            closed = len(value) >= 2 * len(quote) and value.endswith(quote)
            return value[len(quote) : -len(quote)] if closed else None
    return value
