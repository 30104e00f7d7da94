"""From the answers of a comparison to its outcome. No model is asked here."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from gateway.evaluation.ab.answers import Answers
from gateway.evaluation.ab.ask import BATCH, Answered
from gateway.evaluation.ab.outcome import Differing, Outcome, Pair, Stopping
from gateway.evaluation.ab.question import RIGHT, Question
from gateway.evaluation.ab.recommend import recommendation
from gateway.evaluation.predictions import Predictions
from gateway.evaluation.record import RunRecord
from gateway.scoring.comparison import answer_text, shown_answer
from gateway.scoring.contest import Contest, contest, one_by_one
from gateway.scoring.family import holm
from gateway.scoring.flips import Fidelity, fidelity
from gateway.scoring.power import items_needed
from gateway.scoring.results import CellTimings, Prediction
from gateway.scoring.scores import is_right
from gateway.scoring.sequential import Decision


def all_decided(predictions: Predictions, record: RunRecord, question: Question) -> bool:
    """Whether right answers decide every cell against the reference."""
    reference, *others = predictions.values()
    decisions = (
        one_by_one(
            cell,
            reference,
            task_kind=record.kind,
            margin=question.share_margin,
            seed=record.seed,
        ).decision
        for cell in others
    )
    return all(decision is not Decision.UNDECIDED for decision in decisions)


def judge(
    answers: Answers,
    answered: Answered,
    question: Question,
    sizes: Mapping[str, int | None],
    *,
    stopping: bool,
) -> tuple[Outcome, tuple[CellTimings, ...]]:
    """All that is said of the cells, and their seconds.

    Args:
        sizes: model -> bytes of its weights.
        stopping: whether items were taken until everything was decided.

    Raises:
        ComparisonRefused: a cell has no such metric.
    """
    record = answers.narrowed(answered.items)
    predictions = answers.predictions(record)
    planned = len(answers.record.items) if stopping else None
    contests = _contests(predictions, record, question, planned)
    report = answers.report(record, predictions)
    models = {asked.name: asked.model for asked in question.asked}
    outcome = Outcome(
        report=report,
        reference=question.asked[0].name,
        metric=question.metric,
        margin=question.margin,
        noise=answers.noise(record, answered.again),
        pairs=_pairs(contests, predictions, record, question, stopping=stopping),
        fidelity=_fidelity(predictions, record),
        recommendation=None,
        stopping=Stopping(len(record.items), planned, BATCH, answered.decided) if planned else None,
        sizes={name: sizes[model] for name, model in models.items()},
        memory={name: answered.memory[model] for name, model in models.items()},
    )
    seconds = answers.timings(record, predictions)
    return replace(outcome, recommendation=recommendation(outcome)), seconds


def _contests(
    predictions: Predictions,
    record: RunRecord,
    question: Question,
    planned: int | None,
) -> list[Contest]:
    """Every pair once, those with the reference first; the later cell is held against the earlier
    one, so that a loss is below zero."""
    made = []
    for earlier, later in combinations(predictions.values(), 2):
        result = contest(
            later,
            earlier,
            task_kind=record.kind,
            labels=record.labels,
            metric=question.metric,
            margin=question.margin,
            accuracy_margin=question.share_margin,
            seed=record.seed,
        )
        if planned is not None:
            looks = one_by_one(
                later,
                earlier,
                task_kind=record.kind,
                margin=question.share_margin,
                planned=planned,
                seed=record.seed,
            )
            result = replace(result, sequential=looks)
        made.append(result)
    return made


def _pairs(
    contests: Sequence[Contest],
    predictions: Predictions,
    record: RunRecord,
    question: Question,
    *,
    stopping: bool,
) -> tuple[Pair, ...]:
    # A test for a number of items fixed beforehand says nothing where that number was not.
    permutation = holm([None if stopping else c.permutation.p_value for c in contests])
    mcnemar = holm([None if stopping else c.mcnemar.p_value for c in contests])
    return tuple(
        Pair(
            contest=result,
            permutation_p=p,
            mcnemar_p=q,
            needed=_needed(result, question),
            differing=_differing(predictions[result.a], predictions[result.b], record),
        )
        for result, p, q in zip(contests, permutation, mcnemar, strict=True)
    )


def _needed(result: Contest, question: Question) -> int | None:
    """Items for the margin to be found, from what these items tell of the spread."""
    if question.metric in RIGHT.values():
        return items_needed(question.margin, result.accuracy_power.discordance or 0.0)
    if result.power.smallest is None:
        return None
    # The smallest difference shrinks with the root of the number of items.
    return math.ceil(result.n * (result.power.smallest / question.margin) ** 2)


def _differing(
    a: Sequence[Prediction], b: Sequence[Prediction], record: RunRecord
) -> tuple[Differing, ...]:
    excerpts = {item.item_id: item.excerpt for item in record.items}
    return tuple(
        Differing(
            item_id=x.item_id,
            gold=answer_text(x.gold),
            excerpt=excerpts[x.item_id],
            a=shown_answer(x),
            b=shown_answer(y),
            a_right=is_right(x, record.kind) is True,
            b_right=is_right(y, record.kind) is True,
        )
        for x, y in zip(a, b, strict=True)
        if shown_answer(x) != shown_answer(y)
    )


def _fidelity(predictions: Predictions, record: RunRecord) -> tuple[Fidelity, ...]:
    reference, *others = predictions.values()
    return tuple(
        fidelity(reference, cell, task_kind=record.kind, labels=record.labels) for cell in others
    )
