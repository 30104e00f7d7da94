"""The number that a written answer gives, by a small grammar that refuses rather than guesses.

    number     5, 0.5, .5, 2,5 (a decimal comma), 1,234.5, 1/2, 1 1/2, ½; with its unit or without
    unclear    a range (3-5, 3 to 5, between 3 and 5), a bound (at least 5, 5+), a share (3 of 5), a
               list or a sum (3, 5; 3 + 5), what may be thousands (1,000), what is denied (not 5)
    other      what counts something else: 3 days, 2 parts, 10%, $5
    name       the numbering of a list (1. 2.), step 2, #7, v1.2.3, 2024-05-01, 10:30

A name is passed over, and so is an other where there is anything else. The answer is the number
that the text begins with, else the one that it states ("estimate: 5"), else the only one.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from gateway.tasks import number_forms as forms

_Kind = Literal["number", "unclear", "other", "name"]

_LONGEST = 40
"""Characters of a clump that may be a number."""
_LOOKED_BACK = 80
"""Characters before a number that are searched for what it is."""
_DENIED = "is denied"
_OF_A_NAME = "may be a part of a name"
_EACH = "is for each of several"
_WORD = re.compile(r"\s*(\S+)")
_LOWERCASE = re.compile(r"[ \t]*([a-z]\S*|[A-Z]{2,4}s?\b)")


class Unclear(Exception):
    """No number can be read; the message says why."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A number, or what looks like one, and where it stands."""

    start: int
    end: int
    kind: _Kind
    value: float = 0.0
    what: str = ""
    """Why an unclear one is, or what an other one counts."""


def read_number(
    text: str, *, cut: bool = False, begun: bool = False, units: str = ""
) -> float | None:
    """The number that a text gives; None where there is none in it.

    Args:
        cut: the text ran into a limit, so that its last number may be the beginning of another.
        begun: the text goes on in a line that a prompt has begun, so that no list begins with it.
        units: text that names the units of the answer, whatever else the grammar holds of them.

    Raises:
        Unclear: it can be read in two ways, or gives several.
    """
    text = forms.plain(text)
    found = [f for f in _scan(text, units) if f.kind != "name"]
    last = found[-1] if found else None
    if cut and last and last.kind == "number" and forms.MAY_GO_ON.fullmatch(text, last.end):
        found[-1] = replace(last, kind="unclear", what="may be cut")
    first = found[0] if found and _begins(text, found[0]) else None
    stated = [f for f in found if f.kind != "other" and _is_stated(text, f)]
    if first and first.kind == "number":
        numbering = _may_number(text, first)
        if numbering and not begun:
            raise Unclear(f"{_shown(text, first)} may be the first of a list")
        others = stated if numbering else _rivals(text, found)
        if not begun:
            others += [f for f in stated if _before(forms.A_LINE_STATES, text, f)]
        return _only(text, [_counting(first, text, _LOWERCASE, units), *others])
    if stated:
        return _only(text, stated)
    if cut and any(f.kind == "number" for f in found):
        raise Unclear("the answer was cut before it gave a number")
    alone = [_alone(f, text, units) for f in found if f.kind != "other"]
    return _only(text, _without_counts(text, alone) or found)


def _is_stated(text: str, found: _Found) -> bool:
    """Whether it is given as the answer, and not as what somebody estimated before."""
    stated = _before(forms.STATED, text, found)
    return bool(stated) and not _before(forms.FORMERLY, text, found)


def _may_number(text: str, first: _Found) -> bool:
    """Whether the number that a text begins with may be that of a list's item."""
    if forms.ITEM.match(text, first.end) is None:
        return False
    if first.value == 1 or _is_bracketed(text, first):
        return True
    whole = text[first.start : first.end].isdigit()
    return whole and forms.EXPLAINED.match(text, first.end) is None


def _without_counts(text: str, found: Sequence[_Found]) -> Sequence[_Found]:
    """Without what counts something or is a part of a name, where others have the answer's unit."""
    if not any(f.kind == "number" and forms.OWN_UNIT.match(text, f.end) for f in found):
        return found
    return [f for f in found if f.kind != "other" and f.what != _OF_A_NAME]


