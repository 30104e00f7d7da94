"""How often what the statistics say is true: samples of populations of which all is known.

cells        how often the 95% interval of each metric holds the truth (`covering.py` beside this).
claims       how often equal cells are told apart, what is found of a difference, and the value of
             the first cell (`claims.py`).
differences  share of 95% intervals that hold the true difference, which should be 93% to 97%:
             percentile, BCa and widened percentile from the same resamples, of macro-F1 and MAE;
             and the decisive one: widened, or where fewer than 6 items differ the score interval.
             Beside it the share of samples in which a cell is said to be worse by less than it is:
             at most 5%.
looking      share of runs in which equal cells are told apart, or cells that differ by the margin
             are called equivalent, though every item is looked at: at most 5%. Beside it exact
             McNemar at every item. And how many items a decision takes.
power        share of samples in which exact McNemar finds a difference, beside what is promised.

    scripts/bench stats [--samples N] [SECTION ...]

All sections where none is named. N: 1000 where none is given; a section takes a fixed part or a
multiple of it. The standard error of a share of 95% is 0.7 points of 1000, 1.1 of 400.
"""

import argparse
import csv
import platform
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import claims
import numpy as np
import scipy
from covering import covering
from scipy.stats import binom
from sections import PROCESSES, Section, out, percent, show
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from gateway.scoring.bootstrap import Method
from gateway.scoring.mcnemar import FEWEST_DECIDING
from gateway.scoring.pairing import matched, paired, rights
from gateway.scoring.power import mcnemar_power, smallest_difference
from gateway.scoring.results import Prediction
from gateway.scoring.sequential import Decision, decide
from tests.scoring.simulating import (
    BALANCED,
    HARDLY,
    IMBALANCED,
    QUANTIZED,
    Coverage,
    Population,
    cell,
    classified,
    coverage,
    drawn_scores,
    estimated,
)

DATA = Path(__file__).parents[2].parent / "shared" / "data"
RESAMPLES = 1000
SIZES = (150, 300)


