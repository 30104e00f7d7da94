"""Rows that a labelling program marks as no labelled items, which their columns do not say."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gateway.core.lists import plural
from gateway.tasks.tables.table import Table


def rejected(table: Table) -> Iterator[str]:
    """Doubts about rows that are marked so, and are read as others are."""
    for program, column, beside, is_marked in _MARKS:
        if column not in table.columns or not beside & set(table.columns):
            continue
        marked = [row for row in table.rows if is_marked(row.values)]
        if marked:
            yield (
                f"{table.place(marked[0].line)}: {program} marks {plural(len(marked), 'row')} as "
                "not labelled so; they are read as others: filter them out"
            )


def _by_prodigy(row: Mapping[str, Any]) -> bool:
    return row.get("answer") in ("reject", "ignore")


def _by_argilla(row: Mapping[str, Any]) -> bool:
    return str(row.get("status")).casefold() in ("discarded", "draft", "pending")


def _by_label_studio(row: Mapping[str, Any]) -> bool:
    found = row.get("annotations")
    first = found[0] if isinstance(found, list) and found else None
    return isinstance(first, Mapping) and first.get("was_cancelled") is True


_MARKS: tuple[tuple[str, str, frozenset[str], Callable[[Mapping[str, Any]], bool]], ...] = (
    ("Prodigy", "answer", frozenset({"_input_hash", "_task_hash", "accept"}), _by_prodigy),
    ("Argilla", "status", frozenset({"responses", "annotation", "suggestions"}), _by_argilla),
    ("Label Studio", "annotations", frozenset({"data"}), _by_label_studio),
)
"""Program, the column that says it, columns that it has beside, and whether a row is marked."""
