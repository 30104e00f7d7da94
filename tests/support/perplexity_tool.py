"""llama-perplexity's figures, found twice without the gateway's code for them: by its arithmetic on
the logits of one plain pass, and by the tool itself where scripts/peers has built it.

Reference: `kl_divergence` and both `log_softmax` in llama.cpp's tools/perplexity/perplexity.cpp.
"""

import ctypes
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from gateway.engine.llama import library
from tests.conftest import ROOT

TOOL = ROOT / ".venv-peers" / "bin" / "llama-perplexity"
LEAST, STEPS = -16.0, 65535

Logits = NDArray[np.float32]

PRINTED = {
    "perplexity": r"Mean PPL\(Q\) +: +(\S+) ± +(\S+)",
    "reference_perplexity": r"Mean PPL\(base\) +: +(\S+) ± +(\S+)",
    "log_ratio": r"Mean ln\(PPL\(Q\)/PPL\(base\)\) +: +(\S+) ± +(\S+)",
    "kl": r"Mean +KLD: +(\S+) ± +(\S+)",
    "rms_change": r"RMS Δp +: +(\S+) ± +(\S+)",
    "same_top": r"Same top p: +(\S+) ± +(\S+)",
    "kl 0.5": r"Median +KLD: +(\S+)",
    "kl 0.95": r"95\.0% +KLD: +(\S+)",
    "kl 0.99": r"99\.0% +KLD: +(\S+)",
    "kl 1": r"Maximum KLD: +(\S+)",
}
"""Figures and how the tool prints each; `PERCENT` in percent, divergences also as quantiles."""
PERCENT = frozenset({"rms_change", "same_top"})
QUANTILES = {"kl 0.5": 0.5, "kl 0.95": 0.95, "kl 0.99": 0.99, "kl 1": 1.0}


RECORDED_ON = frozenset(
    {"SSE3", "SSSE3", "AVX", "AVX2", "F16C", "FMA", "BMI2"}
    | {"AVX512", "AVX512_VBMI", "AVX512_VNNI", "AVX512_BF16"}
)
"""Instruction sets of the build that printed `RECORDED`; others add in another order."""
_NO_INSTRUCTIONS = frozenset({"OPENMP", "REPACK", "LLAMAFILE"})


@dataclass(frozen=True)
class Figure:
    value: float
    error: float = 0.0
    """0: none is printed."""


Figures = dict[str, Figure]

RECORDED: Figures = {
    "perplexity": Figure(27.605887, 4.171753),
    "reference_perplexity": Figure(26.266562, 3.866211),
    "log_ratio": Figure(0.049732, 0.018088),
    "kl": Figure(0.059811, 0.002895),
    "rms_change": Figure(5.066, 0.406),
    "same_top": Figure(82.275, 1.967),
    "kl 0.5": Figure(0.044098),
    "kl 0.95": Figure(0.143633),
    "kl 0.99": Figure(0.298970),
    "kl 1": Figure(0.407562),
}
"""Of SmolLM2 at Q4_K_M beside its Q4_1, tests/quantization/text.txt in chunks of 128."""


def by_its_arithmetic(reference: Path, model: Path, text: bytes, context: int) -> Figures:
    """Figures of a model beside its reference, over all whole chunks of a text."""
    known, found = (list(_evaluated(path, text, context)) for path in (reference, model))
    true = np.array([token for _, token in known])
    rows = np.arange(len(true))
    mine = np.array([_in_16_bits(logits) for logits, _ in known])
    theirs = log_softmax(np.array([logits for logits, _ in found], dtype=np.float64), axis=1)
    kls = np.where(mine > LEAST, np.exp(mine) * (mine - theirs), 0.0).sum(axis=1)
    losses, own = -theirs[rows, true], -mine[rows, true]
    changes = (np.exp(-losses) - np.exp(-own)) ** 2
    square = _mean(changes)
    root = float(np.sqrt(square.value))
    same = _mean(mine.argmax(axis=1) == theirs.argmax(axis=1))
    return {
        "perplexity": _exponential(_mean(losses)),
        "reference_perplexity": _exponential(_mean(own)),
        "log_ratio": _mean(losses - own),
        "kl": _mean(kls),
        "rms_change": Figure(100 * root, 100 * 0.5 * square.error / root),
        "same_top": Figure(100 * same.value, 100 * same.error),
        **{name: Figure(float(np.quantile(kls, share))) for name, share in QUANTILES.items()},
    }


