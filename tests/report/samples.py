"""Realistic reports of every kind, and one of hostile texts."""

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from gateway.core.types import TaskKind
from gateway.scoring.beside import agreeing
from gateway.scoring.claims import claim
from gateway.scoring.contest import Comparison, Contest
from gateway.scoring.flips import CellAnswer, Flip
from gateway.scoring.mcnemar import McNemar
from gateway.scoring.permutation import Permutation
from gateway.scoring.power import Power
from gateway.scoring.report import Conclusion, Report
from gateway.scoring.results import (
    AgainstBaseline,
    CellScore,
    CellTimings,
    ClassScore,
    Confusion,
    Metric,
    ReliabilityBin,
    Verdict,
)
from gateway.scoring.sequential import Decision, Sequential

LABELS = ("bug", "feature", "question")
HOSTILE = (
    "<script>alert(1)</script>",
    "[red]red[/red]",
    "a|b\nc",
    "`code`",
    "\x1b[31mred\x07",
    "lone \ud800 surrogate",
    "$x_1^2$",
    "{{ 7 * 7 }}",
    '" onmouseover="alert(1)',
    "\u202ereversed",
)
_NAMES = (
    "smollm2-135m/few_shot/contextual",
    "smollm2-135m/few_shot/sum",
    "smollm2-135m/zero_shot/sum",
    "gemma3-270m-plain/zero_shot/sum",
    "smollm2-135m/chain_of_thought",
)
_EXCERPTS = (
    "App crashes when I rotate the phone while a video is playing / Since the last update the …",
    "Please add dark mode / It would be great to have a dark theme that follows the system",
    "How do I configure the proxy? / I read the documentation twice and can't find where to set",
    "Login fails with a 500 after upgrading to 2.3.1 / Steps: open the login page, enter",
    "Support exporting as CSV / We need to hand the table to our accountants every month",
)


def classification() -> Report:
    """Three labels, five cells of which one leaves items unanswered, two baselines."""
    draw = random.Random(7)  # noqa: S311 - a sample, not a secret
    qualities = (0.71, 0.66, 0.52, 0.41, 0.38)
    cells = [_classified(draw, name, q) for name, q in zip(_NAMES, qualities, strict=True)]
    cells[-1] = _without_probabilities(cells[-1])
    cells += [
        _classified(draw, "baseline:majority", 0.17, "baseline"),
        _classified(draw, "baseline:tfidf-logreg", 0.62, "baseline"),
    ]
    return _report("issue-triage", "classification", "macro_f1", cells, LABELS)


def many_labels(count: int = 77) -> Report:
    """More labels than a confusion matrix can show."""
    labels = tuple(f"intent_{i:02d}" for i in range(count))
    draw = random.Random(3)  # noqa: S311 - a sample, not a secret
    cells = [_classified(draw, name, 0.4, labels=labels) for name in _NAMES[:2]]
    return _report("intent", "classification", "macro_f1", cells, labels)


def number() -> Report:
    """Story points: no classes, no probabilities, lower is better."""
    cells = [
        _numbered(_NAMES[0], 2.31),
        _numbered(_NAMES[2], 3.02),
        _numbered("baseline:median", 2.48, "baseline"),
        _numbered("baseline:tfidf-ridge", 2.12, "baseline"),
    ]
    return _report("story-points", "number", "mae", cells)


def extraction() -> Report:
    """Three fields, read together and one by one."""
    cells = [
        _extracted(_NAMES[0], 0.34),
        _extracted(_NAMES[2], 0.21),
        _extracted("baseline:majority", 0.11, "baseline"),
    ]
    return _report("issue-fields", "extraction", "exact_match", cells)


def unanswered() -> Report:
    """Every item failed: no metric but coverage exists."""
    cell = CellScore(
        name=_NAMES[0],
        kind="model",
        n=12,
        statuses={"ok": 0, "unparsed": 0, "truncated": 2, "failed": 10},
        metrics={"coverage": Metric(0.0, 0.0, 0.0)},
    )
    return replace(
        classification(),
        n=12,
        cells=(cell,),
        comparisons=(),
        disagreements=(),
        conclusion=Conclusion.NOTHING_ANSWERED,
    )


def empty() -> Report:
    """A report with nothing in it at all."""
    return Report(
        run_id="000000000000",
        task="nothing",
        kind="classification",
        primary_metric="macro_f1",
        n=0,
        labels=(),
        settings={},
        cells=(),
        comparisons=(),
        disagreements=(),
        conclusion=None,
    )


def hostile(text: str) -> Report:
    """The classification report with `text` wherever a text can come from outside."""
    report = classification()
    labels = (text, "feature", "question")
    first = report.cells[0]
    assert isinstance(first.confusion, Confusion)
    name = f"{text}/cell"
    cell = replace(
        first,
        name=name,
        per_class=tuple(replace(c, label=t) for c, t in zip(first.per_class, labels, strict=True)),
        confusion=replace(first.confusion, labels=labels),
        details={"model": text, text: text},
        verdicts=(AgainstBaseline(text, "macro_f1", Verdict.NOT_COMPARED, why=text),),
    )
    comparisons = [
        replace(each, contest=replace(each.contest, b=name), flips=(text, "x"))
        for each in report.comparisons
    ]
    said = {name: CellAnswer(text, right=True)} | {
        each.name: CellAnswer("bug", right=False) for each in report.cells[1:]
    }
    return replace(
        report,
        run_id=text,
        task=text,
        labels=labels,
        settings={"data": text, text: text},
        cells=(cell, *report.cells[1:]),
        comparisons=tuple(comparisons),
        disagreements=(Flip(text, text, text, said), Flip("x", "bug", text, said)),
        warnings=(text,),
    )


