"""Facts about the value of the cell that was picked for being first."""

import numpy as np

from gateway.scoring.pairing import Entrant, entrant
from gateway.scoring.selection import winner
from tests.scoring.cells import LABELS, cell


def equal(cells: int, seed: int, n: int = 80) -> list[Entrant]:
    """Cells that are right with probability .7."""
    draw = np.random.default_rng(seed)
    return [
        entrant(
            cell(f"c{i}", ["bug"] * n, ["bug" if x else "feature" for x in draw.random(n) < 0.7]),
            task_kind="classification",
            labels=LABELS,
        )
        for i in range(cells)
    ]


def test_the_first_of_equal_cells_loses_most_of_its_luck() -> None:
    found = [winner(equal(8, seed), "accuracy", seed=0, resamples=200) for seed in range(20)]
    known = [each for each in found if each is not None]
    assert np.mean([each.value for each in known]) > 0.75
    assert abs(np.mean([each.corrected.value for each in known]) - 0.7) < 0.02
    held = [(each.corrected.low or 1) <= 0.7 <= (each.corrected.high or 0) for each in known]
    assert sum(held) >= 18


def test_one_cell_was_not_picked_and_a_clear_first_was_no_luck() -> None:
    (one,) = equal(1, 3)
    alone = winner([one], "accuracy", seed=0, resamples=200)
    assert alone is not None
    assert abs(alone.corrected.value - alone.value) < 0.01
    bad = entrant(
        cell("bad", ["bug"] * 80, ["feature"] * 80), task_kind="classification", labels=LABELS
    )
    clear = winner([one, bad], "accuracy", seed=0, resamples=200)
    assert clear is not None
    assert (clear.name, clear.of) == ("c0", 2)
    assert abs(clear.corrected.value - clear.value) < 0.01


def test_where_nothing_was_answered_nothing_is_first() -> None:
    silent = entrant(cell("s", ["bug"] * 3, [None] * 3), task_kind="classification", labels=LABELS)
    assert winner([silent], "accuracy", seed=0, resamples=10) is None


def test_the_value_of_cells_that_err_nowhere_has_a_width_and_stays_within_its_limits() -> None:
    right = [
        entrant(cell(name, ["bug"] * 40, ["bug"] * 40), task_kind="classification", labels=LABELS)
        for name in ("a", "b")
    ]
    for metric in ("accuracy", "balanced_accuracy"):
        found = winner(right, metric, seed=0, resamples=50)
        assert found is not None
        assert found.corrected.low is not None
        assert found.corrected.low < 0.96
        assert found.corrected.high == 1.0
