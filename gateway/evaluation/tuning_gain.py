"""What fine-tuning was worth: the base's prompts, and the base with the adapter, on the same items.

The base is also asked with the template that the adapter was trained with, so that what tuning did
and what the template did are told apart.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.backends.pool import ModelPool
from gateway.core.errors import ComparisonRefused, ConfigError, Unsupported
from gateway.engine.in_process import EngineBackend
from gateway.evaluation.ab.needs import with_perplexity
from gateway.evaluation.ab.outcome import Outcome
from gateway.evaluation.compare import CellPlan, CompareOptions, CompareResult, plan_cells
from gateway.evaluation.perplexity import Reading, read
from gateway.models.adapters.card import Card, RecordedPrompt
from gateway.models.adapters.folder import card_of
from gateway.models.adapters.timings import Took, took_of
from gateway.models.file import Models
from gateway.quantization.chunks import read_text
from gateway.scoring.contest import Comparison
from gateway.scoring.report import best_first
from gateway.scoring.results import CellScore, CellTimings
from gateway.tasks.prompts import load_template
from gateway.tasks.task import load_task


@dataclass(frozen=True, slots=True)
class WorthPlan:
    """What is asked: of the cells the last one is the tuned model's."""

    cells: CellPlan
    text: str
    """The neutral one; empty: none."""
    training: Took | None
    warning: str = ""


def plan_worth(
    folder: Path,
    base: str,
    strategies: Sequence[str],
    options: CompareOptions,
    models: Models,
    *,
    neutral: Path | None = None,
) -> WorthPlan:
    """Read the adapter's card, the task and template that it records, and the data.

    Args:
        folder: of the adapter.
        base: entry of its base.
        strategies: prompts of the base; the first is before.
        options: its task and cells are put in from the card.
        neutral: a text from elsewhere, to see what was forgotten of it.

    Raises:
        ConfigError, DataError: before any model is loaded; the card does not say.
    """
    recorded = _recorded(card_of(folder), folder.name)
    text = read_text(neutral) if neutral else ""
    before = [f"{base}/{each}" for each in dict.fromkeys([*strategies, recorded.strategy])]
    cells = [*before, f"{base}+{folder.name}/{recorded.strategy}"]
    return WorthPlan(
        cells=plan_cells(replace(options, cells=cells, task=recorded.task), models),
        text=text,
        training=took_of(folder),
        warning=_of_another_template(recorded, options.prompts),
    )


def _recorded(card: Card | None, name: str) -> RecordedPrompt:
    """What the adapter's card says of the template."""
    if card is None or card.prompt is None:
        raise ConfigError(
            f"the card of {name} does not say on which task and template it was trained",
            hint="gateway ab compares any cells: gateway ab BASE BASE+NAME/STRATEGY -t TASK ...",
        )
    return card.prompt


def _of_another_template(recorded: RecordedPrompt, prompts: Path) -> str:
    task = load_task(recorded.task, prompts)
    digest = load_template(task, recorded.strategy, prompts).digest
    if not recorded.digest or digest == recorded.digest:
        return ""
    return (
        f"the template {recorded.strategy} of {task.name} is not the one that the adapter was "
        "trained with"
    )


async def readings(
    plan: WorthPlan, begin: Callable[[str, int], Callable[[], None]]
) -> tuple[Reading, Reading] | None:
    """The neutral text as the base and the tuned model predict it; None without a text.

    Args:
        begin: told what is read and how many chunks there are; answers what is called after each.

    Raises:
        Unsupported: another server runs the model.
        DataError: the text is shorter than one chunk.
    """
    if not plan.text:
        return None

    async def reading(pool: ModelPool, name: str) -> Reading:
        async with pool.lease(name) as backend:
            if not isinstance(backend, EngineBackend):
                raise Unsupported(f"the perplexity of {name}, which another server runs")
            return await read(backend, plan.text, lambda count: begin(f"text, {name}", count))

    base, *_, tuned = (cell.model for cell in plan.cells.criterion.cells)
    async with ModelPool(plan.cells.models) as pool:
        return await reading(pool, base), await reading(pool, tuned)


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
        """The base's cell that does best; of equals the one asked first.

        Raises:
            ComparisonRefused: none has the metric.
        """
        cells = [self._cell(cost.cell) for cost in self.costs[:-1]]
        ranked = best_first(cells, self.outcome.metric)
        if not ranked:
            raise ComparisonRefused(f"no prompt of the base has a metric {self.outcome.metric!r}")
        return ranked[0]

    @property
    def comparison(self) -> Comparison:
        """The tuned model against the best prompt.

        Raises:
            ComparisonRefused: one of the two has no such metric.
        """
        names = (self.tuned.name, self.best_prompt.name)
        for each in self.outcome.pairs:
            if (each.contest.a, each.contest.b) == names:
                return each
        refused = self.outcome.not_compared
        why = (each.why for each in refused if (each.a, each.b) == names)
        raise ComparisonRefused(next(why, f"{' and '.join(names)} are not compared"))

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


def before_after(
    plan: WorthPlan, compared: CompareResult, read_by: tuple[Reading, Reading] | None
) -> BeforeAfter:
    """What a comparison and the readings of a text say of the adapter."""
    outcome = compared.outcome
    found = BeforeAfter(outcome, costs(outcome, compared.timings), plan.training, read_by)
    if read_by is None or found.tuned.name not in outcome.needs:
        return found
    before, after = (each.perplexity.value for each in read_by)
    needs = with_perplexity(outcome.needs, found.tuned.name, after / before)
    return replace(found, outcome=replace(outcome, needs=needs))


def costs(outcome: Outcome, timings: Sequence[CellTimings]) -> tuple[Cost, ...]:
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
