"""Fake models whose answers are known, compared on the task of `tests.support.grids`."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from gateway.backends.fake import FakeBackend, FakeSpec, Script
from gateway.backends.protocol import Backend
from gateway.evaluation.ab.outcome import Outcome
from gateway.evaluation.compare import CompareOptions, ask_cells, plan_cells
from gateway.evaluation.store import Store
from gateway.models.file import Models
from gateway.models.spec import ModelSpec, PathSource
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

    def run(
        self,
        *names: str,
        metric: str = "accuracy",
        margin: float = 0.05,
        stopping: bool = False,
        words: str = WORDS,
        strategy: str = "written",
        store: str = "store.sqlite",
    ) -> Outcome:
        options = CompareOptions(
            cells=names,
            task="mine",
            data=write_data(self.root / "test.csv", words),
            strategy=strategy,
            metric=metric,
            margin=margin,
            stop_early=stopping,
            prompts=self.prompts,
        )
        plan = plan_cells(options, self.models)
        opened = Store(self.root / store)
        try:
            return asyncio.run(ask_cells(plan, opened, loader=self._load))().outcome
        finally:
            opened.close()

    def _load(self, spec: ModelSpec, _: Path) -> Backend:
        return self.backends[spec.name]
