"""Which layers go to a card: the arithmetic, without a card."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from gateway.backends.llama_cpp import offload as offloading
from gateway.backends.llama_cpp.offload import Offload, offload, plan, too_large
from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.engine.llama import library
from gateway.engine.llama.cards import GpuCard
from gateway.models.gguf import Header, Tensor
from gateway.models.spec import PathSource

MIB = 1 << 20
LAYERS = 4
HEADER = Header(
    {
        "general.architecture": "llama",
        "llama.block_count": LAYERS,
        "llama.embedding_length": 1024,
        "llama.attention.head_count": 8,
        "llama.attention.head_count_kv": 2,
    },
    (
        Tensor("token_embd.weight", "F16", (1024, 50 * 512)),
        *(Tensor(f"blk.{n}.ffn_up.weight", "F16", (1024, 50 * 512)) for n in range(LAYERS)),
    ),
)
"""Each layer, and the output, has 50 MiB."""
SPEC = LlamaCppSpec("made", PathSource(Path("made.gguf")), context_length=1024, parallel=1)
RESERVE = 1 << 30


def card(room: int) -> GpuCard:
    return GpuCard("CUDA0", "a card", RESERVE + room * MIB)


def test_by_default_all_that_fits_is_on_the_card() -> None:
    assert plan(SPEC, HEADER, [card(10_000)]).layers == LAYERS + 1


def test_none_is_on_the_card_of_an_entry_that_wants_none() -> None:
    found = offload(replace(SPEC, gpu_layers=0), Path("made.gguf"))
    assert (found.layers, found.setting, str(found)) == (0, "", "all on the processor")


@pytest.mark.parametrize(("room", "fits"), [(10_000, 5), (103, 2), (100, 1), (0, 0)])
def test_auto_takes_what_fits_weights_and_cache(room: int, fits: int) -> None:
    """A token takes 2 heads x (128 + 128) x 2 bytes a layer: 1 MiB for the context."""
    found = plan(replace(SPEC, gpu_layers="auto"), HEADER, [card(room)])
    assert found.layers == fits


def test_a_number_is_taken_at_its_word_and_counts_the_output() -> None:
    found = plan(replace(SPEC, gpu_layers=99, main_gpu=1, tensor_split=(0.5, 2)), HEADER, [card(0)])
    assert found.layers == LAYERS + 1
    assert found.setting == "gpu_layers=5 main_gpu=1 tensor_split=0.5/2"
    assert "all of 5 layers on CUDA0 (a card)" in str(found)


@pytest.mark.parametrize(
    ("asked", "built_for_a_card", "said"),
    [
        ("auto", False, ""),
        ("auto", True, "llama.cpp finds no card"),
        (3, False, "llama.cpp was built for processors"),
        (3, True, "llama.cpp finds no card"),
    ],
)
def test_without_a_card_the_processor_computes_and_who_expected_one_is_told(
    asked: Literal["auto"] | int, built_for_a_card: bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "supports_cards", lambda: built_for_a_card)
    monkeypatch.setattr(offloading, "cards", tuple)
    found = offload(replace(SPEC, gpu_layers=asked), Path("made.gguf"))
    assert (found.layers, found.setting) == (0, "")
    assert said in found.remark
    assert bool(found.remark) == bool(said)


def test_out_of_memory_tells_how_many_would_fit() -> None:
    asked = plan(replace(SPEC, gpu_layers=5), HEADER, [card(103)])
    message, hint = too_large("made.gguf", asked, "out of memory")
    assert "5 layers were to lie on CUDA0" in message
    assert hint.startswith("gpu_layers = 2 should fit")


def test_nothing_on_a_card_changes_no_identity() -> None:
    assert Offload().setting == ""
