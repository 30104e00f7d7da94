"""A few layers of SmolLM2 on torch, as a GGUF and as a folder of safetensors, and adapters on it.

A plugin of tests/conftest.py: its fixtures are made once for all tests.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.backends.transformers.adapter_folder import quiet_peft
from gateway.backends.transformers.backend import TransformersBackend
from gateway.backends.transformers.spec import TransformersSpec
from gateway.engine.llama.tokenizer_export import tokenizer_of
from gateway.models.adapters.base import Base, read_base
from tests.conftest import few_layers

if TYPE_CHECKING:
    from gateway.backends.llama_cpp.backend import LlamaCppBackend

NAME = "smollm2-135m"


def torch_spec(**changes: object) -> TransformersSpec:
    spec, _ = few_layers(NAME)
    return TransformersSpec.like(spec, **{"context_length": 1024, "parallel": 4, **changes})


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base of two layers with drawn weights and a tokenizer, which takes milliseconds."""
    from tests.backends.transformers.tiny import write_model
    from tests.support.bases import write_tokenizer

    folder = write_model(tmp_path_factory.mktemp("tiny"))
    write_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def smollm2_base() -> Base:
    """What an adapter of SmolLM2 has to fit, as its GGUF says it."""
    return read_base(*few_layers(NAME))


@pytest.fixture(scope="session")
def dequantized() -> Iterator[TransformersBackend]:
    made = TransformersBackend(torch_spec(), few_layers(NAME)[1])
    yield made
    asyncio.run(made.close())


@pytest.fixture(scope="session")
def exact(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[LlamaCppBackend]":
    """The same weights in 32 bits in llama.cpp, for what must not depend on the processor."""
    from tests.support.exact_weights import in_32_bits

    with in_32_bits(*few_layers(NAME), tmp_path_factory.mktemp("exact")) as backend:
        yield backend


@pytest.fixture(scope="session")
def folder(dequantized: TransformersBackend, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights as transformers saves them, with the GGUF's tokenizer."""
    made = tmp_path_factory.mktemp("smollm2")
    dequantized._model.module.save_pretrained(made)
    tokenizer, _ = tokenizer_of(few_layers(NAME)[1])
    tokenizer.save_pretrained(made)
    return made


LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
TAUGHT: dict[str, dict[str, Any]] = {
    "tide": {"target_modules": ["q_proj", "v_proj"]},
    "piano": {
        "target_modules": list(LAYERS),
        "use_rslora": True,
        "rank_pattern": {"mlp.up_proj": 2},
        "alpha_pattern": {"k_proj": 4},
    },
}
"""Word -> how the adapter differs that was taught it: the second is in every layer, with ranks and
scales of its modules' own."""


@pytest.fixture(scope="session")
def adapters(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """LoRA adapters that a few steps have taught one word each, side by side in one folder."""
    import peft
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    root = tmp_path_factory.mktemp("adapters")
    for word, special in TAUGHT.items():
        base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        torch.manual_seed(0)
        config = peft.LoraConfig(r=4, lora_alpha=8, **special)
        with quiet_peft():
            model = peft.get_peft_model(base, config)
        optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
        ids = tokenizer(f"The answer is {word} {word} {word}", return_tensors="pt").input_ids
        for _ in range(40):
            loss = model(input_ids=ids, labels=ids).loss
            if loss.item() < 0.05:
                break
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        model.save_pretrained(str(root / word))
    return {word: root / word for word in TAUGHT}
