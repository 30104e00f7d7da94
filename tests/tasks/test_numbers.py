"""A number is read where it can only be that one; else it is said why none is."""

from contextlib import suppress
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.tasks.numbers import Unclear, read_number


def why(text: str, *, cut: bool = False) -> str:
    """Why no number is read; empty: there is none."""
    try:
        number = read_number(text, cut=cut)
    except Unclear as unclear:
        return str(unclear)
    assert number is None, number
    return ""


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5", 5),
        (".5", 0.5),
        ("0.5.", 0.5),
        ("2,5", 2.5),
        ("0,125", 0.125),
        ("1,234.5", 1234.5),
        ("1,234,567", 1234567),
        ("1.234,5", 1234.5),
        ("1/2", 0.5),
        ("1 1/2 points", 1.5),
        ("½", 0.5),
        ("2½", 2.5),
        ("5pts", 5),
        ("a 5-point story", 5),
        ("~ 5", 5),
        ("**8**", 8),
        ("__8__", 8),
        ("'8'", 8),
        ("five (5)", 5),
        ("5...", 5),
        ("8\n13 would be too much", 8),
        ("I would give this task 5 story points.", 5),
        ("Estimated effort: **3 points** (1-2 days)", 3),
        ("It's not 3. Story points: 5", 5),
        ("2 people for 3 days: 5", 5),
        ("5, because of 3 files and 2 days", 5),
        ("3-5 would fit, so I estimate: 4", 4),
        ("It takes 3 to 5 days: 8 points", 8),
        ("See step 2 of #7 in v1.2.3 of 2024-05-01, at 10:30: 5", 5),
        ("5 ½", 5.5),
        ("-0", 0),
        ("<answer>5</answer>", 5),
        ("<b>Points:</b> 5", 5),
        ("5&nbsp;points", 5),
        ("--> 5", 5),
        ("\\boxed{5}", 5),
        ('{"story_points": 5}', 5),
        ('```json\n{"points": "5"}\n```', 5),
        ("| Story points | 5 |", 5),
        ("~~3~~ 5", 5),
        ("5, not 8", 5),
        ("On a scale of 1 to 10, I would rate it a 5", 5),
        ("Story points: 5 (confidence 0.8)", 5),
        ("Error 500 appears: 3 points", 3),
        ("5 because 8 would be too much", 5),
        ("5 points, 2 days", 5),
        ("Priority 1, 3 points", 3),
        ("Jan 5: 3 points", 3),
        ("The task has 4 acceptance criteria; I estimate 8 points.", 8),
        ("story_points: 5, confidence 0.9", 5),
        ("I guess 8?", 8),
    ],
)
def test_what_can_only_be_one_number_is_read(text: str, number: float) -> None:
    assert read_number(text) == number


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("3-5", "'3-5' is a range"),
        ("3 – 5 points", "'3 – 5' is a range"),
        ("3..5", "is a range"),
        ("3 to 5", "is a range"),
        ("3 or 5", "is a range"),
        ("between 3 and 5", "is a range"),
        ("3 points or maybe 5", "is a range"),
        ("at least 5", "'5' is a bound"),
        ("more than 5 points", "is a bound"),
        ("5+", "is a bound"),
        ("5 or more", "is a bound"),
        ("<= 5", "is a bound"),
        ("3 out of 5", "'3 out of 5' is a share"),
        ("8/10", "is not one plain number"),
        ("1,000", "has a comma for thousands or for decimals"),
        ("3, 5", "'3, 5' is a list or a sum"),
        ("1,2,3,5,8", "is not one plain number"),
        ("3 + 5 = 8", "is a list or a sum"),
        ("3+5=8", "is not one plain number"),
        ("not 5", "'5' is denied"),
        ("It isn't a 5", "is denied"),
        ("3 days", "'3' counts 'days'"),
        ("10%", "counts '%'"),
        ("$5", "counts '$'"),
        ("There are 2 parts", "counts 'parts'"),
        ("It is just 1 module.", "counts 'module."),
        ("1 is not a story point", "'1' is denied"),
        ("1 is trivial, 2 is small", "several numbers: 1, 2"),
        ("- 5: a\n- 2: b", "several numbers: 2, 5"),
        ("It may be 3. It may be 5", "several numbers: 3, 5"),
        ("Estimate: 3. Points: 5", "several numbers: 3, 5"),
        ("3, or rather 5", "several numbers: 3, 5"),
        ("3 points. Corrected: 5", "several numbers: 3, 5"),
        ("5\n8", "several numbers: 5, 8"),
        ("5\n- 8 points", "several numbers: 5, 8"),
        ("5 (or 8)", "several numbers: 5, 8"),
        ("5, but 8 if the API changes", "several numbers: 5, 8"),
        ("5 if simple, 8 otherwise", "several numbers: 5, 8"),
        ("3? 5!", "several numbers: 3, 5"),
        ("3. No wait, 5.", "several numbers: 3, 5"),
        ("3 (edit: 5)", "several numbers: 3, 5"),
        ("5. 8", "several numbers: 5, 8"),
        ("1 (trivial) to 13 (epic)", "several numbers: 1, 13"),
        ("5 8", "two numbers, or one with a space in it"),
        ("10 000", "two numbers, or one with a space in it"),
        ("5 vs 8", "is a range"),
        ("5|8", "is a list or a sum"),
        ("3 → 5", "is a range"),
        *((f"3{dash}5", "is a range") for dash in "‐‑‒–—−～〜~"),
        ("2*5", "two numbers"),
        ("2 times 5 points", "is a list or a sum"),
        ("3 < x < 5", "is a list or a sum"),
        ("2 != 3", "is a list or a sum"),
        ("5 point 8", "is a list or a sum"),
        ("5 at minimum", "is a bound"),
        ("I would not say 3", "is denied"),
        ("2 would be too low", "is denied"),
        ("It is too big for 1", "is denied"),
        ("3) Read it", "may be the first of a list"),
        ("2, not sure, could be 5", "several numbers: 2, 5"),
        ("5 {8}", "several numbers: 5, 8"),
        ("5 points plus 3 points", "is a list or a sum"),
        ("5 points each", "is for each of several"),
        ("5 points per developer", "is for each of several"),
        ("a 3 or a five", "goes with a number in words"),
        ("two to 3", "goes with a number in words"),
        ("5 and a half", "goes with a number in words"),
        ("max. 5", "is a bound"),
        ("5 at most", "is a bound"),
        ("5 minimum", "is a bound"),
        ("5-", "is a bound"),
        ("I can't say it is 5", "is denied"),
        ("It does not seem to be a 5", "is denied"),
        ("USD 5", "counts 'USD'"),
        ("5 per cent", "counts 'per cent'"),
        ("5 h", "counts 'h'"),
        ("5 Stunden", "counts 'Stunden'"),
        ("5 modules", "counts 'modules'"),
        ("5 apples", "counts 'apples'"),
        ("I would use Python 3", "may be a part of a name"),
        ("9" * 400, "is not one plain number"),
        ("5 à 8", "is a range"),
        ("zwischen 3 und 5", "is a range"),
        ("5 ± 2", "is a list or a sum"),
        *((f"3{sign}5", "is not one plain number") for sign in "±、，。·・•٫\\"),
        ("2. Read the issue", "may be the first of a list"),
        ("3. Write tests", "may be the first of a list"),
        ("There are 3 parts of 21 points", "is for each of several"),
        ("two stories of 5 points", "is for each of several"),
        ("It was estimated at 3, I say 5", "several numbers: 3, 5"),
        ("Estimate: 2 dev + 1 QA = 3", "is a list or a sum"),
        ("5\n\nIssue: next\nStory points: 3", "several numbers: 3, 5"),
        ("5 GB", "counts 'GB'"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(text: str, said: str) -> None:
    reason = why(text)
    assert said in reason
    assert len(reason) < 120


@pytest.mark.parametrize(
    "text",
    [
        *("", "five", "v1.2.3", "#7", "step 2", "2024-05-01", "10:30", "٣", "1e3", "abc5", "√5"),
        *("HTTP 404", "PR 5", "error 500", "5 January", "Uncertainty: 2", "f(5)"),
    ],
)
def test_names_are_no_numbers(text: str) -> None:
    assert why(text) == ""


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1. Read the issue.\n2. Estimate: 8", 8),
        ("1. Read the issue. 2. Estimate: 8", 8),
        ("1) Read the issue. 2) Then 8", 8),
        ("**1.** Read\n**2.** Estimate\n\nPoints: 8", 8),
        ("1. 5 points", 5),
        ("8 points:\n1. Read\n2. Write", 8),
        ("5. It is 3 days of work for 2 people", 5),
        ("1", 1),
        ("1.\nIt is trivial.", 1),
        ("1 point. It is trivial.", 1),
    ],
)
def test_the_numbering_of_a_list_is_no_answer(text: str, number: float) -> None:
    assert read_number(text) == number


