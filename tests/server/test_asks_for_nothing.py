"""What asks for nothing is accepted, and what asks for what there is not is refused by name."""

from typing import Any, cast

import httpx
import pytest
from fastapi.testclient import TestClient
from pydantic import TypeAdapter, ValidationError

from gateway.backends.pool import ModelPool
from gateway.server.app import create_app, service_of
from gateway.server.openai.chat_wire import ChatRequest
from gateway.server.openai.completions_wire import CompletionRequest
from gateway.server.openai.responses_wire import ResponseRequest
from gateway.server.settings import Settings
from tests.server.conftest import fake_models
from tests.support.llama_server import GENERATION_SETTINGS

TURN = [{"role": "user", "content": "Hi"}]
CHAT: dict[str, Any] = {"model": "fake", "messages": TURN, "max_tokens": 2}
TEXT: dict[str, Any] = {"model": "fake", "prompt": "Hi", "max_tokens": 2}
RESPONSE: dict[str, Any] = {"model": "fake", "input": "Hi", "max_output_tokens": 2}
SAMPLERS = ["dry", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature"]
TOLD: dict[str, Any] = {"model": "fake", "messages": TURN, "stream": False}

OPENAI = [
    *("audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs"),
    *("max_completion_tokens", "max_tokens", "metadata", "modalities", "n", "parallel_tool_calls"),
    *("prediction", "presence_penalty", "prompt_cache_key", "prompt_cache_retention"),
    *("reasoning_effort", "response_format", "safety_identifier", "seed", "service_tier", "stop"),
    *("store", "stream", "stream_options", "temperature", "tool_choice", "tools", "top_logprobs"),
    *("top_p", "user", "verbosity", "web_search_options", "best_of", "echo", "suffix"),
    *("background", "conversation", "include", "instructions", "max_output_tokens"),
    *("max_tool_calls", "previous_response_id", "reasoning", "text", "truncation"),
]
"""Optional fields of the bodies of OpenAI's chat, completions and responses (openai-python 2)."""


@pytest.fixture(scope="module")
def client() -> Any:
    app = create_app(ModelPool(fake_models()), Settings(log_requests=False))
    service_of(app).ready = True
    with TestClient(app, base_url="http://localhost") as made:
        yield made


def answered(client: httpx.Client, path: str, body: dict[str, Any]) -> httpx.Response:
    found: httpx.Response = client.post(path, json=body)
    return found


@pytest.mark.parametrize("field", OPENAI)
@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/chat/completions", CHAT), ("/v1/completions", TEXT), ("/v1/responses", RESPONSE)],
)
def test_every_optional_field_may_be_null(
    client: httpx.Client, path: str, body: dict[str, Any], field: str
) -> None:
    found = answered(client, path, {**body, field: None})
    assert found.status_code == 200, found.text


