"""A merged GGUF has its base's metadata, and in its tensors what base and adapter add up to."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import dequantize
from safetensors.numpy import load_file, save_file

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.registry import load_models
from gateway.backends.transformers.backend import TransformersBackend
from gateway.core.errors import ConfigError
from gateway.engine.llama.quantizer import quantize
from gateway.models.adapters.base import Base, read_base
from gateway.models.adapters.folder import CONFIG, WEIGHTS, read_adapter
from gateway.models.gguf import read_header
from gateway.models.gguf_reader import PlainReader
from gateway.models.spec import ModelSpec, PathSource
from gateway.quantization.names import parse_level
from gateway.tuning.export.merge import entry as written_entry
from gateway.tuning.export.merge_gguf import merge_gguf
from tests.backends.transformers.tiny import write_adapter
from tests.conftest import few_layers
from tests.quantization.tiny import LAYERS, write_tiny
from tests.support.bases import facts
from tests.support.torch_models import NAME, torch_spec
from tests.tuning.export.test_export import lora_on, scores, woven

WIDTH, HEADS, RANK, ALPHA = 256, 4, 4, 6.0
MODULES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "mlp.down_proj": "ffn_down",
}
PREFIX = "base_model.model.model.layers"
ENDS = (0, LAYERS - 1)


def silent(_: int) -> Callable[[], None]:
    return lambda: None


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Base]:
    """A small base in Q4_1."""
    folder = tmp_path_factory.mktemp("base")
    wide, path = write_tiny(folder / "wide.gguf", WIDTH), folder / "base.gguf"
    number = parse_level("Q4_1").number
    assert number is not None
    quantize(wide, path, number, importance={}, threads=1, on_tensor=lambda _: None)
    return path, read_base(ModelSpec("base", PathSource(path)), path)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA of drawn numbers on the first and the last layer of it."""
    draw = np.random.default_rng(3)
    shapes = {"lora_A": (RANK, WIDTH), "lora_B": (WIDTH, RANK)}
    tensors = {
        f"{PREFIX}.{layer}.{module}.{part}.weight": draw.normal(size=shape).astype(np.float32)
        for layer in ENDS
        for module in MODULES
        for part, shape in shapes.items()
    }
    folder = tmp_path_factory.mktemp("adapters") / "drawn"
    folder.mkdir()
    save_file(tensors, folder / WEIGHTS)
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA}
    (folder / CONFIG).write_text(json.dumps(config))
    return folder


def tensors_of(path: Path) -> dict[str, Any]:
    return {str(t.name): dequantize(t.data, t.tensor_type) for t in PlainReader(path).tensors}


@pytest.mark.parametrize("kind", ["F16", "F32"])
def test_the_file_is_the_base_s_with_the_lora_added(
    quantized: tuple[Path, Base], drawn: Path, tmp_path: Path, kind: str
) -> None:
    path, base = quantized
    made = merge_gguf(read_adapter(drawn), base, path, tmp_path / "m.gguf", kind, silent)
    wanted, found = tensors_of(path), tensors_of(made)
    assert {t.type for t in read_header(path).tensors if len(t.shape) > 1} == {"Q4_1", "Q6_K"}
    assert {t.type for t in read_header(made).tensors if len(t.shape) > 1} == {kind}
    weights = load_file(drawn / WEIGHTS)
    for layer in ENDS:
        for module, tensor in MODULES.items():
            place = f"{PREFIX}.{layer}.{module}"
            down, up = (weights[f"{place}.{part}.weight"] for part in ("lora_A", "lora_B"))
            delta = up @ down * np.float32(ALPHA / RANK)
            if tensor in ("attn_q", "attn_k"):
                delta = delta[np.argsort(woven(HEADS, WIDTH))]
            wanted[f"blk.{layer}.{tensor}.weight"] += delta
    # Half a unit of a 16-bit number's last place is 2**-11 of it.
    within = 2**-11 if kind == "F16" else 1e-5
    assert wanted.keys() == found.keys()
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, rtol=within, atol=1e-5, err_msg=name)


def test_nothing_but_the_type_and_the_name_is_said_otherwise(
    quantized: tuple[Path, Base], drawn: Path, tmp_path: Path
) -> None:
    path, base = quantized
    made = merge_gguf(read_adapter(drawn), base, path, tmp_path / "m.gguf", "F16", silent)
    old, new = (dict(read_header(each, arrays=True).metadata) for each in (path, made))
    assert new["general.name"] == "base with drawn"
    assert new["general.file_type"] == 1
    own = {"general.name", "general.file_type", "general.quantization_version"}
    assert {key for key in {*old, *new} if old.get(key) != new.get(key)} <= own
    assert "general.quantization_version" not in new


def test_the_same_adapter_gives_the_same_bytes_and_no_file_is_written_over(
    quantized: tuple[Path, Base], drawn: Path, tmp_path: Path
) -> None:
    path, base = quantized
    adapter = read_adapter(drawn)
    one, other = (
        merge_gguf(adapter, base, path, tmp_path / f"{n}.gguf", "F16", silent) for n in "ab"
    )
    assert one.read_bytes() == other.read_bytes()
    with pytest.raises(ConfigError, match="is there already"):
        merge_gguf(adapter, base, path, one, "F16", silent)
    assert not list(tmp_path.glob(".*"))


def test_only_a_lora_on_a_gguf_is_merged_into_one(tiny: Path, tmp_path: Path) -> None:
    lora_on(tmp_path / "lora", tiny)
    target = tmp_path / "m.gguf"
    with pytest.raises(ConfigError, match="is no GGUF"):
        merge_gguf(read_adapter(tmp_path / "lora"), facts(tiny), tiny, target, "F16", silent)
    other = read_adapter(write_adapter(tmp_path / "ia3", tiny, "IA3"))
    with pytest.raises(ConfigError, match="its type is IA3"):
        merge_gguf(other, facts(tiny), tiny / CONFIG.replace("adapter_", ""), target, "F16", silent)
    assert not target.exists()


def test_the_entry_of_a_merged_gguf_is_run_in_llama_cpp(drawn: Path, tmp_path: Path) -> None:
    spec, _ = few_layers(NAME)
    file, target = tmp_path / "models.toml", tmp_path / "merged.gguf"
    file.write_text(written_entry(read_adapter(drawn), spec, target))
    read = load_models(file).get(f"{NAME}-drawn")
    assert (read.backend, read.source) == ("llama_cpp", PathSource(target))


def test_llama_cpp_says_of_it_what_peft_says_of_base_and_adapter(
    adapters: dict[str, Path], smollm2_base: Base, tmp_path: Path
) -> None:
    """With weights of 32 bits llama.cpp rounds nothing: the default model, its vocabulary too."""
    spec, path = few_layers(NAME)
    folder = next(iter(adapters.values()))
    made = merge_gguf(read_adapter(folder), smollm2_base, path, tmp_path / "m.gguf", "F32", silent)
    merged = replace(
        spec, name="merged", source=PathSource(made), sha256="", parallel=1, context_length=512
    )
    here = LlamaCppBackend(merged, made)
    there = TransformersBackend(torch_spec(adapter=folder), path)
    try:
        np.testing.assert_allclose(scores(here), scores(there), atol=0.02)
    finally:
        for backend in (here, there):
            asyncio.run(backend.close())
