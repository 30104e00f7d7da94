"""A thought, and behind it an answer of a given form, in one generation: at every door, whole and
streamed."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.backends.pool import ModelPool
from gateway.models.file import Models
from gateway.models.spec import PathSource
from gateway.server.app import create_app
from gateway.server.settings import Settings
from tests.support.tiny_gguf import write_gguf

pytestmark = pytest.mark.needs("llama_cpp", "llguidance", "fastapi")

TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    "{% for t in tools or [] %}{{ t | tojson }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant><think>\n"
    "{% if enable_thinking is false %}\n</think>\n\n{% endif %}{% endif %}"
)
BUDGET = 6
SCHEMA = {
    "type": "object",
    "properties": {"a": {"enum": ["x", "y"]}},
    "required": ["a"],
    "additionalProperties": False,
}
ASKED = [{"role": "user", "content": "How?"}]
TOOL = {"name": "look", "description": "Looks.", "parameters": SCHEMA}


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    path = write_gguf(tmp_path_factory.mktemp("formed") / "m.gguf", template=TEMPLATE)[0]
    spec = LlamaCppSpec(
        "m", PathSource(path), context_length=1024, threads=1, parallel=1, tools="fallback"
    )
    bounded = LlamaCppSpec.like(spec, name="bounded", reasoning="on", thinking_budget=BUDGET)
    models = Models({"m": spec, "bounded": bounded}, "m")
    app = create_app(ModelPool(models), Settings(log_requests=False))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield client


def ask(http: TestClient, path: str, body: dict[str, Any], *, stream: bool = False) -> str:
    sent = {"model": "m", **body, "stream": stream}
    answered = http.post(path, json=sent)
    assert answered.status_code == 200, answered.text
    return answered.text


def pieces(http: TestClient, path: str, body: dict[str, Any]) -> list[Any]:
    lines = ask(http, path, body, stream=True).splitlines()
    found = [line.removeprefix("data: ") for line in lines]
    return [json.loads(each) for each in found if each.startswith("{")]


def chat(http: TestClient, **body: Any) -> tuple[str, str]:
    """Thought and content; streamed the same."""
    asked = {"messages": ASKED, **body}
    message = json.loads(ask(http, "/v1/chat/completions", asked))["choices"][0]["message"]
    told = pieces(http, "/v1/chat/completions", asked)
    deltas = [choice["delta"] for each in told for choice in each["choices"]]
    thought = "".join(delta.get("reasoning_content") or "" for delta in deltas)
    content = "".join(delta.get("content") or "" for delta in deltas)
    found = (message.get("reasoning_content") or "", message["content"] or "")
    assert (thought, content) == found
    calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
    assert [c["function"] for c in calls] == [c["function"] for c in message.get("tool_calls", [])]
    return found


FORM = {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}}


@pytest.mark.parametrize(
    "asked",
    [
        {"enable_thinking": True, "thinking_budget": BUDGET},
        {"reasoning": {"enabled": True, "max_tokens": BUDGET}},
        {"reasoning": {"max_tokens": BUDGET}},
        {"thinking": {"type": "enabled", "budget_tokens": BUDGET}},
        {"enable_thinking": True, "thinking_token_budget": BUDGET},
        {"enable_thinking": True, "reasoning_budget": BUDGET},
        {"model": "bounded"},
    ],
)
def test_chat(http: TestClient, asked: dict[str, Any]) -> None:
    thought, content = chat(http, response_format=FORM, **asked)
    assert thought
    assert json.loads(content)["a"] in "xy"
    body = {"messages": ASKED, "response_format": FORM, **asked}
    usage = json.loads(ask(http, "/v1/chat/completions", body))["usage"]
    spent = usage["completion_tokens_details"]["reasoning_tokens"]
    assert 0 < spent <= BUDGET < usage["completion_tokens"]


@pytest.mark.parametrize(
    "asked",
    [{}, {"reasoning_effort": "none"}, {"thinking_budget": 0}, {"reasoning": {"enabled": False}},
     {"model": "bounded", "enable_thinking": False}],
)  # fmt: skip
def test_nothing_is_thought_unasked_or_where_it_was_refused(
    http: TestClient, asked: dict[str, Any]
) -> None:
    thought, content = chat(http, response_format=FORM, **asked)
    assert (thought, json.loads(content)["a"] in "xy") == ("", True)


def test_an_enforced_call(http: TestClient) -> None:
    tools = [{"type": "function", "function": TOOL}]
    asked = {"tools": tools, "tool_choice": "required", "enable_thinking": True}
    thought, content = chat(http, thinking_budget=BUDGET, **asked)
    assert (bool(thought), content) == (True, "")
    body = {"messages": ASKED, "thinking_budget": BUDGET, **asked}
    (choice,) = json.loads(ask(http, "/v1/chat/completions", body))["choices"]
    assert choice["finish_reason"] == "tool_calls"
    for call in choice["message"]["tool_calls"]:
        assert json.loads(call["function"]["arguments"])["a"] in "xy"


def test_a_thought_that_leaves_no_room_has_no_answer(http: TestClient) -> None:
    asked = {"response_format": FORM, "enable_thinking": True, "max_tokens": 5}
    thought, content = chat(http, **asked)
    assert (bool(thought), content) == (True, "")
    body = {"messages": ASKED, **asked}
    whole = json.loads(ask(http, "/v1/chat/completions", body))
    assert whole["choices"][0]["finish_reason"] == "length"
    assert whole["choices"][0]["message"]["content"] is None


def test_a_thought_may_be_counted_and_not_told(http: TestClient) -> None:
    for hidden in ({"reasoning": {"exclude": True}}, {"include_reasoning": False}):
        thought, _ = chat(http, thinking_budget=BUDGET, max_tokens=40, **hidden)
        assert thought == ""
        body = {"messages": ASKED, "thinking_budget": BUDGET, "max_tokens": 40, **hidden}
        usage = json.loads(ask(http, "/v1/chat/completions", body))["usage"]
        assert 0 < usage["completion_tokens_details"]["reasoning_tokens"] <= BUDGET


def test_responses(http: TestClient) -> None:
    body = {
        "input": "How?",
        "reasoning": {"max_tokens": BUDGET},
        "text": {"format": {"type": "json_schema", "name": "s", "schema": SCHEMA}},
    }
    whole = json.loads(ask(http, "/v1/responses", body))
    thought, message = whole["output"]
    assert json.loads(message["content"][0]["text"])["a"] in "xy"
    assert 0 < whole["usage"]["output_tokens_details"]["reasoning_tokens"] <= BUDGET
    told = pieces(http, "/v1/responses", body)
    deltas = [e["delta"] for e in told if e["type"] == "response.output_text.delta"]
    assert "".join(deltas) == message["content"][0]["text"]
    thoughts = [e["delta"] for e in told if e["type"] == "response.reasoning_text.delta"]
    assert "".join(thoughts) == thought["content"][0]["text"]


def test_messages(http: TestClient) -> None:
    form = {"format": {"type": "json_schema", "schema": SCHEMA}}
    body = {
        "messages": ASKED,
        "max_tokens": 200,
        "thinking": {"type": "enabled", "budget_tokens": BUDGET},
        "output_config": form,
    }
    thought, text = json.loads(ask(http, "/v1/messages", body))["content"]
    assert json.loads(text["text"])["a"] in "xy"
    told = [e["delta"] for e in pieces(http, "/v1/messages", body) if "delta" in e]
    assert "".join(delta.get("thinking", "") for delta in told) == thought["thinking"]
    assert "".join(delta.get("text", "") for delta in told) == text["text"]


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
def test_ollama(http: TestClient, path: str) -> None:
    asked = {"messages": ASKED} if path == "/api/chat" else {"prompt": "How?"}
    body = {"model": "bounded", "think": True, "format": SCHEMA, **asked}

    def said(answer: Any) -> tuple[str, str]:
        message = answer.get("message", answer)
        return message.get("thinking") or "", message.get("content", message.get("response"))

    thought, text = said(json.loads(ask(http, path, body)))
    assert thought
    assert json.loads(text)["a"] in "xy"
    told = [said(line) for line in pieces(http, path, body)]
    assert ("".join(t for t, _ in told), "".join(s for _, s in told)) == (thought, text)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"thinking_budget": 3, "reasoning_budget": 4}, "two budgets"),
        ({"thinking_budget": -2}, "greater than or equal to -1"),
        ({"reasoning": {"effort": "low"}}, "only on and off"),
        ({"reasoning": {"summary": "detailed"}}, "not summed up"),
        ({"thinking": {"type": "sometimes"}}, "thinking.type"),
    ],
)
def test_what_contradicts_or_is_not_there_is_refused_by_name(
    http: TestClient, asked: dict[str, Any], why: str
) -> None:
    answered = http.post("/v1/chat/completions", json={"model": "m", "messages": ASKED, **asked})
    assert answered.status_code == 400
    assert why in answered.text
