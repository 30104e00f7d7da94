"""`gateway adapters compare`: was the fine-tuning worth it?"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import option
from gateway.cli.ab import ask_cells, finish
from gateway.cli.common import FAILED, check_store, err, listed, note, reading, wait
from gateway.cli.data_options import Columns, reads_data
from gateway.cli.outputs import check_folder


@reads_data
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
    margin: option.Margin = 0.02,
    limit: option.Limit = None,
    seed: option.Seed = 0,
    columns: Columns = None,
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Folder for ab.html, ab.json and worth.md.")
    ] = None,
    store: option.Store = None,
    adapters: option.Adapters = None,
    prompts: option.Prompts = None,
    models_file: option.Models = None,
    quiet: option.Quiet = False,
) -> None:
    """Before and after: the base's prompts, and the base with the adapter, on the same items.

    Task and template are those that the adapter's card records. The base is also asked with that
    template, so that what tuning did and what the template did are told apart. Compared are the
    metric, formats, classes, calibration, tokens and seconds, and with --neutral how much worse an
    ordinary text is predicted.

    [bold]gateway adapters compare mine --base smollm2-135m-torch --data test.csv --train \\
    train.csv --neutral book.txt[/]
    """
    from gateway.backends.registry import load_models
    from gateway.cli.progress import encoding, staged
    from gateway.evaluation.compare import CompareOptions
    from gateway.evaluation.tuning_gain import before_after, plan_worth, readings
    from gateway.models.adapters.names import folder_of
    from gateway.models.environment import adapters_root, prompts_root
    from gateway.report.pages import tuning_gain as page
    from gateway.report.pages.ab import FILES as OF_AB

    check_folder(out_dir, files=(*OF_AB, *page.FILES))
    check_store(store)
    folder = folder_of(adapters or adapters_root(), name)
    options = CompareOptions(
        cells=(),
        task="",
        data=data,
        train=train,
        margin=margin,
        limit=limit,
        seed=seed,
        columns=columns,
        prompts=prompts or prompts_root(),
    )
    with reading() as status:
        options = replace(options, counting=encoding(status, quiet=quiet))
        models = load_models(models_file)
        plan = plan_worth(folder, base, listed(strategies), options, models, neutral=neutral)
    if plan.warning:
        note(f"warning: {plan.warning}")
    compared = ask_cells(plan.cells, store, quiet=quiet)
    with staged(err, quiet=quiet) as begin:
        read = wait(readings(plan, begin))
    found = before_after(plan, compared, read)
    compared = replace(compared, outcome=found.outcome)
    failed = finish(compared, out_dir, page.section(found))
    if out_dir is not None:
        page.write(found, out_dir)
    raise typer.Exit(FAILED if failed else 0)
