"""The options of every command that reads data: columns, delimiter, encoding, quoting."""

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, cast

import typer

from gateway.cli.common import note
from gateway.core.errors import ConfigError

if TYPE_CHECKING:
    from gateway.tasks.tables import Columns, Quoting, ReadOptions
else:
    # What a command's signature names; the readers are loaded by the commands that read.
    Columns = object

_COLUMNS = "columns"
_MAY_BE_EMPTY = "id"

ColumnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        help="FIELD=NAME: the data's column for a field, or a path into it (labels\\[0].name). "
        "Repeatable.",
    ),
]
DelimiterOption = Annotated[
    str, typer.Option("--delimiter", help="Between the fields of CSV and TSV; tab for a tab.")
]
EncodingOption = Annotated[
    str, typer.Option("--encoding", help="Of files that are no UTF-8: windows-1252, ...")
]
QuotingOption = Annotated[
    str,
    typer.Option("--quoting", help="Of CSV and TSV: double, backslash, or none (plain text)."),
]


def reads_data(command: Callable[..., None]) -> Callable[..., None]:
    """A command that is given `columns` as `ReadOptions`, made of options that all such commands
    have; they stand in its help where `columns` stands in its signature."""
    signature = inspect.signature(command)
    shown: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        shown += _OPTIONS if parameter.name == _COLUMNS else [parameter]

    @functools.wraps(command)
    def run(**given: object) -> None:
        column, *form = (given.pop(parameter.name) for parameter in _OPTIONS)
        columns = _read_options(cast("list[str] | None", column), *map(str, form))
        command(**given, columns=columns)

    run.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return run


def form_of(delimiter: str, encoding: str, quoting: str) -> "ReadOptions":
    """How a table is read whose columns nobody asks for."""
    return _read_options(None, delimiter, encoding, quoting)


def _read_options(
    column: ColumnOption = None,
    delimiter: DelimiterOption = "",
    encoding: EncodingOption = "",
    quoting: QuotingOption = "",
) -> "ReadOptions":
    from gateway.tasks.tables import ReadOptions

    # Another name than the known ones is refused by ReadOptions itself.
    return ReadOptions(columns_of(column), delimiter, encoding, cast("Quoting", quoting), note)


_OPTIONS = list(inspect.signature(_read_options).parameters.values())


def columns_of(pairs: list[str] | None) -> dict[str, str]:
    """Field -> name of its column; an empty one for the id, which then is the line.

    Raises:
        ConfigError: a pair is not FIELD=NAME.
    """
    columns = {}
    for pair in pairs or []:
        field, separator, name = pair.partition("=")
        if not separator or not field or not (name or field == _MAY_BE_EMPTY):
            raise ConfigError(f"--column {pair!r} is not FIELD=NAME")
        columns[field] = name
    return columns


__all__ = ["Columns", "reads_data"]
