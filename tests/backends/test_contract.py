"""What every backend must do. A new backend is one more parameter here."""

import asyncio
import math
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.backends.fake import FakeBackend, FakeSpec
from gateway.backends.ollama.backend import OllamaBackend
from gateway.backends.protocol import Backend, SearchesLabels
from gateway.backends.transformers.backend import TransformersBackend
from gateway.backends.transformers.spec import TransformersSpec
from gateway.core.errors import ContextOverflow, InvalidRequest
from gateway.core.types import (
    Constraint,
    Delta,
    GenerationRequest,
    LabelSearch,
    Message,
    Reasoning,
    Sampling,
)
from gateway.models.spec import ModelSpec, PathSource
from tests.conftest import ROOT, few_layers
from tests.support.ollama_server import on_server

T = TypeVar("T")


def run(awaitable: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(awaitable)


PARAMS = [
    *("fake", "smollm2", "gemma"),
    *("ollama-smollm2", "ollama-gemma"),
    "transformers-smollm2",
]


@pytest.fixture(params=PARAMS, scope="module")
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    server, _, name = request.param.rpartition("-")
    if name == "fake":
        yield FakeBackend(FakeSpec("fake", PathSource(ROOT)))
        return
    own: Backend = request.getfixturevalue(name)
    if not server:
        yield own
        return
    if server == "transformers":
        torch = TransformersBackend(*on_torch(own.spec))
        yield torch
        run(torch.close())
        return
    served = OllamaBackend(
        on_server(own.spec, request.getfixturevalue("ollama_url"), chat_template=own.chat_template)
    )
    yield served
    run(served.close())


def on_torch(spec: ModelSpec) -> tuple[TransformersSpec, Path]:
    """The same weights, dequantized."""
    return TransformersSpec.like(spec), few_layers(spec.name)[1]


def is_on_a_server(backend: Backend) -> bool:
    return backend.identity["backend"] == "ollama"


def chat(text: str, **sampling: Any) -> GenerationRequest:
    options = {"max_tokens": 12, **sampling}
    return GenerationRequest("m", (Message("user", text),), sampling=Sampling(**options))


async def collect(backend: Backend, request: GenerationRequest) -> list[Delta]:
    return [delta async for delta in backend.stream(request)]


def test_the_same_request_gives_the_same_result(backend: Backend) -> None:
    request = replace(chat("Name a colour."), logprobs=2)
    first, second = run(backend.generate(request)), run(backend.generate(request))
    assert replace(first, timings=second.timings) == second


def test_requests_side_by_side_give_what_they_give_alone(backend: Backend) -> None:
    requests = [replace(chat(f"Count to {n}. " + "and on " * 7 * n), logprobs=0) for n in range(6)]

    async def together() -> list[Any]:
        return await asyncio.gather(*(backend.generate(r) for r in requests))

    alone = [run(backend.generate(r)) for r in requests]
    beside = run(together())
    assert [(c.text, c.token_ids, c.logprobs) for c in beside] == [
        (c.text, c.token_ids, c.logprobs) for c in alone
    ]


def test_streamed_pieces_join_to_the_whole_text(backend: Backend) -> None:
    request = chat("Say something about the sea.", stop=("e",))
    whole = run(backend.generate(request))
    deltas = run(collect(backend, request))
    assert "".join(d.text for d in deltas) == whole.text
    assert deltas[-1].completion is not None
    assert deltas[-1].completion.token_ids == whole.token_ids


def test_a_stop_text_ends_the_answer_and_is_not_part_of_it(backend: Backend) -> None:
    free = run(backend.generate(chat("Tell me a story.", max_tokens=20)))
    stop = free.text[3:5]
    cut = run(backend.generate(chat("Tell me a story.", max_tokens=20, stop=(stop,))))
    assert cut.text == free.text[: free.text.index(stop)]
    assert cut.finish_reason == "stop"


def test_max_tokens_ends_the_answer_and_says_so(backend: Backend) -> None:
    done = run(backend.generate(chat("Write a long poem.", max_tokens=3)))
    assert len(done.token_ids) == done.usage.completion_tokens == 3
    assert done.finish_reason == "length"


def test_usage_counts_the_tokens_that_the_model_reads(backend: Backend) -> None:
    request = chat("How many?")
    rendered = backend.render(request)
    assert run(backend.generate(request)).usage.prompt_tokens == len(rendered.token_ids)


def test_the_answer_goes_on_from_its_given_beginning(backend: Backend) -> None:
    plain = backend.render(chat("Hi"))
    begun = backend.render(replace(chat("Hi"), answer_start="The type is"))
    assert begun.text == plain.text + "The type is"


def test_log_probabilities_come_for_every_token_with_alternatives_in_order(
    backend: Backend,
) -> None:
    done = run(backend.generate(replace(chat("Name a fruit."), logprobs=3)))
    assert done.logprobs is not None
    assert [entry.token_id for entry in done.logprobs] == list(done.token_ids)
    for entry in done.logprobs:
        tops = [logprob for _, _, logprob in entry.top]
        assert len(tops) == 3
        assert tops == sorted(tops, reverse=True)
        assert entry.logprob <= 0


def test_label_scores_are_in_the_order_asked_and_do_not_depend_on_it(backend: Backend) -> None:
    labels = ["bug", "bug report", "feature", "question"]
    request = chat("Is it a bug?")
    forwards = run(backend.score_labels(request, labels))
    backwards = run(backend.score_labels(request, labels[::-1]))
    assert forwards.labels == tuple(labels)
    assert forwards.logprobs == backwards.logprobs[::-1]
    assert all(x < 0 for x in forwards.logprobs)
    assert forwards.exact or is_on_a_server(backend)


def test_probabilities_of_disjoint_answers_do_not_exceed_one(backend: Backend) -> None:
    scores = run(backend.score_labels(chat("Yes or no?"), ["yes", "no", "Yes", "No"]))
    if backend.identity["backend"] != "fake":
        assert sum(math.exp(x) for x in scores.logprobs) < 1


def test_a_search_of_labels_finds_the_best_with_the_bits_of_the_full_tree(
    backend: Backend,
) -> None:
    if not isinstance(backend, SearchesLabels):
        assert is_on_a_server(backend)
        return
    labels = [
        f"{what} {how}" for what in ("card", "top up", "PIN") for how in ["lost", "late", "ok"]
    ]
    request = chat("My card is lost.")
    whole = run(backend.score_labels(request, labels))
    search = LabelSearch(((0.0,) * len(labels),))
    found = run(backend.search_labels(request, labels, search))
    pairs = zip(found.logprobs, whole.logprobs, found.bounds or (False,) * 9, strict=True)
    assert all(ours >= theirs if bound else ours == theirs for ours, theirs, bound in pairs)
    assert max(found.logprobs) == max(whole.logprobs)
    assert found.tokens_evaluated <= whole.tokens_evaluated
    with pytest.raises(InvalidRequest, match="9 finite numbers"):
        run(backend.search_labels(request, labels, LabelSearch(((0.0,),))))


@pytest.mark.parametrize("labels", [[], [""], ["a", "a"]])
def test_impossible_label_sets_are_refused(backend: Backend, labels: list[str]) -> None:
    with pytest.raises(InvalidRequest):
        run(backend.score_labels(chat("?"), labels))


def test_a_prompt_that_does_not_fit_is_an_error_and_the_next_request_works(
    backend: Backend,
) -> None:
    with pytest.raises(ContextOverflow) as caught:
        run(backend.generate(chat("word " * 5000)))
    assert caught.value.needed > caught.value.available
    with pytest.raises(ContextOverflow):
        run(backend.score_labels(chat("word " * 5000), ["a", "b"]))
    assert run(backend.generate(chat("Hello"))).usage.completion_tokens > 0


def test_a_lone_surrogate_is_refused_and_the_next_request_works(backend: Backend) -> None:
    with pytest.raises(InvalidRequest):
        run(backend.generate(chat("\ud800")))
    assert run(backend.generate(chat("Hello"))).usage.completion_tokens > 0


def test_a_choice_constraint_lets_only_a_choice_out(backend: Backend) -> None:
    choices = ("needs info", 'say "hi"\n', "wontfix")
    request = replace(chat("Pick one.", max_tokens=40), constraint=Constraint("choices", choices))
    assert run(backend.generate(request)).text in choices


def test_a_thought_is_parted_from_the_answer(backend: Backend) -> None:
    said = "<think>no</think>yes"
    request = replace(chat("Say yes.", max_tokens=40), constraint=Constraint("choices", (said,)))
    done = run(backend.generate(request))
    assert (done.text, done.reasoning) == (said, Reasoning("no", "yes"))
    assert done.answer == "yes"


def test_embeddings_are_unit_vectors_that_do_not_depend_on_their_neighbours(
    backend: Backend,
) -> None:
    both = run(backend.embed(["a red apple", "quantum field theory"]))
    alone = run(backend.embed(["quantum field theory"]))
    assert both.vectors[1] == alone.vectors[0]
    for vector in both.vectors:
        assert math.isclose(sum(x * x for x in vector), 1.0, rel_tol=1e-5)


@pytest.mark.parametrize("texts", [[], [""]])
def test_nothing_to_embed_is_refused(backend: Backend, texts: list[str]) -> None:
    if texts and backend.spec.name.startswith("gemma"):
        pytest.skip("an empty text is one BOS token for this vocabulary")
    with pytest.raises(InvalidRequest):
        run(backend.embed(texts))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=60), n=st.integers(1, 20))
