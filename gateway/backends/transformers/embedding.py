"""Embeddings of a causal language model: the mean of its last layer's states."""

from collections.abc import Iterator, Sequence

import torch

from gateway.backends.transformers.model import TorchModel


def embed(
    model: TorchModel, texts: Sequence[Sequence[int]], adapter: str | None
) -> list[tuple[float, ...]]:
    """The mean of the last states over each text's tokens, scaled to unit length.

    Each text runs alone, so that its bytes do not depend on the others.

    Returns:
        One vector of shape (dimensions,) a text.
    """
    with model.lock, torch.inference_mode():
        model.adapters.select(adapter)
        with model.adapters.switched():
            return [tuple(_embed_one(model, tokens)) for tokens in texts]


def _embed_one(model: TorchModel, tokens: Sequence[int]) -> Iterator[float]:
    done = model.module(
        input_ids=torch.tensor([list(tokens)], device=model.device),
        use_cache=False,
        output_hidden_states=True,
        logits_to_keep=1,
    )
    mean = done.hidden_states[-1][0].double().mean(dim=0)
    yield from (mean / mean.norm().clamp_min(1e-12)).cpu().tolist()
