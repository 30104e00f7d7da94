"""One spelling for each label, and what is to be said of labels that differ too little.

A label is written in Unicode's composed form (NFC, UAX #15), without spaces around it, with plain
spaces in it, and without characters that have no width. Where all labels of the data are numbers,
equal numbers are one label; where all are true and false, case says nothing. What this changes is
told, and stands in the record of a run. Labels that then differ only in case or punctuation stay
two, and are warned of.
"""

import html
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from gateway.core.lists import first_of, plural
from gateway.core.types import Answer
from gateway.tasks.tables import Columns, options_of
from gateway.tasks.tables.values import NUMBER, trimmed
from gateway.tasks.task import Dataset, Item, Task, dataset_of

_NO_WIDTH = re.compile("[\u00ad\u180e\u200b\u2060\ufeff]")
"""Not U+200C and U+200D, which have a meaning between letters and within emoji."""
_SPACE = "Zs"
_MEANT = "#+%&@*"
"""Punctuation that tells labels apart: C, C# and C++."""
_NOTHING = re.compile(
    r"nan|nat|na|n/a|n\.a\.|<na>|<null>|\(null\)|\[null\]|null|nil|undefined|\(blank\)|\(leer\)"
    r"|\\n|[-–—?.]+|#n/?[av]|#[a-zäöü/0-9_]+[!?]",
    re.IGNORECASE,
)
"""How programs write that there is nothing, or that a formula failed."""
_NOTHING_IN_PYTHON = "None"
_PARTS = re.compile(r"\s*[,;|/#+&\n<>]\s*|\s+and\s+")
"""Between several labels in one cell."""
_LIST = re.compile(r"\[.*\]|\{.*\}|(?:<[^<>]+>){2,}|\|.+\|.+\|", re.DOTALL)
"""Lists and objects of JSON and Python, and tags of Stack Exchange's dumps."""
_TRUE = frozenset({"true", "yes", "y", "t", "1", "on"})
_FALSE = frozenset({"false", "no", "n", "f", "0", "off"})
_LATIN = str.maketrans(
    "аеорсухіјѕԁһԛԝАВЕКМНОРСТХІЈЅοΟΑΒΕΖΗΙΚΜΝΡΤΥΧ", "aeopcyxijsdhqwABEKMHOPCTXIJSoOABEZHIKMNPTYX"
)
"""Letters of Cyrillic and Greek -> those of Latin that look the same (Unicode TS 39)."""
_UNMARKED = re.compile("[\u0307\u0640\ufe00-\ufe0f]")
"""The dot of a Turkish i, the Arabic lengthening, how an emoji is shown."""
_TRUTH = frozenset({"true", "false"})
"""What pandas writes as True, JSON as true and Excel as TRUE."""
_THOUSANDS = re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+")
_MOST_SHOWN = 8


def clean(label: str) -> str:
    """The one spelling of a label; of one that is clean, itself."""
    if label.isascii():
        return label.strip()
    composed = unicodedata.normalize("NFC", _NO_WIDTH.sub("", label))
    spaced = (" " if unicodedata.category(c) == _SPACE else c for c in composed)
    return trimmed("".join(spaced))


def equal_numbers(labels: Iterable[str]) -> dict[str, str]:
    """Label -> the one of the same number, or of the same truth value, by which it is called, for
    those that are called otherwise: the shortest, or true and false. Empty unless all labels are
    numbers, or all are true and false."""
    known = sorted(set(labels), key=lambda label: (len(label), label))
    if {label.casefold() for label in known} <= _TRUTH:
        return {label: label.casefold() for label in known if label != label.casefold()}
    if not all(NUMBER.fullmatch(label) for label in known):
        return {}
    first: dict[Decimal, str] = {}
    for label in known:
        first.setdefault(Decimal(label), label)
    return {label: first[Decimal(label)] for label in known if first[Decimal(label)] != label}


def unified(task: Task, parts: Sequence[Dataset]) -> tuple[Dataset, ...]:
    """The parts of one task's data with equal numbers as one label; told in the notes of each part
    that changes. Parts without such labels are themselves."""
    if task.kind != "classification" or task.labels:
        return tuple(parts)
    called = equal_numbers(label for part in parts for label in part.labels)
    return tuple(_respelled(part, called) for part in parts) if called else tuple(parts)


def together(
    task: Task, data: Dataset, train: Dataset | None, columns: Columns = None
) -> tuple[Dataset, Dataset | None]:
    """Test and training data as `unified` has them; told as `load_dataset` tells."""
    given = [data] if train is None else [data, train]
    made = unified(task, given)
    for before, after in zip(given, made, strict=True):
        for said in after.notes[len(before.notes) :]:
            options_of(columns).tell(said)
    return made[0], None if train is None else made[1]


def _respelled(part: Dataset, called: Mapping[str, str]) -> Dataset:
    changed = sorted(set(part.labels) & set(called))
    if not changed:
        return part
    note = numbers_note(part.path, {label: called[label] for label in changed})
    labels = {called.get(label, label) for label in part.labels}
    items = [respelled(item, called) for item in part.items]
    return dataset_of(part.path, items, labels, (*part.notes, note))


