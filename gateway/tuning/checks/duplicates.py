"""Copies among texts, of three kinds: identical, identical once normalised, and near.

Near is a cosine of at least 0.9 between TF-IDF vectors over words, the measure by which `gateway
run` keeps test items out of exemplars, baselines and calibration; here the weights come from all
parts of the data together. All such pairs are found, none is estimated.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from gateway.tasks.similarity import NEAR_DUPLICATE, near_pairs

NORMALISED_AWAY = "case, spaces, numbers and URLs"
METHOD = f"near: cosine of TF-IDF vectors over words, at least {NEAR_DUPLICATE:g}"

CAUTIOUS = 0.85
"""Cosine from which a split keeps two items together. The weights of words depend on all texts that
are compared: a pair just below 0.9 among the training items can be above it beside others."""

_URL = re.compile(r"(?:https?://|www\.)\S+")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")


class How(StrEnum):
    """In which way one text is a copy of another."""

    IDENTICAL = "identical"
    NORMALISED = "the same but for " + NORMALISED_AWAY
    NEAR = "nearly the same"


@dataclass(frozen=True, slots=True)
class Copy:
    """A text that is a copy of another."""

    of: int
    """Number of the other text."""
    how: How
    cosine: float = 1.0

    def __str__(self) -> str:
        return f"{self.how}, cosine {self.cosine:.3f}" if self.how is How.NEAR else self.how.value


def normalised(text: str) -> str:
    """A text without case, without its kinds of spaces, and with every number and URL alike.

    Case and compatibility forms as Unicode's toNFKC_Casefold (Unicode 16, D147), to which
    ignorable characters are left.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    folded = unicodedata.normalize("NFKC", folded)
    return " ".join(_NUMBER.sub("0", _URL.sub(" <url> ", folded)).split())


class Copies:
    """Which of a list of texts copy which.

    Args:
        texts: of all parts, one after another.
        parts: the part that each text is in.
        threshold: cosine from which two texts are near.
    """

    def __init__(
        self, texts: Sequence[str], parts: Sequence[str], threshold: float = NEAR_DUPLICATE
    ) -> None:
        self._parts = parts
        self._identical = _numbered(texts)
        self._alike = _numbered([normalised(text) for text in texts])
        distinct = [texts[at] for at in _firsts(self._alike)]
        self.first, self.second, self.cosines = near_pairs(distinct, threshold)
        """Pairs of near texts, each the first of those that are alike once normalised: numbers of
        the groups, and cosines."""
        self._near: dict[int, list[tuple[float, int]]] = defaultdict(list)
        for a, b, cosine in zip(self.first, self.second, self.cosines, strict=True):
            self._near[int(a)].append((float(cosine), int(b)))
            self._near[int(b)].append((float(cosine), int(a)))
        for others in self._near.values():
            others.sort(key=lambda near: (-near[0], near[1]))
        self._first: dict[tuple[How, int, str], int] = {}
        for at, part in enumerate(parts):
            self._first.setdefault((How.IDENTICAL, self._identical[at], part), at)
            self._first.setdefault((How.NORMALISED, self._alike[at], part), at)

    def closest(self, at: int, part: str) -> Copy | None:
        """The text of a part that a text is most a copy of; in its own part: of those before it."""
        end = at if self._parts[at] == part else len(self._parts)
        for how, group in (
            (How.IDENTICAL, self._identical[at]),
            (How.NORMALISED, self._alike[at]),
        ):
            found = self._first.get((how, group, part), end)
            if found < end:
                return Copy(found, how)
        for cosine, group in self._near.get(self._alike[at], ()):
            found = self._first.get((How.NORMALISED, group, part), end)
            if found < end:
                return Copy(found, How.NEAR, cosine)
        return None

    def same(self, how: How) -> list[list[int]]:
        """Groups of two or more texts that are the same in that way, each in ascending order."""
        return _groups(self._identical if how is How.IDENTICAL else self._alike)

    def families(self) -> NDArray[np.intp]:
        """A number for each text, the same for all that copies connect, of whatever kind."""
        count = max(self._alike, default=-1) + 1
        edges = coo_matrix(
            (np.ones(len(self.first), np.int8), (self.first, self.second)), (count, count)
        )
        _, family = connected_components(edges, directed=False)
        return np.asarray(family, dtype=np.intp)[np.asarray(self._alike, dtype=np.intp)]

    def near(self) -> list[tuple[int, int, float]]:
        """Pairs of near texts, one of each group that is alike once normalised, and cosines."""
        firsts = _firsts(self._alike)
        pairs = zip(self.first, self.second, self.cosines, strict=True)
        return [(firsts[a], firsts[b], float(cosine)) for a, b, cosine in pairs]


def _numbered(keys: Sequence[Hashable]) -> list[int]:
    """A number for each key, the same for equal ones, in the order of their first."""
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(key, len(numbers)) for key in keys]


def _groups(numbers: Sequence[int]) -> list[list[int]]:
    members: dict[int, list[int]] = defaultdict(list)
    for at, number in enumerate(numbers):
        members[number].append(at)
    return [group for group in members.values() if len(group) > 1]


def _firsts(numbers: Sequence[int]) -> list[int]:
    """Where each number stands first; numbers are in the order of their first."""
    firsts: dict[int, int] = {}
    for at, number in enumerate(numbers):
        firsts.setdefault(number, at)
    return list(firsts.values())
