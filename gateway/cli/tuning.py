"""`gateway tune`: train an adapter on labelled data, and compare it with prompting."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from gateway.cli.adapters import AdaptersOption
from gateway.cli.common import (
    ColumnOption,
    Interrupted,
    ModelsOption,
    PromptsOption,
    TaskOption,
    columns_of,
    err,
    listed,
    note,
    reading,
    show,
    tell,
)
from gateway.cli.outputs import check_folder
from gateway.tuning.recipe import ALL_LINEAR, TARGETS, Recipe

_DEFAULT = Recipe()
_DATA, _RECIPE = "Data", "Recipe"


def tune(
    name: Annotated[str, typer.Option("--name", "-n", help="Of the adapter: of its folder.")],
    task: TaskOption,
    train: Annotated[
        str,
        typer.Option(
            help="Labelled items to learn from: CSV, JSONL, Parquet or hf:NAME.",
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
    held_out: Annotated[
        float,
        typer.Option(
            help="Share of --train that decides when to stop, stratified by label.",
            rich_help_panel=_DATA,
        ),
    ] = _DEFAULT.held_out,
    column: ColumnOption = None,
    model: Annotated[
        str, typer.Option("--model", "-m", help="Entry of the base; run on torch in training.")
    ] = "",
    strategy: Annotated[
        str,
        typer.Option(
            "--strategy", "-s", help="Template that makes the texts, here and when it is used."
        ),
    ] = "zero_shot",
    rank: Annotated[
        int,
        typer.Option(
            help="Of the two matrices beside each weight: 8 to 16 for labels and formats, 32 to "
            "64 for more to learn.",
            rich_help_panel=_RECIPE,
        ),
    ] = _DEFAULT.rank,
    alpha: Annotated[
        float,
        typer.Option(
            help="What they add counts alpha / rank times; twice the rank is usual.",
            rich_help_panel=_RECIPE,
        ),
    ] = _DEFAULT.alpha,
    dropout: Annotated[
        float,
        typer.Option(
            help="Against overfitting, 0 to 0.1; slows a CPU by a quarter.", rich_help_panel=_RECIPE
        ),
    ] = _DEFAULT.dropout,
    targets: Annotated[
        str,
        typer.Option(
            help=f"Which layers: {', '.join(TARGETS)}, or module names.",
            rich_help_panel=_RECIPE,
        ),
    ] = ALL_LINEAR,
    top_layers: Annotated[
        int,
        typer.Option(
            help="Only so many of the last layers (0: all). What the others compute is then kept "
            "from the first epoch on: faster, and a little worse.",
            rich_help_panel=_RECIPE,
        ),
    ] = _DEFAULT.top_layers,
    learning_rate: Annotated[
        float,
        typer.Option(
            help="At its height; 1e-4 to 5e-4, up to 1e-3 for models below a billion weights.",
            rich_help_panel=_RECIPE,
        ),
    ] = _DEFAULT.learning_rate,
    warmup: Annotated[
        float,
        typer.Option(
            help="Share of the steps until then; behind it a cosine down to 0.",
            rich_help_panel=_RECIPE,
        ),
    ] = _DEFAULT.warmup,
    weight_decay: Annotated[
        float, typer.Option(help="Of AdamW.", rich_help_panel=_RECIPE)
    ] = _DEFAULT.weight_decay,
    epochs: Annotated[
        int, typer.Option(help="At most: readings of the data, 1 to 5.", rich_help_panel=_RECIPE)
    ] = _DEFAULT.epochs,
    batch: Annotated[
        int, typer.Option(help="Examples a step, 8 to 32.", rich_help_panel=_RECIPE)
    ] = _DEFAULT.batch,
    max_tokens: Annotated[
        int,
        typer.Option(help="Of an example; a longer one is an error.", rich_help_panel=_RECIPE),
    ] = _DEFAULT.max_tokens,
    patience: Annotated[
        int,
        typer.Option(
            help="Stop after so many epochs without a better held-out score.",
            rich_help_panel=_RECIPE,
        ),
    ] = _DEFAULT.patience,
    quantize: Annotated[
        str,
        typer.Option(
            help="nf4: the base in 4 bits (QLoRA), from a folder of safetensors.",
            rich_help_panel=_RECIPE,
        ),
    ] = "",
    dtype: Annotated[
        str,
        typer.Option(
            help="float32, or bfloat16 where the machine computes in it.", rich_help_panel=_RECIPE
        ),
    ] = _DEFAULT.dtype,
    seed: Annotated[
        int, typer.Option(help="Of everything drawn.", rich_help_panel=_RECIPE)
    ] = _DEFAULT.seed,
    threads: Annotated[
        int, typer.Option(min=0, max=1024, help="0: all usable cores.", rich_help_panel=_RECIPE)
    ] = 0,
    restart: Annotated[
        bool, typer.Option("--restart", help="Forget an unfinished training of this name.")
    ] = False,
    adapters: AdaptersOption = None,
    prompts: PromptsOption = None,
    models_file: ModelsOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Fine-tune a model on your labelled data: makes a LoRA adapter.

    The texts are made by the very template that inference uses, and only the answer is learned.
    The same command gives the same adapter, byte for byte, on the same machine. It goes on where
    it was interrupted. The adapter is then ENTRY+NAME in every command; gateway adapters compare
    says whether it was worth it.

    [bold]gateway tune -n mine -t issue-triage --train train.csv --test test.csv[/]

    On a CPU: --dtype bfloat16 (where lscpu lists avx512_bf16 or amx), --top-layers with half to two
    thirds of the layers, a short template, --learning-rate 1e-3 for a small model.
    """
    from gateway.backends.base import load_models
    from gateway.models.adapters.names import new_folder
    from gateway.models.environment import adapters_root, prompts_root
    from gateway.report.pages import tuning as page
    from gateway.tuning.curve import point, smaller_jobs, train_one
    from gateway.tuning.job import TuningOptions, job_of
    from gateway.tuning.tune import check_target
    from gateway.tuning.tune import tune as run

    recipe = Recipe(
        rank=rank,
        alpha=alpha,
        dropout=dropout,
        targets=targets,
        top_layers=top_layers,
        learning_rate=learning_rate,
        warmup=warmup,
        weight_decay=weight_decay,
        epochs=epochs,
        batch=batch,
        max_tokens=max_tokens,
        patience=patience,
        held_out=held_out,
        seed=seed,
        dtype=dtype,  # type: ignore[arg-type]  # Recipe checks the words.
        quantize=quantize,  # type: ignore[arg-type]
    )
    models = load_models(models_file).serving([model] if model else [])
    entry = model or models.default
    target = new_folder(adapters or adapters_root(), name)
    check_folder(target.parent, "--adapters")
    check_target(target)
    asked = TuningOptions(
        spec=models.get(entry),
        task=task,
        train=train,
        strategy=strategy,
        prompts=prompts or prompts_root(),
        target=target,
        recipe=recipe,
        validation=validation,
        test=test,
        limit=limit,
        columns=columns_of(column),
        threads=threads,
    )
    with reading():
        job, findings = job_of(asked)
    for finding in findings.warnings:
        note(f"warning: {finding.what}{': ' if finding.advice else ''}{finding.advice}")
    parts = smaller_jobs(job, _sizes(curve))
    with _keeping_steps():
        points: list[Any] = []
        for part in parts:
            note(f"{part.target.name}: {len(part.items)} of {len(job.items)} items")
            with _watching(recipe.epochs, quiet=quiet) as begin:
                points.append(train_one(part, begin, restart=restart))
        with _watching(recipe.epochs, quiet=quiet) as begin:
            tuned = run(job, begin, restart=restart)
    if points:
        show(page.curve([*points, point(job)]))
    for line in page.tuned_lines(tuned):
        tell(line)
    note(f"it is the model {entry}+{name}, with --strategy {strategy}")
    note(f"was it worth it? gateway adapters compare {name} --base {entry} --data ...")


def _sizes(text: str) -> list[int]:
    from gateway.core.errors import ConfigError

    try:
        return [int(part) for part in listed(text)]
    except ValueError:
        raise ConfigError(
            f"--curve {text!r}: no sizes", hint="numbers with commas between, such as 100,200,400"
        ) from None


@contextmanager
def _keeping_steps() -> Iterator[None]:
    """Raises:
    Interrupted: by Ctrl-C.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(
            "the last checkpoint is kept, if a minute had passed; the same command goes on"
        ) from None


@contextmanager
def _watching(epochs: int, *, quiet: bool) -> Iterator[Any]:
    """Bars on a terminal, a line an epoch elsewhere."""
    from gateway.cli.tuning_progress import TuningProgress
    from gateway.report.pages.tuning import epoch_line, estimate_lines
    from gateway.tuning.training import Watching

    with TuningProgress(err, quiet=quiet) as progress:

        def begin(estimate: Any, held_out: int) -> Any:
            for line in estimate_lines(estimate, epochs):
                note(line)
            progress.begin(estimate, held_out)

            def epoch(found: Any) -> None:
                progress.end_epoch(found)
                note(epoch_line(found))

            return Watching(progress.step, progress.held_out, epoch)

        yield begin
