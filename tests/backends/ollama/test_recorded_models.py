"""What the backend makes of the models of a real server: identity, context, route, warnings."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.ollama.backend import OllamaBackend
from gateway.backends.ollama.client import Server
from gateway.backends.ollama.model import check_unchanged
from gateway.core.digests import file_digest
from gateway.core.errors import BackendError, ModelLoadError, ModelNotPulled, Unsupported
from gateway.core.types import GenerationRequest, Message
from tests.backends.ollama.conftest import (
    CONTEXT,
    SHOWN,
    Serve,
    digest_of,
    entry_for,
    own_template,
    running,
    standing,
)
from tests.conftest import spec_and_path
from tests.support.ollama_replay import Answer, Exchange, Replay
from tests.support.ollama_stores import write_model

EVIDENCE = [
    "002-version",
    "005-ps-empty",
    "030-load",
    "031-ps",
    "075-num-ctx-over-training",
    "076-ps-after-num-ctx",
    "086-unload",
    "118-tags-all",
    *SHOWN.values(),
]
_GREETING = GenerationRequest("m", (Message("user", "Hello"),))


def made(replay: Replay, *answers: Answer, **entry: Any) -> OllamaBackend:
    """A backend for smol:plain, of which it is asked first what is in memory."""
    with replay.answering(*answers):
        return OllamaBackend(entry_for("smol:plain", replay.url, **entry))


@pytest.fixture
def plain(replay: Replay) -> Replay:
    replay.always(*standing("smol:plain"))
    return replay


@pytest.mark.parametrize("model", SHOWN)
def test_a_model_s_identity_is_its_digest_on_this_server_s_version(
    serve: Serve, model: str
) -> None:
    backend = serve(model).backend
    assert backend.identity["model"] == digest_of(model)
    assert backend.identity["version"] == "0.33.0-rc2"
    assert backend.identity["context_length"] == str(CONTEXT) == str(backend.context_length)
    assert "weights" not in backend.identity


def test_models_that_differ_in_anything_have_different_fingerprints(serve: Serve) -> None:
    found = {serve(model).backend.fingerprint for model in SHOWN}
    found.add(serve("smol:plain", chat_template=own_template("smol:plain")).backend.fingerprint)
    found.add(serve("smol:plain", chat_template="plain").backend.fingerprint)
    assert len(found) == len(SHOWN) + 2


def test_messages_are_sent_raw_where_their_template_is_known_and_as_chat_where_not(
    serve: Serve,
) -> None:
    chat = serve("smol:plain").backend
    raw = serve("smol:plain", chat_template=own_template("smol:plain")).backend
    assert (chat.route, raw.route) == ("chat", "raw")
    with pytest.raises(Unsupported, match="template"):
        chat.render(_GREETING)
    assert raw.render(_GREETING).text.startswith("<|im_start|>system\nYou are a helpful AI")


def test_a_vocabulary_that_the_server_tells_is_that_of_the_file(serve: Serve) -> None:
    for model, text in (("smol:plain", "<|im_start|>user\nÄ"), ("gemma:base", "<bos>user\n\nÄ 🙂")):
        backend = serve(model).backend
        request = GenerationRequest("m", prompt=text)
        tokens = backend.render(request).token_ids
        assert b"".join(map(backend.piece, tokens)).decode() == text.replace("<bos>", "").replace(
            "<|im_start|>", ""
        )


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("smol:plain", ()),
        ("smol:lora", ()),
        ("smol:t0", ("system prompt",)),
        ("smol:derived", ("2 messages",)),
        ("gemma:base", ("template that it does not tell",)),
    ],
)
def test_what_a_conversation_is_given_unasked_is_warned_of(
    serve: Serve, model: str, said: tuple[str, ...]
) -> None:
    warnings = serve(model).backend.warnings
    assert len(warnings) == len(said)
    assert all(words in warning for words, warning in zip(said, warnings, strict=True))


def test_a_modelfile_s_texts_are_no_part_of_raw_prompts(serve: Serve) -> None:
    assert serve("smol:t0", chat_template="plain").backend.warnings == ()


def test_a_model_is_loaded_with_the_entry_s_context_and_found_out_about_first(
    plain: Replay,
) -> None:
    with plain.answering(Exchange("005-ps-empty").answer()) as asked:
        backend = OllamaBackend(entry_for("smol:plain", plain.url))
    assert [each.question for each in asked] == [
        "GET /api/version",
        "GET /api/tags",
        "POST /api/show",
        "GET /api/ps",
        "POST /api/generate load",
        "GET /api/ps",
        "POST /api/show verbose",
    ]
    assert asked[4].body == {**Exchange("030-load").body, "stream": False}
    with plain.answering() as asked:
        asyncio.run(backend.close())
        asyncio.run(backend.close())
    assert [each.question for each in asked] == ["POST /api/generate unload"]


def test_a_model_that_was_in_memory_is_warned_of_and_stays_there(plain: Replay) -> None:
    backend = made(plain)
    assert ["was in the Ollama server's memory" in each for each in backend.warnings] == [True]
    with plain.answering() as asked:
        asyncio.run(backend.close())
    assert asked == []


def test_a_context_beyond_the_training_length_is_lowered_as_the_server_would_in_silence(
    plain: Replay,
) -> None:
    assert Exchange("075-num-ctx-over-training").body["options"]["num_ctx"] == 100_000
    empty, loaded = (Exchange(n).answer() for n in ("005-ps-empty", "076-ps-after-num-ctx"))
    with plain.answering(empty, loaded) as asked:
        backend = OllamaBackend(entry_for("smol:plain", plain.url, context_length=100_000))
    loads = [each.body for each in asked if each.question == "POST /api/generate load"]
    assert [load["options"] for load in loads] == [{"num_ctx": 8192}]
    assert backend.context_length == 8192
    asyncio.run(backend.close())


def test_a_smaller_context_than_was_asked_for_is_an_error(plain: Replay) -> None:
    with pytest.raises(ModelLoadError, match="2048 tokens instead of 4096"):
        made(plain, Exchange("005-ps-empty").answer(), context_length=4096)


def test_a_model_that_is_not_in_memory_when_it_was_loaded_is_an_error(plain: Replay) -> None:
    empty = Exchange("005-ps-empty").answer()
    with pytest.raises(ModelLoadError, match="does not list smol:plain as loaded"):
        made(plain, empty, empty)


def test_a_server_without_models_says_what_to_pull(plain: Replay) -> None:
    with pytest.raises(ModelNotPulled, match="smol:plain") as caught:
        made(plain, Exchange("004-tags-empty").answer())
    assert "gateway models pull ollama:smol:plain" in caught.value.hint


def test_a_server_that_tells_no_vocabulary_can_not_be_used(plain: Replay) -> None:
    bare = Exchange("026-show").answer("POST /api/show verbose")
    with pytest.raises(ModelLoadError, match="tells no vocabulary"):
        made(plain, Exchange("005-ps-empty").answer(), bare)


def test_another_model_under_the_name_or_another_server_is_noticed(serve: Serve) -> None:
    served = serve("smol:plain")
    check = check_unchanged(Server(served.replay.url), served.backend._served)
    with served.replay.answering():
        asyncio.run(check)
    old, new = digest_of("smol:plain"), digest_of("smol:t0")
    for answer in (
        Exchange("118-tags-all").answer().saying(old, new),
        Exchange("002-version").answer().saying("0.33.0-rc2", "0.33.1"),
    ):
        check = check_unchanged(Server(served.replay.url), served.backend._served)
        with (
            served.replay.answering(answer),
            pytest.raises(BackendError, match="when it was loaded and is"),
        ):
            asyncio.run(check)


def test_a_model_whose_files_are_here_is_known_by_its_contents_and_read_from_its_file(
    replay: Replay, tmp_path: Path, whole_smollm2: LlamaCppBackend
) -> None:
    """Whatever file Ollama makes of the weights when it imports them."""
    name = "registry.ollama.ai/library/smol/plain"
    write_model(tmp_path, name, ("model", spec_and_path("smollm2-135m")[1]))
    manifest = file_digest(tmp_path / "manifests" / name)
    tags = Exchange("118-tags-all").answer().saying(digest_of("smol:plain"), manifest)
    replay.always(*standing("smol:plain"), tags)
    with replay.answering(Exchange("005-ps-empty").answer()) as asked:
        backend = OllamaBackend(entry_for("smol:plain", replay.url))
    assert "POST /api/show verbose" not in [each.question for each in asked]
    assert backend.identity["weights"] == whole_smollm2.identity["weights"]
    assert backend.route == "raw"
    assert backend.chat_template == whole_smollm2.chat_template
    asyncio.run(backend.close())


def test_a_server_that_does_not_tell_the_context_is_believed(plain: Replay) -> None:
    """Older ones do not."""
    untold = running("smol:plain").saying(',"context_length":2048', "")
    backend = made(plain, Exchange("005-ps-empty").answer(), untold)
    assert backend.context_length == CONTEXT
    asyncio.run(backend.close())
