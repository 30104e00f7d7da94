"""Lines that are written a cell at once are those that are written one by one."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from gateway.core.digests import canonical_json
from gateway.evaluation.lines import LinesWriter
from gateway.scoring.columns import Columns
from gateway.scoring.results import Prediction, Status
from tests.evaluation.test_at_once import MADE, one_of

TEXTS = ("", 'said\n"so"', "\x00}\n{\x85", "}\n{", "\ud800", "ü,")
SHARES: tuple[dict[str, float], ...] = (
    {},
    {"z": 0.25, "a": 1},
    {"ü": 1e-7, '"': 5e-324, "b": float("nan")},
)


def drawn(number: int, chance: np.random.Generator) -> Prediction:
    return Prediction(
        cell="a/b",
        item_id=f"{number}",
        status=one_of(chance, list(Status)),
        answer=one_of(chance, MADE),
        gold=one_of(chance, (*MADE, *TEXTS)),
        probabilities=one_of(chance, (None, *SHARES)),
        raw_text=one_of(chance, TEXTS),
        reason=one_of(chance, TEXTS),
        exact=chance.random() < 0.5,
        prompt_tokens=int(chance.random() * 2**62),
        off_by=one_of(chance, (0.0, 0.5, 1e-9)),
    )


def one_by_one(predictions: list[Prediction], clusters: dict[str, str]) -> str:
    def line(one: Prediction) -> dict[str, object]:
        more = {"item_digest": f"d{one.item_id}", "cluster": clusters[one.item_id]}
        optional = {"cluster", "off_by"}
        every = {**asdict(one), **more}
        return {key: value for key, value in every.items() if value or key not in optional}

    return "".join(canonical_json(line(one)) + "\n" for one in predictions)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 40])
@pytest.mark.parametrize("seed", range(8))
def test_the_bytes_are_those_of_single_lines(count: int, seed: int) -> None:
    chance = np.random.default_rng(seed)
    made = [drawn(number, chance) for number in range(count)]
    if seed % 2:
        made = [replace(one, off_by=0.0) for one in made]
    clusters = {one.item_id: one_of(chance, ("", "7", '"')) if seed % 3 else "" for one in made}
    digests = {one.item_id: f"d{one.item_id}" for one in made}
    lines = LinesWriter(digests, clusters).lines_of(Columns.of(made))
    assert lines == one_by_one(made, clusters)
