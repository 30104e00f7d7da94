import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.tuning.checks.duplicates import Copies, Copy, How, normalised


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_what_is_normalised_is_not_changed_again(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40))
def test_spaces_and_case_do_not_count(text: str) -> None:
    assert normalised(f"\n\t {text}\u00a0 ") == normalised(text)
    assert normalised(text.casefold()) == normalised(text)


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_numbers_do_not_count(one: int, other: int) -> None:
    assert normalised(f"version {one}.2 fails") == normalised(f"version {other}.7 fails")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("see https://a.b/c?d=1 now", "See HTTP://x.y  now"),
        ("www.example.org fails", "https://example.com/1 fails"),
        ("ﬁle at 10:30", "file at 9:05"),
    ],
)
def test_urls_compatibility_forms_and_times_do_not_count(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


def test_words_count() -> None:
    assert normalised("it crashes") != normalised("it crashed")


TEXTS = ["the page crashes when I scroll", "The page  crashes when I scroll", "add a dark mode"]


def test_each_text_has_the_closest_copy_before_it_in_its_own_part() -> None:
    near = "the page crashes when, when I scroll"
    copies = Copies([*TEXTS, TEXTS[0], near], ["train"] * 5)
    assert [copies.closest(at, "train") for at in range(4)] == [
        None,
        Copy(0, How.NORMALISED),
        None,
        Copy(0, How.IDENTICAL),
    ]
    found = copies.closest(4, "train")
    assert found is not None
    assert (found.of, found.how, 0.9 <= found.cosine < 1) == (0, How.NEAR, True)


def test_across_parts_the_order_does_not_matter() -> None:
    copies = Copies([TEXTS[2], TEXTS[1], TEXTS[0]], ["train", "train", "test"])
    assert copies.closest(1, "test") == Copy(2, How.NORMALISED)
    assert copies.closest(2, "train") == Copy(1, How.NORMALISED)
    assert copies.closest(0, "test") is None


def test_families_are_what_copies_of_any_kind_connect() -> None:
    near = "the page crashes when, when I scroll"
    families = Copies([TEXTS[0], TEXTS[2], near, TEXTS[1]], [""] * 4).families().tolist()
    assert families[0] == families[2] == families[3] != families[1]
