"""Recorded generations through the backend: what is sent, and what is made of the answer."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from typing import Any, TypeVar

import pytest

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.ollama.backend import OllamaBackend
from gateway.core.errors import BackendError, InvalidRequest, Unsupported
from gateway.core.types import UNTOLD_TOKEN, Completion, Delta, GenerationRequest, LabelScores, Tool
from tests.backends.ollama.conftest import CONTEXT, Serve, own_template
from tests.conftest import spec_and_path
from tests.support.exact_weights import in_32_bits
from tests.support.ollama_replay import Answer, Exchange, Received

T = TypeVar("T")

ANSWERED = [
    "032-chat",
    "033-chat-again-warm",
    "034-chat-stream",
    "035-chat-logprobs",
    "036-chat-stream-logprobs",
    "037-chat-format-json",
    "038-chat-format-schema",
    "039-chat-format-schema-logprobs",
    "040-chat-format-string-enum",
    "049-chat-stop",
    "050-chat-length",
    "053-generate-raw",
    "054-generate-raw-stream",
    "055-generate-raw-logprobs",
    "056-generate-raw-format",
    "061-generate-unknown-option",
    "063-generate-negative-temperature",
    "075-num-ctx-over-training",
    "078-model-defaults-overridden",
    "079-model-defaults-stop-emptied",
    "080-adapter-generate",
    "110-base-model-chat",
    "111-base-model-generate-raw",
    "113-repeat-1-cold",
    "114-repeat-2-warm",
    "115-repeat-3-warm",
    "116-forced-label-bug",
    "117-forced-label-question",
]
COMPARED = [
    "055-generate-raw-logprobs",
    "111-base-model-generate-raw",
    "113-repeat-1-cold",
    "114-repeat-2-warm",
    "115-repeat-3-warm",
]
"""Raw prompts whose answers came with log-probabilities, of weights that are here too."""
LONG = ["053-generate-raw", "073-chat-past-context", "110-base-model-chat"]
"""Longer greedy answers, without log-probabilities."""
TOLERANCE = 0.2
"""Nats between the recorded server, which rounded activations to 8 bits, and the same weights in 32
bits, which are rounded nowhere: nothing here depends on the processor that a test runs on. The
largest of all alternatives of all tokens, with AVX-512 and with AVX2: 0.181 and 0.179 in 055, 0.152
and 0.153 in 111, 0.040 and 0.040 in 113 to 115."""
WIDE = 100
"""Alternatives among which those that the server told are looked for: one of the 20 of 055 is not
among the 20 of the engine."""

OPTIONS = {
    *("seed", "temperature", "top_k", "top_p", "min_p", "typical_p", "mirostat"),
    *("repeat_penalty", "repeat_last_n", "presence_penalty", "frequency_penalty"),
    *("num_predict", "stop", "num_ctx"),
}
COMMON = {"model", "options", "truncate", "shift", "stream", "logprobs", "top_logprobs"}


def run(awaitable: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(awaitable)


def generations(asked: Sequence[Received]) -> list[dict[str, Any]]:
    """Bodies of those, among what else was asked."""
    paths = ("POST /api/generate", "POST /api/chat")
    return [each.body for each in asked if each.question in paths]


def replayed(
    serve: Serve, exchange: Exchange, **sampling: Any
) -> tuple[Completion, dict[str, Any], OllamaBackend]:
    """A recorded generation asked for again: the answer, and what was sent."""
    served = serve(exchange.body["model"])
    with served.replay.answering(exchange.answer()) as asked:
        done = run(served.backend.generate(exchange.request(**sampling)))
    (body,) = generations(asked)
    return done, body, served.backend


def streamed(serve: Serve, exchange: Exchange) -> list[Delta]:
    served = serve(exchange.body["model"])

    async def pieces() -> list[Delta]:
        return [delta async for delta in served.backend.stream(exchange.request())]

    with served.replay.answering(exchange.answer()):
        return run(pieces())


def expected_text(exchange: Exchange) -> str:
    """The recorded text; of a choice, what its JSON string says."""
    format_ = exchange.body.get("format")
    is_choice = isinstance(format_, dict) and format_["type"] == "string"
    return str(json.loads(exchange.text)) if is_choice else exchange.text


@pytest.mark.parametrize("name", ANSWERED)
def test_a_recorded_generation_is_answered_as_the_server_answered(serve: Serve, name: str) -> None:
    exchange = Exchange(name)
    done, _, _ = replayed(serve, exchange)
    last = exchange.said[-1]
    assert done.text == expected_text(exchange)
    assert done.finish_reason == last["done_reason"]
    assert done.usage.prompt_tokens == last["prompt_eval_count"]
    assert done.timings.prefill_s == last["prompt_eval_duration"] / 1e9
    assert done.timings.decode_s == last["eval_duration"] / 1e9
    assert done.timings.retries == 0


@pytest.mark.parametrize("name", ANSWERED)
def test_the_tokens_of_an_answer_are_those_that_spell_it(serve: Serve, name: str) -> None:
    exchange = Exchange(name)
    done, _, backend = replayed(serve, exchange)
    assert done.usage.completion_tokens == len(done.token_ids)
    if not exchange.entries:
        assert done.token_ids == (UNTOLD_TOKEN,) * exchange.said[-1]["eval_count"]
        assert done.logprobs is None
        return
    assert b"".join(map(backend.piece, done.token_ids)).decode() == exchange.text
    assert done.logprobs is not None
    assert [entry.token_id for entry in done.logprobs] == list(done.token_ids)
    for entry, recorded in zip(done.logprobs, exchange.entries, strict=True):
        assert (entry.text, entry.logprob) == (recorded["token"], recorded["logprob"])
        tops = recorded["top_logprobs"]
        assert [(text, logprob) for _, text, logprob in entry.top] == [
            (top["token"], top["logprob"]) for top in tops
        ]
        assert [logprob for *_, logprob in entry.top] == sorted(
            (top["logprob"] for top in tops), reverse=True
        )
        assert [backend.piece(token) for token, *_ in entry.top] == [
            bytes(top["bytes"]) for top in tops
        ]


@pytest.mark.parametrize("name", ANSWERED)
def test_a_streamed_answer_joins_to_the_whole_one(serve: Serve, name: str) -> None:
    exchange = Exchange(name)
    done, _, _ = replayed(serve, exchange)
    *before, last = streamed(serve, exchange)
    assert last.completion == done
    assert "".join(delta.text for delta in (*before, last)) == done.text
    joined = tuple(entry for delta in (*before, last) for entry in delta.logprobs)
    assert joined == (done.logprobs or ())


@pytest.mark.parametrize("name", ANSWERED)
def test_everything_that_changes_an_answer_is_sent_and_nothing_unknown(
    serve: Serve, name: str
) -> None:
    exchange = Exchange(name)
    _, body, _ = replayed(serve, exchange)
    theirs = exchange.body
    format_ = {"format"} if "format" in theirs else set()
    own = {"messages", "think"} if exchange.path == "/api/chat" else {"prompt", "raw"}
    assert set(body) == COMMON | own | format_
    assert set(body["options"]) == OPTIONS
    assert (body["truncate"], body["shift"], body["stream"]) == (False, False, True)
    assert body.get("raw", True) is True
    assert body.get("prompt") == theirs.get("prompt")
    assert body.get("messages") == theirs.get("messages")
    if theirs.get("format") != "json":
        assert body.get("format") == theirs.get("format")


def test_an_option_has_the_value_that_was_asked_for_or_the_one_that_does_nothing(
    serve: Serve,
) -> None:
    _, body, _ = replayed(serve, Exchange("053-generate-raw"))
    assert body["options"] == {
        "seed": 42,
        "temperature": 0.0,
        "top_k": 0,
        "top_p": 1.0,
        "min_p": 0.0,
        "typical_p": 1.0,
        "mirostat": 0,
        "repeat_penalty": 1.0,
        "repeat_last_n": -1,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "num_predict": 32,
        "stop": [],
        "num_ctx": CONTEXT,
    }


@pytest.mark.parametrize("name", ["053-generate-raw", "032-chat", "040-chat-format-string-enum"])
def test_the_defaults_of_a_modelfile_have_nothing_left_to_apply_to(serve: Serve, name: str) -> None:
    """Those of smol:t0 decide in 077, its stop texts in 078 too; in 079 an empty list ends that."""
    leaking = {"temperature", "seed", "top_k", "repeat_penalty", "num_ctx", "stop"}
    shown = Exchange("027-show-parameters").json["parameters"].splitlines()
    assert {line.split()[0] for line in shown} == leaking
    exchange = Exchange(name)
    with (served := serve("smol:t0")).replay.answering(exchange.answer()) as asked:
        run(served.backend.generate(exchange.request()))
    (body,) = generations(asked)
    assert leaking <= set(body["options"])
    assert body["options"]["stop"] == []


def test_no_limit_can_not_be_asked_for(serve: Serve) -> None:
    """The server reads `num_predict: 0` as none: 63 tokens came in 060."""
    exchange = Exchange("060-generate-zero-predict")
    with pytest.raises(InvalidRequest, match="max_tokens"):
        exchange.request()
    done, body, _ = replayed(serve, exchange, max_tokens=64)
    assert body["options"]["num_predict"] == 64
    assert (done.finish_reason, len(done.token_ids)) == ("stop", 63)


@pytest.mark.parametrize("temperature", [-1.0, float("nan")])
def test_a_temperature_that_the_server_takes_in_silence_is_refused(temperature: float) -> None:
    with pytest.raises(InvalidRequest, match="temperature"):
        Exchange("063-generate-negative-temperature").request(temperature=temperature)


def test_more_alternatives_than_the_server_tells_are_refused_before_it_is_asked(
    serve: Serve,
) -> None:
    served = serve("smol:plain")
    request = Exchange("051-chat-top-logprobs-21").request()
    assert request.logprobs == 21
    with served.replay.answering(), pytest.raises(Unsupported, match="21 alternatives"):
        run(served.backend.generate(request))


def test_log_probabilities_that_were_asked_for_and_are_not_told_are_an_error(serve: Serve) -> None:
    """As a server before 0.12.11 answers."""
    asked = Exchange("055-generate-raw-logprobs").request(max_tokens=32)
    served = serve("smol:plain")
    with (
        served.replay.answering(Exchange("053-generate-raw").answer()),
        pytest.raises(Unsupported, match="log-probabilities"),
    ):
        run(served.backend.generate(asked))


def test_choices_and_schemas_are_read_out_of_their_json(serve: Serve) -> None:
    choice, *_ = replayed(serve, Exchange("040-chat-format-string-enum"))
    assert choice.text == "feature"
    schema, *_ = replayed(serve, Exchange("039-chat-format-schema-logprobs"))
    assert json.loads(schema.text) == {"label": "bug"}


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("053-generate-raw", 52),
        ("068-generate-raw-too-long", 3001),
        ("111-base-model-generate-raw", 6),
    ],
)
def test_the_gateway_counts_the_tokens_that_the_server_counts(
    serve: Serve, name: str, count: int
) -> None:
    """The server told 3001 for the prompt of 068 in 069; the 6 are 5 words behind a BOS."""
    exchange = Exchange(name)
    backend = serve(exchange.body["model"]).backend
    assert len(backend.render(exchange.request()).token_ids) == count


@pytest.mark.parametrize("name", ["032-chat", "049-chat-stop"])
def test_a_built_in_template_is_chatml_without_the_model_s_own_system_prompt(
    serve: Serve, name: str
) -> None:
    exchange = Exchange(name)
    counted = exchange.said[-1]["prompt_eval_count"]
    backend = serve("smol:plain").backend
    assert len(backend.render(as_chatml(exchange)).token_ids) == counted
    own = serve("smol:plain", chat_template=own_template("smol:plain")).backend
    rendered = own.render(exchange.request())
    has_system = exchange.body["messages"][0]["role"] == "system"
    assert (len(rendered.token_ids) == counted) is has_system


def as_chatml(exchange: Exchange) -> GenerationRequest:
    """The messages of a recorded chat as the prompt that was made of them."""
    turns = [
        f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in exchange.body["messages"]
    ]
    sampling = exchange.request().sampling
    prompt = "".join(turns) + "<|im_start|>assistant\n"
    return GenerationRequest("m", prompt=prompt, sampling=sampling)


Exactly = Callable[[str], LlamaCppBackend]


@pytest.fixture(scope="module")
def exactly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exactly]:
    """The weights behind a recorded model, in 32 bits."""
    with ExitStack() as stack:

        @cache
        def of(name: str) -> LlamaCppBackend:
            folder = tmp_path_factory.mktemp("exact")
            return stack.enter_context(in_32_bits(*spec_and_path(name), folder))

        yield of


def model_of(exchange: Exchange) -> str:
    return "gemma3-270m-plain" if exchange.body["model"] == "gemma:base" else "smollm2-135m"


def test_a_model_without_a_template_is_asked_in_chatml_which_show_does_not_say(
    serve: Serve,
) -> None:
    exchange = Exchange("110-base-model-chat")
    done, _, backend = replayed(serve, exchange)
    assert Exchange("109-base-model-show").json["template"] == "{{ .Prompt }}"
    request = as_chatml(exchange)
    assert len(backend.render(request).token_ids) == done.usage.prompt_tokens == 74


@pytest.mark.parametrize("name", COMPARED)
def test_the_server_gave_what_its_weights_give_for_the_same_tokens(
    serve: Serve, exactly: Exactly, name: str
) -> None:
    exchange = Exchange(name)
    served, _, _ = replayed(serve, exchange)
    own = run(exactly(model_of(exchange)).generate(replace(exchange.request(), logprobs=WIDE)))
    assert (own.text, own.token_ids) == (served.text, served.token_ids)
    assert own.usage == served.usage
    for ours, theirs in zip(own.logprobs or (), served.logprobs or (), strict=True):
        assert ours.logprob == pytest.approx(theirs.logprob, abs=TOLERANCE)
        found = {token: logprob for token, _, logprob in ours.top}
        for token, _, logprob in theirs.top:
            assert found[token] == pytest.approx(logprob, abs=TOLERANCE)


@pytest.mark.parametrize("name", LONG)
def test_longer_answers_part_where_two_tokens_are_about_as_likely(
    exactly: Exactly, name: str
) -> None:
    exchange = Exchange(name)
    request = exchange.request() if "prompt" in exchange.body else as_chatml(exchange)
    own = run(exactly(model_of(exchange)).generate(replace(request, logprobs=WIDE)))
    theirs = exchange.text
    for entry in own.logprobs or ():
        if not theirs.startswith(entry.text):
            taken = max((top for top in entry.top if theirs.startswith(top[1])), key=by_length)
            assert entry.logprob - taken[2] < 2 * TOLERANCE, "each may be off by so much"
            return
        theirs = theirs.removeprefix(entry.text)


def by_length(alternative: tuple[int, str, float]) -> int:
    return len(alternative[1])


def test_the_same_question_three_times_gave_the_same_log_probabilities_here(serve: Serve) -> None:
    """The gateway promises it of no Ollama server: the recordings' own page tells of others."""
    found = [replayed(serve, Exchange(name))[0] for name in COMPARED[2:]]
    assert found[0].logprobs == found[1].logprobs == found[2].logprobs