def test_what_may_be_the_first_of_a_list_is_not_read_unless_a_prompt_began_the_line() -> None:
    assert "may be the first of a list" in why("1. It is trivial.")
    assert read_number("1. It is trivial.", begun=True) == 1
    assert "may be the first of a list" in why("1. Read the issue.\nEstimate: 8")
    with pytest.raises(Unclear, match="several numbers: 1, 8"):
        read_number("1. Read the issue.\nEstimate: 8", begun=True)


def test_a_number_that_a_limit_may_have_cut_is_not_read() -> None:
    assert "may be cut" in why("The estimate is 1", cut=True)
    assert "may be cut" in why("3 to", cut=True)
    assert read_number("5 points, since it", cut=True) == 5
    assert "was cut before it gave" in why("The API takes 3 points and the UI", cut=True)


def test_the_unit_that_a_task_asks_for_is_its_own() -> None:
    assert read_number("3 days", units="Estimate the work in days.") == 3
    assert read_number("3h", units="How many h?") == 3
    assert read_number("4 stars", units="review_star") == 4


class Written(NamedTuple):
    """A number and a way to write it."""

    number: float
    text: str


def _forms(number: float) -> list[str]:
    plain = f"{number:g}"
    forms = [plain, f"{number:.1f}", f"{plain} points", f"{plain}pts", f"**{plain}**", f"~{plain}"]
    if number < 1:
        forms.append(plain.removeprefix("0"))
    if number % 1:
        forms.append(plain.replace(".", ","))
    if number % 1 == 0.5:
        forms.append(f"{number // 1:g} 1/2" if number > 1 else "1/2")
    return forms


