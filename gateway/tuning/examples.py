"""Items as the tokens that are learned: read by the very templates and tokenizer of inference."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.core.errors import DataError
from gateway.core.types import GenerationRequest
from gateway.engine.reader import Reader
from gateway.tasks.prompts import PromptTemplate, written
from gateway.tasks.task import Item, Task


@dataclass(frozen=True, slots=True)
class AnsweredPrompt:
    """One prompt with one answer, as token ids."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]

    @property
    def tokens(self) -> tuple[int, ...]:
        """All that the model reads."""
        return self.prompt + self.answer

    def __len__(self) -> int:
        return len(self.prompt) + len(self.answer)


@dataclass(frozen=True, slots=True)
class Example:
    """An item with every answer that it may be given; for numbers and JSON only the right one."""

    item_id: str
    answers: tuple[AnsweredPrompt, ...]
    right: int
    """Which of them is the item's own."""

    @property
    def row(self) -> AnsweredPrompt:
        """What is learned."""
        return self.answers[self.right]

    @property
    def tokens(self) -> int:
        """That all answers take behind one prompt."""
        return len(self.row.prompt) + sum(len(row.answer) for row in self.answers)


def examples(
    items: Sequence[Item],
    task: Task,
    labels: Sequence[str],
    template: PromptTemplate,
    reader: Reader,
    most: int,
) -> tuple[Example, ...]:
    """The items' examples, in their order.

    Args:
        most: tokens that an example may have.

    Raises:
        ConfigError: the template fails.
        DataError: an item has no answer or one that is no label, or is longer than `most`.
    """
    made = tuple(_example(item, task, labels, template, reader) for item in items)
    for item, example in zip(items, made, strict=True):
        if (longest := max(map(len, example.answers))) > most:
            raise DataError(
                f"item {item.id} (line {item.line}) has {longest} tokens with its answer, and "
                f"{most} are allowed",
                hint="let the template shorten its fields, or give a larger --max-tokens",
            )
    return made


def _example(
    item: Item, task: Task, labels: Sequence[str], template: PromptTemplate, reader: Reader
) -> Example:
    if item.gold is None:
        raise DataError(f"item {item.id} (line {item.line}) has no answer to learn")
    prompt = template.render(task, labels, item.fields, (), reader)
    request = GenerationRequest("", prompt.messages, answer_start=prompt.answer_start)
    answers = list(labels) if template.mode == "score" else [written(item.gold)]
    gold = written(item.gold)
    if gold not in answers:
        raise DataError(
            f"item {item.id} (line {item.line}) has the label {gold!r}, which the task has not",
            hint=f"labels: {', '.join(labels)}",
        )
    before, continuations = reader.split_labels(request, answers)
    rows = tuple(AnsweredPrompt(tuple(before), tuple(tokens)) for tokens in continuations)
    return Example(item.id, rows, answers.index(gold))