def test_labels_are_scored_on_route_chat_by_a_format_that_leaves_one_answer(serve: Serve) -> None:
    forced = [Exchange("116-forced-label-bug"), Exchange("117-forced-label-question")]
    labels = ["bug", "question"]
    served = serve("smol:plain")
    with served.replay.answering(*(each.answer() for each in forced)) as asked:
        scores = run(served.backend.score_labels(forced[0].request(), labels))
    assert not scores.exact
    assert scores.labels == ("bug", "question")
    assert scores.logprobs == tuple(
        sum(entry["logprob"] for entry in each.entries) for each in forced
    )
    assert scores.token_counts == (4, 7)
    assert scores.prompt_tokens == 52
    for body, each in zip(generations(asked), forced, strict=True):
        assert body["messages"] == each.body["messages"]
        assert body["format"] == each.body["format"]
        assert set(body["options"]) == OPTIONS
        assert body["options"]["num_predict"] >= len(each.entries) + 1
        assert (body["truncate"], body["shift"], body["options"]["stop"]) == (False, False, [])


def test_another_answer_than_the_forced_label_is_an_error(serve: Serve) -> None:
    forced = Exchange("116-forced-label-bug")
    served = serve("smol:plain")
    with served.replay.answering(forced.answer()), pytest.raises(BackendError, match="question"):
        run(served.backend.score_labels(forced.request(), ["question"]))


