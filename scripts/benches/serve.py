"""The HTTP layer: what it adds to an answer, and its throughput beside other servers.

latency     one client, answers of one token whose prompt is cached: seconds over HTTP against
            seconds of the backend without, in turns and on one engine, for which the server runs
            in a thread of this process; the middle of each. The client is a bare socket, which
            adds next to nothing of its own
throughput  8 and 32 clients, the same prompts and 48 tokens each through the same endpoint
            (/v1/completions) of the gateway, of llama-server with as many slots, and of
            llama-cpp-python's own server, on the same file with the same threads, in turns; the
            gateway's entry has the settings that `certify --fastest` chooses for this model where
            the library has a repacked kernel of Q4_0: split, repacked, flash attention
"""

import asyncio
import json
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import httpx
from common import ROOT, issues, load, out, show
from llama_server import llama_server
from servers import gateway, started

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.pool import ModelPool
from gateway.backends.registry import load_models
from gateway.core.types import GenerationRequest, Sampling
from gateway.models.file import Models
from gateway.models.locate import locate
from gateway.server.app import create_app
from gateway.server.running import in_a_thread
from gateway.server.settings import Settings

NAME = "smollm2-135m"
LENGTH, ANSWER = 512, 48
ASKED = 200
ROUNDS = 5
CLIENTS = (8, 32)
SETTINGS = 'attention = "flash"\nrepack = true\nsplit = true\n'


@contextmanager
def serving(path: Path, parallel: int) -> Iterator[str]:
    """The gateway on an entry of its own, with so many sequences."""
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models.toml"
        models.write_text(
            f'[models.bench]\nsource = {{ path = "{path}" }}\n'
            f"parallel = {parallel}\ncontext_length = {LENGTH}\n{SETTINGS}"
        )
        with gateway(models, 18081) as url:
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


async def ask(
    client: httpx.AsyncClient, url: str, prompt: str, tokens: int, bias: dict[str, int]
) -> int:
    """Tokens of a greedy answer."""
    reply = await client.post(f"{url}/v1/completions", json=body(prompt, tokens, bias))
    if reply.status_code != 200:
        raise SystemExit(f"{reply.url}: {reply.status_code}: {reply.text[:500]}")
    return int(reply.json()["usage"]["completion_tokens"])


async def throughput(
    urls: Sequence[str], prompts: Sequence[str], clients: int, bias: dict[str, int]
) -> list[float]:
    """Generated tokens a second of each server: the best of rounds that they take in turns."""
    limits = httpx.Limits(max_connections=clients)
    best = [0.0] * len(urls)
    async with httpx.AsyncClient(timeout=600, limits=limits) as client:
        for url in urls:
            await ask(client, url, prompts[0], 1, bias)
        for _ in range(ROUNDS):
            for number, url in enumerate(urls):
                begun = time.perf_counter()
                asked = (ask(client, url, prompt, ANSWER, bias) for prompt in prompts[:clients])
                tokens = sum(await asyncio.gather(*asked))
                best[number] = max(best[number], tokens / (time.perf_counter() - begun))
    return best


def read_reply(replies: BinaryIO) -> None:
    """To its end."""
    status = replies.readline()
    if b" 200 " not in status:
        raise SystemExit(f"/v1/completions: {status!r}")
    length = 0
    while (line := replies.readline()) != b"\r\n":
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    replies.read(length)


async def latency(backend: LlamaCppBackend, prompt: str) -> tuple[float, float]:
    """Middle seconds of the backend alone, and over HTTP."""
    request = GenerationRequest("m", prompt=prompt, sampling=Sampling(max_tokens=1))
    alone, served = [], []
    content = json.dumps(body(prompt, 1, {})).encode()
    head = "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    asked = f"{head}content-length: {len(content)}\r\n\r\n".encode() + content
    models = Models({"bench": backend.spec}, "bench")
    app = create_app(ModelPool(models), Settings(log_requests=False))
    with (
        in_a_thread(app) as listener,
        socket.create_connection(listener.getsockname()) as client,
        client.makefile("rb") as replies,
    ):
        for _ in range(ASKED):
            begun = time.perf_counter()
            await backend.generate(request)
            alone.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            client.sendall(asked)
            read_reply(replies)
            served.append(time.perf_counter() - begun)
    return statistics.median(alone), statistics.median(served)


def main() -> None:
    path = locate(load_models().get(NAME))
    backend = load(NAME, name="bench", parallel=1, context_length=LENGTH, attention="flash")
    bias = {str(token): -100 for token in backend._model.end_tokens}
    texts = issues(max(CLIENTS), skip=100)
    prompts = [backend.head(text, 24) for text in texts]
    alone, served = asyncio.run(latency(backend, prompts[0]))
    asyncio.run(backend.close())
    out.print(
        f"latency: backend {alone * 1e3:.1f} ms, over HTTP {served * 1e3:.1f} ms, "
        f"added {(served - alone) * 1e3:.2f} ms (p50 of {ASKED})",
        highlight=False,
    )
    rows = []
    threads = os.cpu_count() or 1
    for clients in CLIENTS:
        with (
            serving(path, clients) as own,
            llama_server(path, slots=clients, length=LENGTH, threads=threads) as other,
            llama_cpp_python(path) as python,
        ):
            urls = [own, other.url, python]
            rates = asyncio.run(throughput(urls, prompts, clients, bias))
        rows.append(
            [
                str(clients),
                *(f"{rate:.0f}" for rate in rates),
                *(f"{rates[0] / rate:.2f}" for rate in rates[1:]),
            ]
        )
    columns = ["clients", "gateway", "llama-server", "llama_cpp.server"]
    ratios = ["of llama-server", "of llama_cpp.server"]
    show(f"serve, {NAME}, tokens/s", [*columns, *ratios], rows)


main()
