"""Labelled items as conversations to train on, rendered by the template that inference uses."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.core.errors import ConfigError, DataError
from gateway.core.types import Message
from gateway.tasks.exemplars import Exemplar, ExemplarSelector
from gateway.tasks.prompts import PromptTemplate, Shortener, load_template, written
from gateway.tasks.task import Item, Task


@dataclass(frozen=True, slots=True)
class Chat:
    """One item: what the model is shown, and as the last message what it is to answer."""

    messages: tuple[Message, ...]
    shortened: tuple[str, ...]
    """Fields of the item that the template shortened."""


class Unshortened:
    """A `Shortener` that shortens nothing, for where no tokenizer is at hand."""

    def count(self, text: str) -> int:
        return 0

    def head(self, text: str, tokens: int) -> str:
        return text

    def tail(self, text: str, tokens: int) -> str:
        return text


@dataclass(frozen=True, slots=True)
class ChatMaker:
    """Makes conversations with one strategy of a task.

    Raises:
        ConfigError: the strategy reasons before it answers: no data says what it is to think.
    """

    task: Task
    labels: tuple[str, ...]
    template: PromptTemplate
    exemplars: tuple[Exemplar, ...] = ()
    """Shown before every item, as the template's exemplars."""
    shortener: Shortener = field(default_factory=Unshortened)

    def __post_init__(self) -> None:
        if self.template.reasoning_tokens:
            raise ConfigError(
                f"{self.template.strategy}: the model reasons before it answers, and the data does "
                "not say what it is to think",
                hint="a strategy without [reasoning], such as zero_shot",
            )

    def chat(self, item: Item) -> Chat:
        """The conversation of an item.

        Raises:
            DataError: it has no answer.
        """
        if item.gold is None:
            raise DataError(f"line {item.line}: {item.id} has no answer to train on")
        prompt = self.template.render(
            self.task, self.labels, item.fields, self.exemplars, self.shortener
        )
        answer = prompt.answer_start + written(item.gold, item.rationale)
        messages = (*prompt.messages, Message("assistant", answer))
        return Chat(messages, tuple(prompt.shortened))


def chat_maker(
    task: Task, strategy: str, root: Path, items: Sequence[Item], shortener: Shortener | None = None
) -> tuple[ChatMaker, tuple[str, ...]]:
    """What makes conversations of these items, and what is to be known of it.

    Where the strategy shows exemplars, they are those that come with the task, but for such as are
    (nearly) among the items.

    Args:
        shortener: the tokenizer by which the template shortens fields; None: none is shortened.

    Raises:
        ConfigError: no such strategy, it reasons before it answers, or the task has no exemplars.
    """
    template = load_template(task, strategy, root)
    labels = labels_of(task, items)
    shown: tuple[Exemplar, ...] = ()
    notes: tuple[str, ...] = ()
    if template.exemplars:
        selector = ExemplarSelector.make(
            "fixed",
            task=task,
            labels=labels,
            count=template.exemplars,
            nearest=template.nearest,
            train=(),
            test=items,
            seed=0,
            root=root,
        )
        shown, notes = selector.select(items[0]), selector.notes
    maker = ChatMaker(task, labels, template, shown, shortener or Unshortened())
    return maker, notes


def labels_of(task: Task, items: Sequence[Item]) -> tuple[str, ...]:
    """The task's labels in its own order, or those of the items, sorted; none where there are no
    labels."""
    if task.kind != "classification":
        return ()
    if task.labels:
        return tuple(label.name for label in task.labels)
    return tuple(sorted({item.gold for item in items if isinstance(item.gold, str)}))
