"""Cells by group: the values are those of the group's items alone, and of the mean."""

import math

import numpy as np
import pytest

from gateway.report.pages.groups import section
from gateway.scoring.groups import ByGroup, by_group
from gateway.scoring.pairing import entrant
from gateway.scoring.results import Prediction, Status
from gateway.scoring.scores import score_cell

LABELS = ("yes", "no")


def cell(name: str, answers: str, golds: str) -> list[Prediction]:
    """One item a letter: y or n; a point is no answer."""
    labels = {"y": "yes", "n": "no"}
    return [
        Prediction(
            name,
            f"{number:02}",
            Status.UNPARSED if answer == "." else Status.OK,
            labels.get(answer),
            labels[gold],
        )
        for number, (answer, gold) in enumerate(zip(answers, golds, strict=True))
    ]


GOLDS = "yynnyynnynyn"
MEMBERS = {
    "small": ["08", "09", "10", "11"],
    "large": ["00", "01", "02", "03", "04", "05", "06", "07"],
}


def found(*answers: str, metric: str = "macro_f1") -> ByGroup:
    cells = [cell(f"c{n}", each, GOLDS) for n, each in enumerate(answers)]
    read = [entrant(each, task_kind="classification", labels=LABELS) for each in cells]
    return by_group(read, MEMBERS, "size", metric)


@pytest.mark.parametrize("metric", ["macro_f1", "accuracy", "f1:yes"])
def test_a_group_is_scored_as_a_run_of_its_items_alone(metric: str) -> None:
    by = found("ynnnyy.nnnyy", metric=metric)
    assert list(by.members) == ["large", "small"]
    for group, ids in by.members.items():
        some = [p for p in cell("c", "ynnnyy.nnnyy", GOLDS) if p.item_id in ids]
        table = {metric: entrant(some, task_kind="classification", labels=LABELS).table[metric]}
        alone = score_cell("c", "model", "classification", LABELS, some, table=table)
        assert by.cells[0].groups[group] == alone.metrics[metric]


def test_the_mean_counts_every_group_alike_and_varies_less_than_they_do() -> None:
    (one,) = found("ynnnyynnnnyy").cells
    large, small = one.groups["large"], one.groups["small"]
    assert one.mean is not None
    assert one.mean.value == pytest.approx((large.value + small.value) / 2)
    assert one.mean.low is not None
    assert large.low is not None
    assert small.low is not None
    below = math.hypot(large.value - large.low, small.value - small.low) / 2
    assert one.mean.value - one.mean.low == pytest.approx(below)


def test_groups_whose_intervals_promise_too_much_are_named() -> None:
    read = [entrant(cell("c", GOLDS, GOLDS), task_kind="classification", labels=LABELS)]
    few = by_group(read, MEMBERS, "size", "macro_f1", clusters=np.arange(12) // 8)
    assert (few.few_clusters, few.rare_classes) == (("large", "small"), ("large", "small"))
    own = by_group(read, MEMBERS, "size", "accuracy", clusters=np.array([*range(11), 0]))
    assert (own.few_clusters, own.rare_classes) == ((), ())
    lines = section(few, ["c"], {}).lines
    assert lines[0].startswith("Items form fewer than 10 clusters in large, small: no interval")
    assert lines[1].startswith("Some class has fewer than 10 items in large, small: intervals hold")
    assert section(own, ["c"], {}).lines == ()


def test_what_a_group_does_not_have_has_no_mean() -> None:
    (one,) = found("yynnyynnynyn", metric="log_loss").cells
    assert one.groups == {}
    assert one.mean is None
