"""`gateway tune`: train an adapter on labelled data, and compare it with prompting."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import option
from gateway.cli.common import err, keeping, listed, note, reading, show, tell
from gateway.cli.data_options import Columns, reads_data
from gateway.cli.fields import fields_as_options
from gateway.cli.outputs import check_folder
from gateway.tuning.probe.recipe import ProbeRecipe
from gateway.tuning.recipe import Method, Recipe

if TYPE_CHECKING:
    from gateway.tuning.checks.findings import Findings
    from gateway.tuning.heldout import HeldOut
    from gateway.tuning.job import Stage, TrainingJob
    from gateway.tuning.tune import Begin, Estimate

_DEFAULT = Recipe()
_DATA, _RECIPE, _PROBE = "Data", "Recipe of an adapter", "Recipe of a probe"


@fields_as_options("recipe", Recipe, {"held_out": _DATA}, panel=_RECIPE)
@reads_data
def tune(
    name: Annotated[str, typer.Option("--name", "-n", help="Of the adapter: of its folder.")],
    task: option.Task,
    train: Annotated[
        str,
        typer.Option(
            help="Labelled items to learn from: CSV, TSV, JSON, JSONL, Parquet, hf:NAME or -.",
            rich_help_panel=_DATA,
        ),
    ],
    validation: Annotated[
        str | None,
        typer.Option(
            help="Labelled items that decide when to stop \\[default: a part of --train].",
            rich_help_panel=_DATA,
        ),
    ] = None,
    test: Annotated[
        str | None,
        typer.Option(
            help="Labelled items that you will compare on: an item of --train that is "
            "(nearly) among them is an error.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=2, help="Learn from a seeded sample of so many.", rich_help_panel=_DATA),
    ] = None,
    curve: Annotated[
        str,
        typer.Option(
            help="Sizes, with commas between: train on samples of the data too, as NAME-SIZE, and "
            "show how the held-out score grows with them.",
            rich_help_panel=_DATA,
        ),
    ] = "",
    columns: Columns = None,
    model: Annotated[
        str, typer.Option("--model", "-m", help="Entry of the base; run on torch in training.")
    ] = "",
    strategy: Annotated[
        str,
        typer.Option(
            "--strategy", "-s", help="Template that makes the texts, here and when it is used."
        ),
    ] = "zero_shot",
    method: Annotated[
        Method,
        typer.Option(
            help="lora: an adapter, trained on torch. probe: linear models on the frozen model's "
            "hidden states, in minutes; it tells labels, or a number."
        ),
    ] = "lora",
    layers: Annotated[
        str,
        typer.Option(
            help="Whose states a probe may read, with commas between \\[default: ten, evenly].",
            rich_help_panel=_PROBE,
        ),
    ] = "",
    words: Annotated[
        bool,
        typer.Option(help="Whether a probe may read words too.", rich_help_panel=_PROBE),
    ] = True,
    folds: Annotated[
        int,
        typer.Option(
            min=2, max=20, help="Of the cross-validation of a probe.", rich_help_panel=_PROBE
        ),
    ] = 5,
    per: Annotated[
        str,
        typer.Option(
            metavar="COLUMN",
            help="A head for each value of a column, such as the repository, beside the probe of "
            "all; asked with --per COLUMN too.",
            rich_help_panel=_PROBE,
        ),
    ] = "",
    recipe: Recipe = _DEFAULT,
    threads: Annotated[
        int, typer.Option(min=0, max=1024, help="0: all usable cores.", rich_help_panel=_RECIPE)
    ] = 0,
    restart: Annotated[
        bool, typer.Option("--restart", help="Forget an unfinished training of this name.")
    ] = False,
    adapters: option.Adapters = None,
    prompts: option.Prompts = None,
    models_file: option.Models = None,
    quiet: option.Quiet = False,
) -> None:
    """Fine-tune a model on your labelled data: makes a LoRA adapter, or a probe.

    The texts are made by the very template that inference uses, and only the answer is learned.
    The same command gives the same adapter, byte for byte, on the same machine. It goes on where
    it was interrupted. The adapter is then ENTRY+NAME in every command; gateway adapters compare
    says whether it was worth it.

    [bold]gateway tune -n mine -t issue-triage --train train.csv --test test.csv[/]

    With --method probe the model itself is not changed. Linear models read its hidden states and
    the words of the text; which layers, is chosen by cross-validation. A second one takes seconds.

    On a CPU: --dtype bfloat16 (where lscpu lists avx512_bf16 or amx), --top-layers with half to two
    thirds of the layers, a short template, --learning-rate 1e-3 for a small model.
    """
    import gateway
    from gateway.models.adapters.names import new_folder
    from gateway.models.environment import adapters_root, prompts_root
    from gateway.report.pages import tuning as page

    root = adapters or adapters_root()
    check_folder(new_folder(root, name).parent, "--adapters")
    with reading() as status, ExitStack() as watched:

        def found(findings: "Findings") -> None:
            status.stop()
            for finding in findings.warnings:
                note(f"warning: {finding.what}{': ' if finding.advice else ''}{finding.advice}")

        made = gateway.tune(
            name,
            task,
            train,
            model=model,
            strategy=strategy,
            method=method,
            probe=ProbeRecipe(_numbers(layers, "--layers", "layers"), words, folds, per),
            on_stage=_stages(watched, quiet=quiet),
            recipe=recipe,
            validation=validation,
            test=test,
            limit=limit,
            curve=_numbers(curve, "--curve", "sizes"),
            columns=columns,
            threads=threads,
            restart=restart,
            adapters=root,
            prompts=prompts or prompts_root(),
            models_file=models_file,
            on_findings=found,
            watch=partial(_watching, quiet=quiet),
        )
    if made.curve:
        show(page.curve(made.curve))
    for line in page.tuned_lines(made.tuned):
        tell(line)
    for line in page.next_lines(made, strategy, root if root != adapters_root() else None):
        note(line)
    base = made.model.removesuffix(f"+{name}")
    note(f"was it worth it? gateway adapters compare {name} --base {base} --data ...")


def _numbers(text: str, option: str, what: str) -> tuple[int, ...]:
    from gateway.core.errors import ConfigError

    try:
        return tuple(int(part) for part in listed(text))
    except ValueError:
        raise ConfigError(
            f"{option} {text!r}: no {what}", hint="numbers with commas between, such as 8,16,24"
        ) from None


def _stages(watched: ExitStack, *, quiet: bool) -> "Stage":
    """Bars of a probe's stages, from the first of them on."""
    from gateway.cli.progress import staged

    bars: list[Stage] = []

    def begin(what: str, total: int) -> Callable[[], None]:
        if not bars:
            watched.enter_context(keeping("what was read is kept; the same command goes on"))
            bars.append(watched.enter_context(staged(err, quiet=quiet)))
        return bars[0](what, total)

    return begin


@contextmanager
def _watching(job: "TrainingJob", whole: "TrainingJob", *, quiet: bool) -> Iterator["Begin"]:
    """Bars on a terminal, a line an epoch elsewhere.

    Raises:
        Interrupted: by Ctrl-C.
    """
    from gateway.cli.progress import TuningProgress
    from gateway.core.lists import plural
    from gateway.report.pages.tuning import epoch_line, estimate_lines
    from gateway.tuning.training import Watching

    if job is not whole:
        note(f"{job.target.name}: {len(job.items)} of {plural(len(whole.items), 'item')}")
    with TuningProgress(err, quiet=quiet) as progress:

        def begin(estimate: "Estimate", held_out: int) -> Watching:
            for line in estimate_lines(estimate, job.recipe.epochs):
                note(line)
            progress.begin(estimate, held_out)

            def epoch(found: "HeldOut") -> None:
                progress.end_epoch(found)
                note(epoch_line(found))

            return Watching(progress.step, progress.held_out, epoch)

        with keeping(
            "the last checkpoint is kept, if a minute had passed; the same command goes on"
        ):
            yield begin
