"""How alike two texts are: cosine of TF-IDF vectors over words."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gateway.tasks.task import Item

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer

NEAR_DUPLICATE = 0.9
"""Cosine from which two items count as one. Lee et al. 2022 (arXiv 2107.06499) take a Jaccard
similarity of 0.8 for near-duplicates; on short texts 0.9 of TF-IDF cosine is about as strict."""

_WORD = r"(?u)\w+"
"""One-character words count: "C", "R" and "5" tell texts apart."""

_BLOCK = 512
"""Texts that are looked up at once."""

_PAIRS = 1 << 15
"""Pairs whose cosines are computed at once."""

_SLACK = 1e-6
"""More than rounding can take from a squared norm."""

_DIGITS = 9
"""Similarities are rounded, so that the last bit of a dot product never decides an order."""


class Similarity:
    """Texts to which others are compared.

    Args:
        texts: the vocabulary and its weights come from these.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._vectorizer = _vectorizer()
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


def near_pairs(
    texts: Sequence[str], threshold: float = NEAR_DUPLICATE
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """All pairs of texts whose cosine is at least the threshold: first, second, cosine.

    Exact, and without comparing all with all: two vectors of length one that share only words whose
    weights in one of them have a norm below the threshold are less alike than it. So each text is
    looked up by its rarest words alone, as many as it takes to leave less than that (prefix
    filtering: Bayardo et al. 2007, Scaling Up All Pairs Similarity Search).

    Returns:
        Three arrays of one length; `first < second`, in ascending order.
    """
    none = (np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0, np.float64))
    vectorizer = _vectorizer()
    try:
        vectors = vectorizer.fit_transform(texts)
    except ValueError:  # Not one word in all of them.
        return none
    vectors = vectors[:, np.argsort(vectors.getnnz(axis=0), kind="stable")].tocsr()
    vectors.sort_indices()
    prefixes = _prefixes(vectors, threshold)
    found = [none]
    for start in range(0, len(texts), _BLOCK):
        shared = (prefixes[start : start + _BLOCK] @ prefixes.T).tocoo()
        first, second = shared.row.astype(np.intp) + start, shared.col.astype(np.intp)
        later = second > first
        found.append(_at_least(vectors, first[later], second[later], threshold))
    first, second, cosines = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.lexsort((second, first))
    return first[order], second[order], cosines[order]


def _vectorizer() -> "TfidfVectorizer":
    # scikit-learn takes a second to load, and most commands compare no texts.
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(sublinear_tf=True, token_pattern=_WORD)


def _prefixes(vectors: "csr_matrix", threshold: float) -> "csr_matrix":
    """Ones at the rarest words of each row, whose columns come rarest first."""
    from scipy.sparse import csr_matrix

    lengths = np.diff(vectors.indptr)
    squares = np.concatenate([[0.0], np.cumsum(vectors.data**2)])
    ends = np.repeat(squares[vectors.indptr[1:]], lengths)
    left = ends - squares[:-1]
    """Of each word: the squared norm of itself and the words behind it in its row."""
    kept = (left >= threshold**2 - _SLACK).astype(np.int32)
    # A copy: without its zeros it is written anew, into the indices that it was made of.
    made = csr_matrix((kept, vectors.indices, vectors.indptr), shape=vectors.shape, copy=True)
    made.eliminate_zeros()
    return made


def _at_least(
    vectors: "csr_matrix", first: NDArray[np.intp], second: NDArray[np.intp], threshold: float
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """The pairs that are alike enough, with their cosines."""
    pieces = [np.empty(0)]
    for start in range(0, len(first), _PAIRS):
        piece = slice(start, start + _PAIRS)
        products = vectors[first[piece]].multiply(vectors[second[piece]])
        pieces.append(np.asarray(products.sum(axis=1)).ravel())
    cosines = np.concatenate(pieces).round(_DIGITS)
    kept = cosines >= threshold
    return first[kept], second[kept], cosines[kept]


def text_of(item: Item) -> str:
    """All of an item's own fields."""
    return "\n".join(text for name, text in item.fields.items() if name not in item.lists)
