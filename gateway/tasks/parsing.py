"""What a model wrote -> an answer, or why there is none. Never raises, whatever the text.

Strict where a guess could be wrong: a text that names two labels is not read as either, and what a
limit of tokens may have cut is not read at all.
"""

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.core.types import Answer
from gateway.tasks.marked import DECODER, NAMES, Pairs, as_lines, objects
from gateway.tasks.mentions import are_things, is_hedged, mentions
from gateway.tasks.number_forms import STRUCK
from gateway.tasks.numbers import Unclear, read_number
from gateway.tasks.tables.values import NUMBER
from gateway.tasks.task import Task

READING = 4
"""Of the grammar in this module and those that it calls, to be raised with what they read: stored
answers of another one are read again."""

_MARKS = " \t\r\n*_`\"'“”‘’.,:;!?#()[]"
"""What may surround an answer without being part of it: spaces, Markdown, quotes, full stops."""

_STATED = re.compile(
    rf"(?<![^\W_])(?:{NAMES})[\"'”’*_`]*(?:\s*[(\[][^()\[\]\n]{{0,80}}[)\]])?\s*(?:is|ist|est|es|é|:|=)\s*(.+)",
    re.IGNORECASE,
)
_ALTERNATIVE = re.compile(
    r"\n[^\w\n]{0,20}(?:or|alternatively|otherwise|else|second choice)\b[\s,:]*"
    r"(?:maybe|an?|it is)?(.+)",
    re.IGNORECASE,
)
_CROSSED_OUT = re.compile(r"\s*(?:[!¬❌✗✘]|\[ ?\])\s*\w")
"""How what is not chosen begins."""
_NONE = re.compile(
    r"[\s*_`\"'“”‘’(\[]*(?:none|unknown|unclear|n/?a|null|undefined)\b", re.IGNORECASE
)
"""What is stated where no label is."""
_LISTED = re.compile(r"^[ \t]*(?:[-*•+]|[0-9]+[.)])\s+(.+)$", re.MULTILINE)
_OPENING = r"[\s*_`\"'“”‘’(\[]*"
_EXPLAINED = r"[\"'”’*_`)]*(?:\s+[-–—]+|\s*[:.,;]|\s+(?:because|since|as)\b)\s"
_QUOTED = r"\s*([\"'“‘`]){}[\"'”’`]\s*[,}}\]]"
_SHOWN = 60
_MOST_OPTIONS = 30


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
    units = f"{task.description} {' '.join(task.answers)}"
    if task.kind == "classification":
        return parse_label(text, labels, cut=cut, units=units, names=_names(task))
    if task.kind == "extraction":
        return parse_json_fields(text, task.answer_values)
    text = as_lines(text, _names(task))
    return parse_number(text, task.minimum, task.maximum, cut=cut, begun=begun, units=units)


def _names(task: Task) -> tuple[str, ...]:
    """What a task calls its answer."""
    return tuple({*task.answers, *(name for names in task.answers.values() for name in names)})


def parse_label(
    text: str,
    labels: Sequence[str],
    *,
    cut: bool = False,
    units: str = "",
    names: Sequence[str] = (),
) -> Parsed:
    """The label that a text gives.

    In this order: the whole text, its first line, what follows "label:" or the like, the only label
    mentioned. Where two of these differ, none is read. Case does not count; where two labels differ
    by it alone, only the exact one is read. Labels that all are numbers are read as numbers are.
    """
    text = unicodedata.normalize("NFC", STRUCK.sub(" ", text))
    if not text.strip():
        return Parsed(None, "the answer is empty")
    if cut and (longer := _goes_on(text, labels)):
        return Parsed(None, f"the answer may be the beginning of {longer!r}")
    if (whole := _label(text, labels)) is not None:
        return Parsed(whole)
    text = _without_options(as_lines(text, names), labels)
    if all(map(NUMBER.fullmatch, labels)):
        return _numbered(text, labels, cut, units)
    given = _given(text, labels)
    if not given and any(map(_NONE.match, _STATED.findall(text))):
        return Parsed(None, f"the answer states that there is none: {_shown(text)}")
    found = given or mentions(text, labels)
    if not given and _is_list(text, labels):
        return Parsed(None, f"the answer is a list: {_shown(text)}")
    if len(found) > 1:
        return Parsed(None, f"the answer names several labels: {', '.join(sorted(found))}")
    if not found:
        return Parsed(None, f"no label in {_shown(text)}")
    if cut and not given and is_hedged(text, *found):
        return Parsed(None, f"the answer was cut before it chose: {_shown(text)}")
    return Parsed(found.pop())