def timings(report: Report) -> tuple[CellTimings, ...]:
    """One row for each model cell."""
    return tuple(
        CellTimings(cell.name, cell.n, 0.042 + i, 0.31 + i, 123.4 * (i + 1), None, 1834.2)
        for i, cell in enumerate(report.cells)
        if cell.kind == "model"
    )


def _report(
    task: str,
    kind: TaskKind,
    primary: str,
    cells: list[CellScore],
    labels: tuple[str, ...] = (),
) -> Report:
    models = [cell for cell in cells if cell.kind == "model"]
    best = models[0]
    return Report(
        run_id="3f9a1c0b7de2",
        task=task,
        kind=kind,
        primary_metric=primary,
        n=150,
        labels=labels,
        settings={
            "gateway": "0.1.0",
            "python": "3.11.7",
            "data": "test.csv",
            "data digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "items": "150 (limit 150)",
            "seed": "0",
            "smollm2-135m contents": "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f",
        },
        cells=tuple(cells),
        comparisons=tuple(_compared(primary, other, best) for other in models[1:]),
        disagreements=tuple(_flip(kind, i, models) for i in range(9)),
        conclusion=Conclusion.NOT_SHOWN,
        warnings=("smollm2-135m: the chat template of the file was replaced by its own.",),
    )


