"""Which beginnings of labels need not be finished.

The labels that begin in one way are together no more probable than that beginning. By a rule that
divides by a label's length, each is no better than the beginning divided by it. One whose bound is
below the best label found so far cannot hold the best one, and where the bound is also small
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
        tokens, sizes: of each label, as `LabelScores.token_counts` and `byte_counts`.
    """

    def __init__(self, wanted: LabelSearch, tokens: Sequence[int], sizes: Sequence[int]) -> None:
        self._lifts = -np.array(wanted.corrections, dtype=np.float64)
        """What each rule adds to each label, shape (rules, labels)."""
        self._divisors = np.array(wanted.divisors(tokens, sizes), dtype=np.float64)
        """What it divides by before, in the same shape."""
        self._by_length = (self._divisors != 1.0).any(axis=1)
        """Of which rules labels with one beginning may be more than it together."""
        rules = len(self._lifts)
        self._best = np.full(rules, -math.inf)
        self._highest = np.full(rules, -math.inf)
        """Bounds of the beginnings that were most promising by each rule."""
        self._found = np.full(rules, -math.inf)
        """ln of the sum over finished labels."""
        self._left = np.full(rules, -math.inf)
        """ln of what the labels that were left have together, at most."""
        self._allowed = wanted.tolerance / len(tokens)
        self._any_share = wanted.tolerance == 1.0

    def settle(self, label: int, logprob: float) -> None:
        """A label was finished."""
        score = logprob / self._divisors[:, label] + self._lifts[:, label]
        self._best = np.maximum(self._best, score)
        self._found = np.logaddexp(self._found, score)

    def bound(self, node: TrieNode, so_far: float) -> NDArray[np.float64]:
        """What no label behind a beginning exceeds, for each rule."""
        highest: NDArray[np.float64] = self._each(node, so_far).max(axis=1)
        return highest

    def _each(self, node: TrieNode, so_far: float) -> NDArray[np.float64]:
        """What each label behind a beginning does not exceed, shape (rules, labels behind it)."""
        each: NDArray[np.float64] = so_far / self._divisors[:, node.below]
        each += self._lifts[:, node.below]
        return each

    def _together(self, node: TrieNode, so_far: float) -> NDArray[np.float64]:
        """What all labels behind a beginning do not exceed together, for each rule: no more than
        the beginning, where their log-probabilities are taken as they are."""
        each = self._each(node, so_far)
        sums: NDArray[np.float64] = np.logaddexp.reduce(each, axis=1)
        return np.where(self._by_length, sums, each.max(axis=1))

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
        self._left = np.logaddexp(self._left, self._together(node, so_far))

    @property
    def exact(self) -> bool:
        """Whether what was left changes no probability by more than `EXACT_SHARE`."""
        return bool((self._left <= self._found + math.log(EXACT_SHARE)).all())

    def needs(self, node: TrieNode, so_far: float) -> bool:
        """Whether the best label may be behind a beginning, or too much of the probability.

        Each beginning may hold as much of what is allowed as it has of the labels, so that all that
        are left out hold no more than is allowed.
        """
        if (self.bound(node, so_far) >= self._best - _ROUNDING).any():
            return True
        share = self._found + math.log(self._allowed * len(node.below))
        return not self._any_share and bool((self._together(node, so_far) > share).any())
