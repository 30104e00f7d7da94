"""`gateway data`: what is checked before anything trains, splits, and OpenAI's chat format."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import option
from gateway.cli.common import USAGE, note, reading, show, tell
from gateway.cli.data_options import Columns, reads_data
from gateway.cli.outputs import check_file, check_folder
from gateway.core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from gateway.engine.reader import Reader
    from gateway.models.spec import ModelSpec
    from gateway.tasks.task import Item, Task
    from gateway.tuning.checks.lengths import LengthLimit
    from gateway.tuning.checks.parts import Part

data_app = typer.Typer(
    no_args_is_help=True,
    help="Labelled data: what is wrong with it, splits, and OpenAI's chat format.",
)

StrategyOption = Annotated[
    str, typer.Option("--strategy", "-s", help="Prompt strategy of the task.")
]
SeedOption = Annotated[int, typer.Option(min=0, help="Of what is held out.")]
HeldOutOption = Annotated[
    float,
    typer.Option("--held-out", min=0.0, max=1.0, help="Share that is held out, 0.1 to 0.2."),
]
AnyShareOption = Annotated[
    bool, typer.Option("--any-share", help="Take a share outside 0.1 to 0.2.")
]
ChatArgument = Annotated[str, typer.Argument(help="File in OpenAI's chat format (JSONL).")]


@data_app.command("check")
@reads_data
def data_check(
    task: option.Task,
    train: Annotated[str, typer.Option(help="What is to be trained on.")],
    validation: Annotated[
        str | None, typer.Option(help="What is held out \\[default: a share of --train].")
    ] = None,
    test: Annotated[str | None, typer.Option(help="What is tested on in the end.")] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Count inputs in its tokens; else in characters."),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(min=1, help="Longest input \\[default: the model's context, else 4096]."),
    ] = None,
    strategy: Annotated[
        str,
        typer.Option(
            "--strategy", "-s", help="Count the whole prompt of it; absent: the item's text alone."
        ),
    ] = "",
    held_out: HeldOutOption = 0.15,
    any_share: AnyShareOption = False,
    seed: SeedOption = 0,
    json_output: option.Json = False,
    columns: Columns = None,
    prompts: option.Prompts = None,
    models_file: option.Models = None,
) -> None:
    """What is wrong with labelled data, before anything trains on it.

    Found are copies within and across the files, contradicting and wrong labels, unequal classes,
    empty and over-long inputs, too few examples. Copies are of three kinds: identical; the same
    but for case, spaces, numbers and URLs; nearly the same, which is a cosine of TF-IDF vectors
    over words of at least 0.9. The exemplars that come with the task are looked at too.

    Exit code 2 if there is an error: a leak into validation or test data, identical text with
    different answers, an answer that the task does not have, an empty input.

    [bold]gateway data check -t issue-triage --train train.csv --test test.csv[/]
    """
    from gateway.models.environment import prompts_root
    from gateway.report.pages import findings as page
    from gateway.tasks.task import load_task
    from gateway.tuning.checks.check import check
    from gateway.tuning.checks.parts import read_part

    root = prompts or prompts_root()
    _check_share(held_out, any_share)
    wanted = load_task(task, root)
    with reading():
        parts = [read_part("train", train, wanted, columns)]
        if validation:
            parts.append(read_part("validation", validation, wanted, columns))
        if test:
            parts.append(read_part("test", test, wanted, columns))
    parts += _exemplars(wanted, root)
    items = [item for part in parts[:1] for item in part.items]
    with _limit(wanted, strategy, root, items, model, models_file, max_tokens) as (limit, about):
        found = check(wanted, parts, limit=limit, share=held_out, seed=seed)
    show(page.sections(found, about), page.findings_json(found, about) if json_output else None)
    raise typer.Exit(USAGE if found.errors else 0)


@data_app.command("split")
@reads_data
def data_split(
    task: option.Task,
    data: option.Data,
    output: Annotated[Path, typer.Option("--out", help="Folder of the two files.")],
    held_out: HeldOutOption = 0.15,
    any_share: AnyShareOption = False,
    seed: SeedOption = 0,
    test: Annotated[
        str | None, typer.Option(help="Test data; items that copy one of it are left out.")
    ] = None,
    columns: Columns = None,
    prompts: option.Prompts = None,
) -> None:
    """Hold out a share for validation: stratified, seeded, copies on one side.

    Labels keep their shares; numbers are stratified by fifths. Items that are copies of each other,
    near ones too, are never parted, so that the split makes no leak. The same seed gives the same
    bytes. Written are train and validation, in the format of the data, with all of its columns.

    [bold]gateway data split -t issue-triage --data all.csv --test test.csv --out split[/]
    """
    from gateway.core.lists import plural
    from gateway.models.environment import prompts_root
    from gateway.tasks.dataset import load_dataset
    from gateway.tasks.task import load_task
    from gateway.tuning.checks.leakage import without_copies
    from gateway.tuning.checks.split import split
    from gateway.tuning.split_files import files_of, write_split

    _check_share(held_out, any_share)
    check_folder(output, files=files_of(data))
    wanted = load_task(task, prompts or prompts_root())
    with reading():
        items = list(load_dataset(data, wanted, columns=columns).items)
        if test:
            tested = load_dataset(test, wanted, columns=columns).items
            items, copied = without_copies(items, tested)
            count = plural(len(copied), "item") if copied else "no item"
            note(f"left out, as a copy of a test item: {count}")
        made = split(items, held_out, seed)
    parts = (made.train, made.validation)
    for path, part in zip(write_split(data, made, output, columns), parts, strict=True):
        tell(f"{path}: {plural(len(part), 'item')}")


@data_app.command("export")
@reads_data
def data_export(
    task: option.Task,
    data: option.Data,
    output: Annotated[Path, typer.Option("--out", help="File to write (JSONL).")],
    strategy: StrategyOption = "zero_shot",
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Shorten fields as for it; absent: none is shortened."),
    ] = None,
    columns: Columns = None,
    prompts: option.Prompts = None,
    models_file: option.Models = None,
) -> None:
    """Write labelled items in OpenAI's chat format for fine-tuning.

    Rendered by the template that gateway run asks with; the last message is the answer. A
    strategy with exemplars shows those that come with the task.

    [bold]gateway data export -t issue-triage --data train.csv --out chat.jsonl[/]
    """
    from gateway.core.files import write_atomically
    from gateway.core.lists import plural
    from gateway.models.environment import prompts_root
    from gateway.tasks.dataset import load_dataset
    from gateway.tasks.task import load_task
    from gateway.tuning.chat_format import to_jsonl
    from gateway.tuning.chats import chat_maker

    check_file(output)
    root = prompts or prompts_root()
    wanted = load_task(task, root)
    with reading():
        items = load_dataset(data, wanted, columns=columns).items
    with _reader(model, models_file) as known:
        maker, notes = chat_maker(wanted, strategy, root, items, known[1] if known else None)
        chats = [maker.chat(item) for item in items]
    write_atomically(output, to_jsonl(chats))
    for line in notes:
        note(line)
    if model is None:
        note("no --model: no field was shortened")
    else:
        note(f"shortened: {plural(sum(bool(chat.shortened) for chat in chats), 'item')}")
    tell(f"{output}: {plural(len(chats), 'example')}")


@data_app.command("import")
def data_import(
    file: ChatArgument,
    task: option.Task,
    output: Annotated[Path, typer.Option("--out", help="File to write (JSONL).")],
    strategy: StrategyOption = "zero_shot",
    prompts: option.Prompts = None,
) -> None:
    """Read labelled items out of OpenAI's chat format, or out of what is published in its place:
    ShareGPT's conversations, Alpaca's instructions, prompts and completions, preference pairs.

    The last message is the answer. The user's message before it is matched against the strategy's
    template; one that this template did not make becomes the long field as a whole, and is counted.

    [bold]gateway data import chat.jsonl -t issue-triage --out items.jsonl[/]
    """
    from gateway.core.files import write_atomically
    from gateway.core.lists import plural
    from gateway.models.environment import prompts_root
    from gateway.tasks.prompts import load_template
    from gateway.tasks.tables import json_lines
    from gateway.tasks.task import load_task
    from gateway.tuning.chat_format import read_as_chats
    from gateway.tuning.chat_import import import_chats
    from gateway.tuning.chats import labels_of

    check_file(output)
    root = prompts or prompts_root()
    wanted = load_task(task, root)
    examples, found, left_out = read_as_chats(file)
    for finding in found.errors:
        for place in finding.places:
            raise DataError(str(place), hint="gateway data validate lists all that is wrong")
    made = import_chats(
        examples, wanted, load_template(wanted, strategy, root), labels_of(wanted, ())
    )
    if made.refused:
        line, reason = made.refused[0]
        hint = f"refused: {plural(len(made.refused), 'line')}"
        raise DataError(f"{file}:{line}: {reason}", hint=hint)
    write_atomically(output, json_lines(made.rows))
    if made.whole:
        note(
            f"{len(made.whole):,} of {len(made.rows):,} messages were not made by {strategy}: all "
            f"of each became {wanted.fields[-1]!r}; line {made.whole[0]} is the first"
        )
    if left_out:
        note(f"left out: {left_out}")
    tell(f"{output}: {len(made.rows):,} items")


@data_app.command("validate")
def data_validate(file: ChatArgument, json_output: option.Json = False) -> None:
    """Is a file in OpenAI's chat format for fine-tuning? If not, every line that is not.

    At least 10 examples, known keys and roles, text in every message, the last one from the
    assistant. Exit code 2 if something is wrong.

    [bold]gateway data validate chat.jsonl[/]
    """
    from gateway.report.pages import findings as page
    from gateway.tuning.chat_format import read_chats

    _, found = read_chats(file)
    show(page.sections(found), page.findings_json(found) if json_output else None)
    raise typer.Exit(USAGE if found.errors else 0)


def _check_share(share: float, any_share: bool) -> None:
    from gateway.tuning.checks.split import check_share

    if not any_share:
        check_share(share)


def _exemplars(task: "Task", root: Path) -> "list[Part]":
    """The exemplars that come with the task, as a part of the data."""
    from gateway.tasks.exemplars import FILE
    from gateway.tuning.checks.parts import read_part

    path = root / task.name / FILE
    return [read_part("exemplars", str(path), task)] if path.is_file() else []


@contextlib.contextmanager
def _reader(
    model: str | None, models_file: Path | None
) -> Iterator["tuple[ModelSpec, Reader] | None"]:
    """The entry of a model and what reads requests as it does; None without a model."""
    from gateway.backends.registry import load_models
    from gateway.backends.tokenizer_reader import reader_of

    if model is None:
        yield None
        return
    spec = load_models(models_file).serving((model,)).get(model)
    with reader_of(spec) as reader:
        yield spec, reader


@contextlib.contextmanager
def _limit(
    task: "Task",
    strategy: str,
    root: Path,
    items: "list[Item]",
    model: str | None,
    models_file: Path | None,
    most: int | None,
) -> Iterator["tuple[LengthLimit, tuple[str, ...]]"]:
    """How long an input may be, and what is to be known of how it is counted."""
    from gateway.tuning.chats import chat_maker
    from gateway.tuning.checks.duplicates import METHOD
    from gateway.tuning.limits import length_limit

    with _reader(model, models_file) as known:
        maker = None
        about: tuple[str, ...] = (METHOD,)
        if strategy and not items:
            raise ConfigError("no item of the training data can be read, so no prompt is made")
        if strategy:
            maker, notes = chat_maker(task, strategy, root, items, known[1] if known else None)
            about += notes
        yield length_limit(maker, known, most), about
