"""What is held out of the training data: a stratified, seeded share that no copy crosses."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from gateway.core.draws import seeded_rank, shares
from gateway.core.errors import ConfigError, DataError
from gateway.tasks.similarity import text_of
from gateway.tasks.task import Item
from gateway.tuning.checks.duplicates import CAUTIOUS, Copies

HELD_OUT = 0.15
LEAST_HELD_OUT = 0.1
MOST_HELD_OUT = 0.2
"""Below the least, figures on what is held out say little; above the most, they cost more training
items than they are worth."""

_BINS = 5
"""Numbers are stratified by fifths."""

_PURPOSE = "held-out"


@dataclass(frozen=True, slots=True)
class Split:
    """Items to train on and items held out, each in the order of the data."""

    train: tuple[Item, ...]
    validation: tuple[Item, ...]


def check_share(share: float) -> None:
    """Raise ConfigError for a share that is not worth holding out."""
    if not LEAST_HELD_OUT <= share <= MOST_HELD_OUT:
        reason = (
            "on so few held-out items no figure means much"
            if share < LEAST_HELD_OUT
            else "so many held-out items are missed in training"
        )
        raise ConfigError(
            f"a held-out share of {share:g} is outside {LEAST_HELD_OUT:g} to {MOST_HELD_OUT:g}: "
            f"{reason}",
            hint="--any-share takes it all the same",
        )


def split(items: Sequence[Item], share: float = HELD_OUT, seed: int = 0) -> Split:
    """Hold out a share of each label (numbers: of each fifth; JSON: of each combination).

    Items that are copies of each other, near ones too, stay on one side. Each label's held-out
    items are its share by largest remainders, fewer only where its copies come in families that
    are larger than what is left of it. What is chosen depends on seed and ids, not on the order.

    Args:
        share: above 0 and below 1.

    Raises:
        ConfigError: such is not the share.
        DataError: nothing would be held out, or nothing left to train on.
    """
    if not 0 < share < 1:
        raise ConfigError(f"a held-out share of {share:g} is not between 0 and 1")
    families = _families(items, seed)
    strata = _strata(items)
    sizes = Counter(strata)
    quota = shares(sizes, round(share * len(items)), lambda name: seeded_rank(seed, _PURPOSE, name))
    chosen: set[int] = set()
    for family in families:
        counts = Counter(strata[at] for at in family)
        if all(count <= quota[name] for name, count in counts.items()):
            chosen |= set(family)
            quota = {name: left - counts[name] for name, left in quota.items()}
    if not chosen or len(chosen) == len(items):
        raise DataError(
            f"of {len(items)} items, {share:g} cannot be held out and others left to train on",
            hint="more items, or another share (--held-out); copies of one item count as one",
        )
    return Split(
        tuple(item for at, item in enumerate(items) if at not in chosen),
        tuple(item for at, item in enumerate(items) if at in chosen),
    )


def folds(items: Sequence[Item], count: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """The fold of each item, 0 to count - 1, for cross-validation: each has its share of each
    label, and copies are in one fold. Shape (items,)."""
    strata, found = _strata(items), np.zeros(len(items), dtype=np.int64)
    held: Counter[tuple[str, int]] = Counter()
    for family in _families(items, seed):
        name = strata[family[0]]
        fold = min(range(count), key=lambda each: (held[name, each], _size(held, each), each))
        found[family] = fold
        held.update((strata[at], fold) for at in family)
    return found


def _size(held: Counter[tuple[str, int]], fold: int) -> int:
    return sum(count for (_, each), count in held.items() if each == fold)


def _families(items: Sequence[Item], seed: int) -> list[list[int]]:
    """Copies together, in a seeded order that does not depend on that of the items."""
    numbers = _family_of_each(tuple(map(text_of, items)))
    members: dict[int, list[int]] = defaultdict(list)
    for at, number in enumerate(numbers):
        members[int(number)].append(at)
    return sorted(
        members.values(),
        key=lambda family: min(seeded_rank(seed, _PURPOSE, items[at].id) for at in family),
    )


@lru_cache(maxsize=1)
def _family_of_each(texts: tuple[str, ...]) -> npt.NDArray[np.intp]:
    """Data is checked and then divided: the same texts, twice in a row."""
    return Copies(texts, [""] * len(texts), CAUTIOUS).families()


def _strata(items: Sequence[Item]) -> list[str]:
    golds = [item.gold for item in items]
    numbers = [gold for gold in golds if isinstance(gold, float)]
    edges = np.quantile(numbers, np.linspace(0, 1, _BINS + 1)[1:-1]) if numbers else np.empty(0)
    return [
        f"fifth {int(np.searchsorted(edges, gold))}"
        if isinstance(gold, float)
        else json.dumps(dict(gold) if isinstance(gold, Mapping) else gold, sort_keys=True)
        for gold in golds
    ]
