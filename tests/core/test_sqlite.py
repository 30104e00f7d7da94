"""SQLite files: statements that are committed together."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.core.errors import StoreError
from gateway.core.sqlite import Database, Kind

KIND = Kind("list of names", "CREATE TABLE IF NOT EXISTS names (name TEXT UNIQUE);", version=1)
ADD = "INSERT INTO names VALUES (?)"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "names.sqlite", KIND)
    yield opened
    opened.close()


def test_a_statement_for_each_row_is_committed(tmp_path: Path, database: Database) -> None:
    database.execute_for_each(ADD, [["elm"], ["oak"]])
    other = Database(tmp_path / "names.sqlite", KIND)
    assert other.rows("SELECT name FROM names ORDER BY name") == [("elm",), ("oak",)]
    other.close()


def test_where_one_row_fails_none_is_written(database: Database) -> None:
    with pytest.raises(StoreError, match="UNIQUE"):
        database.execute_for_each(ADD, [["elm"], ["elm"]])
    assert database.rows("SELECT name FROM names") == []
    database.execute(ADD, ["elm"])
    assert database.rows("SELECT name FROM names") == [("elm",)]
