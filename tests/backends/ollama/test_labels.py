"""Label scores from the 20 most likely tokens: exact where they can be, bounds where not."""

import asyncio
import math
from collections.abc import Iterator, Sequence

import pytest

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.ollama.backend import OllamaBackend
from gateway.backends.ollama.labels import (
    EXACT_WITHIN,
    Alternatives,
    LabelScore,
    Stops,
    score,
)
from gateway.backends.ollama.tokens import ServerReader
from gateway.core.errors import InvalidRequest
from gateway.core.types import GenerationRequest
from gateway.engine.reader import Reader
from gateway.evaluation.plan import RunOptions, prepare
from gateway.evaluation.run import question
from gateway.models.spec import OllamaSource
from tests.conftest import ROOT, WHOLE
from tests.support.ollama_server import on_server

TRIAGE = ROOT / "prompts" / "issue-triage"
LABELS = ("bug", "feature", "question")
STOPS = Stops(frozenset(), 2)


@pytest.fixture(scope="module")
def served(smollm2: LlamaCppBackend, ollama_url: str) -> Iterator[OllamaBackend]:
    yield from on(smollm2, ollama_url)


@pytest.fixture(scope="module")
def served_whole(whole_smollm2: LlamaCppBackend, ollama_url: str) -> Iterator[OllamaBackend]:
    yield from on(whole_smollm2, ollama_url, source=OllamaSource(WHOLE))


def on(own: LlamaCppBackend, url: str, **changes: object) -> Iterator[OllamaBackend]:
    made = OllamaBackend(on_server(own.spec, url, chat_template=own.chat_template, **changes))
    yield made
    asyncio.run(made.close())


@pytest.fixture(scope="module")
def reader(smollm2: LlamaCppBackend) -> ServerReader:
    return ServerReader(Reader(smollm2.spec, smollm2._model), smollm2._model)


def few_shot_requests(backend: OllamaBackend, count: int) -> list[GenerationRequest]:
    """Real prompts with examples, after which the labels are among the likely answers."""
    plan = prepare(
        RunOptions(
            task="issue-triage",
            data=str(TRIAGE / "sample.csv"),
            train=str(TRIAGE / "sample_train.csv"),
            models=(backend.spec.name,),
            strategies=("few_shot",),
            prompts=TRIAGE.parent,
            limit=count,
        )
    ).plan
    (strategy,) = plan.strategies
    return [question(plan.task, LABELS, strategy, backend, item).request for item in plan.items]


def test_likely_labels_have_the_score_that_the_engine_gives_them(
    served_whole: OllamaBackend, whole_smollm2: LlamaCppBackend
) -> None:
    for request in few_shot_requests(served_whole, 1):
        theirs = asyncio.run(served_whole.score_labels(request, LABELS))
        ours = asyncio.run(whole_smollm2.score_labels(request, LABELS))
        assert theirs.exact
        assert theirs.bounds == (False, False, False)
        assert theirs.logprobs == pytest.approx(ours.logprobs, abs=EXACT_WITHIN)
        assert (theirs.token_counts, theirs.tokens_evaluated) == (
            ours.token_counts,
            ours.tokens_evaluated,
        )


def test_what_is_no_exact_score_is_an_upper_bound_and_says_so(
    served: OllamaBackend, smollm2: LlamaCppBackend
) -> None:
    labels = ["bug", "Bug report", "a zebra crossing", "<0x41>", "ё"]
    for prompt in ("A bug is", "Answer: feature\nAnswer:"):
        request = GenerationRequest("m", prompt=prompt)
        theirs = asyncio.run(served.score_labels(request, labels))
        ours = asyncio.run(smollm2.score_labels(request, labels))
        assert any(theirs.bounds)
        assert not theirs.exact
        for bound, value, exact in zip(theirs.bounds, theirs.logprobs, ours.logprobs, strict=True):
            assert value >= exact - (1e-6 if bound else EXACT_WITHIN)


