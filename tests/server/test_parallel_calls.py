"""Several calls in one answer, and one where `parallel_tool_calls` is false: at every door."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from gateway.backends.pool import ModelPool
from gateway.core.types import GenerationRequest
from gateway.models.spec import ModelSpec
from gateway.server.app import create_app
from gateway.server.settings import Settings
from tests.server.conftest import fake_models
from tests.server.test_thoughts import lines, post
from tests.support.call_forms import FORMS, template
from tests.support.rendering import RenderingBackend

CITIES = ("Rome", "Bern")
NAME = "weather"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ASKED = [{"role": "user", "content": "How is it?"}]
START = "<tool_call>\n"
SEPARATE, LISTED = "hermes", "granite"


def objects() -> list[str]:
    return [json.dumps({"name": NAME, "arguments": {"city": city}}) for city in CITIES]


SAYS = {
    SEPARATE: "\n".join(f"{START}{each}\n</tool_call>" for each in objects()),
    LISTED: f"<|tool_call|>[{', '.join(objects())}]",
}


def backend(form: str) -> type[RenderingBackend]:
    class Caller(RenderingBackend):
        """Calls twice; of an answer that has begun, the rest."""

        def __init__(self, spec: ModelSpec, _: Path) -> None:
            start = START if form == SEPARATE else "<|tool_call|>"

            def say(prompt: str) -> str:
                says = SAYS[form]
                return says.removeprefix(start) if prompt.endswith(start) else says

            super().__init__(spec, script=say)

        def _answer(self, request: GenerationRequest, prompt: str) -> str:
            return super()._answer(replace(request, constraint=None), prompt)

    return Caller


@pytest.fixture(scope="module", params=[SEPARATE, LISTED])
def http(request: pytest.FixtureRequest) -> Iterator[TestClient]:
    form = request.param
    assert form in FORMS
    models = fake_models(chat_template=template(form).source)
    settings = Settings(log_requests=False)
    app = create_app(ModelPool(models, loader=backend(form)), settings)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield client


FUNCTION = {"name": NAME, "parameters": SCHEMA}
CHAT = {"messages": ASKED, "tools": [{"type": "function", "function": FUNCTION}]}
RESPONSES = {"input": "How is it?", "tools": [{"type": "function", **FUNCTION}]}
MESSAGES = {
    "messages": ASKED,
    "max_tokens": 400,
    "tools": [{"name": NAME, "input_schema": SCHEMA}],
}
choices = pytest.mark.parametrize("choice", ["auto", "required"])
counts = pytest.mark.parametrize(("parallel", "count"), [(None, 2), (True, 2), (False, 1)])


def cities(arguments: list[str]) -> list[str]:
    return [json.loads(each)["city"] for each in arguments]


@choices
@counts
def test_chat(http: TestClient, choice: str, parallel: bool | None, count: int) -> None:
    body = {**CHAT, "tool_choice": choice, "parallel_tool_calls": parallel}
    choice_said = post(http, "/v1/chat/completions", body)["choices"][0]
    calls = choice_said["message"]["tool_calls"]
    assert cities([c["function"]["arguments"] for c in calls]) == list(CITIES[:count])
    assert (choice_said["message"]["content"], choice_said["finish_reason"]) == (None, "tool_calls")
    chunks = lines(http, "/v1/chat/completions", body)
    deltas = [c for chunk in chunks for c in chunk["choices"][0]["delta"].get("tool_calls", [])]
    assert [c["index"] for c in deltas] == list(range(count))
    assert [{k: v for k, v in c.items() if k != "index"} for c in deltas] == calls
    assert not any(chunk["choices"][0]["delta"].get("content") for chunk in chunks)


@choices
@counts
def test_responses(http: TestClient, choice: str, parallel: bool | None, count: int) -> None:
    body = {**RESPONSES, "tool_choice": choice, "parallel_tool_calls": parallel}
    items = post(http, "/v1/responses", body)["output"]
    assert [item["type"] for item in items] == ["function_call"] * count
    assert cities([item["arguments"] for item in items]) == list(CITIES[:count])
    events = lines(http, "/v1/responses", body)
    done = [e for e in events if e["type"] == "response.output_item.done"]
    assert [e["output_index"] for e in done] == list(range(count))
    assert [e["item"] for e in done] == items == events[-1]["response"]["output"]


@choices
@counts
def test_messages(http: TestClient, choice: str, parallel: bool | None, count: int) -> None:
    kind = {"auto": "auto", "required": "any"}[choice]
    chosen = {"type": kind, "disable_parallel_tool_use": parallel is False}
    body = {**MESSAGES, "tool_choice": chosen}
    said = post(http, "/v1/messages", body)
    assert [block["type"] for block in said["content"]] == ["tool_use"] * count
    assert [block["input"]["city"] for block in said["content"]] == list(CITIES[:count])
    assert said["stop_reason"] == "tool_use"
    events = lines(http, "/v1/messages", body)
    begun = [e for e in events if e["type"] == "content_block_start"]
    assert [e["index"] for e in begun] == list(range(count))
    assert [e["content_block"]["id"] for e in begun] == [block["id"] for block in said["content"]]
    told = [e["delta"]["partial_json"] for e in events if e["type"] == "content_block_delta"]
    assert cities(told) == list(CITIES[:count])


def test_a_further_call_that_tokens_cut_off_is_told(http: TestClient) -> None:
    most = 75  # Within the second call of both forms.
    body = {**CHAT, "tool_choice": "required", "max_tokens": most}
    said = post(http, "/v1/chat/completions", body)["choices"][0]
    if said["message"].get("tool_calls"):  # A list that is cut is no call.
        assert len(said["message"]["tool_calls"]) == 1
    assert said["finish_reason"] == "length"
    assert lines(http, "/v1/chat/completions", body)[-1]["choices"][0]["finish_reason"] == "length"
    body = {**RESPONSES, "tool_choice": "required", "max_output_tokens": most}
    assert post(http, "/v1/responses", body)["status"] == "incomplete"
    assert lines(http, "/v1/responses", body)[-1]["type"] == "response.incomplete"
    body = {**MESSAGES, "tool_choice": {"type": "any"}, "max_tokens": most}
    assert post(http, "/v1/messages", body)["stop_reason"] == "max_tokens"


def test_ollama(http: TestClient) -> None:
    body = {"messages": ASKED, "tools": CHAT["tools"]}
    calls = post(http, "/api/chat", body)["message"]["tool_calls"]
    assert [c["function"]["arguments"]["city"] for c in calls] == list(CITIES)
    chunks = lines(http, "/api/chat", body)
    streamed = [c for chunk in chunks for c in chunk["message"].get("tool_calls") or []]
    assert streamed == calls


def test_calls_that_are_left_out_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    models = fake_models(chat_template=template(LISTED).source)
    app = create_app(ModelPool(models, loader=backend(LISTED)), Settings())
    with TestClient(app, base_url="http://127.0.0.1") as client:
        post(client, "/v1/chat/completions", {**CHAT, "parallel_tool_calls": False})
        post(client, "/v1/chat/completions", CHAT)
        shown = client.get("/metrics").text
    logged = [line for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    counted = [json.loads(line)["calls_left_out"] for line in logged]
    assert counted[:2] == [1, 0]
    assert 'gateway_tool_calls_left_out_total{adapter="",model="fake"} 1.0' in shown
