"""Bars of a training: its loss, the held-out score, and the time left."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import TaskID, TextColumn

from gateway.cli.progress import bars_on, begin_loading
from gateway.tuning.checkpoint import Logged
from gateway.tuning.heldout import HeldOut
from gateway.tuning.tune import Estimate


class TuningProgress:
    """Draws on a terminal while the block runs; elsewhere, or when `quiet`, nothing."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._bars = bars_on(console, TextColumn("{task.fields[running]}"), quiet=quiet)
        self._loading: TaskID | None = None
        self._score = ""

    def __enter__(self) -> Self:
        self._bars.__enter__()
        self._loading = begin_loading(self._bars)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.__exit__(kind, error, trace)

    def begin(self, estimate: Estimate, held_out: int) -> None:
        """Draw the bars, the steps that a checkpoint has already counted as done."""
        if self._loading is not None:
            self._bars.remove_task(self._loading)
            self._loading = None
        self._steps = self._bars.add_task(
            "steps", total=estimate.steps_in_all, completed=estimate.from_step, running=""
        )
        self._items = self._bars.add_task("held out", total=held_out, running="")

    def step(self, logged: Logged) -> None:
        """Take one step."""
        self._bars.update(self._steps, advance=1, running=f"loss {logged.loss:.3f}{self._score}")

    def held_out(self) -> None:
        """Take one held-out example."""
        self._bars.advance(self._items)

    def end_epoch(self, found: HeldOut) -> None:
        """Take the score of an epoch."""
        self._score = "" if found.macro_f1 is None else f", macro-F1 {found.macro_f1:.3f}"
        self._bars.reset(self._items)
