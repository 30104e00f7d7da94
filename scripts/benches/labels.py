"""Label scoring with a shared prefix and a trie of labels, and how others do the same.

tokens    what the engine forwarded an item, and what one forward a label would (prompt and label)
speed     the engine on many items; of the limit: tokens forwarded a second, against a large
          prefill of the same model in the same run, behind as many tokens as the items' own have
          before them on average (it asks for no logits; labels need all)
77 / 3    seconds of all labels over those of the first three, same items and prompts
peers     the same few items in a freshly loaded model of each, loading not counted: lm-eval (hf
          backend, the same weights dequantized), and `llama_cpp.Llama`, which keeps the last
          prompt as its cache, by hand: in a loop over labels, and as well as it can be done. It
          has the library's own settings, and its flash attention in one row. More than 20 labels
          are searched too, as `gateway run` does

    scripts/bench labels [own|peers] [MODEL]

The gateway computes with the settings that its entry has here: say `gateway certify --fastest
MODEL` first. Its log-probabilities are compared with an unshared computation (the prompt and the
label in one pass of a fresh context) for the items that the peers see and their first labels; those
of the peers with the gateway's.
"""

import asyncio
import itertools
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import bare_prefill, lm_eval, load, out, requests_of, show
from peer_llama_cpp import ByTree, PerLabel
from rich.progress import track

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.context import Context
from gateway.backends.registry import load_models
from gateway.core.types import GenerationRequest, LabelScores, LabelSearch
from gateway.engine.context import PassRow
from gateway.engine.sampling import log_normalizer, log_sum
from gateway.evaluation.label_search import MOST_FINISHED
from gateway.models.locate import locate

NAME = sys.argv[2] if len(sys.argv) > 2 else "smollm2-135m"
LENGTH = 4096
TURN_END = "<|im_end|>"
"""SmolLM2's end of turn, which a label's score includes."""


@dataclass(frozen=True)
class Workload:
    task: str
    folder: str
    strategy: str
    items: int
    peers: int
    """Items for the peers, which need minutes for one."""
    checked: int = 12
    """Labels that are compared with the unshared computation, which needs minutes for all."""
    of_lm_eval: int = 77
    """Labels that lm-eval is asked for; its seconds are those of all, in proportion."""

    def name(self, labels: Sequence[str], items: int) -> str:
        return f"{self.folder} {self.strategy}, {len(labels)} labels, n = {items}"


WORKLOADS = (
    Workload("issue-triage", "issue-reports", "few_shot", items=24, peers=6),
    Workload("intent", "banking77", "few_shot", items=4, peers=4, checked=1, of_lm_eval=3),
    Workload("intent", "banking77", "zero_shot", items=24, peers=4, checked=3, of_lm_eval=12),
)


@dataclass(frozen=True)
class Scored:
    """Some items, scored by a freshly loaded model."""

    seconds: float
    tokens: int
    alone: int
    """Tokens that one forward a label would have taken."""
    logprobs: list[tuple[float, ...]]
    """Of a label that a search has not finished, minus infinity."""


async def score(
    requests: Sequence[GenerationRequest], labels: Sequence[str], *, searched: bool = False
) -> Scored:
    backend = load(NAME)
    begun = time.perf_counter()
    search = LabelSearch(((0.0,) * len(labels),)) if searched else None
    scores = await asyncio.gather(*(backend._score(r, labels, search) for r in requests))
    seconds, tokens = time.perf_counter() - begun, backend.stats.tokens
    await backend.close()
    alone = sum(s.prompt_tokens * len(labels) + sum(s.token_counts) - len(labels) for s in scores)
    return Scored(seconds, tokens, alone, [finished(each) for each in scores])


def finished(scores: LabelScores) -> tuple[float, ...]:
    """Log-probabilities of the labels that were finished, minus infinity of the others."""
    bounds = scores.bounds or (False,) * len(scores.labels)
    return tuple(
        -math.inf if bound else x for x, bound in zip(scores.logprobs, bounds, strict=True)
    )


def unshared(
    backend: LlamaCppBackend, requests: Sequence[GenerationRequest], labels: Sequence[str]
) -> list[tuple[float, ...]]:
    """Every label's log-probability from a pass of its own over everything."""
    context = Context(backend._model, sequences=1, length=LENGTH, threads=backend.threads)
    stops = backend._reader.vocabulary.stop_ids
    found = []
    for request in requests:
        prompt, continuations = backend._reader.split_labels(request, labels)
        scores = []
        for label in continuations:
            whole, total = [*prompt, *label], 0.0
            rows: list[Any] = []
            for start in range(0, len(whole), context.batch_tokens):
                piece = whole[start : start + context.batch_tokens]
                wanted = [
                    PassRow(0, start + i, t, start + i >= len(prompt) - 1)
                    for i, t in enumerate(piece)
                ]
                rows += [row.copy() for row in context.decode(wanted)]
            for row, token in zip(rows, label, strict=False):
                total = total + float(row[token]) - log_normalizer(row)
            scores.append(total + log_sum(rows[-1][stops]) - log_normalizer(rows[-1]))
            context.truncate(0, 0)
        found.append(tuple(scores))
    context.close()
    return found


def best(scores: Sequence[float]) -> int:
    return max(range(len(scores)), key=lambda i: scores[i])