def _rivals(text: str, found: Sequence[_Found]) -> list[_Found]:
    """Of the numbers behind the first, which the text begins with, those that it may mean instead:
    a line of their own, and in the first line what is an alternative or has the unit too."""
    last = text.find("\n", found[0].end)
    rivals = []
    for before, each in pairwise(found):
        near = text[before.end : each.start] if before.start == found[0].start else None
        beside = each.start < last or last < 0
        alternative = beside and _is_alternative(text, each, near)
        again = _is_a_line(text, each) or _before(forms.CORRECTED, text, each)
        if (again or alternative) and each.kind != "other" and each.what != _DENIED:
            rivals.append(each)
    return rivals


def _is_a_line(text: str, found: _Found) -> bool:
    """Whether a line gives it and nothing else, its unit apart."""
    start, end = text.rfind("\n", 0, found.start) + 1, text.find("\n", found.end)
    behind = forms.OWN_UNIT.match(text, found.end)
    rest = text[behind.end() if behind else found.end : len(text) if end < 0 else end]
    return not (text[start : found.start] + rest).strip(" \t\r.,;:!-•()[]\"'")


def _is_alternative(text: str, found: _Found, near: str | None) -> bool:
    """Whether it may be the answer in the place of one that its line begins with.

    Args:
        near: what stands between the two; None: other numbers do.
    """
    if forms.OWN_UNIT.match(text, found.end) or forms.CONDITION.match(text, found.end):
        return True
    if near is not None and not near.strip(" \t.…"):
        return True
    return bool(_before(forms.ALTERNATIVE, text, found))


def _counting(found: _Found, text: str, words: re.Pattern[str], units: str) -> _Found:
    """The same, or what it counts where one of such words stands behind it: "1 module"."""
    joined = text[found.start : found.end][-1:].isalpha()
    if found.kind != "number" or joined or forms.FREE.match(text, found.end):
        return found
    word = words.match(text, found.end)
    if word is None or _names(units, word[1]):
        return found
    return replace(found, kind="other", what=word[1])


def _alone(found: _Found, text: str, units: str) -> _Found:
    """A number that is no answer by its place must not count anything, nor be a part of a name."""
    counting = _counting(found, text, _WORD, units)
    named = counting.kind == "number" and not forms.OWN_UNIT.match(text, found.end)
    if named and not _before(forms.LEADS, text, found):
        return replace(found, kind="unclear", what=_OF_A_NAME)
    return counting


def _begins(text: str, found: _Found) -> bool:
    """Whether nothing stands before it that says anything, and nothing is said of it as of a thing:
    "1 is trivial, 2 is small"."""
    if forms.SUBJECT.match(text, found.end):
        return False
    before = " ".join(text[: found.start].split()) + " "
    return len(before) <= _LOOKED_BACK and forms.BEGINNING.fullmatch(before) is not None


def _only(text: str, found: Sequence[_Found]) -> float | None:
    """The value that all of them have; None where there are none."""
    for each in found:
        if each.kind == "other":
            raise Unclear(f"{_shown(text, each)} counts {each.what!r}")
        if each.kind == "unclear":
            raise Unclear(f"{_shown(text, each)} {each.what}")
    values = sorted({each.value for each in found})
    if len(values) > 1:
        raise Unclear(f"the answer gives several numbers: {', '.join(f'{v:g}' for v in values)}")
    return values[0] if values else None


def _scan(text: str, units: str) -> list[_Found]:
    """All that looks like a number, in order."""
    found = [_in_context(each, text, units) for each in _joined(_clumps(text), text)]
    listed = _numbering(found, text)
    return [replace(f, kind="name") if f.start in listed else f for f in found]


def _clumps(text: str) -> list[_Found]:
    return [_classified(c.group(), c.start(), c.end()) for c in forms.CLUMP.finditer(text)]


