"""An experiment on a terminal, as Markdown, JSON and one HTML page."""

from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from gateway.errors import StoreError
from gateway.experiments.outcome import ExperimentOutcome, Pairing
from gateway.experiments.spread import Spread
from gateway.identity import write_atomically
from gateway.metrics import metric_name
from gateway.report import format as fmt
from gateway.report import view
from gateway.report.grid import Column
from gateway.report.html import templates
from gateway.report.jsonfile import dumped
from gateway.report.markdown import bullets, escape, table
from gateway.report.sections import Section, Table, in_markdown, print_sentences, print_table
from gateway.report.sentences import at_margin
from gateway.report.terminal import line, print_warnings

_FOOTER = (
    "This page holds no seconds. All the numbers behind it, unrounded, are in experiment.json."
)


def print_experiment(outcome: ExperimentOutcome, console: Console) -> None:
    """The leaderboard and what it means; the pairs are in the files."""
    line(console, _title(outcome), style="bold")
    board = _leaderboard(outcome)
    for each in board.tables:
        print_table(each, console)
    print_sentences(board.sentences, console)
    print_warnings(outcome.report, console)


def write_experiment(outcome: ExperimentOutcome, out_dir: Path) -> None:
    """Write experiment.html, experiment.md and experiment.json.

    Raises:
        StoreError: the folder or a file in it can not be written.
        DataError: a number is not finite.
    """
    parts = (_leaderboard(outcome), _pairs(outcome), _runs(outcome))
    files = {
        "experiment.html": _html(outcome, parts),
        "experiment.md": _markdown(outcome, parts),
        "experiment.json": dumped(asdict(outcome)),
    }
    try:
        for name, text in files.items():
            write_atomically(out_dir / name, text)
    except OSError as exc:
        raise StoreError(
            f"{out_dir}: the report can not be written: {exc.strerror or exc}",
            hint="give out a folder that you may write to",
        ) from exc


def _title(outcome: ExperimentOutcome) -> str:
    seeds = fmt.plural(len(outcome.seeds), "exemplar seed")
    return f"{outcome.report.task} · n = {outcome.report.n} · {seeds}"


def _leaderboard(outcome: ExperimentOutcome) -> Section:
    rows = outcome.spreads
    baselines = [cell for cell in view.ranked(outcome.report) if cell.kind == "baseline"]
    names = (*(each.cell for each in rows), *map(view.shown_name, baselines))
    values = [cell.metrics.get(outcome.metric) for cell in baselines]
    rest = ("",) * len(baselines)
    name = metric_name(outcome.metric)
    means = (fmt.number(each.mean) for each in rows)
    columns = (
        Column(f"mean {name}", (*means, *(fmt.number(m.value if m else None) for m in values))),
        Column("sd", (*(fmt.number(each.deviation) for each in rows), *rest)),
        Column("min", (*(fmt.number(each.least) for each in rows), *rest)),
        Column("max", (*(fmt.number(each.most) for each in rows), *rest)),
        Column("seeds", (*(f"{len(each.values):,}" for each in rows), *rest)),
        Column("one seed, over items", (*(fmt.estimate(each.first) for each in rows), *rest)),
    )
    caption = (
        f"{name} ({fmt.direction(outcome.metric)}) over exemplar seeds, the best mean first. sd is "
        f"the standard deviation over seeds; the last column is seed {outcome.seeds[0]} with its "
        "95% interval over items."
    )
    return Section(
        "leaderboard",
        "Leaderboard",
        tuple(_sentences(outcome)),
        (Table(caption, "cell", names, columns),),
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


def _pairs(outcome: ExperimentOutcome) -> Section:
    name, seed = metric_name(outcome.metric), outcome.seeds[0]
    caption = (
        f"{name} of the row less that of the column, with its 95% interval, on the items of seed "
        f"{seed}; p-values of the permutation test, corrected for all pairs (Holm); and what is "
        f"shown at a margin of {outcome.margin:g}."
    )
    cells = [each.cell for each in outcome.spreads]
    found = {(pair.contest.a, pair.contest.b): pair for pair in outcome.pairs}
    columns = tuple(
        Column(column, tuple(_entry(found.get((row, column))) for row in cells))
        for column in cells[:-1]
    )
    matrix = Table(caption, "cell", tuple(cells), columns)
    return Section("pairs", "Every pair", (), (matrix,) if columns else ())


def _entry(pair: Pairing | None) -> str:
    if pair is None:
        return ""
    result = pair.contest
    return (
        f"{fmt.difference(result.difference)}, {fmt.p_statement(pair.p_value)}, "
        f"{at_margin(result.equivalence)}"
    )


def _runs(outcome: ExperimentOutcome) -> Section:
    seeds = tuple(f"{seed}" for seed in outcome.runs)
    runs = Column("run", tuple(outcome.runs.values()))
    caption = "One run a seed; each has its own report in the folder seed-N, and by gateway report."
    return Section("runs", "Runs", (), (Table(caption, "exemplar seed", seeds, (runs,)),))


def _html(outcome: ExperimentOutcome, parts: tuple[Section, ...]) -> str:
    return (
        templates()
        .get_template("sections.html.j2")
        .render(
            report=outcome.report,
            title=_title(outcome),
            headline=next(iter(parts[0].sentences), "One exemplar seed: no variation to report."),
            parts=parts,
            frontier="",
            footer=_FOOTER,
        )
    )


def _markdown(outcome: ExperimentOutcome, parts: tuple[Section, ...]) -> str:
    report = outcome.report
    said = [f"# {escape(_title(outcome))}"]
    for part in parts:
        said += in_markdown(part)
    if report.warnings:
        said += ["## Warnings", bullets(report.warnings)]
    rows = [(escape(key), escape(report.settings[key])) for key in sorted(report.settings)]
    said += ["## Settings", table(("setting", "value"), rows)]
    return "\n\n".join(said) + "\n"
