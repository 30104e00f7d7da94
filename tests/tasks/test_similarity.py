import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.tasks.similarity import NEAR_DUPLICATE, Similarity, near_pairs

WORDS = st.lists(st.sampled_from(["ab", "cd", "ef", "gh", "ij", "kl"]), max_size=7).map(" ".join)


def test_a_text_is_most_like_itself_and_unlike_other_words() -> None:
    texts = ["the page crashes", "add dark mode please", "how do I log in"]
    cosines = Similarity(texts).to(["the page crashes", "zebra"])
    assert cosines.shape == (2, 3)
    assert list(cosines[0]) == pytest.approx([1.0, 0.0, 0.0])
    assert list(cosines[1]) == [0.0, 0.0, 0.0]


def test_case_and_punctuation_make_no_other_text() -> None:
    cosines = Similarity(["It crashes when I scroll, always!"]).to(
        ["it crashes when i scroll always"]
    )
    assert cosines[0, 0] >= NEAR_DUPLICATE


def test_texts_without_a_word_are_like_nothing() -> None:
    assert Similarity(["", "?!"]).to(["", "a"]).tolist() == [[0.0, 0.0], [0.0, 0.0]]


@settings(max_examples=40)
@given(st.lists(WORDS, min_size=1, max_size=12), st.sampled_from([0.3, 0.7, 0.9, 1.0]))
def test_near_pairs_are_all_pairs_that_comparing_all_with_all_finds(
    texts: list[str], threshold: float
) -> None:
    cosines = Similarity(texts).to(texts)
    want = [
        (a, b)
        for a, b in itertools.combinations(range(len(texts)), 2)
        if cosines[a, b] >= threshold
    ]
    first, second, found = near_pairs(texts, threshold)
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == want
    assert found.tolist() == pytest.approx([cosines[pair] for pair in want])


def test_texts_without_a_word_make_no_pairs() -> None:
    assert [len(column) for column in near_pairs(["", "?!", ""])] == [0, 0, 0]
