"""Answers that stand in a mark of their own: `\\boxed{bug}`, `<answer>bug</answer>`, `#### 5`, and
a member of a JSON object. Each becomes a line `answer: bug`, which every grammar reads."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

NAMES = (
    "answer|label|category|class|classification|intent|type|sentiment|emotion|topic|priority"
    "|severity|verdict|decision|choice|prediction|result|output|estimate|points?|antwort|kategorie"
    "|klasse|réponse|catégorie|respuesta|categoría|risposta|resposta|ответ|категория"
)
"""What an answer is called by who writes one."""
_FINAL = r"(?:(?:final|correct|best|predicted|story)[ _-]?)?"
_KEY = re.compile(rf"{_FINAL}(?:{NAMES}|score|rating|effort)", re.IGNORECASE)
_STYLE = re.compile(r"\\(?:text|math|mbox|emph|operatorname)[a-z]*\s*\{([^{}]*)\}")
_FRACTION = re.compile(r"\\[dt]?frac\s*\{([0-9]{1,4})\}\s*\{([0-9]{1,4})\}")
_BOXED = re.compile(r"\$*\\f?box(?:ed)?\s*\{([^{}]*)\}\$*")
_TAGGED = re.compile(rf"<({_FINAL}(?:{NAMES}))>\s*([^<>]*?)\s*</\1>", re.IGNORECASE)
_LAST_LINE = re.compile(r"^####[ \t]*(\S+)\s*\Z", re.MULTILINE)
"""As the solutions of GSM8K end."""


class Pairs(list[tuple[str, Any]]):
    """An object's members as written, so that a repeated name is seen."""


DECODER = json.JSONDecoder(object_pairs_hook=Pairs)


def objects(text: str, at: int = 0) -> Iterator[tuple[Pairs, int, int]]:
    """The JSON objects behind a place, each with where it begins and ends."""
    while (at := text.find("{", at)) >= 0:
        try:
            pairs, end = DECODER.raw_decode(text, at)
        except ValueError:
            at += 1
        except RecursionError:
            return
        else:
            yield pairs, at, end
            at = end


def as_lines(text: str, names: Sequence[str] = ()) -> str:
    """A text whose marked answers are lines of their own.

    Args:
        names: what the task calls its answer.
    """
    if "\\" in text:
        text = _FRACTION.sub(r"\1/\2", _STYLE.sub(r"\1", text))
        text = _BOXED.sub(_line(1), text)
    text = _TAGGED.sub(_line(2), text) if "</" in text else text
    text = _LAST_LINE.sub(_line(1), text) if "####" in text else text
    return _without_objects(text, names) if "{" in text else text


def _line(group: int) -> str:
    return rf"\nanswer: \g<{group}>\n"


def _without_objects(text: str, names: Sequence[str]) -> str:
    """With the answers of each object in its place, where it has any."""
    made, start = [], 0
    for pairs, begins, ends in objects(text):
        if values := _answers(pairs, names):
            made += [text[start:begins], "\n", *(f"answer: {value}\n" for value in values)]
            start = ends
    return "".join([*made, text[start:]])


def _answers(pairs: Pairs, names: Sequence[str]) -> list[str]:
    """The members that are called as an answer is; none where one of them is an object."""
    known = {name.casefold() for name in names}
    found = [v for k, v in pairs if k.casefold() in known or _KEY.fullmatch(k)]
    values = [_written(value) for value in found]
    return [] if None in values else [value for value in values if value is not None]


def _written(value: object) -> str | None:
    """A value as a line; None: it is none."""
    if isinstance(value, Pairs):
        return None
    if isinstance(value, list):
        return ", ".join(value) if all(isinstance(each, str) for each in value) else None
    return " ".join(value.split()) if isinstance(value, str) else json.dumps(value)
