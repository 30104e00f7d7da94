"""A merged GGUF has its base's metadata, and in its tensors what base and adapter add up to."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGUFReader

from gateway.adapters.base import Base, read_base
from gateway.adapters.folder import read_adapter
from gateway.adapters.merge import entry as written_entry
from gateway.adapters.merge_gguf import merge_gguf
from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.transformers.backend import TransformersBackend
from gateway.config import ModelSpec, PathSource, load_models
from gateway.errors import ConfigError
from gateway.gguf_header import read_header
from tests.adapters.bases import facts
from tests.adapters.test_export import lora_on, scores, woven
from tests.backends.transformers.tiny import write_adapter
from tests.conftest import spec_and_path
from tests.torch_models import NAME, torch_spec


def silent(_: int) -> Callable[[], None]:
    return lambda: None


@pytest.fixture(scope="module")
def smollm2() -> tuple[ModelSpec, Path, Base]:
    spec, path = spec_and_path(NAME)
    return spec, path, read_base(spec, path)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory, smollm2: tuple[ModelSpec, Path, Base]) -> Path:
    """A LoRA on the first two layers of the default model."""
    import peft

    from gateway.backends.transformers.adapter_folder import quiet_peft
    from gateway.backends.transformers.model import TorchModel

    folder = tmp_path_factory.mktemp("adapters") / "drawn"
    model = TorchModel(smollm2[1], dtype="float32", device="cpu")
    config = peft.LoraConfig(
        r=4,
        lora_alpha=6,
        target_modules=["q_proj", "k_proj", "down_proj"],
        layers_to_transform=[0, 1],
        layers_pattern="layers",
    )
    with quiet_peft():
        made = peft.get_peft_model(model.module, config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for value in made.parameters():
            if value.requires_grad:
                value.copy_(torch.randn(value.shape, generator=generator) * 0.05)
    made.save_pretrained(str(folder), save_embedding_layers=False)
    model.close()
    return folder


def tensors_of(path: Path) -> dict[str, Any]:
    from gguf import dequantize

    return {str(t.name): dequantize(t.data, t.tensor_type) for t in GGUFReader(path).tensors}


@pytest.mark.parametrize("kind", ["F16", "F32"])
def test_the_file_is_the_base_s_with_the_lora_added(
    smollm2: tuple[ModelSpec, Path, Base], drawn: Path, tmp_path: Path, kind: str
) -> None:
    from safetensors.numpy import load_file

    _, path, base = smollm2
    made = merge_gguf(read_adapter(drawn), base, path, tmp_path / "m.gguf", kind, silent)
    before, after = tensors_of(path), tensors_of(made)
    weights = load_file(drawn / "adapter_model.safetensors")
    names = {"q_proj": "attn_q", "k_proj": "attn_k", "down_proj": "ffn_down"}
    changed = set()
    for key, down in weights.items():
        if ".lora_A." not in key:
            continue
        parts = key.split(".")
        layer, module = parts[parts.index("layers") + 1], parts[-3]
        delta = weights[key.replace("lora_A", "lora_B")] @ down * np.float32(6 / 4)
        if module in ("q_proj", "k_proj"):
            order = np.argsort(woven({"q_proj": 9, "k_proj": 3}[module], len(delta)))
            delta = delta[order]
        name = f"blk.{layer}.{names[module]}.weight"
        changed.add(name)
        wanted = before[name] + delta
        # Half a unit of a 16-bit number's last place: 2**-11 of it.
        np.testing.assert_allclose(
            after[name], wanted, rtol=2**-11 if kind == "F16" else 1e-6, atol=1e-6
        )
    assert len(changed) == 6
    for name in before.keys() - changed:
        np.testing.assert_allclose(after[name], before[name], rtol=2**-11, atol=1e-7)
    old, new = read_header(path, arrays=True).metadata, read_header(made, arrays=True).metadata
    assert {key for key in {*old, *new} if old.get(key) != new.get(key)} == {
        "general.file_type",
        "general.name",
        *({"general.quantization_version"} & old.keys()),
    }
    types = {tensor.type for tensor in read_header(made).tensors if len(tensor.shape) > 1}
    assert types == {kind}


def test_llama_cpp_says_of_it_what_peft_says_of_base_and_adapter(
    smollm2: tuple[ModelSpec, Path, Base], drawn: Path, tmp_path: Path
) -> None:
    _, path, base = smollm2
    made = merge_gguf(read_adapter(drawn), base, path, tmp_path / "m.gguf", "F32", silent)

    spec = replace(smollm2[0], name="merged", source=PathSource(made), sha256="", parallel=1)
    here = LlamaCppBackend(replace(spec, context_length=512), made)
    there = TransformersBackend(torch_spec(adapter=drawn), path)
    try:
        np.testing.assert_allclose(scores(here), scores(there), atol=0.02)
    finally:
        for backend in (here, there):
            asyncio.run(backend.close())


def test_the_same_adapter_gives_the_same_bytes_and_no_file_is_written_over(
    smollm2: tuple[ModelSpec, Path, Base], drawn: Path, tmp_path: Path
) -> None:
    _, path, base = smollm2
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
    with pytest.raises(ConfigError, match="is no GGUF"):
        merge_gguf(
            read_adapter(tmp_path / "lora"), facts(tiny), tiny, tmp_path / "m.gguf", "F16", silent
        )
    other = write_adapter(tmp_path / "ia3", tiny, "IA3")
    with pytest.raises(ConfigError, match="its type is IA3"):
        merge_gguf(
            read_adapter(other), facts(tiny), Path(__file__), tmp_path / "m.gguf", "F16", silent
        )


def test_the_entry_of_a_merged_gguf_is_run_in_llama_cpp(
    smollm2: tuple[ModelSpec, Path, Base], drawn: Path, tmp_path: Path
) -> None:
    file = tmp_path / "models.toml"
    target = tmp_path / "merged.gguf"
    file.write_text(written_entry(read_adapter(drawn), smollm2[0], target))
    read = load_models(file).get(f"{NAME}-drawn")
    assert (read.backend, read.source) == ("llama_cpp", PathSource(target))
