"""A file that shrinks while its model is loaded is noticed before weights are read behind its end,
which would end the process (SIGBUS)."""

import os
from pathlib import Path

import pytest

from gateway.backends.llama_cpp.context import Context
from gateway.backends.llama_cpp.embedding import outputs
from gateway.backends.llama_cpp.model import GgufModel
from gateway.core.errors import BackendError
from gateway.engine.context import PassRow
from tests.support.architectures import write

pytestmark = pytest.mark.needs("llama_cpp")


def test_each_pass_looks_at_the_file(tmp_path: Path) -> None:
    path = write("llama", tmp_path)
    model = GgufModel(path)
    context = Context(model, sequences=1, length=32, threads=1, batch_tokens=32)
    try:
        context.decode([PassRow(0, 0, 1, True)])
        # What lies behind the last tensor is read by nobody.
        os.truncate(path, path.stat().st_size + 1)
        with pytest.raises(BackendError, match="was written into"):
            context.decode([PassRow(0, 1, 1, True)])
        with pytest.raises(BackendError, match="was written into"):
            outputs(model, [[1, 2]], "mean", threads=1)
    finally:
        context.close()
        model.close()
