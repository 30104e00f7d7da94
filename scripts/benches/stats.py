"""How often what the statistics say is true: samples of populations of which all is known.

cells       what `scripts/benches/covering.py` prints, of half of the samples.
intervals   share of 95% intervals that hold the true difference, which should be 93% to 97%:
            percentile, BCa and widened percentile from the same resamples, of macro-F1 and MAE;
            and the decisive one: widened, or where fewer than 6 items differ the score interval.
margins     share of samples in which a cell is said to be worse by less than it is: at most 5%.
looking     share of runs in which equal cells are told apart, or cells that differ by the margin
            are called equivalent, though every item is looked at: at most 5%. Beside it exact
            McNemar at every item. And how many items a decision takes.
claims      what `scripts/benches/claims.py` prints, of a tenth of the samples.
power       share of samples in which exact McNemar finds a difference, beside what is promised.

    scripts/bench stats [SAMPLES]

SAMPLES: 2000 where none are given. The standard error of a share of 95% is then 0.5 points.
"""

import csv
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import scipy
from claims import claims
from covering import covering
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import binom
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
    Population,
    cell,
    classified,
    coverage,
    drawn_scores,
    estimated,
    false_claims,
)

DATA = Path(__file__).parents[2].parent / "shared" / "data"
RESAMPLES = 1000
SIZES = (150, 300)

out = Console()


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


def populations() -> dict[str, Population]:
    found: dict[str, Population | None] = {
        "F1, equal": classified(BALANCED),
        "F1, 70/20/10": classified(IMBALANCED),
        "F1, quantized": classified(QUANTIZED),
        "F1, hardly": classified(HARDLY),
        "F1, issues": real("issue-reports", ("title", "body"), "label"),
        "F1, 77 intents": real("banking77", ("text",), "category"),
        "MAE, points": estimated(),
    }
    for name, population in found.items():
        if population is None:
            out.print(f"left out: {name}: its data is not in {DATA}")
    return {name: population for name, population in found.items() if population is not None}


def percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def show(title: str, columns: list[str], rows: list[list[str]]) -> None:
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    out.print(table)


def intervals(known: dict[str, Population], samples: int) -> None:
    rows = []
    for name, population in track(known.items(), description="intervals"):
        pairs = population.pairs
        for n in SIZES:
            held = coverage(population, n, samples=samples, resamples=RESAMPLES)
            differing = n * len(pairs.differing) / pairs.n
            row = [name, str(n), f"{differing:.0f}", f"{pairs.estimate:+.3f}"]
            shares = [*(held.bootstrap[method] for method in Method), held.evidence]
            rows.append([*row, *map(percent, shares)])
    columns = ["population", "items", "differ", "truth", "percent.", "BCa", "widened", "decisive"]
    show("95% intervals that hold the truth (93% to 97%)", columns, rows)


def margins(known: dict[str, Population], samples: int) -> None:
    rows = []
    for name, population in track(known.items(), description="margins"):
        if not name.startswith("F1") or population.pairs.estimate <= 0:
            continue
        for n in SIZES:
            share = false_claims(population, n, samples=samples, resamples=RESAMPLES)
            rows.append([name, str(n), f"{population.pairs.estimate:.3f}", percent(share)])
    columns = ["population", "items", "worse by the margin", "said to be less"]
    show("Cells worse by the margin, said to be worse by less (at most 5%)", columns, rows)


def share_of(scores: np.ndarray, what: Callable[[Decision], bool], margin: float | None) -> float:
    return float(np.mean([what(decide(row, margin=margin)[0]) for row in scores]))


def told_apart_by_mcnemar(scores: np.ndarray) -> float:
    """How often exact McNemar falls below 0.05 at any item."""
    wins, losses = (scores == 1).cumsum(axis=1), (scores == -1).cumsum(axis=1)
    p_values = 2 * binom.cdf(np.minimum(wins, losses), wins + losses, 0.5)
    enough = wins + losses >= FEWEST_DECIDING
    return float(((p_values < 0.05) & enough).any(axis=1).mean())


def looking(samples: int) -> None:
    rows = []
    for n, discordance in track(
        [(n, d) for n in (300, 1000) for d in (0.03, 0.1, 0.3)], description="looking"
    ):
        equal = drawn_scores(discordance, 0.0, (samples, n), seed=n)
        margin = min(0.05, discordance / 2)
        apart = drawn_scores(discordance, margin, (samples, n), seed=n)
        rows.append(
            [
                str(n),
                percent(discordance),
                percent(share_of(equal, lambda d: d is not Decision.UNDECIDED, None)),
                percent(told_apart_by_mcnemar(equal)),
                f"{margin:g}",
                percent(share_of(apart, lambda d: d is Decision.EQUIVALENT, margin)),
                percent(share_of(apart, lambda d: d is Decision.B_BETTER, margin)),
            ]
        )
    columns = [
        "items",
        "discord",
        "equal: apart",
        "by McNemar",
        "margin apart",
        "equivalent",
        "other way",
    ]
    show("False decisions when every item is looked at (at most 5%)", columns, rows)


def savings(samples: int) -> None:
    rows = []
    n = 1000
    for discordance, difference, margin in (
        (0.3, 0.2, None),
        (0.2, 0.1, None),
        (0.15, 0.07, None),
        (0.1, 0.0, 0.05),
        (0.03, 0.0, 0.03),
        (0.0, 0.0, 0.02),
    ):
        drawn = drawn_scores(discordance, difference, (min(samples, 500), n), seed=7)
        found = [decide(row, margin=margin) for row in drawn]
        decided = [looks for decision, looks in found if decision is not Decision.UNDECIDED]
        rows.append(
            [
                percent(discordance),
                f"{difference:g}",
                "-" if margin is None else f"{margin:g}",
                percent(len(decided) / len(found)),
                f"{np.median(decided):.0f}" if decided else "-",
            ]
        )
    columns = ["discord", "truth", "margin", "decided", "median items"]
    show(f"Items that a decision takes, of {n}", columns, rows)


def power(samples: int) -> None:
    rows = []
    for n, discordance in ((150, 0.25), (300, 0.15), (300, 0.06)):
        smallest = smallest_difference(n, discordance).smallest
        for difference in (0.0, smallest or discordance):
            drawn = drawn_scores(discordance, difference, (5 * samples, n), seed=n)
            wins, losses = (drawn == 1).sum(axis=1), (drawn == -1).sum(axis=1)
            p_values = 2 * binom.cdf(np.minimum(wins, losses), wins + losses, 0.5)
            promised = mcnemar_power(n, discordance, difference)
            row = [str(n), percent(discordance), f"{difference:.3f}"]
            rows.append([*row, percent(promised), percent(float((p_values <= 0.05).mean()))])
    columns = ["items", "discord", "truth", "promised", "found"]
    show("Differences that exact McNemar finds", columns, rows)


def main() -> None:
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    versions = f"Python {platform.python_version()}, numpy {np.__version__}, scipy"
    out.print(f"{samples} samples, {RESAMPLES} resamples: {versions} {scipy.__version__}")
    known = populations()
    claims(out, max(50, samples // 10))
    covering(samples // 2)
    looking(samples)
    savings(samples)
    power(samples)
    margins(known, samples)
    intervals(known, samples)


if __name__ == "__main__":
    main()
