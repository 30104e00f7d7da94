"""Numbers and texts as a reader sees them."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.report import format as fmt
from gateway.scoring.results import Metric


@given(st.text(st.characters()))
def test_cleaned_text_is_one_line_that_can_be_encoded_and_drives_no_terminal(text: str) -> None:
    cleaned = fmt.clean(text)
    cleaned.encode("utf-8")
    assert len((cleaned + "x").splitlines()) == 1
    assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in cleaned)


def test_cleaning_keeps_words_apart_and_letters_as_they_are() -> None:
    assert fmt.clean("a\r\nb\tc") == "a b c"
    assert fmt.clean("Grüße 你好 👍🏽 [red]") == "Grüße 你好 👍🏽 [red]"
    assert fmt.clean("\x1b[31mx\x9b\u202e") == "[31mx"
    assert fmt.clean("\ud800") == "\ufffd"


@given(st.text(), st.integers(3, 30))
def test_a_shortened_text_fits_and_keeps_both_ends(text: str, width: int) -> None:
    short = fmt.shorten(text, width)
    assert len(short) <= width
    assert short == text or (short[0], short[-1]) == (text[0], text[-1])


def test_numbers() -> None:
    assert fmt.number(0.12345) == "0.123"
    assert fmt.number(-0.0001) == "0.000"
    assert fmt.number(None) == "–"
    assert fmt.signed(0.05) == "+0.050"
    assert fmt.signed(-0.0001) == "0.000"
    assert fmt.estimate(Metric(0.5, 0.412, 0.557)) == "0.500 [0.41, 0.56]"
    assert fmt.estimate(Metric(0.5)) == "0.500"
    assert fmt.estimate(None) == "–"
    assert fmt.difference(Metric(-0.1, -0.2, 0.01)) == "-0.100 [-0.200, +0.010]"
    assert fmt.count(1234.4) == "1,234"
    assert fmt.plural(1, "item") == "1 item"
    assert fmt.plural(1500, "item") == "1,500 items"


@pytest.mark.parametrize(
    ("p", "shown", "said"),
    [
        (0.0009, "<0.001", "p < 0.001"),
        (0.001, "0.001", "p = 0.001"),
        (1.0, "1.000", "p = 1.000"),
        (None, "–", "no p-value"),
    ],
)
def test_p_values(p: float | None, shown: str, said: str) -> None:
    assert fmt.p_value(p) == shown
    assert fmt.p_statement(p) == said


def test_seconds_have_the_digits_that_matter() -> None:
    assert [fmt.seconds(s) for s in (0.0421, 3.14159, 1234.5, None)] == [
        "0.042",
        "3.14",
        "1,234",
        "–",
    ]