def scored_raw(serve: Serve) -> tuple[LabelScores, list[dict[str, Any]], Exchange]:
    """Two labels of one token each after the prompt of 055.

    What follows a label was not recorded: it is answered as if the same 20 tokens did, after one
    more token of the prompt.
    """
    exchange = Exchange("055-generate-raw-logprobs")
    first = exchange.answer()
    then = first.saying('"prompt_eval_count":52', '"prompt_eval_count":53')
    served = serve("smol:plain")
    answers: list[Answer] = [first, then, then]
    with served.replay.answering(*answers) as asked:
        scores = run(served.backend.score_labels(exchange.request(), ["This", "The"]))
    return scores, generations(asked), exchange


def test_labels_after_a_raw_prompt_are_found_among_the_20_tokens_that_are_told(
    serve: Serve,
) -> None:
    scores, _, exchange = scored_raw(serve)
    told = {top["token"]: top["logprob"] for top in exchange.entries[0]["top_logprobs"]}
    this, the = scores.logprobs
    assert this - the == pytest.approx(told["This"] - told["The"])
    assert this <= told["This"]
    assert not scores.exact
    assert (scores.prompt_tokens, scores.tokens_evaluated) == (52, 54)


def test_every_question_of_label_scoring_says_all_that_a_generation_says(serve: Serve) -> None:
    _, bodies, exchange = scored_raw(serve)
    prompt = exchange.body["prompt"]
    assert sorted(body["prompt"] for body in bodies) == sorted(
        [prompt, prompt + "The", prompt + "This"]
    )
    for body in bodies:
        assert set(body) == COMMON | {"prompt", "raw"}
        assert set(body["options"]) == OPTIONS
        assert (body["truncate"], body["shift"], body["raw"]) == (False, False, True)
        assert (body["logprobs"], body["top_logprobs"]) == (True, 20)
        assert (body["options"]["num_predict"], body["options"]["stop"]) == (1, [])


