"""One level of the default model, made once for the whole session."""

from pathlib import Path

import pytest

from gateway.backends.registry import load_models
from gateway.quantization.ladder import Ladder, plan
from gateway.quantization.make import Made, make
from gateway.quantization.names import parse_level
from gateway.quantization.source import Given, given
from tests.conftest import spec_and_path
from tests.quantization.tiny import write_tiny

TEXT = Path(__file__).with_name("text.txt")
LEVEL = "Q4_K_M"


@pytest.fixture(scope="session")
def smollm2_file() -> Given:
    """SmolLM2 135M as it is pulled: Q4_1, its embedding Q8_0, 576 wide."""
    spec_and_path("smollm2-135m")
    return given("smollm2-135m", load_models())


@pytest.fixture(scope="session")
def ladder(smollm2_file: Given) -> Ladder:
    return plan(smollm2_file, [parse_level(LEVEL)])


@pytest.fixture(scope="session")
def made(ladder: Ladder, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """SmolLM2 quantized to Q4_K_M."""
    (found,) = make(ladder, tmp_path_factory.mktemp("ladder"))
    return found


@pytest.fixture
def tiny(tmp_path: Path) -> Given:
    """Random weights that never were quantized, 256 wide."""
    return given(str(write_tiny(tmp_path / "tiny.gguf")), load_models())
