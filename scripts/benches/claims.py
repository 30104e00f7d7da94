"""How often a report claims what is not so: cells and a baseline that are equally good.

false    share of reports that say of any cell that it is better, beats or leads, where all are
         equal: at most 5%, however many there are, at a fixed number of items and with looks after
         every item (`--stop-early`). Beside it the same without a correction.
power    share of cells that are shown to be below the one that is better by 10 points, beside the
         uncorrected test.
winner   value of the first cell less its true one, as it is and less its luck, and how often the
         95% interval of the second holds the truth.

Of a report only what makes its claims is computed; of the first ones it is seen that a whole report
claims the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, combinations
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from sections import Section, parts, percent, show, with_error

from gateway.scoring.claims import ALPHA, claim
from gateway.scoring.contest import Design, family_size, hold_entrants, pairs_of
from gateway.scoring.family import simultaneous
from gateway.scoring.pairing import Entrant, entrant, pair
from gateway.scoring.results import Prediction, Status
from gateway.scoring.selection import Winner, winner
from gateway.scoring.sequential import Decision, decide

CELLS = (2, 4, 8, 20)
LABELS = ("bug", "feature", "question")
SHARES = (0.7, 0.9)
"""Of right answers, in truth."""
METRICS = ("accuracy", "macro_f1")
PERMUTATIONS = 1000
WHOLE = 2
"""Reports of each kind that are made whole."""
_SHARED = 0.6
"""Share of items that are right or wrong in every cell alike: cells err on the same items."""

Each = TypeVar("Each")


@dataclass(frozen=True, slots=True)
class Drawn:
    """One report's cells, the last of which is the baseline, and who is right where."""

    cells: list[Entrant]
    right: npt.NDArray[np.bool_]
    """Shape (cells, items)."""


@dataclass(frozen=True, slots=True)
class Said:
    """Of one pair of cells."""

    a: str
    b: str
    shown: bool
    """Whether a report says that one is better."""
    alone: bool
    """Whether it would if there were no other pair."""


def drawn(seed: int, cells: int, n: int, *, share: float = 0.7, ahead: float = 0.0) -> Drawn:
    """Cells that are right with one probability, but for the first, which is `ahead`."""
    draw = np.random.default_rng(seed)
    gold = draw.integers(3, size=n)
    common, shared = draw.random(n), draw.random(n) < _SHARED
    luck = np.where(shared, common, draw.random((cells + 1, n)))
    right = luck < share + ahead * (np.arange(cells + 1)[:, np.newaxis] == 0)
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


def said(sample: Drawn, metric: str) -> list[Said]:
    """Of every pair, as a report says it."""
    models = sorted(sample.cells[:-1], key=lambda cell: -cell.value(metric))
    family = [pair(a, b, metric) for a, b in pairs_of(models, sample.cells[-1:])]
    found = []
    for pairs, test in zip(family, simultaneous(family, permutations=PERMUTATIONS), strict=True):
        together, alone = (
            claim(metric, pairs.estimate, p, deciding=test.own.deciding, family=len(family))
            for p in (test.p_value, test.own.p_value)
        )
        found.append(Said(pairs.a, pairs.b, together.shown, alone.shown))
    return found


def said_whole(sample: Drawn, metric: str) -> set[tuple[str, str]]:
    """The pairs of which a whole report says that one is better."""
    models = sorted(sample.cells[:-1], key=lambda cell: -cell.value(metric))
    design = Design(metric, resamples=1, permutations=PERMUTATIONS, detailed=False)
    found = hold_entrants(models, sample.cells[-1:], design)
    shown = {(e.contest.a, e.contest.b) for e in found.comparisons if e.claim.shown}
    for name, verdicts in found.against.items():
        shown |= {(name, v.baseline) for v in verdicts if v.verdict.value in ("better", "worse")}
    return shown


def stopped(sample: Drawn) -> bool:
    """Whether looks after every item claim anything of equal cells."""
    cells = len(sample.cells) - 1
    alpha = ALPHA / family_size(cells, 1)
    for i, j in combinations(range(cells + 1), 2):
        scores = sample.right[i].astype(np.int64) - sample.right[j]
        if decide(scores, alpha=alpha)[0] is not Decision.UNDECIDED:
            return True
    return False


# False claims


@dataclass(frozen=True, slots=True)
class Claimed:
    """Of one report of equal cells, whether anything is claimed."""

    cells: int
    metric: str
    share: float
    together: bool
    first_alone: bool
    """By the own test of the first cell and each other one."""
    early: bool


