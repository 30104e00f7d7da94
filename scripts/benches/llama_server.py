"""llama-server, as `scripts/peers` builds it: started on a file, asked over HTTP, stopped."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from common import ROOT
from servers import started

_PORT = 18080


@dataclass(frozen=True)
class Answer:
    """What a request got: text and the log-probability of each token."""

    text: str
    logprobs: tuple[float, ...]
    tokens: int


class LlamaServer:
    """A running server. Prompts are token ids, so that it reads what the gateway reads."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def ask(
        self, prompts: Sequence[Sequence[int]], tokens: int, together: int, *, endless: bool = False
    ) -> list[Answer]:
        """Greedy answers to all prompts, so many at a time.

        Args:
            tokens: most tokens of an answer; just so many where `endless`.
        """
        room = asyncio.Semaphore(together)
        limits = httpx.Limits(max_connections=together)
        async with httpx.AsyncClient(base_url=self.url, timeout=600, limits=limits) as client:

            async def one(prompt: Sequence[int]) -> Answer:
                body = {
                    "prompt": list(prompt),
                    "n_predict": tokens,
                    "temperature": 0.0,
                    "seed": 0,
                    "ignore_eos": endless,
                    "n_probs": 0 if endless else 1,
                }
                async with room:
                    reply = await client.post("/completion", json=body)
                reply.raise_for_status()
                return _answer(reply.json())

            return list(await asyncio.gather(*map(one, prompts)))


def _answer(said: dict[str, Any]) -> Answer:
    logprobs = tuple(entry["logprob"] for entry in said.get("completion_probabilities", ()))
    return Answer(said["content"], logprobs, said["tokens_predicted"])


@contextmanager
def llama_server(path: Path, *, slots: int, length: int, threads: int) -> Iterator[LlamaServer]:
    """A server with its defaults otherwise: flash attention, repacked weights, prompt cache."""
    program = ROOT / ".venv-peers" / "bin" / "llama-server"
    if not program.is_file():
        raise SystemExit("no .venv-peers: run scripts/peers first")
    command = [
        *(str(program), "-m", str(path), "--port", str(_PORT), "--host", "127.0.0.1"),
        *("-np", str(slots), "-c", str(slots * length)),
        *("-t", str(threads), "-tb", str(threads)),
    ]
    with started(command, _PORT, "/health") as url:
        yield LlamaServer(url)
