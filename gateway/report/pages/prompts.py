"""Tasks with their strategies, and rubrics."""

from collections.abc import Iterator
from pathlib import Path

from gateway.evaluation.judge.rubric import GRADES, list_rubrics, load_rubric
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
