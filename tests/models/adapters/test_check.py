"""An adapter fits the base that it was trained on; another base is told apart, with reasons."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import transformers

from gateway.backends.transformers.spec import TransformersSpec
from gateway.core.errors import ConfigError, ModelLoadError
from gateway.models.adapters.base import Base, read_base
from gateway.models.adapters.card import Card, RecordedBase, write_card
from gateway.models.adapters.check import other_weights, remarks, why_not
from gateway.models.adapters.folder import CONFIG
from gateway.models.spec import PathSource
from tests.backends.transformers.tiny import ADAPTERS, MODELS, SIZES, write_adapter, write_model
from tests.models.adapters.test_folder import LORA, write
from tests.support.bases import facts

Q = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.mark.parametrize("kind", ADAPTERS)
def test_every_type_fits_the_base_that_it_was_made_on(
    tiny: Path, tmp_path: Path, kind: str
) -> None:
    assert why_not(write_adapter(tmp_path, tiny, kind), facts(tiny)) == ()


@pytest.mark.parametrize("kind", ["LORA", "LOHA", "ADALORA", "DELORA", "HRA", "PROMPT_TUNING"])
def test_a_base_of_another_width_is_told_apart(tmp_path: Path, kind: str) -> None:
    wide = tmp_path / "wide"
    config = transformers.LlamaConfig(**{**SIZES, "hidden_size": 32, "head_dim": 8})
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(str(wide))
    base = facts(write_model(tmp_path / "base"))
    reasons = why_not(write_adapter(tmp_path / "adapter", wide, kind), base)
    assert reasons
    if kind == "LORA":
        assert reasons[0] == (
            "lora_A of model.layers.0.self_attn.q_proj is for inputs of 32, the base's are 64"
        )


@pytest.mark.parametrize("family", MODELS)
def test_facts_of_a_folder_are_those_of_the_loaded_model(tmp_path: Path, family: str) -> None:
    from torch import nn

    base = facts(write_model(tmp_path, family))
    model = transformers.AutoModelForCausalLM.from_pretrained(str(tmp_path))
    widths = {
        name: (module.in_features, module.out_features)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
    }
    assert widths.items() <= base.modules.items()
    assert base.modules["model.embed_tokens"] == (160, 64)
    assert (base.architecture, base.hidden_size) == (model.config.model_type, 64)
    assert base.tied == model.config.tie_word_embeddings


def test_a_gguf_has_the_modules_of_its_folder(smollm2_base: Base, folder: Path) -> None:
    spec = TransformersSpec("folder", PathSource(folder))
    same = read_base(spec, folder)
    assert smollm2_base.modules == same.modules
    alike = replace(same, name=smollm2_base.name, digest=smollm2_base.digest)
    assert smollm2_base == alike
    assert smollm2_base.digest != same.digest


def test_the_digests_are_the_backend_s(smollm2_base: Base, dequantized: object, tiny: Path) -> None:
    from gateway.backends.transformers import backend
    from tests.support.bases import entry

    assert isinstance(dequantized, backend.TransformersBackend)
    assert dequantized.identity["weights"] == smollm2_base.digest
    assert backend._weights(entry(tiny), tiny).digest == facts(tiny).digest


def test_what_a_card_records_is_compared(tiny: Path, tmp_path: Path) -> None:
    base = facts(tiny)
    folder = write_adapter(tmp_path, tiny, "LORA")
    recorded = RecordedBase("tiny", base.digest, "llama", 64)
    write_card(folder, Card(recorded))
    assert why_not(folder, base) == ()
    write_card(folder, Card(RecordedBase("other", "ab" * 32, "qwen2", 128)))
    weights, family, size = why_not(folder, base)
    assert weights.startswith("it was trained on other, contents abababababab")
    assert family == "it was trained on the architecture qwen2, this base is llama"
    assert size == "it was trained on a hidden size of 128, this base has 64"


def test_without_a_card_nothing_is_known_of_the_weights(tiny: Path, tmp_path: Path) -> None:
    assert other_weights(None, facts(tiny).digest) == ""
    (said,) = remarks(write_adapter(tmp_path, tiny, "LORA"))
    assert "no card.toml" in said


def test_what_could_not_be_compared_is_said(tiny: Path, tmp_path: Path) -> None:
    _, said = remarks(write_adapter(tmp_path, tiny, "LOKR"))
    assert said == "the shapes of lokr_w1, lokr_w2 were not compared with the base's"


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({f"{Q}.lora_A.weight": (4, 768)}, "is for inputs of 768, the base's are 64"),
        ({f"{Q}.lora_B.weight": (32, 4)}, "is for outputs of 32, the base's are 64"),
        ({f"{Q}.lora_A.weight": (8, 64)}, "has rank 8, its configuration says 4"),
        ({f"{Q[:-6]}qkv.lora_A.weight": (4, 64)}, "self_attn.qkv, which the base does not have"),
        ({Q.replace("0", "9") + ".lora_A.weight": (4, 64)}, "layers.9.self_attn.q_proj, which"),
        ({"base_model.model.lm_head.weight": (161, 64)}, "161 x 64, the base's lm_head is 160"),
    ],
)
def test_a_tensor_that_has_no_place_is_named(
    tiny: Path, tmp_path: Path, tensors: dict[str, tuple[int, ...]], reason: str
) -> None:
    (found,) = why_not(write(tmp_path, LORA, tensors), facts(tiny))
    assert reason in found


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        (CONFIG, "no JSON", "cannot be read"),
        (CONFIG, json.dumps({"peft_type": "NO_SUCH"}), "type NO_SUCH are not supported"),
        ("adapter_model.safetensors", "", "it is cut off: 0 bytes"),
        ("card.toml", "[base]", "base.name"),
    ],
)
def test_a_folder_that_can_not_be_read_does_not_fit(
    tiny: Path, tmp_path: Path, name: str, text: str, reason: str
) -> None:
    folder = write_adapter(tmp_path, tiny, "LORA")
    (folder / name).write_text(text)
    assert reason in why_not(folder, facts(tiny))[0]


def test_mistral_is_a_llama_in_a_gguf(tiny: Path, tmp_path: Path) -> None:
    base = facts(tiny)
    folder = write_adapter(tmp_path, tiny, "LORA")
    write_card(folder, Card(RecordedBase("m", base.digest, "mistral", 64)))
    assert why_not(folder, base) == ()


def test_a_base_that_is_not_understood_is_refused(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes((tiny / "model.safetensors").read_bytes())
    for config, error in (
        ({"model_type": "gpt2"}, ConfigError),
        ({"model_type": "llama"}, ModelLoadError),
        ([], ModelLoadError),
    ):
        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(error):
            facts(tmp_path)
    (tmp_path / "config.json").write_text((tiny / "config.json").read_text())
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelLoadError, match="no safetensors"):
        facts(tmp_path)