def texts_and_labels(path: Path, text: Sequence[str], label: str) -> tuple[list[str], list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [" ".join(row[key] for key in text) for row in rows], [row[label] for row in rows]


def real(folder: str, text: Sequence[str], label: str) -> Population | None:
    """All test items of a data set, labelled by words alone and by words and pairs of words."""
    paths = [DATA / folder / f"{part}.csv" for part in ("train", "test")]
    if not all(path.is_file() for path in paths):
        return None
    (train, labels), (test, golds) = (texts_and_labels(path, text, label) for path in paths)
    cells: list[list[Prediction]] = []
    for name, pairs in (("a", 2), ("b", 1)):
        words = TfidfVectorizer(ngram_range=(1, pairs), sublinear_tf=True, min_df=2)
        model = LogisticRegression(C=10, max_iter=300).fit(words.fit_transform(train), labels)
        cells.append(cell(name, golds, model.predict(words.transform(test)).tolist()))
    kinds = sorted(set(golds))
    both = paired(*cells, task_kind="classification", labels=kinds, metric="macro_f1")
    right_a, right_b = (rights(items, "classification") for items in matched(*cells))
    return Population(both, right_a, right_b)


POPULATIONS: dict[str, Callable[[], Population | None]] = {
    "F1, equal": partial(classified, BALANCED),
    "F1, 70/20/10": partial(classified, IMBALANCED),
    "F1, quantized": partial(classified, QUANTIZED),
    "F1, hardly": partial(classified, HARDLY),
    "F1, issues": partial(real, "issue-reports", ("title", "body"), "label"),
    "F1, 77 intents": partial(real, "banking77", ("text",), "category"),
    "MAE, points": estimated,
}


@lru_cache(maxsize=1)
def population(name: str) -> Population | None:
    return POPULATIONS[name]()


@dataclass(frozen=True)
class Difference:
    """What is said of the difference of two cells of a population."""

    name: str
    n: int
    differing: float
    truth: float
    held: Coverage


def difference(name: str, samples: int) -> list[Difference]:
    known = population(name)
    if known is None:
        return []
    pairs = known.pairs
    return [
        Difference(
            name,
            n,
            n * len(pairs.differing) / pairs.n,
            pairs.estimate,
            coverage(known, n, samples=samples, resamples=RESAMPLES),
        )
        for n in SIZES
    ]


def differences(samples: int) -> Section[list[Difference]]:
    def print_(found: list[list[Difference]]) -> None:
        for name, of in zip(POPULATIONS, found, strict=True):
            if not of:
                out.print(f"left out: {name}: its data is not in {DATA}")
        heads = ["population", "items", "differ", "truth", "percent.", "BCa", "widened", "decisive"]
        rows = []
        for each in (each for of in found for each in of):
            row = [each.name, str(each.n), f"{each.differing:.0f}", f"{each.truth:+.3f}"]
            row += [percent(each.held.bootstrap[method]) for method in Method]
            claimed = each.truth > 0 and each.name.startswith("F1")
            said = percent(each.held.false_claims) if claimed else "–"
            rows.append([*row, percent(each.held.evidence), said])
        title = "95% intervals that hold the true difference (93% to 97%), and cells worse by a "
        title += "margin that are said to be worse by less (at most 5%)"
        show(title, [*heads, "by less"], rows)

    return Section("differences", [partial(difference, x, samples) for x in POPULATIONS], print_)


def share_of(scores: np.ndarray, what: Callable[[Decision], bool], margin: float | None) -> float:
    return float(np.mean([what(decide(row, margin=margin)[0]) for row in scores]))


def told_apart_by_mcnemar(scores: np.ndarray) -> float:
    """How often exact McNemar falls below 0.05 at any item."""
    wins, losses = (scores == 1).cumsum(axis=1), (scores == -1).cumsum(axis=1)
    p_values = 2 * binom.cdf(np.minimum(wins, losses), wins + losses, 0.5)
    enough = wins + losses >= FEWEST_DECIDING
    return float(((p_values < 0.05) & enough).any(axis=1).mean())


def looked(n: int, discordance: float, samples: int) -> list[str]:
    equal = drawn_scores(discordance, 0.0, (samples, n), seed=n)
    margin = min(0.05, discordance / 2)
    apart = drawn_scores(discordance, margin, (samples, n), seed=n)
    return [
        str(n),
        percent(discordance),
        percent(share_of(equal, lambda d: d is not Decision.UNDECIDED, None)),
        percent(told_apart_by_mcnemar(equal)),
        f"{margin:g}",
        percent(share_of(apart, lambda d: d is Decision.EQUIVALENT, margin)),
        percent(share_of(apart, lambda d: d is Decision.B_BETTER, margin)),
    ]


def looking(samples: int) -> Section[list[str]]:
    heads = ["items", "discord", "equal: apart", "by McNemar", "margin apart", "equivalent"]
    title = "False decisions when every item is looked at (at most 5%)"
    jobs = [partial(looked, n, d, samples) for n in (300, 1000) for d in (0.03, 0.1, 0.3)]
    return Section("looking", jobs, partial(show, title, [*heads, "other way"]))


def saved(discordance: float, difference: float, margin: float | None, samples: int) -> list[str]:
    drawn = drawn_scores(discordance, difference, (samples, 1000), seed=7)
    found = [decide(row, margin=margin) for row in drawn]
    decided = [looks for decision, looks in found if decision is not Decision.UNDECIDED]
    return [
        percent(discordance),
        f"{difference:g}",
        "–" if margin is None else f"{margin:g}",
        percent(len(decided) / len(found)),
        f"{np.median(decided):.0f}" if decided else "–",
    ]


def savings(samples: int) -> Section[list[str]]:
    cases: tuple[tuple[float, float, float | None], ...] = (
        (0.3, 0.2, None),
        (0.2, 0.1, None),
        (0.15, 0.07, None),
        (0.1, 0.0, 0.05),
        (0.03, 0.0, 0.03),
        (0.0, 0.0, 0.02),
    )
    heads = ["discord", "truth", "margin", "decided", "median items"]
    title = "Items that a decision takes, of 1,000"
    jobs = [partial(saved, *case, samples) for case in cases]
    return Section("savings", jobs, partial(show, title, heads))


def powered(n: int, discordance: float, samples: int) -> list[list[str]]:
    rows = []
    for difference in (0.0, smallest_difference(n, discordance).smallest or discordance):
        drawn = drawn_scores(discordance, difference, (samples, n), seed=n)
        wins, losses = (drawn == 1).sum(axis=1), (drawn == -1).sum(axis=1)
        p_values = 2 * binom.cdf(np.minimum(wins, losses), wins + losses, 0.5)
        promised = mcnemar_power(n, discordance, difference)
        row = [str(n), percent(discordance), f"{difference:.3f}", percent(promised)]
        rows.append([*row, percent(float((p_values <= 0.05).mean()))])
    return rows


def power(samples: int) -> Section[list[list[str]]]:
    heads = ["items", "discord", "truth", "promised", "found"]

    def print_(found: list[list[list[str]]]) -> None:
        rows = [row for part in found for row in part]
        show("Differences that exact McNemar finds", heads, rows)

    cases = ((150, 0.25), (300, 0.15), (300, 0.06))
    return Section("power", [partial(powered, *case, samples) for case in cases], print_)


SECTIONS: dict[str, Callable[[int], list[Section[Any]]]] = {
    "cells": lambda n: [covering(n * 2 // 5)],
    "claims": lambda n: [claims.false_claims(n), claims.power(n // 10), claims.winners(n // 2)],
    "differences": lambda n: [differences(n)],
    "looking": lambda n: [looking(n), savings(n // 4)],
    "power": lambda n: [power(10 * n)],
}


def main() -> None:
    parser = argparse.ArgumentParser(description="How often what the statistics say is true.")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--samples", type=int, default=1000)
    asked = parser.parse_args()
    if unknown := set(asked.sections) - set(SECTIONS):
        parser.error(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    if asked.samples < 20:
        parser.error("of fewer than 20 samples no share says anything")
    begun = time.perf_counter()
    out.print(
        f"{asked.samples} samples: {platform.machine()}, Python {platform.python_version()}, "
        f"numpy {np.__version__}, scipy {scipy.__version__}"
    )
    with ProcessPoolExecutor(PROCESSES) as pool:
        for name in asked.sections or SECTIONS:
            for section in SECTIONS[name](asked.samples):
                section.run(pool)
    out.print(f"in all {(time.perf_counter() - begun) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