def test_embeddings_of_a_model_that_writes_are_not_supported(serve: Serve) -> None:
    served = serve("smol:plain")
    exchange = Exchange("081-embed")
    with (
        served.replay.answering(exchange.answer()) as asked,
        pytest.raises(Unsupported, match="embeddings"),
    ):
        run(served.backend.embed(exchange.body["input"]))
    (body,) = [each.body for each in asked if each.path == "/api/embed"]
    assert body == {**exchange.body, "truncate": False, "options": {"num_ctx": CONTEXT}}


def test_tools_are_not_shown_to_the_server_s_own_template(serve: Serve) -> None:
    """Which of them it can show it says only when asked, as in 043."""
    served = serve("smol:plain")
    request = replace(Exchange("032-chat").request(), tools=(Tool("f"),))
    with served.replay.answering() as asked, pytest.raises(Unsupported, match="tools"):
        run(served.backend.generate(request))
    assert asked == []


def test_what_a_seed_s_samples_are_drawn_by_is_a_seed_that_the_server_takes(serve: Serve) -> None:
    exchange = Exchange("053-generate-raw")
    seeds = [
        replayed(serve, exchange, temperature=1.0, sample=n)[1]["options"]["seed"] for n in range(3)
    ]
    assert seeds[0] == 42
    assert len(set(seeds)) == 3
    assert all(0 <= seed < 2**32 - 1 for seed in seeds)
