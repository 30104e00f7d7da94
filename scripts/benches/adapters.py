"""PEFT adapters on torch: what equal bytes cost, beside lm-eval, switched by request, memory.

passes    tokens a second of the base model at "bitwise" and with `deterministic = "off"`: a piece
          of 128 tokens of a prompt, first or behind 768, and one token of 1, 2, 4, 8 sequences
memory    weights of the base model and of the base with one, two, three adapters, and the process
          that holds them
switched  label scores of the same issues behind the same examples, all with one adapter and in
          turns with three, one request after the other and all together; nothing is cached at
          first, so three adapters read the examples three times
speed     the same by the gateway at "bitwise", with `deterministic = "off"` and with
          `adapter_merged = true`, and by lm-eval's hf backend with `peft=`: the same weights (a
          GGUF, dequantized), the same LoRA adapter, float32, loading not counted. lm-eval reads
          with the tokenizer that transformers makes of a GGUF, which cuts line breaks before a
          number otherwise than the model's own; so some scores are a little apart

With names of parts only those are measured. The adapters are of rank 16 on all linear layers, with
numbers drawn from a seed: what they were taught costs no time.
"""

import asyncio
import gc
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from common import lm_eval, out, requests_of
from rich.table import Table

from gateway.backends.registry import load_models
from gateway.backends.transformers.backend import TransformersBackend
from gateway.backends.transformers.context import TorchContext
from gateway.backends.transformers.spec import TransformersSpec
from gateway.core.sizes import readable
from gateway.core.types import GenerationRequest, LabelScores
from gateway.engine.context import PassRow
from gateway.models.certificates import machine
from gateway.models.locate import locate

NAME = "smollm2-135m-torch"
TURN_END = "<|im_end|>"
TASK = ("issue-triage", "issue-reports", "few_shot")
ITEMS = 24
TURNS = 15


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


def load(adapter: Path | None = None, **changes: Any) -> TransformersBackend:
    spec = load_models().get(NAME)
    assert isinstance(spec, TransformersSpec)
    name = adapter.name if adapter else NAME
    return TransformersBackend(replace(spec, name=name, adapter=adapter, **changes), locate(spec))


async def score(
    backends: Sequence[TransformersBackend],
    requests: Sequence[GenerationRequest],
    labels: Sequence[str],
    *,
    together: bool = True,
) -> tuple[float, list[LabelScores]]:
    """Seconds of all requests, each to the backend of its place, and what they gave."""
    begun = time.perf_counter()
    asked = [backends[i % len(backends)].score_labels(r, labels) for i, r in enumerate(requests)]
    scores = await asyncio.gather(*asked) if together else [await one for one in asked]
    return time.perf_counter() - begun, scores


def speed(adapter: Path) -> list[list[str]]:
    spec = load_models().get(NAME)
    backend = load(adapter)
    requests, labels = requests_of(backend, *TASK, ITEMS)
    texts = [backend.render(request).text for request in requests]
    seconds, mine = asyncio.run(score([backend], requests, labels))
    asyncio.run(backend.close())
    rows = [["gateway, bitwise", f"{seconds:.1f}", "1.00x", "0"]]
    ways: dict[str, dict[str, object]] = {
        'gateway, bitwise, "merged"': {"adapter_merged": True},
        'gateway, "off"': {"deterministic": "off"},
    }
    for who, changes in ways.items():
        backend = load(adapter, **changes)
        own_seconds, scores = asyncio.run(score([backend], requests, labels))
        asyncio.run(backend.close())
        rows.append(_compared(who, own_seconds, [s.logprobs for s in scores], seconds, mine))
    gc.collect()
    theirs = lm_eval(locate(spec), texts, [f"{label}{TURN_END}" for label in labels], str(adapter))
    peer = f"lm-eval {theirs['version']}, hf, peft="
    return [*rows, _compared(peer, theirs["seconds"], theirs["scores"], seconds, mine)]


def _compared(
    who: str,
    seconds: float,
    scores: Sequence[Sequence[float]],
    own_seconds: float,
    own: Sequence[LabelScores],
) -> list[str]:
    pairs = zip(scores, own, strict=True)
    apart = max(abs(a - b) for x, y in pairs for a, b in zip(x, y.logprobs, strict=True))
    return [who, f"{seconds:.1f}", f"{seconds / own_seconds:.2f}x", f"{apart:.1g}"]


def switched(adapters: Sequence[Path], *, together: bool) -> list[str]:
    """Fresh engines each time: nothing is in a cache before the first request."""
    taken, found = [], []
    for used in (1, len(adapters)):
        backends = [load(adapter, parallel=8) for adapter in adapters[:used]]
        requests, labels = requests_of(backends[0], *TASK, ITEMS)
        seconds, scores = asyncio.run(score(backends, requests, labels, together=together))
        taken.append(seconds)
        found.append([s.logprobs for s in scores[:: len(adapters)]])
        for backend in backends:
            asyncio.run(backend.close())
    one, three = taken
    same = "the same bytes" if found[0] == found[1] else "other bytes"
    how = "together" if together else "one by one"
    return [how, f"{one:.1f}", f"{three:.1f}", f"{three / one:.2f}x", same]


def passes() -> list[list[str]]:
    backend = load(context_length=64, parallel=1)
    contexts = [
        TorchContext(
            backend._model,
            sequences=8,
            length=1024,
            batch_tokens=128,
            threads=backend.threads,
            fast=fast,
        )
        for fast in (False, True)
    ]
    tried: dict[str, list[PassRow]] = {
        f"prompt, behind {start}": [PassRow(0, start + i, i + 5, i == 127) for i in range(128)]
        for start in (0, 768)
    }
    for count in (1, 2, 4, 8):
        tried[f"{count} x one token"] = [PassRow(s, 200, 7, True) for s in range(count)]
    rows = []
    for what, fed in tried.items():
        # In turns: the machine's own speed moves.
        pairs = [[_rate(context, fed) for context in contexts] for _ in range(TURNS)]
        bitwise, off = map(max, zip(*pairs, strict=True))
        rows.append([what, f"{bitwise:.0f}", f"{off:.0f}", f"{bitwise / off:.2f}"])
    asyncio.run(backend.close())
    return rows


def _rate(context: TorchContext, rows: list[PassRow]) -> float:
    begun = time.perf_counter()
    context.decode(rows)
    return len(rows) / (time.perf_counter() - begun)


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

    asked = sys.argv[1:] or ["passes", "memory", "switched", "speed"]
    out.print(
        f"PEFT adapters, {NAME}: {machine()}, torch {torch.__version__}, peft {peft.__version__}",
        highlight=False,
    )
    if "passes" in asked:
        show("tokens a second", ["passes", "bitwise", "off", "ratio"], passes())
    with tempfile.TemporaryDirectory() as scratch:
        adapters = write_adapters(Path(scratch), 3)
        # Keeps the weights loaded between the parts; its engine serves none of them.
        kept = load(context_length=64, parallel=1)
        if "memory" in asked:
            show("memory", ["models", "weights", "process"], memory(adapters))
        if "switched" in asked:
            rows = [switched(adapters, together=together) for together in (False, True)]
            columns = ["requests", "one adapter, s", "three in turns, s", "ratio", "of the first"]
            show(f"switched, n = {ITEMS}", columns, rows)
        if "speed" in asked:
            title = f"label scores, {TASK[1]} {TASK[2]}, n = {ITEMS}"
            show(title, ["who", "s", "slower", "apart by"], speed(adapters[0]))
        asyncio.run(kept.close())


main()
