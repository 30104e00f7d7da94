"""Each thing that can be wrong with data is a finding of its severity, with its items."""

from pathlib import Path

import pytest

from gateway.core.errors import DataError
from gateway.tasks.dataset import Problem
from gateway.tasks.task import Item, load_task
from gateway.tuning.checks.check import check
from gateway.tuning.checks.findings import Finding, Findings
from gateway.tuning.checks.leakage import without_copies
from gateway.tuning.checks.lengths import in_characters
from gateway.tuning.checks.parts import Part, PartName, read_part
from gateway.tuning.checks.split import split
from tests.conftest import real_data
from tests.tuning.samples import ROOT, TRIAGE, item, items, part, words


def found(parts: list[Part], code: str) -> Finding:
    findings = check(TRIAGE, parts).findings
    (one,) = [finding for finding in findings if finding.code == code]
    return one


def codes(findings: Findings) -> set[tuple[str, str]]:
    return {(finding.severity, finding.code) for finding in findings.findings}


def test_clean_data_has_only_notes() -> None:
    parts = [
        part("train", items(120)),
        part("validation", items(20, 200)),
        part("test", items(30, 300)),
    ]
    findings = check(TRIAGE, parts, limit=in_characters(100))
    assert codes(findings) == {("note", "balance")}
    assert findings.sizes == {"train": 120, "validation": 20, "test": 30}
    findings.refuse_errors()


@pytest.mark.parametrize("held", ["validation", "test"])
@pytest.mark.parametrize(
    ("text", "how"),
    [
        (words(5), "identical"),
        (words(5).upper(), "the same but for"),
        (f"{words(5)} fails", "nearly the same"),
    ],
)
def test_a_leak_of_any_kind_is_an_error_with_both_places(held: str, text: str, how: str) -> None:
    name: PartName = "validation" if held == "validation" else "test"
    body = items(6)[5].fields["body"]
    leaked = item("copy", text, "question", 9, body)
    leak = found([part("train", items(120)), part(name, [leaked, *items(20, 200)])], "leak")
    assert (leak.severity, leak.count) == ("error", 1)
    assert str(leak.places[0]).startswith("train.csv:7 i5: ")
    assert how in leak.places[0].about
    assert f"{name}.csv:9 copy" in leak.places[0].about


def test_an_exemplar_must_not_be_tested_on_and_need_not_be_trained_on() -> None:
    exemplar = [item("x1", words(5), "question", 1, items(6)[5].fields["body"])]
    tested = [part("train", items(120, 10)), part("test", items(9)), part("exemplars", exemplar)]
    assert found(tested, "leak").what.startswith("1 item of exemplars also in test")
    trained = [part("train", items(120)), part("exemplars", exemplar)]
    assert found(trained, "exemplar-trained-on").severity == "warning"


def test_identical_text_with_two_answers_is_an_error_and_nearly_identical_a_warning() -> None:
    body = items(1)[0].fields["body"]
    other = item("other", words(0), "question", 200, body)
    error = found([part("train", [*items(120), other])], "contradiction")
    assert (error.severity, error.count) == ("error", 2)
    assert {place.about for place in error.places} == {"bug", "question"}
    near = item("near", words(0) + " fails", "question", 200, body)
    warning = found([part("train", [*items(120), near])], "near-contradiction")
    assert (warning.severity, warning.count) == ("warning", 2)
    assert "train.csv:200 near: question" in warning.places[0].about


def test_repeats_within_a_part_are_told_apart() -> None:
    same = items(2)
    again = [
        item("r1", words(0), "bug", 201, same[0].fields["body"]),
        item("r2", words(1).upper(), "feature", 202, same[1].fields["body"]),
    ]
    parts = [part("train", [*items(120), *again])]
    assert [p.item_id for p in found(parts, "repeat-identical").places] == ["r1"]
    assert [p.item_id for p in found(parts, "repeat-normalised").places] == ["r2"]


def test_rows_that_are_no_items_are_errors_by_what_is_wrong_with_them() -> None:
    error = DataError("train.csv:7: 'label' is 'Bug'; expected one of bug")
    problems = (Problem(7, "answer", error), Problem(8, "id", DataError("train.csv:8: no id")))
    findings = check(TRIAGE, [Part("train", "train.csv", tuple(items(120)), problems)])
    assert {("error", "wrong-answer"), ("error", "wrong-id")} <= codes(findings)
    assert str(findings.errors[0].places[0]).startswith("train.csv:7: 'label' is 'Bug'")
    with pytest.raises(DataError, match=r"train.csv:7: train: 1 row with an answer"):
        findings.refuse_errors()


def test_an_empty_input_is_an_error_and_an_empty_body_a_note() -> None:
    empty = [item("e", " ", "bug", 300, "\n"), item("t", words(400), "bug", 301, "")]
    parts = [part("train", [*items(120), *empty])]
    assert [p.item_id for p in found(parts, "empty-input").places] == ["e"]
    assert found(parts, "empty-input").severity == "error"
    assert [p.item_id for p in found(parts, "empty-field").places] == ["t"]


