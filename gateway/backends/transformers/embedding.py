"""Embeddings of a causal language model: the mean of its last layer's states."""

from collections.abc import Iterator, Sequence

from gateway.backends.transformers import passes
from gateway.backends.transformers.cache import Sequences
from gateway.backends.transformers.model import TorchModel
from gateway.backends.transformers.passes import Packed


def embed(
    model: TorchModel, texts: Sequence[Sequence[int]], adapter: str | None, threads: int
) -> list[tuple[float, ...]]:
    """The mean of the last states over each text's tokens, scaled to unit length.

    Each text runs alone, so that its bytes do not depend on the others.

    Returns:
        One vector of shape (dimensions,) a text.
    """
    with model.computing(threads):
        model.adapters.select(adapter)
        return [tuple(_embed_one(model, tokens, adapter)) for tokens in texts]


def _embed_one(model: TorchModel, tokens: Sequence[int], adapter: str | None) -> Iterator[float]:
    beginning = model.adapters.beginning(adapter)
    before = beginning.tokens if beginning else 0
    cache = Sequences(model.layers, 1, before + len(tokens))
    if beginning:
        for layer, held in zip(cache.of_layer, beginning.layers, strict=True):
            layer.put(0, *held)
    packed = Packed(model.shape(adapter))
    packed.add(0, before, tokens, 0)
    mean = passes.states(model.module, cache, packed).double().mean(dim=0)
    yield from (mean / mean.norm().clamp_min(1e-12)).cpu().tolist()
