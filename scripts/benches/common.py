"""What the benches share: real texts, a model, and a table with the machine above it."""

import csv
import json
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.context import Context
from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.backends.registry import load_models
from gateway.core.types import GenerationRequest
from gateway.engine.context import PassRow
from gateway.engine.in_process import EngineBackend
from gateway.engine.llama import library
from gateway.evaluation.plan import RunOptions, prepare
from gateway.models.certificates import machine
from gateway.models.environment import prompts_root
from gateway.models.locate import locate

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"

# Each measures computing, not reading what an earlier one has computed.
os.environ.setdefault("GATEWAY_CACHE", "off")

out = Console()


def load(name: str, /, **changes: Any) -> LlamaCppBackend:
    """A model of llama.cpp by its name, with some keys of its entry changed."""
    spec = load_models().get(name)
    assert isinstance(spec, LlamaCppSpec)
    return LlamaCppBackend(replace(spec, **changes), locate(spec))


def issues(count: int, *, skip: int = 0) -> list[str]:
    """Title and body of so many real issues."""
    path = DATA / "issue-reports" / "test.csv"
    if not path.is_file():
        raise SystemExit(f"{path} is absent: this bench reads real texts from there")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [f"{row['title']}\n\n{row['body']}" for row in rows[skip : skip + count]]


def requests_of(
    backend: EngineBackend, task: str, folder: str, strategy: str, items: int
) -> tuple[list[GenerationRequest], tuple[str, ...]]:
    """The prompts that `gateway run` makes of the first items, and the labels."""
    wanted = RunOptions(
        task=task,
        data=str(DATA / folder / "test.csv"),
        train=str(DATA / folder / "train.csv"),
        models=("",),
        strategies=(strategy,),
        prompts=prompts_root(),
        limit=items,
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


def lm_eval(
    path: Path, texts: Sequence[str], labels: Sequence[str], peft: str = ""
) -> dict[str, Any]:
    """What lm-eval's hf backend makes of each text's labels: see `peer_lm_eval`.

    Args:
        path: a GGUF file; it is dequantized.
        peft: folder of a PEFT adapter on it.
    """
    python = ROOT / ".venv-peers" / "bin" / "python"
    if not python.is_file():
        raise SystemExit("no .venv-peers: run scripts/peers first")
    items = [{"prompt": text, "labels": list(labels)} for text in texts]
    asked = {"gguf": str(path), "peft": peft, "items": items}
    script = str(Path(__file__).with_name("peer_lm_eval.py"))
    # -P: a bench of ours must not be taken for a package of that environment with the same name.
    command = [str(python), "-P", script]
    done = subprocess.run(
        command, input=json.dumps(asked), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


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
        context.decode([PassRow(0, i, tokens[i % len(tokens)], i == piece[-1]) for i in piece])
    begun, count = time.perf_counter(), 0
    for start in range(0, len(tokens) - 512, 512):
        prompt = tokens[start : start + 512]
        context.decode([PassRow(0, behind + i, t, i == 511) for i, t in enumerate(prompt)])
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
