"""TF-IDF of words and word pairs: what a linear model reads of a text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from scipy.sparse import csr_array, spmatrix

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

WordFeatures = csr_array | spmatrix
"""Of texts, shape (texts, words)."""


def word_features(
    texts: Sequence[str], *, fewest: int = 2
) -> "tuple[TfidfVectorizer, WordFeatures] | None":
    """What makes features of texts, learnt from these, and their own; None where no word is common
    enough.

    Args:
        fewest: texts that a word or a pair has to occur in.
    """
    # Loads for a second; who asks for numbers of what was answered needs none of it.
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=fewest)
    try:
        return vectorizer, vectorizer.fit_transform(texts)
    except ValueError:  # No word is left, or there are fewer texts.
        return None
