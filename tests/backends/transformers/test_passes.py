"""Passes over rows of many sequences: what transformers computes, in the same bytes however cut."""

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.backends.transformers import library
from gateway.backends.transformers.attention import BLOCK, attend
from gateway.backends.transformers.context import TorchContext
from gateway.backends.transformers.invariant_shape import find_shape
from gateway.backends.transformers.model import TorchModel
from gateway.core.errors import BackendError
from gateway.engine.context import Logits, PassRow
from tests.backends.transformers.tiny import MODELS, logits_of, write_model

LONG = 2 * BLOCK + 30
IDS = np.random.default_rng(3).integers(3, 160, LONG).tolist()
OTHERS = np.random.default_rng(4).integers(3, 160, LONG).tolist()


def loaded(folder: Path) -> TorchModel:
    return TorchModel(folder, dtype="float32", device="cpu")


def context_of(model: TorchModel, *, fast: bool = False) -> TorchContext:
    return TorchContext(
        model, sequences=3, length=LONG, batch_tokens=LONG * 3, threads=2, fast=fast
    )


def rows_of(sequence: int, start: int, tokens: list[int]) -> list[PassRow]:
    return [PassRow(sequence, start + i, token, True) for i, token in enumerate(tokens)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TorchModel:
    return loaded(write_model(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def whole(tiny: TorchModel) -> Logits:
    """Logits of one text in one pass."""
    tiny.shapes[None] = find_shape(tiny, None, 2)
    return np.stack(context_of(tiny).decode(rows_of(0, 0, IDS)))


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("kind", MODELS)
def test_a_pass_computes_what_transformers_does(kind: str, fast: bool, tmp_path: Path) -> None:
    write_model(tmp_path, kind)
    context = context_of(loaded(tmp_path), fast=fast)
    ids = IDS[: BLOCK + 20]
    context.decode([*rows_of(0, 0, OTHERS[:20]), *rows_of(1, 0, ids[:BLOCK])])
    rest = context.decode([*rows_of(0, 20, OTHERS[20:40]), *rows_of(1, BLOCK, ids[BLOCK:])])[20:]
    wanted = logits_of(tmp_path, None, ids)[BLOCK:]
    np.testing.assert_allclose(np.stack(rest), wanted, atol=2e-4)
    one = context.decode(rows_of(1, len(ids), [9]))[0]
    np.testing.assert_allclose(one, logits_of(tmp_path, None, [*ids, 9])[-1], atol=2e-4)


@pytest.mark.parametrize("kind", MODELS)
def test_every_architecture_has_a_shape_of_passes_that_keeps_bytes_apart(
    kind: str, tmp_path: Path
) -> None:
    if library.depends_on_threads():
        pytest.skip("torch's products change with the number of threads in this process")
    assert find_shape(loaded(write_model(tmp_path, kind)), None, 2) is not None


@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(1, LONG - 1), max_size=6), beside=st.lists(st.booleans()))
def test_no_cut_and_no_neighbour_changes_a_byte(
    tiny: TorchModel,
    whole: Logits,
    cuts: list[int],
    beside: list[bool],
) -> None:
    context = context_of(tiny)
    found, other = [], 0
    borders = sorted({0, *cuts, LONG})
    for number, (start, end) in enumerate(pairwise(borders)):
        neighbours = rows_of(0, other, OTHERS[other : other + 7]) if number in beside else []
        other += len(neighbours)
        rows = context.decode([*neighbours, *rows_of(1, start, IDS[start:end])])
        found += [row.copy() for row in rows[len(neighbours) :]]
    assert np.array_equal(np.stack(found), whole)


def test_one_thread_gives_the_bytes_of_two(tiny: TorchModel, whole: Logits) -> None:
    alone = TorchContext(tiny, sequences=1, length=LONG, batch_tokens=LONG, threads=1)
    assert np.array_equal(np.stack(alone.decode(rows_of(0, 0, IDS))), whole)


def test_linear_layers_in_four_bits_are_those_of_bitsandbytes(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes", reason="needs the extra nf4")
    import transformers

    write_model(tmp_path)
    small = TorchModel(tmp_path, dtype="float32", device="cpu", quantize="nf4")
    large = loaded(tmp_path)
    assert small.weights_bytes < large.weights_bytes / 2
    config = transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True
    )
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        str(tmp_path), quantization_config=config, device_map="cpu", dtype=torch.float32
    )
    wanted = theirs(input_ids=torch.tensor([IDS[:30]])).logits[0].detach()
    found, full = (context_of(m).decode(rows_of(0, 0, IDS[:30])) for m in (small, large))
    np.testing.assert_allclose(np.stack(found), wanted, atol=5e-3)
    assert np.abs(np.stack(found) - np.stack(full)).max() > 2e-2


def test_what_was_copied_is_what_was_computed(tiny: TorchModel, whole: Logits) -> None:
    context = context_of(tiny)
    context.decode(rows_of(0, 0, IDS[:-1]))
    context.copy(0, 2)
    context.decode(rows_of(0, 5, OTHERS[:50]))
    assert np.array_equal(context.decode(rows_of(2, LONG - 1, IDS[-1:]))[0], whole[-1])


def test_settings_of_torch_are_as_before_after_a_pass(tiny: TorchModel) -> None:
    assert not torch.are_deterministic_algorithms_enabled()
    context_of(tiny).decode(rows_of(0, 0, IDS[:3]))
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory


def test_attention_outside_of_a_pass_is_an_error_and_no_guess() -> None:
    some = torch.zeros(1, 2, 3, 16)
    with pytest.raises(BackendError, match="passes of the gateway"):
        attend(torch.nn.Identity(), some, some, some, None)


def test_a_failed_pass_leaves_none_running(tiny: TorchModel) -> None:
    context = context_of(tiny)
    with pytest.raises(BackendError, match="forward pass failed"):
        context.decode(rows_of(0, 0, [10**6]))
    assert len(context.decode(rows_of(0, 0, IDS[:3]))) == 3


def test_memory_is_as_large_as_it_says(tiny: TorchModel) -> None:
    context = context_of(tiny)
    context.decode(rows_of(0, 0, IDS[:3]))
    held = sum(x.nbytes for layer in context._cache.of_layer for x in (layer.keys, layer.values))
    # Room for whole blocks of keys.
    assert context.memory.cache <= held <= context.memory.cache * (LONG + BLOCK) / LONG
    assert SimpleNamespace(**tiny.config.to_dict()).num_hidden_layers == tiny.layers


def test_what_another_process_reads_back_changes_no_byte(tiny: TorchModel, whole: Logits) -> None:
    begin = BLOCK + 7
    first, second = context_of(tiny), context_of(tiny)
    first.decode(rows_of(2, 0, IDS[: begin + 5]))
    state = first.state_of(2, begin)
    for context in (first, second):
        assert context.put_state(1, begin, state, None)
        rest = context.decode(rows_of(1, begin, IDS[begin:]))
        assert np.array_equal(np.stack(rest), whole[begin:])
    assert not second.put_state(0, begin + 1, state, None)
    assert not second.put_state(0, begin, state[:-9], None)
