"""`gateway classify`: one text, or every row of a CSV, through the same strategies as a run."""

import asyncio
import csv
import io
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.backends.base import Backend, load_models
from gateway.backends.pool import ModelPool
from gateway.core.digests import canonical_json, digest_json
from gateway.core.errors import ConfigError, DataError
from gateway.core.files import write_atomically
from gateway.core.types import Answer, LabelScores
from gateway.evaluation.run import Strategy, answer, content_free_items
from gateway.models.environment import prompts_root
from gateway.scoring.results import Status
from gateway.scoring.rules import Calibrator, ScoreRule
from gateway.tasks.dataset import load_dataset
from gateway.tasks.exemplars import ExemplarSelector, dev_split
from gateway.tasks.prompts import load_template
from gateway.tasks.tables import Columns, Table, options_of, read_table
from gateway.tasks.task import Dataset, Item, Task, load_task

_DEV_ITEMS = 48


@dataclass(frozen=True, slots=True)
class Asked:
    """How to classify."""

    task: str
    labels: tuple[str, ...] = ()
    model: str | None = None
    strategy: str = "zero_shot"
    train: str | None = None
    rule: str = ""
    columns: Columns = None
    prompts: Path | None = None
    models_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Classified:
    """The answer to one text."""

    status: Status
    answer: Answer | None
    probabilities: Mapping[str, float]
    text: str
    reason: str
    exact: bool
    """False: a probability rests on a bound or an approximation."""
    model: str
    fingerprint: str


def one(asked: Asked, text: str) -> Classified:
    """Classify one text, given as the task's main field.

    Raises:
        DataError: the text is empty.
    """
    if not text.strip():
        raise DataError("there is no text to classify", hint='gateway classify "some text"')
    task = load_task(asked.task, asked.prompts or prompts_root())
    item = _item(task, text)

    async def ask() -> Classified:
        async with _session(asked, task, [item]) as session:
            return await session.classify(item)

    return asyncio.run(ask())


Counting = Callable[[int], AbstractContextManager[Callable[[], None]]]
"""Told how many there are; what the block is given is called after each one."""


def label_csv(asked: Asked, source: Path, target: Path | None, counting: Counting) -> None:
    """Write the CSV again with columns for status, label and probabilities.

    Args:
        target: None: standard output.
        counting: called when it begins.
    """
    task = load_task(asked.task, asked.prompts or prompts_root())
    data = load_dataset(str(source), task, labelled=False, columns=asked.columns or {})
    table = read_table(str(source), options_of(asked.columns))

    async def ask() -> tuple[list[Classified], tuple[str, ...]]:
        async with _session(asked, task, data.items) as session:
            return await _all(session, data.items, counting), session.labels

    answers, labels = asyncio.run(ask())
    text = _with_answers(table, answers, labels)
    if target is None:
        sys.stdout.write(text)
        return
    try:
        write_atomically(target, text)
    except OSError as exc:
        raise DataError(f"{target}: can not be written: {exc.strerror}") from exc


