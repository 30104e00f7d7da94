"""How many items a calibration is fitted on: so many that more would hardly change an answer."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from gateway.evaluation.predictions import fitted
from gateway.evaluation.store import Observation
from gateway.scoring.arrays import FloatArray
from gateway.scoring.results import Status
from gateway.scoring.rules import ScoreRule

STEP = 8
"""Items that are asked between two looks."""
FEWEST = 2 * STEP
TOLERANCE = 0.02
"""Of a label's probability: see `is_enough`."""


def sizes(most: int) -> Iterator[int]:
    """How many items have been asked at each look."""
    yield from range(FEWEST, most, STEP)
    if most:
        yield most


def is_enough(
    dev: Sequence[str],
    labels: Sequence[str],
    answers: Mapping[str, Observation],
    tolerance: float = TOLERANCE,
) -> bool:
    """Whether the last `STEP` items changed little of what the correction does to all of them: no
    answer, and of probability no more than the tolerance moved to other labels, on average.

    Args:
        dev: digests of the items asked so far, in their order.
    """
    seen = [answers[d] for d in dev if answers[d].status is Status.OK]
    earlier = [d for d in dev[:-STEP] if answers[d].status is Status.OK]
    if not earlier:
        return False
    before, after = (_shares(labels, answers, known, seen) for known in (earlier, dev))
    moved = np.abs(after - before).sum(axis=1).mean() / 2
    same = (after.argmax(axis=1) == before.argmax(axis=1)).all()
    return bool(same and moved <= tolerance)


def _shares(
    labels: Sequence[str],
    answers: Mapping[str, Observation],
    dev: Sequence[str],
    items: Sequence[Observation],
) -> FloatArray:
    """Probabilities of the labels by a calibration on some items, shape (items, labels)."""
    calibrator = fitted(ScoreRule.BATCH, labels, answers, free=(), dev=dev)
    found = calibrator.all_probabilities(items)
    return np.array([list(shares.values()) for shares in found])
