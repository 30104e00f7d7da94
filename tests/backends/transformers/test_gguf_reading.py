"""A GGUF is read quickly, and what is read is the same to the last bit."""

from pathlib import Path

import gguf
import torch
import transformers

from gateway.backends.transformers.model import TorchModel
from tests.cli.smallest import write_small
from tests.conftest import spec_and_path


def test_the_weights_are_those_that_transformers_reads_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "small.gguf"
    write_small(path, spec_and_path("smollm2-135m")[1])
    plain = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file=path.name, dtype=torch.float32
    ).state_dict()
    own = (gguf.GGUFReader, gguf.get_tensor_name_map)
    quick = TorchModel(path, dtype="float32", device="cpu").module.state_dict()
    assert (gguf.GGUFReader, gguf.get_tensor_name_map) == own
    assert quick.keys() == plain.keys()
    assert len(plain) > 15
    for name, weights in plain.items():
        assert torch.equal(weights, quick[name]), name
