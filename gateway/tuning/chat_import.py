"""Conversations -> labelled items of a task: the template read backwards, as far as it can be.

The user's message is matched against what the template makes of unknown fields, and counts as read
only if the fields found render to that very message again. Otherwise all of it becomes the long
field, which is counted.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from gateway.core.errors import ConfigError
from gateway.core.types import Answer
from gateway.tasks.parsing import Parsed, parse_json_fields, parse_label, parse_number
from gateway.tasks.prompts import PromptTemplate, written
from gateway.tasks.task import Task
from gateway.tuning.chat_format import ChatExample
from gateway.tuning.chats import Unshortened

_MARK = "\ue000{}\ue001"
"""Stands for a field while the template is rendered."""
_MARKED = re.compile("\ue000([a-z0-9_]+)\ue001")


@dataclass(frozen=True, slots=True)
class Imported:
    """The items that were read, as rows of a JSONL file that the task's data loader reads."""

    rows: tuple[Mapping[str, str | float], ...]
    whole: tuple[int, ...]
    """Lines whose user message became the long field as a whole: the template did not make it."""
    refused: tuple[tuple[int, str], ...]
    """Lines that give no item, and why."""


def import_chats(
    examples: Sequence[ChatExample], task: Task, template: PromptTemplate, labels: Sequence[str]
) -> Imported:
    """Items of conversations: of each, the last question and its answer. Earlier turns are
    exemplars and are left out.

    Args:
        labels: those an answer may be; none: whatever the answers say (classification).
    """
    backwards = _Backwards(task, template, tuple(labels))
    rows: list[Mapping[str, str | float]] = []
    whole: list[int] = []
    refused: list[tuple[int, str]] = []
    for example in examples:
        *before, answer = example.turns
        if not before or before[-1].role != "user" or not answer.trained or not answer.content:
            refused.append((example.line, "its end is no question of the user's with an answer"))
            continue
        gold, rationale, reason = backwards.answer(answer.content)
        if gold is None:
            refused.append((example.line, reason))
            continue
        fields = backwards.fields(before[-1].content)
        if fields is None:
            whole.append(example.line)
            fields = dict.fromkeys(task.fields, "") | {task.fields[-1]: before[-1].content}
        rows.append(_row(task, example.line, fields, gold, rationale))
    return Imported(tuple(rows), tuple(whole), tuple(refused))


def _row(
    task: Task, line: int, fields: Mapping[str, str], gold: Answer, rationale: str
) -> Mapping[str, str | float]:
    row: dict[str, str | float] = {"id": f"line-{line}"}
    row |= {task.columns[name][0]: text for name, text in fields.items()}
    if isinstance(gold, Mapping):
        row |= {task.answers[name][0]: value for name, value in gold.items()}
    else:
        column = next(iter(task.answers.values()))[0]
        row[column] = float(written(gold)) if isinstance(gold, float) else gold
    return row | ({task.rationale[0]: rationale} if rationale else {})


@dataclass
class _Backwards:
    """One strategy's template, read from its text to the fields."""

    task: Task
    template: PromptTemplate
    labels: tuple[str, ...]

    def fields(self, user: str) -> dict[str, str] | None:
        """The fields that render to this message, or None."""
        for pattern, absent in self._patterns:
            found = pattern.fullmatch(user)
            if found:
                fields = dict.fromkeys(self.task.fields, "") | found.groupdict()
                if set(found.groupdict()) | absent == set(fields) and self._user(fields) == user:
                    return fields
        return None

    def answer(self, text: str) -> tuple[Answer | None, str, str]:
        """The answer, its rationale, and why there is no answer."""
        for start in self._starts:
            text = text.removeprefix(start)
        parsed = self._parse(text)
        _, _, rest = text.strip().partition("\n")
        return parsed.answer, rest.strip() if self.task.rationale else "", parsed.reason

    def _parse(self, text: str) -> Parsed:
        if self.task.kind == "number":
            return parse_number(text, self.task.minimum, self.task.maximum)
        if self.task.kind == "extraction":
            return parse_json_fields(text, self.task.answer_values)
        if not self.labels:
            return Parsed(text.strip())
        return parse_label(text, self.labels)

    def _user(self, fields: Mapping[str, str]) -> str:
        prompt = self.template.render(self.task, self.labels, fields, (), Unshortened())
        return prompt.messages[-1].content

    @cached_property
    def _starts(self) -> tuple[str, ...]:
        """How an answer may begin that the template begins."""
        fields = dict.fromkeys(self.task.fields, "")
        prompt = self.template.render(self.task, self.labels, fields, (), Unshortened())
        return (prompt.answer_start,) if prompt.answer_start else ()

    @cached_property
    def _patterns(self) -> tuple[tuple[re.Pattern[str], frozenset[str]], ...]:
        return tuple(self._make_patterns())

    def _make_patterns(self) -> Iterator[tuple[re.Pattern[str], frozenset[str]]]:
        """Of the message with all fields, and of that without the lists, which may be empty."""
        for absent in dict.fromkeys((frozenset[str](), frozenset(self.task.lists))):
            marked = {n: "" if n in absent else _MARK.format(n) for n in self.task.fields}
            try:
                text = self._user(marked)
            except ConfigError:  # A template that computes with its fields cannot take a mark.
                continue
            seen: set[str] = set()
            pattern = ""
            for number, piece in enumerate(_MARKED.split(text)):
                if number % 2 == 0:
                    pattern += re.escape(piece)
                elif piece in seen:
                    pattern += f"(?P={piece})"
                else:
                    seen.add(piece)
                    pattern += f"(?P<{piece}>.*?)"
            yield re.compile(pattern, re.DOTALL), absent
