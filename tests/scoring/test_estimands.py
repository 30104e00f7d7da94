"""Facts about what every metric counts: the code's table, the manual's, and the metrics."""

from collections.abc import Sequence
from pathlib import Path

import pytest

import gateway
from gateway.core.types import Answer, TaskKind
from gateway.scoring.estimands import ESTIMANDS, Missing, not_defined, rows
from gateway.scoring.scores import ON_COMMON_ITEMS, score_cell
from tests.scoring.cells import LABELS, cell

CELLS: dict[TaskKind, tuple[Sequence[Answer], Sequence[Answer | None]]] = {
    "classification": (["bug", "feature", "bug"], ["bug", "feature", "feature"]),
    "number": ([1.0, 2.0, 9.0], [1.0, 3.0, 8.0]),
    "extraction": ([{"NAME": "x"}] * 3, [{"NAME": "x"}, {"NAME": "y"}, {"NAME": "x"}]),
}


def test_the_manual_has_the_table_of_the_code() -> None:
    page = (Path(gateway.__file__).parent / "manual" / "evaluate.md").read_text()
    for name, *rest in rows():
        assert f"| `{name}` | {' | '.join(rest)} |" in page


@pytest.mark.parametrize("kind", CELLS)
def test_every_metric_has_a_row_and_counts_a_missing_answer_as_it_says(kind: TaskKind) -> None:
    golds, answers = CELLS[kind]
    scored = [
        score_cell("c", "model", kind, LABELS, cell("c", golds, given), resamples=0).metrics
        for given in (answers, [*answers[:2], None], [*answers[:2], _wrong(golds[2])])
    ]
    for name, whole in scored[0].items():
        missing = ESTIMANDS[name].missing
        silent, wrong = scored[1][name].value, scored[2][name].value
        if missing is Missing.WRONG and kind != "classification":
            assert silent == wrong
        elif missing is Missing.WRONG:
            assert silent <= whole.value or name.endswith("f1")
        elif missing is Missing.CHARGED:
            # The median of the gold values is 2, and 9 is 7 away.
            assert silent == pytest.approx({"mae": 8 / 3, "median_ae": 1.0}[name])


def _wrong(gold: Answer) -> Answer:
    return {"NAME": "z"} if isinstance(gold, dict) else "question" if gold == "bug" else 99.0


def test_errors_are_compared_where_both_answered() -> None:
    paired = {name for name, each in ESTIMANDS.items() if "both" in each.paired}
    assert paired == set(ON_COMMON_ITEMS)


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("mcc", " on these items"),
        ("log_loss", ", which counts only items that are answered, with probabilities"),
        ("precision:a:b", ", which counts only items that are answered 'a:b'"),
        ("roc_auc:bug", " on these items"),
        ("field:date", ", which counts only items whose gold value names 'date'"),
        ("no such metric", ""),
    ],
)
def test_why_a_cell_has_no_value_is_a_sentence(metric: str, said: str) -> None:
    assert not_defined(metric) == said


def test_why_is_said_of_every_metric() -> None:
    assert all(not_defined(metric) for metric in ESTIMANDS)
