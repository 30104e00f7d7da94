import pytest

from gateway.similarity import NEAR_DUPLICATE, Similarity


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
