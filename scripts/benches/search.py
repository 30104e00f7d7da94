"""77 labels searched, beside all of them finished: tokens, answers, and probabilities.

tokens     forwarded an item, where all labels are finished and where they are searched; what
           prompts have in common is read once
answers    items of which both say the same label, by each rule
gap        the largest difference of a probability; and the largest bound that the search gave one

    scripts/bench search [cut|whole] [ITEMS] [STRATEGY]

"cut" takes the model's first 3 layers, which say nothing sensible and take a fraction of the time.
Every log-probability that a search finishes has to be that of the full tree to the last bit, and
every gap within its bound, else this ends with an error. 1,540 items are all of the test data.
Batch calibration is fitted on 16 training items.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from common import DATA, ROOT, show
from rich.progress import track

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.backends.registry import load_models
from gateway.core.types import GenerationRequest, LabelScores, LabelSearch
from gateway.evaluation.plan import RunOptions, prepare
from gateway.evaluation.run import Plan, question
from gateway.models.environment import prompts_root
from gateway.models.locate import locate
from gateway.scoring.rules import Calibrator, ScoreRule
from gateway.tasks.task import Item

NAME = "smollm2-135m"
FITTED_ON = 16
AT_ONCE = 20
"""Items between two steps of the progress bar."""


@dataclass
class Found:
    """What searches with some rules come to, beside the full tree."""

    tokens: list[int] = field(default_factory=lambda: [0, 0])
    seconds: list[float] = field(default_factory=lambda: [0.0, 0.0])
    same: int = 0
    gap: float = 0.0
    bound: float = 0.0


def opened(which: str) -> LlamaCppBackend:
    """The default model, or what is left of it."""
    spec = load_models().get(NAME)
    assert isinstance(spec, LlamaCppSpec)
    path = locate(spec)
    if which == "cut":
        sys.path.insert(0, str(ROOT))
        from tests.support.few_layers import cut

        path, spec = cut(path), replace(spec, sha256="")
    return LlamaCppBackend(spec, path)


def planned(items: int, strategy: str) -> Plan:
    """What `gateway run` would ask."""
    folder = DATA / "banking77"
    options = RunOptions(
        task="intent",
        data=str(folder / "test.csv"),
        train=str(folder / "train.csv"),
        models=("",),
        strategies=(strategy,),
        prompts=prompts_root(),
        limit=items,
        rules=("batch",),
    )
    return prepare(options).plan


async def ask(
    backend: LlamaCppBackend, plan: Plan, items: Sequence[Item], search: LabelSearch | None
) -> list[LabelScores]:
    """Scores of items, asked together."""
    (strategy,) = plan.strategies

    def scores(request: GenerationRequest) -> "asyncio.Future[LabelScores]":
        if search is None:
            return asyncio.ensure_future(backend.score_labels(request, plan.labels))
        return asyncio.ensure_future(backend.search_labels(request, plan.labels, search))

    asked = (question(plan.task, plan.labels, strategy, backend, item) for item in items)
    return await asyncio.gather(*(scores(each.request) for each in asked))


def compare(found: Found, whole: LabelScores, searched: LabelScores, rule: Calibrator) -> None:
    """Count, or end where a finished label has other bits or a bound does not hold."""
    bounds = searched.bounds or (False,) * len(searched.labels)
    for ours, theirs, bound in zip(searched.logprobs, whole.logprobs, bounds, strict=True):
        if (ours + 1e-9 < theirs) if bound else (ours != theirs):
            raise SystemExit(f"{ours!r} of a search, {theirs!r} of the full tree, bound: {bound}")
    exact, shares = rule.probabilities(whole), rule.probabilities(searched)
    gap, most = max(abs(exact[x] - shares[x]) for x in exact), rule.off_by(searched)
    if gap > most + 1e-12:
        raise SystemExit(f"a probability is off by {gap}, and its bound is {most}")
    found.same += rule.best(exact) == rule.best(shares)
    found.gap, found.bound = max(found.gap, gap), max(found.bound, most)


async def measured(
    backend: LlamaCppBackend, plan: Plan, rules: Sequence[Calibrator], title: str
) -> Found:
    """All items, both ways."""
    search, found = LabelSearch(tuple(rule.offset for rule in rules)), Found()
    for start in track(range(0, len(plan.items), AT_ONCE), title):
        part, both = plan.items[start : start + AT_ONCE], []
        for at, how in enumerate((None, search)):
            begun, before = time.perf_counter(), backend.stats.tokens
            both.append(await ask(backend, plan, part, how))
            found.seconds[at] += time.perf_counter() - begun
            found.tokens[at] += backend.stats.tokens - before
        for whole, searched in zip(*both, strict=True):
            for rule in rules:
                compare(found, whole, searched, rule)
    return found


async def rows(which: str, items: int, strategy: str) -> list[list[str]]:
    """One for each set of rules."""
    backend, plan = opened(which), planned(items, strategy)
    dev = await ask(backend, plan, plan.dev[:FITTED_ON], None)
    plain, batch = (
        Calibrator.fit(rule, plan.labels, dev=dev) for rule in (ScoreRule.SUM, ScoreRule.BATCH)
    )
    made, n = [], len(plan.items)
    for rules in ([plain], [plain, batch]):
        names = ", ".join(rule.rule.value for rule in rules)
        found = await measured(backend, plan, rules, f"{which}, {names}")
        full, few = found.tokens
        figures = [f"{full / n:,.0f}", f"{few / n:,.0f}", f"{full / few:.2f}x"]
        figures += [f"{seconds / n:.2f}" for seconds in found.seconds]
        figures += [f"{found.same:,} of {n * len(rules):,}", f"{found.gap:.2g}"]
        made.append([f"{which}, {strategy}, n = {n:,}", names, *figures, f"{found.bound:.2g}"])
    await backend.close()
    return made


def main() -> None:
    """Measure what the arguments name."""
    which, items, strategy = [*sys.argv[1:], *("cut", "200", "zero_shot")[len(sys.argv) - 1 :]]
    if not (DATA / "banking77").is_dir():
        raise SystemExit(f"{DATA / 'banking77'} is absent: this bench reads real texts from there")
    columns = ["items", "rules", "tokens, full", "searched", "fewer", "s, full", "searched"]
    found = asyncio.run(rows(which, int(items), strategy))
    show(f"labels searched, {NAME}, an item", [*columns, "same answer", "gap", "bound"], found)


main()
