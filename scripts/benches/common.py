"""What the benches share: real texts, a model, and a table with the machine above it."""

import csv
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gateway.backends.llama_cpp import library
from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.certificates import machine
from gateway.config import ModelSpec, load_models
from gateway.sources import locate

DATA = Path(__file__).parents[3] / "shared" / "data"

out = Console()


def load(name: str, **changes: object) -> LlamaCppBackend:
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


def show(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Machine and versions, then the table."""
    build = library.build()
    out.print(f"{title}: {machine()}, llama-cpp-python {build.version}", highlight=False)
    table = Table(*columns)
    for row in rows:
        table.add_row(*row)
    out.print(table)
