"""The answers of a comparison, from the store to predictions, scores and seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gateway import evaluation, planning
from gateway.ab.cells import Asked
from gateway.ab.noise import noise_floor
from gateway.ab.outcome import NoiseFloor
from gateway.ab.question import Question
from gateway.evaluation import RecordedCell, RunRecord
from gateway.planning import Prepared
from gateway.results import CellTimings, Prediction, Report
from gateway.runner import Cell
from gateway.store import Observation, Store
from gateway.tasks import Item


class Answers:
    """The answers of a comparison, read from the store."""

    def __init__(
        self, prepared: Prepared, question: Question, cells: Sequence[Cell], store: Store
    ) -> None:
        record = planning.record(prepared, cells)
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
            made[asked.name] = evaluation.predictions_of(own, self._store)[asked.name]
        return made

    def report(self, record: RunRecord, predictions: evaluation.Predictions) -> Report:
        """Every cell and baseline scored; what compares them is `Outcome`'s."""
        answers = evaluation.answers_of(record, self._store)
        made = evaluation.evaluate(record, predictions, answers)
        return replace(made, comparisons=(), disagreements=(), summary=())

    def timings(
        self, record: RunRecord, predictions: evaluation.Predictions
    ) -> tuple[CellTimings, ...]:
        """Measured seconds, kept apart from all that is reproducible."""
        found: list[CellTimings] = []
        for asked in self._asked:
            found += evaluation.timings_of(_of_one(record, asked), self._store, predictions)
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
