"""Enforced calls as a grammar, so that an answer can be held to them: what Lark is, as llguidance
reads it.

Texts that may be control tokens stand in rules of their own, `mark0` and so on, and a value that
ends with such a text in a rule `until0`. Who knows the vocabulary puts the tokens there
(`with_tokens`).
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gateway.models.families.calls import Objects, Syntax, Tags
from gateway.models.families.markup import MARKUP
from gateway.models.families.values import kinds_of

Function = tuple[str, Mapping[str, Any]]
"""The name of a tool, and the schema of its arguments, an object."""

_ONE_LINE = {
    "x-guidance": {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
}
"""JSON as `json.dumps` writes it."""

_NUMBER = re.compile(r"\{(\d)\}")
_MARK = re.compile(r'^mark(\d+): (".*")$', re.MULTILINE)
_UNTIL = re.compile(r"^until(\d+)\[lazy\]: .*$", re.MULTILINE)
_LINES = re.compile(r"\n+|[^\n]+")
_ANYTHING = "anything: /(?s:.+)/"


def begun(syntax: Syntax, functions: Sequence[Function]) -> str:
    """How an answer begins that is a call of one of the functions."""
    head, _, behind = _numbered(syntax.before, 0).partition("{}")
    name = f"{functions[0][0]}{behind}" if len(functions) == 1 else ""
    return f"{syntax.around[0]}{head}{name}"


def unreadable(syntax: Syntax, functions: Sequence[Function]) -> str:
    """The first property that would not be read back from a call in this syntax, whose key is
    written between tags; empty: all would."""
    if syntax.tags is None:
        return ""
    for key in (key for _, schema in functions for key in schema.get("properties") or ()):
        found = syntax.read(_call_with(key, syntax, syntax.tags), {})
        if [set(call.arguments) for call in found] != [{key}]:
            return str(key)
    return ""


def _call_with(key: str, syntax: Syntax, tags: Tags) -> str:
    """A call of some function with one argument."""
    kind = tags.kinds.get("string", tags.kinds.get("", ""))
    value = _quoted("a") if tags.quoted else "a"
    argument = f"{tags.before}{key}{tags.middle.replace('{}', kind)}{value}{tags.behind}"
    return begun(syntax, [("f", {})]) + argument + syntax.ends + syntax.around[1]


def of_calls(syntax: Syntax, functions: Sequence[Function], most: int = 1) -> str:
    """Lets out just calls of the functions, behind what `begun` says: the name where there are
    several, arguments in the order of the schema, and what ends a call.

    Args:
        most: how many calls.
    """
    rules = _Rules()
    names = [name for name, _ in functions]
    arguments = [rules.arguments(f"a{n}", f[1], syntax.tags) for n, f in enumerate(functions)]
    is_ended = most > 1 or syntax.tags is not None
    ends, tail = (rules.text(syntax.ends), rules.text(syntax.around[1])) if is_ended else ([], [])

    def call(number: int) -> str:
        """One of the functions, behind what stands before its name."""
        behind = rules.text(_numbered(syntax.before, number).partition("{}")[2])
        return rules.choice(
            [[*_given(n), *behind, *a] for n, a in zip(names, arguments, strict=True)]
        )

    more: list[str] = []
    for number in range(most - 1, 0, -1):
        head = _numbered(syntax.before, number).partition("{}")[0]
        before = rules.text(f"{syntax.between}{head}")
        rules.add(f"more{number}", [*before, call(number), *ends, *more])
        more = [f"more{number}?"]
    first = arguments[0] if len(functions) == 1 else [call(0)]
    return rules.lark([*first, *ends, *more, *tail])


def of_objects(syntax: Syntax, objects: Objects, schema: Mapping[str, Any], most: int) -> str:
    """Lets out just objects of a schema that are calls, behind the start of the first one.

    Args:
        most: how many.
    """
    rules = _Rules()
    rules.add("call", [rules.value(schema)])
    ends = rules.text(syntax.ends)
    rules.add("more", [*rules.text(f"{syntax.between}{objects.start}"), "call", *ends])
    return rules.lark(["call", *ends, f"more{{0,{most - 1}}}"])


def with_tokens(lark: str, token_of: Callable[[str], int | None]) -> str:
    """The grammar with control tokens in it, instead of what they spell.

    Args:
        token_of: the id of the control token of a text; None: there is none.
    """
    texts = {number: json.loads(text) for number, text in _MARK.findall(lark)}
    ids = {number: token_of(text) for number, text in texts.items()}

    def mark(found: re.Match[str]) -> str:
        known = ids[found[1]]
        return found[0] if known is None else f"mark{found[1]}: <[{known}]>"

    def until(found: re.Match[str]) -> str:
        known = ids[found[1]]
        return found[0] if known is None else f"until{found[1]}: anything? mark{found[1]}"

    made = _UNTIL.sub(until, _MARK.sub(mark, lark))
    return f"{made}\n{_ANYTHING}" if made != lark else lark


class _Rules:
    """Rules of a grammar as they are needed."""

    def __init__(self) -> None:
        self._bodies: dict[str, str] = {}
        self._marks: dict[str, int] = {}

    def lark(self, start: Sequence[str]) -> str:
        """The grammar of these rules that begins so."""
        lines = [f"{name}: {body}" for name, body in self._bodies.items()]
        return "\n".join([f"start: {' '.join(start)}", *lines])

    def add(self, name: str, parts: Sequence[str]) -> None:
        self._bodies[name] = " ".join(parts)

    def choice(self, options: Sequence[Sequence[str]]) -> str:
        """The rule of one of these."""
        body = " | ".join(" ".join(option) for option in options)
        known = (name for name, other in self._bodies.items() if other == body)
        name = next(known, f"c{len(self._bodies)}")
        self.add(name, [body])
        return name

    def text(self, text: str) -> list[str]:
        """Just this text, which is the family's own."""
        return [self._mark(part) if mark else _quoted(part) for part, mark in _parts(text)]

    def _mark(self, text: str) -> str:
        number = self._marks.setdefault(text, len(self._marks))
        self._bodies[f"mark{number}"] = _quoted(text)
        return f"mark{number}"

    def value(self, schema: Mapping[str, Any]) -> str:
        """JSON of a schema."""
        return f"%json {json.dumps({**schema, **_ONE_LINE})}"

    def arguments(self, name: str, schema: Mapping[str, Any], tags: Tags | None) -> list[str]:
        """An object of JSON; or its properties one by one, each between tags."""
        if tags is None:
            self.add(f"{name}v", [self.value(schema)])
            return [f"{name}v"]
        properties = schema.get("properties") or {}
        needed = set(schema.get("required") or ())
        shared = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
        parts = []
        for number, (key, kind) in enumerate(properties.items()):
            told = {**kind, **shared} if isinstance(kind, dict) else shared
            self.add(f"{name}p{number}", self._argument(f"{name}v{number}", key, told, tags))
            parts.append(f"{name}p{number}" if key in needed else f"{name}p{number}?")
        return parts

    def _argument(self, name: str, key: str, schema: Mapping[str, Any], tags: Tags) -> list[str]:
        kinds = kinds_of(schema, schema)
        is_text = not tags.quoted and kinds <= {"string"}
        known = [kind for kind in tags.kinds if kind in kinds]
        written = "string" if is_text else known[0] if known else ""
        middle = tags.middle.replace("{}", tags.kinds.get(written, tags.kinds.get("", "")))
        opened = [*self.text(tags.before), *_given(key), *self.text(middle)]
        choices = schema.get("enum")
        if is_text and choices and all(isinstance(each, str) for each in choices):
            words = " | ".join(map(_quoted, choices))
            return [*opened, f"({words})", *self.text(tags.behind)]
        if is_text:
            return [*opened, *self._until(tags.behind)]
        self.add(name, [self.value(schema)])
        return [*opened, name, *self.text(tags.behind)]

    def _until(self, text: str) -> list[str]:
        """A text as short as it can be: it ends at the first of these."""
        (first, _), *rest = _whole_parts(text)
        number = self._mark(first).removeprefix("mark")
        self._bodies[f"until{number}[lazy]"] = f"/(?s:.*){_pattern(first)}/"
        return [f"until{number}", *self.text("".join(part for part, _ in rest))]


def _numbered(text: str, position: int) -> str:
    """With the number of a call in it, that is counted from the digit that stands there."""
    return _NUMBER.sub(lambda found: str(int(found[1]) + position), text)


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    """The parts of a text, and whether each may be a control token. A line's end is a part of its
    own: what begins another call or ends them all differs behind it, and no lexer goes back."""
    at = 0
    for found in MARKUP.finditer(text):
        yield from ((part, False) for part in _LINES.findall(text[at : found.start()]))
        yield found.group(), True
        at = found.end()
    yield from ((part, False) for part in _LINES.findall(text[at:]))


def _whole_parts(text: str) -> list[tuple[str, bool]]:
    """The same, where what stands before the first that may be a token belongs to it."""
    parts = list(_parts(text))
    if len(parts) > 1 and not parts[0][1]:
        return [(parts[0][0] + parts[1][0], False), *parts[2:]]
    return parts


def _given(text: str) -> list[str]:
    """Just this text of a caller's, in which nothing is a control token."""
    return [_quoted(text)] if text else []


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _pattern(text: str) -> str:
    """Matches the text."""
    return re.escape(text).replace("/", r"\/").replace("\n", "n")