def own_figures(work: Workload) -> list[str]:
    """The engine on all items, and on the first three labels."""
    backend = load(NAME)
    requests, labels = requests_of(backend, work.task, work.folder, work.strategy, work.items)
    prompts = [backend.render(request).token_ids for request in requests]
    columns = zip(*prompts, strict=False)
    shared = sum(1 for _ in itertools.takewhile(lambda column: len(set(column)) == 1, columns))
    middle = (shared + sum(map(len, prompts)) // len(prompts)) // 2
    limit = bare_prefill(backend, list(range(1000, 4000)), max(middle - 256, 0))
    asyncio.run(backend.close())
    whole = asyncio.run(score(requests, labels))
    few = asyncio.run(score(requests, labels[:3])) if len(labels) > 3 else whole
    return [
        work.name(labels, work.items),
        f"{whole.alone / work.items:,.0f}",
        f"{whole.tokens / work.items:,.0f}",
        f"{whole.alone / whole.tokens:.1f}x",
        f"{whole.seconds / work.items:.2f}",
        f"{whole.tokens / whole.seconds / limit:.2f}",
        f"{whole.seconds / few.seconds:.1f}" if len(labels) > 3 else "",
    ]


def beside_peers(work: Workload) -> list[list[str]]:
    """The gateway and each peer on the same few items."""
    path = locate(load_models().get(NAME))
    backend = load(NAME)
    requests, labels = requests_of(backend, work.task, work.folder, work.strategy, work.items)
    requests = requests[: work.peers]
    texts = [backend.render(request).text for request in requests]
    split = [backend._reader.split_labels(request, labels) for request in requests]
    (end,) = backend._model.tokenize([(TURN_END, True)], add_special=False)
    reference = unshared(backend, requests, labels[: work.checked])
    asyncio.run(backend.close())
    mine = asyncio.run(score(requests, labels))

    def row(
        who: str,
        seconds: float,
        scores: Sequence[Sequence[float]],
        others: Sequence[Sequence[float]],
    ) -> list[str]:
        pairs = list(zip(scores, others, strict=True))
        both = (each for x, y in pairs for each in zip(x, y, strict=False))
        apart = max(abs(a - b) for a, b in both if math.isfinite(a))
        same = sum(best(x[: len(y)]) == best(y[: len(x)]) for x, y in pairs)
        slower = f"{seconds / mine.seconds:.2f}x"
        agree = f"{same} of {work.peers}"
        return [work.name(labels, work.peers), who, f"{seconds:.2f}", slower, f"{apart:.1g}", agree]

    rows = [row("gateway", mine.seconds, mine.logprobs, reference)]
    if len(labels) > MOST_FINISHED:
        found = asyncio.run(score(requests, labels, searched=True))
        rows.append(row("gateway, searched", found.seconds, found.logprobs, mine.logprobs))
    by_hand = PerLabel(path, length=LENGTH, threads=backend.threads)
    begun = time.perf_counter()
    looped = [[by_hand.loop(p, [*label, end]) for label in labels] for p, labels in split]
    seconds = time.perf_counter() - begun
    rows.append(row("llama_cpp.Llama, a loop by hand", seconds, looped, mine.logprobs))
    del by_hand
    for flash in (False, True):
        tree = ByTree(path, length=LENGTH, threads=backend.threads, flash=flash)
        begun = time.perf_counter()
        read = [tree.scores(prompt, labels, end) for prompt, labels in split]
        seconds = time.perf_counter() - begun
        who = f"llama_cpp.Llama, a tree by hand{', flash' * flash}"
        rows.append(row(who, seconds, read, mine.logprobs))
        del tree
    rows.append(completions(path, backend.threads, texts[0], labels[:1]))
    few = labels[: work.of_lm_eval]
    theirs = lm_eval(path, texts, [f"{label}{TURN_END}" for label in few])
    who, part = f"lm-eval {theirs['version']}, hf", len(labels) / len(few)
    who += f", {part:.0f}x of {len(few)} labels" * (part > 1)
    return [*rows, row(who, theirs["seconds"] * part, theirs["scores"], mine.logprobs)]


def completions(path: Path, threads: int, text: str, labels: Sequence[str]) -> list[str]:
    """`create_completion` for one label of one item, which takes it a minute, and the engine."""
    mine = asyncio.run(score([GenerationRequest("m", prompt=text)], labels))
    model = PerLabel(path, length=LENGTH, threads=threads)
    begun = time.perf_counter()
    theirs = [model.completion(text, f"{label}{TURN_END}") for label in labels]
    seconds = time.perf_counter() - begun
    apart = max(abs(a - b) for a, b in zip(theirs, mine.logprobs[0], strict=True))
    ratio = f"{seconds / mine.seconds:.1f}x"
    who = "llama_cpp.Llama, create_completion"
    return ["one label of it", who, f"{seconds:.1f}", ratio, f"{apart:.1g}", ""]


def main() -> None:
    """With "own" or "peers" only that half."""
    asked = sys.argv[1:2] or ["own", "peers"]
    if "own" in asked:
        show_own()
    if "peers" in asked:
        show_peers()


def show_own() -> None:
    own = [own_figures(work) for work in track(WORKLOADS, "items", console=out)]
    columns = ["items", "tokens one by one", "forwarded", "fewer", "s/item", "of limit", "77 / 3"]
    show(f"labels, {NAME}, per item", columns, own)


def show_peers() -> None:
    compared = [work for work in WORKLOADS if work.peers]
    rows = [row for work in track(compared, "peers", console=out) for row in beside_peers(work)]
    columns = ["items", "who", "s", "slower", "apart by", "same answer"]
    show("the same items, cold", columns, rows)


main()
