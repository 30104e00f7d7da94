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

_Kind = Literal["number", "unclear", "other", "name"]

_VULGAR = {"½": 1 / 2, "¼": 1 / 4, "¾": 3 / 4, "⅓": 1 / 3, "⅔": 2 / 3, "⅛": 1 / 8}
_FRACTIONS = {"1/2": 1 / 2, "1/4": 1 / 4, "3/4": 3 / 4, "1/3": 1 / 3, "2/3": 2 / 3}
"""Others are as well a share ("8/10") or a date."""
_V = "".join(_VULGAR)
_OWN = r"(?:story[ \t-]*)?(?:points?|pts?|sp)"

_CLUMP = re.compile(
    rf"(?<![\w.,/+#@\\^-])[-−–+]?\.?[0-9{_V}]"
    rf"(?:[\w{_V}]|[-.,/:+*=^'’–—…]{{1,3}}(?=\.?[0-9{_V}])|[-/](?=[A-Za-z]))*%?"
)
"""Digits and what is joined to them."""
_PLAIN = re.compile(r"(?:[0-9]{1,12}(?:\.[0-9]{1,12})?|\.[0-9]{1,12})")
_COMMA = re.compile(r"([0-9]{1,12}),([0-9]{1,12})")
_GROUPED = re.compile(r"[0-9]{1,3}(?:(?:,[0-9]{3}){1,3}\.[0-9]{1,12}|(?:,[0-9]{3}){2,3})")
_GROUPED_BY_DOTS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{3}){1,3},[0-9]{1,12}")
_MIXED = re.compile(rf"([0-9]{{0,4}})([{_V}])")
_WITH_UNIT = re.compile(rf"(?P<number>[0-9.,/{_V}]+)-?(?P<unit>%|[^\W\d_].*)", re.DOTALL)
_RANGE = re.compile(rf"[0-9.,/{_V}]+?(?:[-–—]|\.\.+|…)[0-9.,/{_V}]+")
_NAME = re.compile(
    r"[0-9]{1,4}([-/.])[0-9]{1,2}\1[0-9]{1,4}.*|[0-9]+(?:\.[0-9]+){2,}|[0-9]+(?::[0-9]+)+.*",
    re.DOTALL,
)
_ORDINAL = re.compile("st|nd|rd|th")

_SPACE = r"[ \t]*"
_TO = re.compile(
    rf"{_SPACE}(?:[-–—~]|(?:\w+[ \t]+)?(?:to|or|until|through)"
    rf"(?:[ \t]+(?:even|maybe|perhaps|rather))?){_SPACE}",
    re.IGNORECASE,
)
_AND = re.compile(rf"{_SPACE}(?:\w+[ \t]+)?and{_SPACE}", re.IGNORECASE)
_LIST = re.compile(rf"{_SPACE}(?:[,;&+*×x=/^]|and){_SPACE}", re.IGNORECASE)
_OF = re.compile(rf"{_SPACE}(?:out[ \t]+)?of{_SPACE}", re.IGNORECASE)
_BETWEEN = re.compile(rf"\bbetween{_SPACE}$", re.IGNORECASE)
_BOUND_BEFORE = re.compile(
    r"(?:\b(?:at least|at most|up to|(?:more|less|fewer|greater|higher|lower|bigger) than"
    rf"|over|under|above|below|beyond|exceeds?|minimum(?: of)?|maximum(?: of)?)|[<>≤≥]=?){_SPACE}$",
    re.IGNORECASE,
)
_BOUND_BEHIND = re.compile(
    rf"\+(?!\w)|{_SPACE}(?:{_OWN}{_SPACE})?(?:or|and){_SPACE}"
    r"(?:more|less|fewer|up|above|below|higher|lower|greater|over|under)\b",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"(?:\b(?:not|never|cannot be|minus|negative|instead of|rather than)|n['’]t(?: be)?)"
    rf"(?:[ \t]+(?:an?|the))?{_SPACE}$",
    re.IGNORECASE,
)
_DENIED_BEHIND = re.compile(
    r"[ \t]+(?:(?:is|are|was|would|does|can)[ \t]*not|(?:is|are|was|would|does|ca)n['’]t)\b",
    re.IGNORECASE,
)
_NAMED = re.compile(
    r"\b(?:step|option|part|phase|version|sprint|issue|ticket|task|item|page|line|section|chapter"
    r"|figure|question|example|stage|day|week|case|level|priority|bug|story|no\.|nr\.)[ \t]+$",
    re.IGNORECASE,
)
_MONEY = re.compile(rf"[$€£¥]{_SPACE}$")

