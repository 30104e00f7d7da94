"""The value of the cell that was picked for being the best.

The best of many is better here than it will be elsewhere: it was picked for what it did on these
very items, luck included. How much of its value is luck is seen by picking again on resamples, from
cells of which it is known how good they are (Efron and Tibshirani 1993, chapter 17: optimism).
Which ones are as good as they look is not known: their values are drawn towards the mean of all,
by as much of their spread as chance alone would make (James and Stein 1961).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gateway.scoring.arrays import FloatArray, IntArray
from gateway.scoring.estimates import bounds_of
from gateway.scoring.metrics import limits, merit
from gateway.scoring.pairing import Entrant
from gateway.scoring.results import Metric
from gateway.scoring.statistic import resampled


@dataclass(frozen=True, slots=True)
class Winner:
    """The cell with the best value."""

    name: str
    value: float
    """As it is here."""
    corrected: Metric
    """Less the luck of having been chosen, with its 95% interval."""
    of: int
    """Cells that it was chosen from."""


def winner(
    cells: Sequence[Entrant],
    metric: str,
    *,
    seed: int,
    resamples: int,
    clusters: IntArray | None = None,
) -> Winner | None:
    """The cell with the best value, of equals the first; None where none has one or answered
    anything."""
    values = {cell.name: cell.value(metric) for cell in cells if cell.answered.any()}
    known = [cell for cell in cells if not np.isnan(values.get(cell.name, np.nan))]
    if not known:
        return None
    best = max(known, key=lambda cell: merit(metric, values[cell.name]))
    found = [
        resampled(
            {metric: cell.table[metric]}, len(cell.ids), resamples, seed=seed, clusters=clusters
        )[metric]
        for cell in known
    ]
    estimates = np.asarray([values[cell.name] for cell in known])
    bounds = bounds_of(metric, best.table[metric], clusters, None)
    own = Metric(values[best.name], *bounds)
    corrected = _corrected(own, estimates, np.asarray(found), metric)
    return Winner(best.name, own.value, corrected, len(known))


def _corrected(own: Metric, estimates: FloatArray, drawn: FloatArray, metric: str) -> Metric:
    """
    Args:
        estimates: shape (cells,).
        drawn: values on the same resamples, shape (cells, resamples).
    """
    sign = merit(metric, 1.0)
    errors = sign * np.nan_to_num(drawn - estimates[:, np.newaxis])
    if not errors.shape[1]:
        return Metric(own.value)
    assumed = _shrunk(sign * estimates, errors)
    picked = (assumed[:, np.newaxis] + errors).argmax(axis=0)
    luck = sign * errors[picked, np.arange(errors.shape[1])]
    # Being picked makes nothing look worse than it is: what little says so is the resamples'.
    bias = sign * max(0.0, float(sign * luck.mean()))
    value = own.value - bias
    low, high = np.percentile(luck - luck.mean(), (2.5, 97.5))
    # The larger of two spreads: of the picked one's luck, and of this very cell.
    under, over = value - high, value - low
    if own.low is not None and own.high is not None:
        under, over = min(under, own.low - bias), max(over, own.high - bias)
    if not under < over:
        return Metric(value)
    value, under, over = np.clip([value, under, over], *limits(metric))
    return Metric(float(value), float(under), float(over))


def _shrunk(estimates: FloatArray, errors: FloatArray) -> FloatArray:
    """Values drawn towards their mean by the part of their spread that is noise."""
    centre = estimates.mean()
    spread = float(((estimates - centre) ** 2).sum())
    noise = float(((errors - errors.mean(axis=0)) ** 2).sum(axis=0).mean())
    kept = max(0.0, 1 - noise / spread) if spread > 0 else 0.0
    return np.asarray(centre + kept * (estimates - centre))
