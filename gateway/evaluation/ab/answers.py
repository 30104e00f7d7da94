"""The answers of a comparison, from the store to predictions and seconds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from gateway.evaluation import plan
from gateway.evaluation.ab.cells import CellName
from gateway.evaluation.ab.margin import Criterion
from gateway.evaluation.ab.noise import noise_floor
from gateway.evaluation.ab.outcome import NoiseFloor
from gateway.evaluation.plan import Prepared
from gateway.evaluation.predictions import Predictions, predictions_of
from gateway.evaluation.record import RecordedCell, RunRecord
from gateway.evaluation.run import Cell
from gateway.evaluation.store import Observation, Store
from gateway.evaluation.summary import timings_of
from gateway.scoring.results import CellTimings
from gateway.tasks.task import Item


class StoredAnswers:
    """What the cells of a comparison said, as the store has it."""

    def __init__(self, prepared: Prepared, criterion: Criterion, store: Store) -> None:
        self.store = store
        self._prepared = prepared
        self._criterion = criterion
        self._whole: RunRecord | None = None

    def record(self, cells: Sequence[Cell], items: Iterable[Item]) -> RunRecord:
        """What was asked, these items alone; the cells are the same at every call."""
        if self._whole is None:
            # Once: the baselines of a record have to learn.
            self._whole = replace(
                plan.record(self._prepared, cells),
                primary_metric=self._criterion.metric,
                reported=tuple(cell.name for cell in self._criterion.cells),
            )
        kept = {item.id for item in items}
        return replace(
            self._whole,
            items=tuple(item for item in self._whole.items if item.item_id in kept),
            baselines=tuple(p for p in self._whole.baselines if p.item_id in kept),
        )

    def predictions(self, record: RunRecord) -> Predictions:
        """By name of the cell, in the order in which they were asked for."""
        made = predictions_of(record, self.store)
        return {name: made[name] for name in record.reported}

    def timings(self, record: RunRecord, predictions: Predictions) -> tuple[CellTimings, ...]:
        """Measured seconds in the same order, kept apart from all that is reproducible."""
        found = {each.name: each for each in timings_of(record, self.store, predictions)}
        return tuple(found[name] for name in record.reported)

    def noise(self, record: RunRecord, again: Mapping[str, Observation]) -> NoiseFloor:
        """What differs where the reference was asked again.

        Args:
            again: item digest -> what it said then.
        """
        reference = self._criterion.cells[0]
        cell = _recorded(record, reference)
        alone = replace(record, cells=(cell,), reported=(reference.name,), baselines=())
        return noise_floor(alone, self.store.answers(cell.digest, cell.calibration), again)


def _recorded(record: RunRecord, name: CellName) -> RecordedCell:
    return next(c for c in record.cells if (c.model, c.strategy) == (name.model, name.strategy))
