"""What the commands share: options, consoles, exit codes, and reading of arguments."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

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


def wait(work: "Work[_T]") -> _T:
    """What the work gives in the end."""
    # Half of the commands ask nobody, and asyncio takes longer to load than they do to run.
    import asyncio

    return asyncio.run(work)


class Interrupted(Exception):
    """Ctrl-C in a command that keeps what it has; the message says what."""


def note_none(what: str, first: str, other: str = "") -> None:
    """Instead of an empty table: that there is nothing, and how to make the first."""
    note(f"no {what}")
    note(f"  to make the first: {first}")
    if other:
        note(f"  or {other}")


@contextlib.contextmanager
def keeping(
    what: str = "what was answered is kept, the same command goes on from there",
) -> Iterator[None]:
    """A block whose work is kept as it is done: answers, if nothing else is said.

    Raises:
        Interrupted: by Ctrl-C.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(what) from None


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


def reading(what: str = "reading the data") -> "Status":
    """Says on a terminal that data is read, or what else takes a while, as long as the block
    runs."""
    return err.status(what)


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
