"""Models beside a reference, on real weights, and beside what llama.cpp's own tool printed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config import load_models
from gateway.errors import ComparisonRefused, DataError
from gateway.llama import library
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
    wanted = Wanted(TEXT, context=128, threads=1, in_16_bits=True)
    return measure(smollm2_file, [level], wanted)


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
    rounded = found.reference_perplexity.value
    assert 0 < abs(rounded - measured.perplexity.value) < 1e-3, "16 bits are nearly all"
    assert level.contents.level is not None
    assert level.contents.level.name == "Q4_K_M"


def test_the_figures_are_those_of_llama_cpps_own_tool(measured: Fidelity) -> None:
    """Printed by llama-perplexity of the same sources and build (scripts/peers) on a processor with
    AVX512, same files and text: GGML_CPU_TILED_MM=0, -c 128 --flash-attn off --no-repack,
    so with the kernels that the gateway takes. Other processors add in another order, which the
    rounding of activations to 8 bits makes larger."""
    recorded = "AVX512_VNNI = 1" in library.build().system_info
    (level,) = measured.models
    found = level.divergence
    own = [found.perplexity, found.reference_perplexity, found.log_ratio, found.kl]
    printed = [27.605887, 26.266562, 0.049732, 0.059811]
    digits = 3e-5 if recorded else 0.03
    assert [each.value for each in own] == pytest.approx(printed, rel=digits)
    errors = [4.171753, 3.866211, 0.018088, 0.002895]
    assert [each.error for each in own] == pytest.approx(errors, rel=2e-3 if recorded else 0.1)
    if recorded:
        quantiles = {0.5: 0.044098, 0.95: 0.143633, 0.99: 0.298970, 1.0: 0.407562}
        for share, value in quantiles.items():
            assert found.kls[share] == pytest.approx(value, rel=1e-3)
        assert 100 * found.rms_change.value == pytest.approx(5.066, rel=1e-3)
        assert 100 * found.same_top.value == pytest.approx(82.275, abs=1e-3)
