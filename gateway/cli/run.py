"""`gateway run` and what is done with its files: report, score, compare."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from gateway.cli import experiments, option
from gateway.cli.common import (
    FAILED,
    check_store,
    keeping,
    listed,
    note,
    out,
    reading,
    require_options,
    show,
    tell,
)
from gateway.cli.data_options import Columns, reads_data
from gateway.cli.outputs import check_folder
from gateway.core.collecting import uncollected

if TYPE_CHECKING:
    from gateway.evaluation.summary import RunResult


@reads_data
def run(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="Experiment file (TOML), instead of options.")
    ] = None,
    task: option.Task = "",
    data: option.Data = "",
    train: option.Train = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Models, comma-separated.")
    ] = None,
    strategy: Annotated[
        str, typer.Option("--strategy", "-s", help="Prompt strategies, comma-separated.")
    ] = "zero_shot,few_shot,cot",
    limit: option.Limit = None,
    seed: option.Seed = 0,
    exemplars: option.Exemplars = "",
    score_rule: Annotated[
        str,
        typer.Option(
            help="How label scores become answers, comma-separated: sum, mean, per_byte, "
            "contextual, batch. \\[default: sum, and batch where --train is given]"
        ),
    ] = "",
    dev: option.Dev = None,
    label_search: option.LabelSearch = "auto",
    columns: Columns = None,
    metric: option.Metric = "",
    positive: option.Positive = "",
    cluster: option.Cluster = "",
    per: option.Per = "",
    encoder: option.Encoder = None,
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for report.html, .md, .json and predictions.jsonl."),
    ] = None,
    store: option.Store = None,
    prompts: option.Prompts = None,
    models_file: option.Models = None,
    quiet: option.Quiet = False,
) -> None:
    """Ask a grid of models and prompt strategies, score it, say which is better.

    Every answer is kept as it comes: interrupted at any moment, the same command goes on where it
    was. Asked again, nothing is computed twice.

    [bold]gateway run -t issue-triage --data test.csv --train train.csv --limit 150 --out report[/]

    [bold]gateway run experiment.toml[/] takes all of that from a file, and several exemplar seeds.
    """
    import gateway
    from gateway.cli.progress import watched
    from gateway.evaluation.predictions import PREDICTIONS
    from gateway.models.environment import prompts_root
    from gateway.report.pages.run import FILES

    if file is not None:
        experiments.check_alone(context, file)
        failed = experiments.run_file(file, store, prompts, models_file, quiet=quiet)
        raise typer.Exit(FAILED if failed else 0)
    require_options(context, "task", "data")
    check_folder(out_dir, files=(*FILES, PREDICTIONS))
    check_store(store)
    with keeping():
        with watched(quiet=quiet) as (watch, counting):
            found = gateway.run(
                task,
                data,
                models=listed(model),
                strategies=listed(strategy),
                prompts=prompts or prompts_root(),
                train=train,
                limit=limit,
                seed=seed,
                exemplars=exemplars,
                rules=listed(score_rule),
                dev_size=dev,
                label_search=label_search,
                columns=columns,
                metric=metric,
                positive=positive,
                cluster=cluster,
                per=per,
                encoder=encoder,
                store=store,
                models_file=models_file,
                watch=watch,
                counting=counting,
            )
        _finish(found, out_dir)


def _finish(found: "RunResult", out_dir: Path | None) -> NoReturn:
    """Print the tables, write the files; exit code 1 when items failed."""
    from gateway.report.pages import run as page

    with uncollected():
        show(page.brief(found.report, found.timings))
        if out_dir is not None:
            with reading("writing the report"):
                page.write_run(found, out_dir)
    if out_dir is not None:
        tell(f"report: {out_dir / 'report.html'}")
    raise typer.Exit(FAILED if found.report.failed else 0)


def report(
    run_id: Annotated[str, typer.Argument(help="Id of the run, or its first digits.")],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for the files.")],
    store: option.Store = None,
) -> None:
    """Make the report of a stored run again; no model is loaded."""
    from gateway.evaluation.evaluate import stored
    from gateway.evaluation.predictions import PREDICTIONS
    from gateway.report.pages.run import FILES

    check_folder(out_dir, files=(*FILES, PREDICTIONS))
    with reading("reading the answers and scoring them"):
        found = stored(run_id, store)
    _finish(found, out_dir)


def score(
    folder: Annotated[Path, typer.Argument(help="Folder given to gateway run --out.")],
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap intervals.")] = 0,
    cluster: option.ClusterTable = None,
    json_output: option.Json = False,
) -> None:
    """Score the predictions of a finished run again, from its files alone."""
    import gateway
    from gateway.report.json import render_json
    from gateway.report.pages import run as page

    with reading("reading the predictions and scoring them"):
        # What a terminal shows has no room for single items.
        scored = gateway.score(folder, seed=seed, cluster=cluster, listed=json_output)
    if json_output:
        out.file.write(render_json(scored))
    else:
        show(page.brief(scored))


def compare(
    a: Annotated[str, typer.Argument(help="FOLDER or FOLDER:CELL.")],
    b: Annotated[str, typer.Argument(help="FOLDER or FOLDER:CELL, or the CELL of the first.")],
    metric: option.Metric = "",
    positive: option.Positive = "",
    margin: Annotated[
        float | None, typer.Option(help="Largest difference that would not matter.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap interval.")] = 0,
    cluster: option.ClusterTable = None,
    json_output: option.Json = False,
) -> None:
    """Compare two cells on the same items: difference, interval, test, flips.

    Refused, with the reason, where the items, their labels or the label set differ.

    [bold]gateway compare report:smollm2-135m/zero_shot/sum report:smollm2-135m/few_shot/sum[/]
    """
    from dataclasses import asdict

    import gateway
    from gateway.report.pages import compare as page

    with reading("reading the predictions and comparing them"):
        found = gateway.compare_saved(
            a, b, metric=metric, positive=positive, margin=margin, seed=seed, cluster=cluster
        )
    for remark in found.remarks:
        note(remark)
    values = None
    if json_output:
        items = [asdict(item) for item in found.items]
        by = {"groups": asdict(found.groups)} if found.groups is not None else {}
        values = {**asdict(found.comparison), "items": items, **by}
    show(page.sections(found.comparison, found.items, found.ranks, found.groups), values)