def equal(cells: int, share: float, n: int, seeds: range) -> list[Claimed]:
    """Reports of equal cells."""
    found = []
    for seed in seeds:
        sample = drawn(seed, cells, n, share=share)
        early = stopped(sample)
        for metric in METRICS:
            pairs = said(sample, metric)
            if seed < WHOLE:
                shown = {(each.a, each.b) for each in pairs if each.shown}
                assert shown == said_whole(sample, metric)
            first = max(sample.cells[:-1], key=lambda cell: cell.value(metric)).name
            alone = any(each.alone for each in pairs if first in (each.a, each.b))
            together = any(each.shown for each in pairs)
            found.append(Claimed(cells, metric, share, together, alone, early))
    return found


def false_claims(samples: int, n: int = 100) -> Section[list[Claimed]]:
    """How often equal cells are told apart."""

    def print_(found: list[list[Claimed]]) -> None:
        flat = [each for part in found for each in part]
        heads = ["right", "cells", "accuracy", "macro-F1", "uncorrected", "--stop-early"]
        rows = []
        for share in SHARES:
            for cells in CELLS:
                those = [x for x in flat if (x.share, x.cells) == (share, cells)]
                rows.append([f"{share:g}", f"{cells}", *_shares(those)])
        rows.append(["all", "all", *_shares(flat)])
        show(f"Equal cells of {n} items of which something is claimed (at most 5%)", heads, rows)

    jobs = [
        partial(equal, cells, share, n, seeds)
        for share in SHARES
        for cells in CELLS
        for seeds in parts(samples // 2 if cells == max(CELLS) else samples, 400 // cells)
    ]
    return Section("false claims", jobs, print_)


def _shares(those: Sequence[Claimed]) -> list[str]:
    of = {metric: [x for x in those if x.metric == metric] for metric in METRICS}
    return [
        *(with_error([x.together for x in of[metric]]) for metric in METRICS),
        with_error([x.first_alone for x in of["macro_f1"]]),
        with_error([x.early for x in of["accuracy"]]),
    ]


# Power


def behind(cells: int, n: int, seeds: range) -> list[Said]:
    """Pairs of the cell that is ahead by ten points with each other one."""
    samples = (drawn(seed, cells, n, ahead=0.1) for seed in seeds)
    return [x for sample in samples for x in said(sample, "accuracy") if "c0" in (x.a, x.b)]


def power(samples: int, n: int = 300) -> Section[list[Said]]:
    """How often a cell that is behind by ten points is shown to be."""

    def print_(found: list[list[Said]]) -> None:
        rows = []
        for cells, those in zip(CELLS, _in_order(found, len(CELLS)), strict=True):
            shares = [np.mean([x.shown for x in those]), np.mean([x.alone for x in those])]
            rows.append([f"{cells}", *(percent(float(share)) for share in shares)])
        heads = ["cells", "shown", "uncorrected"]
        show(f"Cells behind by 10 points on {n} items", heads, rows)

    jobs = [partial(behind, cells, n, seeds) for cells in CELLS for seeds in _quarters(samples)]
    return Section("power", jobs, print_)


# Winners


def first_of(cells: int, n: int, seeds: range) -> list[Winner]:
    """The first cell of each report of equal ones."""
    found = []
    for seed in seeds:
        models = drawn(seed, cells, n).cells[:-1]
        best = winner(models, "accuracy", seed=0, resamples=400)
        assert best is not None
        found.append(best)
    return found


def winners(samples: int, n: int = 100) -> Section[list[Winner]]:
    """What the first cell's value is above the true one."""

    def print_(found: list[list[Winner]]) -> None:
        rows = []
        for cells, known in zip(CELLS, _in_order(found, len(CELLS)), strict=True):
            raw = np.mean([each.value - SHARES[0] for each in known])
            less = np.mean([each.corrected.value - SHARES[0] for each in known])
            holds = [
                (x.corrected.low or 0.0) <= SHARES[0] <= (x.corrected.high or 0.0) for x in known
            ]
            rows.append([f"{cells}", f"{raw:+.3f}", f"{less:+.3f}", with_error(holds)])
        heads = ["cells", "value", "less its luck", "interval holds"]
        show(f"The first of equal cells on {n} items: above the truth", heads, rows)

    jobs = [partial(first_of, cells, n, seeds) for cells in CELLS for seeds in _quarters(samples)]
    return Section("winners", jobs, print_)


def _quarters(samples: int) -> list[range]:
    return parts(samples, max(1, -(-samples // 4)))


def _in_order(found: list[list[Each]], kinds: int) -> list[list[Each]]:
    """What each kind's jobs found, joined."""
    each = len(found) // kinds
    return [list(chain(*found[i * each : (i + 1) * each])) for i in range(kinds)]