def _with_answers(table: Table, answers: Sequence[Classified], labels: Sequence[str]) -> str:
    """The table as CSV, with columns for status, answer and the labels' probabilities."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    shares = [f"gateway_p_{label}" for label in labels]
    writer.writerow([*table.names, "gateway_status", "gateway_answer", "gateway_exact", *shares])
    for row, found in zip(table.rows, answers, strict=True):
        given = [f"{found.probabilities[x]:.6f}" if found.probabilities else "" for x in labels]
        kept = [row.values[name] for name in table.columns]
        exact = "yes" if found.exact else "no"
        writer.writerow([*kept, found.status.value, shown(found.answer), exact, *given])
    return out.getvalue()


async def _all(session: "_Session", items: Sequence[Item], counting: Counting) -> list[Classified]:
    """Every item, in their order; as many at once as the backend can use."""
    room = asyncio.Semaphore(session.backend.concurrency)
    with counting(len(items)) as done:

        async def classify(item: Item) -> Classified:
            async with room:
                found = await session.classify(item)
            done()
            return found

        return await asyncio.gather(*map(classify, items))


@dataclass(frozen=True, slots=True)
class _Session:
    task: Task
    labels: tuple[str, ...]
    strategy: Strategy
    backend: Backend
    calibrator: Calibrator | None

    async def classify(self, item: Item) -> Classified:
        seen = await answer(self.task, self.labels, self.strategy, self.backend, item)
        probabilities: Mapping[str, float] = {}
        status, found, reason = seen.status, seen.answer, seen.reason
        if self.calibrator is not None and seen.status is Status.OK:
            probabilities = self.calibrator.probabilities(seen.scores)
            found = self.calibrator.best(probabilities)
            if reason := self.calibrator.undecided(seen.scores, found):
                status, found, probabilities = Status.UNPARSED, None, {}
        return Classified(
            status,
            found,
            probabilities,
            seen.text,
            reason,
            seen.exact,
            self.backend.spec.name,
            seen.fingerprint,
        )


@asynccontextmanager
async def _session(asked: Asked, task: Task, items: Sequence[Item]) -> AsyncIterator[_Session]:
    root = asked.prompts or prompts_root()
    models = load_models(asked.models_file).serving([asked.model] if asked.model else [])
    train = load_dataset(asked.train, task, columns=asked.columns or {}) if asked.train else None
    labels = _labels(asked, task, train)
    template = load_template(task, asked.strategy, root)
    selector = None
    if template.exemplars:
        selector = ExemplarSelector.make(
            "stratified" if train else "fixed",
            task=task,
            labels=labels,
            count=template.exemplars,
            nearest=template.nearest,
            train=train.items if train else (),
            test=items,
            seed=0,
            root=root,
        )
    strategy = Strategy(template, selector)
    rule = _rule(asked, train)
    pool = ModelPool(models)
    try:
        async with pool.lease(asked.model or models.default) as backend:
            calibrator = None
            if template.mode == "score":
                calibrator = await _calibrator(rule, task, labels, strategy, backend, train, items)
            yield _Session(task, labels, strategy, backend, calibrator)
    finally:
        await pool.close()


def _rule(asked: Asked, train: Dataset | None) -> ScoreRule:
    rule = ScoreRule.named(asked.rule or ("batch" if train else "sum"))
    if rule is ScoreRule.BATCH and train is None:
        raise ConfigError(
            "batch calibration is fitted on training data",
            hint="give --train FILE, or another --score-rule",
        )
    return rule


async def _calibrator(
    rule: ScoreRule,
    task: Task,
    labels: tuple[str, ...],
    strategy: Strategy,
    backend: Backend,
    train: Dataset | None,
    items: Sequence[Item],
) -> Calibrator:
    dev: list[Item] = []
    if rule is ScoreRule.BATCH and train is not None:
        shown = set(strategy.selector.ids) if strategy.selector else set()
        dev += dev_split(train.items, test=items, exclude_ids=shown, size=_DEV_ITEMS, seed=0)
    free = content_free_items(task) if rule is ScoreRule.CONTEXTUAL else []

    async def scores(asked_items: Sequence[Item]) -> list[LabelScores]:
        seen = [await answer(task, labels, strategy, backend, item) for item in asked_items]
        return [o.scores for o in seen if o.status is Status.OK]

    return Calibrator.fit(rule, labels, content_free=await scores(free), dev=await scores(dev))


def _labels(asked: Asked, task: Task, train: Dataset | None) -> tuple[str, ...]:
    if task.kind != "classification":
        return ()
    if task.labels and asked.labels:
        raise ConfigError(f"the task {task.name} has labels of its own", hint="leave out --labels")
    labels = asked.labels or tuple(x.name for x in task.labels) or (train.labels if train else ())
    if len(labels) < 2:
        raise ConfigError(
            f"the task {task.name} takes its labels from the data",
            hint="give --labels a,b,c or --train FILE",
        )
    return labels


def _item(task: Task, text: str) -> Item:
    """The text as the task's last field, which is the long one; the others are empty."""
    fields = dict.fromkeys(task.fields, "")
    fields[task.fields[-1]] = text
    return Item("text", fields, None, None, digest_json(fields))


def shown(found: Answer | None) -> str:
    """An answer as text; empty where there is none."""
    if found is None:
        return ""
    return found if isinstance(found, str) else canonical_json(found)
