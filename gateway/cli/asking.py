"""Asking a prepared run, with a progress bar: what `gateway run` does with and without a file."""

from typing import Any

from gateway.cli.common import err


async def ask(prepared: Any, models: Any, store: Any, *, quiet: bool) -> Any:
    """Ask what the store does not know yet; the record of the run, which is put there too."""
    from gateway.backends.pool import ModelPool
    from gateway.cli.progress import RunProgress, planned
    from gateway.evaluation import plan
    from gateway.evaluation.run import run as run_plan

    pool = ModelPool(models)
    try:
        with RunProgress(planned([prepared.plan]), err, quiet=quiet) as progress:
            cells = await run_plan(prepared.plan, pool, store, progress.update)
    finally:
        await pool.close()
    record = plan.record(prepared, cells)
    store.put_run(record.run_id, record.task, record.to_json())
    return record