def numbers_note(source: str, called: Mapping[str, str]) -> str:
    """That labels of a source are called as equal numbers are elsewhere."""
    shown = first_of([f"{a} is {b}" for a, b in called.items()], _MOST_SHOWN)
    kind = "true or false" if _TRUTH & set(called.values()) else "numbers"
    return f"{source}: all labels are {kind}, and equal ones are one label: {shown}"


def respelled(item: Item, called: Mapping[str, str]) -> Item:
    """An item whose label is called otherwise."""
    return replace(item, gold=_called(item.gold, called))


def _called(gold: Answer | None, called: Mapping[str, str]) -> Answer | None:
    return called.get(gold, gold) if isinstance(gold, str) else gold


def changes_note(source: str, column: str, changed: Counter[tuple[str, str]]) -> str:
    """What normalising changed: (as written, as read) -> rows."""
    shown = [f"{a!r} is {b!r} ({n})" for (a, b), n in sorted(changed.items())]
    return (
        f"{source}: {column!r} was normalised in {plural(changed.total(), 'row')} (Unicode NFC, "
        f"spaces around and unseen): {first_of(shown, _MOST_SHOWN)}"
    )


def look_alike(labels: Iterable[str]) -> list[tuple[str, ...]]:
    """Groups of labels that are equal numbers, or differ only in case, spaces or punctuation; each
    group sorted."""
    groups: dict[str, list[str]] = defaultdict(list)
    for label in sorted(set(labels)):
        groups[_look(label)].append(label)
    return [tuple(group) for _, group in sorted(groups.items()) if len(group) > 1]


def _look(label: str) -> str:
    if NUMBER.fullmatch(label):
        digits = format(Decimal(label), "f")
        return digits.rstrip("0").rstrip(".") if "." in digits else digits
    if re.fullmatch(r"[+-]?[0-9]+,[0-9]+", label) and not _THOUSANDS.fullmatch(label):
        return _look(label.replace(",", "."))
    alike = unicodedata.normalize("NFKC", html.unescape(label)).translate(_LATIN)
    folded = _UNMARKED.sub("", alike.casefold())
    kept = (c for c in folded if unicodedata.category(c)[0] not in "PZC" or c in _MEANT)
    return "".join(kept) or folded


def label_warnings(task: Task, data: Dataset, train: Dataset | None) -> tuple[str, ...]:
    """What is to be said of the labels of a classification: those that look alike or like nothing
    at all, and those that only one of test and training data has."""
    if task.kind != "classification":
        return ()
    both = [*data.labels, *(train.labels if train else ())]
    said = list(alike_warnings(both)) if not task.labels else []
    said += _told(data)
    if train is not None:
        said += one_sided(data.labels, train.labels)
    return tuple(said)


def _told(data: Dataset) -> Iterator[str]:
    """That the label of every item is a field of it too."""
    told = [item for item in data.items if item.gold in item.fields.values()]
    if len(told) == len(data.items) > 1:
        yield "every item's label is the whole text of one of its fields: is it the right column?"


def alike_warnings(labels: Iterable[str]) -> list[str]:
    """Of labels that the data makes: those that look alike, and those that look like nothing."""
    known = sorted(set(labels))
    said = [
        f"labels look alike and are different answers: {', '.join(map(repr, group))}"
        for group in look_alike(known)
    ]
    said += [
        f"labels that say the same in several ways: {', '.join(map(repr, group))}"
        for group in _truths(known)
    ]
    if empty := [label for label in known if _stands_for_nothing(label)]:
        said.append(f"labels that may stand for nothing at all: {_listed(empty)}")
    if lists := [label for label in known if _LIST.fullmatch(label)]:
        said.append(
            f"labels that are lists or objects: {_listed(lists)}; --column label=NAME[0] takes one "
            "part of JSON"
        )
    if several := [label for label in known if _is_several(label, known)]:
        said.append(f"labels that are several others together: {_listed(several)}")
    return said


def _stands_for_nothing(label: str) -> bool:
    return label == _NOTHING_IN_PYTHON or _NOTHING.fullmatch(label) is not None


def _truths(labels: Sequence[str]) -> list[tuple[str, ...]]:
    """Labels that all say true or false, where one of the two is said in several ways."""
    words = {label.casefold() for label in labels}
    if not words <= _TRUE | _FALSE:
        return []
    sides = [[label for label in labels if label.casefold() in side] for side in (_TRUE, _FALSE)]
    return [tuple(side) for side in sides if len({label.casefold() for label in side}) > 1]


def _is_several(label: str, labels: Sequence[str]) -> bool:
    """Whether it is made of other labels: "bug, ui"."""
    parts = [part for part in _PARTS.split(label) if part]
    return len(parts) > 1 and set(parts) <= set(labels) - {label}


def one_sided(test: Sequence[str], train: Sequence[str]) -> list[str]:
    """Labels that only one of the two has."""
    said = []
    if untrained := sorted(set(test) - set(train)):
        said.append(
            f"labels of the test data that no training item has: {_listed(untrained)}; neither "
            "exemplars nor baselines know them"
        )
    if untested := sorted(set(train) - set(test)):
        said.append(f"labels of the training data that no test item has: {_listed(untested)}")
    return said


def _listed(labels: Sequence[str]) -> str:
    return first_of([repr(label) for label in labels], _MOST_SHOWN)
