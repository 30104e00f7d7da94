"""The factors of a rotary embedding in a GGUF of Llama 3.1 are applied as llama.cpp does."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from gateway.backends.llama_cpp.context import Context
from gateway.backends.llama_cpp.model import GgufModel
from gateway.backends.transformers.model import TorchModel
from gateway.core.errors import ModelLoadError
from gateway.engine.context import PassRow
from tests.support.tiny_gguf import HEAD, Array, drawn, write_gguf

TOKENS = np.random.default_rng(1).integers(3, 288, 800).tolist()
SHOWN, PIECE = 50, 50


def factors(factor: float) -> Array:
    """As llama.cpp's converter computes them for a context of 8192 tokens."""
    found = []
    for i in range(0, HEAD, 2):
        length = 2 * math.pi * 10000.0 ** (i / HEAD)
        smooth = min(1.0, max(0.0, (8192 / length - 1) / 3))
        found.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(found, np.float32)


def small(factor: Array | None) -> dict[str, Array]:
    """Weights so small that the 16 bits of llama.cpp's cache do not count."""
    tensors = {name: v * np.float32(0.4) if v.ndim > 1 else v for name, v in drawn().items()}
    return tensors if factor is None else {**tensors, "rope_freqs.weight": factor}


def on_llama_cpp(path: Path) -> Array:
    model = GgufModel(path)
    context = Context(model, sequences=1, length=len(TOKENS), threads=1)
    found = []
    for start in range(0, len(TOKENS), PIECE):
        places = range(start, start + PIECE)
        rows = [PassRow(0, i, TOKENS[i], i >= len(TOKENS) - SHOWN) for i in places]
        found += [each.copy() for each in context.decode(rows)]
    context.close()
    model.close()
    return np.stack(found)


def on_torch(path: Path) -> Array:
    module = TorchModel(path, dtype="float32", device="cpu").module
    module.set_attn_implementation("eager")
    with torch.inference_mode():
        made: Array = module(input_ids=torch.tensor([TOKENS])).logits[0, -SHOWN:].numpy()
    return made


def test_llama_cpp_and_torch_turn_by_them_alike(tmp_path: Path) -> None:
    plain = on_torch(write_gguf(tmp_path / "plain.gguf", small(None))[0])
    path = write_gguf(tmp_path / "scaled.gguf", small(factors(8.0)))[0]
    scaled = on_torch(path)
    assert np.abs(scaled - on_llama_cpp(path)).max() < 1e-3
    assert np.abs(scaled - plain).max() > 0.05


def test_factors_of_another_scaling_are_refused_by_name(tmp_path: Path) -> None:
    other = factors(8.0) * np.linspace(1, 2, HEAD // 2, dtype=np.float32)
    path = write_gguf(tmp_path / "other.gguf", small(other))[0]
    with pytest.raises(ModelLoadError, match=r"no place for rope_freqs\.weight"):
        TorchModel(path, dtype="float32", device="cpu")


def test_a_model_saved_again_has_them_in_its_configuration(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "scaled.gguf", small(factors(32.0)))[0]
    module = TorchModel(path, dtype="float32", device="cpu").module
    module.save_pretrained(tmp_path / "saved")
    again = TorchModel(tmp_path / "saved", dtype="float32", device="cpu").module
    assert torch.equal(again.model.rotary_emb.inv_freq, module.model.rotary_emb.inv_freq)
    assert again.config.rope_parameters["factor"] == 32.0
