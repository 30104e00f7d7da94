"""How alike two texts are: cosine of TF-IDF vectors over words."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

from gateway.tasks import Item

NEAR_DUPLICATE = 0.9
"""Cosine from which two items count as one. Lee et al. 2022 (arXiv 2107.06499) take a Jaccard
similarity of 0.8 for near-duplicates; on short texts 0.9 of TF-IDF cosine is about as strict."""

_WORD = r"(?u)\w+"
"""One-character words count: "C", "R" and "5" tell texts apart."""

_DIGITS = 9
"""Similarities are rounded, so that the last bit of a dot product never decides an order."""


class Similarity:
    """Texts to which others are compared.

    Args:
        texts: the vocabulary and its weights come from these.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=_WORD)
        try:
            self._known = self._vectorizer.fit_transform(texts)
        except ValueError:  # Not one word in all of them.
            self._known = None
        self._count = len(texts)

    def to(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Cosines, shape (texts given here, texts known), each in [0, 1]."""
        if self._known is None:
            return np.zeros((len(texts), self._count))
        product = self._vectorizer.transform(texts) @ self._known.T
        cosines: NDArray[np.float64] = np.asarray(product.todense(), dtype=np.float64)
        return cosines.round(_DIGITS)


def text_of(item: Item) -> str:
    """All of an item's fields."""
    return "\n".join(item.fields.values())
