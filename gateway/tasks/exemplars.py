"""Which labelled items a prompt shows before it asks.

    fixed       those of prompts/<task>/exemplars.jsonl, in the file's order
    stratified  so many of each label from the training data, the same for every item
    nearest     the training items most like the one that is asked

None is ever an item of the test set or a near-duplicate of the item that is asked: an exemplar that
is would hand the model its answer.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.core.digests import digest_json
from gateway.core.draws import seeded_rank
from gateway.core.errors import ConfigError, DataError
from gateway.core.types import Answer
from gateway.tasks.dataset import load_dataset
from gateway.tasks.sampling import stratified_sample
from gateway.tasks.similarity import NEAR_DUPLICATE, Similarity, text_of
from gateway.tasks.task import Item, Task

KINDS = ("fixed", "stratified", "nearest")
FILE = "exemplars.jsonl"


@dataclass(frozen=True, slots=True)
class Exemplar:
    """A labelled item that is shown."""

    item_id: str
    fields: Mapping[str, str]
    gold: Answer
    rationale: str = ""


class ExemplarSelector:
    """Chooses the exemplars of each item. Made by `make`.

    Args:
        kind: one of `KINDS`.
        pool: candidates, in the order in which a shared list is shown.
        count: how many the nearest are.
        seed: of the choice, for the record.
        notes: what a reader of the report must know.
    """

    def __init__(
        self, kind: str, pool: Sequence[Item], count: int, seed: int, notes: tuple[str, ...] = ()
    ) -> None:
        self.kind = kind
        self.notes = notes
        self._pool = tuple(pool)
        self._count = count
        self._seed = seed
        self._similarity = Similarity([text_of(i) for i in pool]) if kind == "nearest" else None

    @classmethod
    def make(
        cls,
        kind: str,
        *,
        task: Task,
        labels: Sequence[str],
        count: int,
        nearest: int,
        train: Sequence[Item],
        test: Sequence[Item],
        seed: int,
        root: Path,
    ) -> "ExemplarSelector":
        """A selector for the items of a test set.

        Args:
            count: how many of each label are shown; for numbers and JSON, how many in all.
            nearest: how many in all where the nearest are shown.
            root: the folder of tasks, in which `fixed` finds its file.

        Raises:
            ConfigError: an unknown kind, or one that needs training data or a file.
            DataError: too few candidates are left.
        """
        if kind not in KINDS:
            raise ConfigError(
                f"exemplars cannot be chosen by {kind!r}", hint=f"known: {', '.join(KINDS)}"
            )
        if kind == "fixed":
            listed = fixed_exemplars(task, root)
            pool, dropped = without_near_duplicates(listed, test)
            notes = tuple(
                f"the exemplar {item.id} is (nearly) a test item and is not shown"
                for item in dropped
            )
            return cls(kind, pool, len(pool), seed, notes)
        if not train:
            raise ConfigError(f"{kind} exemplars come from training data", hint="give --train FILE")
        if kind == "nearest":
            asked = {item.digest for item in test}
            pool = [item for item in train if item.digest not in asked]
            return cls(kind, pool, nearest, seed)
        clean, _ = without_near_duplicates(train, test)
        chosen = _stratified(clean, labels, count, seed)
        return cls(kind, chosen, len(chosen), seed)

    @property
    def ids(self) -> tuple[str, ...]:
        """The items of the shared list, in the order shown; empty where each item has its own."""
        return () if self.kind == "nearest" else tuple(item.id for item in self._pool)

    @property
    def digest(self) -> str:
        """Of all that decides what is shown."""
        shown = [
            [item.id, item.digest, item.gold, *filter(None, [item.rationale])]
            for item in self._pool
        ]
        return digest_json({"kind": self.kind, "count": self._count, "pool": shown})

    def describe(self) -> dict[str, Any]:
        """For the record: kind, seed, and ids in the order shown, or the pool's size and digest."""
        about: dict[str, Any] = {"kind": self.kind, "seed": self._seed, "digest": self.digest}
        if self.kind == "nearest":
            return {**about, "count": self._count, "pool": len(self._pool)}
        return {**about, "ids": list(self.ids)}

    def select(self, item: Item) -> tuple[Exemplar, ...]:
        """Exemplars for an item in the order shown. The nearest one comes last, next to the
        question (Liu et al. 2022, arXiv 2101.06804)."""
        chosen = self._pool if self._similarity is None else self._nearest(self._similarity, item)
        return tuple(
            Exemplar(i.id, i.fields, i.gold, i.rationale) for i in chosen if i.gold is not None
        )

    def _nearest(self, similarity: Similarity, item: Item) -> list[Item]:
        cosines = similarity.to([text_of(item)])[0]
        order = sorted(
            (at for at, cosine in enumerate(cosines) if cosine < NEAR_DUPLICATE),
            key=lambda at: (-cosines[at], seeded_rank(self._seed, "tie", self._pool[at].id)),
        )
        return [self._pool[at] for at in reversed(order[: self._count])]


def dev_split(
    train: Sequence[Item],
    *,
    test: Sequence[Item],
    exclude_ids: Collection[str],
    size: int,
    seed: int,
) -> tuple[Item, ...]:
    """Training items to fit a calibration on: a seeded sample, stratified by label.

    None is an exemplar, a test item or nearly one.

    Raises:
        DataError: none is left.
    """
    free = [item for item in train if item.id not in exclude_ids]
    clean, _ = without_near_duplicates(free, test)
    if not clean:
        raise DataError(
            "no training item is left to fit the calibration on: all are exemplars or test items",
            hint="give other training data, or --score-rule sum",
        )
    return tuple(stratified_sample(clean, size, seed, "dev"))


def without_near_duplicates(
    items: Sequence[Item], test: Sequence[Item]
) -> tuple[list[Item], list[Item]]:
    """The items that are not (nearly) in the test set, and those that are."""
    if not items or not test:
        return list(items), []
    asked = {item.digest for item in test}
    closest = Similarity([text_of(i) for i in items]).to([text_of(t) for t in test]).max(axis=0)
    kept: list[Item] = []
    dropped: list[Item] = []
    for item, cosine in zip(items, closest, strict=True):
        copied = item.digest in asked or cosine >= NEAR_DUPLICATE
        (dropped if copied else kept).append(item)
    return kept, dropped


def _stratified(train: Sequence[Item], labels: Sequence[str], count: int, seed: int) -> list[Item]:
    """`count` items a label (in all, where answers are no labels), in a seeded order."""
    by_place = sorted(train, key=lambda item: seeded_rank(seed, "exemplar", item.id))
    if not labels:
        return by_place[:count]
    chosen: list[Item] = []
    for label in labels:
        found = [item for item in by_place if item.gold == label][:count]
        if len(found) < count:
            raise DataError(
                f"the training data has {len(found)} items of {label!r} that can be shown as "
                f"exemplars; the template shows {count} of each label",
                hint="more training data, or --exemplars nearest",
            )
        chosen += found
    return sorted(chosen, key=lambda item: seeded_rank(seed, "order", item.id))


def fixed_exemplars(task: Task, root: Path) -> tuple[Item, ...]:
    """The exemplars that come with a task, in the file's order.

    Raises:
        ConfigError: it has none.
        DataError: they are wrong.
    """
    path = root / task.name / FILE
    if not path.is_file():
        raise ConfigError(
            f"{path}: no such file, and fixed exemplars come from it",
            hint="give --train FILE, from which stratified or nearest exemplars are chosen",
        )
    return load_dataset(str(path), task).items
