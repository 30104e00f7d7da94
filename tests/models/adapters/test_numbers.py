"""Of a GGUF of an adapter the same is told as of PEFT's file, and of no file nothing."""

from pathlib import Path

import gguf
import numpy as np
import pytest

from gateway.models.adapters.numbers import oddities
from gateway.models.adapters.warnings import told_of

KINDS = {"F32": np.float32, "F16": np.float16}


def write(path: Path, factor: float, kind: str) -> Path:
    """One pair of matrices; the second is multiplied."""
    writer = gguf.GGUFWriter(path, "llama")
    for part, times in (("lora_a", 1.0), ("lora_b", factor)):
        values = np.full((4, 32), 0.5 * times, KINDS[kind])
        writer.add_tensor(f"blk.0.attn_q.weight.{part}", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (1.0, []),
        (0.0, ["m: its adapter: all numbers of lora_b are zero: it may change nothing"]),
        (-0.0, ["m: its adapter: all numbers of lora_b are zero: it may change nothing"]),
        *(
            (
                factor,
                [
                    "m: its adapter: numbers that are not finite (NaN or infinite): "
                    "blk.0.attn_q.weight.lora_b"
                ],
            )
            for factor in (float("nan"), float("inf"))
        ),
    ],
)
def test_numbers_of_a_gguf_are_read(
    tmp_path: Path, kind: str, factor: float, said: list[str]
) -> None:
    assert list(told_of("m", write(tmp_path / "a.gguf", factor, kind), None)) == said


@pytest.mark.parametrize("name", ["a.gguf", "adapter_model.safetensors"])
@pytest.mark.parametrize("contents", [None, b"", b"GGUF", b"\x08" + bytes(7) + b"nothing!"])
def test_of_a_file_that_is_none_nothing_is_told(
    tmp_path: Path, name: str, contents: bytes | None
) -> None:
    if contents is not None:
        (tmp_path / name).write_bytes(contents)
    assert oddities(tmp_path / name) == ()