@pytest.mark.parametrize(
    "more",
    [
        {"prompt_cache_key": "abc", "safety_identifier": "abc", "user": "me"},
        {"prompt_cache_retention": "24h"},
        {"reasoning_effort": "none"},
        {"verbosity": "medium"},
        {"functions": [], "function_call": "auto"},
        {"tools": [], "tool_choice": "auto"},
        {"tool_choice": "none", "parallel_tool_calls": True},
        {"top_logprobs": 0},
        {"stream_options": {"include_usage": False, "include_obfuscation": True}},
        {"logit_bias": {}, "stop": [], "metadata": {}},
        {"chat_template_kwargs": {}},
        {"modalities": ["text"], "store": False, "service_tier": "auto"},
        {"top_k": -1},
        {"top_k": 8.0, "n": 1.0, "seed": 0.0, "max_tokens": 2.0},
        {"something_new": None, "another": [], "a_third": {}, "a_fourth": ""},
        {"max_tokens": -1, "stop": ["."]},
        {"prediction": {"type": "content", "content": "Hi!"}},
        {"prediction": {"type": "content", "content": [{"type": "text", "text": "Hi!"}]}},
        {"cache_prompt": True, "id_slot": 0, "reasoning_format": "auto"},
        {"timings_per_token": False, "return_progress": False, "n_probs": 0},
        {"dynatemp_range": 0, "xtc_probability": 0.0, "typ_p": 1, "dry_multiplier": 0},
        {"xtc_threshold": 0.1, "dry_base": 1.75, "dry_allowed_length": 2, "mirostat_tau": 5.0},
        {"dry_penalty_last_n": 64, "dry_sequence_breakers": ["\n", ":"], "mirostat_eta": 0.1},
        {"verbose": False, "backend_sampling": False, "top_n_sigma": -1},
        {"repeat_penalty": 1.0, "repeat_last_n": -1, "mirostat": 0, "n_keep": 0, "grammar": ""},
        {"add_generation_prompt": True, "continue_final_message": False, "ignore_eos": False},
        {"skip_special_tokens": True, "spaces_between_special_tokens": True, "min_tokens": 0},
        {"use_beam_search": False, "length_penalty": 1.0, "guided_json": None, "priority": 0},
        {"cache_salt": "s", "request_id": "r", "ttl": 300},
        GENERATION_SETTINGS,
        {"samplers": SAMPLERS},
        {"samplers": ["penalties", *SAMPLERS[:1], "top_n_sigma", *SAMPLERS[1:]], "top_k": 3}
        | {"repetition_penalty": 1.1},
        {"samplers": "edskypmxt", "speculative.n_max": 8, "speculative.type": "none"},
        {"repeat_last_n": 64.0, "repetition_penalty": 1.0, "presence_penalty": 0},
        {"repeat_last_n": -1, "repetition_penalty": 1.5},
        {"max_tokens": 10**9},
        {"max_tokens": None, "max_completion_tokens": 10**12},
    ],
)
def test_defaults_hints_and_bounds_of_the_chat_are_accepted(
    client: httpx.Client, more: dict[str, Any]
) -> None:
    found = answered(client, "/v1/chat/completions", {**CHAT, **more})
    assert found.status_code == 200, found.text


@pytest.mark.parametrize(
    ("more", "field", "words"),
    [
        ({"something_new": 1}, "something_new", "unknown or unsupported"),
        ({"something_new": False}, "something_new", "unknown or unsupported"),
        ({"reasoning_effort": "high"}, "reasoning_effort", "no thoughts"),
        ({"web_search_options": {"a": 1}}, "web_search_options", "nothing is looked up"),
        ({"verbose": True}, "verbose", "do not tell this"),
        ({"top_n_sigma": 1.5}, "top_n_sigma", "no such sampler"),
        ({"adaptive_target": 0.5}, "adaptive_target", "no such sampler"),
        ({"samplers": ["temperature"]}, "samplers", "one order"),
        ({"samplers": SAMPLERS, "repetition_penalty": 1.1}, None, "samplers: penalties are not"),
        ({"n_cmpl": 2}, "n_cmpl", "it is n here"),
        ({"n_cmpl": True}, "n_cmpl", "it is n here"),
        ({"n_predict": 5}, "n_predict", "max_tokens"),
        ({"grammar_lazy": True}, "grammar_lazy", "from the first token"),
        ({"repeat_last_n": 64, "repetition_penalty": 1.1}, None, "repeat_last_n: penalties"),
        ({"repeat_last_n": 0, "frequency_penalty": 0.1}, None, "repeat_last_n: penalties"),
        ({"repeat_last_n": -2}, "repeat_last_n", "greater than or equal to -1"),
        ({"repeat_last_n": 64.5}, "repeat_last_n", "integer"),
        ({"repeat_last_n": True}, "repeat_last_n", "integer"),
        ({"functions": [{"name": "f"}]}, "functions", "offered as tools"),
        ({"max_tokens": 0}, "max_tokens", "asks for no token"),
        ({"max_tokens": 2.5}, "max_tokens", "integer"),
        ({"tool_choice": "required"}, None, "tool_choice needs tools"),
        ({"tool_choice": {"type": "function", "name": "f"}}, "tool_choice.function", "required"),
        ({"stop": ["a"] * 17}, "stop", "at most 16"),
        ({"top_logprobs": 2}, None, "needs logprobs"),
    ],
)
def test_what_asks_for_something_else_is_refused_by_name(
    client: httpx.Client, more: dict[str, Any], field: str | None, words: str
) -> None:
    found = answered(client, "/v1/chat/completions", {**CHAT, **more})
    assert found.status_code == 400, found.text
    error = found.json()["error"]
    assert error["param"] == field
    assert words in error["message"]


