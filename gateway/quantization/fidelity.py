"""Models beside a reference on one text: perplexity and divergence, read chunk by chunk.

All models are in memory together and read the same tokens, so that the logits of no more than one
pass are kept. Kernels are those that the gateway takes for "bitwise" results: a model beside itself
has a divergence of exactly zero.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gateway.backends.llama_cpp.context import Context
from gateway.backends.llama_cpp.model import GgufModel
from gateway.core.digests import digest_text
from gateway.core.errors import ComparisonRefused, ModelLoadError
from gateway.core.sizes import available_bytes, readable
from gateway.engine.context import Adapter, PassRow
from gateway.engine.in_process import usable_cores
from gateway.engine.llama import library
from gateway.models.environment import digest_memory
from gateway.models.locate import described_digests
from gateway.models.weights import weights_digests
from gateway.quantization.chunks import Chunk, chunks_of, passes, read_text
from gateway.quantization.contents import Contents, contents_of
from gateway.quantization.divergence import (
    LEAST_IN_A_FILE,
    Divergence,
    Tokens,
    divergence,
    in_16_bits,
)
from gateway.quantization.perplexity import (
    Floats,
    Measured,
    first_evaluated,
    log_softmax,
    perplexity,
)
from gateway.quantization.source import Given


@dataclass(frozen=True, slots=True)
class Compared:
    """One model, and how far it is from the reference."""

    name: str
    weights: str
    """Digest of the contents."""
    contents: Contents
    divergence: Divergence


@dataclass(frozen=True, slots=True)
class Fidelity:
    """What was measured, and on what."""

    reference: str
    reference_weights: str
    reference_contents: Contents
    perplexity: Measured
    """The reference's."""
    text: str
    """Digest of the text."""
    context: int
    """Tokens of a chunk."""
    chunks: int
    tokens: int
    """That were evaluated."""
    version: str
    """Of llama-cpp-python."""
    in_16_bits: bool
    """Whether the reference's log-probabilities were rounded as llama-perplexity does."""
    models: tuple[Compared, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """How to measure."""

    text: Path
    context: int = 512
    chunks: int | None = None
    """Only so many; None: all whole ones of the text."""
    threads: int = 0
    """0: all usable cores."""
    in_16_bits: bool = False
    """Round the reference's log-probabilities as llama-perplexity does."""


def measure(
    reference: Given,
    models: Sequence[Given],
    wanted: Wanted,
    begin: Callable[[int], Callable[[], None]] = lambda _: lambda: None,
) -> Fidelity:
    """Read the text with all of them.

    Args:
        begin: called with the number of chunks; what it answers is called after each.

    Raises:
        DataError: the text cannot be read or is too short.
        ComparisonRefused: a model reads other tokens than the reference.
        ModelLoadError: a model does not load, or not all fit into memory together.
    """
    text = read_text(wanted.text)
    with _loaded((reference, *models), wanted) as readers:
        chunks = _common_chunks(readers, text, wanted)
        done = begin(len(chunks))
        losses: list[float] = []
        found = [Tokens(LEAST_IN_A_FILE if wanted.in_16_bits else -np.inf) for _ in models]
        for chunk in chunks:
            _read(readers, chunk, losses, found, rounded=wanted.in_16_bits)
            done()
    return Fidelity(
        reference=reference.name,
        reference_weights=_digest(reference),
        reference_contents=contents_of(reference.header, reference.path),
        perplexity=perplexity(losses),
        text=digest_text(text),
        context=wanted.context,
        chunks=len(chunks),
        tokens=len(losses),
        version=library.build().version,
        in_16_bits=wanted.in_16_bits,
        models=tuple(
            Compared(
                model.name,
                _digest(model),
                contents_of(model.header, model.path),
                divergence(tokens),
            )
            for model, tokens in zip(models, found, strict=True)
        ),
    )


class _Reader:
    """A loaded model with memory for one chunk."""

    def __init__(self, model: Given, wanted: Wanted) -> None:
        digests = described_digests(model.spec, model.path)
        library.settle_kernels(model.spec.kernels, digests.types)
        self.name = model.name
        self.vocabulary = GgufModel(model.path)
        try:
            self._context = Context(
                self.vocabulary,
                sequences=1,
                length=wanted.context,
                threads=wanted.threads or usable_cores(),
            )
            self._adapter = self._adapter_of(model)
        except Exception:
            self.vocabulary.close()
            raise

    def _adapter_of(self, model: Given) -> Adapter | None:
        if (path := model.spec.adapter) is None:
            return None
        digest = weights_digests(path, digest_memory()).contents
        return self.vocabulary.adapter(path, digest, model.spec.adapter_scale)

    def passes(self, chunk: Chunk) -> list[list[PassRow]]:
        self._context.truncate(0, 0)
        return [
            [replace(row, adapter=self._adapter) for row in rows]
            for rows in passes(chunk, first_evaluated(len(chunk)), self._context)
        ]

    def logprobs(self, rows: Sequence[PassRow]) -> Iterator[Floats]:
        """One forward pass; log-probabilities of each row with `output`, one at a time."""
        return map(log_softmax, self._context.decode(rows))

    def close(self) -> None:
        self._context.close()
        self.vocabulary.close()


@contextmanager
def _loaded(models: Sequence[Given], wanted: Wanted) -> Iterator[list[_Reader]]:
    files = {model.path: contents_of(model.header, model.path).total.size for model in models}
    if (needed := sum(files.values())) > (free := available_bytes()):
        raise ModelLoadError(
            f"the models' weights take {readable(needed)} together and {readable(free)} are free",
            hint="compare fewer models at a time",
        )
    with ExitStack() as stack:
        readers = []
        for model in models:
            reader = _Reader(model, wanted)
            stack.callback(reader.close)
            readers.append(reader)
        yield readers


def _common_chunks(readers: Sequence[_Reader], text: str, wanted: Wanted) -> tuple[Chunk, ...]:
    reference = readers[0]
    chunks = chunks_of(reference.vocabulary, text, wanted.context, wanted.chunks)
    for other in readers[1:]:
        same_size = other.vocabulary.vocab_size == reference.vocabulary.vocab_size
        if (
            not same_size
            or chunks_of(other.vocabulary, text, wanted.context, wanted.chunks) != chunks
        ):
            raise ComparisonRefused(
                f"{other.name} reads other tokens than {reference.name}: their predictions have "
                "nothing in common",
                hint="compare levels of one model",
            )
    return chunks


def _read(
    readers: Sequence[_Reader],
    chunk: Chunk,
    losses: list[float],
    found: Sequence[Tokens],
    *,
    rounded: bool,
) -> None:
    """One chunk by all of them, pass by pass; `rounded`: the reference in 16 bits."""
    reference, *others = readers
    for rows, *rest in zip(*(reader.passes(chunk) for reader in readers), strict=True):
        true = [chunk[row.position + 1] for row in rows if row.output]
        known = list(reference.logprobs(rows))
        losses += [-float(row[token]) for row, token in zip(known, true, strict=True)]
        if rounded:
            known = [in_16_bits(row) for row in known]
        for other, own_rows, tokens in zip(others, rest, found, strict=True):
            predicted = other.logprobs(own_rows)
            for mine, theirs, token in zip(known, predicted, true, strict=True):
                tokens.add(mine, theirs, token)


def _digest(model: Given) -> str:
    return weights_digests(model.path, digest_memory()).contents
