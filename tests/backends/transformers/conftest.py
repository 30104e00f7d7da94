"""SmolLM2 dequantized, as a GGUF and as a folder of safetensors, and adapters on it."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.backends.transformers.adapter_folder import quiet_peft
from gateway.backends.transformers.backend import TransformersBackend
from gateway.config import ModelSpec
from gateway.llama.tokenizer_export import tokenizer_of
from tests.conftest import spec_and_path

NAME = "smollm2-135m"


def torch_spec(**changes: object) -> ModelSpec:
    spec, _ = spec_and_path(NAME)
    small = replace(spec, backend="transformers", context_length=1024, parallel=4)
    return replace(small, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def dequantized() -> Iterator[TransformersBackend]:
    made = TransformersBackend(torch_spec(), spec_and_path(NAME)[1])
    yield made
    asyncio.run(made.close())


@pytest.fixture(scope="session")
def folder(dequantized: TransformersBackend, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights as transformers saves them, with the GGUF's tokenizer."""
    made = tmp_path_factory.mktemp("smollm2")
    dequantized._model.module.save_pretrained(made)
    tokenizer, _ = tokenizer_of(spec_and_path(NAME)[1])
    tokenizer.save_pretrained(made)
    return made


@pytest.fixture(scope="session")
def adapters(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """LoRA adapters that a few steps have taught one word each."""
    import peft
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    root = tmp_path_factory.mktemp("adapters")
    for word in ("tide", "piano"):
        base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        torch.manual_seed(0)
        config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])
        with quiet_peft():
            model = peft.get_peft_model(base, config)
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-2)
        ids = tokenizer(f"The answer is {word} {word} {word}", return_tensors="pt").input_ids
        for _ in range(30):
            loss = model(input_ids=ids, labels=ids).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        model.save_pretrained(str(root / word))
    return {word: root / word for word in ("tide", "piano")}
