"""An experiment as a document, and its files."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from gateway.evaluation.experiment.outcome import ExperimentOutcome
from gateway.evaluation.experiment.run import ExperimentResult
from gateway.evaluation.experiment.spread import Spread
from gateway.evaluation.predictions import PREDICTIONS
from gateway.report import format as fmt
from gateway.report import view
from gateway.report.files import names_of, write_document
from gateway.report.pages import groups
from gateway.report.pages import run as single
from gateway.report.pages.experiment_classes import by_class, confidence
from gateway.report.pages.experiment_pairs import differences, partings
from gateway.report.pages.needs import needs
from gateway.report.sections import Column, Document, Section, by_columns, settings
from gateway.scoring.metrics import metric_name

FILES = names_of("experiment")
"""What `write` writes."""

_FOOTER = "Here are no seconds. All the numbers behind this, unrounded, are in experiment.json."


def files_of(seeds: Sequence[int]) -> dict[str, tuple[str, ...]]:
    """What `write` writes, by folder."""
    return {".": FILES, **{_of_seed(seed): (*single.FILES, PREDICTIONS) for seed in seeds}}


def write(result: ExperimentResult, out_dir: Path) -> None:
    """Write experiment.html, experiment.md and experiment.json, and each run in a folder.

    Raises:
        StoreError: a folder or a file in it cannot be written.
        DataError: a number is not finite.
    """
    for seed, run in result.runs.items():
        single.write_run(run, out_dir / _of_seed(seed))
    values, whole = asdict(result.outcome), document(result.outcome)
    if not result.outcome.needs:  # Of before there were any, and they have the same bytes since.
        del values["needs"]
    write_document("experiment", whole, values, out_dir, option="out")


def _of_seed(seed: int) -> str:
    return f"seed-{seed}"


def document(outcome: ExperimentOutcome) -> Document:
    """All of it."""
    parts = sections(outcome)
    headline = next(iter(parts[0].sentences), "One exemplar seed: no variation to report.")
    return Document(
        _title(outcome),
        (*parts, *settings(outcome.report.settings)),
        about=f"{fmt.plural(outcome.report.n, 'item')} · {outcome.report.kind}",
        summary=(headline,),
        warnings=outcome.report.warnings,
        footer=_FOOTER,
    )


def brief(outcome: ExperimentOutcome) -> Document:
    """The leaderboard and what it means; the rest is in the files."""
    board = replace(leaderboard(outcome), title="")
    parts = (board, *needs(outcome), *groups.of_report(outcome.report, brief=True))
    return Document(_title(outcome), parts, warnings=outcome.report.warnings)


def _title(outcome: ExperimentOutcome) -> str:
    seeds = fmt.plural(len(outcome.seeds), "exemplar seed")
    return f"{outcome.report.task} · n = {outcome.report.n} · {seeds}"


def sections(outcome: ExperimentOutcome) -> tuple[Section, ...]:
    """All parts, the leaderboard first; classes, confidence and groups where there are any."""
    parts = [leaderboard(outcome), *needs(outcome), differences(outcome), partings(outcome)]
    if outcome.classes:
        parts += [by_class(outcome), confidence(outcome)]
    parts += groups.of_report(outcome.report)
    return (*parts, _runs(outcome))


def leaderboard(outcome: ExperimentOutcome) -> Section:
    """The cells over all seeds, and how far they depend on the seed."""
    rows = outcome.spreads
    baselines = [cell for cell in view.ranked(outcome.report) if cell.kind == "baseline"]
    names = (*(each.cell for each in rows), *map(view.shown_name, baselines))
    values = [cell.metrics.get(outcome.metric) for cell in baselines]
    rest = ("",) * len(baselines)
    name = metric_name(outcome.metric)
    means = (fmt.estimate(each.over_all) for each in rows)
    columns = (
        Column(f"mean {name}", (*means, *map(fmt.estimate, values))),
        Column("sd", (*(fmt.number(each.deviation) for each in rows), *rest)),
        Column("min", (*(fmt.number(each.least) for each in rows), *rest)),
        Column("max", (*(fmt.number(each.most) for each in rows), *rest)),
        Column("seeds", (*(f"{len(each.values):,}" for each in rows), *rest)),
        Column("one seed, over items", (*(fmt.estimate(each.first) for each in rows), *rest)),
    )
    caption = (
        f"{name} ({fmt.direction(outcome.metric)}) over exemplar seeds, ordered by their mean, "
        "which has its 95% interval over items and seeds. sd is the standard deviation over seeds; "
        f"the last column is seed {outcome.seeds[0]} with its "
        "95% interval over items."
    )
    return Section(
        "leaderboard",
        "Leaderboard",
        tuple(_sentences(outcome)),
        (by_columns(caption, "cell", names, columns),),
    )


def _sentences(outcome: ExperimentOutcome) -> list[str]:
    varied = [each for each in outcome.spreads if len(each.values) > 1]
    once = [each.cell for each in outcome.spreads if len(each.values) == 1]
    said = [_spread_sentence(each) for each in varied]
    if varied and once:
        said.append(
            f"One value alone, because seeds do not change what is shown: {', '.join(once)}."
        )
    return said


def _spread_sentence(each: Spread) -> str:
    return (
        f"{each.cell}: which exemplars are shown moves {metric_name(each.metric)} from "
        f"{fmt.number(each.least)} to {fmt.number(each.most)}, "
        f"{fmt.plural(len(each.values), 'seed')}, standard deviation {fmt.number(each.deviation)}."
    )


def _runs(outcome: ExperimentOutcome) -> Section:
    seeds = tuple(f"{seed}" for seed in outcome.runs)
    runs = Column("run", tuple(outcome.runs.values()))
    caption = "One run a seed; each has its own report in the folder seed-N, and by gateway report."
    return Section("runs", "Runs", (), (by_columns(caption, "exemplar seed", seeds, (runs,)),))
