"""Cells against each other on labelled items: what `gateway ab` asks, and what it comes to."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from gateway.backends.pool import Loader, ModelPool
from gateway.backends.registry import load_backend, load_models
from gateway.core.concurrency import Counting, Work, taking, then_computing, uncounted
from gateway.evaluation.ab.answers import StoredAnswers
from gateway.evaluation.ab.ask import (
    MOST_ASKED_AGAIN,
    AskedCells,
    ask,
    plans_of,
    weights_held,
    weights_size,
)
from gateway.evaluation.ab.cells import Defaults, model_in, read_cells
from gateway.evaluation.ab.decide import all_decided, outcome_of
from gateway.evaluation.ab.margin import DEFAULT_MARGIN, Criterion, check_margin
from gateway.evaluation.ab.needs import needs_of
from gateway.evaluation.ab.outcome import Outcome
from gateway.evaluation.plan import Prepared, RunOptions, prepare
from gateway.evaluation.run import Cell, OnProgress, Plan
from gateway.evaluation.store import Store
from gateway.models.environment import default_store, prompts_root
from gateway.models.file import Models
from gateway.scoring.metrics import of_label
from gateway.scoring.results import CellTimings
from gateway.tasks.prompts import list_strategies
from gateway.tasks.tables import Columns
from gateway.tasks.task import METRICS, Item, load_task, metric_of

OnLook = Callable[[int, bool], None]
"""Told after each look of how many items were asked, and whether they decide everything."""


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """What is to be compared."""

    cells: Sequence[str]
    """MODEL, MODEL/STRATEGY or MODEL/STRATEGY/RULE; the first is the reference."""
    task: str
    data: str
    """Labelled items."""
    train: str | None = None
    strategy: str = ""
    """Of cells that name none; empty: few_shot, or zero_shot without it."""
    rule: str = "sum"
    """Of cells that name none."""
    metric: str = ""
    """Empty: the task's own."""
    positive: str = ""
    """The label that it is of."""
    margin: float = DEFAULT_MARGIN
    """The largest loss that would not matter, in units of the metric."""
    stop_early: bool = False
    """Take items in a seeded order until every cell is decided."""
    limit: int | None = None
    seed: int = 0
    exemplars: str = ""
    dev_size: int | None = None
    label_search: str = "auto"
    """As `RunOptions.label_search`."""
    columns: Columns = None
    cluster: str = ""
    """Column of the data that says which items belong together."""
    per: str = ""
    """As `RunOptions.per`."""
    encoder: bool | None = None
    """As `RunOptions.encoder`."""
    prompts: Path = field(default_factory=prompts_root)
    store: Path | None = None
    """Where answers are kept as they come; None: in the user's data folder."""
    models_file: Path | None = None
    counting: Counting = field(default=uncounted, repr=False, compare=False)
    """As `RunOptions.counting`."""


@dataclass(frozen=True, slots=True)
class CellPlan:
    """Cells that are to be compared: all is known and nothing is asked yet."""

    prepared: Prepared
    criterion: Criterion
    models: Models
    stop_early: bool = False

    @property
    def plans(self) -> list[Plan]:
        """What is asked, a model and a strategy each."""
        return plans_of(self.prepared, self.criterion.cells)

    @property
    def items(self) -> int:
        """How many items there are."""
        return len(self.prepared.plan.items)

    @property
    def asked_again(self) -> int:
        """Items that the reference is asked twice."""
        return min(MOST_ASKED_AGAIN, self.items)


@dataclass(frozen=True, slots=True)
class CompareResult:
    """What a comparison comes to, and the measured seconds of its cells."""

    outcome: Outcome
    timings: tuple[CellTimings, ...]


