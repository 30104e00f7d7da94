"""Lines that are read at once say what each says alone."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.core.errors import DataError
from gateway.core.types import Answer
from gateway.evaluation import predictions as module
from gateway.evaluation.at_once import read_at_once
from gateway.evaluation.predictions import load_predictions
from gateway.scoring.results import Prediction, Status

MADE: tuple[Answer | None, ...] = ("bug", "fe\u2028at", 3, 2.5, -0.0, {"a": "x"}, {}, None)


def whole(chance: np.random.Generator, below: int) -> int:
    return int(chance.random() * below)


def one_of(chance: np.random.Generator, values: Sequence[object]) -> Any:
    return values[whole(chance, len(values))]


def drawn(chance: np.random.Generator) -> dict[str, object]:
    """A line as the gateway writes it."""
    made = Prediction(
        cell=one_of(chance, "abc"),
        item_id=f"i{whole(chance, 99)}",
        status=one_of(chance, list(Status)),
        answer=one_of(chance, MADE),
        gold=one_of(chance, MADE),
        probabilities=one_of(chance, (None, {}, {"bug": 0.25, "ü": 1})),
        raw_text=one_of(chance, ("", 'said\n"so"', "\x85")),
        exact=chance.random() < 0.5,
        prompt_tokens=whole(chance, 2**70),
        off_by=one_of(chance, (0.0, 1e-9, 0.5, 1)),
    )
    line = {**asdict(made), "item_digest": "d"}
    if chance.random() < 0.8:
        del line["off_by"]
    return line | ({"cluster": one_of(chance, ("", "7"))} if chance.random() < 0.2 else {})


def spoilt(line: dict[str, object], chance: np.random.Generator) -> dict[str, object]:
    """The line as no gateway, or only an older one, wrote it."""
    key = one_of(chance, [*line, "stranger"])
    if chance.random() < 0.3:
        return {name: value for name, value in line.items() if name != key}
    wrong: tuple[object, ...] = (
        None,
        True,
        1,
        1.5,
        "x",
        "ok",
        "\ud800",
        [],
        ["ok"],
        {"a": 1},
        {"a": "b"},
    )
    return {**line, key: one_of(chance, wrong)}


def both(file: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is read at once where that can be, and one by one; or what is said to be wrong."""

    def read() -> str:
        try:
            found = load_predictions(file)
        except DataError as wrong:
            return f"error: {wrong}"
        cells = {name: tuple(cell) for name, cell in found.cells.items()}
        return repr((cells, found.digests, found.clusters))

    found = [read()]
    with monkeypatch.context() as patched:
        patched.setattr(module, "read_at_once", lambda _: None)
        return [*found, read()]


def test_it_is_what_every_line_says_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chance, file = np.random.default_rng(0), tmp_path / "predictions.jsonl"
    monkeypatch.setattr(module, "LINES", 3)
    told = set()
    for case in range(150):
        lines = [drawn(chance) for _ in range(whole(chance, 9))]
        if case % 3 == 0 and lines:
            lines[-1] = spoilt(lines[-1], chance)
        escaped = chance.random() < 0.5
        text = "\n".join(json.dumps(line, ensure_ascii=escaped) for line in lines)
        file.write_text(text, encoding="utf-8", errors="surrogatepass")
        at_once, one_by_one = both(file, monkeypatch)
        assert at_once == one_by_one
        told.add(at_once[:5])
    assert {"error", "({'a'"} <= told


def test_what_the_gateway_writes_is_read_at_once() -> None:
    chance = np.random.default_rng(1)
    lines = [json.dumps(drawn(chance)).encode() for _ in range(50)]
    assert read_at_once(lines) is not None


@pytest.mark.parametrize("line", ["", "[1]", "null", '"cell"', "{", "{}", "\ud800"])
def test_what_is_no_prediction_is_left_to_the_reader_of_single_lines(line: str) -> None:
    whole = json.dumps(drawn(np.random.default_rng(2))).encode()
    assert read_at_once([whole, line.encode(errors="surrogatepass")]) is None


def test_equal_texts_of_two_cells_are_one_object(tmp_path: Path) -> None:
    made = Prediction("a", "item", Status.OK, "a long label", "a long label")
    rows = ({**asdict(made), "cell": cell, "item_digest": "d"} for cell in "ab")
    (tmp_path / "predictions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    one, other = (cell[0] for cell in load_predictions(tmp_path).cells.values())
    assert one.answer is other.answer
    assert one.item_id is other.item_id
