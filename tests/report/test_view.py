"""What every form of the report shows."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.core.types import Answer
from gateway.report import view
from gateway.scoring.flips import CellAnswer, Flip, differing
from gateway.scoring.report import Report
from gateway.scoring.results import Confusion, Prediction, SparseConfusion, Status
from tests.report import samples
from tests.report.test_html import render_html
from tests.report.test_markdown import render_markdown
from tests.report.test_terminal import report_text


def test_the_best_cell_is_a_model_even_where_a_baseline_beats_it() -> None:
    report = samples.number()
    best = report.best
    assert best is not None
    assert (best.name, best.metrics["mae"].value) == ("smollm2-135m/few_shot/contextual", 2.31)
    baselines = [c.metrics["mae"].value for c in report.cells if c.kind == "baseline"]
    assert min(baselines) < 2.31


def test_the_first_of_equals_is_best() -> None:
    report = samples.classification()
    twin = replace(report.cells[0], name="twin")
    best = replace(report, cells=(report.cells[0], twin)).best
    assert best is not None
    assert best.name == report.cells[0].name


def test_no_cell_is_best_where_none_has_the_metric() -> None:
    assert samples.unanswered().best is None
    assert samples.empty().best is None


def test_models_come_before_baselines_and_the_better_before_the_worse() -> None:
    shuffled = replace(samples.number(), cells=samples.number().cells[::-1])
    cells = view.ranked(shuffled)
    assert [c.kind for c in cells] == ["model", "model", "baseline", "baseline"]
    assert [c.metrics["mae"].value for c in cells] == [2.31, 3.02, 2.12, 2.48]


def test_metrics_are_shown_primary_first_and_answering_last() -> None:
    names = view.metric_names(samples.extraction())
    fields = ("field:component", "field:priority", "field:type")
    assert names == ("exact_match", *fields, "coverage", "conformance")
    assert view.metric_names(samples.unanswered()) == ("macro_f1", "coverage")


def test_confusions_are_the_wrong_answers_by_frequency() -> None:
    confusion = Confusion(("a", "b"), ((5, 1, 0), (3, 7, 2)))
    assert view.confusions(confusion) == [
        view.Confused("b", "a", 3),
        view.Confused("b", None, 2),
        view.Confused("a", "b", 1),
    ]
    assert len(view.confusions(confusion, most=1)) == 1


def test_answers_are_grouped_right_ones_first() -> None:
    answers = {"x": "bug", "y": "feature", "z": "feature", "w": "[failed]"}
    said = {name: CellAnswer(answer, answer == "bug") for name, answer in answers.items()}
    groups = view.answer_groups(Flip("1", "bug", "", said), "zyxw")
    assert groups == (
        view.AnswerGroup("bug", True, ("x",)),
        view.AnswerGroup("feature", False, ("z", "y")),
        view.AnswerGroup("[failed]", False, ("w",)),
    )


@pytest.mark.parametrize("render", [render_markdown, render_html])
def test_an_answer_that_looks_like_the_gold_value_and_is_another_is_shown_as_wrong(
    render: Callable[[Report], str],
) -> None:
    gold: Answer = {"component": "core, type=bug"}
    answers: list[Answer] = [gold, {"component": "core", "type": "bug"}]
    report = samples.extraction()
    cells = [
        [Prediction(cell.name, "1", Status.OK, answer, gold)]
        for cell, answer in zip(report.cells, answers, strict=False)
    ]
    found = differing(cells, "extraction")
    report = replace(report, comparisons=(), disagreements=found)
    shown = re.sub(r"<[^>]*>|\\", " ", render(report))
    assert re.search(r"✓\s*component=core, type=bug", shown)
    assert re.search(r"✗\s*component=core, type=bug", shown)


@pytest.mark.parametrize("render", [render_markdown, render_html, report_text])
def test_a_cell_whose_scores_are_bounds_is_marked_in_every_form(
    render: Callable[[Report], str],
) -> None:
    report = samples.classification()
    assert not all(cell.exact for cell in report.cells)
    assert "≈ some log-probabilities are bounds" in " ".join(render(report).split())
    exact = replace(report, cells=tuple(replace(cell, exact=True) for cell in report.cells))
    assert "≈" not in render(exact)


def test_confusions_of_very_many_labels_are_those_of_the_whole_matrix() -> None:
    whole = Confusion(("a", "b"), ((5, 1, 0), (3, 7, 2)))
    sparse = SparseConfusion(whole.labels, tuple(whole.entries_found()))
    assert view.confusions(sparse) == view.confusions(whole)
