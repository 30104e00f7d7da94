"""Outcomes of experiments whose answers are known."""

from collections.abc import Mapping, Sequence

from gateway.evaluation.experiment.outcome import ExperimentOutcome, outcome_of
from gateway.evaluation.record import RecordedCell, RecordedItem, RunRecord
from gateway.evaluation.store import Observation
from gateway.evaluation.summary import RunResult, evaluate
from gateway.scoring.results import Prediction, Status

LABELS = ("bug", "feature", "question")
SCORED, SHOWN, WRITTEN = "m/zero_shot/sum", "m/few_shot/sum", "m/cot"
NEVER: frozenset[int] = frozenset()


def outcome(
    wrong: Mapping[str, frozenset[int]],
    *,
    n: int = 12,
    text: str = "it crashes",
    labels: Sequence[str] = LABELS,
) -> ExperimentOutcome:
    """Cells that are right but for the items of these numbers, of labels in turn.

    A cell whose name has three parts has probabilities: 0.5 for its answer, the next label 0.3.
    """
    items = tuple(
        RecordedItem(f"item-{i:03d} {text}", f"digest {i}", labels[i % len(labels)], text)
        for i in range(n)
    )
    predictions = {
        name: [_predicted(name, i, item, numbers, labels) for i, item in enumerate(items)]
        for name, numbers in wrong.items()
    }
    record = RunRecord(
        task="mine",
        kind="classification",
        primary_metric="accuracy",
        labels=tuple(labels),
        rules=("sum",),
        seed=0,
        items=items,
        dev=(),
        content_free=(),
        cells=tuple(map(_recorded, wrong)),
        baselines=tuple(
            Prediction("baseline:majority", item.item_id, Status.OK, labels[0], item.gold)
            for item in items
        ),
        settings={"data": text},
    )
    answers = {
        cell.name: {i.digest: Observation(Status.OK) for i in items} for cell in record.cells
    }
    report = evaluate(record, predictions, answers, margin=0.05)
    run = RunResult(record, predictions, report, ())
    return outcome_of({0: run}, metric="accuracy", margin=0.05)


def _recorded(name: str) -> RecordedCell:
    model, strategy, *rule = name.split("/")
    mode = "score" if rule else "generate"
    return RecordedCell(f"{model}/{strategy}", model, strategy, name, mode, "weights")


def _predicted(
    name: str, number: int, item: RecordedItem, wrong: frozenset[int], labels: Sequence[str]
) -> Prediction:
    ranked = [*labels[number % len(labels) :], *labels[: number % len(labels)]]
    if number in wrong:
        ranked = [*ranked[1:], ranked[0]]
    shares = [0.5, 0.3, *[0.2 / (len(labels) - 2)] * (len(labels) - 2)]
    known = dict(zip(ranked, shares, strict=True)) if name.count("/") == 2 else None
    return Prediction(name, item.item_id, Status.OK, ranked[0], item.gold, known)
