"""Weights of 32 bits, with which llama.cpp rounds nothing to 8 bits as it does with those of fewer.

What it computes with them is the same on every processor, but for the order of its sums. That moves
log-probabilities by thousandths of a nat, where the rounding moves them by tenths. So figures that
were found elsewhere are held against these, and not against what one processor makes of the
quantized weights.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.engine.llama.quantizer import quantize
from gateway.models.spec import PathSource
from gateway.quantization.names import parse_level


@contextmanager
def in_32_bits(spec: LlamaCppSpec, path: Path, folder: Path) -> Iterator[LlamaCppBackend]:
    """A model, dequantized into a file that lasts as long as the block."""
    file = folder / f"{spec.name}.gguf"
    number = parse_level("F32").number
    assert number is not None
    quantize(path, file, number, importance={}, threads=2, on_tensor=lambda _: None)
    small = replace(spec, source=PathSource(file), sha256="", parallel=1, context_length=2048)
    backend = LlamaCppBackend(small, file)
    try:
        yield backend
    finally:
        asyncio.run(backend.close())
        file.unlink()
