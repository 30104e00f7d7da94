from collections import Counter
from dataclasses import replace

import pytest

from gateway.models.environment import shipped
from gateway.tasks.labels import (
    alike_warnings,
    changes_note,
    clean,
    equal_numbers,
    label_warnings,
    look_alike,
    one_sided,
    together,
    unified,
)
from gateway.tasks.tables import ReadOptions
from gateway.tasks.task import Dataset, Item, dataset_of, load_task

INTENT = load_task("intent", shipped("prompts"))
TRIAGE = load_task("issue-triage", shipped("prompts"))


def data(*labels: str, path: str = "d.csv") -> Dataset:
    items = [
        Item(f"{path}-{n}", {"text": f"text {n}"}, label, n, f"digest {n}")
        for n, label in enumerate(labels)
    ]
    return dataset_of(path, items, labels)


@pytest.mark.parametrize(
    ("label", "want"),
    [
        ("lost card", "lost card"),
        (" lost card\t", "lost card"),
        ("lost\u00a0card", "lost card"),
        ("\u200blost\u2009card\ufeff", "lost card"),
        ("cafe\u0301", "café"),
        ("so\u00adft", "soft"),
        ("\u200emarked\u200f", "marked"),
        ("lost  card", "lost  card"),
        ("👩\u200d💻", "👩\u200d💻"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("\u200b", ""),
    ],
)
def test_a_label_has_one_spelling(label: str, want: str) -> None:
    assert clean(label) == want
    assert clean(want) == want


def test_equal_numbers_are_called_by_the_shortest() -> None:
    assert equal_numbers(["0", "0.0", "1", "1.0", "1.00"]) == {"0.0": "0", "1.0": "1", "1.00": "1"}
    assert equal_numbers(["0.0", "1.0"]) == {}
    assert equal_numbers(["1e0", "1", "-0", "0"]) == {"1e0": "1", "-0": "0"}
    assert equal_numbers(["0", "0.0", "none"]) == {}, "not all are numbers"
    assert equal_numbers(["1_0", "10"]) == {}


def test_true_and_false_are_two_labels_whatever_their_case() -> None:
    assert equal_numbers(["True", "TRUE", "true", "False"]) == {
        "True": "true",
        "TRUE": "true",
        "False": "false",
    }
    assert equal_numbers(["true", "false"]) == {}
    assert equal_numbers(["True", "true", "maybe"]) == {}
    told: list[str] = []
    together(INTENT, data("True", "False"), data("true", "false"), ReadOptions(tell=told.append))
    assert "all labels are true or false" in told[0]


def test_numbers_are_unified_over_the_files_and_told_where_they_change() -> None:
    test, train = data("0.0", "1.0"), data("0", "1", "1", path="t.csv")
    told: list[str] = []
    made, same = together(INTENT, test, train, ReadOptions(tell=told.append))
    assert (made.labels, [item.gold for item in made.items]) == (("0", "1"), ["0", "1"])
    assert same is train
    assert told == list(made.notes)
    assert "d.csv: all labels are numbers" in told[0]
    assert "0.0 is 0, 1.0 is 1" in told[0]
    assert made.digest == data("0", "1").digest


def test_clean_data_stays_what_it_is() -> None:
    parts = (data("0", "1"), data("1", "2", path="t.csv"))
    assert unified(INTENT, parts) == parts
    assert unified(TRIAGE, (data("1", "1.0"),))[0].notes == ()


def test_labels_that_look_alike_are_groups() -> None:
    found = look_alike(["Spam", "spam", "ham", "lost card", "lost-card", "lost_card!", "C", "C++"])
    assert found == [("lost card", "lost-card", "lost_card!"), ("Spam", "spam")]
    assert look_alike(["1", "1.0", "10", "none"]) == [("1", "1.0")]
    assert look_alike(["-", "+", "C#", "C", "ﬁne", "fine"]) == [("fine", "ﬁne")]
    assert look_alike(["R&D", "R&amp;D", "0,5", "0.5"]) == [("0,5", "0.5"), ("R&D", "R&amp;D")]
    assert look_alike(["spam", "s\u0440am", "❤", "❤\ufe0f", "1,000", "1.000"]) == [
        ("spam", "s\u0440am"),
        ("❤", "❤\ufe0f"),
    ]


def test_what_looks_like_nothing_is_said() -> None:
    assert alike_warnings(["ham", "NaN", "#REF!"]) == [
        "labels that may stand for nothing at all: '#REF!', 'NaN'"
    ]
    assert alike_warnings(["ham", "none"]) == []
    nothing = ["None", "\\N", "-", "?", "NaT", "(blank)", "#SPILL!", "#NV"]
    (said,) = alike_warnings(["ham", *nothing])
    assert all(repr(label) in said for label in nothing)


def test_one_truth_in_several_ways_is_said() -> None:
    first, second = alike_warnings(["0", "1", "False", "True"])
    assert first == "labels that say the same in several ways: '1', 'True'"
    assert second == "labels that say the same in several ways: '0', 'False'"
    assert alike_warnings(["0", "1", "2"]) == alike_warnings(["yes", "no"]) == []


def test_labels_that_are_several_or_lists_are_said() -> None:
    assert alike_warnings(["bug", "bug,ui", "ui", "Sci/Tech", "C#"]) == [
        "labels that are several others together: 'bug,ui'"
    ]
    (said,) = alike_warnings(['["bug", "ui"]', "<java><list>", "(none)", "[x"])
    assert said.startswith("""labels that are lists or objects: '<java><list>', '["bug", "ui"]'""")


def test_a_label_that_is_the_whole_text_of_every_item_is_said() -> None:
    given = data("ham", "spam")
    items = [replace(item, fields={"text": str(item.gold)}) for item in given.items]
    (said,) = label_warnings(INTENT, replace(given, items=tuple(items)), None)
    assert "is it the right column?" in said


def test_labels_of_one_side_are_said() -> None:
    first, second = one_sided(["a", "b"], ["b", "c"])
    assert "no training item has: 'a'" in first
    assert "no test item has: 'c'" in second
    assert one_sided(["a"], ["a"]) == []


def test_case_is_a_warning() -> None:
    said = label_warnings(INTENT, data("ham", "Spam"), data("ham", "spam"))
    assert "look alike" in said[0]
    assert "'Spam', 'spam'" in said[0]
    assert len(said) == 3
    assert label_warnings(INTENT, data("ham", "spam"), None) == ()
    assert label_warnings(INTENT, data("ham", "spam"), data("spam", "ham")) == ()


def test_what_normalising_changed_is_counted() -> None:
    note = changes_note("d.csv", "label", Counter({("a\u00a0b", "a b"): 2, ("c ", "c"): 1}))
    assert note == (
        "d.csv: 'label' was normalised in 3 rows (Unicode NFC, spaces around and unseen): "
        "'a\\xa0b' is 'a b' (2), 'c ' is 'c' (1)"
    )
