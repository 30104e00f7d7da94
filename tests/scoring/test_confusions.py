"""Intervals of what is made of a confusion table, where the classes are many."""

import numpy as np
import pytest

from gateway.scoring import confusions
from gateway.scoring.scores import statistics
from tests.scoring.cells import cell


@pytest.mark.parametrize("metric", ["macro_f1", "weighted_f1", "balanced_accuracy"])
@pytest.mark.parametrize("clustered", [False, True])
def test_an_interval_of_many_classes_is_found_as_of_few(
    metric: str, clustered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = np.random.default_rng(3)
    labels = [f"l{k}" for k in range(12)]
    golds = [labels[k] for k in chance.integers(10, size=120)]
    kept = (chance.random(120) < 0.6).tolist()
    others = [labels[k] for k in chance.integers(12, size=120)]
    answers = [g if own else o for g, own, o in zip(golds, kept, others, strict=True)]
    items = cell("c", golds, [None if i % 9 == 0 else a for i, a in enumerate(answers)])
    statistic = statistics("classification", labels, items)[metric]
    clusters = np.arange(120) // 3 if clustered else None
    few = confusions.interval(statistic, clusters=clusters)
    monkeypatch.setattr(confusions, "MOST_DENSE", 3)
    assert confusions.interval(statistic, clusters=clusters) == pytest.approx(few, abs=1e-6)
