import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.models.environment import shipped
from gateway.tasks.parsing import answer_schema, parse_json_fields, parse_label, parse_number
from gateway.tasks.task import load_task

LABELS = ("bug", "bug report", "feature", "question", "Ünïcode", "C++")
ELSEWHERE = (
    *("Ce n'est pas un bug.", "No es un bug.", "Das ist kein Bug.", "Das ist nicht bug"),
    *("\u042d\u0442\u043e \u043d\u0435 bug", "Não é um bug", "To nie jest bug", "Dit is geen bug"),
    *("Bu bir bug değil", "Det er ikke en bug", "\u4e0d\u662f bug", "bug ist das nicht"),
    "Ich denke nicht, dass es ein bug ist",
)
"""No bug, in other languages."""
VALUES = {"type": ("bug", "feature"), "priority": ("low", "high")}


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("bug", "bug"),
        ("  Bug.\n", "bug"),
        ("**feature**", "feature"),
        ('"question"', "question"),
        ("Bug Report", "bug report"),
        ("Label: feature", "feature"),
        ("The answer is: question.", "question"),
        ("It could be a bug or a feature.\nLabel: feature", "feature"),
        ("I think this is a bug report, clearly", "bug report"),
        ("ünïCODE!", "Ünïcode"),
        ("c++", "C++"),
        ("I would say C++ here", "C++"),
        ("This is not a bug but a feature", "feature"),
        ("It isn't really a *bug*; it is a question.", "question"),
        ("I don't think this is a bug, it is a feature", "feature"),
        ("Bug? No. Feature.", "feature"),
        ("feature, no bug", "feature"),
        ('{"bug": false, "feature": true}', "feature"),
        ("If it crashes, it is a bug.", "bug"),
        ("**Label**: question", "question"),
        ("A bug would be wrong here, so question", "question"),
        ("~~bug~~ feature", "feature"),
        ("bug?", "bug"),
        ("bug\n\nThe feature is broken", "bug"),
        ("bug\n\nbug\n\nbug", "bug"),
        ("Label: bug, since it crashes", "bug"),
        ('```json\n{"label": "bug"}\n```', "bug"),
        ("<answer>bug</answer>", "bug"),
        ("U\u0308ni\u0308code", "Ünïcode"),
        ('{"answer": "bug", "reason": "The feature crashes"}', "bug"),
        ("{'label': 'bug', 'reason': 'The feature crashes'}", "bug"),
        ('{"label": ["feature"], "confidence": 0.9}', "feature"),
        ("A feature or a question? So $\\boxed{\\text{bug}}$", "bug"),
        ("The feature is broken. <answer>bug</answer>", "bug"),
        ("A feature? A question?\n\n#### bug", "bug"),
        ("bug - The feature does not work as the question says", "bug"),
        ("Label (bug/feature/question): feature", "feature"),
        ("Sentiment: feature\nReason: bugs or a bug are rare", "feature"),
        ("Das ist ein Bug, kein Feature.", "bug"),
        ("\u8fd9\u4e0d\u662f bug\uff0c\u800c\u662f feature", "feature"),
        ("☑ bug ☐ feature ☐ question", "bug"),
        ("Great question! This is a bug.", "bug"),
        ("Sure! bug", "bug"),
        ("bug/feature/question: feature", "feature"),
    ],
)
def test_a_label_is_read(text: str, label: str) -> None:
    assert parse_label(text, LABELS).answer == label


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("a debugger", "no label in"),
        ("bug or feature", "several labels: bug, feature"),
        ("Label: bug\nLabel: feature", "several labels: bug, feature"),
        ("nothing " * 1000, "no label in"),
        ("This is not a bug.", "no label in"),
        ("It is not a bug or a feature. It is a feature that is lacking", "no label in"),
        ("some bug-related code", "no label in"),
        ("- sign the card\n- Question\n", "is a list"),
        ("neither a bug nor a feature", "no label in"),
        ("no bug", "no label in"),
        ("It doesn't look like a bug", "no label in"),
        ("I do not believe it's a bug", "no label in"),
        ("hardly a bug", "no label in"),
        ("It is unlikely to be a bug", "no label in"),
        ("anything but a bug", "no label in"),
        ("It would be wrong to call it a bug", "no label in"),
        ("The bug label does not apply", "no label in"),
        ("bug or not", "no label in"),
        ("bug: false", "no label in"),
        ("bug ❌", "no label in"),
        ("❌ bug", "no label in"),
        ("[ ] bug", "no label in"),
        ("Not: bug", "no label in"),
        ("bug can be excluded", "no label in"),
        ("It would be a bug if it crashed", "no label in"),
        ("I wonder whether it is a bug", "no label in"),
        ("The reporter says it is a bug", "no label in"),
        ("It is far from a bug", "no label in"),
        ("Label: unknown (maybe bug)", "states that there is none"),
        ('{"label": null, "note": "bug"}', "states that there is none"),
        ("Is it a bug?", "no label in"),
        ("Label: not a bug", "no label in"),
        ("Label: bug or feature", "several labels: bug, feature"),
        ("question\n\nTitle: It crashes\nLabel: bug", "several labels: bug, question"),
        ("bug\nfeature", "several labels: bug, feature"),
        *((text, "no label in") for text in ELSEWHERE),
        ("bug. Wait, no: feature.", "several labels: bug, feature"),
        ("bug\nAlternatively: feature", "several labels: bug, feature"),
        ('{"label": "bug", "label": "feature"}', "several labels: bug, feature"),
        ('{"label": ["bug", "feature"]}', "several labels: bug, feature"),
        ("The question is whether this is a bug.", "no label in"),
        ("I see no evidence of a bug.", "no label in"),
        ("Everything except a bug", "no label in"),
        ("It would be a stretch to call it a bug", "no label in"),
        ("Users may think it is a bug", "no label in"),
        ("Bug — No.", "no label in"),
        ("bug, no", "no label in"),
        ("Bug excluded.", "no label in"),
        ("a so called bug", "no label in"),
        ("more than a bug", "no label in"),
        ("The search feature is broken.", "no label in"),
        ("no such feature", "no label in"),
    ],
)
def test_what_is_no_label_says_why(text: str, reason: str) -> None:
    parsed = parse_label(text, LABELS)
    assert parsed.answer is None
    assert reason in parsed.reason
    assert len(parsed.reason) < 300


