"""What a real server said, read by `Server`: facts as they are, refusals as errors."""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, Literal, TypeVar

import pytest

from gateway.backends.ollama.client import Server
from gateway.backends.ollama.wire import Line, Progress
from gateway.core.errors import (
    BackendError,
    ContextOverflow,
    GatewayError,
    InvalidRequest,
    ModelNotPulled,
    Unsupported,
)
from tests.support.ollama_replay import Answer, Exchange, Replay

T = TypeVar("T")

LISTS = ["004-tags-empty", "025-tags", "118-tags-all"]
IN_MEMORY = ["005-ps-empty", "031-ps", "076-ps-after-num-ctx", "087-ps-after-unload"]
SHOWN = [
    "026-show",
    "027-show-parameters",
    "028-show-adapter",
    "029-show-derived",
    "109-base-model-show",
]
MADE = [
    "013-create-stream",
    "014-create-with-parameters",
    "015-create-from-model",
    "017-create-with-adapter",
    "024-create-bad-parameter",
    "108-base-model-create",
]
UPLOADED = ["011-blob-upload", "016-lora-upload", "018-bad-upload", "107-base-model-upload"]
SENT_BEFORE = {"009-blob-head-absent": False, "012-blob-head-present": True}
WRITTEN = [
    "032-chat",
    "033-chat-again-warm",
    "034-chat-stream",
    "035-chat-logprobs",
    "036-chat-stream-logprobs",
    "037-chat-format-json",
    "038-chat-format-schema",
    "039-chat-format-schema-logprobs",
    "040-chat-format-string-enum",
    "046-chat-empty-messages",
    "047-chat-bad-role",
    "049-chat-stop",
    "050-chat-length",
    "052-generate",
    "053-generate-raw",
    "054-generate-raw-stream",
    "055-generate-raw-logprobs",
    "056-generate-raw-format",
    "057-generate-template",
    "058-generate-context",
    "060-generate-zero-predict",
    "061-generate-unknown-option",
    "063-generate-negative-temperature",
    "068-generate-raw-too-long",
    "071-chat-too-long",
    "073-chat-past-context",
    "074-chat-past-context-no-shift",
    "075-num-ctx-over-training",
    "077-model-defaults-leak",
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
"""Every recorded generation, those included that the gateway would not ask for."""
OTHERS = ["002-version", "030-load", "084-embed-empty", "086-unload", "092-delete"]

_NO_EMBEDDINGS = "This server does not support embeddings. Start it with `--embeddings`"
_NO_REGISTRY = "lookup registry.ollama.ai no such host"

REFUSED: dict[str, tuple[type[GatewayError], str]] = {
    "006-show-missing": (ModelNotPulled, "model 'nosuch:latest' not found"),
    "007-chat-missing-model": (ModelNotPulled, "model 'nosuch' not found"),
    "008-generate-missing-model": (ModelNotPulled, "model 'nosuch' not found"),
    "010-blob-upload-wrong-digest": (InvalidRequest, "digest mismatch, expected"),
    "019-create-corrupt-gguf": (BackendError, "failed to validate GGUF with llama-quantize"),
    "020-create-unknown-blob": (BackendError, "no such file or directory"),
    "021-create-from-missing": (BackendError, _NO_REGISTRY),
    "022-create-empty": (InvalidRequest, "neither 'from' or 'files' was specified"),
    "023-create-bad-name": (InvalidRequest, "invalid model name"),
    "041-chat-format-bad": (InvalidRequest, 'expected "json" or a valid JSON Schema object'),
    "042-chat-format-bad-schema": (InvalidRequest, 'Unrecognized schema: {"type":"nosuch"}'),
    "043-chat-tools-unsupported": (InvalidRequest, "smol:plain does not support tools"),
    "044-chat-think-unsupported": (InvalidRequest, '"smol:plain" does not support thinking'),
    "045-chat-images-unsupported": (InvalidRequest, "model does not support multimodal requests"),
    "048-chat-no-model": (InvalidRequest, "model is required"),
    "051-chat-top-logprobs-21": (InvalidRequest, "top_logprobs must be between 0 and 20"),
    "059-generate-suffix": (InvalidRequest, "smol:plain does not support insert"),
    "062-generate-option-wrong-type": (BackendError, '"temperature" must be of type float32'),
    "064-generate-bad-json": (InvalidRequest, "unexpected EOF"),
    "065-generate-empty-body": (InvalidRequest, "missing request body"),
    "066-method-not-allowed": (BackendError, "405 method not allowed"),
    "067-unknown-path": (BackendError, "404 page not found"),
    "069-generate-raw-too-long-truncate-false": (ContextOverflow, "3001 tokens of context"),
    "070-generate-raw-too-long-no-shift": (ContextOverflow, "more tokens than the model's context"),
    "072-chat-too-long-truncate-false": (ContextOverflow, "3054 tokens of context"),
    "081-embed": (Unsupported, _NO_EMBEDDINGS),
    "082-embed-single": (Unsupported, _NO_EMBEDDINGS),
    "083-embed-too-long": (ContextOverflow, "more tokens than the model's context"),
    "088-pull-offline": (BackendError, _NO_REGISTRY),
    "089-pull-offline-no-stream": (BackendError, _NO_REGISTRY),
    "093-delete-missing": (ModelNotPulled, "model 'nosuch' not found"),
    "112-base-model-embed": (Unsupported, _NO_EMBEDDINGS),
}
"""Every recorded refusal of a path that the gateway asks: the error, and the server's own words,
of which only numbers are kept where they tell how much too long a text is."""


def run(awaitable: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(awaitable)


async def collected(items: AsyncIterator[T]) -> list[T]:
    return [item async for item in items]


async def ask(server: Server, exchange: Exchange, file: Path) -> object:
    """The recorded question again, as `Server` asks it.

    Args:
        file: to be uploaded where a file was.
    """
    body = exchange.body
    model = str(body.pop("model", "smol:plain"))
    match exchange.path.split("/")[2]:
        case "show":
            return await server.show(model)
        case "create":
            return await collected(server.create(model, **body))
        case "pull":
            return await collected(server.pull(model))
        case "delete":
            await server.delete(model)
            return None
        case "blobs":
            return await server.upload(file)
        case "embed":
            texts = body["input"]
            return await server.embed(model, [texts] if isinstance(texts, str) else texts, {})
        case _:
            return await lines(server, exchange)


async def lines(server: Server, exchange: Exchange) -> list[Line]:
    """Of a generation. What has no path of a generation's is asked for as a chat."""
    path: Literal["/api/generate", "/api/chat"] = "/api/chat"
    if exchange.path == "/api/generate" and exchange.method == "POST":
        path = "/api/generate"
    return await collected(server.answer(path, {"prompt": "", "model": "nosuch", **exchange.body}))


def answer_to_the_gateway(exchange: Exchange) -> Answer:
    """The recorded answer to the question that `ask` asks instead."""
    if exchange.status in (404, 405) and "json" not in exchange.asked:
        return exchange.answer("POST /api/chat")
    if exchange.path == "/api/generate":
        return exchange.answer("POST /api/generate")
    return exchange.answer()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """What was once uploaded as the weights of a model, and is none."""
    made = tmp_path / "m.gguf"
    made.write_bytes(Exchange("018-bad-upload").asked["body_text"].encode())
    return made


def test_a_server_tells_its_version(replay: Replay) -> None:
    with replay.answering(Exchange("002-version").answer()):
        assert run(Server(replay.url).version()) == "0.33.0-rc2"


@pytest.mark.parametrize("name", LISTS)
def test_the_models_of_a_server_are_listed_with_their_digests(replay: Replay, name: str) -> None:
    exchange = Exchange(name)
    with replay.answering(exchange.answer()):
        found = run(Server(replay.url).models())
    assert [(each.name, each.digest, each.size) for each in found] == [
        (each["name"], each["digest"], each["size"]) for each in exchange.json["models"]
    ]


def test_a_model_is_found_by_its_name_and_others_are_named_where_it_is_not(replay: Replay) -> None:
    tags = Exchange("025-tags").answer()
    with replay.answering(tags, tags, Exchange("004-tags-empty").answer()):
        found = run(Server(replay.url).model("smol:t0"))
        with pytest.raises(ModelNotPulled, match="nosuch") as caught:
            run(Server(replay.url).model("nosuch"))
        with pytest.raises(ModelNotPulled, match="there are: none"):
            run(Server(replay.url).model("nosuch"))
    assert found.digest.startswith("d8052dafb594")
    assert found.details.quantization_level == "Q4_1"
    assert "smol:derived, smol:lora, bad:v, smol:plain, smol:t0" in caught.value.hint


@pytest.mark.parametrize("name", IN_MEMORY)
def test_what_is_in_memory_is_told_with_its_effective_context(replay: Replay, name: str) -> None:
    exchange = Exchange(name)
    with replay.answering(exchange.answer()):
        found = run(Server(replay.url).running())
    assert [(each.name, each.context_length) for each in found] == [
        (each["name"], each["context_length"]) for each in exchange.json["models"]
    ]


@pytest.mark.parametrize("name", SHOWN)
def test_a_model_is_shown_as_the_server_shows_it(replay: Replay, name: str) -> None:
    exchange = Exchange(name)
    with replay.answering(exchange.answer()) as asked:
        shown = run(Server(replay.url).show(exchange.body["model"]))
    said = exchange.json
    assert asked[0].body == {**exchange.body, "verbose": False}
    assert (shown.template, shown.modelfile) == (said["template"], said["modelfile"])
    assert (shown.system, shown.messages) == (said.get("system", ""), said.get("messages", []))
    assert shown.model_info == said["model_info"]
    assert shown.number("context_length") == (32768 if "base" in name else 8192)


def test_a_model_is_loaded_and_unloaded(replay: Replay) -> None:
    load, unload = Exchange("030-load"), Exchange("086-unload")

    async def both() -> None:
        server = Server(replay.url)
        await server.load("smol:plain", load.body["options"])
        await server.unload("smol:plain")

    with replay.answering(load.answer(), unload.answer()) as asked:
        run(both())
    assert [each.body for each in asked] == [
        {**each.body, "stream": False} for each in (load, unload)
    ]


def test_a_server_that_does_not_say_that_it_loaded_has_failed(replay: Replay) -> None:
    said = Exchange("030-load").answer().saying('"load"', '"stop"')
    with replay.answering(said), pytest.raises(BackendError, match="did not say"):
        run(Server(replay.url).load("smol:plain", {}))


@pytest.mark.parametrize("name", MADE)
def test_the_steps_of_making_a_model_are_told_one_by_one(
    replay: Replay, name: str, file: Path
) -> None:
    exchange = Exchange(name)
    with replay.answering(exchange.answer()) as asked:
        steps = run(ask(Server(replay.url), exchange, file))
    assert asked[0].body == exchange.body
    assert steps == [Progress(**line) for line in exchange.said]
    assert exchange.said[-1] == {"status": "success"}


@pytest.mark.parametrize("name", UPLOADED)
def test_a_file_is_uploaded_under_its_digest(replay: Replay, name: str, file: Path) -> None:
    with replay.answering(Exchange(name).answer()) as asked:
        digest = run(Server(replay.url).upload(file))
    assert asked[0].path == Exchange("018-bad-upload").path
    assert asked[0].path.endswith(digest)
    assert asked[0].data == file.read_bytes()


@pytest.mark.parametrize("name", SENT_BEFORE)
def test_whether_a_file_was_sent_before_is_asked(replay: Replay, name: str) -> None:
    exchange = Exchange(name)
    with replay.answering(exchange.answer()) as asked:
        found = run(Server(replay.url).has_file(exchange.path.removeprefix("/api/blobs/")))
    assert found is SENT_BEFORE[name]
    assert (asked[0].method, asked[0].path) == (exchange.method, exchange.path)


def test_a_model_is_deleted(replay: Replay) -> None:
    exchange = Exchange("092-delete")
    with replay.answering(exchange.answer()) as asked:
        run(Server(replay.url).delete("smol:copy"))
    assert asked[0].body == exchange.body


def test_nothing_to_embed_gives_no_vectors(replay: Replay) -> None:
    exchange = Exchange("084-embed-empty")
    with replay.answering(exchange.answer()) as asked:
        assert run(Server(replay.url).embed("smol:plain", [], {})).embeddings == []
    assert asked[0].body == {**exchange.body, "truncate": False, "options": {}}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_generation_is_read_whole_or_line_by_line(replay: Replay, name: str) -> None:
    exchange = Exchange(name)
    with replay.answering(answer_to_the_gateway(exchange)) as asked:
        found = run(lines(Server(replay.url), exchange))
    said, last = exchange.said, found[-1]
    assert asked[0].body["stream"] is True
    assert len(found) == len(said)
    assert "".join(line.text for line in found) == exchange.text
    assert [line.done for line in found] == [False] * (len(said) - 1) + [True]
    assert last.done_reason == said[-1]["done_reason"]
    assert last.prompt_eval_count == said[-1].get("prompt_eval_count", 0)
    assert last.eval_count == said[-1].get("eval_count", 0)
    entries = [entry for line in found for entry in line.logprobs or ()]
    assert [(entry.token, entry.logprob, list(entry.data)) for entry in entries] == [
        (entry["token"], entry["logprob"], entry["bytes"]) for entry in exchange.entries
    ]


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_is_an_error_of_its_kind_in_the_server_s_own_words(
    replay: Replay, name: str, file: Path
) -> None:
    exchange = Exchange(name)
    error, words = REFUSED[name]
    with replay.answering(answer_to_the_gateway(exchange)), pytest.raises(error) as caught:
        run(ask(Server(replay.url), exchange, file))
    assert type(caught.value) is error
    assert words in str(caught.value)
    assert '{"error"' not in str(caught.value)
    assert '"message"' not in str(caught.value)
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("069-generate-raw-too-long-truncate-false", (3001, 512)),
        ("070-generate-raw-too-long-no-shift", (0, 0)),
        ("072-chat-too-long-truncate-false", (3054, 512)),
    ],
)
def test_how_much_too_long_a_prompt_is_is_told_where_the_server_says_it(
    replay: Replay, name: str, sizes: tuple[int, int]
) -> None:
    exchange = Exchange(name)
    with (
        replay.answering(answer_to_the_gateway(exchange)),
        pytest.raises(ContextOverflow) as caught,
    ):
        run(lines(Server(replay.url), exchange))
    assert (caught.value.needed, caught.value.available) == sizes


