"""What the benches share: real texts, a model, and a table with the machine above it."""

import csv
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.context import Context
from gateway.certificates import machine
from gateway.config import ModelSpec, load_models
from gateway.engine.context import Row
from gateway.llama import library
from gateway.sources import locate

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"

out = Console()


def load(name: str, /, **changes: object) -> LlamaCppBackend:
    """A model by its name, with some keys of its entry changed."""
    spec: ModelSpec = load_models().get(name)
    return LlamaCppBackend(replace(spec, **changes), locate(spec))


def issues(count: int, *, skip: int = 0) -> list[str]:
    """Title and body of so many real issues."""
    path = DATA / "issue-reports" / "test.csv"
    if not path.is_file():
        raise SystemExit(f"{path} is absent: this bench reads real texts from there")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [f"{row['title']}\n\n{row['body']}" for row in rows[skip : skip + count]]


def bare_prefill(backend: LlamaCppBackend, tokens: list[int], behind: int = 0) -> float:
    """Tokens a second of prompts of 512 tokens, each in one pass, the last one's logits wanted.

    Args:
        behind: tokens that each prompt attends to beside its own; they are read before.
    """
    length = behind + 512
    context = Context(
        backend._model, sequences=1, length=length, threads=backend.threads, batch_tokens=512
    )
    for start in range(0, behind, 512):
        piece = range(start, min(start + 512, behind))
        context.decode([Row(0, i, tokens[i % len(tokens)], i == piece[-1]) for i in piece])
    begun, count = time.perf_counter(), 0
    for start in range(0, len(tokens) - 512, 512):
        prompt = tokens[start : start + 512]
        context.decode([Row(0, behind + i, t, i == 511) for i, t in enumerate(prompt)])
        context.truncate(0, behind)
        count += 512
    seconds = time.perf_counter() - begun
    context.close()
    return count / seconds


def show(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Machine and versions, then the table."""
    build = library.build()
    out.print(f"{title}: {machine()}, llama-cpp-python {build.version}", highlight=False)
    table = Table(*columns)
    for row in rows:
        table.add_row(*row)
    out.print(table)
