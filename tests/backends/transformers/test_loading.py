"""A model is loaded whole, or an error names the tensors that are not there or have no place."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from gateway.backends.transformers.model import TorchModel
from gateway.core.errors import ModelLoadError
from tests.backends.transformers.tiny import MODELS, SIZES, write_adapter, write_model
from tests.support import tiny_gguf
from tests.support.bases import facts

WEIGHTS = "model.safetensors"
NORM = "model.layers.1.input_layernorm.weight"
Tensors = dict[str, torch.Tensor]


def loaded(path: Path) -> TorchModel:
    return TorchModel(path, dtype="float32", device="cpu")


def rewrite(folder: Path, change: Callable[[Tensors], Tensors]) -> Path:
    file = folder / WEIGHTS
    save_file(change(load_file(file)), file, metadata={"format": "pt"})
    return folder


def without(name: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {key: value for key, value in tensors.items() if key != name}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without(NORM), rf"it lacks {NORM}$"),
        (without("lm_head.weight"), r"it lacks lm_head.weight$"),
        (
            lambda all_: {f"base_model.model.{key}": value for key, value in all_.items()},
            "it lacks lm_head.weight, .* and 17 more; .* no place for base_model.model.lm_head",
        ),
        (
            lambda all_: {**all_, NORM: torch.ones(63)},
            rf"of another shape: {NORM} \(63, the model's is 64\)$",
        ),
        (
            lambda all_: {**all_, "model.layers.2.mlp.up_proj.weight": torch.ones(128, 64)},
            "the model has no place for model.layers.2.mlp.up_proj.weight$",
        ),
    ],
)
def test_a_tensor_that_is_missing_or_too_many_or_of_another_shape_is_named(
    tmp_path: Path,
    change: Callable[[Tensors], Tensors],
    said: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(ModelLoadError) as raised:
        loaded(rewrite(write_model(tmp_path), change))
    assert re.search(said, raised.value.message), raised.value.message
    assert "LOAD REPORT" not in capfd.readouterr().err


def test_whole_numbers_are_not_taken_for_weights(tmp_path: Path) -> None:
    write_model(tmp_path)
    rewrite(tmp_path, lambda all_: {**all_, NORM: all_[NORM].to(torch.int8)})
    with pytest.raises(ModelLoadError, match=f"whole numbers where weights are expected: {NORM}"):
        loaded(tmp_path)


def test_a_configuration_of_ends_that_cannot_be_read_is_not_passed_over(tmp_path: Path) -> None:
    (write_model(tmp_path) / "generation_config.json").write_text('{"eos_token_id": [2')
    with pytest.raises(ModelLoadError, match=r"generation_config\.json: cannot be read"):
        loaded(tmp_path)


def test_ends_that_are_no_tokens_are_left_out_and_told(tmp_path: Path) -> None:
    (write_model(tmp_path) / "generation_config.json").write_text('{"eos_token_id": [2, 999, -1]}')
    model = loaded(tmp_path)
    assert model.end_tokens == (2,)
    assert model.warnings[0].endswith("tokens that it does not have: 999, -1")


def test_a_gguf_beside_an_adapter_is_not_loaded_with_it(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "right.gguf", lambda all_: all_)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelLoadError, match="beside it lies an adapter"):
        loaded(path)


def test_a_model_in_peft_s_clothes_is_told_how_to_take_them_off(tmp_path: Path) -> None:
    write_model(tmp_path)
    rewrite(tmp_path, lambda all_: {f"base_model.model.{key}": all_[key] for key in all_})
    with pytest.raises(ModelLoadError) as raised:
        loaded(tmp_path)
    assert "merge_and_unload" in raised.value.hint


def test_a_tied_output_layer_may_be_absent(tmp_path: Path) -> None:
    write_model(tmp_path, "gemma 3, windows")
    assert "lm_head.weight" not in load_file(tmp_path / WEIGHTS)
    module = loaded(tmp_path).module
    assert module.get_output_embeddings().weight is module.get_input_embeddings().weight


def test_tied_weights_of_which_neither_is_there_are_named(tmp_path: Path) -> None:
    write_model(tmp_path, "gemma 3, windows")
    with pytest.raises(ModelLoadError, match=r"it lacks .*model\.embed_tokens\.weight"):
        loaded(rewrite(tmp_path, without("model.embed_tokens.weight")))


@pytest.mark.parametrize("kind", MODELS)
def test_whole_models_are_loaded(tmp_path: Path, kind: str) -> None:
    assert loaded(write_model(tmp_path, kind)).weights_bytes


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        (b"", "it is cut off: 0 bytes"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "a pointer of Git LFS"),
        (None, "it is cut off: .* bytes, and by its header"),
        (b"\x02\0\0\0\0\0\0\0[]", "no readable safetensors"),
    ],
    ids=["empty", "a pointer of Git LFS", "cut", "another header"],
)
def test_a_file_of_weights_that_is_none_is_an_error_that_says_what_it_is(
    tmp_path: Path, contents: bytes | None, said: str
) -> None:
    file = write_model(tmp_path) / WEIGHTS
    file.write_bytes(file.read_bytes()[:-100] if contents is None else contents)
    with pytest.raises(ModelLoadError, match=said) as raised:
        loaded(tmp_path)
    assert str(file) in raised.value.message
    with pytest.raises(ModelLoadError, match=said):
        facts(tmp_path)


def test_a_shard_that_the_index_names_and_that_is_not_there_is_named(tmp_path: Path) -> None:
    from tests.backends.transformers.tiny import load

    model = load(write_model(tmp_path / "whole"))
    model.save_pretrained(str(tmp_path / "cut"), max_shard_size="100KB")
    sorted((tmp_path / "cut").glob("model-*.safetensors"))[1].unlink()
    for read in (loaded, facts):
        with pytest.raises(ModelLoadError, match=r"is missing: model-00002-of-00005\.safetensors"):
            read(tmp_path / "cut")
    (tmp_path / "cut" / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(ModelLoadError, match="no index of shards"):
        loaded(tmp_path / "cut")


def test_a_pickle_beside_safetensors_is_not_looked_at(tmp_path: Path) -> None:
    write_model(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"runs code")
    assert loaded(tmp_path).weights_bytes


def test_a_shard_of_which_the_index_says_nothing_is_missed(tmp_path: Path) -> None:
    from tests.backends.transformers.tiny import load

    model = load(write_model(tmp_path / "whole"))
    model.save_pretrained(str(tmp_path / "cut"), max_shard_size="100KB")
    file = tmp_path / "cut" / "model.safetensors.index.json"
    index = json.loads(file.read_text())
    places = index["weight_map"]
    last = places[NORM]
    index["weight_map"] = {name: shard for name, shard in places.items() if shard != last}
    assert loaded(tmp_path / "cut").weights_bytes
    file.write_text(json.dumps(index))
    with pytest.raises(ModelLoadError, match=r"it lacks model\.layers"):
        loaded(tmp_path / "cut")


def test_a_source_that_holds_an_adapter_is_not_taken_for_its_base(tmp_path: Path) -> None:
    write_model(tmp_path)
    write_adapter(tmp_path, tmp_path, "LORA")
    with pytest.raises(ModelLoadError, match="holds an adapter of PEFT"):
        loaded(tmp_path)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            transformers.T5Config(vocab_size=64, d_model=32, d_kv=8, d_ff=32, num_layers=1),
            r"an encoder with a decoder \(t5\)",
        ),
        (
            transformers.BertConfig(vocab_size=64, hidden_size=48, num_hidden_layers=1),
            r"an encoder \(bert\)",
        ),
        (
            transformers.Lfm2Config(
                vocab_size=64, hidden_size=32, num_hidden_layers=2, full_attn_idxs=[1]
            ),
            r"recurrent state \(lfm2\)",
        ),
    ],
)
def test_models_of_other_kinds_are_refused_in_one_sentence(
    tmp_path: Path, config: Any, said: str
) -> None:
    by_kind = {"t5": transformers.T5ForConditionalGeneration, "bert": transformers.BertModel}
    made = by_kind.get(config.model_type, transformers.Lfm2ForCausalLM)
    made(config).save_pretrained(tmp_path)
    with pytest.raises(ModelLoadError, match=said) as caught:
        loaded(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_split_gguf_is_read_whole_from_any_part(tmp_path: Path) -> None:
    whole = loaded(tiny_gguf.write_gguf(tmp_path / "whole.gguf")[0]).module.state_dict()
    parts = tiny_gguf.write_gguf(tmp_path / "split.gguf", tensors_a_part=8)
    assert len(parts) == 3
    split = loaded(parts[1]).module.state_dict()
    assert whole.keys() == split.keys()
    assert all(torch.equal(value, split[name]) for name, value in whole.items())
    parts[2].unlink()
    with pytest.raises(ModelLoadError, match=r"missing: split-00003-of-00003\.gguf"):
        loaded(parts[0])


def write_gguf(path: Path, change: Callable[[Tensors], Tensors]) -> Path:
    """The small model in a GGUF; the order of a head's rows plays no part here."""
    from gateway.models.adapters.base import tensor_names

    tensors = load_file(write_model(path.parent / "torch") / WEIGHTS)
    names = tensor_names("llama", SIZES["num_hidden_layers"])
    named = {
        f"{names.get_name(name.removesuffix('.weight'))}.weight": value
        for name, value in tensors.items()
    }
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(SIZES["num_hidden_layers"])
    writer.add_context_length(SIZES["max_position_embeddings"])
    writer.add_embedding_length(SIZES["hidden_size"])
    writer.add_feed_forward_length(SIZES["intermediate_size"])
    writer.add_head_count(SIZES["num_attention_heads"])
    writer.add_head_count_kv(SIZES["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_count(SIZES["head_dim"])
    writer.add_vocab_size(SIZES["vocab_size"])
    for name, value in change(named).items():
        writer.add_tensor(name, value.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without("blk.1.attn_norm.weight"), f"it lacks {NORM}$"),
        (
            lambda all_: {**all_, "rope_freqs.weight": torch.full((8,), 3.0)},
            "the model has no place for rope_freqs.weight$",
        ),
        (
            lambda all_: {**all_, "blk.0.attn_q.bias": torch.ones(64)},
            "the model has no place for blk.0.attn_q.bias$",
        ),
        (
            lambda all_: {**all_, "blk.2.attn_norm.weight": torch.ones(64)},
            "the model has no place for blk.2.attn_norm.weight$",
        ),
    ],
)
def test_what_transformers_passes_over_in_a_gguf_is_named(
    tmp_path: Path, change: Callable[[Tensors], Tensors], said: str
) -> None:
    assert loaded(write_gguf(tmp_path / "right.gguf", lambda all_: all_)).weights_bytes
    with pytest.raises(ModelLoadError) as raised:
        loaded(write_gguf(tmp_path / "wrong.gguf", change))
    assert re.search(said, raised.value.message), raised.value.message
