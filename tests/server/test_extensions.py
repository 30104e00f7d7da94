"""Tokens, label scores and classification over HTTP are what the backend itself says."""

import asyncio
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.pool import ModelPool
from gateway.core.types import GenerationRequest, Message
from gateway.evaluation.classify import classify
from gateway.models.file import Models
from gateway.server.app import create_app, service_of
from gateway.server.keys import create_key
from gateway.server.settings import Settings
from tests.server.conftest import CHAT, fake_models

LABELS = ["red", "blue", "green as grass"]
MESSAGES = [{"role": "user", "content": "Which colour has the sky?"}]


@pytest.fixture(scope="module")
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client


def asked(http: httpx.Client, path: str, **body: Any) -> dict[str, Any]:
    answer = http.post(path, json={"model": CHAT, **body})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_tokens_are_those_that_the_model_reads(
    http: httpx.Client, smollm2: LlamaCppBackend
) -> None:
    text = "naïve 😀 <|im_end|> text"
    rendered = smollm2.render(GenerationRequest(CHAT, prompt=text))
    found = asked(http, "/tokenize", text=text)
    assert found["tokens"] == list(rendered.token_ids)
    assert found["count"] == len(rendered.token_ids)
    chat = smollm2.render(GenerationRequest(CHAT, (Message("user", "Hi"),)))
    messages = asked(http, "/tokenize", messages=[{"role": "user", "content": "Hi"}])
    assert messages["text"] == chat.text
    assert messages["tokens"] == list(chat.token_ids)


def test_tokens_become_their_text_again(http: httpx.Client) -> None:
    text = "two boats, naïve 😀"
    tokens = asked(http, "/tokenize", text=text)["tokens"]
    assert asked(http, "/detokenize", tokens=tokens) == {"text": text, "content": text}


def test_a_content_is_read_as_llama_cpp_s_server_reads_it(
    http: httpx.Client, smollm2: LlamaCppBackend
) -> None:
    text = "naïve 😀<|im_end|>"
    found = asked(http, "/tokenize", content=text, with_pieces=True)["tokens"]
    (end,) = smollm2.reader.tokenizer.tokenize([("<|im_end|>", True)], add_special=False)
    assert found[-1] == {"id": end, "piece": "<|im_end|>"}
    pieces = [each["piece"] for each in found]
    joined = b"".join(p.encode() if isinstance(p, str) else bytes(p) for p in pieces)
    assert joined.decode() == text
    written = asked(http, "/tokenize", content=text, parse_special=False)["tokens"]
    assert end not in written
    whole = asked(http, "/tokenize", content=text, add_special=True)
    assert whole["tokens"] == smollm2.reader.tokenizer.tokenize([(text, True)], add_special=True)


def test_a_conversation_is_shown_as_the_model_reads_it(
    http: httpx.Client, smollm2: LlamaCppBackend
) -> None:
    found = asked(http, "/apply-template", messages=MESSAGES, tools=[], stream=True)
    told = smollm2.render(GenerationRequest(CHAT, (Message("user", MESSAGES[0]["content"]),)))
    assert found == {"prompt": told.text}


def test_a_model_s_props_hold_no_folder(http: httpx.Client, smollm2: LlamaCppBackend) -> None:
    found = http.get("/props", params={"model": CHAT}).json()
    assert found["default_generation_settings"]["n_ctx"] == 2048
    assert found["chat_template"] == smollm2.chat_template
    assert found["model_path"].endswith(".gguf")
    assert "/" not in found["model_path"]


def test_where_no_model_is_named_the_one_that_is_served_is_meant(http: httpx.Client) -> None:
    found = http.post("/tokenize", json={"content": "Hi"})
    assert found.status_code == 400
    assert found.json()["error"]["param"] == "model"
    only = create_app(ModelPool(fake_models()), Settings(log_requests=False))
    with TestClient(only, base_url="http://localhost") as client:
        shown = client.post("/apply-template", json={"messages": MESSAGES})
        assert shown.status_code == 200, shown.text
        assert client.get("/props").json()["model_alias"] == "fake"
        assert client.post("/detokenize", json={"model": "x", "tokens": []}).status_code == 404


def test_the_model_that_is_meant_is_one_that_the_key_allows(tmp_path: Path) -> None:
    spec = fake_models().get("fake")
    models = Models({"first": replace(spec, name="first"), "own": replace(spec, name="own")}, "own")
    key = create_key(tmp_path / "keys.json", "me", models=["own"])
    app = create_app(ModelPool(models), Settings(keys=tmp_path / "keys.json", log_requests=False))
    asyncio.run(service_of(app).preload(["first"]))
    with TestClient(app, "http://localhost", headers={"authorization": f"Bearer {key}"}) as client:
        assert client.get("/props").json()["model_alias"] == "own"


def test_a_token_that_the_vocabulary_lacks_is_refused(http: httpx.Client) -> None:
    for token in (1 << 30, 49152):
        answer = http.post("/detokenize", json={"model": CHAT, "tokens": [token]})
        assert answer.status_code == 400
        body = {"model": CHAT, "prompt": [token], "max_tokens": 1}
        assert http.post("/v1/completions", json=body).status_code == 400


def test_scores_are_the_backend_s_own(http: httpx.Client, smollm2: LlamaCppBackend) -> None:
    request = GenerationRequest(CHAT, (Message("user", MESSAGES[0]["content"]),))
    own = asyncio.run(smollm2.score_labels(request, LABELS))
    found = asked(http, "/v1/score", messages=MESSAGES, labels=LABELS)
    assert [entry["logprob"] for entry in found["scores"]] == list(own.logprobs)
    assert found["exact"] is True


def test_probabilities_sum_to_one_and_the_largest_is_the_label(http: httpx.Client) -> None:
    found = asked(http, "/v1/classify", messages=MESSAGES, labels=LABELS)
    shares = {entry["label"]: entry["probability"] for entry in found["probabilities"]}
    assert list(shares) == LABELS
    assert math.isclose(sum(shares.values()), 1.0)
    assert found["label"] == max(shares, key=lambda label: shares[label])


def test_a_task_is_classified_as_the_command_line_does(whole_url: str) -> None:
    text = "The app crashes when I press save"
    with httpx.Client(base_url=whole_url, timeout=60) as http:
        found = asked(http, "/v1/classify", task="issue-triage", text=text)
    (own,) = classify([text], task="issue-triage", model=CHAT).answers
    assert found["label"] == own.answer
    assert {p["label"]: p["probability"] for p in found["probabilities"]} == own.probabilities


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"task": "../etc", "text": "x"}, "task"),
        ({"task": "issue-triage", "text": "x", "strategy": "few_shot"}, "strategy"),
        ({"task": "issue-triage", "text": "x", "labels": ["a", "b"]}, "labels"),
        ({"task": "issue-triage", "text": "x", "fields": {"owner": "me"}}, "fields"),
        ({"task": "issue-triage", "text": "x", "score_rule": "batch"}, "score_rule"),
        ({"messages": MESSAGES}, "labels"),
        ({"messages": MESSAGES, "labels": ["a", "a"]}, "labels"),
    ],
)
def test_what_can_not_be_classified_is_refused_by_name(
    http: httpx.Client, body: dict[str, Any], param: str
) -> None:
    answer = http.post("/v1/classify", json={"model": CHAT, **body})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
