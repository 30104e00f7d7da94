"""Answers that contradict each other, are no answers of the task, or are too unequal in number."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from gateway.core.lists import first_of
from gateway.tasks.labels import alike_warnings
from gateway.tasks.prompts import written
from gateway.tasks.task import Item, Task
from gateway.tuning.checks.duplicates import Copies, How
from gateway.tuning.checks.findings import Finding, Place
from gateway.tuning.checks.parts import EXEMPLARS, TEST, TRAIN, Part, size

FEW_OF_A_LABEL = 10
"""A label with fewer training items is warned of. Ten is the least that OpenAI's supervised
fine-tuning guide takes of a whole data set; a choice of this project for each label."""

UNEQUAL = 10.0
"""Largest label over smallest from which a warning is given; a choice of this project. OpenAI's
"Fine-tuning best practices" say why: an answer that is too frequent in training becomes too
frequent in use."""


def unreadable(part: Part) -> Iterator[Finding]:
    """Rows that are no items: an answer that is none of the task, an input that is no text."""
    kinds = {
        "answer": ("wrong-answer", "with an answer that the task does not have"),
        "input": ("wrong-input", "with an input that is no text"),
        "id": ("wrong-id", "without an id of its own"),
    }
    for kind, (code, what) in kinds.items():
        found = [problem for problem in part.problems if problem.part == kind]
        if found:
            yield Finding(
                code,
                "error",
                f"{part.name}: {size(len(found), 'row')} {what}",
                "correct or remove them",
                tuple(_place(part, problem.line, problem.error.message) for problem in found),
            )


def _place(part: Part, line: int, message: str) -> Place:
    where = f"{part.source}:{line}"
    return Place(where, "", message.removeprefix(f"{where}: "))


def contradictions(
    copies: Copies, places: Sequence[Place], items: Sequence[Item]
) -> Iterator[Finding]:
    """Texts that have two answers: identical ones an error, those nearly the same a warning."""
    identical = _contradicting(copies.same(How.IDENTICAL), items)
    if identical:
        yield Finding(
            "contradiction",
            "error",
            f"{size(len(identical))} of identical text with different answers",
            "decide which answer is right; a model can only learn to guess between them",
            tuple(_answered(places[at], items[at]) for at in identical),
        )
    alike = _contradicting(copies.same(How.NORMALISED), items)
    other = dict.fromkeys(alike, "")
    for a, b, _ in copies.near():
        if items[a].gold != items[b].gold:
            other.setdefault(a, f"; {_answered(places[b], items[b])}")
            other.setdefault(b, f"; {_answered(places[a], items[a])}")
    close = sorted(set(other) - set(identical))
    if close:
        yield Finding(
            "near-contradiction",
            "warning",
            f"{size(len(close))} that are nearly the same as one with a different answer",
            "look at them: a difference that small is easily a mistake in the labels",
            tuple(_answered(places[at], items[at], other[at]) for at in close),
        )


def _contradicting(groups: Iterable[Sequence[int]], items: Sequence[Item]) -> list[int]:
    differing = [group for group in groups if len({_key(items[at]) for at in group}) > 1]
    return sorted(at for group in differing for at in group)


def _key(item: Item) -> str:
    gold = item.gold
    return json.dumps(dict(gold) if isinstance(gold, Mapping) else gold, sort_keys=True)


def _answered(place: Place, item: Item, other: str = "") -> Place:
    own = "" if item.gold is None else written(item.gold)
    return Place(place.place, item.id, own + other)


def balance(parts: Sequence[Part], task: Task) -> Iterator[Finding]:
    """How the training items are spread over the answers, and which answers have too few."""
    train = next((part for part in parts if part.name == TRAIN), None)
    if train is None or not train.items:
        return
    if task.kind == "number":
        yield _spread(train)
        return
    others = [part for part in parts if part.name not in (TRAIN, EXEMPLARS)]
    for name, counts in _counted(train, task).items():
        elsewhere = Counter(
            {label: n for part in others for label, n in _counted(part, task)[name].items()}
        )
        yield from _of_one_answer(name, counts, elsewhere)


def spellings(parts: Sequence[Part], task: Task) -> Iterator[Finding]:
    """Labels that look alike, and those of the training data that the test data does not have."""
    if task.kind != "classification":
        return
    found = {
        part.name: sorted({item.gold for item in part.items if isinstance(item.gold, str)})
        for part in parts
    }
    if not task.labels:
        for said in alike_warnings(label for labels in found.values() for label in labels):
            yield Finding(
                "labels-alike", "warning", said, "give them one spelling, if they are one"
            )
    if TEST in found and TRAIN in found:
        untested = sorted(set(found[TRAIN]) - set(found[TEST]))
        if untested:
            yield Finding(
                "label-never-tested",
                "warning",
                f"test: no item with {_listed(untested)}, which train has",
                "nothing will be known of these answers; add test items",
            )


def _counted(part: Part, task: Task) -> Mapping[str, Counter[str]]:
    """Answer field -> its values -> items; the task's own values count where none has them."""
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    if task.kind == "classification":
        name = next(iter(task.answers))
        counted[name].update({label.name: 0 for label in task.labels})
        counted[name].update(str(item.gold) for item in part.items)
        return counted
    for name, values in task.answer_values.items():
        counted[name].update(dict.fromkeys(values, 0))
        golds = [item.gold for item in part.items if isinstance(item.gold, Mapping)]
        counted[name].update(gold[name] for gold in golds)
    return counted


