"""The exact text that a model reads for an item."""

from gateway.backends.pool import ModelPool
from gateway.core.errors import DataError
from gateway.evaluation.plan import Prepared
from gateway.evaluation.run import question
from gateway.models.file import Models
from gateway.models.spec import ModelSpec
from gateway.report.sections import Section


async def rendered(prepared: Prepared, spec: ModelSpec, item_id: str) -> tuple[str, Section]:
    """The exact text that the model reads, and what is to be known of it.

    Raises:
        DataError: no item has this id.
    """
    items = {item.id: item for item in prepared.plan.items}
    if item_id and item_id not in items:
        raise DataError(
            f"{prepared.data.path}: no item has the id {item_id!r}",
            hint=f"the first ids: {', '.join(list(items)[:5])}",
        )
    item = items[item_id] if item_id else prepared.plan.items[0]
    strategy = prepared.plan.strategies[0]
    models = Models({spec.name: spec}, spec.name).at_most(1)
    async with ModelPool(models) as pool, pool.lease(spec.name) as backend:
        asked = question(prepared.plan.task, prepared.plan.labels, strategy, backend, item)
        text = backend.render(asked.request)
    lines = [f"item {item.id}: {len(text.token_ids)} tokens"]
    for field, (before, after) in asked.prompt.shortened.items():
        lines.append(f"{field} shortened from {before} to {after} tokens")
    if asked.own is not None:
        behind = asked.own.tags.closing + asked.prompt.answer_start.lstrip()
        lines.append(
            f"the model thinks up to {asked.own.budget} tokens, as it does by itself; then follows "
            f"{behind!r}"
        )
    elif strategy.template.reasoning_tokens:
        lines.append(
            f"the model reasons up to {strategy.template.reasoning_tokens} tokens; then follows "
            f"{asked.prompt.answer_start!r}"
        )
    return text.text, Section(lines=tuple(lines))