def by_the_tool(
    reference: Path, model: Path, text: Path, context: int, folder: Path
) -> tuple[frozenset[str], Figures]:
    """Its instruction sets, and what it prints with the kernels that the gateway takes."""
    base = folder / "base.kld"
    _run(reference, text, context, "--kl-divergence-base", str(base))
    done = _run(model, text, context, "--kl-divergence-base", str(base), "--kl-divergence")
    (system_info,) = re.findall(r"^.*system_info: (.*)$", done.stderr, re.MULTILINE)
    found = {}
    for name, pattern in PRINTED.items():
        match = re.search(pattern, done.stdout)
        assert match, done.stdout
        found[name] = Figure(*map(float, match.groups()))
    return instructions(system_info), found


def instructions(system_info: str) -> frozenset[str]:
    """Instruction sets that a build of llama.cpp takes on this processor, as it tells of itself."""
    return frozenset(re.findall(r"\b([A-Z][A-Z0-9_]*) = 1", system_info)) - _NO_INSTRUCTIONS


def _run(model: Path, text: Path, context: int, *more: str) -> subprocess.CompletedProcess[str]:
    plain = ("--flash-attn", "off", "--no-repack", "-t", "1")
    command = [*map(str, (TOOL, "-m", model, "-f", text, "-c", context)), *plain, *more]
    settings = {**os.environ, "GGML_CPU_TILED_MM": "0"}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=settings)


def _evaluated(path: Path, text: bytes, context: int) -> Iterator[tuple[Logits, int]]:
    """Logits, and the token that comes, of the second half of each chunk."""
    lib = library.load()
    settings = lib.llama_model_default_params()
    settings.use_extra_bufts = False
    model = lib.llama_model_load_from_file(str(path).encode(), settings)
    params = lib.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = context
    params.n_threads = params.n_threads_batch = 1
    params.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
    handle = lib.llama_init_from_model(model, params)
    tokens = _tokens(lib, lib.llama_model_get_vocab(model), text)
    for start in range(0, len(tokens) - context + 1, context):
        chunk = tokens[start : start + context]
        rows = _read(lib, handle, chunk, lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model)))
        for position in range(context // 2, context - 1):
            yield rows[position], chunk[position + 1]
    lib.llama_free(handle)
    lib.llama_model_free(model)


def _tokens(lib: "ctypes.CDLL", vocabulary: int, text: bytes) -> list[int]:
    room = len(text) + 8
    ids = (ctypes.c_int32 * room)()
    count = lib.llama_tokenize(vocabulary, text, len(text), ids, room, True, False)
    return list(ids[:count])


def _read(
    lib: "ctypes.CDLL", handle: int, chunk: Sequence[int], vocabulary: int
) -> NDArray[np.float32]:
    """Logits of a chunk's tokens in one pass, shape (tokens, vocabulary)."""
    lib.llama_memory_clear(lib.llama_get_memory(handle), True)
    batch = lib.llama_batch_init(len(chunk), 0, 1)
    batch.n_tokens = len(chunk)
    for i, token in enumerate(chunk):
        batch.token[i], batch.pos[i], batch.n_seq_id[i] = token, i, 1
        batch.seq_id[i][0], batch.logits[i] = 0, True
    assert lib.llama_decode(handle, batch) == 0
    shape = (len(chunk), vocabulary)
    rows = np.ctypeslib.as_array(lib.llama_get_logits(handle), shape=shape).copy()
    lib.llama_batch_free(batch)
    return rows


def _in_16_bits(logits: Logits) -> NDArray[np.float64]:
    """Log-probabilities as the tool's file holds them: 16 bits over at most 16 nats."""
    exact = log_softmax(logits.astype(np.float64))
    least = max(exact.min(), exact.max() + LEAST)
    scale = (exact.max() - least) / STEPS
    found: NDArray[np.float64] = least + scale * np.round((exact - least).clip(min=0) / scale)
    return found


def _mean(values: NDArray[np.float64] | NDArray[np.bool_]) -> Figure:
    n = len(values)
    mean, squares = float(values.mean()), float((values.astype(np.float64) ** 2).mean())
    return Figure(mean, float(np.sqrt((squares - mean**2) / (n - 1))))


def _exponential(mean: Figure) -> Figure:
    value = float(np.exp(mean.value))
    return Figure(value, value * mean.error)
