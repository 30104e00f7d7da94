"""Folders in few bits: loaded as what they are, or refused by name."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from gateway.backends.transformers.backend import TransformersBackend
from gateway.backends.transformers.model import TorchModel
from gateway.backends.transformers.packed import packing_of
from gateway.backends.transformers.packing import Numbers, pack_awq, pack_gptq
from gateway.core.errors import ConfigError, ModelLoadError
from gateway.models.spec import Quantize
from tests.backends.transformers.tiny import load, write_adapter, write_model
from tests.support.bases import entry, write_tokenizer

WEIGHTS = "model.safetensors"
LAYER = "model.layers.0.mlp.down_proj"
Tensors = dict[str, torch.Tensor]
Said = dict[str, Any]
GPTQ: Said = {"quant_method": "gptq", "bits": 4, "group_size": 32, "checkpoint_format": "gptq"}
AWQ: Said = {"quant_method": "awq", "bits": 4, "group_size": 32, "version": "GEMM"}
NF4: Said = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}


def rounded(weight: torch.Tensor, bits: int, group: int, mixed: bool) -> Numbers:
    """Drawn groups; what matters here is that the folder holds these numbers."""
    inputs = weight.shape[1]
    size = inputs if group == -1 else group
    groups = torch.arange(inputs) // size
    if mixed:
        groups = groups[torch.randperm(inputs, generator=torch.Generator().manual_seed(1))]
    count = -(-inputs // size)
    scales = torch.full((count, len(weight)), float(weight.abs().max()) / 2 ** (bits - 1)).half()
    zeros = torch.full((count, len(weight)), 2 ** (bits - 1))
    number = (weight.T / scales[groups].float()).round() + zeros[groups]
    return Numbers(number.clamp(0, 2**bits - 1).int(), zeros.int(), scales, groups)


def write_packed(folder: Path, said: Said, kind: str = "llama") -> Tensors:
    """A folder packed as `said`; answers the weights that it stands for."""
    write_tokenizer(write_model(folder, kind))
    held = load_file(folder / WEIGHTS)
    wanted: Tensors = dict(held)
    for name in [name for name in held if "_proj" in name]:
        layer = name.removesuffix(".weight")
        bits, group = said["bits"], said["group_size"]
        numbers = rounded(held.pop(name), bits, group, bool(said.get("desc_act")))
        wanted[name] = numbers.weights()
        made = pack_awq(numbers) if said["quant_method"] == "awq" else pack_gptq(numbers, bits)
        held |= {f"{layer}.{part}": value for part, value in made.items()}
    save_file(held, folder / WEIGHTS, metadata={"format": "pt"})
    say(folder, said)
    return wanted


def say(folder: Path, said: Said) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = said
    (folder / "config.json").write_text(json.dumps(config))


def rewrite(folder: Path, change: Callable[[Tensors], Tensors]) -> None:
    save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS, metadata={"format": "pt"})


def loaded(path: Path, quantize: Quantize = "") -> TorchModel:
    return TorchModel(path, dtype="float32", device="cpu", quantize=quantize)


def refused(folder: Path) -> ModelLoadError:
    with pytest.raises(ModelLoadError) as raised:
        loaded(folder)
    assert raised.value.hint
    return raised.value


@pytest.mark.parametrize(
    "said",
    [
        GPTQ,
        {**GPTQ, "desc_act": True},
        {**GPTQ, "group_size": -1},
        {**GPTQ, "bits": 8},
        {**GPTQ, "bits": 3},
        {**GPTQ, "bits": 2},
        AWQ,
        {**AWQ, "group_size": -1},
        {"quant_method": "awq", "w_bit": 4, "q_group_size": 32, "bits": 4, "group_size": 32},
    ],
    ids=lambda said: " ".join(f"{value}" for value in said.values()),
)
def test_a_packed_folder_is_loaded_as_the_weights_that_it_stands_for(
    tmp_path: Path, said: Said
) -> None:
    wanted = write_packed(tmp_path, said)
    module = loaded(tmp_path).module
    made = module.state_dict()
    assert made.keys() == wanted.keys()
    assert all(torch.equal(made[name], wanted[name]) for name in wanted)
    assert module.generation_config.eos_token_id == 2


def test_a_format_with_zeros_as_they_are_says_so(tmp_path: Path) -> None:
    wanted = write_packed(tmp_path, GPTQ)
    say(tmp_path, {**GPTQ, "checkpoint_format": "gptq_v2"})
    more = loaded(tmp_path).module.get_submodule(LAYER).weight
    scale = load_file(tmp_path / WEIGHTS)[f"{LAYER}.scales"].float().max()
    torch.testing.assert_close(more - wanted[f"{LAYER}.weight"], scale.expand_as(more))


def test_groups_follow_each_other_where_g_idx_is_absent(tmp_path: Path) -> None:
    wanted = write_packed(tmp_path, GPTQ)
    rewrite(tmp_path, lambda held: {n: v for n, v in held.items() if "g_idx" not in n})
    assert torch.equal(
        loaded(tmp_path).module.get_submodule(LAYER).weight, wanted[f"{LAYER}.weight"]
    )


def test_layers_that_are_not_packed_and_biases_of_nothing_are_in_order(tmp_path: Path) -> None:
    wanted = write_packed(tmp_path, {**GPTQ, "modules_to_not_convert": [LAYER]})

    def as_published(held: Tensors) -> Tensors:
        kept = {name: value for name, value in held.items() if not name.startswith(f"{LAYER}.")}
        layers = {name.removesuffix(".qweight") for name in kept if name.endswith(".qweight")}
        biases = {f"{name}.bias": torch.zeros(64) for name in layers}
        return {**kept, **biases, f"{LAYER}.weight": wanted[f"{LAYER}.weight"]}

    rewrite(tmp_path, as_published)
    assert torch.equal(
        loaded(tmp_path).module.get_submodule(LAYER).weight, wanted[f"{LAYER}.weight"]
    )
    rewrite(tmp_path, lambda held: held | {f"{LAYER}.bias": torch.ones(64)})
    assert f"no place for {LAYER}.bias" in refused(tmp_path).message


def test_an_output_layer_that_is_packed_leaves_the_tied_embedding_alone(tmp_path: Path) -> None:
    write_packed(tmp_path, GPTQ, "gemma 3, windows")
    numbers = rounded(load_file(tmp_path / WEIGHTS)["model.embed_tokens.weight"], 4, 32, False)
    made = {f"lm_head.{part}": value for part, value in pack_gptq(numbers, 4).items()}
    rewrite(tmp_path, lambda held: held | made)
    module = loaded(tmp_path).module
    assert torch.equal(module.get_output_embeddings().weight, numbers.weights())
    assert not torch.equal(module.get_input_embeddings().weight, numbers.weights())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bits": 8}, "zeros 4 x 8 are not those of 8 bits"),
        ({"group_size": 64}, "4 groups; 128 inputs in groups of 64 are others"),
        ({"bits": 5}, "packed by GPTQ with 5 bits"),
        ({"group_size": "all"}, "packed by GPTQ with group_size = all"),
        ({"checkpoint_format": "marlin"}, "packed by GPTQ in the layout 'marlin'"),
        ({"is_marlin_format": True}, "packed by GPTQ in the layout 'marlin'"),
        ({"format": "exllama", "checkpoint_format": None}, "in the layout 'exllama'"),
        ({"rotation": "hadamard"}, "packed by GPTQ with rotation = 'hadamard'"),
        ({"pack_dtype": "torch.int16"}, "packed by GPTQ into int16"),
        *(
            ({"quant_method": method}, f"packed by {method}, which is not read here")
            for method in (
                *("marlin", "exl2", "hqq", "fp8", "mxfp4", "compressed-tensors", "aqlm", "torchao"),
            )
        ),
        ({"quant_method": None}, "packed by a method that it does not name"),
        ({"quant_method": "awq"}, "is not packed as config.json says"),
        ({"quant_method": "awq", "version": "gemv_fast"}, "by AWQ in the layout 'gemv_fast'"),
        ({"quant_method": "awq", "bits": 8}, "packed by AWQ with 8 bits"),
    ],
)
def test_what_the_configuration_says_and_the_loader_does_not_read_is_refused_by_name(
    packed: Path, change: Said, said: str
) -> None:
    say(packed, {**GPTQ, **change})
    assert said in refused(packed).message


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    write_packed(folder, GPTQ)
    return folder


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda held: without(held, "qzeros"), "it lacks qzeros"),
        (lambda held: without(held, "scales"), "it lacks scales"),
        (lambda held: {**held, f"{LAYER}.weight": torch.ones(64, 128)}, "packed and not"),
        (
            lambda held: {**held, f"{LAYER}.g_idx": torch.full((128,), 4, dtype=torch.int32)},
            "g_idx 128 does not tell a group of 128 inputs",
        ),
        (lambda held: {**held, f"{LAYER}.scales": torch.ones(4, 32)}, "zeros 4 x 8 are not"),
        (lambda held: {**held, f"{LAYER}.qweight": torch.ones(16, 64)}, "numbers of torch.float32"),
        (
            lambda held: {n: v for n, v in held.items() if LAYER not in n},
            f"it lacks {LAYER}.weight",
        ),
    ],
)
def test_a_packed_layer_that_is_not_whole_is_named(
    tmp_path: Path, change: Callable[[Tensors], Tensors], said: str
) -> None:
    write_packed(tmp_path, GPTQ)
    rewrite(tmp_path, change)
    found = refused(tmp_path).message
    assert said in found
    assert LAYER in found


def without(held: Tensors, part: str) -> Tensors:
    return {name: value for name, value in held.items() if name != f"{LAYER}.{part}"}


def test_act_order_without_g_idx_is_refused(tmp_path: Path) -> None:
    write_packed(tmp_path, {**GPTQ, "desc_act": True})
    rewrite(tmp_path, lambda held: without(held, "g_idx"))
    assert "where desc_act is true" in refused(tmp_path).message


def test_a_configuration_that_is_packed_with_tensors_that_are_not_is_refused(
    tmp_path: Path,
) -> None:
    write_model(tmp_path)
    say(tmp_path, GPTQ)
    assert "no tensor is packed so" in refused(tmp_path).message


def test_packed_tensors_that_the_configuration_does_not_tell_of_say_what_is_lacking(
    tmp_path: Path,
) -> None:
    write_packed(tmp_path, GPTQ)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["quantization_config"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert "quantize_config.json" in refused(tmp_path).hint


def test_the_one_file_of_an_older_folder_is_read_whatever_its_name(tmp_path: Path) -> None:
    write_packed(tmp_path, GPTQ)
    (tmp_path / WEIGHTS).rename(tmp_path / "gptq_model-4bit-32g.safetensors")
    assert loaded(tmp_path).weights_bytes
    save_file({"x": torch.ones(1)}, tmp_path / "another.safetensors")
    assert "2 files of weights" in refused(tmp_path).message


def test_a_packed_folder_takes_an_adapter_and_tells_itself_from_others(tmp_path: Path) -> None:
    write_packed(tmp_path / "gptq", GPTQ)
    write_packed(tmp_path / "awq", AWQ)
    write_adapter(tmp_path / "adapter", write_model(tmp_path / "whole"), "LORA")
    names = [("gptq", {}), ("awq", {}), ("gptq", {"adapter": tmp_path / "adapter"})]
    made = [
        TransformersBackend(entry(tmp_path / name, **more), tmp_path / name) for name, more in names
    ]
    assert len({each.fingerprint for each in made}) == 3
    assert made[0].identity["packing"] == "gptq, 4 bits, groups of 32, unpacked"
    assert not made[0]._serial


@pytest.mark.needs("bitsandbytes")
@pytest.mark.parametrize("quantize", ["nf4", "int8"])
def test_a_folder_of_bitsandbytes_computes_what_it_did_when_it_was_saved(
    tmp_path: Path, quantize: Quantize
) -> None:
    pytest.importorskip("bitsandbytes", reason="needs the extra nf4")
    write_tokenizer(write_model(tmp_path / "whole"))
    before = loaded(tmp_path / "whole", quantize)
    before.module.save_pretrained(tmp_path / "packed")
    write_tokenizer(tmp_path / "packed")
    # What was computed in when it was saved is not what it is computed in here.
    config = json.loads((tmp_path / "packed" / "config.json").read_text())
    config["quantization_config"]["bnb_4bit_compute_dtype"] = "bfloat16"
    (tmp_path / "packed" / "config.json").write_text(json.dumps(config))
    ids = torch.tensor([range(30)])
    after = loaded(tmp_path / "packed")
    for each in (before, after):
        each.module.set_attn_implementation("eager")
    with torch.inference_mode():
        wanted = load(tmp_path / "whole")(input_ids=ids).logits
        made, again = (m.module(input_ids=ids).logits for m in (before, after))
    assert torch.equal(made, again)
    assert 0 < (made - wanted).abs().max() < 0.2
    assert after.weights_bytes < 0.6 * loaded(tmp_path / "whole").weights_bytes
    backend = TransformersBackend(entry(tmp_path / "packed"), tmp_path / "packed")
    assert re.fullmatch(rf"{quantize}, bitsandbytes [\d.]+", backend.identity["packing"])
    assert backend._serial is (quantize == "int8"), "columns are taken apart for a whole pass"


def test_weights_in_few_bits_are_neither_quantized_again_nor_merged_into(tmp_path: Path) -> None:
    write_packed(tmp_path, GPTQ)
    with pytest.raises(ModelLoadError, match="is for whole weights"):
        loaded(tmp_path, "nf4")
    with pytest.raises(ConfigError, match="it would be rounded away"):
        entry(tmp_path, adapter=tmp_path, adapter_merged=True, quantize="int8")


def test_what_is_not_packed_has_no_packing(tmp_path: Path) -> None:
    assert packing_of(tmp_path) is None
    assert packing_of(write_model(tmp_path)) is None
    (tmp_path / "config.json").write_text("{")
    assert packing_of(tmp_path) is None
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": NF4}))
    found = packing_of(tmp_path)
    assert found is not None
    assert (found.method, found.named) == ("nf4", "nf4, bitsandbytes")
