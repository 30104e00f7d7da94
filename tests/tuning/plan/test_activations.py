"""What autograd keeps: counted here, and by torch itself on small models."""

import contextlib
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from gateway.backends.transformers.adapter_folder import quiet_peft
from gateway.tuning.plan.activations import head, kept, of_a_block
from gateway.tuning.plan.architecture import TRAITS, Architecture
from gateway.tuning.plan.figures import total
from gateway.tuning.plan.parameters import targets_of
from gateway.tuning.plan.setup import Setup
from tests.tuning.plan.building import build

SHORT, LONG = 64, 192


def small(model_type: str) -> Architecture:
    return Architecture(
        name="small",
        source="",
        model_type=model_type,
        hidden=128,
        layers=1,
        heads=4,
        kv_heads=2,
        head_dim=32,
        intermediate=352,
        vocabulary=320,
        tied=False,
        context=1024,
        traits=TRAITS[model_type],
    )


def saved_by_torch(model: Any, tokens: int) -> int:
    """Bytes that a forward pass with labels keeps, besides the weights."""
    import torch

    weights = {p.untyped_storage()._cdata for p in model.parameters()}
    held: dict[int, Any] = {}

    def pack(tensor: Any) -> Any:
        if tensor.untyped_storage()._cdata not in weights:
            held[tensor.untyped_storage()._cdata] = tensor
        return tensor

    ids = torch.zeros((1, tokens), dtype=torch.long)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(input_ids=ids, labels=ids)
    return sum(tensor.untyped_storage().nbytes() for tensor in held.values())


def model_of(a: Architecture, layers: int, method: str) -> Any:
    import torch

    dtype = torch.float32 if method == "mixed" else torch.bfloat16
    attention = "eager" if a.traits.capped else "sdpa"
    model = build(a, layers, "cpu", dtype=dtype, attn_implementation=attention)
    if method.startswith("lora"):
        from peft import LoraConfig, get_peft_model

        with quiet_peft():
            model = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear"))
    return model.train()


def setup_of(a: Architecture, method: str, context: int) -> Setup:
    common = {"context": context, "checkpointing": False, "dropout": 0.0, "rank": 8}
    if method.startswith("lora"):
        common["autocast"] = method == "lora"
        return Setup("lora", targets=targets_of(a, "all-linear"), **common)  # type: ignore[arg-type]
    precision = "mixed" if method == "mixed" else "bf16"
    return Setup("full", precision=precision, **common)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model_type", "method"),
    [
        *((kind, "full") for kind in TRAITS),
        *product(("llama", "qwen3", "gemma2", "phi3"), ("mixed", "lora")),
        *product(("llama", "qwen3"), ("lora without autocast",)),
    ],
)
def test_a_block_keeps_what_torch_keeps_of_it(model_type: str, method: str) -> None:
    """Two lengths and two depths: their difference has neither casts of weights nor the head."""
    import torch

    a = small(model_type)
    autocast = method in ("mixed", "lora")
    with torch.autocast("cpu", torch.bfloat16) if autocast else contextlib.nullcontext():
        sizes = {
            (layers, tokens): saved_by_torch(model, tokens)
            for layers in (1, 2)
            for model in [model_of(a, layers, method)]
            for tokens in (SHORT, LONG)
        }
    measured = sizes[2, LONG] - sizes[1, LONG] - sizes[2, SHORT] + sizes[1, SHORT]
    long, short = (total(of_a_block(a, setup_of(a, method, n))) for n in (LONG, SHORT))
    assert long - short == pytest.approx(measured, rel=0.005)


def test_checkpointing_keeps_one_vector_of_each_token_and_block() -> None:
    a = replace(small("llama"), layers=3)
    (inputs,) = kept(a, Setup("full", context=10, batch=2))
    assert inputs.value == 3 * 20 * 128 * 2
    assert inputs.formula == "3 x 20 x 128 x 2"
    every = kept(a, Setup("full", context=10, batch=2, checkpointing=False))
    assert total(every) == 3 * total(of_a_block(a, Setup("full", context=10, batch=2)))


def test_logits_are_three_float32_numbers_for_each_word_of_the_vocabulary() -> None:
    _, logits = head(small("llama"), Setup("full", context=10))
    assert logits.value == 10 * 320 * 12
