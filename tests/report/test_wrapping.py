"""Lines are broken between words, and within one only where it is wider than the line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from gateway.report.wrapping import widest_word, wrapped


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("one two three", 8, ["one two", "three"]),
        ("one two three", 80, ["one two three"]),
        ("", 5, [""]),
        ("  one two", 7, ["  one", "  two"]),
        ("model/few_shot/batch", 14, ["model/", "few_shot/batch"]),
        ("model/few_shot/batch", 10, ["model/", "few_shot/", "batch"]),
        ("base+adapter/zero_shot", 14, ["base+adapter/", "zero_shot"]),
        ("one-two_three", 9, ["one-", "two_three"]),
        ("one_two_three", 8, ["one_two_", "three"]),
        ("name==1.2.3", 8, ["name==", "1.2.3"]),
        ("blk.attn.weight", 9, ["blk.attn.", "weight"]),
        ("abcdefgh", 3, ["abc", "def", "gh"]),
        ("你好世界", 4, ["你好", "世界"]),
    ],
)
def test_a_text_is_broken_where_it_hurts_least(text: str, width: int, lines: list[str]) -> None:
    assert wrapped(text, width).split("\n") == lines


def test_lines_behind_the_first_may_hang() -> None:
    assert wrapped("one two three", 9, hang=2) == "one two\n  three"


@given(st.text(st.sampled_from("ab/-. 你:")), st.integers(2, 30), st.integers(0, 4))
def test_nothing_is_lost_but_spaces_and_no_line_is_too_wide(
    text: str, width: int, hang: int
) -> None:
    lines = wrapped(text, width, hang).split("\n")
    assert "".join("".join(lines).split()) == "".join(text.split())
    indent = len(text) - len(text.lstrip(" "))
    assert all(cell_len(line) <= max(width, indent + hang + 2) for line in lines)


def test_a_text_needs_its_widest_word() -> None:
    assert widest_word("") == 0
    assert widest_word("a bits/weight b") == len("bits/weight")
    assert widest_word("a/long/pa-th", breaks=True) == len("long/")
