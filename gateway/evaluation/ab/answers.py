"""The answers of a comparison, from the store to predictions, scores and seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gateway.evaluation import plan
from gateway.evaluation.ab.cells import Asked
from gateway.evaluation.ab.noise import noise_floor
from gateway.evaluation.ab.outcome import NoiseFloor
from gateway.evaluation.ab.question import Question
from gateway.evaluation.plan import Prepared
from gateway.evaluation.predictions import Predictions, answers_of, predictions_of
from gateway.evaluation.record import RecordedCell, RunRecord
from gateway.evaluation.run import Cell
from gateway.evaluation.store import Observation, Store
from gateway.evaluation.summary import evaluate, timings_of
from gateway.scoring.results import CellTimings, Prediction, Report
from gateway.tasks.task import Item


class Answers:
    """The answers of a comparison, read from the store."""

    def __init__(
        self, prepared: Prepared, question: Question, cells: Sequence[Cell], store: Store
    ) -> None:
        record = plan.record(prepared, cells)
        names = tuple(asked.name for asked in question.asked)
        self.record = replace(record, primary_metric=question.metric, reported=names)
        self._asked = question.asked
        self._store = store

    def narrowed(self, items: Sequence[Item]) -> RunRecord:
        """The record of these items alone."""
        kept = {item.id for item in items}
        return replace(
            self.record,
            items=tuple(item for item in self.record.items if item.item_id in kept),
            baselines=tuple(p for p in self.record.baselines if p.item_id in kept),
        )

    def predictions(self, record: RunRecord) -> dict[str, list[Prediction]]:
        """By name of the cell, in the order in which they were asked for."""
        made = {}
        for asked in self._asked:
            own = _of_one(record, asked)
            made[asked.name] = predictions_of(own, self._store)[asked.name]
        return made

    def report(self, record: RunRecord, predictions: Predictions) -> Report:
        """Every cell and baseline scored; what compares them is `Outcome`'s."""
        answers = answers_of(record, self._store)
        made = evaluate(record, predictions, answers)
        return replace(made, comparisons=(), disagreements=(), summary=())

    def timings(self, record: RunRecord, predictions: Predictions) -> tuple[CellTimings, ...]:
        """Measured seconds, kept apart from all that is reproducible."""
        found: list[CellTimings] = []
        for asked in self._asked:
            found += timings_of(_of_one(record, asked), self._store, predictions)
        return tuple(found)

    def noise(self, record: RunRecord, again: Mapping[str, Observation]) -> NoiseFloor:
        """What differs where the reference was asked again.

        Args:
            again: item digest -> what it said then.
        """
        own = _of_one(record, self._asked[0])
        return noise_floor(own, self._store.answers(own.cells[0].digest), again)


def _of_one(record: RunRecord, asked: Asked) -> RunRecord:
    """The record of one cell under one rule, baselines apart."""
    return replace(
        record,
        cells=(_recorded(record, asked),),
        rules=(asked.rule.value,) if asked.rule else (),
        baselines=(),
    )


def _recorded(record: RunRecord, asked: Asked) -> RecordedCell:
    return next(c for c in record.cells if (c.model, c.strategy) == (asked.model, asked.strategy))
