"""The HTTP layer: what it adds to an answer, and its throughput beside other servers.

latency     one client, answers of one token whose prompt is cached: seconds over HTTP against
            seconds of the backend in this process, asked in turns; the middle of each. The client
            is the standard library's, which adds least of its own. Before each of them nothing
            runs for a moment, or the threads of the one's pool would still spin on the cores of
            the other
throughput  8 and 32 clients, the same prompts and 48 tokens each through the same endpoint
            (/v1/completions) of the gateway, of llama-server with as many slots, and of
            llama-cpp-python's own server, one started after the other on the same file with the
            same threads
"""

import asyncio
import http.client
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
from common import ROOT, issues, load, out, show
from llama_server import llama_server
from servers import started

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.config import load_models
from gateway.sources import locate
from gateway.types import GenerationRequest, Sampling

NAME = "smollm2-135m"
LENGTH, ANSWER = 512, 48
ASKED = 200
SETTLE_S = 0.05
ROUNDS = 2
CLIENTS = (8, 32)


@contextmanager
def gateway(path: Path, parallel: int) -> Iterator[str]:
    """The gateway on an entry of its own, with so many sequences."""
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models.toml"
        models.write_text(
            f'[models.bench]\nsource = {{ path = "{path}" }}\n'
            f"parallel = {parallel}\ncontext_length = {LENGTH}\n"
        )
        program = str(ROOT / ".venv" / "bin" / "gateway")
        options = ["serve", "-m", "bench", "--models-file", str(models), "--port", "18081", "-q"]
        with started([program, *options], 18081, "/health/ready") as url:
            yield url


@contextmanager
def llama_cpp_python(path: Path) -> Iterator[str]:
    """llama-cpp-python's server; it works on one request after another."""
    python = str(ROOT / ".venv-peers" / "bin" / "python")
    threads = str(os.cpu_count())
    options = ["--model", str(path), "--port", "18082", "--n_ctx", str(LENGTH)]
    options += ["--n_threads", threads, "--n_threads_batch", threads]
    with started([python, "-m", "llama_cpp.server", *options], 18082, "/v1/models") as url:
        yield url


def body(prompt: str, tokens: int, bias: dict[str, int]) -> dict[str, object]:
    """A greedy request."""
    return {
        "model": "bench",
        "prompt": prompt,
        "max_tokens": tokens,
        "temperature": 0,
        "seed": 0,
        "logit_bias": bias,
    }


async def ask(client: httpx.AsyncClient, prompt: str, tokens: int, bias: dict[str, int]) -> int:
    """Tokens of a greedy answer."""
    reply = await client.post("/v1/completions", json=body(prompt, tokens, bias))
    if reply.status_code != 200:
        raise SystemExit(f"{reply.url}: {reply.status_code}: {reply.text[:500]}")
    return int(reply.json()["usage"]["completion_tokens"])


async def throughput(url: str, prompts: Sequence[str], clients: int, bias: dict[str, int]) -> float:
    """Generated tokens a second, the best round."""
    limits = httpx.Limits(max_connections=clients)
    best = 0.0
    async with httpx.AsyncClient(base_url=url, timeout=600, limits=limits) as client:
        await ask(client, prompts[0], 1, bias)
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            told = await asyncio.gather(*(ask(client, p, ANSWER, bias) for p in prompts[:clients]))
            best = max(best, sum(told) / (time.perf_counter() - begun))
    return best


async def latency(backend: LlamaCppBackend, path: Path, prompt: str) -> tuple[float, float]:
    """Middle seconds of the backend alone, and over HTTP."""
    request = GenerationRequest("m", prompt=prompt, sampling=Sampling(max_tokens=1))
    alone, served = [], []
    asked = json.dumps(body(prompt, 1, {}))
    with gateway(path, parallel=1) as url:
        client = http.client.HTTPConnection(httpx.URL(url).netloc.decode())
        for _ in range(ASKED):
            await asyncio.sleep(SETTLE_S)
            begun = time.perf_counter()
            await backend.generate(request)
            alone.append(time.perf_counter() - begun)
            await asyncio.sleep(SETTLE_S)
            begun = time.perf_counter()
            client.request("POST", "/v1/completions", asked, {"content-type": "application/json"})
            reply = client.getresponse()
            reply.read()
            served.append(time.perf_counter() - begun)
            if reply.status != 200:
                raise SystemExit(f"{url}: {reply.status}")
        client.close()
    return statistics.median(alone), statistics.median(served)


def main() -> None:
    path = locate(load_models().get(NAME))
    backend = load(NAME, parallel=1, context_length=LENGTH)
    bias = {str(token): -100 for token in backend._model.end_tokens}
    texts = issues(max(CLIENTS), skip=100)
    prompts = [backend.head(text, 24) for text in texts]
    alone, served = asyncio.run(latency(backend, path, prompts[0]))
    asyncio.run(backend.close())
    out.print(
        f"latency: backend {alone * 1e3:.1f} ms, over HTTP {served * 1e3:.1f} ms, "
        f"added {(served - alone) * 1e3:.2f} ms (p50 of {ASKED})",
        highlight=False,
    )
    rows = []
    for clients in CLIENTS:
        with gateway(path, clients) as url:
            own = asyncio.run(throughput(url, prompts, clients, bias))
        threads = os.cpu_count() or 1
        with llama_server(path, slots=clients, length=LENGTH, threads=threads) as server:
            theirs = asyncio.run(throughput(server.url, prompts, clients, bias))
        with llama_cpp_python(path) as url:
            python = asyncio.run(throughput(url, prompts, clients, bias))
        rows.append(
            [
                str(clients),
                *(f"{rate:.0f}" for rate in (own, theirs, python)),
                f"{own / theirs:.2f}",
                f"{own / python:.2f}",
            ]
        )
    columns = ["clients", "gateway", "llama-server", "llama_cpp.server"]
    ratios = ["of llama-server", "of llama_cpp.server"]
    show(f"serve, {NAME}, tokens/s", [*columns, *ratios], rows)


main()
