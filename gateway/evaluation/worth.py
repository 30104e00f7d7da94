"""What fine-tuning was worth, as plain values."""

from dataclasses import dataclass

from gateway.evaluation.ab.outcome import Outcome, Pair
from gateway.evaluation.perplexity import Reading
from gateway.models.adapters.timings import Took
from gateway.scoring.metrics import LOWER_IS_BETTER
from gateway.scoring.results import CellScore, CellTimings


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one item in one cell; means."""

    cell: str
    prompt: float
    """Tokens of the prompt."""
    evaluated: float
    """Tokens of the prompt and of all labels, kept beginnings among them."""
    seconds: float


@dataclass(frozen=True, slots=True)
class BreakEven:
    """Items after which training has been paid back; None: never, or not known."""

    by_seconds: float | None
    by_tokens: float | None
    """That are read, in training forward and backward."""


@dataclass(frozen=True, slots=True)
class BeforeAfter:
    """A comparison whose last cell is the tuned model, and the others its base's prompts."""

    outcome: Outcome
    costs: tuple[Cost, ...]
    """By cell, in the order in which they were asked."""
    training: Took | None
    """None: the adapter's folder does not say."""
    readings: tuple[Reading, Reading] | None
    """Of the base and of the tuned model; None: no text was given."""

    @property
    def tuned(self) -> CellScore:
        """The tuned model's cell, under the first rule that it was asked for."""
        return self._cell(self.costs[-1].cell)

    @property
    def best_prompt(self) -> CellScore:
        """The base's cell that does best; of equals the one asked first."""
        metric = self.outcome.metric
        sign = -1 if metric in LOWER_IS_BETTER else 1
        cells = [self._cell(cost.cell) for cost in self.costs[:-1]]
        return max(cells, key=lambda cell: sign * cell.metrics[metric].value)

    @property
    def pair(self) -> Pair:
        """The tuned model against the best prompt."""
        names = (self.tuned.name, self.best_prompt.name)
        pairs = self.outcome.pairs
        return next(p for p in pairs if (p.contest.a, p.contest.b) == names)

    def cost(self, cell: str) -> Cost:
        """Of a cell."""
        return next(cost for cost in self.costs if cost.cell == cell)

    def break_even(self, cell: str) -> BreakEven:
        """After how many items training has been paid back, against a prompt of the base."""
        if self.training is None:
            return BreakEven(None, None)
        prompt, tuned = self.cost(cell), self.costs[-1]
        return BreakEven(
            _paid_back(self.training.seconds, prompt.seconds - tuned.seconds),
            _paid_back(self.training.tokens, prompt.evaluated - tuned.evaluated),
        )

    def _cell(self, name: str) -> CellScore:
        return next(cell for cell in self.outcome.report.cells if cell.name == name)


def _paid_back(spent: float, saved: float) -> float | None:
    return spent / saved if saved > 0 else None


def costs(outcome: Outcome, timings: tuple[CellTimings, ...]) -> tuple[Cost, ...]:
    """Of all cells that models are asked in, in the order of `timings`."""
    scores = {cell.name: cell for cell in outcome.report.cells}
    return tuple(
        Cost(
            each.name,
            scores[each.name].prompt_tokens / each.n,
            scores[each.name].tokens_evaluated / each.n,
            each.total_s / each.n,
        )
        for each in timings
    )
