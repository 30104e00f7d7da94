"""llama.cpp's quantizer: what it says beforehand is what it does, and its failures have reasons."""

from pathlib import Path

import numpy as np
import pytest

from gateway.core.errors import BackendError
from gateway.engine.llama import blocks
from gateway.engine.llama.quantizer import plan, quantize
from gateway.models.gguf import read_header
from gateway.quantization.names import parse_level
from tests.quantization.tiny import LAYERS, write_tiny


def number(level: str) -> int:
    found = parse_level(level).number
    assert found is not None
    return found


@pytest.mark.needs("llama_cpp")
@pytest.mark.parametrize("level", ["Q8_0", "Q4_K_M", "Q3_K_L", "F16"])
@pytest.mark.parametrize("width", [256, 96])
def test_the_plan_is_what_is_made(tmp_path: Path, level: str, width: int) -> None:
    source = write_tiny(tmp_path / "tiny.gguf", width)
    tensors = read_header(source).tensors
    planned = plan(source, tensors, number(level))
    begun: list[str] = []
    target = tmp_path / "made.gguf"
    quantize(source, target, number(level), importance={}, threads=2, on_tensor=begun.append)
    made = {tensor.name: (tensor.type, tensor.shape) for tensor in read_header(target).tensors}
    assert made == {tensor.name: (tensor.type, tensor.shape) for tensor in planned.tensors}
    assert sorted(begun) == sorted(tensor.name for tensor in tensors)


@pytest.mark.needs("llama_cpp")
def test_an_importance_matrix_changes_bytes_and_what_it_lacks_is_named(tmp_path: Path) -> None:
    source = write_tiny(tmp_path / "tiny.gguf")
    name = f"blk.{LAYERS - 1}.ffn_up.weight"
    importance = {name: np.linspace(0.1, 9, 256, dtype=np.float32)}
    missing = []
    for target, given in (("plain", {}), ("weighted", importance)):
        file = tmp_path / f"{target}.gguf"
        without = quantize(
            source, file, number("Q4_0"), importance=given, threads=1, on_tensor=lambda _: None
        )
        missing.append(without)
    assert missing[0] == ()
    assert len(missing[1]) == 7 * LAYERS + 1 - 1  # every matrix but one
    assert name not in missing[1]
    assert data(tmp_path / "plain.gguf", name) != data(tmp_path / "weighted.gguf", name)


def data(path: Path, name: str) -> bytes:
    header = read_header(path)
    tensor = next(tensor for tensor in header.tensors if tensor.name == name)
    begin = header.data_begins + tensor.offset
    return path.read_bytes()[begin : begin + tensor.size]


@pytest.mark.needs("llama_cpp")
def test_what_the_quantizer_makes_are_the_blocks_that_ggml_makes_of_the_rows(
    tmp_path: Path,
) -> None:
    source = write_tiny(tmp_path / "tiny.gguf")
    target = tmp_path / "made.gguf"
    quantize(source, target, number("Q4_1"), importance={}, threads=1, on_tensor=lambda _: None)
    name = "blk.0.attn_q.weight"
    rows = blocks.decode("F32", data(source, name), 256)
    assert blocks.encode("Q4_1", rows) == data(target, name)
    again = blocks.decode("Q4_1", data(target, name), 256)
    assert np.abs(again - rows).max() < np.abs(rows).max() / 7


@pytest.mark.needs("llama_cpp")
def test_a_missing_importance_matrix_is_known_beforehand_and_refused(tmp_path: Path) -> None:
    source = write_tiny(tmp_path / "tiny.gguf")
    tensors = read_header(source).tensors
    assert plan(source, tensors, number("IQ2_XXS")).needs_imatrix
    assert not plan(source, tensors, number("IQ2_XXS"), imatrix=True).needs_imatrix
    with pytest.raises(BackendError, match="requires an imatrix"):
        quantize(
            source,
            tmp_path / "made.gguf",
            number("IQ2_XXS"),
            importance={},
            threads=1,
            on_tensor=lambda _: None,
        )


@pytest.mark.needs("llama_cpp")
def test_a_file_that_is_no_model_has_a_reason(tmp_path: Path) -> None:
    source = tmp_path / "no.gguf"
    source.write_bytes(b"GGUF, but not really")
    with pytest.raises(BackendError, match=r"no\.gguf: llama\.cpp cannot quantize it: \w+"):
        plan(source, (), number("Q8_0"))
