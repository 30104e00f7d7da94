"""Which settings of the library change bytes, for each quantization type, and what each costs.

For every file, each setting alone and the fastest together, in a process of its own:

bitwise   what the gateway takes: no flash attention, no repacked weights, K-quants row by row
prefill   `kernels = "prefill"`: K-quants always by the tiled kernel
tiled     the library's own way with K-quants: the tiled kernel from 8 rows on
flash     flash attention
attention `attention = "flash"`: flash attention with keys of Q8_0, so that it has one kernel
repack    weights repacked for the processor
fastest   all of the library's own

"changed" counts, of 10 ways to cut or batch the same tokens, those whose logits differ by any bit
from one pass alone. Prefill is of 512 tokens, decode of 1, 8 and 32 sequences: tokens a second.

    scripts/bench settings [TYPE ...]

The types are made of SmolLM2, and K-quants of random weights 1024 wide: most of SmolLM2, which is
576 wide, cannot be K-quants. None named: the usual ones, and the models as they are pulled.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common import out, show
from gguf import GGUFReader, GGUFValueType, GGUFWriter
from rich.progress import track

from gateway.backends.llama_cpp.context import Attending, Context
from gateway.backends.llama_cpp.model import GgufModel
from gateway.backends.registry import load_models
from gateway.engine.context import PassRow
from gateway.engine.llama.quantizer import quantize
from gateway.models.locate import locate
from gateway.quantization.names import parse_level

TYPES = ("F16", "Q8_0", "Q5_0", "Q4_0", "Q6_K", "Q4_K_M")
SEQUENCES, LENGTH = 32, 200


@dataclass(frozen=True)
class Setting:
    tiled: str = "0"
    always: str = "0"
    attention: Attending = "plain"
    repack: bool = False


SETTINGS = {
    "bitwise": Setting(),
    "prefill": Setting(tiled="1", always="1"),
    "tiled": Setting(tiled="1"),
    "flash": Setting(attention="any"),
    "attention": Setting(attention="flash"),
    "repack": Setting(repack=True),
    "fastest": Setting(tiled="1", attention="any", repack=True),
}

PLANS: tuple[tuple[tuple[int, ...], int], ...] = (
    ((199, 1), 0),
    ((100, 100), 0),
    ((136, 64), 0),
    ((137, 63), 0),
    ((*[32] * 6, 8), 0),
    ((200,), 7),
    ((199, 1), 7),
    ((100, 100), 31),
    ((190, *[2] * 5), 0),
    ((190, 3, 3, 3, 1), 3),
)
"""Lengths of the pieces in which a text is read, and how many sequences take part in each pass."""


def load(path: Path, setting: Setting) -> Context:
    """A context with a setting that the gateway itself does not offer."""
    os.environ["GGML_CPU_TILED_MM"] = setting.tiled
    os.environ["GGML_CPU_TILED_MM_FORCE"] = setting.always
    return Context(
        GgufModel(path, repack=setting.repack),
        sequences=SEQUENCES,
        length=640,
        threads=os.cpu_count() or 1,
        batch_tokens=512,
        attention=setting.attention,
    )


def forget(context: Context, keep: int = 0) -> None:
    for sequence in range(SEQUENCES):
        context.truncate(sequence, keep)


def answer(context: Context, text: list[int], pieces: tuple[int, ...], beside: int) -> list[bytes]:
    """The logits after the text and after each of four greedy tokens."""
    forget(context)
    for other in range(1, beside + 1):
        context.decode([PassRow(other, i, text[(i + other) % LENGTH], i == 0) for i in range(20)])
    found: list[bytes] = []
    tokens, position = list(text), 0
    for turn, count in enumerate((*pieces, 1, 1, 1, 1)):
        rows = [
            PassRow(0, position + i, tokens[position + i], i == count - 1) for i in range(count)
        ]
        others = range(1, beside + 1)
        rows += [PassRow(o, 20 + turn, text[(turn + o) % LENGTH], False) for o in others]
        (logits,) = context.decode(rows)
        position += count
        if position >= LENGTH:
            found.append(logits.tobytes())
            tokens.append(int(np.argmax(logits)))
    return found


def changed(context: Context) -> int:
    text = np.random.default_rng(0).integers(1000, 20000, LENGTH).tolist()
    alone = answer(context, text, (LENGTH,), 0)
    return sum(answer(context, text, *plan) != alone for plan in PLANS)


def fastest_of(action: Callable[[], None], tokens: int, rounds: int = 3) -> float:
    """Tokens a second of the fastest round."""
    seconds = []
    for _ in range(rounds):
        begun = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - begun)
    return tokens / min(seconds)


def speeds(context: Context) -> list[float]:
    forget(context)

    def prefill() -> None:
        context.decode([PassRow(0, i, 1000 + i, i == 511) for i in range(512)])
        context.truncate(0, 0)

    found = [fastest_of(prefill, 512)]
    for together, steps in ((1, 32), (8, 16), (32, 6)):
        forget(context)
        for sequence in range(together):
            context.decode([PassRow(sequence, i, 1000 + i, i == 0) for i in range(64)])

        def decode(together: int = together, steps: int = steps) -> None:
            for step in range(steps):
                context.decode([PassRow(s, 64 + step, 1000 + step, True) for s in range(together)])
            forget(context, 64)

        found.append(fastest_of(decode, together * steps))
    return found


def write_random(path: Path, vocabulary: Path) -> None:
    """A llama of 8 layers, 1024 wide, random weights, with the vocabulary of another file."""
    layers, width, heads, kv_heads, inner, head = 8, 1024, 16, 4, 3072, 64
    writer = GGUFWriter(path, "llama")
    for name, field in GGUFReader(vocabulary).fields.items():
        if name.startswith("tokenizer.") and field.types[0] == GGUFValueType.ARRAY:
            writer.add_array(name, field.contents())
        elif name.startswith("tokenizer."):
            writer.add_key_value(name, field.contents(), field.types[0])
    tokens = len(GGUFReader(vocabulary).fields["tokenizer.ggml.tokens"].contents())
    writer.add_block_count(layers)
    writer.add_context_length(4096)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(head)
    draw = np.random.default_rng(0)

    def matrix(name: str, rows: int, columns: int) -> None:
        values = draw.standard_normal((rows, columns), dtype=np.float32) * columns**-0.5
        writer.add_tensor(f"{name}.weight", values.astype(np.float16))

    matrix("token_embd", tokens, width)
    writer.add_tensor("output_norm.weight", np.ones(width, np.float32))
    for layer in (f"blk.{n}" for n in range(layers)):
        for norm in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"{layer}.{norm}.weight", np.ones(width, np.float32))
        for name, rows in (("q", heads), ("k", kv_heads), ("v", kv_heads)):
            matrix(f"{layer}.attn_{name}", rows * head, width)
        matrix(f"{layer}.attn_output", width, width)
        matrix(f"{layer}.ffn_gate", inner, width)
        matrix(f"{layer}.ffn_up", inner, width)
        matrix(f"{layer}.ffn_down", width, inner)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def measure(name: str, path: Path) -> list[list[str]]:
    rows = []
    for setting in SETTINGS:
        command = [sys.executable, __file__, "--one", str(path), setting]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            rows.append([name, setting, f"ended with {done.returncode}", "", "", "", ""])
            continue
        count, found = json.loads(done.stdout)
        rows.append([name, setting, f"{count} of {len(PLANS)}", *(f"{rate:.0f}" for rate in found)])
    return rows


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        context = load(Path(sys.argv[2]), SETTINGS[sys.argv[3]])
        print(json.dumps([changed(context), speeds(context)]))
        return
    types = sys.argv[1:] or TYPES
    models = load_models()
    smollm2, gemma = (locate(models.get(name)) for name in ("smollm2-135m", "gemma3-270m"))
    with tempfile.TemporaryDirectory() as folder:
        wide = Path(folder) / "wide.gguf"
        write_random(wide, smollm2)
        files = {} if sys.argv[1:] else {"SmolLM2 Q4_1": smollm2, "Gemma 3 Q4_K_M": gemma}
        for kind in types:
            source, name = (wide, "random") if "_K" in kind else (smollm2, "SmolLM2")
            files[f"{name} {kind}"] = Path(folder) / f"{name}-{kind}.gguf"
            quantize(
                source,
                files[f"{name} {kind}"],
                parse_level(kind).number or 0,
                importance={},
                threads=os.cpu_count() or 1,
                on_tensor=lambda _: None,
            )
        rows = []
        for name, path in track(files.items(), "files", console=out):
            rows += measure(name, path)
    columns = ["file", "setting", "changed", "prefill", "decode x1", "x8", "x32"]
    show("kernels, tokens/s", columns, rows)


if __name__ == "__main__":
    main()
