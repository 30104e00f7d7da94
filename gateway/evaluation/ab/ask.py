"""Asking the cells of a comparison: through the run's own loop and store, so that nothing that was
asked before is asked again."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.backends.pool import ModelPool
from gateway.backends.protocol import Backend
from gateway.core.errors import ModelLoadError
from gateway.evaluation.ab.cells import CellName
from gateway.evaluation.plan import Prepared
from gateway.evaluation.run import Cell, OnProgress, Plan, run
from gateway.evaluation.store import Observation, Store
from gateway.models.gguf_parts import files_of
from gateway.models.locate import weights_path
from gateway.models.spec import ModelSpec
from gateway.quantization.stored_weights import Held, held_by
from gateway.scoring.sequential import seeded_order
from gateway.tasks.task import Item

MOST_ASKED_AGAIN = 25
"""Items of the noise floor."""
BATCH = 25
"""Items that are asked between two looks, where a comparison may stop early."""

_WEIGHTS = frozenset({".safetensors", ".bin", ".gguf"})
_IN_MEMORY = Path(":memory:")

Decided = Callable[[Sequence[Cell], Sequence[Item]], Awaitable[bool]]
"""Whether the items asked so far decide all that is to be decided."""


@dataclass(frozen=True, slots=True)
class AskedCells:
    """What was asked; the answers are in the store."""

    cells: tuple[Cell, ...]
    """Models and strategies, each once, whatever the rules."""
    items: tuple[Item, ...]
    """Those that were asked, in the order of the data."""
    decided: bool
    """Whether asking ended because everything was decided."""
    again: Mapping[str, Observation]
    """Item digest -> what the reference said when it was asked for the noise floor."""
    memory: Mapping[str, int | None]
    """Model -> bytes while it was loaded; None where a server has it."""


async def ask(
    prepared: Prepared,
    names: Sequence[CellName],
    pool: ModelPool,
    store: Store,
    on_progress: OnProgress,
    decided: Decided | None = None,
) -> AskedCells:
    """Ask the noise floor, then every cell; the reference is the first of `names`.

    Args:
        decided: looked at after every batch of items in the seeded order; None: all are asked.

    Raises:
        ConfigError, BackendError, StoreError: as `gateway.evaluation.run.run`.
    """
    plans = plans_of(prepared, names)
    pool.check(plan.models[0] for plan in plans)
    order = _seeded(prepared)
    again = await _ask_again(plans[0], order[:MOST_ASKED_AGAIN], pool, on_progress)
    memory: dict[str, int | None] = {}
    if decided is None:
        cells = await _ask_all(plans, prepared.plan.items, pool, store, on_progress, memory)
        return AskedCells(cells, prepared.plan.items, False, again, memory)
    for start in range(0, len(order), BATCH):
        so_far = order[: start + BATCH]
        batch = order[start : start + BATCH]
        cells = await _ask_all(plans, batch, pool, store, on_progress, memory)
        if is_decided := await decided(cells, so_far):
            break
    seen = {item.id for item in so_far}
    items = tuple(item for item in prepared.plan.items if item.id in seen)
    return AskedCells(cells, items, is_decided, again, memory)


def plans_of(prepared: Prepared, names: Sequence[CellName]) -> list[Plan]:
    """One plan for each model and strategy, with the rules that are read from its scores; those of
    one model follow each other, so that it is loaded once."""
    strategies = {strategy.name: strategy for strategy in prepared.plan.strategies}
    rules: dict[str, dict[str, list[CellName]]] = {}
    for cell in names:
        rules.setdefault(cell.model, {}).setdefault(cell.strategy, []).append(cell)
    return [
        replace(
            prepared.plan,
            models=(model,),
            strategies=(strategies[strategy],),
            rules=tuple(cell.rule for cell in cells if cell.rule),
        )
        for model, of_model in rules.items()
        for strategy, cells in of_model.items()
    ]


def weights_size(spec: ModelSpec) -> int | None:
    """Bytes of the entry's weights on disk, its adapter's included; None where a server has them.

    Raises:
        ModelNotPulled: the file is absent.
    """
    path = weights_path(spec)
    if path == Path():
        return None
    return _bytes_of(path) + (_bytes_of(spec.adapter) if spec.adapter else 0)


def weights_held(spec: ModelSpec) -> Held | None:
    """What the entry's weights are on disk; None where a server has them, or nothing says.

    Raises:
        ModelNotPulled: the file is absent.
    """
    path = weights_path(spec)
    if path == Path():
        return None
    try:
        return held_by(spec, path)
    except ModelLoadError:
        # A model that is asked was loaded. One whose answers are all in the store was not, and
        # they are compared as well where its file cannot be read any more.
        return None


async def _ask_again(
    plan: Plan, items: Sequence[Item], pool: ModelPool, on_progress: OnProgress
) -> Mapping[str, Observation]:
    """What a cell says to these items in the reverse order, when nothing is kept of it."""
    # Test items alone: what a rule was fitted on is not what is measured here.
    # All labels are finished, since which are not depends on the rules.
    fresh = replace(plan, items=tuple(reversed(items)), rules=(), dev=(), label_search="full")
    store = Store(_IN_MEMORY)
    try:
        cells = await run(
            fresh, pool, store, lambda event: on_progress(replace(event, purpose="again"))
        )
        return store.answers(cells[0].digest)
    finally:
        store.close()


async def _ask_all(
    plans: Sequence[Plan],
    items: Sequence[Item],
    pool: ModelPool,
    store: Store,
    on_progress: OnProgress,
    memory: dict[str, int | None],
) -> tuple[Cell, ...]:
    cells: list[Cell] = []
    for plan in plans:
        async with pool.lease(plan.models[0]) as backend:
            cells += await run(replace(plan, items=tuple(items)), pool, store, on_progress)
            memory[plan.models[0]] = _taken(backend)
    return tuple(cells)


def _seeded(prepared: Prepared) -> list[Item]:
    items = {item.id: item for item in prepared.plan.items}
    return [items[item_id] for item_id in seeded_order(items, prepared.wanted.seed)]


def _taken(backend: Backend) -> int | None:
    used = backend.memory
    return used.weights + used.cache + used.scratch or None


def _bytes_of(path: Path) -> int:
    if path.is_file():
        return sum(file.stat().st_size for file in files_of(path))
    return sum(p.stat().st_size for p in path.rglob("*") if p.suffix in _WEIGHTS and p.is_file())
