"""24 prompts of about 800 tokens, 40 greedy tokens each: asked twice, and beside 8 and 32 others.

Counts texts and log-probabilities that differ by any bit from those of the first time, which a
freshly loaded model gave, one prompt after another. Beside it llama-server, the same tokens, with 8
slots: asked one after another, then again, then 8 at a time.
"""

import asyncio
import sys
import time

from common import issues, load, out, show
from llama_server import llama_server
from rich.progress import track

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.core.types import Completion, GenerationRequest, Sampling

PROMPTS, TOKENS, ANSWER = 24, 800, 40


async def ask(backend: LlamaCppBackend, prompts: list[str], together: int) -> list[Completion]:
    room = asyncio.Semaphore(together)

    async def one(prompt: str) -> Completion:
        async with room:
            sampling = Sampling(max_tokens=ANSWER)
            request = GenerationRequest("m", prompt=prompt, sampling=sampling, logprobs=1)
            return await backend.generate(request)

    return list(await asyncio.gather(*map(one, prompts)))


def changed(first: list[Completion], then: list[Completion]) -> tuple[int, int]:
    texts = sum(a.token_ids != b.token_ids for a, b in zip(first, then, strict=True))
    logprobs = sum(a.logprobs != b.logprobs for a, b in zip(first, then, strict=True))
    return texts, logprobs


async def measure(name: str) -> list[list[str]]:
    alone = load(name, parallel=1, context_length=1024)
    text = "\n\n".join(issues(400))
    step = len(text) // (PROMPTS + 8)
    prompts = [alone.head(text[i * step :], TOKENS) for i in range(PROMPTS + 8)]
    prompts, fillers = prompts[:PROMPTS], prompts[PROMPTS:]
    first = await ask(alone, prompts, 1)
    rows = []
    for label, parallel in (("asked again", 1), ("8 together", 8), ("32 together", 32)):
        backend = alone if parallel == 1 else load(name, parallel=parallel, context_length=1024)
        begun = time.perf_counter()
        then = await ask(backend, [*prompts, *fillers], parallel)
        seconds = time.perf_counter() - begun
        texts, logprobs = changed(first, then[:PROMPTS])
        row = [name, label, str(PROMPTS), str(texts), str(logprobs), f"{seconds:.0f}"]
        rows.append(row)
        if backend is not alone:
            await backend.close()
    tokens = [list(alone.render(GenerationRequest("m", prompt=p)).token_ids) for p in prompts]
    path, threads = alone._model.path, alone.threads
    await alone.close()
    with llama_server(path, slots=8, length=1024, threads=threads) as server:
        told = await server.ask(tokens, ANSWER, 1)
        for label, together in (("asked again", 1), ("8 together", 8)):
            begun = time.perf_counter()
            again = await server.ask(tokens, ANSWER, together)
            seconds = time.perf_counter() - begun
            texts = sum(a.text != b.text for a, b in zip(told, again, strict=True))
            logprobs = sum(a.logprobs != b.logprobs for a, b in zip(told, again, strict=True))
            what = f"llama-server, {label}"
            rows.append([name, what, str(PROMPTS), str(texts), str(logprobs), f"{seconds:.0f}"])
    return rows


def main() -> None:
    names = sys.argv[1:] or ["smollm2-135m", "gemma3-270m"]
    rows = [row for name in track(names, console=out) for row in asyncio.run(measure(name))]
    columns = ["model", "how", "prompts", "texts changed", "log-probabilities changed", "s"]
    show("repeat", columns, rows)


main()
