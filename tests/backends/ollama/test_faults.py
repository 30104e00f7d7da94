"""Faults of the network and of the server, made of recorded answers: what is asked again, and what
each is called."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from gateway.backends.ollama import backend as module
from gateway.backends.ollama.backend import OllamaBackend
from gateway.backends.ollama.client import Server
from gateway.core.errors import (
    BackendError,
    BackendTimeout,
    BackendUnavailable,
    GatewayError,
    InvalidRequest,
    ModelNotPulled,
    Unsupported,
)
from gateway.core.types import Delta
from tests.backends.ollama.conftest import Serve, digest_of, entry_for, standing
from tests.support.ollama_replay import Answer, Exchange, Received, Replay

EXCHANGE = "054-generate-raw-stream"
GENERATE = "POST /api/generate"
ATTEMPTS = 4
PATIENCE_S = 0.2


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(module, "_LONGEST_PAUSE_S", 0.002)


@pytest.fixture
def whole() -> Answer:
    return Exchange(EXCHANGE).answer()


def refusal(status: int, words: str = "busy") -> Answer:
    return Answer(GENERATE, status, lines=(json.dumps({"error": words}),))


def broken(whole: Answer) -> Answer:
    """The connection breaks behind the first line."""
    return replace(whole, lines=whole.lines[:1], fault="drop")


def count(asked: list[Received], question: str = GENERATE) -> int:
    return sum(each.question == question for each in asked)


def test_what_was_lost_in_the_middle_is_asked_for_again_and_counted(
    serve: Serve, whole: Answer
) -> None:
    served, exchange = serve("smol:plain"), Exchange(EXCHANGE)
    with served.replay.answering(broken(whole), broken(whole), whole) as asked:
        done = asyncio.run(served.backend.generate(exchange.request()))
    assert done.text == exchange.text
    assert done.timings.retries == 2
    first, *again = [each.body for each in asked if each.question == GENERATE]
    assert again == [first, first]


def test_before_it_is_asked_again_the_server_must_still_have_the_same_model(
    serve: Serve, whole: Answer
) -> None:
    served, exchange = serve("smol:plain"), Exchange(EXCHANGE)
    tags = Exchange("118-tags-all").answer()
    other = tags.saying(digest_of("smol:plain"), digest_of("smol:t0"))
    with served.replay.answering():
        asyncio.run(served.backend._check_unchanged(True))
    with (
        served.replay.answering(broken(whole), other) as asked,
        pytest.raises(BackendError, match=r"was fd5f44c0b5af .* and is d8052dafb594"),
    ):
        asyncio.run(served.backend.generate(exchange.request()))
    assert count(asked) == 1


@pytest.mark.parametrize(
    "lines",
    [(), ('{"model":"smol:plain","response":"Th","done":false}',)],
    ids=["nothing", "no end"],
)
def test_a_stream_that_ends_before_its_last_line_is_asked_for_again(
    serve: Serve, whole: Answer, lines: tuple[str, ...]
) -> None:
    served, exchange = serve("smol:plain"), Exchange(EXCHANGE)
    with served.replay.answering(replace(whole, lines=lines), whole):
        done = asyncio.run(served.backend.generate(exchange.request()))
    assert (done.text, done.timings.retries) == (exchange.text, 1)


def test_a_stream_is_not_begun_again_once_a_piece_was_passed_on(
    serve: Serve, whole: Answer
) -> None:
    served, exchange = serve("smol:plain"), Exchange(EXCHANGE)
    passed: list[Delta] = []

    async def follow() -> None:
        async for delta in served.backend.stream(exchange.request()):
            passed.append(delta)  # noqa: PERF401 - what came before the error is looked at

    with (
        served.replay.answering(broken(whole)) as asked,
        pytest.raises(BackendUnavailable, match="broke"),
    ):
        asyncio.run(follow())
    assert [delta.text for delta in passed] == ["This"]
    assert count(asked) == 1


def test_a_stream_that_never_began_is_asked_for_again(serve: Serve, whole: Answer) -> None:
    served, exchange = serve("smol:plain"), Exchange(EXCHANGE)

    async def follow() -> list[Delta]:
        return [delta async for delta in served.backend.stream(exchange.request())]

    with served.replay.answering(refusal(503), replace(whole, lines=(), fault="drop"), whole):
        *_, last = asyncio.run(follow())
    assert last.completion is not None
    assert (last.completion.text, last.completion.timings.retries) == (exchange.text, 2)


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_a_server_that_has_no_time_is_asked_again(serve: Serve, whole: Answer, status: int) -> None:
    served, exchange = serve("smol:plain"), Exchange(EXCHANGE)
    with served.replay.answering(refusal(status), whole) as asked:
        done = asyncio.run(served.backend.generate(exchange.request()))
    assert (done.text, done.timings.retries, count(asked)) == (exchange.text, 1, 2)


def test_it_is_asked_four_times_at_most(serve: Serve) -> None:
    served, exchange = serve("smol:plain"), Exchange(EXCHANGE)
    with (
        served.replay.answering(*[refusal(503)] * ATTEMPTS) as asked,
        pytest.raises(BackendUnavailable, match="no time: 503 busy"),
    ):
        asyncio.run(served.backend.generate(exchange.request()))
    assert count(asked) == ATTEMPTS


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, InvalidRequest),
        (401, BackendError),
        (404, ModelNotPulled),
        (413, InvalidRequest),
        (500, BackendError),
        (501, Unsupported),
    ],
)
def test_any_other_failure_is_not_asked_again(
    serve: Serve, status: int, error: type[GatewayError]
) -> None:
    served, exchange = serve("smol:plain"), Exchange(EXCHANGE)
    with (
        served.replay.answering(refusal(status, "llama runner has gone")) as asked,
        pytest.raises(error, match="llama runner has gone") as caught,
    ):
        asyncio.run(served.backend.generate(exchange.request()))
    assert type(caught.value) is error
    assert count(asked) == 1


@pytest.mark.parametrize(
    "line",
    [
        *("{", "null", "[]", "<html>", '{"response": 1}', '{"logprobs": [{}]}'),
        *('{"done": true}', '{"done": true, "done_reason": "load"}'),
        '{"message": {"content": "", "thinking": "hm"}}',
    ],
)
def test_a_line_that_is_no_answer_is_an_error_and_no_text(
    serve: Serve, whole: Answer, line: str
) -> None:
    served, exchange = serve("smol:plain"), Exchange(EXCHANGE)
    strange = replace(whole, lines=(*whole.lines[:2], line))
    with served.replay.answering(strange) as asked, pytest.raises(BackendError) as caught:
        asyncio.run(served.backend.generate(exchange.request()))
    assert not caught.value.retryable
    assert count(asked) == 1


def test_an_error_line_behind_some_text_is_an_error(serve: Serve, whole: Answer) -> None:
    served, exchange = serve("smol:plain"), Exchange(EXCHANGE)
    failed = replace(whole, lines=(*whole.lines[:2], '{"error":"out of memory"}'))
    with (
        served.replay.answering(failed) as asked,
        pytest.raises(BackendError, match="in the middle of an answer: out of memory"),
    ):
        asyncio.run(served.backend.generate(exchange.request()))
    assert count(asked) == 1


def test_an_answer_without_a_count_of_its_prompt_is_an_error(serve: Serve, whole: Answer) -> None:
    served, exchange = serve("smol:plain"), Exchange(EXCHANGE)
    uncounted = whole.saying('"prompt_eval_count":52', '"prompt_eval_count":0')
    with (
        served.replay.answering(uncounted),
        pytest.raises(BackendError, match="no count of the prompt's tokens"),
    ):
        asyncio.run(served.backend.generate(exchange.request()))


@pytest.fixture
def impatient(replay: Replay) -> Iterator[OllamaBackend]:
    """A backend that waits a moment for an answer; its server is `replay`."""
    replay.always(*standing("smol:plain"))
    made = OllamaBackend(entry_for("smol:plain", replay.url))
    # So that only the answer itself has to come in so short a time.
    asyncio.run(made._check_unchanged(True))
    made._server = Server(replay.url, answer_s=PATIENCE_S)
    yield made
    asyncio.run(made.close())


def test_no_answer_in_time_is_a_timeout_and_not_asked_again(
    impatient: OllamaBackend, replay: Replay, whole: Answer
) -> None:
    silent = replace(whole, fault="silence")
    with (
        replay.answering(silent) as asked,
        pytest.raises(BackendTimeout, match="did not answer in time"),
    ):
        asyncio.run(impatient.generate(Exchange(EXCHANGE).request()))
    assert count(asked) == 1


def test_nobody_who_listens_is_unavailable(replay: Replay) -> None:
    replay.close()
    with pytest.raises(BackendUnavailable, match="no Ollama server answers at") as caught:
        OllamaBackend(entry_for("smol:plain", replay.url))
    assert "ollama serve" in caught.value.hint


def test_a_server_that_went_away_is_unavailable_and_closing_is_no_error(replay: Replay) -> None:
    replay.always(*standing("smol:plain"))
    with replay.answering(Exchange("005-ps-empty").answer()):
        backend = OllamaBackend(entry_for("smol:plain", replay.url))
    replay.close()
    with pytest.raises(BackendUnavailable, match="no Ollama server answers"):
        asyncio.run(backend.generate(Exchange(EXCHANGE).request()))
    asyncio.run(backend.close())


def test_a_closed_backend_is_unavailable_and_reads_nothing_that_is_freed(replay: Replay) -> None:
    replay.always(*standing("smol:plain"))
    backend = OllamaBackend(entry_for("smol:plain", replay.url))
    asyncio.run(backend.close())
    request = Exchange(EXCHANGE).request()
    for ask in (
        backend.generate(request),
        backend.score_labels(request, ["a", "b"]),
        backend.embed(["a"]),
    ):
        with pytest.raises(BackendUnavailable, match="closed"):
            asyncio.run(ask)
    for read in (
        lambda: backend.render(request),
        lambda: backend.count("text"),
        lambda: backend.piece(1),
    ):
        with pytest.raises(BackendUnavailable, match="closed"):
            read()


@pytest.mark.parametrize("recorded", ["001-root", "067-unknown-path"])
def test_a_server_that_is_no_ollama_is_not_taken_for_one(replay: Replay, recorded: str) -> None:
    with (
        replay.answering(Exchange(recorded).answer("GET /api/version")),
        pytest.raises(BackendError) as caught,
    ):
        OllamaBackend(entry_for("smol:plain", replay.url))
    assert not isinstance(caught.value, BackendUnavailable)
