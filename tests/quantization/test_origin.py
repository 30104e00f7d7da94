"""Whether a file was quantized before, told from the file alone."""

from pathlib import Path

import pytest

from gateway.backends.registry import load_models
from gateway.engine.llama.quantizer import quantize
from gateway.quantization.names import parse_level
from gateway.quantization.origin import origin_of
from gateway.quantization.source import Given, given
from tests.quantization.tiny import write_tiny


def requantized(source: Path, level: str, target: Path) -> Path:
    number = parse_level(level).number
    assert number is not None
    quantize(source, target, number, importance={}, threads=1, on_tensor=lambda _: None)
    return target


def origin(path: Path) -> dict[str, int]:
    return dict(origin_of(given(str(path), load_models()).header).by_type)


def test_smollm2_s_q4_1_comes_back_byte_for_byte(smollm2_file: Given) -> None:
    seen: list[None] = []
    found = origin_of(smollm2_file.header, lambda: seen.append(None))
    assert found.by_type == {"Q4_1": 210, "Q8_0": 1}
    assert found.tried == {}
    assert len(seen) == len(smollm2_file.header.tensors)


@pytest.mark.parametrize("stored", ["F32", "F16", "BF16"])
def test_weights_that_never_were_quantized_come_back_from_nothing(
    tiny: Given, tmp_path: Path, stored: str
) -> None:
    assert origin(requantized(tiny.path, stored, tmp_path / "stored.gguf")) == {}


@pytest.mark.parametrize("level", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
@pytest.mark.parametrize("stored", ["F32", "F16", "BF16"])
def test_what_was_quantized_is_told_after_it_was_dequantized(
    tiny: Given, tmp_path: Path, level: str, stored: str
) -> None:
    once = requantized(tiny.path, level, tmp_path / "once.gguf")
    found = origin(requantized(once, stored, tmp_path / "stored.gguf"))
    # The embedding has more bits, Q6_K, except at Q8_0; a BF16 is too coarse to tell Q8_0.
    expected = {level: 57 if level == "Q8_0" else 56}
    assert found == ({} if (level, stored) == ("Q8_0", "BF16") else expected)


def test_of_k_quants_those_that_do_not_come_back_are_named(tiny: Given, tmp_path: Path) -> None:
    path = requantized(tiny.path, "Q4_K_S", tmp_path / "k.gguf")
    header = given(str(path), load_models()).header
    found = origin_of(header)
    assert len(found.returning) + len(found.tried) == 57
    assert found.tried["token_embd.weight"] == "Q6_K"
    types = {tensor.name: tensor.type for tensor in header.tensors}
    assert all(
        types[name] == kind for name, kind in (dict(found.returning) | dict(found.tried)).items()
    )


@pytest.mark.needs("llama_cpp")
def test_zeros_tell_nothing(tmp_path: Path) -> None:
    name = "blk.3.ffn_up.weight"
    path = write_tiny(tmp_path / "zeros.gguf", zeros=name)
    assert origin(path) == {}