def _classified(clump: str, start: int, end: int) -> _Found:
    """What a clump is by itself."""
    if len(clump) > _LONGEST:
        return _Found(start, end, "unclear", what="is not one plain number")
    sign = -1.0 if clump[0] in "-−–" else 1.0
    body = clump.lstrip("-−–+")
    if (value := _value(body)) is not None:
        return _Found(start, end, "number", sign * value + 0.0)
    if forms.COMMA.fullmatch(body):
        return _Found(start, end, "unclear", what="has a comma for thousands or for decimals")
    if forms.NAME.fullmatch(body):
        return _Found(start, end, "name")
    if forms.RANGE.fullmatch(body):
        return _Found(start, end, "unclear", what="is a range")
    if (joined := forms.WITH_UNIT.fullmatch(body)) is not None:
        return _measured(joined, start, end, sign)
    kind: _Kind = "name" if re.search(r"[^\W\d_]", body) else "unclear"
    return _Found(start, end, kind, what="is not one plain number")


def _measured(joined: re.Match[str], start: int, end: int, sign: float) -> _Found:
    """A number with its unit joined to it: "5pts", "3h", "2-day", "10%", "2nd"."""
    value, unit = _value(joined["number"]), joined["unit"]
    if value is None or forms.ORDINAL.fullmatch(unit) or any(map(str.isdigit, unit)):
        return _Found(start, end, "name")
    if forms.OWN_UNIT.fullmatch(unit):
        return _Found(start, end, "number", sign * value)
    return _Found(start, end, "other", sign * value, unit)


def _value(body: str) -> float | None:
    """Of digits without a sign; None where they can be read in two ways, or in none."""
    if forms.PLAIN.fullmatch(body):
        return float(body)
    if (comma := forms.COMMA.fullmatch(body)) is not None:
        whole, decimals = comma.groups()
        thousands = len(decimals) == 3 and len(whole) <= 3 and whole[0] != "0"
        return None if thousands else float(f"{whole}.{decimals}")
    if forms.GROUPED.fullmatch(body):
        return float(body.replace(",", ""))
    if forms.GROUPED_BY_DOTS.fullmatch(body):
        return float(body.replace(".", "").replace(",", "."))
    if (mixed := forms.MIXED.fullmatch(body)) is not None:
        return float(mixed[1] or 0) + forms.VULGAR[mixed[2]]
    return forms.FRACTIONS.get(body)


def _joined(found: Sequence[_Found], text: str) -> Iterator[_Found]:
    """Two that are one: "3 to 5", "3 of 5", "1 1/2"."""
    waiting: _Found | None = None
    for each in found:
        if waiting is not None:
            one = _pair(waiting, each, text)
            if one is None:
                yield waiting
            each = one or each
        waiting = each
    if waiting is not None:
        yield waiting


def _pair(a: _Found, b: _Found, text: str) -> _Found | None:
    between = text[a.end : b.start]
    fraction = text[b.start : b.end] in forms.FRACTIONS or text[b.start : b.end] in forms.VULGAR
    if between == " " and a.value == int(a.value) and fraction:
        return replace(b, start=a.start, value=a.value + b.value)
    if "name" in (a.kind, b.kind) or (a.kind == b.kind == "number" and a.value == b.value):
        return None
    two = forms.AND.fullmatch(between) and _before(forms.BETWEEN, text, a)
    if two or forms.TO.fullmatch(between):
        return _Found(a.start, b.end, "unclear", what="is a range")
    if forms.EACH_OF.fullmatch(between) and forms.OWN_UNIT.match(text, b.end):
        return _Found(a.start, b.end, "unclear", what=_EACH)
    if forms.OF.fullmatch(between):
        return _Found(a.start, b.end, "unclear", what="is a share")
    if forms.LIST.fullmatch(between) and not _apart(a, b, text):
        return _Found(a.start, b.end, "unclear", what="is a list or a sum")
    if not between.strip(" \t"):
        return _Found(a.start, b.end, "unclear", what="is two numbers, or one with a space in it")
    return None


