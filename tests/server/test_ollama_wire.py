"""Answers against recorded ones of a real Ollama server: status, fields and their types."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.core.types import GenerationRequest, Sampling
from tests.conftest import recorded_exchange
from tests.server.conftest import CHAT

PLAIN = "smol:plain"
"""What the recording server called SmolLM2."""

SAME_SHAPE = [
    "001-root",
    "002-version",
    "003-version-head",
    "030-load",
    "032-chat",
    "034-chat-stream",
    "035-chat-logprobs",
    "036-chat-stream-logprobs",
    "037-chat-format-json",
    "038-chat-format-schema",
    "039-chat-format-schema-logprobs",
    "040-chat-format-string-enum",
    "046-chat-empty-messages",
    "049-chat-stop",
    "050-chat-length",
    "052-generate",
    "053-generate-raw",
    "054-generate-raw-stream",
    "055-generate-raw-logprobs",
    "056-generate-raw-format",
    "084-embed-empty",
    "025-tags",
    "031-ps",
    "086-unload",
]
REFUSED_ALIKE = [
    "006-show-missing",
    "007-chat-missing-model",
    "008-generate-missing-model",
    "042-chat-format-bad-schema",
    "044-chat-think-unsupported",
    "045-chat-images-unsupported",
    "048-chat-no-model",
    "051-chat-top-logprobs-21",
    "059-generate-suffix",
    "064-generate-bad-json",
    "065-generate-empty-body",
    "066-method-not-allowed",
    "067-unknown-path",
    "069-generate-raw-too-long-truncate-false",
    "072-chat-too-long-truncate-false",
    "083-embed-too-long",
]
REFUSED_HERE = [
    "041-chat-format-bad",
    "047-chat-bad-role",
    "057-generate-template",
    "058-generate-context",
    "060-generate-zero-predict",
    "061-generate-unknown-option",
    "062-generate-option-wrong-type",
    "063-generate-negative-temperature",
    "068-generate-raw-too-long",
    "071-chat-too-long",
    "088-pull-offline",
    "090-copy",
    "092-delete",
    "022-create-empty",
]
"""What Ollama ignores, cuts, lowers, does, or calls its own fault."""
LEFT_OUT = {"context"}
"""Fields of Ollama's that are not answered, because they could not be sent back."""


def recorded(name: str) -> dict[str, Any]:
    found = json.loads(recorded_exchange(name).replace(PLAIN, CHAT))
    assert isinstance(found, dict)
    return found


def replayed(url: str, exchange: dict[str, Any]) -> httpx.Response:
    request = exchange["request"]
    content = request.get("body_text", "").encode()
    if "json" in request:
        content = json.dumps(request["json"]).encode()
    headers = {"content-type": "application/json"}
    return httpx.request(
        request["method"], url + request["path"], content=content, headers=headers, timeout=120
    )


def shape(value: Any) -> Any:
    """Keys and types; a list is the shape of its first entry, a metadata map is a map."""
    if isinstance(value, dict):
        return {
            key: "map" if key == "model_info" else shape(v)
            for key, v in value.items()
            if key not in LEFT_OUT
        }
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def kind(headers: Any) -> str:
    return str(headers.get("content-type", "")).split(";")[0]


@pytest.mark.parametrize("name", SAME_SHAPE)
def test_an_answer_has_the_status_the_fields_and_the_types_of_ollama_s(url: str, name: str) -> None:
    exchange = recorded(name)
    if name == "031-ps":
        replayed(url, recorded("030-load"))
    theirs, ours = exchange["response"], replayed(url, exchange)
    assert ours.status_code == theirs["status"]
    assert kind(ours.headers) == kind(theirs["headers"])
    if "lines" in theirs:
        lines = [json.loads(line) for line in ours.text.splitlines()]
        expected = [json.loads(line) for line in theirs["lines"]]
        assert shape(lines[0]) == shape(expected[0])
        assert shape(lines[-1]) == shape(expected[-1])
    elif "json" in theirs:
        assert shape(ours.json()) == shape(theirs["json"])
        assert ours.json().get("done") == theirs["json"].get("done")
        _check_end(exchange["request"].get("json", {}), ours.json(), theirs["json"])
    else:
        assert ours.text == theirs["text"]


def _check_end(asked: dict[str, Any], ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Where a text ends depends on the processor, what is said of the end does not."""
    if not theirs.get("eval_count"):
        assert ours.get("done_reason") == theirs.get("done_reason")
        return
    assert ours["done_reason"] in ("stop", "length")
    if ours["done_reason"] == "length":
        assert ours["eval_count"] == asked["options"]["num_predict"]


def test_a_shown_model_has_ollama_s_fields_and_metadata(whole_url: str) -> None:
    exchange = recorded("026-show")
    theirs, ours = exchange["response"]["json"], replayed(whole_url, exchange).json()
    assert shape({**theirs, "license": ""}) == shape(ours)
    assert set(theirs["model_info"]) <= set(ours["model_info"])
    served = {**theirs["model_info"], "llama.context_length": 2048}
    for name, value in served.items():
        assert ours["model_info"][name] == value
    assert ours["details"] == theirs["details"]
    assert sorted(map(str, ours["tensors"])) == sorted(map(str, theirs["tensors"]))


@pytest.mark.parametrize("name", REFUSED_ALIKE)
def test_what_ollama_refuses_is_refused_with_its_status(url: str, name: str) -> None:
    exchange = recorded(name)
    theirs, ours = exchange["response"], replayed(url, exchange)
    assert ours.status_code == theirs["status"]
    assert shape(ours.json()) == {"error": "str"}


@pytest.mark.parametrize("name", ["043-chat-tools-unsupported", "075-num-ctx-over-training"])
def test_what_ollama_refuses_or_lowers_and_is_done_here(url: str, name: str) -> None:
    """Tools are shown in the system message; more context than there is, is an upper bound."""
    assert replayed(url, recorded(name)).status_code == 200


@pytest.mark.parametrize("name", ["007-chat-missing-model", "048-chat-no-model"])
def test_the_commonest_errors_have_ollama_s_words(url: str, name: str) -> None:
    exchange = recorded(name)
    assert replayed(url, exchange).json() == exchange["response"]["json"]


@pytest.mark.parametrize("name", REFUSED_HERE)
def test_what_ollama_does_in_silence_or_calls_its_own_fault_is_the_client_s_error(
    url: str, name: str
) -> None:
    ours = replayed(url, recorded(name))
    assert ours.status_code in (400, 403)
    assert shape(ours.json()) == {"error": "str"}


def test_a_raw_prompt_is_read_as_ollama_reads_it(url: str, smollm2: LlamaCppBackend) -> None:
    """As many tokens as Ollama counted, and the very answer of the engine here to that prompt; how
    near it is to Ollama's, whose kernels differ, is held for the recorded answers."""
    exchange = recorded("055-generate-raw-logprobs")
    ours, theirs = replayed(url, exchange).json(), exchange["response"]["json"]
    assert ours["prompt_eval_count"] == theirs["prompt_eval_count"]
    sampling = Sampling(max_tokens=1)
    prompt = exchange["request"]["json"]["prompt"]
    request = GenerationRequest("m", prompt=prompt, sampling=sampling, logprobs=20)
    engine = asyncio.run(smollm2.generate(request))
    assert ours["response"] == engine.text
    (entry,) = engine.logprobs or ()
    told = [(top["token"], top["logprob"]) for top in ours["logprobs"][0]["top_logprobs"]]
    assert told == [(token, logprob) for _, token, logprob in entry.top]
