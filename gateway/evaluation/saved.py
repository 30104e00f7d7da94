"""The folder of a finished run, as `gateway run --out` wrote it: scored again, and compared."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gateway.core.collecting import uncollected
from gateway.core.errors import ComparisonRefused, DataError
from gateway.core.files import read_text
from gateway.core.json import Strictness, from_plain, plain
from gateway.evaluation.clusters import clusters_of_saved
from gateway.evaluation.predictions import (
    Predictions,
    SavedPredictions,
    load_predictions,
    require_same_items,
)
from gateway.evaluation.record import costs_in
from gateway.evaluation.settings import other_settings, recorded_identity
from gateway.evaluation.summary import (
    charged,
    conclusion,
    held_of,
    models_and_rivals,
    rare_classes,
    trivial_answer,
)
from gateway.scoring.arrays import IntArray
from gateway.scoring.contest import Comparison, Design, all_pairs, hold_one, pairs_of
from gateway.scoring.flips import Flip, differing
from gateway.scoring.groups import ByGroup, by_group
from gateway.scoring.metrics import of_label, shown_with
from gateway.scoring.pairing import Entrant, entrant, matched
from gateway.scoring.report import Report
from gateway.scoring.results import Prediction
from gateway.scoring.scores import score_cell
from gateway.scoring.signed_rank import SignedRank, signed_rank

REPORT = "report.json"
"""The file of a run that holds its report."""

_FINITE = Strictness(finite=True)
_HINT = "it has to be a report.json as gateway wrote it"


@dataclass(frozen=True, slots=True)
class SavedRun:
    """What the folder of a run holds."""

    folder: Path
    report: Report
    predictions: SavedPredictions

    @property
    def baselines(self) -> Predictions:
        """By name."""
        names = {cell.name for cell in self.report.cells if cell.kind == "baseline"}
        return {name: cell for name, cell in self.predictions.cells.items() if name in names}

    def entrants(self) -> dict[str, Entrant]:
        """Every cell, read to be compared.

        Raises:
            DataError: as `entrant`.
        """
        return {name: self.entrant(cell) for name, cell in self.predictions.cells.items()}

    def entrant(self, cell: Sequence[Prediction]) -> Entrant:
        """A cell on these items, read to be compared. Raises as `entrants`."""
        return entrant(
            cell,
            task_kind=self.report.kind,
            labels=self.report.labels,
            trivial=trivial_answer(self.baselines),
            costs=costs_in(self.report.settings),
        )

    def cell(self, name: str) -> Sequence[Prediction]:
        """The predictions of a cell; without a name those of the only one.

        Raises:
            DataError: there is none of that name, or several and none is named.
        """
        found = self.predictions.cells
        if not name and len(found) == 1:
            return next(iter(found.values()))
        if name not in found:
            raise DataError(
                f"{self.folder}: no cell is called {name!r}"
                if name
                else f"{self.folder}: name a cell",
                hint="FOLDER:CELL with one of: " + ", ".join(found),
            )
        return found[name]


@dataclass(frozen=True, slots=True)
class SavedComparison:
    """Two cells of finished runs against each other."""

    comparison: Comparison
    """Differences are those of the first less the second."""
    items: tuple[Flip, ...]
    """Those that the two answer differently."""
    remarks: tuple[str, ...] = ()
    """What a reader has to know of the items' clusters."""
    ranks: SignedRank | None = None
    """Of a number task: the errors of the first less those of the second."""
    groups: ByGroup | None = None
    """The two by group, where a run has groups."""


def load_run(folder: Path, *, whole: bool = True) -> SavedRun:
    """Read a run's folder.

    Args:
        whole: as `load_report`.

    Raises:
        DataError: a file is absent, or is not as the gateway wrote it.
    """
    hint = "name the folder given to gateway run --out"
    report = load_report(read_text(folder / REPORT, hint=hint), whole=whole)
    return SavedRun(folder, report, load_predictions(folder))


