"""How fast a file is on this machine, with the kernels and the passes of the gateway."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.backends.llama_cpp.context import Context
from gateway.backends.llama_cpp.model import GgufModel
from gateway.engine.context import PassRow
from gateway.engine.in_process import usable_cores
from gateway.engine.llama import library
from gateway.models.environment import digest_memory
from gateway.models.spec import Kernels
from gateway.models.weights import weights_digests
from gateway.quantization.ladder import Ladder
from gateway.quantization.make import Made

_PROMPT = 512
_ANSWER = 32
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens a second, of the fastest of three rounds."""

    prefill: float
    """Of a prompt of 512 tokens."""
    decode: float
    """One at a time, behind that prompt."""


def measure_speeds(
    ladder: Ladder,
    made: Sequence[Made],
    *,
    threads: int = 0,
    begin: Callable[[str, int], Callable[[], None]] = lambda *_: lambda: None,
) -> dict[str, Speed]:
    """Of each level, by its name; means nothing where something else runs beside it."""
    done, found = begin("speed", len(made)), {}
    for level in made:
        found[level.rung.level.name] = speed_of(level.path, ladder.source.spec.kernels, threads)
        done()
    return found


def speed_of(path: Path, kernels: Kernels, threads: int = 0) -> Speed:
    """Measure a file.

    Raises:
        ModelLoadError: it does not load.
    """
    library.settle_kernels(kernels, weights_digests(path, digest_memory()).types)
    model = GgufModel(path)
    try:
        context = Context(
            model, sequences=1, length=_PROMPT + _ANSWER, threads=threads or usable_cores()
        )
        try:
            return _measure(context, model.vocab_size)
        finally:
            context.close()
    finally:
        model.close()


def _measure(context: Context, vocabulary: int) -> Speed:
    def prefill() -> None:
        context.truncate(0, 0)
        for start in range(0, _PROMPT, context.batch_tokens):
            piece = range(start, start + context.batch_tokens)
            context.decode([PassRow(0, i, i % vocabulary, i == _PROMPT - 1) for i in piece])

    def decode() -> None:
        context.truncate(0, _PROMPT)
        for i in range(_PROMPT, _PROMPT + _ANSWER):
            context.decode([PassRow(0, i, i % vocabulary, True)])

    return Speed(_fastest(prefill, _PROMPT), _fastest(decode, _ANSWER))


def _fastest(action: Callable[[], None], tokens: int) -> float:
    seconds = []
    for _ in range(_ROUNDS):
        begun = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - begun)
    return tokens / min(seconds)