_OWN_UNIT = re.compile(rf"[ \t-]*{_OWN}\b", re.IGNORECASE)
_OTHER_UNIT = re.compile(
    r"[ \t-]*(?:(?:working|business|calendar|full|whole|half|more|other|different|additional|extra"
    r"|new|small|separate|main|person|man|engineering|developer)[ \t-]+)?"
    r"(%|€|[$]|(?:percent|second|sec|minute|min|hour|hr|day|week|wk|month|year|sprint|people|person"
    r"|developer|engineer|tester|time|line|file|dollar|euro|step|part|thing)s?\b|\w*[a-z]{2}s\b)"
)
"""Known units, and any word in the plural, which is what is counted."""
_NO_PLURAL = re.compile(
    r"(?:is|was|has|does|this|thus|its|as|us|plus|minus|less|unless|because|perhaps|always|besides"
    r"|seems|looks|sounds|feels|means|makes|takes|needs|requires|reflects|represents|indicates|fits"
    r"|suggests|suits|gives|works|appears|includes|allows|covers|assumes|shows|says|comes|goes)"
)

_FILLER = (
    r"(?:(?:about|around|approximately|approx\.?|roughly|circa|ca\.|just|only|exactly|a|an)\s+)*"
)
_MARKS = "[\\s*_`\"'“”‘’.,:;!()\\[\\]{}~≈|>-]*"
_SUBJECT = re.compile(rf"{_SPACE}(?:[:=]|(?:is|are|was|means?)\b)")
_FREE = re.compile(
    rf"{_SPACE}(?:$|[^\w\s]|\n|{_OWN}\b|(?:because|since|as|for|due|given|is|was|would|should|could"
    r"|may|might|seems|in|on|at|with|from|by|based|considering|assuming|which|that|so|if|when"
    r"|though|although|and|or|but|to|overall|total|out|here|rather|instead|too|then|the|it|i)\b)",
    re.IGNORECASE,
)
"""What may stand behind a number that counts nothing."""
_BEGINNING = re.compile(rf"{_MARKS}{_FILLER}[\s\"'“(\[~≈]*", re.IGNORECASE)
_STATED = re.compile(
    r"\b(?:answer|label|category|class|intent|type|estimate[ds]?|estimation|effort|points?|number"
    r"|score|rating)\s*(?:\)\s*)?(?:is|was|are|be|at|:|=)"
    rf"{_MARKS}{_FILLER}[\s\"'“(\[~≈]*$",
    re.IGNORECASE,
)
_NUMBERING = re.compile(r"[.)](?:[ \t]+(?=\S)|[ \t]*\n)")
_CORRECTED = re.compile(
    r"\b(?:correct(?:ed|ion)|actually|rather|instead|make (?:it|that)|i mean|no)\b[\s,:]*$",
    re.IGNORECASE,
)
_ITEM = re.compile(r"[.)][ \t]+\S")
_AT_A_SENTENCE = re.compile(r"(?:^|[\n.!?:;])[ \t(>#-]*$")
_MAY_GO_ON = re.compile(rf"{_SPACE}(?:[-.,/:–—+]|t|to|o|or)?{_SPACE}")
_LONGEST = 40
"""Characters of a clump that may be a number."""
_LOOKED_BACK = 80
"""Characters before a number that are searched for what it is."""
_EMPHASIS = re.compile(r"[*`\u00a0\u2009\u202f\u200b]|(?<![^\W_])_|_(?![^\W_])")


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
    text = _EMPHASIS.sub(" ", text)
    found = [f for f in _scan(text, units) if f.kind != "name"]
    if cut and found and found[-1].kind == "number" and _MAY_GO_ON.fullmatch(text, found[-1].end):
        found[-1] = replace(found[-1], kind="unclear", what="may be cut")
    first = found[0] if found and _begins(text, found[0]) else None
    stated = [f for f in found if f.kind != "other" and _before(_STATED, text, f)]
    if first and first.kind == "number":
        numbering = first.value == 1 and _ITEM.match(text, first.end)
        if numbering and not begun:
            raise Unclear(f"{_shown(text, first)} may be the first of a list")
        others = stated if numbering else [f for f in found if _before(_CORRECTED, text, f)]
        return _only(text, [first, *others])
    if stated:
        return _only(text, stated)
    return _only(text, [_alone(f, text) for f in found if f.kind != "other"] or found)


def _alone(found: _Found, text: str) -> _Found:
    """A number that is no answer by its place must not count anything either: "1 module"."""
    if found.kind != "number" or _FREE.match(text, found.end):
        return found
    word = re.compile(r"\s*(\S+)").match(text, found.end)
    return replace(found, kind="other", what=word[1] if word else "")


def _begins(text: str, found: _Found) -> bool:
    """Whether nothing stands before it that says anything, and nothing is said of it as of a thing:
    "1 is trivial, 2 is small"."""
    if _SUBJECT.match(text, found.end):
        return False
    before = " ".join(text[: found.start].split()) + " "
    return len(before) <= _LOOKED_BACK and _BEGINNING.fullmatch(before) is not None


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
    return [_classified(c.group(), c.start(), c.end()) for c in _CLUMP.finditer(text)]


