"""Options that several commands have, as the types of their arguments."""

from pathlib import Path
from typing import Annotated

import typer

Task = Annotated[
    str, typer.Option("--task", "-t", help="Task, a folder of the prompts (gateway prompts list).")
]
Prompts = Annotated[
    Path | None, typer.Option("--prompts", help="Folder of tasks instead of the shipped one.")
]
Models = Annotated[
    Path | None,
    typer.Option("--models-file", help="A models.toml whose entries add to the shipped ones."),
]
Store = Annotated[
    Path | None,
    typer.Option("--store", help="SQLite file of answers \\[default: in your data folder]."),
]
Data = Annotated[
    str, typer.Option("--data", help="Labelled items: CSV, TSV, JSON, JSONL, Parquet, hf:NAME, -.")
]
Train = Annotated[
    str | None,
    typer.Option(
        "--train", help="Training data: exemplars, calibration and the baselines come from it."
    ),
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, help="Items: a seeded sample, stratified by label."),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of samples, exemplars and intervals.")]
Metric = Annotated[str, typer.Option("--metric", help="Instead of the task's own metric.")]
Positive = Annotated[
    str,
    typer.Option(
        "--positive",
        help="Label that the metric is of: precision, recall, f1, f2, roc_auc, pr_auc.",
    ),
]
Cluster = Annotated[
    str,
    typer.Option(
        "--cluster",
        help="Column that says which items belong together: author, document, repository, ...",
    ),
]
ClusterTable = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        help="FILE or FILE:COLUMN: a table of item_id and cluster. \\[default: as the run says]",
    ),
]
Per = Annotated[
    str,
    typer.Option(
        "--per",
        help="Column of groups, such as repo: score each too, and learn a baseline for each.",
    ),
]
Encoder = Annotated[
    bool | None,
    typer.Option(
        "--encoder/--no-encoder",
        help="A sentence encoder as a baseline. \\[default: where the extra encoders is installed]",
        show_default=False,
    ),
]
Exemplars = Annotated[
    str,
    typer.Option("--exemplars", help="How exemplars are chosen: fixed, stratified or nearest."),
]
Dev = Annotated[
    int | None,
    typer.Option(
        "--dev",
        min=1,
        help="Training items on which batch calibration is fitted. \\[default: at most 48, and no "
        "more than change something]",
    ),
]
LabelSearch = Annotated[
    str,
    typer.Option(
        "--label-search",
        help="best: of more than 20 labels only those are finished that may be the best, and the "
        "probabilities are estimates with a bound. full: all. auto: what the entry or the task "
        "says, else full.",
    ),
]
Margin = Annotated[
    float,
    typer.Option(
        "--margin", help="The largest loss that would not matter, in units of the metric."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of tables.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]
Adapters = Annotated[
    Path | None,
    typer.Option("--adapters", help="Folder of adapters \\[default: in your data folder]."),
]
