"""What is written is read again as it was."""

from pathlib import Path

import pytest

from gateway.tasks.tables import Row, Table, read_table, with_columns, write_table

AWKWARD = ("a\rb", "a\r\nb", "a\nb", 'a "b", c', "a\tb", " a ", "'a'", "", "\u2028", "=1+1")
TABLE = Table(
    "d.jsonl",
    ("id", "text"),
    tuple(Row(n, {"id": f"i{n}", "text": text}) for n, text in enumerate(AWKWARD, start=1)),
)


def texts(path: Path) -> list[str]:
    return [row.values["text"] for row in read_table(str(path)).rows]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_awkward_texts_come_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"d{suffix}"
    write_table(TABLE, TABLE.rows, path)
    assert texts(path) == list(AWKWARD)
    path = tmp_path / "more.csv"
    path.write_text(with_columns(TABLE, ["answer"], [["x"]] * len(AWKWARD)), newline="")
    assert texts(path) == list(AWKWARD)
