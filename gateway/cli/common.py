"""What the commands share: options, consoles, exit codes, and reading of arguments."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.console import Console

from gateway.cli.outputs import check_file
from gateway.core.errors import ConfigError

if TYPE_CHECKING:
    from rich.status import Status

    from gateway.core.concurrency import Work
    from gateway.evaluation.store import Store
    from gateway.report.sections import Document, Section

_T = TypeVar("_T")

INTERRUPTED = 130
REFUSED = 3
USAGE = 2
FAILED = 1

out = Console()
err = Console(stderr=True)

TaskOption = Annotated[
    str, typer.Option("--task", "-t", help="Task, a folder of the prompts (gateway prompts list).")
]
PromptsOption = Annotated[
    Path | None, typer.Option("--prompts", help="Folder of tasks instead of the shipped one.")
]
ModelsOption = Annotated[
    Path | None,
    typer.Option("--models-file", help="A models.toml whose entries add to the shipped ones."),
]
StoreOption = Annotated[
    Path | None,
    typer.Option("--store", help="SQLite file of answers \\[default: in your data folder]."),
]


def wait(work: "Work[_T]") -> _T:
    """What the work gives in the end."""
    # Half of the commands ask nobody, and asyncio takes longer to load than they do to run.
    import asyncio

    return asyncio.run(work)


DataOption = Annotated[
    str, typer.Option("--data", help="Labelled items: CSV, TSV, JSON, JSONL, Parquet, hf:NAME, -.")
]
TrainOption = Annotated[
    str | None,
    typer.Option(
        "--train", help="Training data: exemplars, calibration and the baselines come from it."
    ),
]
LimitOption = Annotated[
    int | None,
    typer.Option("--limit", min=1, help="Items: a seeded sample, stratified by label."),
]
SeedOption = Annotated[
    int, typer.Option("--seed", min=0, help="Of samples, exemplars and intervals.")
]
ExemplarsOption = Annotated[
    str,
    typer.Option("--exemplars", help="How exemplars are chosen: fixed, stratified or nearest."),
]
DevOption = Annotated[
    int, typer.Option("--dev", min=1, help="Training items on which batch calibration is fitted.")
]
MarginOption = Annotated[
    float,
    typer.Option(
        "--margin", help="The largest loss that would not matter, in units of the metric."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON instead of tables.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]


class Interrupted(Exception):
    """Ctrl-C in a command that keeps what it has; the message says what."""


def note_none(what: str, first: str) -> None:
    """Instead of an empty table: that there is nothing, and how to make the first."""
    note(f"no {what}")
    note(f"  to make the first: {first}")


@contextlib.contextmanager
def keeping_answers() -> Iterator[None]:
    """The block whose answers are stored as they come.

    Raises:
        Interrupted: by Ctrl-C.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(
            "what was answered is kept, the same command goes on from there"
        ) from None


def note(text: str) -> None:
    """A line beside the output proper."""
    err.print(text, markup=False, highlight=False, soft_wrap=True)


def tell(text: str) -> None:
    """A line of the output proper."""
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def show(what: "Document | Section | Iterable[Section]", values: object = None) -> None:
    """The output proper.

    Args:
        values: shown in its place, as a line of canonical JSON.
    """
    from gateway.core.digests import canonical_json
    from gateway.report.terminal import print_out

    if values is None:
        print_out(what, out)
    else:
        out.file.write(canonical_json(values) + "\n")


def reading() -> "Status":
    """Says on a terminal that data is read, as long as the block runs."""
    return err.status("reading the data")


@contextlib.contextmanager
def open_store(path: Path | None) -> Iterator["Store"]:
    """The store of answers while the block runs; None: the default one."""
    from gateway.evaluation.store import Store
    from gateway.models.environment import default_store

    with Store(path or default_store()) as store:
        yield store


def check_store(path: Path | None) -> None:
    """Raise ConfigError for a store that cannot be written: before data is read, not after."""
    from gateway.models.environment import default_store

    check_file(path or default_store(), "--store")


def listed(text: str | None) -> tuple[str, ...]:
    """The parts of a comma-separated option; none where it is absent."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def require_options(context: typer.Context, *names: str) -> None:
    """Refuse a call without these: where a file may stand in their place, they cannot be declared
    as required.

    Raises:
        ConfigError: one is empty.
    """
    for parameter in context.command.params:
        if parameter.name in names and not context.params[parameter.name]:
            options = " / ".join(f"'{option}'" for option in parameter.opts)
            raise ConfigError(f"Missing option {options}", hint="give it, or an experiment file")
