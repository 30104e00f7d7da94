"""The report as JSON comes back as it was, and a text that is no report is refused by name."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import DataError
from gateway.evaluation.saved import load_report
from gateway.report.json import render_json, render_timings_json
from gateway.scoring.flips import CellAnswer, Flip
from gateway.scoring.report import Report
from gateway.scoring.results import AgainstBaseline, CellScore, Metric, Verdict
from tests.report import samples

any_text = st.text(st.characters(), max_size=20)
"""Lone surrogates included: a prompt or an answer may hold them."""
finite = st.floats(allow_nan=False, allow_infinity=False)
metrics = st.builds(Metric, finite, st.none() | finite, st.none() | finite)
cells = st.builds(
    CellScore,
    name=any_text,
    kind=st.sampled_from(["model", "baseline"]),
    n=st.integers(),
    statuses=st.dictionaries(any_text, st.integers(), max_size=3),
    metrics=st.dictionaries(any_text, metrics, max_size=3),
    tokens_per_correct=st.none() | finite,
    exact=st.booleans(),
    details=st.dictionaries(any_text, any_text, max_size=2),
    verdicts=st.lists(
        st.builds(
            AgainstBaseline, any_text, any_text, st.sampled_from(Verdict), st.none() | metrics
        ),
        max_size=2,
    ).map(tuple),
)
said = st.builds(CellAnswer, any_text, st.booleans(), st.none() | finite, st.none() | finite)
disagreements = st.builds(
    Flip, any_text, any_text, any_text, st.dictionaries(any_text, said, max_size=2)
)
reports = st.builds(
    replace,
    st.builds(samples.empty),
    task=any_text,
    labels=st.lists(any_text, max_size=3).map(tuple),
    settings=st.dictionaries(any_text, any_text, max_size=3),
    cells=st.lists(cells, max_size=2).map(tuple),
    disagreements=st.lists(disagreements, max_size=2).map(tuple),
)


@pytest.mark.parametrize("sample", samples.ALL, ids=lambda f: f.__name__)
def test_every_kind_of_report_comes_back_equal(sample: Callable[[], Report]) -> None:
    assert load_report(render_json(sample())) == sample()


@given(reports)
def test_any_text_and_number_comes_back_equal(report: Report) -> None:
    text = render_json(report)
    assert text.isascii()
    assert load_report(text) == report


def test_the_text_is_indented_sorted_and_ends_with_a_newline() -> None:
    text = render_json(samples.classification())
    raw = json.loads(text)
    assert text == json.dumps(raw, indent=2, sort_keys=True) + "\n"
    assert list(raw) == sorted(raw)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_has_no_word_for_is_not_written(value: float) -> None:
    cell = replace(samples.number().cells[0], metrics={"mae": Metric(value)})
    with pytest.raises(DataError, match="not JSON compliant"):
        render_json(replace(samples.number(), cells=(cell,)))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"n": 0', '"n": "0"', r"report\.n is '0'; expected a whole number"),
        ('"n": 0', '"n": true', r"report\.n is True; expected a whole number"),
        ('"n": 0', '"n": NaN', "no JSON"),
        ('"n": 0', f'"n": {"9" * 5000}', "no JSON"),
        ('"task": "nothing"', '"tusk": "nothing"', "report lacks task"),
        ('"task": "nothing"', '"task": "nothing", "extra": 1', r"unknown keys: \['extra'\]"),
        ('"kind": "classification"', '"kind": "poetry"', "expected classification or extraction"),
        ('"labels": []', '"labels": [1]', r"report\.labels\[0\] is 1; expected a text"),
        ('"labels": []', '"labels": {}', r"report\.labels is \{\}; expected a list"),
        ('"settings": {}', '"settings": []', r"report\.settings is \[\]; expected an object"),
        ('"cells": []', '"cells": [3]', r"report\.cells\[0\] is 3; expected an object"),
    ],
)
def test_a_text_that_is_no_report_is_refused_with_the_place(
    old: str, new: str, message: str
) -> None:
    good = render_json(samples.empty())
    assert old in good
    with pytest.raises(DataError, match=message):
        load_report(good.replace(old, new))


@pytest.mark.parametrize("value", ["1e999", "1" * 400, '"x"', "true", "[]"])
def test_a_metric_is_a_finite_number(value: str) -> None:
    report = replace(samples.number(), cells=samples.number().cells[:1])
    text = render_json(report).replace('"value": 2.31', f'"value": {value}')
    with pytest.raises(DataError, match=r"cells\[0\]\.metrics\.mae\.value"):
        load_report(text)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", "[" * 100_000])
def test_what_is_not_an_object_is_refused(text: str) -> None:
    with pytest.raises(DataError, match=r"report\.json"):
        load_report(text)


def test_of_a_report_with_other_comparisons_the_cells_are_read() -> None:
    written = json.loads(render_json(samples.classification()))
    del written["conclusion"], written["margin"]
    for cell in written["cells"]:
        cell["verdicts"] = ["Beats baseline:majority: macro-F1 differs by +0.540 [+0.470, +0.610]."]
    flip = {"item_id": "1", "gold": "bug", "a": "bug", "b": "question"}
    old = {"a": "x", "b": "y", "test": "exact McNemar", "p_value": 0.18, "flips": [flip]}
    written["comparisons"] = [old]
    written["disagreements"] = [{"item_id": "1", "gold": "bug", "excerpt": "", "answers": {}}]
    read = load_report(json.dumps(written))
    assert [c.metrics for c in read.cells] == [c.metrics for c in samples.classification().cells]
    assert (read.comparisons, read.disagreements, read.conclusion) == ((), (), None)


def test_timings_are_one_object_a_cell() -> None:
    timings = samples.timings(samples.number())
    raw = json.loads(render_timings_json(timings))
    assert [row["name"] for row in raw] == [cell.name for cell in timings]
    assert raw[0]["seconds_per_correct"] is None
