"""What a model wrote -> an answer, or why there is none. Never raises, whatever the text.

Strict where a guess could be wrong: a text that names two labels is not read as either, and what a
limit of tokens may have cut is not read at all.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.core.types import Answer
from gateway.tasks.numbers import Unclear, read_number
from gateway.tasks.task import Task

_MARKS = " \t\r\n*_`\"'“”‘’.,:;!#()[]"
"""What may surround an answer without being part of it: spaces, Markdown, quotes, full stops."""

_STATED = re.compile(
    r"(?:answer|label|category|class|intent|type|estimate|points?)\s*(?:is|:|=)\s*(.+)",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"(?:\b(?:not|neither|nor|never|cannot be|rather than|instead of)|n['’]t(?: be)?)"
    r"(?:\s+(?:an?|the|really|necessarily))*\s+(?:\S+\s+n?or\s+(?:an?\s+)?)?[\"'“‘*_`]*$",
    re.IGNORECASE,
)
"""Before a label that is named only to be ruled out."""
_LISTED = re.compile(r"^\s*(?:[-*•+]|[0-9]+[.)])\s+(.+)$", re.MULTILINE)
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Parsed:
    """An answer, or None and the reason."""

    answer: Answer | None
    reason: str = ""


def parse_answer(
    text: str, task: Task, labels: Sequence[str], *, cut: bool = False, begun: bool = False
) -> Parsed:
    """The answer of a task's kind that a text gives.

    Args:
        cut: the text ran into its limit of tokens.
        begun: the prompt has begun the line that the text goes on in.
    """
    if task.kind == "classification":
        return parse_label(text, labels, cut=cut)
    if task.kind == "extraction":
        return parse_json_fields(text, task.answer_values)
    units = f"{task.description} {' '.join(task.answers)}"
    return parse_number(text, task.minimum, task.maximum, cut=cut, begun=begun, units=units)


def parse_label(text: str, labels: Sequence[str], *, cut: bool = False) -> Parsed:
    """The label that a text gives.

    In this order: the whole text, what follows "label:" or the like, the only label mentioned.
    Case does not count; where two labels differ by it alone, only the exact one is read.
    """
    if not text.strip():
        return Parsed(None, "the answer is empty")
    if cut and (longer := _goes_on(text, labels)):
        return Parsed(None, f"the answer may be the beginning of {longer!r}")
    if (whole := _label(text, labels)) is not None:
        return Parsed(whole)
    stated = {_label(found, labels) for found in _STATED.findall(text)} - {None}
    mentioned = stated or _mentions(text, labels)
    if not stated and _is_list(text, labels):
        return Parsed(None, f"the answer is a list: {_shown(text)}")
    if len(mentioned) == 1:
        return Parsed(mentioned.pop())
    if mentioned:
        several = ", ".join(sorted(str(label) for label in mentioned))
        return Parsed(None, f"the answer names several labels: {several}")
    return Parsed(None, f"no label in {_shown(text)}")


def parse_number(
    text: str,
    minimum: float,
    maximum: float,
    *,
    cut: bool = False,
    begun: bool = False,
    units: str = "",
) -> Parsed:
    """The number that a text gives, as `read_number` reads it."""
    if not text.strip():
        return Parsed(None, "the answer is empty")
    try:
        number = read_number(text, cut=cut, begun=begun, units=units)
    except Unclear as exc:
        return Parsed(None, str(exc))
    if number is None:
        return Parsed(None, f"no number in {_shown(text)}")
    if not minimum <= number <= maximum:
        return Parsed(None, f"{number:g} is outside {minimum:g} to {maximum:g}")
    return Parsed(number)


def parse_json_fields(text: str, answer_values: Mapping[str, Sequence[str]]) -> Parsed:
    """The first JSON object of a text, if it has just the expected fields with allowed values."""
    start = text.find("{")
    if start < 0:
        return Parsed(None, f"no JSON object in {_shown(text)}")
    decoder = json.JSONDecoder(object_pairs_hook=_Pairs)
    try:
        pairs, _ = decoder.raw_decode(text, start)
    except (ValueError, RecursionError) as exc:
        return Parsed(None, f"no valid JSON: {exc}"[:200])
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        return Parsed(None, "a field is given twice")
    fields = dict(pairs)
    for name, values in answer_values.items():
        if name not in fields:
            return Parsed(None, f"the field {name!r} is missing")
        if not isinstance(fields[name], str) or fields[name] not in values:
            return Parsed(None, f"{name!r} is {_shown(str(fields[name]))}, none of the values")
    if more := [name for name in names if name not in answer_values]:
        return Parsed(None, f"a field that was not asked for: {_shown(more[0])}")
    return Parsed({name: fields[name] for name in answer_values})


def answer_schema(task: Task) -> str:
    """JSON schema of an extraction's answer: an object, each field one of its values, in the order
    of the task (which a constrained answer keeps)."""
    return json.dumps(
        {
            "type": "object",
            "properties": {n: {"enum": list(v)} for n, v in task.answer_values.items()},
            "required": list(task.answer_values),
            "additionalProperties": False,
        }
    )


class _Pairs(list[tuple[str, Any]]):
    """An object's members as written, so that a repeated name is seen."""


def _label(text: str, labels: Sequence[str]) -> str | None:
    """The label that a text is, its surroundings apart."""
    bare = text.strip(_MARKS)
    for wanted in (text.strip(), bare):
        if wanted in labels:
            return wanted
    folded = [label for label in labels if label.strip(_MARKS).casefold() == bare.casefold()]
    return folded[0] if len(folded) == 1 else None


def _mentions(text: str, labels: Sequence[str]) -> set[str | None]:
    """Labels that stand in a text as whole words and are nowhere ruled out; one within a longer
    label, or a compound such as "bug-related", does not count."""
    folded = Counter(label.casefold() for label in labels)
    found: set[str | None] = set()
    for label in sorted(labels, key=len, reverse=True):
        case = re.IGNORECASE if folded[label.casefold()] == 1 else re.NOFLAG
        pattern = re.compile(rf"(?<![\w-]){re.escape(label)}(?!\w|-\w)", case)
        places = [match.start() for match in pattern.finditer(text)]
        if places and not any(_DENIED.search(text, 0, place) for place in places):
            found.add(label)
        text = pattern.sub("\0", text)
    return found


def _is_list(text: str, labels: Sequence[str]) -> bool:
    """Whether a label is one item of a list and something else another."""
    items = {_label(item, labels) for item in _LISTED.findall(text)}
    return len(items) > 1 and items != {None}


def _goes_on(text: str, labels: Sequence[str]) -> str:
    """A label of which the end of a text may be the beginning, where that end is a label too."""
    end = text.rstrip().casefold()
    for label in labels:
        begun = re.search(rf"(?<!\w){re.escape(label.casefold())}$", end)
        longer = [x for x in labels if x.casefold().startswith(label.casefold()) and x != label]
        if begun and longer:
            return longer[0]
    return ""


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…")