def _apart(a: _Found, b: _Found, text: str) -> bool:
    """Whether one of two with a comma between has the answer's unit, and the other is something
    else: "5 points, 2 days", "priority 1, 3 points"."""
    if text[a.end : b.start].strip(" \t")[-1:] not in (",", ";"):
        return False
    own = [forms.OWN_UNIT.match(text, each.end) is not None for each in (a, b)]
    if own == [True, False]:
        return bool(_other_unit(text, b.end))
    return own == [False, True] and bool(_before(forms.NAMED, text, a))


def _in_context(found: _Found, text: str, units: str) -> _Found:
    """What the words around say that it is."""
    if found.kind == "other":
        return replace(found, kind="number") if _names(units, found.what) else found
    own = forms.OWN_UNIT.match(text, found.end) is not None
    named = _before(forms.NAMED, text, found) or forms.OF_A_MONTH.match(text, found.end)
    if found.kind == "name" or (not own and named):
        return replace(found, kind="name")
    if unit := _before(forms.MONEY, text, found) or ("" if own else _other_unit(text, found.end)):
        return found if _names(units, unit) else replace(found, kind="other", what=unit)
    if _before(forms.DENIED, text, found) or forms.DENIED_BEHIND.match(text, found.end):
        return replace(found, kind="unclear", what=_DENIED)
    if _before(forms.BOUND_BEFORE, text, found) or forms.BOUND_BEHIND.match(text, found.end):
        return replace(found, kind="unclear", what="is a bound")
    if forms.SHARED.match(text, found.end) or _before(forms.WORD_OF_EACH, text, found):
        return replace(found, kind="unclear", what=_EACH)
    if _before(forms.WORD_BEFORE, text, found) or forms.WORD_BEHIND.match(text, found.end):
        return replace(found, kind="unclear", what="goes with a number in words")
    return found


def _other_unit(text: str, end: int) -> str:
    """What is counted, by the words behind a number; empty: nothing else."""
    behind = forms.OTHER_UNIT.match(text, end)
    return "" if behind is None or forms.NO_PLURAL.fullmatch(behind[1]) else behind[1]


def _names(units: str, unit: str) -> bool:
    """Whether a text names a unit, in the singular or the plural."""
    words = re.findall(r"[^\W\d_]+|[^\w\s]", units.casefold())
    return unit.casefold().removesuffix("s") in {word.removesuffix("s") for word in words}


def _numbering(found: Sequence[_Found], text: str) -> set[int]:
    """Where the numbers of a list stand: 1, 2 and so on, each at the beginning of an item."""
    marks: list[_Found] = []
    for each in found:
        answers = marks and _before(forms.STATED, text, each)
        if each.value == len(marks) + 1 and _is_numbering(text, each) and not answers:
            marks.append(each)
    if len(marks) > 1:
        return {mark.start for mark in marks}
    pairs = [(a, b) for a, b in pairwise(found) if not text[a.end : b.start].strip(" .)")]
    # "1. 1" may be the beginning of "1. 1, 2. 2".
    numbered = [a for a, b in pairs if a.value != b.value]
    return {m.start for m in marks if m in numbered or _is_bracketed(text, m)}


def _is_numbering(text: str, found: _Found) -> bool:
    """Whether it may number an item of a list: "1. Read", "2) Write"."""
    plain = found.kind == "number" and text[found.start : found.end].isdigit()
    if not plain or forms.NUMBERING.match(text, found.end) is None:
        return False
    return _is_bracketed(text, found) or bool(_before(forms.AT_A_SENTENCE, text, found))


def _is_bracketed(text: str, found: _Found) -> bool:
    """As in "2) Write"; "(2)" is as well an answer."""
    return text[found.end] == ")" and text[found.start - 1 : found.start].strip() == ""


def _before(pattern: re.Pattern[str], text: str, found: _Found) -> str:
    """What the pattern matches at the end of what stands before; empty: nothing."""
    near = text[max(0, found.start - _LOOKED_BACK) : found.start]
    match = pattern.search(near)
    return match[0].strip() or " " if match else ""


def _shown(text: str, found: _Found) -> str:
    part = " ".join(text[found.start : found.end].split())
    return repr(part if len(part) <= 40 else part[:39] + "…")
