"""How often a cell's own intervals hold the truth: a part of `scripts/bench stats`.

A class with fewer than 10 items is a region that is named: there a report warns, and what holds is
shown apart. At an edge fewer than 5 errors are to be expected, and an interval of whole items may
hold more often than it promises.
"""

from concurrent.futures import ProcessPoolExecutor

from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.scoring.covering import SIZES, Covered, jobs

PROCESSES = 2
LEAST, MOST = 0.93, 0.985

out = Console()


def covering(samples: int) -> None:
    """Each metric and size, over all populations: how often the worst and the best one hold."""
    with ProcessPoolExecutor(PROCESSES) as pool:
        done = [pool.submit(job) for job in jobs(samples)]
        found = [each for job in track(done, description="cells") for each in job.result()]
    title = "95% intervals of a cell that hold the truth (93%, and away from edges to 98.5%)"
    columns = ["metric", "items", "populations", "least", "most, no edge", "least, rare class"]
    table = Table(*columns, title=title, title_justify="left")
    for metric in dict.fromkeys(each.metric for each in found):
        for n in SIZES:
            those = [each for each in found if (each.metric, each.n) == (metric, n)]
            if those:
                table.add_row(metric, str(n), str(len(those)), *shares(those))
    out.print(table)
    for each in found:
        if not each.few and (each.held < LEAST or (not each.edge and each.held > MOST)):
            out.print(f"outside: {each.metric}, {each.population}, n = {each.n}: {each.held:.3f}")


def shares(those: list[Covered]) -> list[str]:
    kept = [each for each in those if not each.few]
    return [
        percent(min((each.held for each in kept), default=None)),
        percent(max((each.held for each in kept if not each.edge), default=None)),
        percent(min((each.held for each in those if each.few), default=None)),
    ]


def percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}%"