def load_report(text: str, *, whole: bool = True) -> Report:
    """The report in a report.json.

    Of a report that was written when there was another comparison, the cells alone are read: what
    compares them is made again from its predictions, or by `gateway report` from the store.

    Args:
        whole: also what compares cells; of many items it takes longer to read than to make again.

    Raises:
        DataError: the text is no report; the message names the value that is wrong.
    """
    raw = plain(text, REPORT, hint=_HINT, reading=_FINITE)
    if isinstance(raw, dict):
        raw.pop("summary", None)
        as_now = "conclusion" in raw and "winner" in raw and _compares_so(raw)
        if not as_now or not whole:
            raw |= {"comparisons": [], "disagreements": [], "conclusion": None}
            raw["cells"] = [
                {**cell, "verdicts": []} if isinstance(cell, dict) else cell
                for cell in raw.get("cells", ())
            ]
    return from_plain(Report, raw, REPORT, hint=_HINT, reading=_FINITE)


def _compares_so(raw: dict[str, object]) -> bool:
    """Whether a report's comparisons have an interval that agrees with what is said."""
    found = raw.get("comparisons")
    return not isinstance(found, list) or all(
        not isinstance(each, dict) or "difference" in each for each in found
    )


@uncollected()
def score(
    folder: Path | str, *, seed: int = 0, cluster: str | None = None, listed: bool = True
) -> Report:
    """Score and judge the predictions in a run's folder again, from its files alone.

    Args:
        seed: of the tests.
        cluster: FILE or FILE:COLUMN, a table of item_id and cluster; None: what the run found.
        listed: also what every cell said to the items that any two answer differently, which takes
            as long as to test the differences.

    Raises:
        DataError: as `load_run`.
    """
    run = load_run(Path(folder), whole=False)
    clusters, remarks = clusters_of_saved(run.predictions, run.report.settings, cluster)
    report = run.report
    kinds = {cell.name: cell.kind for cell in report.cells}
    details = {cell.name: cell.details for cell in report.cells}
    trivial = trivial_answer(run.baselines)
    read = run.entrants()
    for cell in read.values():
        for name in shown_with(report.primary_metric):
            cell.table.get(name)
    cells = [
        score_cell(
            name,
            kinds.get(name, "model"),
            report.kind,
            report.labels,
            cell.items,
            seed=seed,
            clusters=clusters,
            table=cell.table,
            details=details.get(name),
        )
        for name, cell in read.items()
    ]
    metric = report.primary_metric
    held = held_of(read, metric, cells=cells, margin=report.margin, seed=seed, clusters=clusters)
    cells = [replace(cell, verdicts=held.against.get(cell.name, ())) for cell in cells]
    models = [cell.items for name, cell in read.items() if name not in run.baselines]
    golds = next(iter(read.values())).golds
    said = (*remarks, *charged(report.kind, cells, trivial), *rare_classes(cells, golds))
    known = [each for each in report.warnings if each not in _of_clusters(run)]
    return replace(
        report,
        cells=tuple(cells),
        comparisons=held.comparisons,
        disagreements=differing(models, report.kind) if listed else (),
        conclusion=conclusion(metric, cells),
        groups=_by_group(report.groups, list(read.values()), metric, clusters),
        winner=held.winner,
        warnings=(*known, *(each for each in said if each not in known)),
    )


def _of_clusters(run: SavedRun) -> tuple[str, ...]:
    """What the run's own report says of its clusters, which a table may tell otherwise."""
    return clusters_of_saved(run.predictions, run.report.settings, None)[1]


