"""A bench in sections of many jobs, which run side by side, and what each section prints."""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Generic, TypeVar

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

PROCESSES = 2
Result = TypeVar("Result")

out = Console()


@dataclass(frozen=True)
class Section(Generic[Result]):
    """What is measured together."""

    name: str
    jobs: Sequence[Callable[[], Result]]
    """Each can run in a process of its own; what they draw does not depend on the others."""
    show: Callable[[list[Result]], None]
    """Print what they found, in their order."""

    def run(self, pool: ProcessPoolExecutor) -> None:
        """Run all jobs, then print; meanwhile it is said how far it is."""
        begun = time.perf_counter()
        asked = [pool.submit(_timed, job) for job in self.jobs]
        tenth = max(1, len(asked) // 10)
        with Progress(console=out, transient=True, disable=not out.is_terminal) as progress:
            task = progress.add_task(self.name, total=len(asked))
            for count, _ in enumerate(as_completed(asked), start=1):
                progress.advance(task)
                if not out.is_terminal and count % tenth == 0:
                    out.print(f"{self.name}: {count} of {len(asked)} jobs")
        done = [each.result() for each in asked]
        self.show([result for _, result in done])
        cpu, wall = sum(seconds for seconds, _ in done), time.perf_counter() - begun
        out.print(f"{self.name}: {cpu:.0f} s of CPU, {wall:.0f} s by the clock\n")


def _timed(job: Callable[[], Result]) -> tuple[float, Result]:
    begun = time.process_time()
    result = job()
    return time.process_time() - begun, result


def parts(samples: int, of: int) -> list[range]:
    """The seeds of so many samples, in parts of at most `of`."""
    return [range(first, min(first + of, samples)) for first in range(0, samples, of)]


def show(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table."""
    table = Table(title=title, title_justify="left")
    for i, head in enumerate(heads):
        table.add_column(head, justify="right" if i else "left")
    for row in rows:
        table.add_row(*row)
    out.print(table)


def percent(share: float | None) -> str:
    """With one digit."""
    return "–" if share is None else f"{100 * share:.1f}%"


def with_error(found: Sequence[bool]) -> str:
    """The share that is true, and its standard error."""
    share = sum(found) / len(found)
    return f"{100 * share:.1f}% ± {100 * (share * (1 - share) / len(found)) ** 0.5:.1f}"
