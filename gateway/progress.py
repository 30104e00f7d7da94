"""Progress bars: of a run, with its macro-F1 so far, and of anything that is counted."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text
from sklearn.metrics import f1_score

from gateway.results import Status
from gateway.runner import Plan, Progress, calibration_items

NOISE_FLOOR = "noise floor"
"""Stands where a cell does, of what is asked a second time."""

_NO_ANSWER = "\0"


@contextmanager
def counted(
    what: str, total: int, console: Console, *, quiet: bool = False
) -> Iterator[Callable[[], None]]:
    """A bar on a terminal while the block runs; what it gives is called after each one."""
    with staged(console, quiet=quiet) as begin:
        yield begin(what, total)


@contextmanager
def staged(
    console: Console, *, quiet: bool = False
) -> Iterator[Callable[[str, int], Callable[[], None]]]:
    """Bars on a terminal while the block runs, one for each stage: called with a stage's name and
    how many there are, what it gives answers what is called after each one."""
    bars = Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
    )

    def begin(what: str, total: int) -> Callable[[], None]:
        return partial(bars.advance, bars.add_task(what, total=total))

    with bars:
        yield begin


def planned(plans: Sequence[Plan]) -> dict[str, int]:
    """Cell -> how many items it is asked, those that its rules are fitted on included."""
    return {
        f"{model}/{strategy.name}": len(plan.items)
        + len(calibration_items(plan, strategy.template.mode))
        for plan in plans
        for model in plan.models
        for strategy in plan.strategies
    }


class RunProgress:
    """Draws on a console while the block runs; draws nothing when `quiet`.

    Off a terminal it prints one line a cell: when the cell ends, or, of cells that do not come to
    their end, when the block does.

    Args:
        totals: as `planned` has them; `NOISE_FLOOR` for what is asked again.
    """

    def __init__(self, totals: Mapping[str, int], console: Console, *, quiet: bool = False) -> None:
        self._totals = totals
        self._console = console
        self._quiet = quiet
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[running]}"),
            console=console,
            disable=quiet or not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._done: dict[str, set[tuple[str, str]]] = {}
        self._seen: dict[str, tuple[list[str], list[str]]] = {}

    def __enter__(self) -> Self:
        self._bars.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.__exit__(kind, error, trace)
        for name, done in self._done.items():
            if len(done) < self._totals[name]:
                self._say(f"{name}: {len(done)} of {self._totals[name]} done")

    def update(self, event: Progress) -> None:
        """Take one event of the runner."""
        name = NOISE_FLOOR if event.purpose == "again" else event.cell.name
        total = self._totals[name]
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=total, running="")
            self._done[name] = set()
        # What a rule is fitted on is met again with every batch of items.
        if (asked := (event.purpose, event.item.id)) in self._done[name]:
            return
        self._done[name].add(asked)
        self._bars.update(self._tasks[name], advance=1, running=self._running(event))
        if len(self._done[name]) == total:
            self._say(f"{name}: {total} done")

    def _say(self, text: str) -> None:
        """Off a terminal, where no bar says it."""
        if not (self._quiet or self._console.is_terminal):
            self._console.print(text, highlight=False, markup=False)

    def _running(self, event: Progress) -> str:
        """Macro-F1 over the test items of this session, by the plain sum rule."""
        golds, answers = self._seen.setdefault(event.cell.name, ([], []))
        answer = event.observation
        if answer is not None and event.purpose == "test" and isinstance(event.item.gold, str):
            golds.append(event.item.gold)
            if answer.status is not Status.OK:
                answers.append(_NO_ANSWER)
            elif answer.labels:
                scores = dict(zip(answer.labels, answer.logprobs, strict=True))
                answers.append(max(answer.labels, key=scores.__getitem__))
            else:
                answers.append(str(answer.answer))
        if not golds:
            return ""
        present = sorted(set(golds) | (set(answers) - {_NO_ANSWER}))
        value = f1_score(golds, answers, labels=present, average="macro", zero_division=0.0)
        return f"macro-F1 {value:.2f}"


class _Rate(ProgressColumn):
    """Items a second, or seconds an item where that is the larger number."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s/item")
