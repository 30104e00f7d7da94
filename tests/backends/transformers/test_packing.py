"""The layouts of GPTQ and AWQ, held against what GPTQModel 7.3.6 packed and unpacked: the words of
`tests/fixtures/packed_by_gptqmodel.json`, with the digest of its weights in float16."""

import hashlib
import json
from typing import Any

import pytest
import torch

from gateway.backends.transformers.packing import (
    BITS,
    Numbers,
    pack,
    pack_awq,
    pack_gptq,
    unpack,
    unpack_awq,
    unpack_gptq,
)
from tests.conftest import ROOT

FIXTURE = ROOT / "tests" / "fixtures" / "packed_by_gptqmodel.json"
RECORDED: dict[str, Any] = json.loads(FIXTURE.read_text(encoding="utf-8"))
_KINDS = {"qweight": torch.int32, "qzeros": torch.int32, "g_idx": torch.int32}


def tensors_of(name: str) -> dict[str, torch.Tensor]:
    found = RECORDED[name]["tensors"]
    return {key: torch.tensor(found[key], dtype=_KINDS.get(key, torch.float16)) for key in found}


def numbers_of(name: str) -> Numbers:
    held = tensors_of(name)
    if name.startswith("awq"):
        return unpack_awq(held["qweight"], held["qzeros"], held["scales"])
    return unpack_gptq(
        held["qweight"],
        held["qzeros"],
        held["scales"],
        held["g_idx"],
        RECORDED[name]["bits"],
        zeros_less_one=not name.startswith("gptq_v2"),
    )


@pytest.mark.parametrize("name", RECORDED)
def test_weights_are_those_that_gptqmodel_unpacks_to_the_last_bit(name: str) -> None:
    made = numbers_of(name).weights().half().numpy().tobytes()
    assert hashlib.sha256(made).hexdigest() == RECORDED[name]["sha256"]


@pytest.mark.parametrize("name", [name for name in RECORDED if not name.startswith("gptq_v2")])
def test_what_is_unpacked_is_packed_into_the_same_words(name: str) -> None:
    numbers, bits = numbers_of(name), RECORDED[name]["bits"]
    made = pack_awq(numbers) if name.startswith("awq") else pack_gptq(numbers, bits)
    wanted = tensors_of(name)
    assert made.keys() == wanted.keys()
    assert all(torch.equal(made[part], wanted[part]) for part in made)


@pytest.mark.parametrize("bits", BITS)
def test_numbers_of_any_bits_come_back_from_words_also_at_the_end_of_a_row(bits: int) -> None:
    numbers = torch.randint(0, 1 << bits, (3, 96), dtype=torch.int32)
    words = pack(numbers, bits)
    assert words.shape == (3, 96 * bits // 32)
    assert torch.equal(unpack(words, bits), numbers)
    if 32 % bits == 0:
        assert torch.equal(unpack(words[:, :-1], bits), numbers[:, : -32 // bits])


@pytest.mark.parametrize("bits", BITS)
def test_zeros_of_nothing_survive_being_stored_less_one(bits: int) -> None:
    zeros = torch.tensor([[0, 1] * 16, [0] * 32])
    weight = torch.zeros(64, 32, dtype=torch.int32)
    numbers = Numbers(weight, zeros, torch.ones(2, 32), torch.arange(64) // 32)
    held = pack_gptq(numbers, bits)
    made = unpack_gptq(
        held["qweight"], held["qzeros"], held["scales"], held["g_idx"], bits, zeros_less_one=True
    )
    assert torch.equal(made.zeros, zeros)