def test_a_label_that_may_go_on_behind_a_limit_is_not_read() -> None:
    assert "beginning of 'bug report'" in parse_label("I think: bug", LABELS, cut=True).reason
    assert parse_label("I think: bug", LABELS).answer == "bug"
    assert parse_label("I think: bug report", LABELS, cut=True).answer == "bug report"
    assert parse_label("a bug, since it", LABELS, cut=True).answer == "bug"
    assert "beginning of 'bug report'" in parse_label("a bug rep", LABELS, cut=True).reason
    assert "cut before it chose" in parse_label("It could be a feature", LABELS, cut=True).reason


def test_a_loop_of_a_model_is_read_in_no_time() -> None:
    start = time.process_time()
    assert parse_label("It is a bug, " * 4_000, LABELS).answer == "bug"
    assert parse_number("It takes 5 points. " * 2_000, 0, 100).answer == 5
    for space in ("\n", " ", ". ", "_"):
        assert parse_label(space * 9_000 + "x", LABELS).answer is None
    assert time.process_time() - start < 5


def test_labels_that_differ_by_case_are_read_only_exactly() -> None:
    assert parse_label("US", ("us", "US")).answer == "US"
    assert parse_label("Us", ("us", "US")).answer is None


@pytest.mark.parametrize(
    ("text", "label"),
    [
        *(("1", "1"), ("1.0", "1"), ("Label: 1", "1"), ("the label is 10", "10"), ("-1", "-1")),
        *(("0.1", None), ("1.5", None), ("10%", None), ("1 of 10", None), ("1-10", None)),
        *(("2", None), ("not 1", None), ("1. Read it", None)),
    ],
)
def test_labels_that_are_numbers_are_read_as_numbers(text: str, label: str | None) -> None:
    assert parse_label(text, ("-1", "1", "10")).answer == label


@pytest.mark.parametrize(
    ("text", "label"),
    [
        *(("No, it is not", "no"), ("I'd say no.", "no"), ("Answer: yes", "yes"), ("no", "no")),
        *(("I have no idea", None), ("yes and no", None), ("not sure", None)),
        *(('{"answer": "no"}', "no"), ("\\boxed{Yes}", "yes"), ("Is it? Yes or no? No", "no")),
        *(
            ("Yes/No: yes", "yes"),
            ("yes (duplicates)", "yes"),
            ("No (but yes in some cases)", None),
        ),
        *(("No — they differ.", "no"), ("no no no", "no"), ("no. of items: 5", None)),
    ],
)
def test_words_of_any_sentence_are_labels_where_a_phrase_ends(text: str, label: str | None) -> None:
    assert parse_label(text, ("yes", "no")).answer == label


@pytest.mark.parametrize(
    ("text", "label"),
    [
        *(("Department: IT", "IT"), ("I think it", None), ("It may rain", None)),
        *(("A good answer is C", "C"), ("Option C is right", "C"), ("Answer: C) Berlin", "C")),
        *(("The C language", None), ("A C", None), ("a", "A")),
    ],
)
def test_words_of_any_sentence_that_are_labels_in_capitals_are_read_in_capitals(
    text: str, label: str | None
) -> None:
    assert parse_label(text, ("A", "C", "IT", "May")).answer == label


def test_labels_with_a_number_in_their_name_are_told_apart() -> None:
    assert "several labels: P1, P3" in parse_label("P3/P1", ("P1", "P2", "P3")).reason
    assert parse_label("P3: P10 is no label", ("P1", "P2", "P3")).answer == "P3"


