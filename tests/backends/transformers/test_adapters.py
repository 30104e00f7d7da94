"""PEFT adapters on one base: selected by entry, changing what they should and nothing else."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.backends.transformers.backend import TransformersBackend
from gateway.core.errors import ModelLoadError
from gateway.core.types import Completion, GenerationRequest, Sampling
from gateway.models.adapters.card import Card, RecordedBase, write_card
from tests.conftest import few_layers
from tests.support.torch_models import NAME, torch_spec

REQUEST = GenerationRequest(
    "m", prompt="The answer is", sampling=Sampling(max_tokens=3), logprobs=1
)


def made_with(adapter: Path, **changes: object) -> TransformersBackend:
    spec = torch_spec(name=adapter.name, adapter=adapter, **changes)
    return TransformersBackend(spec, few_layers(NAME)[1])


def answer(backend: TransformersBackend) -> tuple[object, ...]:
    done = asyncio.run(backend.generate(REQUEST))
    return done.text, done.token_ids, done.logprobs


@pytest.fixture(scope="module")
def adapted(
    dequantized: TransformersBackend, adapters: dict[str, Path]
) -> Iterator[dict[str, TransformersBackend]]:
    made = {word: made_with(folder) for word, folder in adapters.items()}
    yield made
    for backend in made.values():
        asyncio.run(backend.close())


def test_an_adapter_says_what_it_was_taught(adapted: dict[str, TransformersBackend]) -> None:
    for word, backend in adapted.items():
        assert asyncio.run(backend.generate(REQUEST)).text.startswith(f" {word}")


def test_the_base_model_answers_the_same_bytes_beside_its_adapters(
    dequantized: TransformersBackend, adapters: dict[str, Path]
) -> None:
    before = answer(dequantized)
    backend = made_with(adapters["tide"])
    assert answer(backend) != before
    assert answer(dequantized) == before
    asyncio.run(backend.close())


def test_requests_with_different_adapters_side_by_side_give_what_they_give_alone(
    dequantized: TransformersBackend, adapted: dict[str, TransformersBackend]
) -> None:
    backends = [dequantized, *adapted.values()] * 3
    alone = [answer(backend) for backend in backends]

    async def together() -> list[Completion]:
        return await asyncio.gather(*(backend.generate(REQUEST) for backend in backends))

    beside = [(d.text, d.token_ids, d.logprobs) for d in asyncio.run(together())]
    assert beside == alone


def test_entries_that_differ_in_their_adapter_share_weights_and_engine(
    dequantized: TransformersBackend, adapted: dict[str, TransformersBackend]
) -> None:
    for backend in adapted.values():
        assert backend._model is dequantized._model
        assert backend._engine is dequantized._engine
    fingerprints = {b.fingerprint for b in [dequantized, *adapted.values()]}
    assert len(fingerprints) == 3


def test_an_adapter_for_another_base_is_refused_and_the_base_goes_on(
    dequantized: TransformersBackend, adapters: dict[str, Path], tmp_path: Path
) -> None:
    before = answer(dequantized)
    weights = (adapters["tide"] / "adapter_model.safetensors").read_bytes()
    (tmp_path / "adapter_model.safetensors").write_bytes(weights)
    config = json.loads((adapters["tide"] / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(
        json.dumps({**config, "target_modules": ["no_such_layer"]})
    )
    with pytest.raises(ModelLoadError, match="cannot be loaded onto this base model"):
        made_with(tmp_path)
    assert answer(dequantized) == before


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"peft_type": "XLORA"}, "type XLORA are not supported"),
        ({"peft_type": "LORA", "bias": "all"}, "changes the base's biases"),
        ({"peft_type": "LORA", "alora_invocation_tokens": [1]}, "begins in the middle"),
        ({"peft_type": "NO_SUCH"}, "type NO_SUCH are not supported"),
    ],
)
def test_what_can_not_be_run_right_is_refused_by_name(
    adapters: dict[str, Path], tmp_path: Path, config: dict[str, object], reason: str
) -> None:
    weights = (adapters["tide"] / "adapter_model.safetensors").read_bytes()
    (tmp_path / "adapter_model.safetensors").write_bytes(weights)
    whole = {"task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8, **config}
    (tmp_path / "adapter_config.json").write_text(json.dumps(whole))
    with pytest.raises(ModelLoadError, match=reason):
        made_with(tmp_path)


def test_a_pickle_is_read_when_the_person_says_so_in_words(
    adapters: dict[str, Path], adapted: dict[str, TransformersBackend], tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file

    config = (adapters["tide"] / "adapter_config.json").read_text()
    (tmp_path / "adapter_config.json").write_text(config)
    weights = load_file(adapters["tide"] / "adapter_model.safetensors")
    torch.save(weights, tmp_path / "adapter_model.bin")
    with pytest.raises(ModelLoadError, match="is a pickle and is not read"):
        made_with(tmp_path)
    backend = made_with(tmp_path, adapter_pickle="I trust who made it")
    assert answer(backend) == answer(adapted["tide"])
    assert backend.fingerprint != adapted["tide"].fingerprint
    asyncio.run(backend.close())


def test_a_merged_adapter_answers_alike_on_weights_of_its_own(
    adapted: dict[str, TransformersBackend],
    dequantized: TransformersBackend,
    adapters: dict[str, Path],
    folder: Path,
) -> None:
    before = answer(dequantized)
    spec = torch_spec(name="m", sha256="", adapter=adapters["tide"], adapter_merged=True)
    merged = TransformersBackend(spec, folder)
    done = asyncio.run(merged.generate(REQUEST))
    beside = asyncio.run(adapted["tide"].generate(REQUEST))
    assert done.token_ids == beside.token_ids
    assert done.logprobs is not None
    assert beside.logprobs is not None
    for one, other in zip(done.logprobs, beside.logprobs, strict=True):
        assert one.logprob == pytest.approx(other.logprob, abs=1e-3)
    assert merged.identity["adapter"] == f"{adapted['tide'].identity['adapter']}, merged"
    assert not any("lora" in name for name, _ in merged._model.module.named_modules())
    assert answer(dequantized) == before
    asyncio.run(merged.close())


def test_the_last_who_uses_an_adapter_takes_it_off_the_layers(
    dequantized: TransformersBackend, adapters: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(adapters["tide"], tmp_path / "copy")
    config = json.loads((tmp_path / "copy" / "adapter_config.json").read_text())
    (tmp_path / "copy" / "adapter_config.json").write_text(json.dumps(config, indent=1) + " ")
    before = dequantized.memory.weights
    first, second = made_with(tmp_path / "copy"), made_with(tmp_path / "copy")
    assert dequantized.memory.weights > before
    asyncio.run(first.close())
    assert answer(second)[0] == " tide tide tide"
    asyncio.run(second.close())
    assert dequantized.memory.weights == before


def test_an_adapter_whose_card_records_other_weights_is_refused_with_both_digests(
    dequantized: TransformersBackend, adapters: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(adapters["tide"], tmp_path / "carded")
    right = RecordedBase("here", dequantized.identity["weights"], "llama", 576)
    write_card(folder, Card(right))
    asyncio.run(made_with(folder).close())
    write_card(folder, Card(replace(right, name="elsewhere", digest="0" * 64)))
    with pytest.raises(ModelLoadError, match=r"trained on elsewhere, contents 0{12}; this base"):
        made_with(folder)
