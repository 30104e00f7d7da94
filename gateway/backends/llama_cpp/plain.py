"""The same numbers by the plainest way there is, to compare with: one pass over a whole text, in a
context that is made for it and read once. No scheduler, no trie, no cache, no saved state."""

from collections.abc import Sequence

import numpy as np

from gateway.backends.llama_cpp.adapter import Adapter
from gateway.backends.llama_cpp.context import Attending
from gateway.backends.llama_cpp.embedding import Vector, outputs, unit
from gateway.backends.llama_cpp.model import GgufModel
from gateway.backends.llama_cpp.tiled import context_kind
from gateway.core.errors import OtherKind
from gateway.engine.context import Logits, PassRow
from gateway.engine.jobs import Vocabulary
from gateway.engine.sampling import log_normalizer, log_sum
from gateway.models.abilities import Pooling


def label_score(
    model: GgufModel,
    prompt: Sequence[int],
    label: Sequence[int],
    vocabulary: Vocabulary,
    *,
    threads: int,
    attention: Attending,
    adapter: Adapter | None,
) -> float:
    """ln P of a label's tokens behind a prompt, and of stopping there."""
    tokens = [*prompt, *label]
    first = len(prompt) - 1
    passed = [
        PassRow(0, i, token, i >= first, adapter, prompt=i <= first)
        for i, token in enumerate(tokens)
    ]
    context = context_kind(attention)(
        model,
        sequences=1,
        length=len(tokens),
        threads=threads,
        batch_tokens=len(tokens),
        attention=attention,
    )
    try:
        rows = context.decode(passed)
        return _summed(rows, label, vocabulary)
    finally:
        context.close()


def _summed(rows: Sequence[Logits], label: Sequence[int], vocabulary: Vocabulary) -> float:
    found = [float(row[token]) for row, token in zip(rows, label, strict=False)]
    stop = log_sum(rows[-1][vocabulary.stop_ids])
    return sum(found) + stop - sum(map(log_normalizer, rows))


def vector(
    model: GgufModel,
    tokens: Sequence[int],
    pooling: Pooling,
    *,
    threads: int,
    adapter: Adapter | None,
) -> Vector:
    """A text's unit vector, made here of the states of its tokens.

    Raises:
        OtherKind: they are pooled by layers of the model's own.
    """
    if pooling == "rank":
        raise OtherKind("a reranker's scores are made of more than the states of tokens")
    (states,) = outputs(model, [tokens], "none", threads=threads, adapter=adapter)
    if pooling == "mean":
        return unit(np.asarray(states.astype(np.float64).mean(axis=0), dtype=np.float32))
    return unit(states[0 if pooling == "cls" else -1])
