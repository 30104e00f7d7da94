"""Models beside a reference, on real weights, and beside llama.cpp's own tool."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.backends.registry import load_models
from gateway.core.errors import ComparisonRefused, DataError
from gateway.engine.llama import library
from gateway.quantization.fidelity import Fidelity, Wanted, measure
from gateway.quantization.make import Made
from gateway.quantization.perplexity import Measured
from gateway.quantization.source import Given, given
from tests.conftest import spec_and_path
from tests.quantization.conftest import TEXT
from tests.support.gguf_adapters import write_adapter
from tests.support.perplexity_tool import (
    PERCENT,
    PRINTED,
    QUANTILES,
    RECORDED,
    RECORDED_ON,
    TOOL,
    Figure,
    Figures,
    by_its_arithmetic,
    by_the_tool,
    instructions,
)

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


def own_figures(measured: Fidelity) -> Figures:
    found = measured.models[0].divergence
    figures = {name: Figure(found.kls[share]) for name, share in QUANTILES.items()}
    for name in PRINTED.keys() - QUANTILES.keys():
        one: Measured = getattr(found, name)
        times = 100 if name in PERCENT else 1
        figures[name] = Figure(times * one.value, times * one.error)
    return figures


def test_the_figures_are_those_of_the_tool_s_arithmetic_on_this_processor(
    smollm2_file: Given, made: Made, tmp_path: Path
) -> None:
    """Whatever kernels this processor has: both read the same logits."""
    text = tmp_path / "begins.txt"
    text.write_bytes(TEXT.read_bytes()[:800])
    wanted = Wanted(text, context=64, threads=1, in_16_bits=True)
    found = measure(smollm2_file, [given(str(made.path), load_models())], wanted)
    assert found.chunks > 1
    figures = by_its_arithmetic(smollm2_file.path, made.path, text.read_bytes(), found.context)
    for name, own in own_figures(found).items():
        assert own.value == pytest.approx(figures[name].value, rel=1e-6), name
        assert own.error == pytest.approx(figures[name].error, rel=1e-6), name


def test_the_figures_are_those_that_the_tool_prints_here(
    smollm2_file: Given, made: Made, measured: Fidelity, tmp_path: Path
) -> None:
    if not TOOL.is_file():
        pytest.skip(f"{TOOL} is absent: scripts/peers builds it")
    taken, printed = by_the_tool(smollm2_file.path, made.path, TEXT, measured.context, tmp_path)
    assert taken == instructions(library.build().system_info), "built for another processor"
    check_printed(measured, printed)


def test_the_figures_are_those_that_the_tool_printed_on_such_a_processor(
    measured: Fidelity,
) -> None:
    if instructions(library.build().system_info) != RECORDED_ON:
        pytest.skip("recorded on a processor with other instructions, which adds in another order")
    check_printed(measured, RECORDED)


def check_printed(measured: Fidelity, printed: Figures) -> None:
    """To the digits that the tool prints."""
    for name, own in own_figures(measured).items():
        digits = 1e-3 if name in PERCENT else 2e-6
        assert own.value == pytest.approx(printed[name].value, rel=3e-5, abs=digits), name
        assert own.error == pytest.approx(printed[name].error, rel=2e-3, abs=digits), name
