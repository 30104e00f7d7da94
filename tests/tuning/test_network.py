"""What is learned is what inference scores, however it is computed."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import torch

from gateway.backends.transformers.backend import TransformersBackend, tokenizer_of
from gateway.backends.transformers.model import TorchModel
from gateway.backends.transformers.spec import TransformersSpec
from gateway.core.errors import Unsupported
from gateway.core.types import GenerationRequest, LabelScores
from gateway.engine.reader import Reader
from gateway.tuning.examples import Example, examples
from gateway.tuning.layers import prepare, upper
from gateway.tuning.network import Network
from tests.tuning.worlds import a_job, write_world


class Read:
    """A small base, read by the gateway and ready to be trained."""

    def __init__(self, root: Path, kind: str) -> None:
        base = write_world(root / "base", kind)
        self.job = a_job(base, root)
        self.spec = TransformersSpec.like(self.job.spec)
        self.path = base
        self.model = TorchModel(base, dtype="float32", device="cpu")
        prepare(self.model.module)
        self.reader = Reader(self.spec, tokenizer_of(base, self.model))
        job = self.job
        self.examples = examples(job.items[:6], job.task, job.labels, job.template, self.reader, 64)

    def network(self, below: int = 0) -> Network:
        return Network(self.model.module, self.reader.vocabulary.stop_ids.tolist(), below)

    def served(self) -> list[LabelScores]:
        async def ask() -> list[LabelScores]:
            backend = TransformersBackend(self.spec, self.path)
            try:
                return [await backend.score_labels(r, self.job.labels) for r in self._requests()]
            finally:
                await backend.close()

        return asyncio.run(ask())

    def _requests(self) -> list[GenerationRequest]:
        job = self.job
        prompts = [
            job.template.render(job.task, job.labels, item.fields, (), self.reader)
            for item in job.items[:6]
        ]
        return [GenerationRequest("tiny", p.messages, answer_start=p.answer_start) for p in prompts]


@pytest.fixture(scope="module", params=["llama", "gemma 2, softcap and windows", "qwen 3"])
def read(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Read:
    return Read(tmp_path_factory.mktemp("world"), request.param)


def rows_of(network: Network, made: tuple[Example, ...]) -> torch.Tensor:
    """Every answer of every example, in one padded pass, shape (examples, answers)."""
    rows = [row for example in made for row in example.answers]
    found: torch.Tensor = network.logprobs(rows)
    return found.reshape(len(made), -1).detach()


def trees_of(network: Network, made: tuple[Example, ...]) -> torch.Tensor:
    return torch.stack([network.scores(example) for example in made]).detach()


def test_padded_rows_score_what_the_gateway_serves(read: Read) -> None:
    served = torch.tensor([scores.logprobs for scores in read.served()])
    torch.testing.assert_close(rows_of(read.network(), read.examples).double(), served.double(),
                               atol=1e-4, rtol=1e-4)  # fmt: skip


def test_answers_behind_one_prompt_do_not_see_each_other(read: Read) -> None:
    network = read.network()
    torch.testing.assert_close(trees_of(network, read.examples), rows_of(network, read.examples))


def test_frozen_layers_computed_once_change_nothing(read: Read) -> None:
    whole, cut = read.network(), read.network(below=1)
    for score in (rows_of, trees_of):
        first = score(cut, read.examples)
        torch.testing.assert_close(first, score(whole, read.examples), atol=1e-5, rtol=1e-5)
        assert torch.equal(first, score(cut, read.examples)), "kept, and the same"
        assert torch.equal(first, score(read.network(below=1), read.examples)), "computed anew"


def test_a_cut_leaves_the_model_as_it_was(read: Read) -> None:
    layers = read.model.module.model.layers
    top: Any = upper(read.model.module, 1)
    assert len(top.model.layers) == 1
    assert top.model.layers[0] is layers[1]
    assert read.model.module.model.layers is layers
    assert (len(layers), read.model.module.config.num_hidden_layers) == (2, 2)


def test_a_model_without_a_list_of_layers_is_not_cut() -> None:
    import transformers

    model = transformers.AutoModelForCausalLM.from_config(
        transformers.GPT2Config(n_layer=2, n_embd=16, n_head=2, vocab_size=20)
    )
    with pytest.raises(Unsupported, match="cannot be cut"):
        upper(model, 1)
