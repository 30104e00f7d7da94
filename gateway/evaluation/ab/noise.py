"""The noise floor: how much the reference differs from itself.

Below it no difference between two cells means anything. Where a model is certified as bitwise it is
nothing at all.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

from gateway.evaluation.ab.outcome import NoiseFloor
from gateway.evaluation.predictions import predictions_from
from gateway.evaluation.record import RunRecord
from gateway.evaluation.store import Observation
from gateway.models.certificates import Level
from gateway.scoring.flips import answered


def noise_floor(
    record: RunRecord, kept: Mapping[str, Observation], again: Mapping[str, Observation]
) -> NoiseFloor:
    """Compare what was said twice.

    Args:
        record: of the reference alone, under one rule.
        kept: item digest -> answer, of all the record's items and those that its rule is fitted on.
        again: the same of the items that were asked a second time.
    """
    (cell,) = record.cells
    record = replace(record, items=tuple(item for item in record.items if cell.key(item) in again))
    # What the rule is fitted on stays the same, so that only the items themselves can differ.
    first, second = (
        predictions_from(record, {cell.digest: answers}) for answers in (kept, {**kept, **again})
    )
    ((name, before),) = first.items()
    changes = [_changes(kept[digest], observed) for digest, observed in again.items()]
    return NoiseFloor(
        cell=name,
        n=len(before),
        level=Level(cell.level),
        answers_changed=sum(
            answered(x) != answered(y) for x, y in zip(before, second[name], strict=True)
        ),
        logprobs_changed=sum(any(each) for each in changes),
        texts_changed=sum(kept[digest].text != seen.text for digest, seen in again.items()),
        largest=max((x for each in changes for x in each if math.isfinite(x)), default=0.0),
    )


def _changes(before: Observation, after: Observation) -> list[float]:
    """By how much each label's log-probability changed; infinite where only one has it. A label
    that was left unfinished has none."""
    if before.labels != after.labels:
        return [math.inf]
    skipped = {i for seen in (before, after) for group in seen.unfinished for i in group}
    pairs = enumerate(zip(before.logprobs, after.logprobs, strict=True))
    return [0.0 if x == y else abs(x - y) for i, (x, y) in pairs if i not in skipped]
