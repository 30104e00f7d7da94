"""Progress bars: of a run, with its macro-F1 so far, of a training, and of what is counted."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

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

from gateway.cli.common import err, reading
from gateway.report.format import shorten

if TYPE_CHECKING:
    from rich.status import Status

    from gateway.core.concurrency import Counting
    from gateway.evaluation.run import OnProgress, Plan, Progress, Watch
    from gateway.tuning.checkpoint import Logged
    from gateway.tuning.heldout import HeldOut
    from gateway.tuning.tune import Estimate

NOISE_FLOOR = "noise floor"
"""Stands where a cell does, of what is asked a second time."""

_NO_ANSWER = "\0"
_WIDE, _NARROW = 110, 72
"""Columns of a terminal from which on there is room for long words, and below which for few."""
_SHORTEST_NAME = 16
_PERIOD_S = 300.0
"""Of which the speed is taken: an answer may take a minute."""


def bars_on(console: Console, *more: ProgressColumn, quiet: bool = False) -> Bars:
    """Bars for a terminal, each with its count, its speed and the time left; none elsewhere."""
    return Bars(
        TextColumn("{task.description}"),
        BarColumn(40 if console.width >= _WIDE else None),
        _Count(),
        _Rate(),
        TimeRemainingColumn(),
        *more,
        console=console,
        disable=quiet or not console.is_terminal,
        speed_estimate_period=_PERIOD_S,
    )


@contextmanager
def counted(
    what: str, total: int, console: Console, *, quiet: bool = False
) -> Iterator[Callable[[], None]]:
    """A bar on a terminal while the block runs; what it gives is called after each one."""
    with staged(console, quiet=quiet) as begin:
        yield begin(what, total)


def counter(what: str, *, quiet: bool = False) -> "Counting":
    """`counted` on standard error, of what only the work itself can say how many there are."""
    return lambda total: counted(what, total, err, quiet=quiet)


@contextmanager
def staged(
    console: Console, *, quiet: bool = False
) -> Iterator[Callable[[str, int], Callable[[], None]]]:
    """Bars on a terminal while the block runs, one for each stage: called with a stage's name and
    how many there are, what it gives answers what is called after each one."""
    bars = bars_on(console, quiet=quiet)

    def begin(what: str, total: int) -> Callable[[], None]:
        return partial(bars.advance, bars.add_task(what, total=total))

    with bars:
        yield begin


def encoding(status: "Status", *, quiet: bool = False) -> "Counting":
    """Counts texts that are encoded while data is read: a bar instead of the words."""

    def counting(total: int) -> AbstractContextManager[Callable[[], None]]:
        status.stop()
        return counted("texts encoded", total, err, quiet=quiet)

    return counting


@contextmanager
def watched(*, quiet: bool = False, scored: bool = True) -> Iterator[tuple["Watch", "Counting"]]:
    """Says that data is read until something is asked, then draws the progress of it, then says
    that the answers are scored. The second counts what is encoded before."""
    with reading() as status:

        @contextmanager
        def watch(plan: "Plan") -> Iterator["OnProgress"]:
            status.stop()
            with RunProgress(planned([plan]), err, quiet=quiet, scored=scored) as progress:
                yield progress.update
            status.update("scoring the answers" if scored else "reading the answers")
            status.start()

        yield watch, encoding(status, quiet=quiet)


def planned(plans: "Sequence[Plan]") -> dict[str, int]:
    """Cell -> how many items it is asked, those that its rules are fitted on included."""
    from gateway.evaluation.run import calibration_items

    return {
        f"{model}/{strategy.name}": len(plan.items)
        + len(calibration_items(plan, strategy.template.mode))
        for plan in plans
        for model in plan.models
        for strategy in plan.strategies
    }


class Drawing:
    """Bars on a terminal while the block runs; one without an end until something is counted.

    Elsewhere, or when `quiet`, none.
    """

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._bars = bars_on(console, TextColumn("{task.fields[running]}"), quiet=quiet)
        self._loading: TaskID | None = None

    def __enter__(self) -> Self:
        self._bars.__enter__()
        self._loading = self._bars.add_task("loading", total=None, running="")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.__exit__(kind, error, trace)

    def _add(self, name: str, total: int, done: int = 0) -> TaskID:
        """A bar of what is counted, of which so many are done already."""
        if self._loading is not None:
            self._bars.remove_task(self._loading)
            self._loading = None
        return self._bars.add_task(name, total=total, completed=done, running="")


class TuningProgress(Drawing):
    """Bars of a training: its loss, the held-out score, and the time left."""

    _score = ""

    def begin(self, estimate: "Estimate", held_out: int) -> None:
        """Draw the bars, the steps that a checkpoint has already counted as done."""
        self._steps = self._add("steps", estimate.steps_in_all, estimate.from_step)
        self._items = self._add("held out", held_out)

    def step(self, logged: "Logged") -> None:
        """Take one step."""
        self._bars.update(self._steps, advance=1, running=f"loss {logged.loss:.3f}{self._score}")

    def held_out(self) -> None:
        """Take one held-out example."""
        self._bars.advance(self._items)

    def end_epoch(self, found: "HeldOut") -> None:
        """Take the score of an epoch."""
        self._score = "" if found.macro_f1 is None else f", macro-F1 {found.macro_f1:.3f}"
        self._bars.reset(self._items)


class RunProgress(Drawing):
    """Draws on a console while the block runs; draws nothing when `quiet`.

    What the store had already is counted as done, and told apart: the speed and the time left are
    those of what is asked now. Off a terminal it prints one line a cell: when the cell ends, or, of
    cells that do not come to their end, when the block does.

    Args:
        totals: as `planned` has them; `NOISE_FLOOR` for what is asked again.
        scored: show the macro-F1 so far, where the data has labels.
    """

    def __init__(
        self,
        totals: Mapping[str, int],
        console: Console,
        *,
        quiet: bool = False,
        scored: bool = True,
    ) -> None:
        super().__init__(console, quiet=quiet)
        self._totals = totals
        self._console = console
        self._quiet = quiet
        self._scored = scored
        self._tasks: dict[str, TaskID] = {}
        self._done: dict[str, set[tuple[str, str]]] = {}
        self._stored: Counter[str] = Counter()
        self._seen: dict[str, tuple[list[str], list[str]]] = {}

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        for name, done in self._done.items():
            if len(done) < self._totals[name]:
                self._say(f"{name}: {len(done)} of {self._totals[name]} done{self._kept(name)}")

    def update(self, event: "Progress") -> None:
        """Take one event of the runner."""
        name = NOISE_FLOOR if event.purpose == "again" else event.cell.name
        total = self._totals[name]
        if name not in self._tasks:
            self._begin(name, total)
        # What a rule is fitted on is met again with every batch of items.
        if (asked := (event.purpose, event.item.id)) in self._done[name]:
            return
        self._done[name].add(asked)
        self._count(name, event)
        if len(self._done[name]) == total:
            self._say(f"{name}: {total} done{self._kept(name)}")

    def _begin(self, name: str, total: int) -> None:
        width = self._console.width
        beside = 75 if width >= _WIDE else 56
        shown = shorten(name, max(width - beside, _SHORTEST_NAME))
        self._tasks[name] = self._add(shown, total)
        self._done[name] = set()

    def _count(self, name: str, event: "Progress") -> None:
        bar = self._tasks[name]
        took_time = event.observation is not None
        if not took_time:
            self._stored[name] += event.purpose != "not needed"
            # Past the bar's own count, of which it makes its speed.
            self._bars.tasks[self._bars.task_ids.index(bar)].completed += 1
        running = "" if self._bars.disable else self._running(name, event)
        self._bars.update(bar, advance=int(took_time), running=running)

    def _kept(self, name: str) -> str:
        """How much of a cell is from the store, behind what is done."""
        count, total = self._stored[name], self._totals[name]
        return f", {count} of {total} from the store" if count else ""

    def _say(self, text: str) -> None:
        """Off a terminal, where no bar says it."""
        if not (self._quiet or self._console.is_terminal):
            self._console.print(text, highlight=False, markup=False)

    def _running(self, name: str, event: "Progress") -> str:
        """What stands behind a bar: the score so far, and how much was there before."""
        width = self._console.width
        kept = self._kept(name).removeprefix(", ")
        if kept and width < _WIDE:
            kept = f"{self._stored[name]} stored"
        score = self._score(event) if self._scored and width >= _NARROW else ""
        return "  ".join(filter(None, (score, kept)))

    def _score(self, event: "Progress") -> str:
        """Macro-F1 over the test items of this session, by the plain sum rule."""
        from sklearn.metrics import f1_score

        from gateway.scoring.results import Status

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


class _Count(MofNCompleteColumn):
    """Done and all, where it is known how many these are."""

    def render(self, task: Task) -> Text:
        return Text("") if task.total is None else super().render(task)


class _Rate(ProgressColumn):
    """Items a second, or seconds an item where that is the larger number."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s/item")
