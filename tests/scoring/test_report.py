"""Which cell stands first."""

import pytest

from gateway.scoring.report import best_first
from gateway.scoring.results import CellScore, Metric

PRECISION = "precision:bug"


def scored(name: str, answered: int, **values: float) -> CellScore:
    statuses = {"ok": answered, "unparsed": 60 - answered}
    return CellScore(name, "model", 60, statuses, {k: Metric(v) for k, v in values.items()})


CELLS = [
    scored("nothing", 0, macro_f1=0.9, log_loss=0.0, **{PRECISION: 1.0}),
    scored("silent", 2, macro_f1=0.1, log_loss=0.1, **{PRECISION: 1.0}),
    scored("worse", 60, macro_f1=0.3, log_loss=0.8, **{PRECISION: 0.3}),
    scored("better", 60, macro_f1=0.5, log_loss=0.4, **{PRECISION: 0.5}),
    scored("without", 60),
]


@pytest.mark.parametrize("metric", ["macro_f1", "log_loss", PRECISION])
def test_a_cell_is_not_first_for_what_it_left_out(metric: str) -> None:
    names = [cell.name for cell in best_first(CELLS, metric)]
    assert names == ["better", "worse", "silent", "nothing"]
