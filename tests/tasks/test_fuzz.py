"""Whatever bytes a file has, reading it is a table or one error that names the file."""

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.core.errors import ConfigError, DataError
from gateway.models.environment import shipped
from gateway.tasks.dataset import load_dataset
from gateway.tasks.tables import Quoting, ReadOptions
from gateway.tasks.task import load_task
from tests.tasks.damage import DAMAGES

TASKS = [
    load_task(name, shipped("prompts"))
    for name in ("intent", "issue-triage", "story-points", "issue-fields", "story-estimate")
]
ROWS: list[dict[str, object]] = [
    {
        "id": number,
        "text": f"text {number}, with “quotes” and é",
        "title": 'a "title"',
        "body": None if number == 3 else "line one\nline two",
        "description": "d",
        "issue": "i",
        "examples": [{"issue": "x", "story_points": 1}, "y"],
        "label": ["bug", "feature", "question"][number % 3],
        "type": "bug",
        "priority": "low",
        "component": "ui",
        "storypoint": number + 0.5,
        "story_points": number,
        "nested": {"list": [{"name": "bug"}, {"name": "ui"}], "none": None},
    }
    for number in range(8)
]
PATHS = ("nested.list[0].name", "nested.none.name", "nested[0]", "examples[1]", "absent", "id", "")
ODD = (
    b'"', b",", b"\t", b";", b"\n", b"\r", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\\",
    b"[", b"]", b"{", b"}", b":", b"null", b"NaN", b"1e999", b"-", b"\\ud800", b"sep=|\n", b"'",
    b"9" * 40, b"\x80", b"\xc3", b"true", b"PAR1", b"\x1f\x8b",
)  # fmt: skip


def separated(delimiter: str) -> bytes:
    def cell(value: object) -> str:
        text = value if isinstance(value, str) else json.dumps(value)
        return '"' + text.replace('"', '""') + '"'

    lines = [delimiter.join(ROWS[0]), *(delimiter.join(map(cell, r.values())) for r in ROWS)]
    return "\n".join(lines).encode()


def json_lines() -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


def parquet() -> bytes:
    import io

    import pyarrow
    import pyarrow.parquet

    made = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(PARQUET_ROWS), made)
    return made.getvalue()


PARQUET_ROWS = [{k: v for k, v in row.items() if k != "examples"} for row in ROWS]
FILES: dict[str, Callable[[], bytes]] = {
    "d.csv": lambda: separated(","),
    "d.tsv": lambda: separated("\t"),
    "d.jsonl": json_lines,
    "d.json": lambda: json.dumps(ROWS, indent=1).encode(),
    "d.csv.gz": lambda: gzip.compress(separated(";"), mtime=0),
    "d.parquet": parquet,
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.needs("pyarrow")] * n.endswith("parquet")) for n in FILES],
)
def test_no_bytes_are_a_traceback(tmp_path: Path, pytestconfig: pytest.Config, name: str) -> None:
    path = tmp_path / name
    sound = FILES[name]()
    for seed in range(pytestconfig.getoption("--fuzz") // len(FILES)):
        draw = random.Random(f"{name} {seed}")  # noqa: S311
        path.write_bytes(mutated(sound, draw))
        said = outcome(path, draw)
        assert said == "" or said.startswith((str(path), "the task ")), f"seed {seed}: {said}"
        assert "\n" not in said, f"seed {seed}: {said}"


def outcome(path: Path, draw: random.Random) -> str:
    """The error of a file, with the type of one that should not have come; empty for a table."""
    task, labelled, columns = draw.choice(TASKS), draw.random() < 0.8, options(draw)
    try:
        load_dataset(str(path), task, columns=columns, labelled=labelled)
    except (DataError, ConfigError) as error:
        return error.message
    except Exception as error:  # noqa: BLE001 (that there is none is what is tested)
        return f"{type(error).__name__}: {error}"
    return ""


def options(draw: random.Random) -> ReadOptions:
    """Mostly none, now and then some that may or may not fit."""
    if draw.random() < 0.6:
        return ReadOptions()
    quoting: list[Quoting] = ["", "", "double", "backslash", "none"]
    fields = draw.choice([{}, {"label": draw.choice(PATHS[:-1])}, {"id": draw.choice(PATHS)}])
    return ReadOptions(
        fields,
        draw.choice(["", "", ";", "tab", "|"]),
        draw.choice(["", "", "windows-1252", "utf-16-le", "shift_jis", "utf-7"]),
        draw.choice(quoting),
    )


def mutated(data: bytes, draw: random.Random) -> bytes:
    """One to four mutations: of bytes, of spans of them, or of the form."""
    for _ in range(draw.randint(1, 4)):
        data = draw.choice(MUTATIONS)(data, draw)
    return data


def flipped(data: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(data) + 1)
    return data[:at] + bytes([draw.randrange(256)]) + data[at + 1 :]


def inserted(data: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(data) + 1)
    return data[:at] + draw.choice(ODD) + data[at:]


def removed(data: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(data) + 1)
    return data[:at] + data[at + draw.choice([1, 2, 10, 100]) :]


def repeated(data: bytes, draw: random.Random) -> bytes:
    at, length = draw.randrange(len(data) + 1), draw.choice([1, 5, 50, 500])
    return data[: at + length] + data[at : at + length] + data[at + length :]


def shortened(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data) + 1)]


def of_the_form(data: bytes, draw: random.Random) -> bytes:
    if len(data.splitlines()) < 8:
        return flipped(data, draw)
    return draw.choice(list(DAMAGES.values()))(data, draw)


MUTATIONS = (flipped, flipped, inserted, inserted, removed, repeated, shortened, of_the_form)