def _of_one_answer(
    name: str, counts: Counter[str], elsewhere: Mapping[str, int]
) -> Iterator[Finding]:
    present = {label: n for label, n in counts.items() if n}
    most, least = max(present, key=present.__getitem__), min(present, key=present.__getitem__)
    ratio = present[most] / present[least]
    shown = f"largest {most!r} {present[most]:,}, smallest {least!r} {present[least]:,}"
    if present[most] == present[least]:
        shown = f"{present[most]:,} of each"
    yield Finding(
        "balance",
        "warning" if ratio >= UNEQUAL else "note",
        f"train: {size(len(present), 'value')} of {name}; {shown}; {ratio:.1f} to 1",
        "more examples of the small ones, or fewer of the large; judge by macro-F1"
        if ratio >= UNEQUAL
        else "",
    )
    if len(present) == 1:
        yield Finding(
            "one-label",
            "error",
            f"train: every item has the same {name}, {most!r}",
            "there is nothing to learn; add items with other answers",
        )
    absent = sorted({*(label for label, n in counts.items() if not n), *elsewhere} - set(present))
    if absent:
        yield Finding(
            "label-never-trained",
            "warning",
            f"train: no item with {name} {_listed(absent)}",
            "the model will hardly ever give this answer; add examples",
        )
    few = sorted(label for label, n in present.items() if n < FEW_OF_A_LABEL)
    if few:
        counted = [f"{label} ({present[label]})" for label in few]
        yield Finding(
            "few-of-a-label",
            "warning",
            f"train: fewer than {FEW_OF_A_LABEL} items with {name} {_listed(counted)}",
            "add examples of them; their scores will also have wide intervals",
        )


def _spread(train: Part) -> Finding:
    golds = np.array([item.gold for item in train.items if isinstance(item.gold, float)])
    low, median, high = np.quantile(golds, [0, 0.5, 1])
    common, count = Counter(golds.tolist()).most_common(1)[0]
    constant = low == high
    return Finding(
        "one-label" if constant else "balance",
        "error" if constant else "note",
        f"train: answers from {low:g} to {high:g}, median {median:g}; the most frequent, "
        f"{common:g}, {count:,} times of {len(golds):,}",
        "every answer is the same: there is nothing to learn" if constant else "",
    )


def _listed(names: Sequence[str]) -> str:
    return first_of(names, 8)
