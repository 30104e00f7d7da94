"""Tasks and rubrics, and the text that a model reads."""

from collections.abc import Iterator
from pathlib import Path

from gateway.backends.pool import ModelPool
from gateway.core.errors import DataError
from gateway.evaluation.judge.rubric import GRADES, list_rubrics, load_rubric
from gateway.evaluation.plan import Prepared
from gateway.evaluation.run import question
from gateway.models.file import Models
from gateway.models.spec import ModelSpec
from gateway.report.format import ABSENT
from gateway.report.sections import Section, by_rows
from gateway.tasks.prompts import list_strategies, load_template
from gateway.tasks.task import list_tasks, load_task


def listing(root: Path) -> Section:
    """One row a task and strategy, and one a rubric."""
    heads = ("task", "kind", "strategy", "mode", "labels")
    rows = [*_tasks(root), *_rubrics(root)]
    return Section(tables=(by_rows(heads, rows),), lines=(f"tasks from: {root}",))


def _tasks(root: Path) -> Iterator[tuple[str, ...]]:
    for name in list_tasks(root):
        task = load_task(name, root)
        labels = ", ".join(label.name for label in task.labels) or "from the data"
        shown = labels if task.kind == "classification" else ABSENT
        strategies = list_strategies(task, root)
        for strategy in strategies:
            mode = load_template(task, strategy, root).mode
            yield name, task.kind, strategy, mode, shown
        if not strategies:
            yield name, task.kind, "none yet", ABSENT, shown


def _rubrics(root: Path) -> Iterator[tuple[str, ...]]:
    for name in list_rubrics(root):
        template = load_rubric(name, root).template
        yield name, "rubric", template.strategy, template.mode, ", ".join(GRADES)


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
    pool = ModelPool(Models({spec.name: spec}, spec.name))
    async with pool.lease(spec.name) as backend:
        asked = question(prepared.plan.task, prepared.plan.labels, strategy, backend, item)
        text = backend.render(asked.request)
    await pool.close()
    lines = [f"item {item.id}: {len(text.token_ids)} tokens"]
    for field, (before, after) in asked.prompt.shortened.items():
        lines.append(f"{field} shortened from {before} to {after} tokens")
    if strategy.template.reasoning_tokens:
        lines.append(
            f"the model reasons up to {strategy.template.reasoning_tokens} tokens; then follows "
            f"{asked.prompt.answer_start!r}"
        )
    return text.text, Section(lines=tuple(lines))
