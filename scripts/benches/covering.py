"""How often a cell's own intervals hold the truth: a part of `scripts/bench stats`.

A class with fewer than 10 items is a region that is named: there a report warns, and what holds is
shown apart. At an edge fewer than 5 errors are to be expected, and an interval of whole items may
hold more often than it promises.
"""

from collections.abc import Iterable

from sections import Section, percent, show

from tests.scoring.covering import SIZES, Covered, jobs

LEAST, MOST = 0.93, 0.985
ALLOWED = 2.0
"""Standard errors by which a share may be outside before it is printed."""


def covering(samples: int) -> Section[list[Covered]]:
    """Each metric and size, over all populations: how often the worst and the best one hold."""

    def print_(found: list[list[Covered]]) -> None:
        flat = [each for part in found for each in part]
        title = "95% intervals of a cell that hold the truth (93%, and away from edges to 98.5%)"
        heads = [
            "metric",
            "items",
            "populations",
            "least",
            "most, no edge",
            "least, few of a class",
        ]
        rows = []
        for metric in dict.fromkeys(each.metric for each in flat):
            for n in SIZES:
                those = [each for each in flat if (each.metric, each.n) == (metric, n)]
                rows += [[metric, str(n), str(len(those)), *shares(those)]] if those else []
        show(title, heads, rows)
        show(
            "Outside by more than two standard errors",
            [*heads[:2], "population", "holds"],
            outside(flat, samples),
        )

    return Section("intervals of a cell", jobs(samples), print_)


def shares(those: list[Covered]) -> list[str]:
    """Least and most of those that are held to their promise, and the least of the others."""
    kept = [each for each in those if not each.few]
    return [
        percent(min((each.held for each in kept), default=None)),
        percent(max((each.held for each in kept if not each.edge), default=None)),
        percent(min((each.held for each in those if each.few), default=None)),
    ]


def outside(found: Iterable[Covered], samples: int) -> list[list[str]]:
    """Those that hold less often than they promise, or away from an edge more often."""
    room = ALLOWED * (LEAST * (1 - LEAST) / samples) ** 0.5
    return [
        [each.metric, str(each.n), each.population, percent(each.held)]
        for each in found
        if not each.few
        and (each.held < LEAST - room or (not each.edge and each.held > min(1.0, MOST + room / 2)))
    ]
