"""Label scoring with a shared prefix and a trie of labels, against one forward pass a label.

Counts tokens that the engine forwarded, and those that scoring each label on its own would have
(prompt and label, for every label of every item). The last column is how much the items cost with
all labels against the first three of them, same items and same prompts.
"""

import asyncio
import sys
import time
from dataclasses import dataclass

from common import DATA, load, show

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.config import prompts_root
from gateway.planning import Wanted, prepare
from gateway.types import GenerationRequest

ITEMS = 24


@dataclass
class Spent:
    tokens: int
    seconds: float


async def score(
    name: str, requests: list[GenerationRequest], labels: tuple[str, ...]
) -> tuple[Spent, int]:
    """Tokens and seconds of all requests in a fresh model, and the tokens one by one."""
    backend = load(name)
    begun = time.perf_counter()
    scores = await asyncio.gather(*(backend.score_labels(r, labels) for r in requests))
    spent = Spent(backend.stats.tokens, time.perf_counter() - begun)
    await backend.close()
    alone = sum(s.prompt_tokens * len(labels) + sum(s.token_counts) - len(labels) for s in scores)
    return spent, alone


def requests_of(
    backend: LlamaCppBackend, task: str, folder: str, strategy: str
) -> tuple[list[GenerationRequest], tuple[str, ...]]:
    data, train = DATA / folder / "test.csv", DATA / folder / "train.csv"
    wanted = Wanted(
        task=task,
        data=str(data),
        train=str(train),
        models=("",),
        strategies=(strategy,),
        prompts=prompts_root(),
        limit=ITEMS,
        rules=("sum",),
    )
    plan = prepare(wanted).plan
    (chosen,) = plan.strategies
    made = []
    for item in plan.items:
        shown = chosen.selector.select(item) if chosen.selector else ()
        prompt = chosen.template.render(plan.task, plan.labels, item.fields, shown, backend)
        made.append(GenerationRequest("m", prompt.messages, answer_start=prompt.answer_start))
    return made, plan.labels


async def measure(name: str) -> list[list[str]]:
    rows = []
    for task, folder, strategy in (
        ("issue-triage", "issue-reports", "few_shot"),
        ("intent", "banking77", "zero_shot"),
    ):
        backend = load(name)
        requests, labels = requests_of(backend, task, folder, strategy)
        await backend.close()
        spent, alone = await score(name, requests, labels)
        times_three = "1.0"
        if len(labels) > 3:
            few, _ = await score(name, requests, labels[:3])
            times_three = f"{spent.seconds / few.seconds:.1f}"
        rows.append(
            [
                f"{folder} {strategy}",
                str(len(labels)),
                f"{alone / ITEMS:,.0f}",
                f"{spent.tokens / ITEMS:,.0f}",
                f"{alone / spent.tokens:.1f}x",
                f"{spent.seconds / ITEMS:.2f}",
                times_three,
            ]
        )
    return rows


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "smollm2-135m"
    columns = ["items", "labels", "tokens one by one", "tokens forwarded", "fewer", "s/item"]
    rows = asyncio.run(measure(name))
    show(f"labels, {name}, per item", [*columns, "all labels / 3"], rows)


main()
