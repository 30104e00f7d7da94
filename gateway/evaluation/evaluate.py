"""`gateway run`: a grid of models and prompts, asked, read and scored."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from gateway.backends.registry import load_models
from gateway.core.concurrency import Work, taking, then_computing
from gateway.evaluation import run as asking
from gateway.evaluation.plan import Prepared, RunOptions, prepare
from gateway.evaluation.plan import record as record_of
from gateway.evaluation.record import RunRecord
from gateway.evaluation.store import Store
from gateway.evaluation.summary import RunResult, result_of
from gateway.models.environment import default_store
from gateway.models.file import Models


@then_computing
@taking(RunOptions)
def run(options: RunOptions) -> Work[Callable[[], RunResult]]:
    """Ask a grid of models and prompt strategies what its store does not know yet.

    Raises:
        ConfigError, DataError: of what is asked, before any model is loaded.
        BackendError: a model failed. What was answered is kept.
    """
    models = load_models(options.models_file).serving(options.models)
    names = tuple(options.models) or (models.default,)
    for name in names:
        models.get(name)
    return _run(prepare(replace(options, models=names)), models)


async def _run(prepared: Prepared, models: Models) -> Callable[[], RunResult]:
    with ExitStack() as opened:
        store = opened.enter_context(Store(prepared.wanted.store or default_store()))
        record = await ask(prepared, models, store, prepared.wanted.watch)
        opened.pop_all()
    return partial(_scored, record, store)


def _scored(record: RunRecord, store: Store) -> RunResult:
    with store:
        return result_of(record, store)


async def ask(
    prepared: Prepared, models: Models, store: Store, watch: asking.Watch = asking.unwatched
) -> RunRecord:
    """Ask what the store does not know yet; the record of the run, which is put there too."""
    cells = await asking.ask(prepared.plan, models, store, watch)
    record = record_of(prepared, cells)
    store.put_run(record.run_id, record.task, record.text)
    return record


def stored(run_id: str, path: Path | None = None) -> RunResult:
    """A run that was asked before; no model is loaded.

    Args:
        run_id: its first digits are enough.
        path: its store; None: the default one.

    Raises:
        StoreError: none or several begin so.
        DataError: answers are missing.
    """
    with Store(path or default_store()) as store:
        _, raw = store.run(run_id)
        return result_of(RunRecord.from_json(raw), store)
