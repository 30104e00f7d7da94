"""Which beginnings of labels need not be finished.

The labels that begin in one way are together no more probable than that beginning. One whose bound
is below the best label found so far cannot hold the best one, and where the bound is also small
against what was found, all behind it changes no probability by more than is allowed.

This is the exact depth-first search of Stahlberg and Byrne 2019 ("On NMT Search Errors and Model
Errors: Cat Got Your Tongue?", section 3), over a trie of labels, and with a bound on the rest.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gateway.core.types import EXACT_SHARE, LabelSearch
from gateway.engine.trie import TrieNode

_ROUNDING = 1e-9
"""Nats. Two labels closer than this may have one probability, and then their order decides."""


class Pruner:
    """What is known of the labels that were finished, and which beginnings are worth going on with.

    All depends on the request alone: the trie, its log-probabilities, and their order.

    Args:
        labels: how many there are.
    """

    def __init__(self, wanted: LabelSearch, labels: int) -> None:
        self._lifts = -np.array(wanted.corrections, dtype=np.float64)
        """What each rule adds to each label, shape (rules, labels)."""
        rules = len(self._lifts)
        self._best = np.full(rules, -math.inf)
        self._highest = np.full(rules, -math.inf)
        """Bounds of the beginnings that were most promising by each rule."""
        self._found = np.full(rules, -math.inf)
        """ln of the sum over finished labels."""
        self._left = np.full(rules, -math.inf)
        """ln of what the labels that were left have together, at most."""
        self._allowed = wanted.tolerance / labels
        self._any_share = wanted.tolerance == 1.0

    def settle(self, label: int, logprob: float) -> None:
        """A label was finished."""
        score = logprob + self._lifts[:, label]
        self._best = np.maximum(self._best, score)
        self._found = np.logaddexp(self._found, score)

    def bound(self, node: TrieNode, so_far: float) -> NDArray[np.float64]:
        """What no label behind a beginning exceeds, nor all of them together, for each rule."""
        highest: NDArray[np.float64] = self._lifts[:, node.below].max(axis=1)
        return so_far + highest

    def order(self, bounds: Sequence[NDArray[np.float64]]) -> list[int]:
        """Places of beginnings with these bounds, the most promising by any rule last. What rules
        add lies on scales of their own, so each is held against the best that it has seen."""
        table = np.array(bounds)
        self._highest = np.maximum(self._highest, table.max(axis=0))
        possible = ~np.isneginf(self._highest)
        behind = np.subtract(table, self._highest, out=np.zeros_like(table), where=possible)
        return sorted(range(len(bounds)), key=behind.max(axis=1).tolist().__getitem__)

    def leave(self, node: TrieNode, so_far: float) -> None:
        """Nothing behind a beginning is finished."""
        self._left = np.logaddexp(self._left, self.bound(node, so_far))

    @property
    def exact(self) -> bool:
        """Whether what was left changes no probability by more than `EXACT_SHARE`."""
        return bool((self._left <= self._found + math.log(EXACT_SHARE)).all())

    def needs(self, node: TrieNode, so_far: float) -> bool:
        """Whether the best label may be behind a beginning, or too much of the probability.

        Each beginning may hold as much of what is allowed as it has of the labels, so that all that
        are left out hold no more than is allowed.
        """
        bound = self.bound(node, so_far)
        if (bound >= self._best - _ROUNDING).any():
            return True
        share = self._found + math.log(self._allowed * len(node.below))
        return not self._any_share and bool((bound > share).any())
