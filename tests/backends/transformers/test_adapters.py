"""PEFT adapters on one base: selected by entry, changing what they should and nothing else."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.backends.transformers.backend import TransformersBackend
from gateway.errors import ModelLoadError
from gateway.types import Completion, GenerationRequest, Sampling
from tests.conftest import spec_and_path
from tests.torch_models import NAME, torch_spec

REQUEST = GenerationRequest(
    "m", prompt="The answer is", sampling=Sampling(max_tokens=3), logprobs=1
)


def made_with(adapter: Path) -> TransformersBackend:
    return TransformersBackend(
        torch_spec(name=adapter.name, adapter=adapter), spec_and_path(NAME)[1]
    )


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


def test_a_pickled_adapter_is_refused(adapters: dict[str, Path], tmp_path: Path) -> None:
    config = (adapters["tide"] / "adapter_config.json").read_text()
    (tmp_path / "adapter_config.json").write_text(config)
    (tmp_path / "adapter_model.bin").write_bytes(b"a pickle")
    with pytest.raises(ModelLoadError, match="is a pickle and is not read"):
        made_with(tmp_path)


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
    with pytest.raises(ModelLoadError, match="can not be loaded onto this base model"):
        made_with(tmp_path)
    assert answer(dequantized) == before


def test_prompt_tuning_is_refused_by_name(adapters: dict[str, Path], tmp_path: Path) -> None:
    weights = (adapters["tide"] / "adapter_model.safetensors").read_bytes()
    (tmp_path / "adapter_model.safetensors").write_bytes(weights)
    (tmp_path / "adapter_config.json").write_text(
        json.dumps({"peft_type": "PROMPT_TUNING", "task_type": "CAUSAL_LM"})
    )
    with pytest.raises(ModelLoadError, match="PROMPT_TUNING are not supported"):
        made_with(tmp_path)