def scored(
    reader: ServerReader, labels: Sequence[str], answers: dict[str, Alternatives | None]
) -> list[LabelScore]:
    """Scores after a prompt of no matter; what follows it is told by the text so far."""
    tokens = [reader.reader.plain_tokens(label) for label in labels]

    async def ask(path: Sequence[int]) -> Alternatives | None:
        return answers[reader.written(path).text]

    return asyncio.run(score([], tokens, STOPS, reader, ask))


def likely(*tokens: tuple[bytes, float], end: float = 0.0) -> Alternatives:
    """Tokens with their probabilities, the end of the answer first where it is the likeliest."""
    first = [(b"", math.log(end))] if end else []
    rest = [(data, math.log(p)) for data, p in tokens]
    return Alternatives((*first, *rest), ends_at_once=bool(end))


def test_a_label_is_the_product_of_its_tokens_and_its_end(reader: ServerReader) -> None:
    (found,) = scored(
        reader,
        ["bug report"],
        {
            "": likely((b"bug", 0.5), (b"x", 0.1)),
            "bug": likely((b" report", 0.25), (b"x", 1e-5)),
            "bug report": likely((b"x", 1e-6), end=0.9999),
        },
    )
    assert found.exact
    assert found.logprob == pytest.approx(math.log(0.5 * 0.25 * 0.9999))


def test_a_token_that_is_not_told_is_at_most_as_likely_as_the_last_that_is(
    reader: ServerReader,
) -> None:
    (found,) = scored(
        reader,
        ["bug"],
        {"": likely((b"x", 0.5), (b"y", 0.1)), "bug": likely((b"x", 1e-6), end=0.9999)},
    )
    assert not found.exact
    assert found.logprob == pytest.approx(math.log(0.1) + math.log(0.9999))


def test_a_token_that_is_not_told_is_at_most_as_likely_as_what_is_left(
    reader: ServerReader,
) -> None:
    (found,) = scored(
        reader,
        ["bug"],
        {"": likely((b"x", 0.6), (b"y", 0.39)), "bug": likely((b"x", 1e-6), end=0.9999)},
    )
    assert found.logprob == pytest.approx(math.log(0.01) + math.log(0.9999))


def test_an_end_that_may_be_any_control_token_is_a_bound(reader: ServerReader) -> None:
    """The server shows a control token that is not the likeliest: it may end the answer or not."""
    hidden = Alternatives(((b"x", math.log(0.5)), (b"", math.log(0.2)), (b"y", math.log(0.1))))
    (found,) = scored(reader, ["bug"], {"": likely((b"bug", 1.0)), "bug": hidden})
    assert not found.exact
    # The one that is shown, and one more of the two that end an answer, which is not.
    assert found.logprob == pytest.approx(math.log(0.2 + 0.1))


def test_where_nothing_can_be_asked_a_probability_is_at_most_one(reader: ServerReader) -> None:
    (found,) = scored(reader, ["bug"], {"": likely((b"bug", 0.5)), "bug": None})
    assert (found.logprob, found.exact) == (math.log(0.5), False)


def test_what_labels_have_in_common_is_asked_once(reader: ServerReader) -> None:
    paths = []

    async def ask(path: Sequence[int]) -> Alternatives:
        paths.append(tuple(path))
        return likely((b"x", 0.5))

    tokens = [reader.reader.plain_tokens(label) for label in ("bug", "bug report", "bug fix")]
    asyncio.run(score([], tokens, STOPS, reader, ask))
    assert len(paths) == len(set(paths)) == 4


@pytest.mark.parametrize("labels", [[], [""], ["a", "a"]])
def test_impossible_labels_are_refused_before_the_server_is_asked(
    served: OllamaBackend, labels: list[str]
) -> None:
    with pytest.raises(InvalidRequest):
        asyncio.run(served.score_labels(GenerationRequest("m", prompt="x"), labels))
