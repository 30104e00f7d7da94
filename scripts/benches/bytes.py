"""24 prompts of about 800 tokens, 40 greedy tokens each, over HTTP: does any byte change?

Asked with OpenAI's and Ollama's own clients: through /v1 one after another of a fresh server, which
gives the bytes that all others are compared with; again; 32 clients at a time, streamed or not,
through /v1, through /api, and through both; and by `gateway run` in a process of its own, whose
report keeps texts and no log-probabilities.
"""

import asyncio
import csv
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ollama
import openai
from common import issues, load, out, show
from rich.progress import track
from servers import PROGRAM, gateway

PROMPTS, TOKENS, ANSWER, CLIENTS, PORT = 24, 800, 40, 32, 18084
LENGTH = 1024

TEMPLATE = f"""{{# mode = "generate"
max_tokens = {ANSWER} #}}
{{% block user %}}{{{{ text }}}}{{% endblock %}}
{{% block answer %}}{{% endblock %}}"""
TASK = """kind = "number"
minimum = 0
maximum = 1
[fields]
text = ["text"]
[answer]
gold = ["gold"]
"""


@dataclass(frozen=True, slots=True)
class Said:
    """Text, and the log-probability of each token."""

    text: str
    logprobs: tuple[tuple[str, float], ...]


Ask = Callable[[str, bool], Awaitable[Said]]
"""A prompt, and whether its answer is streamed."""


@dataclass(frozen=True, slots=True)
class Way:
    """How the prompts are asked: each in the way whose turn it is, so many at a time."""

    name: str
    clients: int
    turns: tuple[tuple[Ask, bool], ...]


async def through_v1(client: openai.AsyncOpenAI, prompt: str, stream: bool) -> Said:
    asked: dict[str, Any] = {
        "model": "bench",
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": ANSWER,
        "logprobs": True,
    }
    if stream:
        pieces = await client.chat.completions.create(**asked, stream=True)
        parts = [piece.choices[0] async for piece in pieces]
        text = "".join(part.delta.content or "" for part in parts)
    else:
        parts = [(await client.chat.completions.create(**asked)).choices[0]]
        text = parts[0].message.content
    entries = [e for part in parts if part.logprobs for e in part.logprobs.content or ()]
    return Said(text, tuple((e.token, e.logprob) for e in entries))


async def through_api(client: ollama.AsyncClient, prompt: str, stream: bool) -> Said:
    messages = [{"role": "user", "content": prompt}]
    asked: dict[str, Any] = {"logprobs": True, "options": {"num_predict": ANSWER}}
    if stream:
        parts = [p async for p in await client.chat("bench", messages, stream=True, **asked)]
    else:
        parts = [await client.chat("bench", messages, **asked)]
    text = "".join(part.message.content or "" for part in parts)
    entries = [entry for part in parts for entry in part.logprobs or ()]
    return Said(text, tuple((e.token, e.logprob) for e in entries))


async def over_http(url: str, prompts: Sequence[str]) -> list[tuple[str, list[Said], float]]:
    """Each way's name, what was said, and the seconds that it took."""
    found = []
    async with (
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", timeout=3600) as of_openai,
        ollama.AsyncClient(url, timeout=3600) as of_ollama,
    ):
        v1, api = partial(through_v1, of_openai), partial(through_api, of_ollama)
        mixed = ((v1, True), (api, False), (v1, False), (api, True))
        ways = [
            Way("/v1, one after another", 1, ((v1, False),)),
            Way("/v1, again", 1, ((v1, False),)),
            Way("/v1", CLIENTS, ((v1, False),)),
            Way("/v1, streamed", CLIENTS, ((v1, True),)),
            Way("/api, one after another", 1, ((api, False),)),
            Way("/api, streamed", CLIENTS, ((api, True),)),
            Way("both, half streamed", CLIENTS, mixed),
        ]
        for way in track(ways, console=out, description="asking"):
            begun = time.perf_counter()
            said = await ask_all(way, prompts)
            found.append((f"{way.name}, {way.clients}", said, time.perf_counter() - begun))
    return found


async def ask_all(way: Way, prompts: Sequence[str]) -> list[Said]:
    room = asyncio.Semaphore(way.clients)

    async def one(number: int, prompt: str) -> Said:
        ask, stream = way.turns[number % len(way.turns)]
        async with room:
            return await ask(prompt, stream)

    return list(await asyncio.gather(*(one(n, prompt) for n, prompt in enumerate(prompts))))


def through_run(folder: Path, models: Path, prompts: Sequence[str]) -> list[str]:
    """The texts that `gateway run` keeps."""
    task = folder / "prompts" / "bench"
    task.mkdir(parents=True)
    (task / "task.toml").write_text(TASK)
    (task / "zero_shot.j2").write_text(TEMPLATE)
    data = folder / "data.csv"
    with data.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [("id", "text", "gold"), *((n, p, 0) for n, p in enumerate(prompts))]
        )
    command = [PROGRAM, "run", "-q", "-t", "bench", "-s", "zero_shot", "-m", "bench"]
    command += ["--data", str(data), "--models-file", str(models), "--prompts", str(task.parent)]
    command += ["--store", str(folder / "run.db"), "--out", str(folder / "out")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    lines = (folder / "out" / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    found = [line for line in map(json.loads, lines) if line["cell"].startswith("bench/")]
    texts = {line["item_id"]: line["raw_text"] for line in found}
    return [texts[str(n)] for n in range(len(prompts))]


def entry(path: Path, parallel: int) -> str:
    source = f'source = {{ path = "{path}" }}'
    return f"[models.bench]\n{source}\nparallel = {parallel}\ncontext_length = {LENGTH}\n"


def measure(name: str) -> list[list[str]]:
    backend = load(name, parallel=1, context_length=LENGTH)
    path = backend._model.path
    # `gateway run` reads every end of a line as \\n.
    text = "\n\n".join(issues(400)).replace("\r\n", "\n")
    step = len(text) // CLIENTS
    prompts = [backend.head(text[i * step :], TOKENS).strip() for i in range(CLIENTS)]
    asyncio.run(backend.close())
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        many, few = folder / "many.toml", folder / "few.toml"
        many.write_text(entry(path, CLIENTS))
        few.write_text(entry(path, 4))
        with gateway(many, PORT) as url:
            found = asyncio.run(over_http(url, prompts))
        begun = time.perf_counter()
        texts = through_run(folder, few, prompts[:PROMPTS])
        seconds = time.perf_counter() - begun
    first = found[0][1][:PROMPTS]
    rows = []
    for how, said, took in found[1:]:
        pairs = list(zip(first, said, strict=False))
        changed = sum(a.text != b.text for a, b in pairs)
        moved = sum(a.logprobs != b.logprobs for a, b in pairs)
        rows.append([name, how, str(len(pairs)), str(changed), str(moved), f"{took:.0f}"])
    changed = sum(a.text != b for a, b in zip(first, texts, strict=True))
    return [*rows, [name, "gateway run", str(PROMPTS), str(changed), "", f"{seconds:.0f}"]]


def main() -> None:
    names = sys.argv[1:] or ["smollm2-135m"]
    rows = [row for name in names for row in measure(name)]
    columns = [
        "model",
        "how, clients",
        "prompts",
        "texts changed",
        "log-probabilities changed",
        "s",
    ]
    show("bytes", columns, rows)


main()