numbers = st.sampled_from([0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 5.0, 8.0, 13.0, 21.0, 40.0, 100.0])
written = numbers.flatmap(lambda n: st.sampled_from(_forms(n)).map(lambda text: Written(n, text)))
BEFORE = [
    *("", "I would say ", "Story points: ", "Estimate:\n", "The estimate is about ", "- "),
    *("It takes 3 days for 2 people. Estimate: ", "See #12 and step 3. Answer: "),
    "1. Read the issue.\n2. Compare it.\n\nPoints: ",
]
BEHIND = [
    *(
        "",
        ".",
        "\n",
        "\n\nIt touches 4 files",
        ", because of 2 parts",
        "! That is 3-5 days of work",
    ),
    " since v1.2.3 broke it",
]


@given(st.sampled_from(BEFORE), written, st.sampled_from(BEHIND))
def test_a_number_is_read_in_whatever_is_around_it(
    before: str, given_number: Written, behind: str
) -> None:
    assert read_number(before + given_number.text + behind) == given_number.number


@given(
    st.sampled_from(["", "I would say ", "Story points: ", "The estimate is "]),
    numbers,
    st.sampled_from(
        ["-", " - ", "–", " to ", " or ", "..", " points to ", "/", ", ", " + ", " of "]
    ),
    numbers.map(lambda n: n + 1000),
)
def test_two_numbers_are_never_read_as_one_of_them(
    before: str, low: float, between: str, high: float
) -> None:
    assert why(f"{before}{low:g}{between}{high:g}")


@given(
    st.text()
    | st.text(alphabet="0123456789.,-–/+ \n*()½%$#abpts:")
    | st.lists(st.sampled_from([*BEFORE, *BEHIND, "5", "3-5", "1.", "to", "of"])).map("".join)
)
def test_no_text_raises_anything_but_unclear(text: str) -> None:
    with suppress(Unclear):
        read_number(text, cut=len(text) % 2 == 0)
