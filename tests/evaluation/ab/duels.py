"""Fake models whose answers are known, compared on the task of `tests.support.grids`."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gateway.backends.base import Backend
from gateway.backends.fake import FakeBackend, FakeSpec, Script
from gateway.backends.pool import ModelPool
from gateway.evaluation.ab.answers import Answers
from gateway.evaluation.ab.ask import Answered, ask
from gateway.evaluation.ab.cells import Asked, Defaults, read_cells
from gateway.evaluation.ab.decide import all_decided, judge
from gateway.evaluation.ab.outcome import Outcome
from gateway.evaluation.ab.question import Question
from gateway.evaluation.plan import Wanted, prepare
from gateway.evaluation.store import Store
from gateway.models.file import Models
from gateway.models.spec import ModelSpec, PathSource
from gateway.tasks.task import load_task
from tests.support.grids import write_data, write_task

WORDS = " ".join(f"word{n}" for n in range(120))


def number(prompt: str) -> int:
    """Which word of `WORDS` an item is about."""
    return int(prompt.split("word")[1].split()[0])


def right(prompt: str) -> str:
    return "yes" if number(prompt) % 2 else "no"


def wrong_where(wrong: Callable[[int], bool]) -> Script:
    """Right, but for the items of these numbers."""

    def script(prompt: str) -> str:
        other = {"yes": "no", "no": "yes"}
        return other[right(prompt)] if wrong(number(prompt)) else right(prompt)

    return script


class Duel:
    """Models by name, and what they answer; `run` compares cells of them."""

    def __init__(self, root: Path, scripts: Mapping[str, Script]) -> None:
        self.root = root
        specs = {name: FakeSpec(name, PathSource(Path()), parallel=3) for name in scripts}
        self.backends = {
            name: FakeBackend(spec, script=scripts[name]) for name, spec in specs.items()
        }
        self.models = Models(specs, next(iter(specs)))
        self.prompts = write_task(root)

    def asked(self, names: Sequence[str], strategy: str = "written") -> tuple[Asked, ...]:
        task = load_task("mine", self.prompts)
        return read_cells(names, self.models, task, self.prompts, Defaults(strategy))

    def run(
        self,
        *names: str,
        metric: str = "accuracy",
        margin: float = 0.05,
        stopping: bool = False,
        words: str = WORDS,
        strategy: str = "written",
        store: str = "store.sqlite",
        sizes: Mapping[str, int | None] | None = None,
    ) -> Outcome:
        question = Question(self.asked(names, strategy), metric, margin)
        prepared = prepare(
            Wanted(
                task="mine",
                data=write_data(self.root / "test.csv", words),
                models=tuple(dict.fromkeys(cell.model for cell in question.asked)),
                strategies=tuple(dict.fromkeys(cell.strategy for cell in question.asked)),
                prompts=self.prompts,
                rules=("sum",),
            )
        )
        opened = Store(self.root / store)

        def decided(cells: object, items: object) -> bool:
            answers = Answers(prepared, question, cells, opened)  # type: ignore[arg-type]
            record = answers.narrowed(items)  # type: ignore[arg-type]
            return all_decided(answers.predictions(record), record, question)

        async def asking() -> Answered:
            load: Callable[[ModelSpec, Path], Backend] = lambda spec, _: self.backends[spec.name]  # noqa: E731
            pool = ModelPool(self.models, loader=load)
            look = decided if stopping else None
            return await ask(prepared, question.asked, pool, opened, lambda _: None, look)

        try:
            answered = asyncio.run(asking())
            answers = Answers(prepared, question, answered.cells, opened)
            known = sizes or dict.fromkeys(self.models.specs)
            return judge(answers, answered, question, known, stopping=stopping)[0]
        finally:
            opened.close()
