"""77 labels searched, beside all of them finished: tokens, answers, and probabilities.

tokens, s  of an item where all labels are finished, and where they are searched and the best is
           found; what prompts have in common is read once
same       items of which both say the same label, by each rule
gap        the largest difference of a probability; and the largest bound that the search gave one

    scripts/bench search [cut|whole] [ITEMS] [STRATEGY] [MINUTES]

"cut" takes the model's first 3 layers, which say nothing sensible and take a fraction of the time.
"whole" leaves batch calibration out: to find the best label by it, most labels are finished.
Every log-probability that a search finishes has to be that of the full tree to the last bit, and
every gap within its bound, else this ends with an error. 1,540 items are all of the test data.
Batch calibration is fitted on 16 training items.

What was compared is kept in the user's cache folder, by the digest of all that decides it. So the
same call goes on where it was: after MINUTES, after a Ctrl+C, and with more ITEMS.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import platformdirs
from common import DATA, ROOT, out, show
from rich.progress import track

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.backends.registry import load_models
from gateway.core.digests import canonical_json, digest_json, file_digest
from gateway.core.types import GenerationRequest, LabelScores, LabelSearch
from gateway.engine import label_scores, label_search, trie
from gateway.evaluation.plan import RunOptions, prepare
from gateway.evaluation.run import Plan, question
from gateway.models.environment import prompts_root
from gateway.models.locate import locate
from gateway.scoring import rules
from gateway.scoring.rules import BY_LENGTH, Calibrator, ScoreRule
from gateway.tasks.task import Item

NAME = "smollm2-135m"
FITTED_ON = 16
AT_ONCE = 12
"""Items that are compared and kept together."""
KEPT = Path(platformdirs.user_cache_dir("local-model-gateway")) / "bench" / "search"
Rules = tuple[tuple[ScoreRule, ...], ...]
RULES: dict[str, Rules] = {
    "cut": ((ScoreRule.SUM,), (ScoreRule.MEAN,), (ScoreRule.SUM, ScoreRule.BATCH)),
    "whole": ((ScoreRule.SUM,), (ScoreRule.MEAN,)),
}
"""Of each search."""
DECIDED_BY = (label_scores, label_search, trie, rules)
"""Modules that decide what is kept, beside the model and the question."""


@dataclass(frozen=True)
class Found:
    """What a search with some rules came to on some items, beside the full tree."""

    tokens: tuple[int, int]
    """Of all labels finished, and of a search."""
    seconds: tuple[float, float]
    same: int
    """Answers, of each rule one an item."""
    gap: float
    bound: float

    def and_(self, other: "Found") -> "Found":
        """Both together."""
        (a, b), (c, d) = self.tokens, other.tokens
        (s, t), (u, v) = self.seconds, other.seconds
        same, gap = self.same + other.same, max(self.gap, other.gap)
        return Found((a + c, b + d), (s + u, t + v), same, gap, max(self.bound, other.bound))


NOTHING = Found((0, 0), (0.0, 0.0), 0, 0.0, 0.0)


class Kept:
    """A file of what was compared: a line for some items, with what each search came to."""

    def __init__(self, rules: Rules, digest: str) -> None:
        self.rules = rules
        self.path = KEPT / f"{digest[:24]}.jsonl"
        self.done: set[str] = set()
        """Digests of the items that were compared."""
        self.found = [NOTHING for _ in rules]
        """Of each of `rules`."""

    def read(self, items: Sequence[Item]) -> None:
        """What is known of these items; a line that an interruption has cut is none."""
        wanted = {item.digest for item in items}
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else []
        for line in lines:
            try:
                kept = json.loads(line)
            except ValueError:
                continue
            if wanted.issuperset(kept["items"]) and self.done.isdisjoint(kept["items"]):
                self._count(kept["items"], [_read(each) for each in kept["found"]])

    def add(self, items: Sequence[Item], found: Sequence[Found]) -> None:
        """Keep what was found of some items."""
        digests = [item.digest for item in items]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            line = {"items": digests, "found": [asdict(each) for each in found]}
            file.write(f"\n{canonical_json(line)}")
        self._count(digests, found)

    def _count(self, digests: Sequence[str], found: Sequence[Found]) -> None:
        self.done.update(digests)
        self.found = [a.and_(b) for a, b in zip(self.found, found, strict=True)]


def _read(kept: dict[str, list[float] | float]) -> Found:
    """The inverse of `asdict`."""
    return Found(**{k: tuple(v) if isinstance(v, list) else v for k, v in kept.items()})  # type: ignore[arg-type]


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
    """What `gateway run` would ask, of so many of the test items; fewer are some of more."""
    folder = DATA / "banking77"
    options = RunOptions(
        task="intent",
        data=str(folder / "test.csv"),
        train=str(folder / "train.csv"),
        models=("",),
        strategies=(strategy,),
        prompts=prompts_root(),
        rules=("batch",),
    )
    plan = prepare(options).plan
    return replace(plan, items=tuple(sorted(plan.items, key=lambda item: item.digest)[:items]))


def kept_for(backend: LlamaCppBackend, plan: Plan, rules: Rules) -> Kept:
    """The file of this question; none is read yet."""
    (strategy,) = plan.strategies
    return Kept(
        rules,
        digest_json(
            {
                "rules": [[rule.value for rule in some] for some in rules],
                "model": backend.fingerprint,
                "task": plan.task.digest,
                "labels": plan.labels,
                "template": strategy.template.digest,
                "exemplars": strategy.selector.digest if strategy.selector else "",
                "dev": [item.digest for item in plan.dev[:FITTED_ON]],
                "code": [file_digest(Path(str(each.__file__))) for each in DECIDED_BY],
            }
        ),
    )


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


def compared(whole: LabelScores, searched: LabelScores, rule: Calibrator) -> Found:
    """One item; ends where a finished label has other bits or a bound does not hold."""
    bounds = searched.bounds or (False,) * len(searched.labels)
    for ours, theirs, bound in zip(searched.logprobs, whole.logprobs, bounds, strict=True):
        if (ours + 1e-9 < theirs) if bound else (ours != theirs):
            raise SystemExit(f"{ours!r} of a search, {theirs!r} of the full tree, bound: {bound}")
    exact, shares = rule.probabilities(whole), rule.probabilities(searched)
    gap, most = max(abs(exact[x] - shares[x]) for x in exact), rule.off_by(searched)
    if gap > most + 1e-12:
        raise SystemExit(f"a probability is off by {gap}, and its bound is {most}")
    return replace(NOTHING, same=int(rule.best(exact) == rule.best(shares)), gap=gap, bound=most)


async def timed(
    backend: LlamaCppBackend, plan: Plan, items: Sequence[Item], search: LabelSearch | None
) -> tuple[list[LabelScores], int, float]:
    """Scores, the tokens that were forwarded, and seconds."""
    begun, before = time.perf_counter(), backend.stats.tokens
    scores = await ask(backend, plan, items, search)
    return scores, backend.stats.tokens - before, time.perf_counter() - begun


async def measured(
    backend: LlamaCppBackend,
    plan: Plan,
    items: Sequence[Item],
    fitted: Sequence[Sequence[Calibrator]],
) -> list[Found]:
    """What the searches come to on some items."""
    whole, tokens, seconds = await timed(backend, plan, items, None)
    found = []
    for read_by in fitted:
        lengths = tuple(BY_LENGTH.get(rule.rule, "") for rule in read_by)
        search = LabelSearch(tuple(rule.offset for rule in read_by), lengths=lengths)
        searched, few, quick = await timed(backend, plan, items, search)
        total = Found((tokens, few), (seconds, quick), 0, 0.0, 0.0)
        for pair in zip(whole, searched, strict=True):
            for rule in read_by:
                total = total.and_(compared(*pair, rule))
        found.append(total)
    return found


async def calibrators(backend: LlamaCppBackend, plan: Plan, rules: Rules) -> list[list[Calibrator]]:
    """Of each search, fitted."""
    dev = await ask(backend, plan, plan.dev[:FITTED_ON], None)
    return [[Calibrator.fit(rule, plan.labels, dev=dev) for rule in some] for some in rules]


async def go_on(backend: LlamaCppBackend, plan: Plan, kept: Kept, until: float) -> None:
    """Compare what was not compared yet, as long as there is time."""
    todo = [item for item in plan.items if item.digest not in kept.done]
    if not todo:
        return
    fitted = await calibrators(backend, plan, kept.rules)
    for start in track(range(0, len(todo), AT_ONCE), "items", console=out):
        part = todo[start : start + AT_ONCE]
        kept.add(part, await measured(backend, plan, part, fitted))
        if time.monotonic() > until:
            break


def rows(kept: Kept) -> Iterator[list[str]]:
    """One for each set of rules."""
    n = len(kept.done)
    for some, found in zip(kept.rules, kept.found, strict=True):
        tokens = [f"{each / n:,.0f}" for each in found.tokens]
        fewer = f"{found.tokens[0] / found.tokens[1]:.2f}x"
        seconds = [f"{each / n:.2f}" for each in found.seconds]
        same = f"{found.same:,} of {n * len(some):,}"
        yield [
            ", ".join(some),
            *tokens,
            fewer,
            *seconds,
            same,
            f"{found.gap:.1g}/{found.bound:.1g}",
        ]


def main() -> None:
    """Measure what the arguments name."""
    defaults = ("cut", "200", "zero_shot", "inf")
    which, items, strategy, minutes = [*sys.argv[1:], *defaults[len(sys.argv) - 1 :]]
    if not (DATA / "banking77").is_dir():
        raise SystemExit(f"{DATA / 'banking77'} is absent: this bench reads real texts from there")
    backend, plan = opened(which), planned(int(items), strategy)
    kept = kept_for(backend, plan, RULES[which])
    kept.read(plan.items)
    out.print(f"{len(kept.done):,} of {len(plan.items):,} items are in {kept.path}", soft_wrap=True)
    try:
        asyncio.run(go_on(backend, plan, kept, time.monotonic() + 60 * float(minutes)))
    except KeyboardInterrupt:
        out.print("interrupted")
    finally:
        asyncio.run(backend.close())
    if not kept.done:
        raise SystemExit("nothing was compared")
    columns = ["rules", "tokens", "found", "fewer", "s", "found", "same", "gap/bound"]
    title = f"labels searched, {NAME}, {which}, {strategy}, an item of {len(kept.done):,}"
    show(title, columns, list(rows(kept)))
    if left := len(plan.items) - len(kept.done):
        out.print(f"{left:,} of {len(plan.items):,} items are left: the same call goes on")


main()
