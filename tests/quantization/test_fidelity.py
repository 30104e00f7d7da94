"""Models beside a reference, on real weights, and beside what llama.cpp's own tool printed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config import load_models
from gateway.errors import ComparisonRefused, DataError
from gateway.quantization.fidelity import Fidelity, Wanted, measure
from gateway.quantization.given import Given, given
from gateway.quantization.making import Made
from tests.conftest import spec_and_path
from tests.gguf_adapters import write_adapter
from tests.quantization.conftest import TEXT

SHORT = Wanted(TEXT, context=32, chunks=2, threads=1)


@pytest.fixture(scope="module")
def measured(smollm2_file: Given, made: Made) -> Fidelity:
    level = given(str(made.path), load_models())
    return measure(smollm2_file, [level], Wanted(TEXT, context=128, threads=1))


def test_a_model_beside_itself_is_at_no_distance(smollm2_file: Given) -> None:
    begun: list[int] = []
    done: list[None] = []

    def begin(chunks: int) -> Callable[[], None]:
        begun.append(chunks)
        return lambda: done.append(None)

    found = measure(smollm2_file, [smollm2_file, smollm2_file], SHORT, begin)
    assert (begun, len(done)) == ([2], 2)
    assert found.tokens == 2 * 15
    for model in found.models:
        assert set(model.divergence.kls.values()) == {0.0}
        assert model.divergence.same_top.value == 1.0
        assert model.divergence.perplexity == found.perplexity


def test_an_adapter_of_the_entry_is_part_of_the_model(smollm2_file: Given, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter.gguf", 1)
    adapted = replace(smollm2_file, spec=replace(smollm2_file.spec, adapter=adapter))
    (found,) = measure(smollm2_file, [adapted], SHORT).models
    assert found.divergence.kl.value > 0.01


def test_another_vocabulary_is_refused(smollm2_file: Given) -> None:
    spec_and_path("gemma3-270m")
    gemma = given("gemma3-270m", load_models())
    with pytest.raises(ComparisonRefused, match="gemma3-270m reads other tokens"):
        measure(smollm2_file, [gemma], SHORT)


def test_a_text_that_is_too_short_is_refused(smollm2_file: Given, tmp_path: Path) -> None:
    text = tmp_path / "short.txt"
    text.write_text("Too short.")
    with pytest.raises(DataError, match="at least 64 are needed"):
        measure(smollm2_file, [], replace(SHORT, text=text))


def test_a_level_is_near_its_reference_and_not_at_it(measured: Fidelity) -> None:
    (level,) = measured.models
    found = level.divergence
    assert (measured.chunks, measured.tokens) == (6, 6 * 63)
    assert 0 < found.kls[0.0] <= found.kls[0.5] <= found.kl.value <= found.kls[1.0]
    assert 0.7 < found.same_top.value < 1
    assert found.reference_perplexity == measured.perplexity
    assert level.contents.level is not None
    assert level.contents.level.name == "Q4_K_M"
