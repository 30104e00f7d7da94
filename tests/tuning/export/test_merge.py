"""A merged model answers as base and adapter do, and needs nothing of either."""

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gateway.backends.registry import load_models
from gateway.backends.transformers.backend import TransformersBackend
from gateway.backends.transformers.spec import TransformersSpec
from gateway.core.errors import ConfigError, ModelLoadError
from gateway.core.types import GenerationRequest
from gateway.models.adapters.base import Base
from gateway.models.adapters.folder import read_adapter
from gateway.tuning.export.merge import entry as written_entry
from gateway.tuning.export.merge import merge
from tests.backends.transformers.tiny import ADAPTERS, load, logits_of, write_adapter, write_model
from tests.conftest import few_layers
from tests.support.bases import entry, facts, write_tokenizer
from tests.support.torch_models import NAME, torch_spec
from tests.tuning.export.test_export import LABELS, PROMPTS

IDS = np.random.default_rng(5).integers(3, 160, 20).tolist()
NO_MERGE = {"PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING"}


def merged(base: Path, adapter: Path, target: Path) -> Path:
    return merge(read_adapter(adapter), facts(base), entry(base), base, target, lambda _: None)


@pytest.mark.parametrize("kind", sorted(set(ADAPTERS) - NO_MERGE))
def test_every_type_merged_computes_what_peft_computes(
    tiny: Path, tmp_path: Path, kind: str
) -> None:
    adapter = write_adapter(tmp_path / "adapter", tiny, kind)
    made = merged(tiny, adapter, tmp_path / "merged")
    torch.testing.assert_close(
        logits_of(made, None, IDS), logits_of(tiny, adapter, IDS), atol=3e-4, rtol=1e-4
    )
    assert not any("lora" in name for name, _ in load(made).named_modules())


def test_an_output_layer_that_shares_the_embedding_s_weights_gets_its_own(tmp_path: Path) -> None:
    import peft
    import transformers

    from gateway.backends.transformers.adapter_folder import quiet_peft
    from tests.backends.transformers.tiny import SIZES

    base = tmp_path / "base"
    config = transformers.LlamaConfig(**SIZES, tie_word_embeddings=True)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(str(base))
    write_tokenizer(base)
    assert facts(base).tied
    # As PEFT computes it: the adapter's part is added beside the shared weights.
    with quiet_peft(), pytest.warns(UserWarning, match="tie_word_embeddings"):
        model = peft.get_peft_model(load(base), peft.LoraConfig(r=4, target_modules=["lm_head"]))
    with torch.no_grad():
        model.base_model.model.lm_head.lora_B["default"].weight.normal_()
        wanted = model(input_ids=torch.tensor([IDS])).logits[0]
    model.save_pretrained(str(tmp_path / "adapter"), save_embedding_layers=False)
    made = merged(base, tmp_path / "adapter", tmp_path / "merged")
    torch.testing.assert_close(logits_of(made, None, IDS), wanted, atol=3e-4, rtol=1e-4)
    assert not facts(made).tied


@pytest.mark.parametrize("kind", sorted(NO_MERGE))
def test_what_changes_no_weights_is_not_merged(tiny: Path, tmp_path: Path, kind: str) -> None:
    adapter = write_adapter(tmp_path / "adapter", tiny, kind)
    with pytest.raises(ConfigError, match="changes no weights"):
        merged(tiny, adapter, tmp_path / "merged")


def test_only_an_empty_folder_is_written_to_and_only_a_whole_model(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = write_adapter(tmp_path / "adapter", tiny, "LORA")
    full, empty = tmp_path / "full", tmp_path / "empty"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is there already"):
        merged(tiny, adapter, full)
    with pytest.raises(ConfigError, match="is there already"):
        merged(tiny, adapter, full / "mine.txt")
    assert [p.name for p in full.iterdir()] == ["mine.txt"]
    bare = write_model(tmp_path / "bare")  # It has no tokenizer.
    with pytest.raises(ModelLoadError, match="no tokenizer"):
        merged(bare, adapter, tmp_path / "never")
    assert not (tmp_path / "never").exists()
    empty.mkdir()
    assert merged(tiny, adapter, empty) == empty
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {
        p.name for p in empty.iterdir()
    }
    assert not list(tmp_path.glob(".*"))


def test_an_adapter_for_another_base_is_refused_before_anything_is_loaded(
    tiny: Path, tmp_path: Path
) -> None:
    adapter = read_adapter(write_adapter(tmp_path / "adapter", tiny, "LORA"))
    other = replace(facts(tiny), modules={})
    nowhere = tmp_path / "nowhere"
    with pytest.raises(ModelLoadError, match="does not fit tiny"):
        merge(adapter, other, entry(nowhere), nowhere, tmp_path / "out", lambda _: None)


def test_the_entry_has_what_of_the_base_s_the_merged_model_needs(
    tiny: Path, tmp_path: Path
) -> None:
    adapter = read_adapter(write_adapter(tmp_path / "x", tiny, "LORA"))
    spec = entry(tiny, chat_template="plain", end_of_turn="\n", dtype="bfloat16")
    file = tmp_path / "models.toml"
    file.write_text(written_entry(adapter, replace(spec, name="base"), tiny))
    read = load_models(file).get("base-x")
    assert isinstance(read, TransformersSpec)
    assert read.source == replace(spec.source)
    assert (read.backend, read.chat_template, read.end_of_turn, read.dtype) == (
        *("transformers", "plain", "\n", "bfloat16"),
    )


@pytest.mark.slow
def test_a_merged_gguf_scores_labels_as_base_and_adapter_do(
    dequantized: TransformersBackend,
    adapters: dict[str, Path],
    smollm2_base: Base,
    tmp_path: Path,
) -> None:
    spec, path = torch_spec(), few_layers(NAME)[1]
    adapter = read_adapter(adapters["piano"])
    steps: list[str] = []
    made = merge(adapter, smollm2_base, spec, path, tmp_path / "merged", steps.append)
    told = ["loading", "merging", "saving", "proving", "logits"]
    assert [step.split()[0] for step in steps] == told
    file = tmp_path / "models.toml"
    file.write_text(written_entry(adapter, spec, made))
    read = TransformersSpec.like(load_models(file).get(f"{NAME}-piano"), context_length=1024)
    whole = TransformersBackend(read, made)
    beside = TransformersBackend(torch_spec(name="piano", adapter=adapters["piano"]), path)

    async def scores(backend: TransformersBackend) -> list[tuple[float, ...]]:
        asked = [GenerationRequest("m", prompt=text) for text in PROMPTS]
        return [(await backend.score_labels(each, LABELS)).logprobs for each in asked]

    found, wanted = (np.array(asyncio.run(scores(each))) for each in (whole, beside))
    assert np.abs(found - wanted).max() < 1e-3
    assert whole.identity["chat_template"] == beside.identity["chat_template"]
    for backend in (whole, beside):
        asyncio.run(backend.close())
