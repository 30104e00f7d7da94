"""One text, or one question: `gateway classify` and `gateway ask`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import option
from gateway.cli.common import check_store, err, keeping, listed, note, out, show
from gateway.cli.data_options import Columns, reads_data
from gateway.cli.outputs import check_file
from gateway.core.errors import ConfigError
from gateway.core.files import read_text, write_atomically

if TYPE_CHECKING:
    from gateway.evaluation.run import Watch


@reads_data
def classify(
    text: Annotated[
        str | None, typer.Argument(help="The text. Absent or -: standard input.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", help="A text file, or a table to label."),
    ] = None,
    task: option.Task = "issue-triage",
    labels: Annotated[
        str, typer.Option(help="Labels, comma-separated, for tasks that leave them open.")
    ] = "",
    model: Annotated[str | None, typer.Option("--model", "-m")] = None,
    strategy: Annotated[
        str,
        typer.Option(
            "--strategy",
            "-s",
            help="How it is asked \\[default: as the model's adapter has learned, else zero_shot].",
        ),
    ] = "",
    train: Annotated[
        str | None, typer.Option(help="Training data for exemplars and batch calibration.")
    ] = None,
    score_rule: Annotated[str, typer.Option(help="sum, mean, per_byte, contextual, batch")] = "",
    label_search: option.LabelSearch = "auto",
    columns: Columns = None,
    per: Annotated[
        str,
        typer.Option(
            metavar="COLUMN", help="Of a table: which group a row is of, for a probe with heads."
        ),
    ] = "",
    group: Annotated[str, typer.Option(help="Of which the text is, for a probe with heads.")] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where the labelled CSV goes.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object a text.")] = False,
    store: option.Store = None,
    prompts: option.Prompts = None,
    models_file: option.Models = None,
    quiet: option.Quiet = False,
) -> None:
    """Classify a text, a file, or every row of a table.

    The answers to a table are kept as they come: interrupted at any moment, the same command goes
    on where it was.

    [bold]gateway classify "The page crashes when I scroll"[/]
    """
    from dataclasses import asdict

    import gateway
    from gateway.evaluation.store import IN_MEMORY
    from gateway.models.environment import default_store, prompts_root
    from gateway.report.pages import classified
    from gateway.tasks.tables import SUFFIXES, suffix_of

    table = file if file is not None and suffix_of(str(file)) in SUFFIXES else None
    if output is not None and table is None:
        raise ConfigError("--output is where a labelled CSV goes", hint="give --file a table")
    check_file(output, "--output")
    if table is not None:
        check_store(store)
    texts = () if table else (_text(text, file),)
    with _asking(table, quiet=quiet) as watch:
        found = gateway.classify(
            texts,
            table,
            task=task,
            labels=listed(labels),
            model=model or "",
            strategy=strategy,
            train=train,
            rule=score_rule,
            label_search=label_search,
            columns=columns,
            per=per,
            group=group,
            store=(store or default_store()) if table else IN_MEMORY,
            prompts=prompts or prompts_root(),
            models_file=models_file,
            watch=watch,
        )
    for said in found.warnings:
        note(f"warning: {said}")
    if table is None:
        (answer,) = found.answers
        show(classified.sections(answer), asdict(answer) if json_output else None)
    elif output is None:
        out.file.write(found.csv())
    else:
        write_atomically(output, found.csv())


def _text(text: str | None, file: Path | None) -> str:
    if file is not None:
        return read_text(file)
    return sys.stdin.read() if text is None or text == "-" else text


@contextmanager
def _asking(table: Path | None, *, quiet: bool) -> Iterator["Watch"]:
    """What is kept as it comes, with its progress; or one text, for which one waits."""
    if table is None:
        from gateway.evaluation.run import unwatched

        with err.status("asking"):
            yield unwatched
    else:
        from gateway.cli.progress import watched

        with keeping(), watched(quiet=quiet, scored=False) as (watch, _):
            yield watch


def ask(
    prompt: Annotated[
        str | None, typer.Argument(help="The prompt. Absent or -: standard input.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "-m")] = None,
    system: Annotated[str, typer.Option(help="System prompt.")] = "",
    raw: Annotated[
        bool, typer.Option("--raw", help="Read the prompt as it is, without a chat template.")
    ] = False,
    max_tokens: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Most tokens of the answer.")
    ] = 512,
    temperature: Annotated[float, typer.Option(min=0, max=100, help="0: greedy.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the sampler; unused when greedy.")] = 0,
    stop: Annotated[
        list[str] | None, typer.Option(help="The answer ends before this text. Repeatable.")
    ] = None,
    json_output: Annotated[
        bool, typer.Option("--json", help="The whole answer as JSON, tokens and counts too.")
    ] = False,
    models_file: option.Models = None,
) -> None:
    """Ask a model one thing and print its answer as it comes.

    [bold]gateway ask "Name three colours."[/]

    [bold]gateway ask -m ollama:llama3.2:1b --seed 42 --max-tokens 512 "Name three colours."[/]
    """
    import gateway
    from gateway.backends.protocol import said_of_entry
    from gateway.core.json import completion_to_json
    from gateway.core.types import Sampling

    opened = gateway.open_model(model or "", models_file, parallel=1)
    sampling = Sampling(
        temperature=temperature, seed=seed, max_tokens=max_tokens, stop=tuple(stop or ())
    )
    text = _text(prompt, None)
    with err.status("asking") as waiting:

        def write(piece: str) -> None:
            waiting.stop()
            if not json_output:
                sys.stdout.write(piece)
                sys.stdout.flush()

        with opened as asked:
            for said in said_of_entry(asked.backend):
                note(f"warning: {said}")
            done = asked.generate(text, sampling, system=system, raw=raw, on_text=write)
    out.file.write((completion_to_json(done) if json_output else "") + "\n")
    if done.finish_reason == "length":
        note(f"ended at its limit of {max_tokens} tokens")