def compare_saved(
    a: str,
    b: str,
    *,
    metric: str = "",
    positive: str = "",
    margin: float | None = None,
    seed: int = 0,
    cluster: str | None = None,
) -> SavedComparison:
    """Two cells of finished runs on the same items.

    Args:
        a: FOLDER:CELL, or FOLDER where it holds one cell.
        b: the same, or the CELL of another in the first folder.
        metric: empty: the task's own.
        positive: the label that it is of; empty: of all.
        margin: the largest difference that would not matter; None: the run's own, if it has one.
        seed: of the bootstrap interval.
        cluster: as `score`.

    Raises:
        DataError: there is no such folder or cell, or a file in it is not as the gateway wrote it.
        ComparisonRefused: the runs are of other items, labels or tasks.
    """
    folder_a, name_a = _folder_and_cell(a, None)
    folder_b, name_b = _folder_and_cell(b, folder_a)
    run_a, run_b = (load_run(folder, whole=False) for folder in (folder_a, folder_b))
    _require_one_task(run_a.report, run_b.report)
    require_same_items(run_a.predictions, run_b.predictions)
    clusters, remarks = clusters_of_saved(run_a.predictions, run_a.report.settings, cluster)
    first, second = run_a.cell(name_a), run_b.cell(name_b)
    asked = of_label(metric or run_a.report.primary_metric, positive)
    if folder_a.resolve() == folder_b.resolve() and first[0].cell != second[0].cell:
        if margin is None and asked == run_a.report.primary_metric:
            margin = run_a.report.margin
        design = Design(asked, margin, seed=seed, clusters=clusters)
        found = _of_one_run(run_a, first[0].cell, second[0].cell, design)
    else:
        if first[0].cell == second[0].cell:
            first, second = _of_folder(first, folder_a), _of_folder(second, folder_b)
        (found,) = all_pairs(
            [second, first],
            task_kind=run_a.report.kind,
            labels=run_a.report.labels,
            metric=asked,
            margin=margin,
            seed=seed,
            strict=True,
            clusters=clusters,
        )
    flips = tuple(differing([first, second], run_a.report.kind))
    remarks = (*remarks, *_computed(run_a.report, name_a, run_b.report, name_b))
    ranks = _signed_rank(first, second, clusters) if run_a.report.kind == "number" else None
    known = run_a.report.groups or run_b.report.groups
    both = [run_a.entrant(cell) for cell in (first, second)] if known else []
    groups = _by_group(known, both, asked, clusters)
    return SavedComparison(found, flips, remarks, ranks, groups)


def _computed(a: Report, cell_a: str, b: Report, cell_b: str) -> Iterator[str]:
    """That one file was computed in two ways, by machines or settings."""
    first = recorded_identity(a.settings, _model_of(a, cell_a))
    second = recorded_identity(b.settings, _model_of(b, cell_b))
    yield from other_settings(first, second, ("a", "b"))


def _model_of(report: Report, cell: str) -> str:
    """The model of a cell; of the only one, where none is named."""
    named = [c for c in report.cells if c.name == cell or (not cell and c.kind == "model")]
    return named[0].details.get("model", "") if named else ""


def _of_one_run(run: SavedRun, a: str, b: str, design: Design) -> Comparison:
    """As the run's report has it: whoever picks two of its cells has seen the others."""
    read = run.entrants()
    cells = [cell for cell in run.report.cells if cell.name in read]
    models, rivals = models_and_rivals(read, design.metric, cells)
    return hold_one(read[a], read[b], pairs_of(models, rivals), design)


def _by_group(
    known: ByGroup | None, cells: Sequence[Entrant], metric: str, clusters: IntArray | None
) -> ByGroup | None:
    """The cells by the groups of a report, where it has some."""
    if known is None:
        return None
    return by_group(cells, known.members, known.column, metric, clusters=clusters)


def _signed_rank(
    a: Sequence[Prediction], b: Sequence[Prediction], clusters: IntArray | None
) -> SignedRank:
    """Of the errors on the items that both answered; those of a cluster are added up."""
    errors = [cell.errors for cell in matched(a, b)]
    apart = errors[0] - errors[1]
    common = ~np.isnan(apart)
    if clusters is None:
        return signed_rank(apart[common])
    sums = np.bincount(clusters[common], weights=apart[common])
    return signed_rank(sums.astype(np.float64))


def _require_one_task(a: Report, b: Report) -> None:
    for what, one, other in (
        ("task", a.task, b.task),
        ("kind", a.kind, b.kind),
        ("labels", a.labels, b.labels),
    ):
        if one != other:
            raise ComparisonRefused(f"the runs differ in their {what}: {one} and {other}")


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


def _of_folder(cell: Sequence[Prediction], folder: Path) -> list[Prediction]:
    """The same cell in two runs is told apart by its folder."""
    return [replace(prediction, cell=f"{folder}:{prediction.cell}") for prediction in cell]
