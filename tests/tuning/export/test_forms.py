"""One model whole, split or in shards computes the same, and so does what is made of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers.masking_utils import eager_mask

from gateway.backends.llama_cpp.context import Context
from gateway.backends.llama_cpp.model import GgufModel
from gateway.backends.transformers import proof
from gateway.backends.transformers.model import TorchModel
from gateway.engine.context import PassRow
from gateway.engine.llama.quantizer import quantize
from gateway.models.adapters.folder import read_adapter
from gateway.models.gguf_parts import read_model
from gateway.quantization.names import parse_level
from gateway.tuning.export.export import export
from gateway.tuning.export.merge import merge
from gateway.tuning.plan.architecture import from_path
from tests.backends.transformers.tiny import load, write_adapter, write_model
from tests.support.bases import entry, facts, write_tokenizer
from tests.support.tiny_gguf import Array, drawn, write_gguf
from tests.tuning.export.test_proof import gguf_adapter

__all__ = ["gguf_adapter"]

EXACT = 1e-4
IN_16_BITS = "in_16_bits"
"""Name of an attention that rounds as llama.cpp's does."""
MORE = 4.0
"""How many times what that rounding does: llama.cpp may also add up in 16 bits, by processor."""
TOKENS = np.random.default_rng(1).integers(3, 288, 40).tolist()


def small() -> dict[str, Array]:
    return {name: v * np.float32(0.4) if v.ndim > 1 else v for name, v in drawn().items()}


def on_llama_cpp(path: Path, adapter: Path | None = None) -> Array:
    model = GgufModel(path)
    loaded = model.adapter(adapter, "it", 1.0) if adapter else None
    context = Context(model, sequences=1, length=64, threads=1)
    rows = [PassRow(0, i, token, True, loaded) for i, token in enumerate(TOKENS)]
    found = np.stack([each.copy() for each in context.decode(rows)])
    context.close()
    model.close()
    return found


def attend(
    module: Any, query: Any, key: Any, value: Any, mask: Any, scaling: float, **_: Any
) -> tuple[Any, Any]:
    """Eager attention with what llama.cpp has in 16 bits: the cache, and what it is multiplied
    by."""
    groups = module.num_key_value_groups
    keys, values = (half(each).repeat_interleave(groups, 1) for each in (key, value))
    shares = half(torch.softmax(half(query) @ keys.mT * scaling + mask, -1))
    return (shares @ values).transpose(1, 2).contiguous(), shares


def half(numbers: Any) -> Any:
    return numbers.half().float()


transformers.AttentionInterface.register(IN_16_BITS, attend)
transformers.AttentionMaskInterface.register(IN_16_BITS, eager_mask)


def check_as_near_as_rounding(found: Array, path: Path, adapter: Path | None = None) -> None:
    """Whether llama.cpp's logits are from torch's as far as rounding alone puts them."""
    wanted = on_torch(path, adapter)
    rounded = np.abs(on_torch(path, adapter, IN_16_BITS) - wanted).max()
    assert np.abs(found - wanted).max() < MORE * rounded
    if adapter:
        assert np.abs(wanted - on_torch(path)).max() > 10 * MORE * rounded


def on_torch(path: Path, adapter: Path | None = None, attention: str = "eager") -> Array:
    model = TorchModel(path, dtype="float32", device="cpu")
    if adapter:
        model.adapters.select(model.add_adapter(adapter))
    model.module.set_attn_implementation(attention)
    with torch.inference_mode():
        made: Array = model.module(input_ids=torch.tensor([TOKENS])).logits[0].numpy()
    return made


def test_a_split_gguf_is_the_whole_one_everywhere(tmp_path: Path) -> None:
    whole = write_gguf(tmp_path / "whole.gguf", small())[0]
    parts = write_gguf(tmp_path / "split.gguf", small(), tensors_a_part=8)
    wanted = on_torch(whole)
    assert np.array_equal(on_torch(parts[1]), wanted)
    assert np.array_equal(on_llama_cpp(parts[0]), on_llama_cpp(whole))
    check_as_near_as_rounding(on_llama_cpp(parts[0]), parts[0])
    plans = [from_path(each) for each in (whole, *parts)]
    assert {(p.hidden, p.layers, p.vocabulary, p.tied) for p in plans} == {(64, 2, 288, False)}
    number = parse_level("Q8_0").number
    assert number is not None
    for source in (whole, parts[0]):
        made = source.with_suffix(".q8")
        quantize(source, made, number, importance={}, threads=1, on_tensor=lambda _: None)
    levels = [read_model(source.with_suffix(".q8")) for source in (whole, parts[0])]
    assert levels[0].parameters == levels[1].parameters == read_model(parts[2]).parameters


def test_llama_cpp_computes_with_an_exported_adapter_what_torch_does(
    gguf_adapter: Path, tmp_path: Path
) -> None:
    path = write_gguf(tmp_path / "base.gguf", small(), tensors_a_part=8)[0]
    base = facts(path)
    made = export(read_adapter(gguf_adapter), base, tmp_path / "adapter.gguf").path
    check_as_near_as_rounding(on_llama_cpp(path, made), path, gguf_adapter)


@pytest.mark.parametrize("size", ["100KB", "1GB"])
def test_merged_from_shards_it_is_base_and_adapter(tmp_path: Path, size: str) -> None:
    whole = write_model(tmp_path / "whole")
    shards = tmp_path / "in shards, größer"
    load(whole).save_pretrained(str(shards), max_shard_size=size)
    write_tokenizer(shards)
    adapter = write_adapter(tmp_path / "adapter", whole, "LORA")
    model = TorchModel(whole, dtype="float32", device="cpu")
    model.adapters.select(model.add_adapter(adapter))
    wanted = proof.logits(model.module)
    made = merge(
        read_adapter(adapter), facts(shards), entry(shards), shards, tmp_path / "m", lambda _: None
    )
    assert (proof.logits(load(made)) - wanted).abs().max() < EXACT
