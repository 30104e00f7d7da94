"""Which members are worth trying on all items, where to try each would take hours.

All are tried on a part of the items, and those that lose most are left out; the others are tried on
three times as many, and so on: successive halving, Jamieson and Talwalkar 2016, "Non-stochastic
Best Arm Identification and Hyperparameter Optimization", arXiv 1502.07943.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil

import numpy as np
from numpy.typing import NDArray

from gateway.tuning.job import Stage
from gateway.tuning.probe.choose import POOLINGS, mean_loss, out_of_fold
from gateway.tuning.probe.fit import Choice, Codes, Data
from gateway.tuning.probe.kept import KeptScores
from gateway.tuning.probe.states import StateStore

MOST_WORK = 1e11
"""Of items, inputs and labels multiplied, over all members and folds, what is tried without a
round: some ten minutes on two cores."""
_LEFT = 3
"""One in so many goes on, to as many times the items."""
_MOST_ROUNDS = 4
_OF_A_LABEL = 10
"""Items that a part has at least, of each label that has them."""


@dataclass(frozen=True, slots=True)
class Rounds:
    """What the rounds have left out."""

    tried: int = 0
    """Members at the beginning; 0: there was no round."""
    left: int = 0
    """Of them, those that are worth trying on all items."""
    items: tuple[int, ...] = ()
    """Of each round."""

    def __str__(self) -> str:
        parts = " and then ".join(f"{each:,}" for each in self.items)
        return f"{self.left} of {self.tried} members; the others lost more on {parts} items"


@dataclass(frozen=True)
class Halving:
    """What the rounds are made of.

    Args:
        folds: the fold of each item.
        seed: of which items are a part.
    """

    data: Data
    folds: NDArray[np.int64]
    store: StateStore
    begin: Stage
    seed: int = 0
    most_work: float = field(default=MOST_WORK, kw_only=True)

    def worth_trying(self, choices: Sequence[Choice]) -> tuple[tuple[Choice, ...], Rounds]:
        """Those of the choices that are, in their order, and how they were found.

        Where to try all of them is little work, all are. Members on words are few and cheap: they
        always are.
        """
        number = self._rounds(choices)
        left, sizes = tuple(choices), []
        for after in range(number, 0, -1):
            at = part_of(self.data.golds, _LEFT**-after, self.seed)
            if len(at) == len(self.data.golds):
                break  # labels of few items: who is tried on a part is tried on all of them
            sizes.append(len(at))
            left = self._best(left, at)
        return left, Rounds(len(choices), len(left), tuple(sizes)) if sizes else Rounds()

    def _rounds(self, choices: Sequence[Choice]) -> int:
        """The fewest that make it little work; each round is as much as the last trial."""
        whole = work(choices, self.data, int(self.folds.max()) + 1)
        needed = (n for n in range(_MOST_ROUNDS) if (n + 1) * whole / _LEFT**n <= self.most_work)
        return next(needed, _MOST_ROUNDS)

    def _best(self, choices: Sequence[Choice], at: NDArray[np.int64]) -> tuple[Choice, ...]:
        """Of each pooling those that lose least on some items, so that members stay unlike."""
        part, folds = self.data.at(at), self.folds[at]
        asked = [choice for choice in choices if choice.layer]
        done = self.begin(f"members tried on {len(at):,} items", len(asked) * (folds.max() + 1))
        found = out_of_fold(asked, part, folds, KeptScores(self.store, part, folds), done)
        losses = {choice: mean_loss(said, part.golds) for choice, said in found.items()}
        best = {choice for choice in choices if not choice.layer}
        for pooling in POOLINGS:
            alike = sorted((c for c in asked if c.pooling == pooling), key=losses.__getitem__)
            best.update(alike[: ceil(len(alike) / _LEFT)])
        return tuple(choice for choice in choices if choice in best)


def work(choices: Sequence[Choice], data: Data, folds: int) -> float:
    """Items, inputs and labels multiplied, over all members on states and folds."""
    inputs = sum(
        int(data.states[choice.layer].shape[-1]) * (2 if choice.pooling == "both" else 1)
        for choice in choices
        if choice.layer
    )
    return float(len(data.golds) * inputs * data.labels * folds)


def part_of(golds: Codes, share: float, seed: int) -> NDArray[np.int64]:
    """Places of a share of each label's items, ascending; a smaller share's are among them."""
    order = np.random.default_rng(seed).permutation(len(golds))
    chosen = []
    for label in np.unique(golds):
        places = order[golds[order] == label]
        chosen.append(places[: max(ceil(share * len(places)), _OF_A_LABEL)])
    return np.sort(np.concatenate(chosen))
