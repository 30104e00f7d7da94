"""2,000 requests of all kinds, many at a time, a fifth of them cancelled at a random moment.

What is not cancelled must answer as it did alone, byte by byte; nothing may be left waiting; and
the memory of the process must not grow once it has warmed up.
"""

import asyncio
import random
import sys
import time
from dataclasses import replace

import psutil
from common import issues, load, out, show
from rich.progress import Progress

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.core.types import Constraint, GenerationRequest, Message, Sampling

REQUESTS, TOGETHER, KINDS = 2000, 24, 40
CANCELLED = 0.2
LABELS = ("bug", "feature", "question", "a bug report")
WARM = 400
"""Requests after which memory is first read."""

Said = tuple[object, ...]


def requests(backend: LlamaCppBackend) -> list[GenerationRequest]:
    """Short and long, greedy and drawn, free and constrained; `ask` scores some."""
    made = []
    for number, text in enumerate(issues(KINDS)):
        prompt = backend.head(text, (10, 20, 40, 80)[number % 4])
        request = GenerationRequest(
            "m",
            (Message("user", prompt),),
            sampling=Sampling(max_tokens=8 + number % 9),
            logprobs=1,
        )
        if number % 5 == 1:
            drawn = replace(request.sampling, temperature=0.8, seed=number, top_p=0.9)
            request = replace(request, sampling=drawn)
        if number % 5 == 2:
            request = replace(request, constraint=Constraint("choices", LABELS))
        made.append(request)
    return made


async def ask(backend: LlamaCppBackend, number: int, request: GenerationRequest) -> Said:
    """Two in five are label scores."""
    if number % 5 >= 3:
        return (await backend.score_labels(request, LABELS)).logprobs
    done = await backend.generate(request)
    return done.text, done.token_ids, done.logprobs


async def soak(name: str) -> list[str]:
    backend = load(name, parallel=8, context_length=1024)
    asked = requests(backend)
    alone = [await ask(backend, n, request) for n, request in enumerate(asked)]
    draw, process = random.Random(0), psutil.Process()  # noqa: S311 - an order, no secret
    answered = cancelled = changed = 0
    memory: list[int] = []
    room = asyncio.Semaphore(TOGETHER)

    async def one(number: int, patience: float | None) -> None:
        nonlocal answered, cancelled, changed
        async with room:
            try:
                said = await asyncio.wait_for(ask(backend, number, asked[number]), patience)
                answered += 1
                changed += said != alone[number]
            except TimeoutError:
                cancelled += 1
        if (answered + cancelled) % 100 == 0:
            memory.append(process.memory_info().rss)
        progress.advance(bar)

    begun = time.perf_counter()
    with Progress(console=out) as progress:
        bar = progress.add_task(name, total=REQUESTS)
        async with asyncio.TaskGroup() as group:
            for _ in range(REQUESTS):
                patience = draw.uniform(0.0, 3.0) if draw.random() < CANCELLED else None
                group.create_task(one(draw.randrange(KINDS), patience))
    seconds = time.perf_counter() - begun
    left = len(backend._engine._running) + len(backend._engine._waiting)
    await backend.close()
    warm, most, last = memory[WARM // 100 - 1], max(memory), memory[-1]
    sizes = [f"{size / 1e6:.0f}" for size in (warm, most, last)]
    counts = [str(n) for n in (answered, cancelled, changed, left)]
    return [name, *counts, *sizes, f"{seconds:.0f}"]


def main() -> None:
    names = sys.argv[1:] or ["smollm2-135m"]
    rows = [asyncio.run(soak(name)) for name in names]
    columns = [
        "model",
        "answered",
        "cancelled",
        "changed",
        "left",
        f"MB after {WARM}",
        "most",
        "last",
    ]
    show(f"soak, {REQUESTS} requests, {TOGETHER} at a time", [*columns, "s"], rows)


main()
