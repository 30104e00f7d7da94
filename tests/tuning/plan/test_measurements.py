"""The formula against published measurements of others (measurements.toml, with sources).

`python -m tests.tuning.plan.test_measurements` prints all of them.
"""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from gateway.tuning.plan.architecture import families
from gateway.tuning.plan.parameters import targets_of
from gateway.tuning.plan.setup import Setup
from gateway.tuning.plan.training_memory import TrainingMemory, training_memory

FILE = tomllib.loads(Path(__file__).with_name("measurements.toml").read_text(encoding="utf-8"))
ROWS: list[dict[str, Any]] = FILE["row"]
UNITS = {"GB": 1e9, "GiB": 2**30}
ALLOWED = 0.15
USUAL_DROPOUT = 0.05
"""Of the trainers that were measured, where a row names none."""
_OF_SETUP = {*Setup.__dataclass_fields__} - {"method", "targets"}


def computed(row: dict[str, Any]) -> TrainingMemory:
    a = families()[row["family"]]
    targets = targets_of(a, row["targets"]) if "targets" in row else ()
    given = {key: value for key, value in row.items() if key in _OF_SETUP}
    return training_memory(
        a, Setup(row["method"], targets=targets, **{"dropout": USUAL_DROPOUT, **given})
    )


def error(row: dict[str, Any]) -> float:
    """Of the computed against the measured, as a share of the measured."""
    measured: float = row["measured"] * UNITS[row.get("unit", "GB")]
    return computed(row).total / measured - 1


def rows(mark: str | None) -> list[Any]:
    """Those with a mark, or those with none."""
    marked = [r for r in ROWS if (mark in r if mark else not {"misses", "excluded"} & r.keys())]
    return [pytest.param(r, id=f"{r['source']}-{r['family']}-{r['name']}") for r in marked]


@pytest.mark.parametrize("row", rows(None))
def test_memory_is_within_15_percent_of_what_was_measured(row: dict[str, Any]) -> None:
    assert abs(error(row)) <= ALLOWED, f"{error(row):+.1%}"


@pytest.mark.parametrize("row", rows("misses"))
def test_a_row_that_is_marked_as_missed_is_missed(row: dict[str, Any]) -> None:
    assert abs(error(row)) > ALLOWED, "it fits now: take the mark away"


def test_every_method_is_measured_and_every_row_says_where_it_is_from() -> None:
    tested = [row.values[0] for row in rows(None)]
    assert {row["method"] for row in tested} == {"full", "lora", "qlora"}
    assert len(tested) >= 15
    assert all(row["what"] == "allocated" for row in tested)
    assert {row["source"] for row in ROWS} <= FILE["sources"].keys()


def test_what_a_token_takes_is_what_two_measured_batches_differ_by() -> None:
    """The same training with 16,384 tokens more: 670,761 bytes a token were measured."""
    four, eight = (
        r
        for r in ROWS
        if r["source"] == "fms" and r["name"].startswith("LoRA r 16, ") and "GPU" not in r["name"]
    )
    measured = (eight["measured"] - four["measured"]) * 1e9 / 16384
    ours = (computed(eight).total - computed(four).total) / 16384
    assert ours == pytest.approx(measured, rel=0.001)


if __name__ == "__main__":
    for each in ROWS:
        why = each.get("misses") or each.get("excluded") or ""
        size = computed(each).total / UNITS[each.get("unit", "GB")]
        print(
            f"{error(each):+7.1%} {size:7.2f} of {each['measured']:6.2f} {each.get('unit', 'GB')}"
            f"  {each['source']}: {each['family']}: {each['name']}"
            + (f"  NOT TESTED: {why}" if why else "")
        )
