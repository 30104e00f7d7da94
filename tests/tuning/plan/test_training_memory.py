"""Memory of training: its terms, its moments, and what ZeRO divides."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import ConfigError
from gateway.tuning.plan.architecture import families
from gateway.tuning.plan.figures import Figure
from gateway.tuning.plan.parameters import count, targets_of
from gateway.tuning.plan.setup import OPTIMIZERS, Method, Setup
from gateway.tuning.plan.training_memory import (
    NF4_BITS,
    NF4_DOUBLE_BITS,
    TrainingMemory,
    training_memory,
)
from gateway.tuning.plan.zero import advised, stages

A = families()["llama-2-7b"]


def setup(method: Method = "lora", **changes: Any) -> Setup:
    return Setup(method, targets=targets_of(A, "all-linear"), **changes)


def terms(memory: TrainingMemory) -> dict[str, Figure]:
    return {f.name: f for figures in memory.moments.values() for f in figures}


def test_full_training_holds_16_bytes_a_weight_in_mixed_precision() -> None:
    """Rajbhandari et al. 2020: weights, gradients and states of Adam."""
    held = terms(training_memory(A, setup("full", precision="mixed")))
    states = ("weights", "gradients", "states of adamw")
    assert sum(held[name].value for name in states) == 16 * count(A)
    half = terms(training_memory(A, setup("full")))
    assert sum(half[name].value for name in states) == 8 * count(A)


def test_nf4_takes_4_127_bits_with_double_quantization() -> None:
    """QLoRA, section 3: 0.373 bits less than 4.5."""
    assert pytest.approx(4.127, abs=0.0005) == NF4_DOUBLE_BITS
    assert pytest.approx(0.373, abs=0.0005) == NF4_BITS - NF4_DOUBLE_BITS


def test_methods_come_in_the_order_that_is_known_of_them() -> None:
    full, lora, qlora = (training_memory(A, setup(m)) for m in ("full", "lora", "qlora"))
    assert full.total > 2 * lora.total > 4 * qlora.total
    assert full.peak == "optimizer step"
    assert (lora.peak, qlora.peak) == ("loss", "loss")


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_checkpointing_lowers_what_a_long_batch_takes(method: Method) -> None:
    long = setup(method, context=4096, batch=4)
    assert (
        training_memory(A, long).total
        < training_memory(A, replace(long, checkpointing=False)).total
    )


def test_accumulating_keeps_gradients_beside_the_activations() -> None:
    once = training_memory(A, setup("full"))
    more = training_memory(A, setup("full", accumulate=2))
    names = [{f.name for f in memory.moments["loss"]} for memory in (once, more)]
    assert names[1] - names[0] == {"gradients"}


def test_a_smaller_optimizer_takes_less() -> None:
    sizes = {name: training_memory(A, setup("full", optimizer=name)).total for name in OPTIMIZERS}
    assert sizes["adamw"] > sizes["adamw8bit"] > sizes["sgd"]


def test_zero_divides_states_then_gradients_then_weights() -> None:
    found = stages(A, setup("full", devices=4))
    by_stage = [terms(stage.memory) for stage in found]
    divided = ("states of adamw", "gradients", "weights")
    for stage, figures in enumerate(by_stage):
        for n, name in enumerate(divided, start=1):
            share = 4 if stage >= n else 1
            assert figures[name].value * share == by_stage[0][name].value
    assert by_stage[3]["states of adamw"].formula.endswith("x 4 / 4")
    saved = [stage.saved for stage in found]
    assert saved[0] == 0
    assert saved == sorted(saved)


def test_the_lowest_stage_that_fits_is_advised() -> None:
    found = stages(A, setup("full", devices=8))
    assert advised(found, found[2].memory.total) is found[2]
    assert advised(found, 1e9) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"context": 0},
        {"batch": -1},
        {"accumulate": 0},
        {"rank": 0},
        {"devices": 0},
        {"optimizer": "adam"},
        {"stage": 4},
        {"targets": ()},
    ],
)
def test_a_setup_that_is_none_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        replace(setup(), **changes)


@settings(max_examples=50, deadline=None)
@given(
    name=st.sampled_from(sorted(families())),
    method=st.sampled_from(["full", "lora", "qlora"]),
    context=st.integers(1, 65536),
    batch=st.integers(1, 64),
    devices=st.integers(1, 64),
    stage=st.integers(0, 3),
    checkpointing=st.booleans(),
)
def test_every_term_is_positive_and_its_formula_gives_its_value(
    name: str,
    method: Method,
    context: int,
    batch: int,
    devices: int,
    stage: int,
    checkpointing: bool,
) -> None:
    a = families()[name]
    s = Setup(
        method,
        context=context,
        batch=batch,
        devices=devices,
        stage=stage,
        checkpointing=checkpointing,
        targets=targets_of(a, "all-linear"),
    )
    for figure in terms(training_memory(a, s)).values():
        assert figure.value > 0
        assert evaluated(figure.formula) == pytest.approx(figure.value, rel=1e-5)


def evaluated(formula: str) -> float:
    """What a formula gives: it has only numbers and + - x / ( )."""
    assert set(formula) <= set("0123456789,. +x/()"), formula
    value = eval(formula.replace(",", "").replace("x", "*"))  # noqa: S307
    return float(value)
