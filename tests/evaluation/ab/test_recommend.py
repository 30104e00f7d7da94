"""What is recommended is what the table of differences says."""

from types import SimpleNamespace
from typing import cast

import numpy as np

from gateway.evaluation.ab.outcome import Outcome
from gateway.evaluation.ab.recommend import recommendation
from gateway.scoring.contest import Comparison, all_pairs
from gateway.scoring.frontier import Standing
from gateway.scoring.results import Metric, Prediction
from tests.scoring.cells import LABELS, cell


def drawn(seed: int) -> list[list[Prediction]]:
    """Three cells that are about as good, on 80 items."""
    chance = np.random.default_rng(seed)
    golds = [LABELS[at] for at in chance.integers(3, size=80)]
    wrong = {label: LABELS[LABELS.index(label) - 1] for label in LABELS}
    first = chance.random(80) < 0.8
    made = []
    for name, moved in (("a", 0.0), ("b", 0.03), ("c", 0.08)):
        right = first ^ (chance.random(80) < moved)
        answers = [g if ok else wrong[g] for g, ok in zip(golds, right, strict=True)]
        made.append(cell(name, golds, answers))
    return made


def outcome_of(cells: list[list[Prediction]], pairs: tuple[Comparison, ...]) -> Outcome:
    """With all that a recommendation reads."""
    names = [each[0].cell for each in cells]
    values = {each[0].cell: float(np.mean([p.answer == p.gold for p in each])) for each in cells}
    scores = [SimpleNamespace(name=n, metrics={"accuracy": Metric(values[n])}) for n in names]
    made = SimpleNamespace(
        metric="accuracy",
        margin=0.06,
        stopping=None,
        report=SimpleNamespace(kind="classification", cells=scores),
        sizes={name: 100 - at for at, name in enumerate(names)},
        memory=dict.fromkeys(names),
        pairs=pairs,
    )
    return cast(Outcome, made)


def test_a_cell_is_not_worse_where_the_table_says_so() -> None:
    told = set()
    for seed in range(8):
        cells = drawn(seed)
        pairs = all_pairs(
            cells, task_kind="classification", labels=LABELS, metric="accuracy", margin=0.06
        )
        found = recommendation(outcome_of(cells, pairs))
        assert found is not None
        for candidate, standing in found.standings:
            if candidate.name == found.best.name:
                continue
            asked = {candidate.name, found.best.name}
            (pair,) = (p for p in pairs if {p.contest.a, p.contest.b} == asked)
            not_worse = standing is Standing.NOT_WORSE
            if pair.contest.b == found.best.name:
                assert not_worse == pair.not_worse
            assert not_worse or not pair.equivalent
            assert standing is not Standing.WORSE or pair.claim.shown
            assert candidate.difference is not None
            assert abs(candidate.difference.value) == abs(pair.difference.value)
            told.add((standing, pair.contest.b == found.best.name))
    assert {(Standing.NOT_WORSE, True), (Standing.NOT_WORSE, False)} <= told
