"""The same weights on torch: near answers, and the same bytes again."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.transformers.backend import TransformersBackend
from gateway.core.errors import ModelLoadError
from gateway.core.types import Completion, GenerationRequest, Message, Sampling
from gateway.tasks.tables import read_table
from tests.conftest import ROOT, few_layers
from tests.support.torch_models import NAME, torch_spec

NEAR = 0.02
"""Nats: llama.cpp keeps keys and values in 16 bits, torch in 32."""


def asked(text: str, tokens: int = 8) -> GenerationRequest:
    return GenerationRequest(
        "m", (Message("user", text),), sampling=Sampling(max_tokens=tokens), logprobs=1
    )


def bytes_of(done: Completion) -> tuple[object, ...]:
    return done.text, done.token_ids, done.logprobs


def test_labels_are_scored_as_by_llama_cpp(
    dequantized: TransformersBackend, exact: LlamaCppBackend
) -> None:
    labels = ["bug", "feature", "question"]
    request = asked("It crashes. Is it a bug, a feature or a question?")
    theirs = asyncio.run(dequantized.score_labels(request, labels))
    ours = asyncio.run(exact.score_labels(request, labels))
    assert theirs.exact
    assert theirs.token_counts == ours.token_counts
    assert theirs.logprobs == pytest.approx(ours.logprobs, abs=NEAR)


def test_the_first_token_is_as_likely_in_both(
    dequantized: TransformersBackend, exact: LlamaCppBackend
) -> None:
    for text in ("Name a colour.", "What is two plus two?", "Write a poem."):
        theirs = asyncio.run(dequantized.generate(asked(text, 1)))
        ours = asyncio.run(exact.generate(asked(text, 1)))
        assert theirs.token_ids == ours.token_ids
        assert theirs.logprobs is not None
        assert ours.logprobs is not None
        assert theirs.logprobs[0].logprob == pytest.approx(ours.logprobs[0].logprob, abs=NEAR)


def test_what_is_cached_changes_no_byte(dequantized: TransformersBackend) -> None:
    long = "and two boats came in with the tide " * 40
    first = bytes_of(asyncio.run(dequantized.generate(asked(long + "Why?"))))
    asyncio.run(dequantized.generate(asked(long + "Who else came in, and when?")))
    again = asyncio.run(dequantized.generate(asked(long + "Why?")))
    assert bytes_of(again) == first
    assert again.timings.cached_tokens >= 256


def test_what_is_copied_from_another_request_changes_no_byte(
    dequantized: TransformersBackend,
) -> None:
    """Prompts that come together and begin alike for more than two pieces."""
    long = "the harbour was quiet that morning and a third boat waited outside " * 30
    requests = [asked(f"{long}{end}") for end in ("Why?", "Who?", "When was it?")]

    async def together() -> list[Completion]:
        return await asyncio.gather(*(dequantized.generate(r) for r in requests))

    beside = [bytes_of(done) for done in asyncio.run(together())]
    other = TransformersBackend(torch_spec(parallel=1), few_layers(NAME)[1])
    alone = [bytes_of(asyncio.run(other.generate(request))) for request in requests]
    asyncio.run(other.close())
    assert beside == alone


def test_one_thread_gives_the_bytes_of_two(dequantized: TransformersBackend) -> None:
    alone = TransformersBackend(torch_spec(threads=1), few_layers(NAME)[1])
    request = asked("Name three colours and a reason for each of them.")
    found = [bytes_of(asyncio.run(b.generate(request))) for b in (alone, dequantized)]
    asyncio.run(alone.close())
    assert found[0] == found[1]


def test_a_folder_is_the_model_that_its_gguf_is(
    dequantized: TransformersBackend, folder: Path
) -> None:
    """Tokens of real texts, and every byte of an answer: tokenizer and weights are the same."""
    made = TransformersBackend(torch_spec(name="folder", sha256=""), folder)
    texts = [
        f"{row.values['title']}\n\n{row.values['body']}"
        for row in read_table(str(ROOT / "prompts" / "issue-triage" / "sample.csv")).rows
    ]
    assert len(texts) > 20
    for text in [
        *texts,
        "<|im_start|>system\n<|im_end|>",
        "naïve 日本語 😀\t\x00",
        " x  y ",
        "v\n\n2",
    ]:
        request = asked(text[:2000])
        assert made.render(request) == dequantized.render(request)
    request = asked("Name a colour.")
    found = [bytes_of(asyncio.run(b.generate(request))) for b in (made, dequantized)]
    assert found[0] == found[1]
    assert made.identity["weights"] != dequantized.identity["weights"]
    asyncio.run(made.close())


def test_weights_on_torch_can_be_trained_and_saved(dequantized: TransformersBackend) -> None:
    """What transformers notes of a GGUF would forbid both."""
    module = dequantized._model.module
    assert not getattr(module, "is_quantized", False)
    assert not hasattr(module.config, "quantization_config")


def test_a_folder_without_safetensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"a pickle")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelLoadError, match="no safetensors"):
        TransformersBackend(replace(torch_spec(), sha256=""), tmp_path)


def test_a_file_that_is_not_the_described_one_is_refused() -> None:
    with pytest.raises(ModelLoadError, match="sha256"):
        TransformersBackend(torch_spec(sha256="0" * 64), few_layers(NAME)[1])
