"""`check` knows what PEFT would refuse: half a pair, and layers that the configuration does not
name."""

import json
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

from gateway.models.adapters.check import why_not
from gateway.models.adapters.folder import CONFIG, WEIGHTS
from tests.backends.transformers.tiny import write_adapter
from tests.support.bases import facts


def configured(folder: Path, **changes: object) -> Path:
    file = folder / CONFIG
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    return folder


@pytest.mark.needs("torch", "peft")
@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        ("LORA", {"use_dora": True}, "says use_dora, and it lacks lora_magnitude_vector of"),
        ("LORA, DoRA", {"use_dora": False}, "does not say use_dora, and it has lora_magnitude"),
        (
            "LORA",
            {"target_modules": ["q_proj", "v_proj", "o_proj"]},
            "names model.layers.0.self_attn.o_proj, model.layers.1.self_attn.o_proj, of which it",
        ),
        ("LORA", {"target_modules": ["q_proj"]}, "tensors of model.layers.0.self_attn.v_proj"),
        ("LORA", {"target_modules": r".*\.[qvk]_proj"}, "names model.layers.0.self_attn.k_proj"),
    ],
)
def test_a_configuration_of_other_layers_is_a_reason(
    tiny: Path, tmp_path: Path, kind: str, changes: dict[str, object], said: str
) -> None:
    folder = configured(write_adapter(tmp_path, tiny, kind), **changes)
    (reason, *_) = why_not(folder, facts(tiny))
    assert said in reason


@pytest.mark.needs("torch", "peft")
@pytest.mark.parametrize(
    "changes",
    [
        {"target_modules": r"model\.layers\.\d+\.self_attn\.(q|v)_proj"},
        {"target_modules": ["self_attn.q_proj", "v_proj"]},
        {"target_modules": ["q_proj", "v_proj", "k_proj"], "exclude_modules": ["k_proj"]},
        {"target_modules": None},
    ],
)
def test_what_names_the_same_layers_is_none(
    tiny: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    folder = configured(write_adapter(tmp_path, tiny, "LORA"), **changes)
    assert why_not(folder, facts(tiny)) == ()


@pytest.mark.needs("torch", "peft")
def test_half_a_pair_is_a_reason(tiny: Path, tmp_path: Path) -> None:
    file = write_adapter(tmp_path, tiny, "LORA") / WEIGHTS
    held = {name: value for name, value in load_file(file).items() if "1.self" not in name}
    last = max(held)
    save_file({name: value for name, value in held.items() if name != last}, file)
    assert "it has lora_A of model.layers.0.self_attn.v_proj, and not the other" in "".join(
        why_not(tmp_path, facts(tiny))
    )
