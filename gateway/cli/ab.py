"""`gateway ab`: cells against each other, and whether the difference is real."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.common import (
    FAILED,
    ColumnOption,
    ModelsOption,
    PromptsOption,
    StoreOption,
    TaskOption,
    check_store,
    columns_of,
    err,
    keeping_answers,
    note,
    open_store,
    reading,
    show,
    tell,
)
from gateway.cli.outputs import check_folder


def ab(
    cells: Annotated[
        list[str],
        typer.Argument(help="MODEL, MODEL/STRATEGY or MODEL/STRATEGY/RULE; first the reference."),
    ],
    task: TaskOption,
    data: Annotated[str, typer.Option(help="Labelled items: CSV, JSONL, Parquet or hf:NAME.")],
    train: Annotated[
        str | None,
        typer.Option(help="Training data: exemplars, calibration and the baselines come from it."),
    ] = None,
    strategy: Annotated[
        str,
        typer.Option(
            "--strategy",
            "-s",
            help="Of cells that name none. \\[default: few_shot, or zero_shot without it]",
        ),
    ] = "",
    score_rule: Annotated[
        str,
        typer.Option(help="Of cells that name none: sum, mean, per_byte, contextual or batch."),
    ] = "sum",
    margin: Annotated[
        float, typer.Option(help="The largest loss that would not matter, in units of the metric.")
    ] = 0.02,
    metric: Annotated[str, typer.Option(help="Instead of the task's own metric.")] = "",
    stop_early: Annotated[
        bool,
        typer.Option(
            "--stop-early", help="Take items in a seeded order until every cell is decided."
        ),
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Items: a seeded sample, stratified by label.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of samples, exemplars and intervals.")] = 0,
    exemplars: Annotated[
        str, typer.Option(help="How exemplars are chosen: fixed, stratified or nearest.")
    ] = "",
    dev: Annotated[
        int, typer.Option(min=1, help="Training items on which batch calibration is fitted.")
    ] = 48,
    column: ColumnOption = None,
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Folder for ab.html, ab.md and ab.json.")
    ] = None,
    store: StoreOption = None,
    prompts: PromptsOption = None,
    models_file: ModelsOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Compare cells of the grid on your own labels: what flips, what it costs, what to take.

    The first cell is the reference. It is asked some items twice, so that noise is known before
    any difference is. Answers are kept as they come, and shared with gateway run.

    [bold]gateway ab big small -t issue-triage --data test.csv --train train.csv --out ab[/]
    """
    from gateway.backends.base import load_models
    from gateway.evaluation.ab.cells import Defaults, model_in, read_cells
    from gateway.evaluation.ab.question import Question, check_question
    from gateway.evaluation.plan import Wanted, prepare
    from gateway.models.environment import prompts_root
    from gateway.report.pages.ab import FILES
    from gateway.tasks.prompts import list_strategies
    from gateway.tasks.task import load_task

    check_folder(out_dir, files=FILES)
    check_store(store)
    root = prompts or prompts_root()
    loaded = load_task(task, root)
    strategies = list_strategies(loaded, root)
    models = load_models(models_file).serving([model_in(name, strategies) for name in cells])
    asked = read_cells(cells, models, loaded, root, Defaults(strategy, score_rule))
    question = Question(asked, metric or loaded.metric, margin)
    check_question(question, loaded)
    wanted = Wanted(
        task=task,
        data=data,
        train=train,
        models=tuple(dict.fromkeys(cell.model for cell in asked)),
        strategies=tuple(dict.fromkeys(cell.strategy for cell in asked)),
        prompts=root,
        limit=limit,
        seed=seed,
        exemplars=exemplars,
        rules=tuple(dict.fromkeys(cell.rule.value for cell in asked if cell.rule)),
        dev_size=dev,
        columns=columns_of(column),
    )
    with reading():
        prepared = prepare(wanted)
    with keeping_answers(), open_store(store) as opened:
        outcome, seconds = asyncio.run(
            compare_cells(prepared, question, models, opened, stopping=stop_early, quiet=quiet)
        )
    raise typer.Exit(FAILED if finish(outcome, seconds, out_dir) else 0)


async def compare_cells(
    prepared: Any, question: Any, models: Any, store: Any, *, stopping: bool, quiet: bool
) -> Any:
    """Ask what is not in the store, and judge: the outcome and the cells' seconds."""
    from gateway.backends.pool import ModelPool
    from gateway.cli.progress import NOISE_FLOOR, RunProgress, planned
    from gateway.evaluation.ab.answers import Answers
    from gateway.evaluation.ab.ask import MOST_ASKED_AGAIN, ask, plans_of, weights_size
    from gateway.evaluation.ab.decide import all_decided, judge

    sizes = {cell.model: weights_size(models.get(cell.model)) for cell in question.asked}
    answers: list[Any] = []

    def read(cells: Any) -> Any:
        if not answers:
            answers.append(Answers(prepared, question, cells, store))
        return answers[0]

    def decided(cells: Any, items: Any) -> bool:
        record = read(cells).narrowed(items)
        found = all_decided(read(cells).predictions(record), record, question)
        if not (quiet or err.is_terminal):
            note(f"after {len(items)} of {planned_items} items: {'' if found else 'not '}decided")
        return found

    planned_items = len(prepared.plan.items)
    totals = planned(plans_of(prepared, question.asked))
    totals[NOISE_FLOOR] = min(MOST_ASKED_AGAIN, planned_items)
    pool = ModelPool(models)
    try:
        with RunProgress(totals, err, quiet=quiet) as progress:
            answered = await ask(
                prepared,
                question.asked,
                pool,
                store,
                progress.update,
                decided if stopping else None,
            )
    finally:
        await pool.close()
    record = read(answered.cells).narrowed(answered.items)
    store.put_run(record.run_id, record.task, record.to_json())
    return judge(read(answered.cells), answered, question, sizes, stopping=stopping)


def finish(outcome: Any, seconds: Any, out_dir: Path | None, *more: Any) -> bool:
    """Print, write the files; True when items failed or the noise floor should not be there.

    Args:
        more: sections that are printed behind the comparison's own.
    """
    from gateway.report.pages import ab as page

    show(page.brief(outcome, seconds, *more))
    if out_dir is not None:
        page.write(outcome, seconds, out_dir)
        tell(f"report: {out_dir / 'ab.html'}")
    failed = any(cell.statuses.get("failed", 0) for cell in outcome.report.cells)
    return failed or bool(outcome.noise.broken)
