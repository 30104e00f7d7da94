"""Proof of a file before it gets its name: its logits against those of base and adapter."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from gateway.backends.transformers import library
from gateway.backends.transformers.adapter_folder import tokens_of
from gateway.backends.transformers.spec import TransformersSpec
from gateway.core.errors import ModelLoadError, ModelTooLarge
from gateway.core.sizes import available_bytes, readable
from gateway.models.adapters.base import Base, tensor_names
from gateway.models.adapters.folder import Adapter
from gateway.models.spec import Dtype, ModelSpec

_WIDE, _NARROW = 4, 2
"""Bytes of a weight as it is computed with."""


@dataclass(frozen=True)
class Prover:
    """Proves files that were made of one adapter and one base.

    Args:
        spec, path: the base's entry, and where its weights are.
        say: is told each step as it begins, and the figures.
    """

    adapter: Adapter
    base: Base
    spec: ModelSpec
    path: Path
    say: Callable[[str], None]

    def merged(self, made: Path, kind: str) -> None:
        """Prove a merged GGUF.

        Args:
            kind: of its weights: F32, F16.

        Raises:
            ModelLoadError: it computes something else, or cannot be loaded on torch.
            ModelTooLarge: memory does not suffice for the proof.
        """
        from gateway.backends.transformers import proof

        self.say("proving it on torch")
        with self._loaded(self.path) as module:
            base, wanted = self._both(module)
        del module  # Two models would need twice the memory.
        with self._loaded(made) as module:
            found = proof.logits(module, tokens_of(self.adapter.folder))
        self._require(base, wanted, found, {"F16": "float16"}.get(kind, "float32"))

    def exported(self, made: Path) -> None:
        """Prove a GGUF of the adapter: what it says is added to the base's own weights. Raises as
        `merged`."""
        from gateway.backends.transformers import proof

        self.say("proving it on torch")
        with self._loaded(self.path) as module:
            base, wanted = self._both(module)
            _add(module, made, self.base)
            found = proof.logits(module, tokens_of(self.adapter.folder))
        self._require(base, wanted, found, "float32")

    def _both(self, module: Any) -> tuple[Any, Any]:
        """Logits of the base and of base and adapter; the module is afterwards as before."""
        from gateway.backends.transformers import proof
        from gateway.backends.transformers.loading import ERRORS
        from gateway.backends.transformers.peft_loading import put_first, refuse_base_weights

        also = tokens_of(self.adapter.folder)
        base = proof.logits(module, also)
        refuse_base_weights(module, self.adapter.folder)
        try:
            model = put_first(module, self.adapter.folder, "default")
            wanted = proof.logits(module, also)
            model.unload()
        except ERRORS as exc:
            raise ModelLoadError(f"{self.adapter.folder}: PEFT cannot load it: {exc}") from exc
        return base, wanted

    def _require(self, base: Any, wanted: Any, found: Any, kept: str) -> None:
        from gateway.backends.transformers import proof

        narrowest = kept if self._dtype == "float32" else self._dtype
        figures = proof.compare(base, wanted, found, narrowest)
        self.say(str(proof.require(figures, self.adapter.folder)))

    @cached_property
    def _dtype(self) -> Dtype:
        """What memory suffices for."""
        return "float32" if self._weights * _WIDE < available_bytes() else "bfloat16"

    @property
    def _weights(self) -> int:
        matrices = [size for name, size in self.base.modules.items() if "norm" not in name]
        return sum(inputs * outputs for inputs, outputs in matrices)

    @contextmanager
    def _loaded(self, path: Path) -> Iterator[Any]:
        from gateway.backends.transformers.loading import load_unpacked

        needed = self._weights * (_WIDE if self._dtype == "float32" else _NARROW)
        if needed > (free := available_bytes()):
            raise ModelTooLarge(
                f"{self.base.name}: what is written is proved on torch, which takes "
                f"{readable(needed)}, and {readable(free)} are free",
                hint="nothing was written; a machine with more memory can",
            )
        device = TransformersSpec.like(self.spec).device
        library.load()
        yield load_unpacked(path, dtype=self._dtype, device=device)


def _add(module: Any, made: Path, base: Base) -> None:
    """Add what a GGUF of an adapter says to the weights, in the order of rows that transformers
    itself reads from a GGUF of the base."""
    import torch
    from gguf import GGUFReader
    from transformers.modeling_gguf_pytorch_utils import TENSOR_PROCESSORS, TensorProcessor

    architecture = str(base.gguf_architecture)
    reader = GGUFReader(made)
    alpha = reader.fields["adapter.lora.alpha"].contents()
    tensors = {str(tensor.name): tensor.data for tensor in reader.tensors}
    sizes = {"num_attention_heads": base.heads, "num_key_value_heads": base.kv_heads}
    order = TENSOR_PROCESSORS.get(architecture, TensorProcessor)(config=sizes)
    names = tensor_names(architecture, base.blocks)
    for place, layer in module.named_modules():
        name = f"{names.get_name(place)}.weight"
        if (down := tensors.pop(f"{name}.lora_a", None)) is None:
            continue
        up = tensors.pop(f"{name}.lora_b")
        added = order.process(up @ down * (alpha / len(down)), name).weights
        with torch.no_grad():
            layer.weight += torch.from_numpy(added).to(layer.weight)
    if tensors:
        raise ModelLoadError(f"{made}: the base has no place for {', '.join(sorted(tensors))}")
