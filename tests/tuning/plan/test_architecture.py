"""Architectures: shipped, from a config.json, and from a GGUF's header."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.core.errors import ConfigError, ModelLoadError
from gateway.tuning.plan.architecture import (
    TRAITS,
    Architecture,
    architecture_of,
    families,
    from_path,
)
from gateway.tuning.plan.parameters import count
from tests.conftest import spec_and_path
from tests.tuning.plan.building import config_of

NUMBERS = ("model_type", "hidden", "layers", "heads", "kv_heads", "head_dim", "intermediate")
MORE = ("vocabulary", "tied", "attention_bias", "mlp_bias")


def facts(a: Architecture) -> list[Any]:
    return [getattr(a, name) for name in NUMBERS + MORE]


def write(path: Path, **changes: Any) -> Path:
    config = {
        "model_type": "llama",
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 96,
        "vocab_size": 100,
        "max_position_embeddings": 128,
        **changes,
    }
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
    return path


@pytest.mark.parametrize("name", ["smollm2-135m", "qwen3-0.6b", "gemma-3-1b", "phi-3-mini"])
def test_a_config_that_transformers_writes_is_read_back(name: str, tmp_path: Path) -> None:
    config_of(families()[name]).save_pretrained(tmp_path)
    assert facts(from_path(tmp_path)) == facts(families()[name])


def test_a_config_of_text_and_images_is_read_for_its_text(tmp_path: Path) -> None:
    own = json.loads(write(tmp_path / "own.json", model_type="gemma3_text").read_text())
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "gemma3", "text_config": own}))
    assert architecture_of(str(path)).model_type == "gemma3_text"


def test_what_a_config_leaves_out_is_what_transformers_takes(tmp_path: Path) -> None:
    a = from_path(write(tmp_path / "config.json"))
    assert (a.kv_heads, a.head_dim, a.tied) == (4, 16, False)
    assert from_path(write(tmp_path / "config.json", model_type="qwen3")).head_dim == 128
    assert from_path(write(tmp_path / "config.json", model_type="gemma2")).tied


@pytest.mark.parametrize(
    ("entry", "family"), [("smollm2-135m", "smollm2-135m"), ("gemma3-270m-plain", "gemma-3-270m")]
)
def test_a_gguf_says_the_same_as_the_config_of_its_model(entry: str, family: str) -> None:
    a = from_path(spec_and_path(entry)[1])
    assert facts(a) == facts(families()[family])
    assert count(a) == count(families()[family])


def test_a_family_is_found_by_its_repository_too() -> None:
    assert architecture_of("meta-llama/Llama-3.2-1B") is families()["llama-3.2-1b"]
    assert architecture_of("SmolLM2-135M") is families()["smollm2-135m"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden_size": None}, "hidden_size is absent"),
        ({"num_hidden_layers": "2"}, "num_hidden_layers: '2' is no whole number"),
        ({"vocab_size": 0}, "vocab_size: 0 is no whole number above 0"),
        ({"model_type": "mamba"}, "type 'mamba' are not known"),
        ({"num_local_experts": 8}, "mixtures of experts"),
    ],
)
def test_a_config_that_can_not_be_planned_for_says_why(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=said):
        from_path(write(tmp_path / "config.json", **changes))


def test_a_file_that_is_no_config_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelLoadError, match="cannot be read"):
        from_path(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ConfigError, match="no JSON object"):
        from_path(tmp_path)
    with pytest.raises(ModelLoadError):
        from_path(tmp_path / "absent")


def test_an_unknown_family_names_those_that_are_near() -> None:
    with pytest.raises(ConfigError) as refused:
        architecture_of("llama-3.1-9b")
    assert "llama-3.1-8b" in refused.value.hint
    with pytest.raises(ConfigError) as refused:
        architecture_of("zzz")
    assert all(name in refused.value.hint for name in families())


def test_every_kind_that_is_known_is_one_of_transformers() -> None:
    from transformers import AutoConfig

    for model_type in TRAITS:
        assert AutoConfig.for_model(model_type).model_type == model_type