def test_inputs_over_the_limit_are_counted_and_the_unit_is_said() -> None:
    long = item("long", "x" * 500, "bug", 300)
    parts = [part("train", [*items(120), long])]
    (finding,) = check(TRIAGE, parts, limit=in_characters(100)).warnings
    assert (finding.code, [p.item_id for p in finding.places]) == ("too-long", ["long"])
    assert "longer than 400 characters (no --model" in finding.what
    assert ("note", "no-lengths") in codes(check(TRIAGE, parts))


@pytest.mark.parametrize(("count", "warned"), [(110, True), (40, True), (130, False)])
def test_fewer_than_100_items_to_train_on_are_warned_of_with_the_source(
    count: int, warned: bool
) -> None:
    findings = check(TRIAGE, [part("train", items(count))])
    assert (("warning", "too-few") in codes(findings)) is warned
    if warned:
        few = next(f for f in findings.warnings if f.code == "too-few")
        assert "OpenAI" in few.what
        assert f"{count - round(0.15 * count)} examples" in few.what


def test_a_given_share_outside_the_usual_is_warned_of() -> None:
    parts = [part("train", items(150)), part("validation", items(5, 200))]
    assert "validation is 3%" in found(parts, "held-out-share").what


def test_unequal_few_and_absent_labels_are_warned_of() -> None:
    bugs = [item(f"b{n}", words(n), "bug", n, words(n + 1000)) for n in range(120)]
    rare = [item(f"f{n}", words(n), "feature", n, words(n + 1000)) for n in range(500, 505)]
    parts = [part("train", [*bugs, *rare])]
    assert (found(parts, "balance").severity, found(parts, "balance").count) == ("warning", 1)
    assert "24.0 to 1" in found(parts, "balance").what
    assert "feature (5)" in found(parts, "few-of-a-label").what
    assert "question" in found(parts, "label-never-trained").what
    assert found([part("train", bugs)], "one-label").severity == "error"


def test_numbers_and_json_fields_are_counted_too() -> None:
    points = load_task("story-points", ROOT)
    same = [
        Item(f"p{n}", {"title": words(n), "description": "x"}, 3.0, n, str(n)) for n in range(120)
    ]
    assert "one-label" in {f.code for f in check(points, [part("train", same)]).errors}
    fields = load_task("issue-record", ROOT)
    gold = {"type": "bug", "priority": "low", "component": "ui"}
    one = [Item(f"r{n}", {"issue": words(n)}, gold, n, str(n)) for n in range(120)]
    assert "no item with component api, build" in " ".join(
        f.what for f in check(fields, [part("train", one)]).warnings
    )


def test_an_item_among_its_own_examples_is_a_leak() -> None:
    task = load_task("story-estimate", ROOT)
    told = [
        Item(
            f"e{n}", {"issue": words(n), "examples": shown}, float(n), n, str(n), "", ("examples",)
        )
        for n in range(120)
        for shown in [f"Issue: {words(n)}: {n}" if n == 7 else words(500)]
    ]
    (leak,) = check(task, [part("train", told)]).errors
    assert (leak.code, [p.item_id for p in leak.places]) == ("leak", ["e7"])


def test_items_that_copy_others_are_left_out() -> None:
    others = [item("copy", words(5).upper(), "question", 9, items(6)[5].fields["body"])]
    kept, copied = without_copies(items(20), others)
    assert [i.id for i in copied] == ["i5"]
    assert len(kept) == 19
    assert without_copies([], others) == ([], [])


def test_the_real_issues_hold_one_leak_and_more_that_nearly_are(issue_reports: Path) -> None:
    parts = [
        read_part("train", str(issue_reports / "train.csv"), TRIAGE),
        read_part("test", str(issue_reports / "test.csv"), TRIAGE),
    ]
    findings = check(TRIAGE, parts)
    assert [(f.code, f.count, f.what.rpartition(": ")[2]) for f in findings.errors] == [
        ("leak", 1, "identical"),
        ("leak", 23, "nearly the same"),
    ]
    kept, copied = without_copies(parts[0].items, parts[1].items)
    assert (len(kept), len(copied)) == (876, 24)
    made = split(kept)
    clean = [part("train", made.train), part("validation", made.validation), parts[1]]
    assert not check(TRIAGE, clean).errors


def test_ten_thousand_real_items_are_compared_with_all_others() -> None:
    folder = real_data("banking77")
    task = load_task("intent", ROOT)
    parts = [
        read_part("train", str(folder / "train.csv"), task),
        read_part("test", str(folder / "test.csv"), task),
    ]
    findings = check(task, parts)
    assert findings.sizes == {"train": 10_003, "test": 1_540}
    assert [f.count for f in findings.errors] == [5, 306]
