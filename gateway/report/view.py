"""What every form of the report shows: which cell is best, in what order, which columns."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.scoring.flips import Flip
from gateway.scoring.report import Report, best_first
from gateway.scoring.results import CellScore, Confusion, SparseConfusion, Status

MOST_MATRIX_LABELS = 20
"""A confusion matrix of more labels is no picture any more; its largest entries are listed."""

MOST_DISAGREEMENTS = 60
"""Items that a report lists on which the cells disagree; report.json has all of them."""
TESTED = (
    "p is that of the permutation test of the metric, corrected for every pair of cells and every "
    "baseline together (max-T). It is absent where fewer than 6 items decide: they cannot reach "
    "p < 0.05."
)
BOUNDS = "≈"
"""Stands behind the name of a cell whose scores are not all exact."""
BOUNDS_NOTE = f"{BOUNDS} some log-probabilities are bounds or approximations, not exact"

METRIC_ORDER = (
    "macro_f1",
    "exact_match",
    "mae",
    "accuracy",
    "weighted_f1",
    "accuracy_answered",
    "mae_answered",
    "median_ae",
    "median_ae_answered",
    "within_one",
    "log_loss",
    "brier",
    "ece",
    "ece_perfect",
    "ece_debiased",
    "calibration_slope",
    "calibration_intercept",
    "coverage",
    "conformance",
)
_DETAIL_ORDER = ("model", "strategy", "rule", "mode", "level", "fingerprint")


@dataclass(frozen=True, slots=True)
class Confused:
    """A gold label, what was answered instead, and how often. None: nothing was answered."""

    gold: str
    answer: str | None
    count: int


@dataclass(frozen=True, slots=True)
class AnswerGroup:
    """The cells that gave one answer to an item."""

    answer: str
    right: bool
    cells: tuple[str, ...]


def ranked(report: Report) -> tuple[CellScore, ...]:
    """Models before baselines, the best primary metric first, cells without one last."""
    found = best_first(report.cells, report.primary_metric)
    found += [cell for cell in report.cells if report.primary_metric not in cell.metrics]
    return tuple(sorted(found, key=lambda cell: cell.kind == "baseline"))


def shown_name(cell: CellScore) -> str:
    """The name, which tells of bounds that they are."""
    return cell.name if cell.exact else f"{cell.name} {BOUNDS}"


def metric_names(report: Report) -> tuple[str, ...]:
    """Every metric that some cell has, the primary one first and even if none has it."""
    found = {name for cell in report.cells for name in cell.metrics} - {report.primary_metric}
    known = [name for name in METRIC_ORDER if name in found]
    # Fields stand where the metrics of quality end and those of answering begin.
    others = sorted(found - set(known))
    answering = [name for name in known if name in ("coverage", "conformance")]
    quality = [name for name in known if name not in answering]
    return (report.primary_metric, *quality, *others, *answering)


def not_ok(cell: CellScore) -> list[tuple[str, int]]:
    """The statuses other than ok that occur, with their counts."""
    names = [status.value for status in Status if status is not Status.OK]
    return [(name, cell.statuses[name]) for name in names if cell.statuses.get(name)]


def details(cell: CellScore) -> list[tuple[str, str]]:
    """The details of a cell, the telling ones first, the others by name."""
    first = [key for key in _DETAIL_ORDER if key in cell.details]
    rest = sorted(cell.details.keys() - set(first))
    return [(key, cell.details[key]) for key in (*first, *rest)]


def confusions(confusion: Confusion | SparseConfusion, most: int = 20) -> list[Confused]:
    """The commonest wrong or missing answers, the most frequent first."""
    answers = (*confusion.labels, None)
    wrong = ((g, a, count) for g, a, count in confusion.entries_found() if a != g)
    found = sorted(wrong, key=lambda entry: -entry[2])[:most]
    return [Confused(confusion.labels[g], answers[a], count) for g, a, count in found]


def answer_groups(item: Flip, order: Sequence[str]) -> tuple[AnswerGroup, ...]:
    """Cells by their answer: the right ones first, then those that most cells gave."""
    cells: dict[tuple[str, bool], list[str]] = {}
    for name in (name for name in order if name in item.said):
        cells.setdefault((item.said[name].answer, item.said[name].right), []).append(name)
    groups = [AnswerGroup(*answer, tuple(names)) for answer, names in cells.items()]
    return tuple(sorted(groups, key=lambda g: (not g.right, -len(g.cells))))
