"""PEFT adapters on torch: beside lm-eval, switched from request to request, and their memory.

speed     label scores of the same issues behind the same examples, by the gateway at "bitwise" and
          with `deterministic = "off"`, and by lm-eval's hf backend with `peft=`: the same weights
          (a GGUF, dequantized), the same LoRA adapter, float32, models freshly loaded, loading not
          counted
switched  the same requests sent together, all to one adapter, and in turns to three
memory    weights of the base model and of the base with one, two, three adapters, and the process
          that holds them

The adapters are of rank 16 on all linear layers, with numbers drawn from a seed: what they were
taught costs no time.
"""

import asyncio
import gc
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psutil
from common import lm_eval, out, requests_of
from rich.table import Table

from gateway.backends.transformers.backend import TransformersBackend
from gateway.certificates import machine
from gateway.config import load_models
from gateway.memory import readable
from gateway.sources import locate
from gateway.types import GenerationRequest, LabelScores

NAME = "smollm2-135m-torch"
TURN_END = "<|im_end|>"
TASK = ("issue-triage", "issue-reports", "few_shot")
ITEMS = 12
PEER_ITEMS = 6
"""lm-eval needs most of a minute for one."""
ROUNDS = 2
"""Of both ways to switch, by turns; the faster of each counts."""


def write_adapters(folder: Path, count: int) -> list[Path]:
    """LoRA adapters for the base model, drawn from seeds."""
    import torch
    from peft import LoraConfig, get_peft_model

    from gateway.backends.transformers.adapter_folder import quiet_peft

    base = load()
    module = base._model.module
    config = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    made = []
    with quiet_peft():
        model = get_peft_model(module, config)
        for seed in range(count):
            drawn = torch.Generator().manual_seed(seed)
            with torch.no_grad():
                for name, value in model.named_parameters():
                    if "lora_" in name:
                        value.copy_(torch.randn(value.shape, generator=drawn) * 0.01)
            made.append(folder / f"drawn-{seed}")
            model.save_pretrained(str(made[-1]))
    asyncio.run(base.close())
    return made


def load(adapter: Path | None = None, **changes: object) -> TransformersBackend:
    spec = load_models().get(NAME)
    name = adapter.name if adapter else NAME
    return TransformersBackend(replace(spec, name=name, adapter=adapter, **changes), locate(spec))


async def score(
    backends: Sequence[TransformersBackend],
    requests: Sequence[GenerationRequest],
    labels: Sequence[str],
) -> tuple[float, list[LabelScores]]:
    """Seconds of all requests together, each to the backend of its place, and what they gave."""
    begun = time.perf_counter()
    pairs = [(backends[i % len(backends)], request) for i, request in enumerate(requests)]
    scores = await asyncio.gather(*(b.score_labels(r, labels) for b, r in pairs))
    return time.perf_counter() - begun, list(scores)


def speed(adapter: Path) -> list[list[str]]:
    spec = load_models().get(NAME)
    backend = load(adapter)
    requests, labels = requests_of(backend, *TASK, PEER_ITEMS)
    texts = [backend.render(request).text for request in requests]
    seconds, mine = asyncio.run(score([backend], requests, labels))
    asyncio.run(backend.close())
    backend = load(adapter, deterministic="off")
    fast_seconds, fast = asyncio.run(score([backend], requests, labels))
    asyncio.run(backend.close())
    gc.collect()
    theirs = lm_eval(locate(spec), texts, [f"{label}{TURN_END}" for label in labels], str(adapter))
    peer = f"lm-eval {theirs['version']}, hf, peft="
    return [
        ["gateway, bitwise", f"{seconds:.1f}", "1.0x", "0"],
        _compared('gateway, "off"', fast_seconds, [s.logprobs for s in fast], seconds, mine),
        _compared(peer, theirs["seconds"], theirs["scores"], seconds, mine),
    ]


def _compared(
    who: str,
    seconds: float,
    scores: Sequence[Sequence[float]],
    own_seconds: float,
    own: Sequence[LabelScores],
) -> list[str]:
    pairs = zip(scores, own, strict=True)
    apart = max(abs(a - b) for x, y in pairs for a, b in zip(x, y.logprobs, strict=True))
    return [who, f"{seconds:.1f}", f"{seconds / own_seconds:.1f}x", f"{apart:.1g}"]


def switched(adapters: Sequence[Path], **changes: object) -> list[str]:
    """Fresh models each time: nothing is in a cache before the first request."""
    best = {1: float("inf"), len(adapters): float("inf")}
    equal = True
    alone: dict[tuple[int, int], tuple[float, ...]] = {}
    for _ in range(ROUNDS):
        for used in best:
            backends = [load(adapter, **changes) for adapter in adapters[:used]]
            requests, labels = requests_of(backends[0], *TASK, ITEMS)
            seconds, scores = asyncio.run(score(backends, requests, labels))
            best[used] = min(best[used], seconds)
            for place, found in enumerate(scores):
                first = alone.setdefault((place, place % used), found.logprobs)
                equal = equal and first == found.logprobs
            for backend in backends:
                asyncio.run(backend.close())
    one, three = best.values()
    same = "the same bytes" if equal else "other bytes"
    mode = "off" if changes else "bitwise"
    return [mode, f"{one:.1f}", f"{three:.1f}", f"{three / one:.2f}x", same]


def memory(adapters: Sequence[Path]) -> list[list[str]]:
    process = psutil.Process()
    backends = [load()]
    rows = []
    for adapter in [None, *adapters]:
        if adapter:
            backends.append(load(adapter))
        gc.collect()
        weights = backends[-1].memory.weights
        taken = process.memory_info().rss
        rows.append([f"base + {len(backends) - 1}", readable(weights), readable(taken)])
    for backend in backends:
        asyncio.run(backend.close())
    return rows


def show(title: str, columns: list[str], rows: list[list[str]]) -> None:
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    out.print(table)


def main() -> None:
    import peft
    import torch

    out.print(
        f"PEFT adapters, {NAME}: {machine()}, torch {torch.__version__}, peft {peft.__version__}",
        highlight=False,
    )
    with tempfile.TemporaryDirectory() as scratch:
        adapters = write_adapters(Path(scratch), 3)
        # Keeps the weights loaded between the parts; its engine serves none of them.
        kept = load(context_length=64, parallel=1)
        show("memory", ["models", "weights", "process"], memory(adapters))
        rows = [switched(adapters), switched(adapters, deterministic="off")]
        columns = ["mode", "one adapter, s", "three in turns, s", "ratio", "again and beside"]
        show(f"switched, n = {ITEMS}", columns, rows)
        columns = ["who", "s", "slower", "apart by"]
        title = f"label scores, {TASK[1]} {TASK[2]}, n = {PEER_ITEMS}"
        show(title, columns, speed(adapters[0]))
        asyncio.run(kept.close())


main()