def _without_options(text: str, labels: Sequence[str]) -> str:
    """Without the labels that an answer is to be one of: "yes/no: yes"."""
    if len(labels) > _MOST_OPTIONS:
        return text
    one = "|".join(re.escape(label) for label in sorted(labels, key=len, reverse=True))
    several = rf"(?<![\w-])(?:{one})(?:\s*[/|,]\s*(?:or\s+)?(?:{one})){{1,30}}\s*[:?]"
    return re.sub(several, " ", text, flags=re.IGNORECASE)


def _given(text: str, labels: Sequence[str]) -> set[str]:
    """Labels that are the answer by their place: a first line, other such lines, or stated."""
    lines = [line for line in text.splitlines() if line.strip(_MARKS)]
    alone = [label for line in lines if (label := _label(line, labels)) is not None]
    first = _label(lines[0], labels) if lines else None
    if first is None and (opening := _opening(text, labels)):
        return {opening}
    rests = [*_STATED.findall(text), *_ALTERNATIVE.findall(text)]
    stated = {label for rest in rests if (label := _leading(rest, labels))}
    return stated | (set(alone) if first is not None else set())


def _opening(text: str, labels: Sequence[str]) -> str:
    """The label that a text begins with, where an explanation follows that calls nothing by another
    one: "bug - the feature does not work". Empty: it does not."""
    for label in sorted(labels, key=len, reverse=True):
        begins = re.match(rf"{_OPENING}{re.escape(label)}{_EXPLAINED}", text, re.IGNORECASE)
        if begins is not None:
            others = [each for each in labels if each != label]
            known = label in mentions(text, labels)
            return label if known and are_things(text, begins.end(), others) else ""
    return ""


def _leading(rest: str, labels: Sequence[str]) -> str | None:
    """The label that a line begins with, if it mentions no other one."""
    if (whole := _label(rest, labels)) is not None:
        return whole
    quoted = [each for each in labels if re.match(_QUOTED.format(re.escape(each)), rest)]
    if len(quoted) == 1:
        return quoted[0]
    letter = re.match(r"[\s*_`\"'(\[]*(\w)[).:\]]+\s+\w", rest)
    if letter is not None and letter[1] in labels:
        return letter[1]
    found = mentions(rest, labels)
    begins = [label for label in found if re.match(rf"{_OPENING}{re.escape(label)}", rest, re.I)]
    return begins[0] if len(found) == len(begins) == 1 else None


def _numbered(text: str, labels: Sequence[str], cut: bool, units: str) -> Parsed:
    """The label whose number a text gives."""
    try:
        number = read_number(text, cut=cut, units=f"{units} stars")
    except Unclear as exc:
        return Parsed(None, str(exc))
    equal = [label for label in labels if number is not None and float(label) == number]
    if len(equal) == 1:
        return Parsed(equal[0])
    return Parsed(None, f"none of the labels in {_shown(text)}")


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
    """The JSON object of a text, if it has just the expected fields with allowed values.

    Of several objects the first; none where another one that fits says otherwise.
    """
    start = text.find("{")
    if start < 0:
        return Parsed(None, f"no JSON object in {_shown(text)}")
    try:
        pairs, end = DECODER.raw_decode(text, start)
    except (ValueError, RecursionError) as exc:
        return Parsed(None, f"no valid JSON: {exc}"[:200])
    read = _fields(pairs, answer_values)
    others = (_fields(other, answer_values).answer for other, *_ in objects(text, end))
    if read.answer is not None and any(other not in (None, read.answer) for other in others):
        return Parsed(None, "the answer gives several JSON objects")
    return read


def _fields(pairs: Pairs, answer_values: Mapping[str, Sequence[str]]) -> Parsed:
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


def _label(text: str, labels: Sequence[str]) -> str | None:
    """The label that a text is, its surroundings apart."""
    bare = text.strip(_MARKS)
    if text.strip() not in labels and _CROSSED_OUT.match(text):
        return None
    for wanted in (text.strip(), bare):
        if wanted in labels:
            return wanted
    folded = [label for label in labels if label.strip(_MARKS).casefold() == bare.casefold()]
    return folded[0] if len(folded) == 1 else None


def _is_list(text: str, labels: Sequence[str]) -> bool:
    """Whether a label is one item of a list and something else another."""
    items = {_label(item, labels) for item in _LISTED.findall(text)}
    return len(items) > 1 and items != {None}


def _goes_on(text: str, labels: Sequence[str]) -> str:
    """A label of which the end of a text may be the beginning, where that end holds a label too."""
    end = text.rstrip().casefold()
    for label in (each.casefold() for each in labels):
        for longer in labels:
            begins = longer.casefold().startswith(label) and longer.casefold() != label
            lengths = range(len(label), len(longer.casefold()) if begins else 0)
            if any(_ends_with(end, longer.casefold()[:length]) for length in lengths):
                return longer
    return ""


def _ends_with(text: str, words: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(words)}$", text) is not None


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…")
