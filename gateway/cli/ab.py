"""`gateway ab`: cells against each other, and whether the difference is real."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import option
from gateway.cli.common import (
    FAILED,
    check_store,
    err,
    keeping,
    note,
    open_store,
    reading,
    show,
    tell,
    wait,
)
from gateway.cli.data_options import Columns, reads_data
from gateway.cli.outputs import check_folder

if TYPE_CHECKING:
    from gateway.evaluation.compare import CellPlan, CompareResult
    from gateway.report.sections import Section


@reads_data
def ab(
    cells: Annotated[
        list[str],
        typer.Argument(help="MODEL, MODEL/STRATEGY or MODEL/STRATEGY/RULE; first the reference."),
    ],
    task: option.Task,
    data: option.Data,
    train: option.Train = None,
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
    margin: option.Margin = 0.02,
    metric: option.Metric = "",
    positive: option.Positive = "",
    stop_early: Annotated[
        bool,
        typer.Option(
            "--stop-early", help="Take items in a seeded order until every cell is decided."
        ),
    ] = False,
    limit: option.Limit = None,
    seed: option.Seed = 0,
    exemplars: option.Exemplars = "",
    dev: option.Dev = None,
    label_search: option.LabelSearch = "auto",
    columns: Columns = None,
    cluster: option.Cluster = "",
    per: option.Per = "",
    encoder: option.Encoder = None,
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Folder for ab.html, ab.md and ab.json.")
    ] = None,
    store: option.Store = None,
    prompts: option.Prompts = None,
    models_file: option.Models = None,
    quiet: option.Quiet = False,
) -> None:
    """Compare cells of the grid on your own labels: what flips, what it costs, what to take.

    The first cell is the reference. It is asked some items twice, so that noise is known before
    any difference is. Answers are kept as they come, and shared with gateway run.

    [bold]gateway ab big small -t issue-triage --data test.csv --train train.csv --out ab[/]
    """
    from gateway.backends.registry import load_models
    from gateway.cli.progress import encoding
    from gateway.evaluation.compare import CompareOptions, plan_cells
    from gateway.models.environment import prompts_root
    from gateway.report.pages.ab import FILES

    check_folder(out_dir, files=FILES)
    check_store(store)
    options = CompareOptions(
        cells=cells,
        task=task,
        data=data,
        train=train,
        strategy=strategy,
        rule=score_rule,
        metric=metric,
        positive=positive,
        margin=margin,
        stop_early=stop_early,
        limit=limit,
        seed=seed,
        exemplars=exemplars,
        dev_size=dev,
        label_search=label_search,
        columns=columns,
        cluster=cluster,
        per=per,
        encoder=encoder,
        prompts=prompts or prompts_root(),
    )
    with reading() as status:
        options = replace(options, counting=encoding(status, quiet=quiet))
        plan = plan_cells(options, load_models(models_file))
    compared = ask_cells(plan, store, quiet=quiet)
    raise typer.Exit(FAILED if finish(compared, out_dir) else 0)


def ask_cells(plan: "CellPlan", store: Path | None, *, quiet: bool) -> "CompareResult":
    """Ask what is not in the store, with bars; what it comes to."""
    from gateway.cli.progress import NOISE_FLOOR, RunProgress, planned
    from gateway.core.lists import plural
    from gateway.evaluation import compare

    def looked(items: int, decided: bool) -> None:
        if not (quiet or err.is_terminal):
            found = "decided" if decided else "not decided"
            note(f"after {items} of {plural(plan.items, 'item')}: {found}")

    totals = {**planned(plan.plans), NOISE_FLOOR: plan.asked_again}
    with keeping(), open_store(store) as opened:
        with RunProgress(totals, err, quiet=quiet) as progress:
            result = wait(compare.ask_cells(plan, opened, progress.update, looked))
        with reading("comparing the cells"):
            return result()


def finish(compared: "CompareResult", out_dir: Path | None, *more: "Section") -> bool:
    """Print, write the files; True when items failed or the noise floor should not be there.

    Args:
        more: sections that are printed behind the comparison's own.
    """
    from gateway.report.pages import ab as page

    outcome, timings = compared.outcome, compared.timings
    show(page.brief(outcome, timings, *more))
    if out_dir is not None:
        with reading("writing the report"):
            page.write(outcome, timings, out_dir)
        tell(f"report: {out_dir / 'ab.html'}")
    return outcome.report.failed or outcome.noise.broken
