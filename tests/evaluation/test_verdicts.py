"""Finished runs whose reports once said the opposite of the truth."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from gateway.core.types import Answer, TaskKind
from gateway.evaluation.summary import charged, conclusion, held_of, trivial_answer
from gateway.report.sentences import baseline_sentence, summary_sentences
from gateway.scoring.contest import all_pairs
from gateway.scoring.flips import differing
from gateway.scoring.metrics import shown_with
from gateway.scoring.pairing import entrant
from gateway.scoring.report import Conclusion, Report
from gateway.scoring.results import MEDIAN, Prediction, Verdict
from gateway.scoring.scores import score_cell
from tests.scoring.cells import LABELS, cell


def judged(
    kind: TaskKind,
    metric: str,
    models: Sequence[list[Prediction]],
    baselines: Sequence[list[Prediction]] = (),
    resamples: int = 300,
) -> Report:
    """As a run is judged."""
    labels = LABELS if kind == "classification" else ()
    trivial = trivial_answer({each[0].cell: each for each in baselines})
    read = {
        each[0].cell: entrant(each, task_kind=kind, labels=labels, trivial=trivial)
        for each in (*models, *baselines)
    }
    for each in read.values():
        for name in shown_with(metric):
            each.table.get(name)
    names = {each[0].cell for each in baselines}
    cells = [
        score_cell(
            name,
            "baseline" if name in names else "model",
            kind,
            labels,
            each.items,
            resamples=resamples,
            table=each.table,
        )
        for name, each in read.items()
    ]
    held = held_of(read, metric, cells=cells)
    cells = [replace(each, verdicts=held.against.get(each.name, ())) for each in cells]
    return Report(
        run_id="0",
        task="t",
        kind=kind,
        primary_metric=metric,
        n=len(models[0]),
        labels=tuple(labels),
        settings={},
        cells=tuple(cells),
        comparisons=held.comparisons,
        disagreements=differing(models, kind),
        conclusion=conclusion(metric, cells),
        winner=held.winner,
        warnings=charged(kind, cells, trivial),
    )


def wrong(gold: str) -> str:
    return LABELS[(LABELS.index(gold) + 1) % 3]


def test_four_items_of_forty_decide_nothing() -> None:
    golds = [LABELS[i % 3] for i in range(40)]
    perfect: list[Answer | None] = list(golds)
    four = [wrong(gold) if i in (0, 1, 5, 9) else gold for i, gold in enumerate(golds)]
    report = judged(
        "classification",
        "macro_f1",
        [cell("a", golds, perfect), cell("b", golds, four)],
        [cell("baseline:words", golds, four)],
    )
    assert report.comparisons[0].claim.verdict is Verdict.TOO_FEW
    assert report.comparisons[0].contest.mcnemar.exact_p == pytest.approx(0.125)
    assert report.comparisons[0].contest.mcnemar.mid_p == pytest.approx(0.0625)
    said = summary_sentences(report)
    assert said[0].startswith("First here: a,")
    assert "only 4 items decide" in baseline_sentence(report.cells[0].verdicts[0])
    assert report.conclusion is Conclusion.NOT_SHOWN


def test_four_items_right_in_one_do_not_decide_though_forty_answers_differ() -> None:
    golds = ["bug"] * 36 + [LABELS[i % 3] for i in range(44)]
    a = ["feature"] * 36 + golds[36:]
    b = ["question"] * 36 + [wrong(g) if i < 4 else g for i, g in enumerate(golds[36:])]
    (found,) = all_pairs(
        [cell("b", golds, b), cell("a", golds, a)],
        task_kind="classification",
        labels=LABELS,
        metric="macro_f1",
    )
    assert (found.contest.differing, found.contest.deciding) == (40, 4)
    assert found.claim.verdict is Verdict.TOO_FEW


def test_silence_does_not_win() -> None:
    golds: list[Answer] = [float(3 + i % 5) for i in range(60)]
    good = [3 + i % 5 + (1.0 if i % 2 else -1.0) for i in range(60)]
    silent = [golds[i] if i < 2 else None for i in range(60)]
    report = judged(
        "number",
        "mae",
        [cell("silent", golds, silent), cell("good", golds, good)],
        [cell(MEDIAN, golds, [10.0] * 60)],
    )
    assert report.best is not None
    assert report.best.name == "good"
    scores = {each.name: each.metrics for each in report.cells}
    assert scores["silent"]["mae_answered"].value == 0.0
    assert scores["silent"]["mae"].value > 4
    (against,) = report.cells[0].verdicts
    assert (against.n, against.total, against.verdict) == (2, 60, Verdict.TOO_FEW)
    assert "silent: 58 of 60 items have no answer" in report.warnings[0]
    assert "charged the error of 10, the median of the training answers" in report.warnings[0]


def test_a_cell_that_answers_the_easy_half_does_not_lead() -> None:
    golds: list[Answer] = [5.0] * 60
    full = [5.4 if i < 30 else 6.5 for i in range(60)]
    half = [5.5 if i < 30 else None for i in range(60)]
    report = judged("number", "mae", [cell("half", golds, half), cell("full", golds, full)])
    assert report.comparisons[0].contest.n == 30
    said = " ".join(summary_sentences(report))
    # Charged with the median of the gold values, which is never wrong here, half comes first.
    assert said.startswith("First here: half, MAE 0.250")
    assert "0.500 on the 30 items that it answered" in said
    assert "worse than: full (on the 30 items that both answered)" in said
    assert "Best here" not in said


def test_a_cell_that_answered_nothing_where_the_first_did_is_named() -> None:
    golds: list[Answer] = [5.0] * 40
    right = cell("right", golds, golds)
    later: list[Answer | None] = [7.0] * 40
    off = cell("off", golds, later)
    silent: list[Answer | None] = [None] * 40
    report = judged("number", "mae", [right, off, cell("mute", golds, silent)])
    said = " ".join(summary_sentences(report))
    assert "Its lead over the other cell is shown" in said
    assert "No item was answered both by right and by: mute." in said


def test_baselines_without_the_metric_show_nothing_and_are_not_called_absent() -> None:
    golds = [LABELS[i % 2] for i in range(40)]
    report = judged(
        "classification",
        "mcc",
        [cell("a", golds, golds), cell("b", golds, ["bug"] * 40)],
        [cell("baseline:majority", golds, ["bug"] * 40)],
    )
    assert report.conclusion is Conclusion.NOT_SHOWN
    said = summary_sentences(report)
    assert "Compared with no other, since MCC cannot be computed: b." in said
    assert said[-1].startswith("What follows: nothing by MCC, which cannot be computed of any")
    alone = judged("classification", "mcc", [cell("b", golds, ["bug"] * 40)])
    assert summary_sentences(alone) == ("No cell is best: MCC of none of them can be computed.",)


def test_copies_are_one_item() -> None:
    draw = np.random.default_rng(4)
    right_a, right_b = ([*[True] * 13, *[False] * 3], [*[False] * 13, *[True] * 3])
    both = draw.random(24) < 0.4
    texts = [(a, b) for a, b in zip(right_a, right_b, strict=True)] + [(x, x) for x in both]
    golds = ["bug"] * 200
    cells = [
        cell(name, golds, ["bug" if texts[i // 5][side] else "feature" for i in range(200)])
        for name, side in (("b", 1), ("a", 0))
    ]
    groups = np.arange(200) // 5

    def p_value(clusters: np.ndarray[tuple[int], np.dtype[np.int64]] | None) -> float | None:
        (found,) = all_pairs(
            cells,
            task_kind="classification",
            labels=LABELS,
            metric="accuracy",
            clusters=clusters,
        )
        return found.permutation_p

    alone, by_group = p_value(None), p_value(groups)
    assert alone is not None
    assert by_group is not None
    assert alone < 0.001
    assert by_group == pytest.approx(0.021, abs=0.004)
