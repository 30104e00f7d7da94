"""What prompt tuning, p-tuning and prefix tuning have learned: a beginning before every prompt.

Such an adapter changes no layer. Its beginning lies in the memory of a sequence as tokens would,
and the prompt's positions follow it, as in `PeftModelForCausalLM.forward`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gateway.backends.transformers import passes
from gateway.backends.transformers.adapter_folder import quiet_peft
from gateway.backends.transformers.cache import Sequences
from gateway.backends.transformers.passes import ALONE
from gateway.core.lists import first_names
from gateway.models.adapters.folder import WEIGHTS, read_adapter

_LEARNED = "prompt_embeddings"
"""The one tensor of such an adapter."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """Keys and values of every layer, each of shape (heads, tokens, dimensions)."""

    layers: tuple[tuple[torch.Tensor, torch.Tensor], ...]

    @property
    def tokens(self) -> int:
        """How many tokens' room it takes."""
        return int(self.layers[0][0].shape[1])


def read_beginning(module: Any, layers: int, folder: Path) -> Beginning:
    """Compute an adapter's beginning; the model stays as it was.

    Raises:
        ValueError: the adapter is for a model of another size, or holds more than a beginning.
    """
    from peft import PeftModel

    # A pickle is read by PEFT alone.
    held = read_adapter(folder).tensors if (folder / WEIGHTS).is_file() else ()
    if more := {name for name in held if name != _LEARNED}:
        raise ValueError(f"it holds tensors that are no beginning: {first_names(more)}")
    with quiet_peft():
        loaded = PeftModel.from_pretrained(module, str(folder), is_trainable=False)
    with torch.inference_mode():
        prompt = loaded.get_prompt(batch_size=1)
        if not isinstance(prompt, torch.Tensor):
            return Beginning(tuple((layer.keys[0], layer.values[0]) for layer in prompt.layers))
        vectors = prompt[0].to(module.dtype)
        width = int(module.get_input_embeddings().weight.shape[1])
        if vectors.shape[1] != width:
            raise ValueError(f"its vectors have {vectors.shape[1]} numbers, the model's {width}")
        cache = Sequences(layers, 1, len(vectors))
        passes.read_vectors(module, cache, vectors, ALONE)
        return Beginning(tuple(_held(layer, len(vectors)) for layer in cache.of_layer))


def _held(layer: Any, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    return layer.keys[0, :, :tokens].clone(), layer.values[0, :, :tokens].clone()
