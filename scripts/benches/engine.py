"""The engine against bare loops of `llama_decode` at the same settings, side by side in one run.

prefill   label scoring of long prompts against one large prefill: tokens computed a second
decode    8 generations together against a bare loop over 8 sequences: tokens a second
server    the same 8 generations against llama-server with 8 slots and its fastest settings, on the
          same file, with the same threads: tokens a second
overhead  share of the engine's busy time that is not spent within `llama_decode`
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from common import bare_prefill, issues, load, show
from llama_server import LlamaServer, llama_server

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.context import Context
from gateway.core.types import GenerationRequest, Sampling
from gateway.engine.context import PassRow
from gateway.engine.engine import Stats

SEQUENCES, ANSWER, ROUNDS = 8, 64, 3
LABELS = ("bug", "feature", "question")


def bare_decode(backend: LlamaCppBackend, prompts: list[list[int]]) -> float:
    """Tokens a second of a greedy loop over all sequences, the prompts not counted."""
    context = Context(backend._model, sequences=len(prompts), length=1024, threads=backend.threads)
    last = []
    for sequence, prompt in enumerate(prompts):
        rows = [PassRow(sequence, i, t, i == len(prompt) - 1) for i, t in enumerate(prompt)]
        last.append(int(np.argmax(context.decode(rows)[0])))
    begun = time.perf_counter()
    for step in range(ANSWER - 1):
        rows = [PassRow(s, len(prompts[s]) + step, last[s], True) for s in range(len(prompts))]
        last = [int(np.argmax(row)) for row in context.decode(rows)]
    seconds = time.perf_counter() - begun
    context.close()
    return len(prompts) * (ANSWER - 1) / seconds


async def engine_prefill(backend: LlamaCppBackend, texts: list[str]) -> tuple[float, float]:
    """Tokens forwarded a second while labels are scored, and the engine's overhead."""
    before, begun = replace(backend.stats), time.perf_counter()
    requests = [GenerationRequest("m", prompt=f"{text}\nLabel:") for text in texts]
    await asyncio.gather(*(backend.score_labels(r, LABELS) for r in requests))
    tokens = backend.stats.tokens - before.tokens
    return tokens / (time.perf_counter() - begun), overhead(before, backend.stats)


async def engine_decode(backend: LlamaCppBackend, prompts: list[str]) -> tuple[float, float]:
    """Generated tokens a second of all together, and the engine's overhead.

    The prompts are read before, and found in the cache.
    """
    sampling = Sampling(max_tokens=ANSWER, logit_bias=backend_never_ends(backend))
    ask = [GenerationRequest("m", prompt=prompt, sampling=sampling) for prompt in prompts]
    await asyncio.gather(*map(backend.generate, ask))
    before, begun = replace(backend.stats), time.perf_counter()
    done = await asyncio.gather(*map(backend.generate, ask))
    seconds = time.perf_counter() - begun
    count = sum(len(d.token_ids) for d in done)
    return count / seconds, overhead(before, backend.stats)


async def server_decode(server: LlamaServer, prompts: Sequence[Sequence[int]]) -> float:
    """Generated tokens a second of all together; the prompts are in its cache."""
    begun = time.perf_counter()
    done = await server.ask(prompts, ANSWER, SEQUENCES, endless=True)
    return sum(answer.tokens for answer in done) / (time.perf_counter() - begun)


def backend_never_ends(backend: LlamaCppBackend) -> tuple[tuple[int, float], ...]:
    return tuple((token, -100.0) for token in backend._model.end_tokens)


def overhead(before: Stats, after: Stats) -> float:
    busy, decode = after.busy_s - before.busy_s, after.decode_s - before.decode_s
    return (busy - decode) / busy


async def measure(name: str) -> list[list[str]]:
    backend = load(name, parallel=SEQUENCES, context_length=1024)
    texts = [backend.head(text, 500) for text in issues(12)]
    tokens = [t for text in texts for t in backend._reader.plain_tokens(text)]
    starts = [backend.head(text, 24) for text in issues(SEQUENCES, skip=100)]
    bare = max(bare_prefill(backend, tokens) for _ in range(ROUNDS))
    scored = [await engine_prefill(backend, [f"{n}. {t}" for t in texts]) for n in range(ROUNDS)]
    ids = [backend.render(GenerationRequest("m", prompt=s)).token_ids for s in starts]
    path, threads = backend._model.path, backend.threads
    written, loop, theirs = [], 0.0, 0.0
    with llama_server(path, slots=SEQUENCES, length=1024, threads=threads) as server:
        await server.ask(ids, ANSWER, SEQUENCES, endless=True)
        # In turns, because a shared machine is faster in one minute than in the next.
        for _ in range(ROUNDS):
            theirs = max(theirs, await server_decode(server, ids))
            written.append(await engine_decode(backend, starts))
            loop = max(loop, bare_decode(backend, [list(tokens) for tokens in ids]))
    await backend.close()
    rows = []
    for what, reference, found in (
        ("prefill", bare, scored),
        ("decode x8", loop, written),
        ("llama-server x8", theirs, written),
    ):
        best, spent = max(found)
        ratio, share = f"{best / reference:.2f}", f"{spent:.1%}"
        rows.append([name, what, f"{reference:.0f}", f"{best:.0f}", ratio, share])
    return rows


def main() -> None:
    names = sys.argv[1:] or ["smollm2-135m", "gemma3-270m"]
    rows = [row for name in names for row in asyncio.run(measure(name))]
    columns = ["model", "what", "reference tokens/s", "engine tokens/s", "ratio", "overhead"]
    show(f"engine, best of {ROUNDS}", columns, rows)


main()