def plan_cells(options: CompareOptions, models: Models) -> CellPlan:
    """Read the cells' names, the task and the data.

    Raises:
        ConfigError, DataError: before any model is loaded.
    """
    task = load_task(options.task, options.prompts)
    strategies = list_strategies(task, options.prompts)
    models = models.serving([model_in(name, strategies) for name in options.cells])
    defaults = Defaults(options.strategy, options.rule)
    cells = read_cells(options.cells, models, task, options.prompts, defaults)
    metric = of_label(options.metric or task.metric, options.positive)
    criterion = Criterion(cells, metric, options.margin)
    check_margin(criterion.metric, criterion.margin, task)
    wanted = RunOptions(
        task=options.task,
        data=options.data,
        train=options.train,
        models=tuple(dict.fromkeys(cell.model for cell in cells)),
        strategies=tuple(dict.fromkeys(cell.strategy for cell in cells)),
        prompts=options.prompts,
        limit=options.limit,
        seed=options.seed,
        exemplars=options.exemplars,
        rules=tuple(dict.fromkeys(cell.rule.value for cell in cells if cell.rule)),
        dev_size=options.dev_size,
        label_search=options.label_search,
        columns=options.columns,
        cluster=options.cluster,
        per=options.per,
        encoder=options.encoder,
        counting=options.counting,
    )
    prepared = prepare(wanted)
    if metric in METRICS[task.kind] or ":" in metric:
        metric_of(task, prepared.plan.labels, metric, "")
    return CellPlan(prepared, criterion, models, options.stop_early)


@then_computing
@taking(CompareOptions)
def compare_cells(options: CompareOptions) -> Work[Callable[[], CompareResult]]:
    """Cells of the grid against each other, on the same items.

    Raises:
        ConfigError, DataError: before any model is loaded.
        BackendError: a model failed. What was answered is kept.
        ComparisonRefused: a cell has no such metric.
    """
    return _compare(plan_cells(options, load_models(options.models_file)), options.store)


async def _compare(asked: CellPlan, path: Path | None) -> Callable[[], CompareResult]:
    with ExitStack() as opened:
        store = opened.enter_context(Store(path or default_store()))
        result = await ask_cells(asked, store)
        opened.pop_all()
    return partial(_closing, store, result)


def _closing(store: Store, result: Callable[[], CompareResult]) -> CompareResult:
    with store:
        return result()


async def ask_cells(
    asked: CellPlan,
    store: Store,
    on_progress: OnProgress = lambda _: None,
    on_look: OnLook = lambda _items, _decided: None,
    *,
    loader: Loader = load_backend,
) -> Callable[[], CompareResult]:
    """Ask what is not in the store, and put the run there.

    Args:
        loader: makes a backend of an entry and its file.

    Returns:
        What computes the result from the open store. It raises ComparisonRefused where a cell has
        no such metric.

    Raises:
        ConfigError, BackendError, StoreError: as `gateway.evaluation.run.run`.
    """
    criterion = asked.criterion
    answers = StoredAnswers(asked.prepared, criterion, store)

    def decides(cells: Sequence[Cell], items: Sequence[Item]) -> bool:
        record = answers.record(cells, items)
        return all_decided(answers.predictions(record), record, criterion)

    async def decided(cells: Sequence[Cell], items: Sequence[Item]) -> bool:
        # Beside the loop, which serves the models meanwhile; nothing else uses the store.
        found = await asyncio.to_thread(decides, cells, items)
        on_look(len(items), found)
        return found

    look = decided if asked.stop_early else None
    async with ModelPool(asked.models, loader=loader) as pool:
        answered = await ask(asked.prepared, criterion.cells, pool, store, on_progress, look)
    record = answers.record(answered.cells, answered.items)
    store.put_run(record.run_id, record.task, record.text)
    return partial(_result, asked, answers, answered)


def _result(asked: CellPlan, answers: StoredAnswers, answered: AskedCells) -> CompareResult:
    criterion = asked.criterion
    specs = {cell.model: asked.models.get(cell.model) for cell in criterion.cells}
    sizes = {model: weights_size(spec) for model, spec in specs.items()}
    weights = {model: weights_held(spec) for model, spec in specs.items()}
    planned = asked.items if asked.stop_early else None
    outcome, timings = outcome_of(answers, answered, criterion, sizes, weights, planned=planned)
    baselines = [cell.name for cell in outcome.report.cells if cell.kind == "baseline"]
    needs = needs_of(asked.prepared, criterion.cells, baselines, asked.models)
    return CompareResult(replace(outcome, needs=needs), timings)
