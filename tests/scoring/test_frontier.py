"""Facts about which cell to take."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import ConfigError
from gateway.scoring.frontier import Candidate, Standing, recommend
from gateway.scoring.results import Metric


def candidate(
    name: str, quality: float, size: int | None, low: float | None = None, high: float = 0.01
) -> Candidate:
    """A cell; `low` and `high` of its difference to the best one."""
    difference = None if low is None else Metric((low + high) / 2, low, high)
    return Candidate(name, quality, size, difference=difference)


LADDER = [
    candidate("F16", 0.71, 270),
    candidate("Q8_0", 0.70, 145, -0.015),
    candidate("Q6_K", 0.70, 130, -0.019),
    candidate("Q4_0", 0.68, 90, -0.06),
    candidate("Q2_K", 0.40, 60, -0.4, -0.2),
]


def test_the_smallest_cell_that_is_shown_to_be_not_worse_is_taken() -> None:
    result = recommend(LADDER, metric="macro_f1", margin=0.02)
    assert (result.best.name, result.chosen.name) == ("F16", "Q6_K")
    assert [s.name for _, s in result.standings] == [
        "BEST",
        "NOT_WORSE",
        "NOT_WORSE",
        "OPEN",
        "WORSE",
    ]
    assert [cell.name for cell in result.with_standing(Standing.OPEN)] == ["Q4_0"]


@pytest.mark.parametrize(
    ("margin", "chosen"), [(0.01, "F16"), (0.016, "Q8_0"), (0.1, "Q4_0"), (0.5, "Q2_K")]
)
def test_a_wider_margin_lets_smaller_cells_pass(margin: float, chosen: str) -> None:
    assert recommend(LADDER, metric="macro_f1", margin=margin).chosen.name == chosen


def test_where_less_is_better_the_other_end_of_the_interval_counts() -> None:
    cells = [
        candidate("big", 1.0, 200),
        candidate("fine", 1.05, 100, -0.02, 0.09),
        candidate("open", 1.05, 50, -0.4, 0.2),
        candidate("worse", 1.4, 40, 0.2, 0.6),
    ]
    result = recommend(cells, metric="mae", margin=0.1)
    assert (result.best.name, result.chosen.name) == ("big", "fine")
    assert [s.name for _, s in result.standings] == ["BEST", "NOT_WORSE", "OPEN", "WORSE"]


def test_a_cell_that_could_not_be_compared_is_open_and_not_taken() -> None:
    cells = [candidate("big", 0.7, 200), candidate("small", 0.7, 10)]
    result = recommend(cells, metric="accuracy", margin=0.02)
    assert (result.chosen.name, result.standings[1][1]) == ("big", Standing.OPEN)


def test_a_cell_of_unknown_size_is_taken_only_as_the_best_of_nothing_else() -> None:
    unknown, known = candidate("unknown", 0.7, None), candidate("known", 0.69, 50, -0.01)
    assert recommend([unknown, known], metric="accuracy", margin=0.02).chosen is known
    alone = recommend([unknown], metric="accuracy", margin=0.02)
    assert (alone.chosen, alone.frontier) == (unknown, ())


def test_of_equally_small_cells_less_memory_and_then_more_quality_is_taken() -> None:
    def sized(name: str, quality: float, memory: int | None) -> Candidate:
        return Candidate(name, quality, 50, memory, difference=Metric(0.0, -0.01, 0.01))

    best = candidate("best", 0.9, 100)
    cells = [best, sized("a", 0.7, None), sized("b", 0.7, 90), sized("c", 0.8, 90)]
    assert recommend(cells, metric="accuracy", margin=0.02).chosen.name == "c"


cells = st.lists(
    st.tuples(st.floats(0, 1), st.one_of(st.none(), st.integers(1, 9))), min_size=1, max_size=8
)


@given(cells, st.sampled_from(["accuracy", "mae"]))
@settings(max_examples=60, deadline=None)
def test_a_cell_is_on_the_frontier_unless_another_is_as_good_and_as_small_and_better_in_one(
    drawn: list[tuple[float, int | None]], metric: str
) -> None:
    given_cells = [candidate(str(i), quality, size) for i, (quality, size) in enumerate(drawn)]
    result = recommend(given_cells, metric=metric, margin=0.1)
    sign = -1 if metric == "mae" else 1
    known = [
        (cell, cell.size_bytes, sign * cell.quality)
        for cell in given_cells
        if cell.size_bytes is not None
    ]
    for cell, size, quality in known:
        dominated = any(
            s <= size and q >= quality and (s, q) != (size, quality) for _, s, q in known
        )
        assert (cell in result.frontier) is not dominated
    sizes = [cell.size_bytes for cell in result.frontier]
    assert None not in sizes
    assert sizes == sorted(s for s in sizes if s is not None)
    assert len(result.frontier) <= len(known)


@pytest.mark.parametrize("margin", [0.0, -0.1, math.nan])
def test_a_margin_that_is_none_is_refused(margin: float) -> None:
    with pytest.raises(ConfigError, match="margin"):
        recommend(LADDER, metric="macro_f1", margin=margin)


def test_no_cell_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one cell"):
        recommend([], metric="macro_f1", margin=0.02)