def _classified(clump: str, start: int, end: int) -> _Found:
    """What a clump is by itself."""
    if len(clump) > _LONGEST:
        return _Found(start, end, "unclear", what="is not one plain number")
    sign = -1.0 if clump[0] in "-−–" else 1.0
    body = clump.lstrip("-−–+")
    if (value := _value(body)) is not None:
        return _Found(start, end, "number", sign * value)
    if _COMMA.fullmatch(body):
        return _Found(start, end, "unclear", what="has a comma for thousands or for decimals")
    if _NAME.fullmatch(body):
        return _Found(start, end, "name")
    if _RANGE.fullmatch(body):
        return _Found(start, end, "unclear", what="is a range")
    if (joined := _WITH_UNIT.fullmatch(body)) is not None:
        return _measured(joined, start, end, sign)
    kind: _Kind = "name" if re.search(r"[^\W\d_]", body) else "unclear"
    return _Found(start, end, kind, what="is not one plain number")


def _measured(joined: re.Match[str], start: int, end: int, sign: float) -> _Found:
    """A number with its unit joined to it: "5pts", "3h", "2-day", "10%", "2nd"."""
    value, unit = _value(joined["number"]), joined["unit"]
    if value is None or _ORDINAL.fullmatch(unit) or any(map(str.isdigit, unit)):
        return _Found(start, end, "name")
    if re.fullmatch(_OWN, unit, re.IGNORECASE):
        return _Found(start, end, "number", sign * value)
    return _Found(start, end, "other", sign * value, unit)


def _value(body: str) -> float | None:
    """Of digits without a sign; None where they can be read in two ways, or in none."""
    if _PLAIN.fullmatch(body):
        return float(body)
    if (comma := _COMMA.fullmatch(body)) is not None:
        whole, decimals = comma.groups()
        thousands = len(decimals) == 3 and len(whole) <= 3 and whole[0] != "0"
        return None if thousands else float(f"{whole}.{decimals}")
    if _GROUPED.fullmatch(body):
        return float(body.replace(",", ""))
    if _GROUPED_BY_DOTS.fullmatch(body):
        return float(body.replace(".", "").replace(",", "."))
    if (mixed := _MIXED.fullmatch(body)) is not None:
        return float(mixed[1] or 0) + _VULGAR[mixed[2]]
    return _FRACTIONS.get(body)


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
    if between == " " and a.value == int(a.value) and text[b.start : b.end] in _FRACTIONS:
        return replace(b, start=a.start, value=a.value + b.value)
    if "name" in (a.kind, b.kind) or (a.kind == b.kind == "number" and a.value == b.value):
        return None
    if _TO.fullmatch(between) or (_AND.fullmatch(between) and _before(_BETWEEN, text, a)):
        return _Found(a.start, b.end, "unclear", what="is a range")
    if _OF.fullmatch(between):
        return _Found(a.start, b.end, "unclear", what="is a share")
    if _LIST.fullmatch(between):
        return _Found(a.start, b.end, "unclear", what="is a list or a sum")
    return None


def _in_context(found: _Found, text: str, units: str) -> _Found:
    """What the words around say that it is."""
    if found.kind == "other":
        return replace(found, kind="number") if _names(units, found.what) else found
    own = _OWN_UNIT.match(text, found.end) is not None
    if found.kind == "name" or (not own and _before(_NAMED, text, found)):
        return replace(found, kind="name")
    if unit := _before(_MONEY, text, found) or ("" if own else _other_unit(text, found.end)):
        return found if _names(units, unit) else replace(found, kind="other", what=unit)
    if _before(_DENIED, text, found) or _DENIED_BEHIND.match(text, found.end):
        return replace(found, kind="unclear", what="is denied")
    if _before(_BOUND_BEFORE, text, found) or _BOUND_BEHIND.match(text, found.end):
        return replace(found, kind="unclear", what="is a bound")
    return found


def _other_unit(text: str, end: int) -> str:
    """What is counted, by the words behind a number; empty: nothing else."""
    behind = _OTHER_UNIT.match(text, end)
    return "" if behind is None or _NO_PLURAL.fullmatch(behind[1]) else behind[1]


def _names(units: str, unit: str) -> bool:
    """Whether a text names a unit, in the singular or the plural."""
    words = re.findall(r"[^\W\d_]+|[^\w\s]", units.casefold())
    return unit.casefold().removesuffix("s") in {word.removesuffix("s") for word in words}


def _numbering(found: Sequence[_Found], text: str) -> set[int]:
    """Where the numbers of a list stand: 1, 2 and so on, each at the beginning of an item."""
    marks: list[_Found] = []
    for each in found:
        answers = marks and _before(_STATED, text, each)
        if each.value == len(marks) + 1 and _is_numbering(text, each) and not answers:
            marks.append(each)
    if len(marks) > 1:
        return {mark.start for mark in marks}
    numbered = [a for a, b in pairwise(found) if not text[a.end : b.start].strip(" .)")]
    return {m.start for m in marks if m in numbered or _is_bracketed(text, m)}


def _is_numbering(text: str, found: _Found) -> bool:
    """Whether it may number an item of a list: "1. Read", "2) Write"."""
    plain = found.kind == "number" and text[found.start : found.end].isdigit()
    if not plain or _NUMBERING.match(text, found.end) is None:
        return False
    return _is_bracketed(text, found) or bool(_before(_AT_A_SENTENCE, text, found))


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