def _classified(
    draw: random.Random,
    name: str,
    quality: float,
    kind: Literal["model", "baseline"] = "model",
    labels: tuple[str, ...] = LABELS,
) -> CellScore:
    size = max(2, 150 // len(labels))
    rows = []
    for gold in range(len(labels)):
        row = [0] * (len(labels) + 1)
        for _ in range(size):
            row[gold if draw.random() < quality else draw.randrange(len(labels))] += 1
        rows.append(tuple(row))
    metrics = {
        "macro_f1": _metric(quality),
        "weighted_f1": _metric(quality + 0.01),
        "accuracy": _metric(quality + 0.02),
        "accuracy_answered": _metric(quality + 0.02),
        "log_loss": _metric(1.3 - quality),
        "brier": _metric(0.9 - quality),
        "ece": Metric(0.19 - quality / 8),
        "coverage": Metric(1.0, 1.0, 1.0),
        "conformance": Metric(1.0, 1.0, 1.0),
    }
    score = CellScore(
        name=name,
        kind=kind,
        n=150,
        statuses={"ok": 150, "unparsed": 0, "truncated": 0, "failed": 0},
        metrics=metrics,
        per_class=tuple(_class_score(label, i, rows) for i, label in enumerate(labels)),
        confusion=Confusion(labels, tuple(rows)),
        reliability=_bins(draw, quality),
        prompt_tokens=41_233 if kind == "model" else 0,
        completion_tokens=450 if kind == "model" else 0,
        tokens_evaluated=43_871 if kind == "model" else 0,
        tokens_per_correct=612.5 / quality if kind == "model" else None,
        details=_details(name) if kind == "model" else {},
        verdicts=_verdicts() if kind == "model" else (),
    )
    return score if kind == "model" else replace(score, reliability=())


def _class_score(label: str, i: int, rows: list[tuple[int, ...]]) -> ClassScore:
    right, support, answered = rows[i][i], sum(rows[i]), sum(row[i] for row in rows)
    precision, recall = right / max(answered, 1), right / support
    f1 = 2 * right / (support + answered)
    return ClassScore(label, precision, recall, f1, support)


def _verdicts() -> tuple[AgainstBaseline, ...]:
    return (
        AgainstBaseline(
            "baseline:majority", "macro_f1", Verdict.BETTER, Metric(0.54, 0.47, 0.61), 150, 150
        ),
        AgainstBaseline(
            "baseline:tfidf-logreg",
            "macro_f1",
            Verdict.NOT_TOLD_APART,
            Metric(0.09, -0.01, 0.19),
            150,
            150,
        ),
    )


def _details(name: str) -> dict[str, str]:
    model, strategy, *rule = name.split("/")
    details = {"model": model, "strategy": strategy, "level": "unverified"}
    details |= {"fingerprint": "fp_2f6c9a7714e0", "mode": "score" if rule else "generate"}
    return details | ({"rule": rule[0]} if rule else {"reasoning cut at its budget": "4 of 150"})


def _without_probabilities(cell: CellScore) -> CellScore:
    absent = ("log_loss", "brier", "ece")
    metrics = {name: metric for name, metric in cell.metrics.items() if name not in absent}
    assert isinstance(cell.confusion, Confusion)
    rows = tuple((*row[:-2], row[-2] - 3, 3) for row in cell.confusion.counts)
    return replace(
        cell,
        statuses={"ok": 141, "unparsed": 6, "truncated": 2, "failed": 1},
        metrics={**metrics, "coverage": _metric(0.94), "conformance": _metric(0.959)},
        confusion=replace(cell.confusion, counts=rows),
        reliability=(),
        exact=False,
    )


def _numbered(name: str, mae: float, kind: Literal["model", "baseline"] = "model") -> CellScore:
    return CellScore(
        name=name,
        kind=kind,
        n=150,
        statuses={"ok": 147, "unparsed": 3, "truncated": 0, "failed": 0},
        metrics={
            "mae": Metric(mae, mae - 0.3, mae + 0.34),
            "median_ae": Metric(2.0, 1.0, 2.0),
            "within_one": _metric(0.41),
            "coverage": Metric(0.98, 0.953, 1.0),
            "conformance": Metric(0.98, 0.953, 1.0),
        },
        prompt_tokens=41_233 if kind == "model" else 0,
        completion_tokens=450 if kind == "model" else 0,
        tokens_evaluated=43_871 if kind == "model" else 0,
        tokens_per_correct=702.1 if kind == "model" else None,
        details=_details(name) if kind == "model" else {},
    )


def _extracted(name: str, match: float, kind: Literal["model", "baseline"] = "model") -> CellScore:
    fields = {"field:type": 0.72, "field:priority": 0.51, "field:component": 0.48}
    return CellScore(
        name=name,
        kind=kind,
        n=150,
        statuses={"ok": 150, "unparsed": 0, "truncated": 0, "failed": 0},
        metrics={
            "exact_match": _metric(match),
            **{field: _metric(value) for field, value in fields.items()},
            "coverage": Metric(1.0, 1.0, 1.0),
            "conformance": Metric(1.0, 1.0, 1.0),
        },
        prompt_tokens=41_233 if kind == "model" else 0,
        completion_tokens=450 if kind == "model" else 0,
        tokens_evaluated=43_871 if kind == "model" else 0,
        tokens_per_correct=1802.1 if kind == "model" else None,
        details=_details(name) if kind == "model" else {},
    )


def _metric(value: float) -> Metric:
    low, high = value - 0.075, value + 0.072
    return Metric(value, low, high if value > 1.0 else min(high, 1.0))


def _bins(draw: random.Random, quality: float) -> tuple[ReliabilityBin, ...]:
    found = []
    for i in range(5, 15):
        middle = (i + 0.5) / 15
        accuracy = min(1.0, max(0.0, middle * quality * 1.25 + draw.uniform(-0.08, 0.08)))
        found.append(ReliabilityBin(i / 15, (i + 1) / 15, 4 + i, middle, accuracy))
    return tuple(found)


def _compared(metric: str, a: CellScore, b: CellScore) -> Comparison:
    difference = a.metrics[metric].value - b.metrics[metric].value
    close = a.name == _NAMES[1]
    p_value = None if close else 0.0004
    deciding = 5 if close else 60
    said = claim(metric, difference, p_value, deciding=deciding, family=20)
    own = Metric(difference, difference - 0.09, difference + 0.08)
    return Comparison(
        contest=Contest(
            a=a.name,
            b=b.name,
            metric=metric,
            n=150,
            total=150,
            differing=deciding,
            deciding=deciding,
            difference=own,
            method="widened percentile bootstrap",
            permutation=Permutation(difference, deciding, 10_000, False, p_value, deciding),
            mcnemar=McNemar(70, 3, 6, 71, None),
            evidence=None,
            equivalence=None,
            needed=None,
            power=Power(150, 0.06, None),
            accuracy_power=Power(150, 0.05, 0.06),
            sequential=Sequential(
                Decision.UNDECIDED, 150, 150, -0.02, -0.12, 0.08, margin=None, alpha=0.05
            ),
            inexact=(0, 0),
        ),
        claim=said,
        difference=agreeing(own, said),
        permutation_p=p_value,
        mcnemar_p=None,
        equivalence_p=None,
        not_worse_p=None,
        reach=None,
        flips=tuple(f"issue-{i:04d}" for i in range(9)),
        differing=tuple(f"issue-{i:04d}" for i in range(9)),
    )


_ANSWERS: Mapping[TaskKind, tuple[str, str]] = {
    "classification": ("bug", "question"),
    "number": ("5", "13"),
    "extraction": ("priority=low, type=bug", "priority=high, type=bug"),
}


def _flip(kind: TaskKind, i: int, models: list[CellScore]) -> Flip:
    right, wrong = _ANSWERS[kind]
    said = {}
    for j, cell in enumerate(models):
        answer = "[unparsed]" if (i + j) % 7 == 6 else (right, wrong)[(i + j) % 3 == 0]
        said[cell.name] = CellAnswer(answer, right=answer == right)
    return Flip(f"issue-{i:04d}", right, _EXCERPTS[i % len(_EXCERPTS)], said)


ALL = [classification, many_labels, number, extraction, unanswered, empty]
"""One report of each kind."""
