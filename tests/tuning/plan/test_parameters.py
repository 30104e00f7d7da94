"""Counts are those of transformers and PEFT themselves, built on torch's meta device."""

from collections.abc import Iterator, Sequence
from itertools import product

import pytest

from gateway.backends.transformers.adapter_folder import quiet_peft
from gateway.core.errors import ConfigError
from gateway.tuning.plan.architecture import Architecture, families
from gateway.tuning.plan.figures import total
from gateway.tuning.plan.parameters import count, linears, lora, quantizable, targets_of
from tests.tuning.plan.building import GIANT, build

PUBLISHED = {
    "smollm2-135m": 134_515_008,
    "llama-3.2-3b": 3_212_749_824,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.1-70b": 70_553_706_496,
    "llama-2-7b": 6_738_415_616,
    "mistral-7b-v0.1": 7_241_732_096,
    "qwen2.5-0.5b": 494_032_768,
    "qwen3-8b": 8_190_735_360,
    "gemma-3-1b": 999_885_952,
    "phi-3-mini": 3_821_079_552,
}
"""As the repositories' own pages and model cards give them."""


ASKED = tuple(product((8, 64), ("qv", "attention", "all-linear")))
"""Ranks and targets."""
WHOLE = ("smollm2-135m", "gemma-3-270m")


def of_all_layers(a: Architecture, one: int, two: int) -> int:
    """A count of the whole model from those of one layer and of two: all layers are alike, so
    every count is a constant and so much a layer."""
    return one + (a.layers - 1) * (two - one)


def peft_counts(
    a: Architecture, layers: int, asked: Sequence[tuple[int, str]] = ASKED
) -> Iterator[int]:
    """Of each rank and targets, on one model that PEFT gives back each time."""
    from peft import LoraConfig, get_peft_model

    base = build(a, layers)
    for rank, targets in asked:
        modules = targets if targets == "all-linear" else [x.name for x in targets_of(a, targets)]
        with quiet_peft():
            model = get_peft_model(base, LoraConfig(r=rank, target_modules=modules))
            yield int(model.get_nb_trainable_parameters()[0])
            base = model.unload()


def our_counts(a: Architecture) -> list[float]:
    return [total(lora(a, rank, targets_of(a, t))) for rank, t in ASKED]


@pytest.mark.parametrize("name", families())
def test_a_family_has_the_weights_that_transformers_builds(name: str) -> None:
    a = families()[name]
    if count(a) < GIANT:
        assert count(a) == build(a, a.layers).num_parameters()
    else:
        assert count(a) == of_all_layers(a, *(build(a, n).num_parameters() for n in (1, 2)))


@pytest.mark.parametrize("name", families())
def test_lora_trains_what_peft_counts_at_every_rank_and_target(name: str) -> None:
    a = families()[name]
    pairs = zip(peft_counts(a, 1), peft_counts(a, 2), strict=True)
    assert [of_all_layers(a, *pair) for pair in pairs] == our_counts(a)


@pytest.mark.parametrize("name", WHOLE)
def test_all_layers_of_a_small_family_at_once_are_counted_alike(name: str) -> None:
    a = families()[name]
    (counted,) = peft_counts(a, a.layers, ASKED[-1:])
    assert counted == our_counts(a)[-1]


@pytest.mark.parametrize("name", PUBLISHED)
def test_counts_are_the_published_ones(name: str) -> None:
    assert count(families()[name]) == PUBLISHED[name]


def test_weights_trained_grow_with_the_rank_and_grouped_queries_make_k_and_v_smaller() -> None:
    a = families()["llama-3.1-8b"]
    shapes = {x.name: (x.inputs, x.outputs) for x in linears(a)}
    assert shapes["k_proj"] == (4096, 8 * 128)
    (query, value) = lora(a, 1, targets_of(a, "qv"))
    assert (query.value, value.value) == (32 * 8192, 32 * 5120)
    assert value.formula == "32 x 1 x (4,096 + 1,024)"
    assert lora(a, 64, targets_of(a, "qv"))[0].value == 64 * query.value


def test_what_bitsandbytes_quantizes_is_neither_embedding_nor_output_layer() -> None:
    a = families()["llama-2-7b"]
    norms = 65 * 4096
    assert count(a) - quantizable(a) == 2 * 32000 * 4096 + norms


def test_a_fused_matrix_is_the_target_where_its_parts_are_asked_for() -> None:
    a = families()["phi-3-mini"]
    assert [x.name for x in targets_of(a, "qv")] == ["qkv_proj"]
    assert [x.name for x in targets_of(a, "mlp")] == ["gate_up_proj", "down_proj"]


@pytest.mark.parametrize("text", ["q_proj,nothing", "", "lm_head"])
def test_a_target_that_the_model_lacks_is_refused_with_those_it_has(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        targets_of(families()["llama-2-7b"], text)
    assert "gate_proj" in refused.value.hint


def test_a_rank_below_one_is_refused() -> None:
    a = families()["llama-2-7b"]
    with pytest.raises(ConfigError, match="rank 0"):
        lora(a, 0, targets_of(a, "qv"))