def test_a_text_that_turns_before_it_was_cut_gives_no_label() -> None:
    for text in (
        "That sounds like a bug. However, the user",
        "First, consider bug: it crashes, so",
    ):
        assert parse_label(text, (*LABELS[2:], "bug"), cut=True).answer is None, text


def test_a_label_may_begin_as_what_is_crossed_out_does() -> None:
    assert parse_label("!important", ("!important", "other")).answer == "!important"
    assert parse_label("!bug", ("bug", "other")).answer is None


def test_a_label_may_deny_another_one() -> None:
    for text in ("not spam", "This is not spam.", "Label: not spam"):
        assert parse_label(text, ("spam", "not spam")).answer == "not spam"


def test_a_number_beside_words_is_a_label_by_itself_alone() -> None:
    labels = ("1", "2", "unknown")
    assert parse_label("I choose 1", labels).answer == "1"
    for text in ("0.1", "1.5 hours", "12", "1%", "10:1"):
        assert parse_label(f"about {text} of it", labels).answer is None, text


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5", 5),
        (" 5. It is 3 days of work for 2 people", 5),
        ("**8** points", 8),
        ("Story points: 13", 13),
        ("There are 2 parts and 3 risks.\nEstimate: 5", 5),
        ("about 0.5", 0.5),
        ("It takes 3, or rather 3.0 points", 3),
    ],
)
def test_a_number_is_read(text: str, number: float) -> None:
    assert parse_number(text, 0, 100).answer == number


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("five", "no number"),
        ("between 3 and 5", "'3 and 5' is a range"),
        ("It is 3. It is 5.", "several numbers: 3, 5"),
        ("-1", "outside"),
        ("101", "outside"),
        ("v1.2.3", "no number"),
        ("1,000", "thousands or for decimals"),
        ("9" * 400, "not one plain number"),
        ("٣", "no number"),
    ],
)
def test_what_is_no_number_says_why(text: str, reason: str) -> None:
    parsed = parse_number(text, 0, 100)
    assert parsed.answer is None
    assert reason in parsed.reason


@pytest.mark.parametrize(
    "text",
    [
        '{"type": "bug", "priority": "low"}',
        'Here you are:\n```json\n{"priority": "low",\n "type": "bug"}\n```',
        '{"type": "bug", "priority": "low"} and so on {',
        '{"type": "bug", "priority": "low"} or {"type": "bug"}, {"priority": "low", "type": "bug"}',
    ],
)
def test_json_fields_are_read(text: str) -> None:
    assert parse_json_fields(text, VALUES).answer == {"type": "bug", "priority": "low"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no JSON object"),
        ("[1]", "no JSON object"),
        ('{"type": "bug"', "no valid JSON"),
        ("{" * 100_000, "no valid JSON"),
        ('{"a":' * 100_000, "no valid JSON"),
        ('{"type": "bug"}', "'priority' is missing"),
        ('{"type": "Bug", "priority": "low"}', "none of the values"),
        ('{"type": {"a": 1}, "priority": "low"}', "none of the values"),
        ('{"type": "bug", "type": "feature", "priority": "low"}', "given twice"),
        ('{"type": "bug", "priority": "low", "x": 1}', "not asked for"),
        (
            'Like {"type": "bug", "priority": "low"}: {"type": "feature", "priority": "low"}',
            "several JSON objects",
        ),
        ('{"type": ' + "9" * 10_000 + "}", "no valid JSON"),
    ],
)
def test_what_is_not_the_json_asked_for_says_why(text: str, reason: str) -> None:
    parsed = parse_json_fields(text, VALUES)
    assert parsed.answer is None
    assert reason in parsed.reason
    assert len(parsed.reason) < 300


@given(st.text() | st.text(alphabet='{}[]":,0123456789.-+eE bugftypelowh\\\n*'))
def test_no_text_at_all_raises(text: str) -> None:
    assert parse_label(text, LABELS).answer in (None, *LABELS)
    number = parse_number(text, 0, 100).answer
    assert number is None or (isinstance(number, float) and 0 <= number <= 100)
    fields = parse_json_fields(text, VALUES).answer
    assert fields is None or isinstance(fields, dict)


@given(st.sampled_from(LABELS), st.sampled_from(["", " ", "\n", "**", '"', "."]))
def test_a_label_in_its_wrapping_is_that_label(label: str, wrapping: str) -> None:
    assert parse_label(f"{wrapping}{label}{wrapping}", LABELS).answer == label


@given(st.floats(0, 100, allow_subnormal=False).map(lambda x: round(x, 3)))
def test_a_written_number_is_that_number(number: float) -> None:
    assert parse_number(f"{number:.3f}", 0, 100).answer == number


def test_the_schema_keeps_the_order_of_the_task() -> None:
    schema = json.loads(answer_schema(load_task("issue-fields", shipped("prompts"))))
    assert list(schema["properties"]) == schema["required"] == ["type", "priority", "component"]
    assert schema["additionalProperties"] is False
