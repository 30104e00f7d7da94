"""Requests of the shapes that applications and agents send, as they were seen in November 2026.

The texts are ours. `gateway help compatibility` has the clients, their versions and what was done.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from gateway.backends.fake import FakeBackend
from gateway.backends.pool import ModelPool
from gateway.core.types import GenerationRequest, RenderedRequest
from gateway.models.spec import ModelSpec
from gateway.models.tool_calls import ToolMode
from gateway.server.app import create_app, service_of
from gateway.server.settings import Settings
from tests.server.conftest import fake_models

CALL = '<tool_call>\n{"name": "team__close", "arguments": {"id": "a"}}\n</tool_call>'


class Calling(FakeBackend):
    """A model that is shown tools, and calls one in a namespace where there is such a tool."""

    @property
    def tool_mode(self) -> ToolMode:
        return "fallback"

    def render(self, request: GenerationRequest) -> RenderedRequest:
        return super().render(replace(request, tools=()))

    def _answer(self, request: GenerationRequest, prompt: str) -> str:
        named = any(tool.name == "team__close" for tool in request.tools)
        return f"Let me see.\n{CALL}" if named and "tool: " not in prompt else "Done."


def serving(**changes: object) -> TestClient:
    def load(spec: ModelSpec, path: Path) -> FakeBackend:
        return Calling(spec, path)

    pool = ModelPool(fake_models(**changes), loader=load)
    app = create_app(pool, Settings(log_requests=False))
    service_of(app).ready = True
    return TestClient(app, base_url="http://localhost")


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with serving(context_length=4096) as made:
        yield made


@pytest.fixture(scope="module")
def short() -> Iterator[TestClient]:
    """With a context of 64 tokens."""
    with serving(context_length=64) as made:
        yield made


PARAMETERS = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "path": {"type": "string", "description": "Of a file."},
        "limit": {"type": "integer", "exclusiveMinimum": 0, "maximum": 9007199254740991},
    },
    "required": ["path"],
    "additionalProperties": False,
}
FUNCTION = {"name": "read", "description": "Reads a file.", "parameters": PARAMETERS}
TOOL = {"type": "function", "function": FUNCTION}
CALLED = {"id": "c1", "type": "function", "function": {"name": "read", "arguments": "{}"}}
STREAM: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
ASKED: list[dict[str, Any]] = [
    {"role": "system", "content": "Help."},
    {"role": "user", "content": "What is in a.txt?"},
]
ANSWERED: list[dict[str, Any]] = [
    *ASKED,
    {"role": "assistant", "content": "I look.", "tool_calls": [CALLED]},
    {"role": "tool", "tool_call_id": "c1", "content": "hello"},
]


def text(words: str, **more: object) -> dict[str, object]:
    """A part of a message."""
    return {"type": "text", "text": words, **more}


CODEX_TOOL = {"type": "function", "strict": False, **FUNCTION}
CLOSE = {
    "type": "function",
    "name": "close",
    "description": "Closes a helper.",
    "strict": False,
    "parameters": {"type": "object", "properties": {"id": {"type": "string"}}},
}
TEAM = {"type": "namespace", "name": "team", "description": "Helpers.", "tools": [CLOSE]}
NO_WEB = {"type": "web_search", "external_web_access": False}
CODEX_INPUT: list[dict[str, Any]] = [
    {
        "type": "message",
        "id": "msg_1",
        "role": "developer",
        "content": [
            {"type": "input_text", "text": "Rules."},
            {"type": "input_text", "text": "More."},
        ],
    },
    {
        "type": "message",
        "id": "msg_2",
        "role": "user",
        "content": [{"type": "input_text", "text": "Go."}],
    },
]
CODEX: dict[str, Any] = {
    "model": "fake",
    "input": CODEX_INPUT,
    "tools": [CODEX_TOOL, TEAM, NO_WEB],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"summary": "auto"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "01a2",
    "client_metadata": {"thread_id": "01a2", "turn_metadata": '{"sandbox": "none"}'},
}
CODEX_REPLY = [
    {
        "type": "message",
        "status": "completed",
        "id": "msg_3",
        "role": "assistant",
        "content": [
            {"type": "output_text", "text": "Let me see.", "annotations": [], "logprobs": []}
        ],
    },
    {
        "type": "function_call",
        "status": "completed",
        "id": "fc_1",
        "name": "close",
        "namespace": "team",
        "arguments": "{}",
        "call_id": "call_1",
    },
    {"type": "function_call_output", "id": "fco_1", "call_id": "call_1", "output": "closed"},
]

CLAUDE_TOOL = {"name": "Read", "description": "Reads.", "input_schema": PARAMETERS}
CLAUDE: dict[str, Any] = {
    "model": "fake",
    "messages": [
        {"role": "user", "content": [text("<reminder>"), text("What is in a.txt?")]},
        {"role": "system", "content": [text("Facts.", cache_control={"type": "ephemeral"})]},
    ],
    "system": [text("billing: 1"), text("Help.", cache_control={"type": "ephemeral", "ttl": "1h"})],
    "tools": [CLAUDE_TOOL, {"name": "Stop", "input_schema": {"type": "object", "properties": {}}}],
    "metadata": {"user_id": '{"device_id": "1", "account_uuid": "", "session_id": "2"}'},
    "max_tokens": 32000,
    "thinking": {"type": "adaptive", "display": "omitted"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "output_config": {"effort": "high"},
    "stream": True,
}
CLAUDE_REPLY = [
    {
        "role": "assistant",
        "content": [
            text("I look."),
            {"type": "tool_use", "id": "call_1", "name": "Read", "input": {"path": "a.txt"}},
        ],
    },
    {
        "role": "user",
        "content": [
            {
                "tool_use_id": "call_1",
                "type": "tool_result",
                "content": "hello",
                "cache_control": {"type": "ephemeral"},
            }
        ],
    },
]
DEFERRED = {**CLAUDE_TOOL, "name": "Later", "defer_loading": True}
OLLAMA_TURNS = [{**turn, "images": []} for turn in ASKED]


@dataclass(frozen=True)
class Shape:
    """A request, and what is decided on it."""

    client: str
    path: str
    body: dict[str, Any] = field(repr=False)
    status: int = 200
    words: str = ""
    """In the answer."""

    def __str__(self) -> str:
        return self.client.replace(" ", "-")


def chat(client: str, *, words: str = "Done.", **body: Any) -> Shape:
    """A request to /v1/chat/completions."""
    made = {"model": "fake", "messages": ASKED, **body}
    return Shape(client, "/v1/chat/completions", made, words="" if "stream" in body else words)


SHAPES = [
    Shape("codex", "/v1/responses", CODEX, words="response.completed"),
    Shape("codex after a call", "/v1/responses", {**CODEX, "input": CODEX_INPUT + CODEX_REPLY}),
    Shape(
        "codex with the web",
        "/v1/responses",
        {**CODEX, "tools": [CODEX_TOOL, {"type": "web_search", "external_web_access": True}]},
        400,
        "tools[1]: a tool of type web_search is not here",
    ),
    Shape(
        "codex compacts",
        "/v1/responses/compact",
        {"model": "fake", "input": CODEX_INPUT},
        400,
        "not compacted",
    ),
    Shape("claude code", "/v1/messages?beta=true", CLAUDE, words="message_stop"),
    Shape(
        "claude code after a call",
        "/v1/messages?beta=true",
        {**CLAUDE, "messages": CLAUDE["messages"] + CLAUDE_REPLY},
    ),
    Shape(
        "claude code with tools to be found",
        "/v1/messages?beta=true",
        {**CLAUDE, "tools": [CLAUDE_TOOL, DEFERRED]},
        400,
        "tools[1].defer_loading: all tools are shown at once",
    ),
    chat("opencode's title", max_tokens=8192, **STREAM),
    chat(
        "opencode", messages=ANSWERED, tools=[TOOL], tool_choice="auto", max_tokens=8192, **STREAM
    ),
    chat(
        "qwen code",
        messages=[
            ASKED[0],
            {"role": "user", "content": [text("Set up."), text("Go.")]},
            ANSWERED[2],
            {**ANSWERED[3], "content": [text("hello")]},
        ],
        tools=[TOOL],
        max_tokens=8000,
        **STREAM,
    ),
    chat("continue", messages=ANSWERED, tools=[TOOL], **STREAM),
    chat("cline", messages=ANSWERED, tools=[TOOL], tool_choice="auto", **STREAM),
    chat("aider", stream=True, temperature=0),
    Shape(
        "aider through ollama",
        "/api/chat",
        {
            "model": "fake",
            "messages": OLLAMA_TURNS,
            "options": {"temperature": 0, "num_ctx": 9002},
            "stream": True,
        },
        words='"done":true',
    ),
    Shape("litellm asks for a model", "/api/show", {"name": "fake"}),
    chat("gptme", tools=[TOOL], temperature=0.0, top_p=0.1, **STREAM),
    chat("shell-gpt", stream=True, temperature=0.0, top_p=1.0),
    chat(
        "smolagents",
        messages=[{"role": "system", "content": [text("Help.")]}, ASKED[1]],
        stop=["Observation:", "Calling tools:", "</code>"],
    ),
    chat(
        "autogen",
        messages=[ASKED[0], {**ASKED[1], "name": "user"}],
        tools=[{"type": "function", "function": {**FUNCTION, "strict": False}}],
        tool_choice="auto",
        stream=True,
    ),
    chat(
        "semantic kernel",
        messages=[{**ASKED[0], "name": "W"}, ASKED[1]],
        tools=[{"type": "function", "function": {**FUNCTION, "name": "P-read"}}],
        tool_choice="auto",
        stream=False,
    ),
    chat("haystack", stream=False, n=1, tools=[TOOL]),
    Shape(
        "haystack through ollama",
        "/api/chat",
        {
            "model": "fake",
            "messages": ASKED,
            "options": {},
            "tools": [TOOL],
            "think": False,
            "stream": False,
        },
        words="Done.",
    ),
    chat("guidance", logprobs=True, top_logprobs=5, max_completion_tokens=5, tools=[], **STREAM),
    chat("open webui's title", stream=False, max_tokens=1000),
    Shape(
        "open webui through ollama",
        "/api/chat",
        {"model": "fake:latest", "messages": ASKED, "options": {"num_predict": 9}, "stream": False},
        words="Done.",
    ),
    Shape(
        "vercel's ai through ollama",
        "/api/chat",
        {
            "model": "fake",
            "messages": ASKED,
            "think": False,
            "tools": [TOOL],
            "tool_choice": "auto",
            "stream": False,
        },
        words="Done.",
    ),
    Shape(
        "vercel's ai through ollama, a call enforced",
        "/api/chat",
        {"model": "fake", "messages": ASKED, "tools": [TOOL], "tool_choice": "required"},
        400,
        "tool_choice",
    ),
    Shape(
        "vercel's ai after a call",
        "/v1/responses",
        {
            "model": "fake",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "Go."}]},
                {"type": "item_reference", "id": "fc_1"},
                {"type": "function_call_output", "call_id": "call_1", "output": "closed"},
            ],
        },
        400,
        "answers are not kept: send the item itself",
    ),
    Shape(
        "agno",
        "/v1/responses",
        {"model": "fake", "input": [ASKED[1]], "reasoning": {}, "tools": [CODEX_TOOL]},
        words="Done.",
    ),
    Shape(
        "langchain.js",
        "/v1/responses",
        {"model": "fake", "input": [ASKED[1]], "text": {}, "stream": False},
        words="Done.",
    ),
    Shape("llm's embeddings", "/api/embed", {"model": "fake", "input": ["Hi"], "truncate": True}),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_request_of_an_agent_is_answered_as_decided(client: TestClient, shape: Shape) -> None:
    found = client.post(shape.path, json=shape.body)
    assert found.status_code == shape.status, found.text
    assert shape.words in found.text


def test_a_call_in_a_namespace_is_told_with_it(client: TestClient) -> None:
    whole = client.post("/v1/responses", json={**CODEX, "stream": False}).json()
    message, call = whole["output"]
    assert message["content"][0]["text"].strip() == "Let me see."
    assert (call["namespace"], call["name"], call["arguments"]) == ("team", "close", '{"id": "a"}')
    streamed = client.post("/v1/responses", json=CODEX).text
    told = [json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: {")]
    items = [event["item"] for event in told if event["type"] == "response.output_item.done"]
    ids = {key: call[key] for key in ("id", "call_id")}
    assert items[1] | ids == call


def test_the_tools_of_an_answer_are_those_that_may_be_called(client: TestClient) -> None:
    shown = client.post("/v1/responses", json={**CODEX, "stream": False}).json()["tools"]
    assert [tool["type"] for tool in shown] == ["function", "namespace"]
    assert shown[1]["tools"][0]["name"] == "close"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"tools": [NO_WEB], "tool_choice": "required"}, "tool_choice needs tools"),
        ({"tools": [TEAM, {**CLOSE, "name": "team__close"}]}, "two tools have one name"),
        ({"tools": [{**TEAM, "tools": [NO_WEB]}]}, "tools[0].tools[0]: a tool of type web_search"),
        (
            {"tools": [{**NO_WEB, "external_web_access": None}]},
            "tools[0]: a tool of type web_search",
        ),
        ({"tools": [{"type": "namespace", "tools": []}]}, "tools[0].name"),
        ({"tools": [{"type": "custom", "name": "patch"}]}, "tools[0]: a tool of type custom"),
    ],
)
def test_tools_that_cannot_be_offered_are_refused_by_name(
    client: TestClient, changed: dict[str, Any], words: str
) -> None:
    found = client.post("/v1/responses", json={**CODEX, **changed})
    assert found.status_code == 400, found.text
    assert words in found.json()["error"]["message"]


LONG = "word " * 200
OVERFLOWS: list[tuple[str, dict[str, Any], str]] = [
    (
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": LONG}]},
        r"maximum context length is 64 tokens",
    ),
    ("/v1/completions", {"prompt": LONG}, r"maximum context length is 64 tokens"),
    ("/v1/responses", {"input": LONG, "stream": True}, r"maximum context length is 64 tokens"),
    (
        "/v1/messages",
        {"messages": [{"role": "user", "content": LONG}], "max_tokens": 9},
        r"^prompt is too long: \d+ tokens > 64 maximum",
    ),
    ("/api/chat", {"messages": [{"role": "user", "content": LONG}]}, "too long, it exceeds"),
    ("/api/generate", {"prompt": LONG}, "too long, it exceeds"),
]


@pytest.mark.parametrize(("path", "body", "words"), OVERFLOWS)
def test_a_prompt_that_is_too_long_is_refused_in_the_words_that_clients_look_for(
    short: TestClient, path: str, body: dict[str, Any], words: str
) -> None:
    found = short.post(path, json={"model": "fake", **body})
    assert found.status_code == 400, found.text
    error = found.json()["error"]
    assert re.search(words, error if isinstance(error, str) else error["message"])
    if path.startswith("/v1/") and path != "/v1/messages":
        assert error["code"] == "context_length_exceeded"


def test_the_version_is_of_numbers_as_clients_part_it(client: TestClient) -> None:
    told = client.get("/api/version").json()["version"]
    assert len(tuple(map(int, told.split(".")))) == 3
