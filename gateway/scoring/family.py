"""Several comparisons at once: Holm's correction, so that the family errs as rarely as one test."""

from collections.abc import Sequence

import numpy as np
from statsmodels.stats.multitest import multipletests


def holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """The p-values, adjusted for all being looked at (Holm 1979).

    A test that can decide nothing (None) stays one, and counts in the family as if its p-value
    were 1, so that what was asked is corrected for, not what happened to be answerable.
    """
    if not p_values:
        return ()
    filled = np.asarray([1.0 if p is None else p for p in p_values])
    adjusted = multipletests(filled, method="holm")[1]
    return tuple(
        None if p is None else float(value) for p, value in zip(p_values, adjusted, strict=True)
    )
