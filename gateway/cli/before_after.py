"""`gateway adapters compare`: was the fine-tuning worth it?"""

import asyncio
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.ab import compare_cells, finish
from gateway.cli.adapters import AdaptersOption
from gateway.cli.common import (
    FAILED,
    ColumnOption,
    ModelsOption,
    PromptsOption,
    StoreOption,
    check_store,
    columns_of,
    err,
    keeping_answers,
    listed,
    note,
    open_store,
    reading,
)
from gateway.cli.outputs import check_folder


def compare(
    name: Annotated[str, typer.Argument(help="Name of the adapter: of its folder.")],
    base: Annotated[str, typer.Option("--base", help="Entry of the base model.")],
    data: Annotated[
        str,
        typer.Option(help="Labelled items that were not learned, in any format that ab reads."),
    ],
    train: Annotated[
        str | None,
        typer.Option(help="Training data: the exemplars and the baselines come from it."),
    ] = None,
    strategies: Annotated[
        str,
        typer.Option(
            "--strategies", help="Prompts of the base, with commas between; the first is before."
        ),
    ] = "zero_shot,few_shot",
    neutral: Annotated[
        Path | None,
        typer.Option(help="A text from elsewhere, 512 tokens or more: what was forgotten of it."),
    ] = None,
    margin: Annotated[
        float, typer.Option(help="The largest loss that would not matter, in units of the metric.")
    ] = 0.02,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Items: a seeded sample, stratified by label.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of samples, exemplars and intervals.")] = 0,
    column: ColumnOption = None,
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Folder for ab.html, ab.json and worth.md.")
    ] = None,
    store: StoreOption = None,
    adapters: AdaptersOption = None,
    prompts: PromptsOption = None,
    models_file: ModelsOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Before and after: the base's prompts, and the base with the adapter, on the same items.

    Task and template are those that the adapter's card records. The base is also asked with that
    template, so that what tuning did and what the template did are told apart. Compared are the
    metric, formats, classes, calibration, tokens and seconds, and with --neutral how much worse an
    ordinary text is predicted.

    [bold]gateway adapters compare mine --base smollm2-135m-torch --data test.csv --train \\
    train.csv --neutral book.txt[/]
    """
    from gateway.backends.base import load_models
    from gateway.evaluation.worth import BeforeAfter, costs
    from gateway.models.adapters.folder import read_adapter
    from gateway.models.adapters.names import folder_of
    from gateway.models.adapters.timings import took_of
    from gateway.models.environment import adapters_root, prompts_root
    from gateway.quantization.chunks import read_text
    from gateway.report.pages import worth as page
    from gateway.report.pages.ab import FILES as OF_AB
    from gateway.report.pages.worth import section

    check_folder(out_dir, files=(*OF_AB, *page.FILES))
    check_store(store)
    folder = folder_of(adapters or adapters_root(), name)
    card = _recorded(read_adapter(folder).card, name)
    root = prompts or prompts_root()
    text = read_text(neutral) if neutral else None
    models = load_models(models_file).serving([tuned := f"{base}+{name}"])
    prepared, question = _question(
        models,
        card,
        root,
        tuned,
        base=base,
        strategies=listed(strategies),
        margin=margin,
        data=data,
        train=train,
        limit=limit,
        seed=seed,
        columns=columns_of(column),
    )
    with keeping_answers(), open_store(store) as opened:
        outcome, timings = asyncio.run(
            compare_cells(prepared, question, models, opened, stopping=False, quiet=quiet)
        )
    readings = asyncio.run(_readings(models, (base, tuned), text, quiet=quiet)) if text else None
    found = BeforeAfter(outcome, costs(outcome, timings), took_of(folder), readings)
    failed = finish(outcome, timings, out_dir, section(found))
    if out_dir is not None:
        page.write(found, out_dir)
    raise typer.Exit(FAILED if failed else 0)


def _recorded(card: Any, name: str) -> Any:
    """What the adapter's card says of the template."""
    from gateway.core.errors import ConfigError

    if card is None or card.prompt is None:
        raise ConfigError(
            f"the card of {name} does not say on which task and template it was trained",
            hint="gateway ab compares any cells: gateway ab BASE BASE+NAME/STRATEGY -t TASK ...",
        )
    return card.prompt


def _question(
    models: Any,
    recorded: Any,
    root: Path,
    tuned: str,
    *,
    base: str,
    strategies: tuple[str, ...],
    margin: float,
    **wanted: Any,
) -> tuple[Any, Any]:
    """What is asked of which cells: the base's prompts, the adapter's template on the base, and
    the tuned model."""
    from gateway.evaluation.ab.cells import Defaults, read_cells
    from gateway.evaluation.ab.question import Question, check_question
    from gateway.evaluation.plan import Wanted, prepare
    from gateway.tasks.prompts import load_template
    from gateway.tasks.task import load_task

    task = load_task(recorded.task, root)
    digest = load_template(task, recorded.strategy, root).digest
    if recorded.digest and digest != recorded.digest:
        note(
            f"warning: the template {recorded.strategy} of {task.name} is not the one that the "
            "adapter was trained with"
        )
    before = dict.fromkeys([*strategies, recorded.strategy])
    names = [f"{base}/{each}" for each in before] + [f"{tuned}/{recorded.strategy}"]
    asked = read_cells(names, models, task, root, Defaults())
    question = Question(asked, task.metric, margin)
    check_question(question, task)
    asks = Wanted(
        task=task.name,
        models=(base, tuned),
        strategies=tuple(before),
        prompts=root,
        rules=("sum",),
        **wanted,
    )
    with reading():
        return prepare(asks), question


async def _readings(models: Any, names: tuple[str, str], text: str, *, quiet: bool) -> Any:
    """The text as base and tuned model predict it."""
    from gateway.backends.pool import ModelPool
    from gateway.cli.progress import staged
    from gateway.core.errors import Unsupported
    from gateway.engine.backend import EngineBackend
    from gateway.evaluation.perplexity import read

    pool = ModelPool(models)
    found = []
    try:
        with staged(err, quiet=quiet) as begin:
            for name in names:
                async with pool.lease(name) as backend:
                    if not isinstance(backend, EngineBackend):
                        raise Unsupported(f"the perplexity of {name}, which another server runs")
                    found.append(await read(backend, text, partial(begin, f"text, {name}")))
    finally:
        await pool.close()
    return tuple(found)