@example(text="NULL", n=1)
def test_head_and_tail_are_no_longer_than_asked(backend: Backend, text: str, n: int) -> None:
    if "\ud800" <= max(text, default="") <= "\udfff":
        return
    head, tail = backend.head(text, n), backend.tail(text, n)
    assert text.startswith(head)
    assert text.endswith(tail)
    if backend.count(text) <= n:
        assert head == tail == text


def test_cancelling_a_request_frees_its_place(backend: Backend) -> None:
    async def scenario() -> str:
        long = [
            asyncio.ensure_future(backend.generate(chat(f"Poem {n}", max_tokens=2000)))
            for n in range(2 * backend.concurrency)
        ]
        await asyncio.sleep(0.05)
        for task in long:
            task.cancel()
        await asyncio.gather(*long, return_exceptions=True)
        return (await backend.generate(chat("Hello"))).text

    assert run(scenario()) == run(backend.generate(chat("Hello"))).text


def test_seeded_sampling_repeats_and_the_seed_matters(backend: Backend) -> None:
    if backend.identity["backend"] == "fake":
        pytest.skip("the fake's answers are scripted")

    def text(seed: int) -> str:
        return run(
            backend.generate(chat("Invent a name.", max_tokens=12, temperature=1.5, seed=seed))
        ).text

    first = text(1)
    assert text(1) == first
    assert {text(2), text(3)} != {first}