def test_steps_before_a_failure_are_told(replay: Replay) -> None:
    exchange = Exchange("088-pull-offline")

    async def pull() -> None:
        steps = Server(replay.url).pull("smollm2:135m")
        assert (await anext(steps)).status == "pulling manifest"
        await anext(steps)

    with (
        replay.answering(exchange.answer()) as asked,
        pytest.raises(BackendError, match="in the middle"),
    ):
        run(pull())
    assert asked[0].body == exchange.body


def test_an_error_that_is_an_object_is_read_too(replay: Replay) -> None:
    """/v1 answers so, and so may what stands between the gateway and the server."""
    exchange = Exchange("105-v1-embeddings")
    with (
        replay.answering(exchange.answer("POST /api/embed")),
        pytest.raises(Unsupported, match="does not support embeddings"),
    ):
        run(Server(replay.url).embed("smol:plain", ["a"], {}))


@pytest.mark.parametrize("mark", ["\u0085", "\u2028", "\u2029"])
def test_a_character_that_ends_lines_elsewhere_ends_none_here(replay: Replay, mark: str) -> None:
    """JSON lets all three stand as they are."""
    exchange = Exchange("054-generate-raw-stream")
    answer = exchange.answer().saying(json.dumps(" permission"), f'"{mark}"')
    with replay.answering(answer):
        found = run(lines(Server(replay.url), exchange))
    assert "".join(line.text for line in found).endswith(f"without a{mark}")
