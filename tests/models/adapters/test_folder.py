"""What PEFT saved is read without its weights, and what is no adapter says why."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import peft
import pytest
from peft.tuners.lora import LoraLayer
from safetensors.numpy import save_file

from gateway.backends.transformers import adapter_folder
from gateway.backends.transformers.adapter_folder import quiet_peft
from gateway.core.errors import ConfigError, ModelLoadError
from gateway.models.adapters.folder import CONFIG, WEIGHTS, adapter_digest, read_adapter
from gateway.models.adapters.kinds import BEGINNINGS, LAYERS
from tests.backends.transformers.tiny import ADAPTERS, load, write_adapter

LORA = {"peft_type": "LORA", "r": 4, "lora_alpha": 8}


def write(
    folder: Path, config: object, tensors: Mapping[str, tuple[int, ...]] | None = None
) -> Path:
    """An adapter's folder of zeros."""
    folder.mkdir(exist_ok=True)
    (folder / CONFIG).write_text(json.dumps(config))
    zeros = {name: np.zeros(shape, np.float32) for name, shape in (tensors or {}).items()}
    save_file(zeros, folder / WEIGHTS)
    return folder


def test_the_types_are_those_that_the_backend_runs() -> None:
    assert vars(adapter_folder)["SUPPORTED"] == LAYERS | BEGINNINGS


@pytest.mark.parametrize("kind", ADAPTERS)
def test_each_tensor_of_each_type_names_a_module_of_the_base(
    tiny: Path, tmp_path: Path, kind: str
) -> None:
    adapter = read_adapter(write_adapter(tmp_path, tiny, kind))
    assert adapter.config.peft_type == kind.partition(",")[0]
    modules = {name for name, _ in load(tiny).named_modules()}
    named = {tensor.module for tensor in adapter.tensors.values()} - {""}
    assert named <= modules
    assert named or adapter.config.peft_type in (*BEGINNINGS, "VBLORA")
    assert adapter.parameters > 0


def test_the_digest_is_the_backend_s(tiny: Path, tmp_path: Path) -> None:
    folder = write_adapter(tmp_path, tiny, "LORA")
    assert adapter_digest(folder) == adapter_folder.adapter_digest(folder)


def test_trained_numbers_are_counted_as_peft_counts_them(tiny: Path, tmp_path: Path) -> None:
    adapter = read_adapter(write_adapter(tmp_path, tiny, "LORA"))
    with quiet_peft():
        model = peft.PeftModel.from_pretrained(load(tiny), str(tmp_path), is_trainable=True)
    assert adapter.parameters == model.get_nb_trainable_parameters()[0]


def test_ranks_and_scales_are_those_that_peft_takes(tiny: Path, tmp_path: Path) -> None:
    config = peft.LoraConfig(
        r=4,
        lora_alpha=6,
        target_modules=["q_proj", "v_proj", "down_proj"],
        use_rslora=True,
        rank_pattern={"layers.0.self_attn.q_proj": 2, "down_proj": 3},
        alpha_pattern={"down_proj": 9, r".*1\.mlp\..*": 5},
    )
    with quiet_peft():
        peft.get_peft_model(load(tiny), config).save_pretrained(str(tmp_path))
        # Read again: PEFT saves patterns sorted, and the first that matches counts.
        model = peft.PeftModel.from_pretrained(load(tiny), str(tmp_path))
    read = read_adapter(tmp_path).config
    seen = 0
    for name, module in model.base_model.model.named_modules():
        if isinstance(module, LoraLayer):
            seen += 1
            assert read.rank(name) == module.r["default"], name
            assert read.scale(name) == pytest.approx(module.scaling["default"]), name
    assert seen == 6


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ([], r"adapter_config\.json: Input should be"),
        ({}, "peft_type: Field required"),
        ({**LORA, "r": 0}, "a LORA has a rank r"),
        ({**LORA, "r": "4"}, "r: Input should be a valid integer"),
        ({**LORA, "lora_alpha": None}, "a LORA has a rank r and a lora_alpha"),
        ({**LORA, "rank_pattern": {"q_proj": 0}}, "rank_pattern.q_proj"),
        ({**LORA, "alpha_pattern": {"q_(proj": 1}}, "cannot be read"),
    ],
)
def test_a_configuration_that_is_wrong_is_named(
    tmp_path: Path, config: object, reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        read_adapter(write(tmp_path, config))


def test_a_pickle_is_not_read_and_said_so(tmp_path: Path) -> None:
    folder = write(tmp_path, LORA)
    (folder / WEIGHTS).rename(folder / "adapter_model.bin")
    with pytest.raises(ModelLoadError, match="is a pickle and is not read"):
        read_adapter(folder)


@pytest.mark.parametrize("kept", [0, 4, 20])
def test_a_cut_file_is_no_safetensors(tmp_path: Path, kept: int) -> None:
    folder = write(tmp_path, LORA, {"base_model.model.lm_head.lora_A.weight": (4, 8)})
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[:kept])
    with pytest.raises(ModelLoadError, match=r"cut off|no readable safetensors"):
        read_adapter(folder)


def test_an_empty_folder_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"adapter_config\.json: no such file"):
        read_adapter(tmp_path)
