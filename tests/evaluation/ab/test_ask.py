"""What is told of a cell's model beside its answers."""

from pathlib import Path

import pytest

from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.backends.transformers.spec import TransformersSpec
from gateway.evaluation.ab.ask import weights_held
from gateway.models.spec import ModelSpec, PathSource


@pytest.mark.parametrize("kind", [LlamaCppSpec, TransformersSpec])
def test_nothing_is_said_of_weights_that_cannot_be_read(
    tmp_path: Path, kind: type[ModelSpec]
) -> None:
    """Answers of theirs that are kept are compared all the same."""
    file = tmp_path / ("model.gguf" if kind is LlamaCppSpec else "model.safetensors")
    file.write_bytes(b"no weights")
    path = file if kind is LlamaCppSpec else tmp_path
    assert weights_held(kind("gone", PathSource(path))) is None
