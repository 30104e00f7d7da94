"""Small cells for the tests of statistics."""

from collections.abc import Sequence

from hypothesis import strategies as st

from gateway.core.types import Answer
from gateway.scoring.pairing import Pairs, paired
from gateway.scoring.results import Prediction, Status

LABELS = ("bug", "feature", "question")

Rows = list[tuple[str, str | None, str | None]]
"""Gold label, answer of a, answer of b; an answer of None is an unparsed one."""

_answers = st.sampled_from([*LABELS, None])


def rows(smallest: int = 1, largest: int = 30) -> st.SearchStrategy[Rows]:
    """Any two cells on the same items."""
    row = st.tuples(st.sampled_from(LABELS), _answers, _answers)
    return st.lists(row, min_size=smallest, max_size=largest)


def cell(name: str, golds: Sequence[Answer], answers: Sequence[Answer | None]) -> list[Prediction]:
    """A cell; an answer of None is an unparsed one."""
    return [
        Prediction(name, f"{i:04}", Status.UNPARSED if answer is None else Status.OK, answer, gold)
        for i, (gold, answer) in enumerate(zip(golds, answers, strict=True))
    ]


def two_cells(drawn: Rows) -> tuple[list[Prediction], list[Prediction]]:
    golds = [gold for gold, _, _ in drawn]
    return cell("a", golds, [a for _, a, _ in drawn]), cell("b", golds, [b for _, _, b in drawn])


def pairs_of(drawn: Rows, metric: str = "macro_f1") -> Pairs:
    a, b = two_cells(drawn)
    return paired(a, b, task_kind="classification", labels=LABELS, metric=metric)


def estimates_of(
    golds: Sequence[float], a: Sequence[float | None], b: Sequence[float | None]
) -> Pairs:
    """Two cells of numbers, on the mean absolute error."""
    cells = cell("a", golds, a), cell("b", golds, b)
    return paired(*cells, task_kind="number", labels=(), metric="mae")
