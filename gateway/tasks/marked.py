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
    """With the answer of each object that has one in its place."""
    made, start = [], 0
    for pairs, begins, ends in objects(text):
        if (value := _answer(pairs, names)) is not None:
            made += [text[start:begins], f"\nanswer: {value}\n"]
            start = ends
    return "".join([*made, text[start:]])


def _answer(pairs: Pairs, names: Sequence[str]) -> str | None:
    """The one member that is called as an answer is; None: there is none, or there are several."""
    known = {name.casefold() for name in names}
    found = [v for k, v in pairs if k.casefold() in known or _KEY.fullmatch(k)]
    if len(found) != 1 or isinstance(found[0], dict | Pairs):
        return None
    [value] = found
    if isinstance(value, list):
        return ", ".join(map(str, value)) if all(isinstance(v, str) for v in value) else None
    return " ".join(value.split()) if isinstance(value, str) else json.dumps(value)
