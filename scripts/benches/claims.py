"""How often a report claims what is not so: cells and a baseline that are equally good.

false    share of reports that say of any cell that it is better, beats or leads, where all are
         equal: at most 5%, however many there are, at a fixed number of items and with looks after
         every 25 (`--stop-early`). Beside it the same without a correction.
power    share of cells that are shown to be below the one that is better by 10 points, beside the
         uncorrected test.
winner   value of the first cell less its true one, as it is and less its luck, and how often the
         95% interval of the second holds the truth.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track
from rich.table import Table

from gateway.scoring.claims import ALPHA
from gateway.scoring.contest import Held, family_size, hold_entrants
from gateway.scoring.pairing import Entrant, entrant
from gateway.scoring.results import Prediction, Status
from gateway.scoring.sequential import Decision, decide

CELLS = (2, 4, 8, 20)
LABELS = ("bug", "feature", "question")
BATCH = 25
_RIGHT = 0.7
_SHARED = 0.6
"""Share of items that are right or wrong in every cell alike: cells err on the same items."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One report's cells, the last of which is the baseline, and who is right where."""

    cells: list[Entrant]
    right: npt.NDArray[np.bool_]
    """Shape (cells, items)."""


def drawn(seed: int, cells: int, n: int, *, ahead: float = 0.0) -> Drawn:
    """Cells that are right with one probability, but for the first, which is `ahead`."""
    draw = np.random.default_rng(seed)
    gold = draw.integers(3, size=n)
    common, shared = draw.random(n), draw.random(n) < _SHARED
    luck = np.where(shared, common, draw.random((cells + 1, n)))
    right = luck < _RIGHT + ahead * (np.arange(cells + 1)[:, np.newaxis] == 0)
    other = (gold + 1 + draw.integers(2, size=(cells + 1, n))) % 3
    answers = np.where(right, gold, other)
    return Drawn([_cell(f"c{i}", gold, row) for i, row in enumerate(answers)], right)


def _cell(name: str, gold: npt.NDArray[np.int64], answers: npt.NDArray[np.int64]) -> Entrant:
    return entrant(
        [
            Prediction(name, f"{i:04}", Status.OK, LABELS[x], LABELS[g])
            for i, (g, x) in enumerate(zip(gold.tolist(), answers.tolist(), strict=True))
        ],
        task_kind="classification",
        labels=LABELS,
    )


def held(sample: Drawn, metric: str, *, resamples: int = 1) -> Held:
    """As a report holds them."""
    models = sorted(sample.cells[:-1], key=lambda cell: -cell.value(metric))
    return hold_entrants(
        models,
        sample.cells[-1:],
        metric=metric,
        resamples=resamples,
        permutations=1000,
        detailed=False,
    )


def claimed(found: Held) -> bool:
    """Whether anything is said to be better."""
    against = [each for verdicts in found.against.values() for each in verdicts]
    verdicts = [each.claim.verdict for each in found.comparisons] + [x.verdict for x in against]
    return any(verdict.value in ("better", "worse") for verdict in verdicts)


def uncorrected(found: Held) -> bool:
    """The same by the own test of the first cell and each other one."""
    first = found.winner.name if found.winner else ""
    tests = [c.contest.alone for c in found.comparisons if first in (c.contest.a, c.contest.b)]
    return any(each.shown for each in tests)


def stopped(sample: Drawn) -> bool:
    """Whether looks after every batch claim anything of equal cells."""
    cells = len(sample.cells) - 1
    alpha = ALPHA / family_size(cells, 1)
    for i in range(cells):
        for j in range(i + 1, cells + 1):
            scores = sample.right[i].astype(np.int64) - sample.right[j]
            decision, _ = decide(scores, alpha=alpha)
            if decision is not Decision.UNDECIDED:
                return True
    return False


def false_claims(out: Console, samples: int, n: int = 100) -> None:
    """Print how often equal cells are told apart."""
    rows = []
    for cells in track(CELLS, "equal cells", console=out):
        made = [drawn(seed, cells, n) for seed in range(samples)]
        row = [f"{cells}"]
        for metric in ("accuracy", "macro_f1"):
            reports = [held(each, metric) for each in made]
            row += [percent([claimed(x) for x in reports])]
            row += [percent([uncorrected(x) for x in reports])]
        rows.append([*row, percent([stopped(each) for each in made])])
    heads = ["cells", "accuracy", "uncorrected", "macro-F1", "uncorrected", "--stop-early"]
    show(out, f"Equal cells of {n} items of which something is claimed", heads, rows)


def power(out: Console, samples: int, n: int = 300) -> None:
    """Print how often a cell that is behind by ten points is shown to be."""
    rows = []
    for cells in track(CELLS, "power", console=out):
        together: list[bool] = []
        alone: list[bool] = []
        for seed in range(samples):
            found = held(drawn(seed, cells, n, ahead=0.1), "accuracy")
            pairs = [c for c in found.comparisons if "c0" in (c.contest.a, c.contest.b)]
            together += [pair.claim.shown for pair in pairs]
            alone += [pair.contest.alone.shown for pair in pairs]
        rows.append([f"{cells}", percent(together), percent(alone)])
    show(out, f"Cells behind by 10 points on {n} items", ["cells", "shown", "uncorrected"], rows)


def winners(out: Console, samples: int, n: int = 100) -> None:
    """Print what the first cell's value is above the true one."""
    rows = []
    for cells in track(CELLS, "winners", console=out):
        found = [
            held(drawn(seed, cells, n), "accuracy", resamples=400).winner for seed in range(samples)
        ]
        known = [each for each in found if each is not None]
        raw = np.mean([each.value - _RIGHT for each in known])
        less = np.mean([each.corrected.value - _RIGHT for each in known])
        holds = [
            (each.corrected.low or 0.0) <= _RIGHT <= (each.corrected.high or 0.0) for each in known
        ]
        rows.append([f"{cells}", f"{raw:+.3f}", f"{less:+.3f}", percent(holds)])
    heads = ["cells", "value", "less its luck", "interval holds"]
    show(out, f"The first of equal cells on {n} items: above the truth", heads, rows)


def percent(found: Sequence[bool]) -> str:
    """The share that is true."""
    return f"{100 * np.mean(found):.1f}%"


def show(out: Console, title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    table = Table(title=title, title_justify="left")
    for head in heads:
        table.add_column(head, justify="right")
    for row in rows:
        table.add_row(*row)
    out.print(table)


def claims(out: Console, samples: int) -> None:
    """All of it."""
    false_claims(out, samples)
    power(out, max(50, samples // 4))
    winners(out, samples)
