"""Text that remembers which of its characters a caller wrote, through what a template does to it.

A template sees the caller's true text, so that it can look for a tag in it, cut it, or escape it.
Behind the rendering each character still tells whether it is the template's or the caller's.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, SupportsIndex

from markupsafe import Markup, escape

TEMPLATE, CALLER, UNSURE = 0, 1, 2
"""Who wrote a character. Unsure: a function that is not followed made the text of both."""

_PLACEHOLDER = re.compile("%(.)", re.DOTALL)


class Traced(str):
    """A text with the origin of each character.

    Methods that are not followed give plain text, which whoever calls them makes `unsure`.
    """

    origins: bytes

    def __new__(cls, text: str, origins: bytes | None = None) -> "Traced":
        made = super().__new__(cls, text)
        made.origins = bytes([CALLER]) * len(text) if origins is None else origins
        return made

    def __str__(self) -> str:
        return self

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        if isinstance(key, slice):
            return Traced(super().__getitem__(key), self.origins[key])
        one = super().__getitem__(key)  # raises for what is no number, as a text does
        return Traced(one, bytes([self.origins[key]]))

    def __iter__(self) -> Iterator[str]:
        return (self[at] for at in range(len(self)))

    def __add__(self, other: str) -> str:
        return joined((self, other)) if isinstance(other, str) else NotImplemented

    def __radd__(self, other: str) -> str:
        return joined((other, self)) if isinstance(other, str) else NotImplemented

    def __mul__(self, times: SupportsIndex) -> str:
        return Traced(super().__mul__(times), self.origins * times.__index__())

    __rmul__ = __mul__

    def __mod__(self, values: Any) -> str:
        return formatted(self, values)

    def __rmod__(self, form: str) -> str:
        return formatted(form, self)

    def strip(self, chars: str | None = None, /) -> str:
        return Traced.lstrip(self, chars).rstrip(chars)

    def lstrip(self, chars: str | None = None, /) -> "Traced":
        left = super().lstrip(chars)
        return Traced(left, self.origins[len(self) - len(left) :])

    def rstrip(self, chars: str | None = None, /) -> str:
        left = super().rstrip(chars)
        return Traced(left, self.origins[: len(left)])

    def removeprefix(self, prefix: str, /) -> str:
        return self[len(prefix) :] if prefix and self.startswith(prefix) else self

    def removesuffix(self, suffix: str, /) -> str:
        return self[: -len(suffix)] if suffix and self.endswith(suffix) else self

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return self._found(super().split(sep, maxsplit), len(sep or ""))

    def rsplit(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return self._found(super().rsplit(sep, maxsplit), len(sep or ""))

    def splitlines(self, keepends: bool = False) -> list[str]:
        whole = self._found(super().splitlines(True), 0)
        shown = super().splitlines(keepends)
        return [line[: len(text)] for line, text in zip(whole, shown, strict=True)]

    def partition(self, sep: str, /) -> tuple[str, str, str]:
        before, found, _ = super().partition(sep)
        middle = len(before) + len(found)
        return self[: len(before)], self[len(before) : middle], self[middle:]

    def rpartition(self, sep: str, /) -> tuple[str, str, str]:
        before, found, _ = super().rpartition(sep)
        middle = len(before) + len(found)
        return self[: len(before)], self[len(before) : middle], self[middle:]

    def replace(self, old: str, new: str, count: SupportsIndex = -1, /) -> str:
        if not old:
            return unsure(super().replace(old, new, count))
        parts = self.split(old, count)
        return Traced(new, origins_of(new)).join(parts)

    def join(self, parts: Iterable[str], /) -> str:
        made: list[str] = []
        for part in parts:
            made += [self, part] if made else [part]
        return joined(made)

    def upper(self) -> str:
        return self._changed(super().upper())

    def lower(self) -> str:
        return self._changed(super().lower())

    def title(self) -> str:
        return self._changed(super().title())

    def capitalize(self) -> str:
        return self._changed(super().capitalize())

    def _changed(self, text: str) -> str:
        """Character by character; a few have more than one in the other case."""
        return Traced(text, self.origins) if len(text) == len(self) else unsure(text)

    def _found(self, parts: Sequence[str], between: int) -> list[str]:
        """Parts of this text that follow each other in it, with their origins."""
        made, at = [], 0
        for part in parts:
            at = self.find(part, at)
            made.append(self[at : at + len(part)])
            at += len(part) + between
        return made


class TracedMarkup(Traced):
    """What the filter `safe` makes of a text: it escapes what is added to it, as Markup does."""

    def __add__(self, other: str) -> str:
        return self._markup((self, _escaped(other))) if isinstance(other, str) else NotImplemented

    def __radd__(self, other: str) -> str:
        return self._markup((_escaped(other), self)) if isinstance(other, str) else NotImplemented

    @staticmethod
    def _markup(parts: Iterable[str]) -> str:
        made = joined(parts)
        return TracedMarkup(made, origins_of(made))


def _escaped(text: str) -> str:
    """The text as HTML writes it, each character of it with its origin."""
    if isinstance(text, TracedMarkup | Markup):
        return text
    written = [str(escape(each)) for each in plain(text)]
    origins = zip(written, origins_of(text), strict=True)
    return Traced("".join(written), b"".join(bytes([one]) * len(w) for w, one in origins))


def plain(text: str) -> str:
    """The same text, which remembers nothing."""
    return str.__getitem__(text, slice(None))


def origins_of(text: str) -> bytes:
    """One number for each character; of what remembers nothing the template's."""
    return text.origins if isinstance(text, Traced) else bytes(len(text))


def unsure(text: str) -> Traced:
    """A text that was made in a way that is not followed."""
    return Traced(text, bytes([UNSURE]) * len(text))


def joined(parts: Iterable[Any]) -> str:
    """The parts as one text, as `"".join(map(str, parts))`."""
    texts = [part if isinstance(part, str) else as_text(part) for part in parts]
    whole = "".join(texts)
    if not any(isinstance(text, Traced) for text in texts):
        return whole
    return Traced(whole, b"".join(map(origins_of, texts)))


def as_text(value: Any) -> str:
    """As `str(value)`: a list or an object with a caller's text in it is the caller's."""
    made = str(value)
    return Traced(made) if not isinstance(value, str) and holds_traced(value) else made


def formatted(form: str, values: Any) -> str:
    """As `form % values`; followed where the form has no more than %s in it."""
    whole = str.__mod__(form, values)
    if not holds_traced(form) and not holds_traced(values):
        return whole
    given = list(values) if isinstance(values, tuple) else [values]
    if {kind.group(1) for kind in _PLACEHOLDER.finditer(form)} - {"s"}:
        return unsure(whole)
    first, *others = Traced(form, origins_of(form)).split("%s")
    made = joined([first, *chain.from_iterable(zip(given, others, strict=False))])
    return made if made == whole else unsure(whole)


def holds_traced(value: Any) -> bool:
    """Whether a value is a caller's text, or an object or list with one in it."""
    if isinstance(value, str):
        return isinstance(value, Traced)
    if isinstance(value, Mapping):
        return any(holds_traced(k) or holds_traced(v) for k, v in value.items())
    return isinstance(value, list | tuple) and any(map(holds_traced, value))


def traced(value: Any) -> Any:
    """The value with each of its texts as a caller's, unless it says already whose it is."""
    if isinstance(value, str):
        return value if isinstance(value, Traced) else Traced(value)
    if isinstance(value, list):
        return [traced(each) for each in value]
    if isinstance(value, dict):
        return {traced(k): traced(v) for k, v in value.items()}
    return value
