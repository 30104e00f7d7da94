"""Estimated memory beside what the library says that it took."""

from dataclasses import replace

import pytest

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.context import Attending, Context
from gateway.models.gguf import Header, read_header
from gateway.quantization.estimate import estimate
from tests.conftest import spec_and_path


def near(estimated: int, measured: int, share: float) -> bool:
    return abs(estimated - measured) <= share * measured


def test_of_the_default_model_the_estimate_is_within_a_hundredth(
    whole_smollm2: LlamaCppBackend,
) -> None:
    spec, path = spec_and_path("smollm2-135m")
    found = estimate(
        read_header(path),
        spec.context_length,
        sequences=spec.parallel,
        batch_tokens=spec.batch_tokens,
    )
    measured = whole_smollm2.memory
    assert found.weights == measured.weights
    assert found.cache is not None
    # The library rounds what it says to hundredths of a MiB.
    assert near(found.cache, measured.cache, 1e-4)
    assert near(found.scratch, measured.scratch, 0.1)
    assert found.total is not None
    total = measured.weights + measured.cache + measured.scratch
    assert near(found.total, total, 0.01)


@pytest.mark.parametrize("attention", ["plain", "flash"])
@pytest.mark.parametrize(("sequences", "context", "batch"), [(1, 300, 64), (2, 2048, 512)])
def test_of_a_sliding_window_too_and_whatever_the_context(
    gemma: LlamaCppBackend, attention: Attending, sequences: int, context: int, batch: int
) -> None:
    taken = Context(
        gemma._model,
        sequences=sequences,
        length=context,
        threads=1,
        batch_tokens=batch,
        attention=attention,
    )
    taken.close()
    found = estimate(
        read_header(gemma._model.path),
        context,
        sequences=sequences,
        batch_tokens=batch,
        flash=attention == "flash",
    )
    assert found.weights == gemma._model.weights_bytes
    assert found.cache is not None
    assert near(found.cache, taken.memory.cache, 1e-2)
    assert near(found.scratch, taken.memory.scratch, 0.1)


def test_a_context_is_no_longer_than_the_model_s() -> None:
    header = read_header(spec_and_path("smollm2-135m")[1])
    assert estimate(header, 1 << 20) == estimate(header, 8192)


@pytest.mark.parametrize("key", ["ssm.state_size", "attention.kv_lora_rank"])
def test_what_keeps_something_else_than_keys_and_values_is_unknown(key: str) -> None:
    header = read_header(spec_and_path("smollm2-135m")[1])
    other = replace(header, metadata={**header.metadata, f"llama.{key}": 16})
    found = estimate(other, 4096)
    assert (found.cache, found.total) == (None, None)
    assert found.weights > 0


def test_heads_by_layer_count_one_by_one_and_are_unknown_where_they_were_not_read() -> None:
    header = read_header(spec_and_path("smollm2-135m")[1])
    key = "llama.attention.head_count_kv"

    def cache(heads: object) -> int | None:
        return estimate(Header({**header.metadata, key: heads}, header.tensors), 1024).cache

    assert cache([3] * 30) == cache(3)
    assert cache([6, *[3] * 28, 0]) == cache(3)
    assert cache(None) is None
