"""`gateway run` and what is done with its files: report, score, compare."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from gateway.cli import experiments
from gateway.cli.common import (
    FAILED,
    DataOption,
    DevOption,
    ExemplarsOption,
    JsonOption,
    LimitOption,
    ModelsOption,
    PromptsOption,
    QuietOption,
    SeedOption,
    StoreOption,
    TaskOption,
    TrainOption,
    check_store,
    keeping_answers,
    listed,
    out,
    read_text,
    require_options,
    show,
    tell,
)
from gateway.cli.data_options import Columns, reads_data
from gateway.cli.outputs import check_folder
from gateway.core.errors import ComparisonRefused, DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.evaluation.predictions import SavedPredictions
    from gateway.evaluation.summary import RunResult
    from gateway.scoring.report import Report
    from gateway.scoring.results import Prediction


@reads_data
def run(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="Experiment file (TOML), instead of options.")
    ] = None,
    task: TaskOption = "",
    data: DataOption = "",
    train: TrainOption = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Models, comma-separated.")
    ] = None,
    strategy: Annotated[
        str, typer.Option("--strategy", "-s", help="Prompt strategies, comma-separated.")
    ] = "zero_shot,few_shot,cot",
    limit: LimitOption = None,
    seed: SeedOption = 0,
    exemplars: ExemplarsOption = "",
    score_rule: Annotated[
        str,
        typer.Option(
            help="How label scores become answers, comma-separated: sum, mean, per_byte, "
            "contextual, batch. \\[default: sum, and batch where --train is given]"
        ),
    ] = "",
    dev: DevOption = 48,
    columns: Columns = None,
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for report.html, .md, .json and predictions.jsonl."),
    ] = None,
    store: StoreOption = None,
    prompts: PromptsOption = None,
    models_file: ModelsOption = None,
    quiet: QuietOption = False,
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
    with keeping_answers(), watched(quiet=quiet) as watch:
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
            columns=columns,
            store=store,
            models_file=models_file,
            watch=watch,
        )
        _finish(found, out_dir)


def _finish(found: "RunResult", out_dir: Path | None) -> NoReturn:
    """Print the tables, write the files; exit code 1 when items failed."""
    from gateway.report.pages import run as page

    show(page.brief(found.report, found.timings))
    if out_dir is not None:
        page.write_run(found, out_dir)
        tell(f"report: {out_dir / 'report.html'}")
    raise typer.Exit(FAILED if found.report.failed else 0)


def report(
    run_id: Annotated[str, typer.Argument(help="Id of the run, or its first digits.")],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for the files.")],
    store: StoreOption = None,
) -> None:
    """Make the report of a stored run again; no model is loaded."""
    from gateway.evaluation.evaluate import stored
    from gateway.evaluation.predictions import PREDICTIONS
    from gateway.report.pages.run import FILES

    check_folder(out_dir, files=(*FILES, PREDICTIONS))
    _finish(stored(run_id, store), out_dir)


def score(
    folder: Annotated[Path, typer.Argument(help="Folder given to gateway run --out.")],
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap intervals.")] = 0,
    json_output: JsonOption = False,
) -> None:
    """Score the predictions of a finished run again, from its files alone."""
    from dataclasses import replace

    from gateway.evaluation.predictions import load_predictions
    from gateway.report.json import render_json
    from gateway.report.pages import run as page
    from gateway.scoring.scores import score_cell

    found = _load_report(folder)
    cells = [
        score_cell(
            name,
            "baseline" if name.startswith("baseline:") else "model",
            found.kind,
            found.labels,
            predictions,
            seed=seed,
        )
        for name, predictions in load_predictions(folder).cells.items()
    ]
    scored = replace(found, cells=tuple(cells), comparisons=(), disagreements=(), conclusion=None)
    if json_output:
        out.file.write(render_json(scored))
    else:
        show(page.brief(scored))


def compare(
    a: Annotated[str, typer.Argument(help="FOLDER or FOLDER:CELL.")],
    b: Annotated[str, typer.Argument(help="FOLDER or FOLDER:CELL, or the CELL of the first.")],
    metric: Annotated[str, typer.Option(help="Instead of the task's own metric.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap interval.")] = 0,
    json_output: JsonOption = False,
) -> None:
    """Compare two cells on the same items: difference, interval, test, flips.

    Refused, with the reason, where the items, their labels or the label set differ.

    [bold]gateway compare report:smollm2-135m/zero_shot/sum report:smollm2-135m/few_shot/sum[/]
    """
    from dataclasses import asdict

    from gateway.evaluation.predictions import load_predictions, require_same_items
    from gateway.report.pages import compare as page
    from gateway.scoring.contest import all_pairs
    from gateway.scoring.flips import differing

    folder_a, cell_a = _folder_and_cell(a, None)
    folder_b, cell_b = _folder_and_cell(b, folder_a)
    report_a, report_b = _load_report(folder_a), _load_report(folder_b)
    for what in ("task", "kind", "labels"):
        if getattr(report_a, what) != getattr(report_b, what):
            raise ComparisonRefused(
                f"the runs differ in their {what}: {getattr(report_a, what)} and "
                f"{getattr(report_b, what)}"
            )
    saved_a, saved_b = load_predictions(folder_a), load_predictions(folder_b)
    require_same_items(saved_a, saved_b)
    first, second = _cell(saved_a, folder_a, cell_a), _cell(saved_b, folder_b, cell_b)
    if first[0].cell == second[0].cell:
        first, second = _of_folder(first, folder_a), _of_folder(second, folder_b)
    (result,) = all_pairs(
        [second, first],
        task_kind=report_a.kind,
        labels=report_a.labels,
        metric=metric or report_a.primary_metric,
        seed=seed,
        strict=True,
    )
    items = differing([first, second], report_a.kind)
    values = {**asdict(result), "items": [asdict(item) for item in items]}
    show(page.sections(result, items), values if json_output else None)


def _load_report(folder: Path) -> "Report":
    from gateway.report.json import load_report

    return load_report(read_text(folder / "report.json"))


def _folder_and_cell(text: str, other: Path | None) -> tuple[Path, str]:
    """`FOLDER`, `FOLDER:CELL`, or only `CELL` where another folder is known."""
    if Path(text).is_dir():
        return Path(text), ""
    folder, separator, cell = text.partition(":")
    if separator and Path(folder).is_dir():
        return Path(folder), cell
    if other is not None:
        return other, text
    raise DataError(f"{text}: no such folder", hint="FOLDER:CELL, FOLDER as given to run --out")


def _of_folder(cell: "Sequence[Prediction]", folder: Path) -> "list[Prediction]":
    """The same cell in two runs is told apart by its folder."""
    from dataclasses import replace

    return [replace(prediction, cell=f"{folder}:{prediction.cell}") for prediction in cell]


def _cell(saved: "SavedPredictions", folder: Path, name: str) -> "Sequence[Prediction]":
    found = saved.cells
    if not name and len(found) == 1:
        return next(iter(found.values()))
    if name not in found:
        raise DataError(
            f"{folder}: no cell is called {name!r}" if name else f"{folder}: name a cell",
            hint="FOLDER:CELL with one of: " + ", ".join(found),
        )
    return found[name]