@pytest.mark.parametrize(
    "turns",
    [
        [{"role": "user", "content": "Hi", "name": "ann"}],
        [{"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {"a": 1}}]}],
        [*TURN, {"role": "assistant", "content": "Hm.", "reasoning_content": "hm"}, *TURN],
        [*TURN, {"role": "assistant", "content": "Hm.", "reasoning": "", "refusal": None}, *TURN],
        [*TURN, {"role": "assistant", "content": "Hm.", "annotations": [{"a": 1}]}, *TURN],
        # As an answer is shown that ended within its thought.
        [*TURN, {"role": "assistant", "content": None, "reasoning_content": "hm"}, *TURN],
        [*TURN, {"role": "assistant", "reasoning": "hm", "tool_calls": []}, *TURN],
    ],
)
def test_turns_carry_bookkeeping(client: httpx.Client, turns: list[dict[str, Any]]) -> None:
    found = answered(client, "/v1/chat/completions", {**CHAT, "messages": turns})
    assert found.status_code == 200, found.text


@pytest.mark.parametrize("body", [{"input": "Hi"}, {"model": "fake", "input": "Hi"}, {}])
def test_a_conversation_is_not_compacted_and_who_asks_is_told_what_to_do(
    client: httpx.Client, body: dict[str, Any]
) -> None:
    found = answered(client, "/v1/responses/compact", body)
    assert found.status_code == 400
    assert "send the turns that still matter" in found.json()["error"]["message"]


CALL = {"id": "c1", "type": "function", "function": {"name": "w", "arguments": "{}"}, "index": 0}


def test_a_streamed_call_is_sent_back_with_its_index_and_a_tool_with_its_name() -> None:
    TypeAdapter(ChatRequest).validate_python(
        {
            **CHAT,
            "messages": [
                *TURN,
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "c1", "name": "w", "content": "rain"},
            ],
        }
    )


@pytest.mark.parametrize(
    ("path", "body", "place", "words"),
    [
        (
            "/v1/chat/completions",
            {**CHAT, "messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content[0]",
            "images are not read",
        ),
        (
            "/v1/chat/completions",
            {**CHAT, "messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
            "messages[0].content[0]",
            "input_audio is not read",
        ),
        (
            "/v1/responses",
            {**RESPONSE, "input": [{"role": "user", "content": [{"type": "input_image"}]}]},
            "input[0].content[0]",
            "images are not read",
        ),
        ("/v1/embeddings", {"model": "fake", "input": [1, "a"]}, "input[1]", "integer"),
        ("/v1/completions", {**TEXT, "prompt": ["a", 1]}, "prompt[1]", "string"),
        ("/v1/completions", {**TEXT, "prompt": {"a": 1}}, "prompt", "string"),
    ],
)
def test_an_error_inside_a_union_is_told_of_what_was_sent(
    client: httpx.Client, path: str, body: dict[str, Any], place: str, words: str
) -> None:
    found = answered(client, path, body)
    assert found.status_code == 400, found.text
    error = found.json()["error"]
    assert (error["param"], words in error["message"]) == (place, True), error


@pytest.mark.parametrize(
    "options",
    [
        {"num_ctx": 10**6},
        {"num_ctx": 0},
        {"num_thread": 2, "num_gpu": 1, "main_gpu": 0, "numa": False, "use_mmap": True},
        {"num_batch": 512, "low_vram": False, "num_keep": 5},
        {"top_k": -1, "num_predict": 3.0},
        {"mirostat": 0, "mirostat_tau": 0.8, "mirostat_eta": 0.6, "tfs_z": 1.0, "typical_p": 1},
    ],
)
def test_ollama_s_options_that_change_no_byte_are_accepted(
    client: httpx.Client, options: dict[str, Any]
) -> None:
    found = answered(client, "/api/chat", {**TOLD, "options": {"num_predict": 2, **options}})
    assert found.status_code == 200, found.text


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate", "/api/embed", "/api/embeddings"])
def test_the_zero_values_that_a_go_client_always_sends_ask_for_nothing(
    client: httpx.Client, path: str
) -> None:
    """The fields of ollama's api/types.go that are written whether or not they are set."""
    zero: dict[str, Any] = {"model": "fake", "options": None, "stream": False}
    bodies: dict[str, dict[str, Any]] = {
        "/api/chat": {**zero, "messages": TURN, "format": "", "tools": None, "truncate": True},
        "/api/generate": {
            **zero,
            "prompt": "Hi",
            "suffix": "",
            "system": "",
            "template": "",
            "format": None,
            "raw": False,
            "shift": True,
        },
        "/api/embed": {"model": "fake", "options": None, "input": "Hi", "truncate": True},
        "/api/embeddings": {"model": "fake", "options": None, "prompt": "Hi"},
    }
    found = answered(client, path, bodies[path])
    assert found.status_code == 200, found.text


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings"]
)
def test_a_name_with_latest_is_the_name_on_every_route(client: httpx.Client, path: str) -> None:
    bodies = {
        "/v1/chat/completions": CHAT,
        "/v1/completions": TEXT,
        "/v1/responses": RESPONSE,
        "/v1/embeddings": {"input": "Hi"},
    }
    found = answered(client, path, {**bodies[path], "model": "fake:latest"})
    assert found.status_code == 200, found.text
    assert answered(client, path, {**bodies[path], "model": "fake:other"}).status_code == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [("/chat/completions", CHAT), ("/completions", TEXT), ("/responses", RESPONSE)],
)
def test_a_client_whose_address_ends_before_v1_is_answered(
    client: httpx.Client, path: str, body: dict[str, Any]
) -> None:
    assert answered(client, path, body).status_code == 200
    assert client.get("/models").json() == client.get("/v1/models").json()


@pytest.mark.parametrize("path", ["/api/version", "/api/tags", "/api/ps", "/"])
def test_head_is_answered_where_get_is(client: httpx.Client, path: str) -> None:
    assert client.head(path).status_code == 200


@pytest.mark.parametrize(
    ("wire", "body"), [(ChatRequest, CHAT), (CompletionRequest, TEXT), (ResponseRequest, RESPONSE)]
)
def test_a_misspelt_field_is_refused(wire: type[Any], body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="temprature"):
        wire(**body, temprature=0.5)


def test_a_schema_may_stand_beside_the_type_json_object_and_needs_no_name() -> None:
    schema = {"type": "object", "properties": {"a": {"const": 1}}}
    forms: list[dict[str, Any]] = [
        {"type": "json_object", "schema": schema},
        {"type": "json_schema", "json_schema": {"schema": schema}},
        {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
    ]
    read = [ChatRequest(**{**CHAT, "response_format": form}).response_format for form in forms]
    assert len({form.schema_text for form in read if form}) == 1
    with pytest.raises(ValidationError, match="belongs to the type json_object"):
        ChatRequest(**{**CHAT, "response_format": {"type": "text", "schema": schema}})


THIS_MACHINE = [
    "http://localhost",
    "http://localhost:3000",
    "https://127.0.0.1:8443",
    "http://[::1]:5173",
    "app://obsidian.md",
    "tauri://localhost",
    "vscode-webview://abc",
]
FOREIGN = [
    "http://evil.example",
    "http://localhost.evil.example",
    "http://evil.example:3000",
    "http://localhost:3000.evil.example",
    "null",
]


def reached(origin: str, origins: tuple[str, ...] = ()) -> httpx.Response:
    app = create_app(ModelPool(fake_models()), Settings(log_requests=False, origins=origins))
    client = TestClient(app, base_url="http://localhost:8000")
    found: Any = client.get("/v1/models", headers={"Origin": origin})
    return cast("httpx.Response", found)


@pytest.mark.parametrize("origin", THIS_MACHINE)
def test_pages_of_this_machine_may_ask_unless_told_otherwise(origin: str) -> None:
    found = reached(origin)
    assert found.status_code == 200
    assert found.headers["access-control-allow-origin"] == origin
    assert reached(origin, ("none",)).status_code == 403


@pytest.mark.parametrize("origin", FOREIGN)
def test_foreign_pages_may_ask_only_when_named(origin: str) -> None:
    assert reached(origin).status_code == 403
    assert reached(origin, ("*",)).status_code == 200
    assert reached(origin, (origin,)).status_code == 200
    assert reached(origin, ("none", origin)).status_code == 200


ASKED_AND_CALLED: list[dict[str, Any]] = [
    {"type": "message", "role": "user", "content": "hi"},
    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "abc"},
    {"type": "function_call", "call_id": "c1", "name": "w", "arguments": "{}", "id": "fc_1"},
    {"type": "function_call_output", "call_id": "c1", "output": "rain"},
]


@pytest.mark.parametrize(
    ("more", "place", "words"),
    [
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]", "item_reference"),
        ({"input": [{"type": "function_call", "call_id": "c"}]}, "input[0].name", "required"),
        ({"input": []}, "input", "at least 1"),
        ({"input": ASKED_AND_CALLED[3:]}, "input[0].call_id", "no function_call before it"),
        ({"tools": [{"type": "web_search"}]}, "tools[0]", "web_search"),
        ({"tool_choice": "required"}, None, "tool_choice needs tools"),
        ({"previous_response_id": "resp_1"}, "previous_response_id", "not kept"),
        ({"include": ["x"]}, "include[0]", "encrypted_content"),
        ({"top_logprobs": 21}, "top_logprobs", "20"),
        ({"reasoning": {"effort": "high"}}, "reasoning.effort", "no thoughts"),
    ],
)
def test_what_responses_have_not_is_refused_by_name(
    client: httpx.Client, more: dict[str, Any], place: str | None, words: str
) -> None:
    found = answered(client, "/v1/responses", {**RESPONSE, **more})
    assert found.status_code == 400, found.text
    error = found.json()["error"]
    assert (error["param"], words in error["message"]) == (place, True), error


@pytest.mark.parametrize(
    "more",
    [
        {"include": ["reasoning.encrypted_content"], "store": True},
        {"include": [], "previous_response_id": None, "parallel_tool_calls": False},
        {
            "client_metadata": {"a": "b"},
            "service_tier": "auto",
            "prompt_cache_key": "abc",
            "safety_identifier": "abc",
        },
        {"reasoning": {"effort": None, "summary": "auto"}, "background": False},
        {"tools": [], "tool_choice": "auto", "text": {"format": {"type": "text"}}},
        {"max_output_tokens": 10**9},
        {"input": [ASKED_AND_CALLED[0], ASKED_AND_CALLED[1]]},
    ],
)
def test_defaults_hints_and_bounds_of_responses_are_accepted(
    client: httpx.Client, more: dict[str, Any]
) -> None:
    found = answered(client, "/v1/responses", {**RESPONSE, **more})
    assert found.status_code == 200, found.text