def test_streamed_log_probabilities_join_to_those_of_the_whole(backend: Backend) -> None:
    request = replace(chat("Say something about the sea."), logprobs=2)
    whole = run(backend.generate(request))
    deltas = run(collect(backend, request))
    assert tuple(entry for delta in deltas for entry in delta.logprobs) == whole.logprobs


def test_the_tokens_of_a_prompt_are_answered_as_its_text_is(backend: Backend) -> None:
    by_text = GenerationRequest("m", prompt="The sea is", sampling=Sampling(max_tokens=8))
    ids = backend.render(by_text).token_ids
    by_tokens = replace(by_text, prompt=None, prompt_tokens=ids)
    assert run(backend.generate(by_tokens)).token_ids == run(backend.generate(by_text)).token_ids


def test_pieces_of_an_answer_s_tokens_join_to_its_text(backend: Backend) -> None:
    raw = GenerationRequest("m", prompt="Name a fruit.", sampling=Sampling(max_tokens=12))
    done = run(backend.generate(raw))
    assert b"".join(map(backend.piece, done.token_ids)).decode("utf-8", "replace") == done.text


@pytest.mark.parametrize("token", [-1, 2**31 - 1])
def test_a_token_that_the_vocabulary_lacks_is_refused(backend: Backend, token: int) -> None:
    with pytest.raises(InvalidRequest):
        backend.piece(token)
    with pytest.raises(InvalidRequest):
        run(backend.generate(GenerationRequest("m", prompt_tokens=(token,))))
