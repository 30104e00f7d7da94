"""GPTQ and AWQ lose less than rounding alone, and a layer with scales computes what it did."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from gateway.backends.transformers.packing import Numbers
from gateway.core.errors import Unsupported
from gateway.quantization.torch import awq
from gateway.quantization.torch.blocks import Block, blocks_of
from gateway.quantization.torch.gptq import Hessian, gptq
from gateway.quantization.torch.grids import rounded
from gateway.quantization.torch.levels import TorchLevel
from gateway.quantization.torch.rounding import fitting_group, packed_layers
from tests.backends.transformers.tiny import MODELS, SIZES

PIECES = tuple(torch.randint(0, 160, (3, 40), generator=torch.Generator().manual_seed(5)).tolist())


def model_of(kind: str) -> Any:
    torch.manual_seed(7)
    return transformers.AutoModelForCausalLM.from_config(MODELS[kind]()).eval()


def blocks(model: Any) -> Sequence[Block]:
    with torch.no_grad():
        return list(blocks_of(model, PIECES))


def inputs_of(rows: int, width: int) -> torch.Tensor:
    """Inputs that go together, as a layer's do."""
    drawn = torch.Generator().manual_seed(3)
    mixed = torch.randn(width // 4, width, generator=drawn)
    noise = torch.randn(rows, width, generator=drawn)
    return torch.randn(rows, width // 4, generator=drawn) @ mixed + 0.1 * noise


def error(weight: torch.Tensor, numbers: Numbers, inputs: torch.Tensor) -> float:
    return float((inputs @ (numbers.weights() - weight).T).pow(2).mean())


@pytest.mark.parametrize(("bits", "group"), [(4, 32), (4, -1), (3, 64), (2, 32), (8, 128)])
def test_gptq_loses_less_of_what_a_layer_computes_than_rounding(bits: int, group: int) -> None:
    weight = torch.randn(48, 128, generator=torch.Generator().manual_seed(1))
    inputs = inputs_of(400, 128)
    hessian = Hessian(128)
    hessian.add(inputs[:200])
    hessian.add(inputs[200:].reshape(2, 100, 128))
    made = gptq(weight, hessian.sum, bits, group)
    alone = gptq(weight, torch.eye(128), bits, group)
    assert error(weight, made, inputs) < 0.6 * error(weight, alone, inputs)
    assert 0 <= int(made.weight.min()) <= int(made.weight.max()) < 1 << bits
    assert set(made.zeros.flatten().tolist()) == {1 << (bits - 1)}
    assert made.scales.shape == (1 if group == -1 else 128 // group, 48)


def test_a_column_whose_input_is_always_nothing_is_rounded_and_not_lost() -> None:
    weight = torch.randn(16, 32, generator=torch.Generator().manual_seed(1))
    inputs = inputs_of(100, 32)
    inputs[:, 5] = 0
    hessian = Hessian(32)
    hessian.add(inputs)
    made = gptq(weight, hessian.sum, 8, 32).weights()
    assert (made[:, 5] - weight[:, 5]).abs().max() < 0.03


@pytest.mark.parametrize(
    "weight", [torch.zeros(4, 64), torch.full((4, 64), 3.0), -torch.ones(4, 64)]
)
def test_weights_that_are_all_the_same_stay_what_they_are(weight: torch.Tensor) -> None:
    torch.testing.assert_close(rounded(weight, 4, 32).weights(), weight, atol=2e-3, rtol=2e-3)
    made = gptq(weight, torch.eye(64), 4, 32).weights()
    torch.testing.assert_close(made, weight, atol=0.2, rtol=0.07)


@pytest.mark.parametrize("kind", MODELS)
def test_layers_one_after_the_other_compute_what_the_model_does(kind: str) -> None:
    model = model_of(kind)
    *_, last = blocks(model)
    with torch.no_grad():
        made = model.get_decoder().norm(last.run(last.inputs[1]))
        wanted = model.get_decoder()(torch.tensor([PIECES[1]])).last_hidden_state
    torch.testing.assert_close(made, wanted)


@pytest.mark.parametrize("kind", MODELS)
def test_scales_change_nothing_that_a_layer_computes_and_save_some_of_it(kind: str) -> None:
    model = model_of(kind)
    block = blocks(model)[0]
    with torch.no_grad():
        # Some inputs are large, as they are in models that were trained.
        norm = next(m for n, m in block.layer.named_modules() if "input_layernorm" in n)
        norm.weight[::9] += 20
        wanted = block.run(block.inputs[0])
        before = _error_of_rounding(block, "q_proj")
        awq.scale(block, 4, 32)
        made = block.run(block.inputs[0])
        after = _error_of_rounding(block, "q_proj")
    torch.testing.assert_close(made, wanted, atol=1e-3, rtol=1e-3)
    assert after < 0.9 * before


def _error_of_rounding(block: Block, name: str) -> float:
    """Of a matrix behind the first norm, in what comes out of it."""
    linear = next(m for n, m in block.linears.items() if n.endswith(name))
    seen: list[torch.Tensor] = []
    hook = linear.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    for piece in block.inputs:
        block.run(piece)
    hook.remove()
    return error(linear.weight.detach(), rounded(linear.weight, 4, 32), torch.cat(seen, 1)[0])


def test_a_layer_that_does_not_compute_the_same_with_scales_is_refused() -> None:
    model = model_of("llama")
    block = blocks(model)[0]
    attention = block.layer.self_attn
    query = attention.q_proj
    attention.q_proj.forward = lambda x: torch.nn.functional.linear(x.exp(), query.weight)
    with torch.no_grad():
        block.layer.input_layernorm.weight[::9] += 5
        with pytest.raises(Unsupported, match="its layers take no scales"):
            awq.scale(block, 4, 32)


def test_matrices_that_are_no_linear_layers_are_refused_by_name() -> None:
    model = model_of("llama")
    model.model.layers[0].mlp.experts = torch.nn.Parameter(torch.ones(2, 64, 64))
    with pytest.raises(Unsupported, match=r"model\.layers\.0\.mlp\.experts is no linear layer"):
        blocks(model)
    torch.manual_seed(7)
    config = transformers.GPT2Config(n_embd=32, n_head=2, n_layer=1, vocab_size=160)
    with pytest.raises(Unsupported, match="quantizing gpt2 by its layers"):
        blocks(transformers.AutoModelForCausalLM.from_config(config))


def test_the_largest_groups_that_divide_every_matrix_are_taken() -> None:
    sizes = {**SIZES, "hidden_size": 96, "head_dim": 24, "intermediate_size": 192}
    model = transformers.AutoModelForCausalLM.from_config(transformers.LlamaConfig(**sizes))
    assert fitting_group(model, TorchLevel("gptq", 4)) == 32
    assert fitting_group(model, TorchLevel("gptq", 4, -1)) == -1
    assert fitting_group(model_of("llama"), TorchLevel("awq", 4)) == 64
    with pytest.raises(Unsupported, match="groups of 64: the matrices have 96, 192 inputs"):
        fitting_group(model, TorchLevel("gptq", 4, 64))


def test_what_was_packed_is_what_the_layers_behind_are_fitted_to(tmp_path: Path) -> None:
    model, whole = model_of("llama"), model_of("llama")
    done: list[None] = []
    level = TorchLevel("gptq", 2)
    packed = dict(packed_layers(model, level, 32, PIECES, lambda: done.append(None)))
    assert len(done) == 2
    assert len(packed) == 14
    name = "model.layers.1.mlp.down_proj"
    assert packed[name] is not None
    assert not torch.equal(model.get_submodule(name).weight, whole.get_submodule(name).weight)
    first = model.get_submodule("model.layers.0.mlp.down_proj").weight
    assert len(first.unique()) <= 4 * 64 * 4
