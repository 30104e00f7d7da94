"""What a model thinks is told apart from what it answers, at every door, whole and streamed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from gateway.backends.pool import ModelPool
from gateway.core.types import GenerationRequest
from gateway.models.file import Models
from gateway.models.spec import ModelSpec
from gateway.server.app import create_app
from gateway.server.settings import Settings
from tests.server.conftest import fake_models
from tests.support.rendering import CHATML, RenderingBackend

THOUGHT, ANSWER = "They ask.\nI could <tool_call>.", "It is fine."
SAYS = f"<think>\n{THOUGHT}\n</think>\n\n{ANSWER}"
KNOWS = CHATML.replace(
    "assistant\n{% endif", "assistant\n{% if enable_thinking is false %}.{% endif %}{% endif"
).replace("{{ m.content }}", "{{ m.reasoning_content }}|{{ m.content }}")
ASKED = [{"role": "user", "content": "How?"}]
seen: list[GenerationRequest] = []


class Thinker(RenderingBackend):
    """Thinks, and remembers what it was asked."""

    def __init__(self, spec: ModelSpec, _: Path) -> None:
        super().__init__(spec, script=lambda prompt: SAYS)

    async def generate(self, request: GenerationRequest) -> Any:
        seen.append(request)
        return await super().generate(request)


@pytest.fixture(scope="module")
def http() -> Iterator[TestClient]:
    models: Models = fake_models(chat_template=KNOWS)
    app = create_app(ModelPool(models, loader=Thinker), Settings(log_requests=False))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield client


def lines(client: TestClient, path: str, body: dict[str, Any]) -> list[Any]:
    said = client.post(path, json={"model": "fake", "stream": True, **body}).text
    found = [line.removeprefix("data: ") for line in said.splitlines()]
    return [json.loads(each) for each in found if each.startswith("{")]


def post(client: TestClient, path: str, body: dict[str, Any]) -> Any:
    answered = client.post(path, json={"model": "fake", "stream": False, **body})
    assert answered.status_code == 200, answered.text
    return answered.json()


def test_chat(http: TestClient) -> None:
    body = {"messages": ASKED}
    message = post(http, "/v1/chat/completions", body)["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == (THOUGHT, ANSWER)
    deltas = [c["choices"][0]["delta"] for c in lines(http, "/v1/chat/completions", body)]
    assert "".join(d.get("reasoning_content") or "" for d in deltas) == THOUGHT
    assert "".join(d.get("content") or "" for d in deltas) == ANSWER


def test_responses(http: TestClient) -> None:
    thought, message = post(http, "/v1/responses", {"input": "How?"})["output"]
    assert (thought["type"], thought["content"][0]["text"]) == ("reasoning", THOUGHT)
    assert message["content"][0]["text"] == ANSWER
    events = lines(http, "/v1/responses", {"input": "How?"})
    told = dict.fromkeys(("response.reasoning_text.delta", "response.output_text.delta"), "")
    for event in events:
        if event["type"] in told:
            told[event["type"]] += event["delta"]
    assert list(told.values()) == [THOUGHT, ANSWER]
    assert [e["sequence_number"] for e in events] == list(range(len(events)))
    done = [e["output_index"] for e in events if e["type"] == "response.output_item.done"]
    assert done == [0, 1]
    assert events[-1]["response"]["output"][0]["type"] == "reasoning"


def test_thoughts_behind_what_was_said_are_items_of_their_own(
    monkeypatch: pytest.MonkeyPatch, http: TestClient
) -> None:
    shapes = {
        "Well. <think>a</think>Yes.": [("message", "Well. Yes."), ("reasoning", "a")],
        "<think>a</think>Well. <think>b</think><think>c</think>Yes.": [
            ("reasoning", "a"),
            ("message", "Well. Yes."),
            ("reasoning", "b\nc"),
        ],
    }
    for says, items in shapes.items():
        monkeypatch.setattr(f"{__name__}.SAYS", says)
        whole = post(http, "/v1/responses", {"input": "How?"})["output"]
        events = lines(http, "/v1/responses", {"input": "How?"})
        begun = [e["output_index"] for e in events if e["type"] == "response.output_item.added"]
        done = {
            e["output_index"]: e["item"] for e in events if e["type"] == "response.output_item.done"
        }
        assert begun == sorted(done) == list(range(len(items)))
        told = events[-1]["response"]["output"]
        assert [done[place] for place in begun] == told
        for output in (whole, told):
            assert [(i["type"], i["content"][0]["text"]) for i in output] == items
            assert len({item["id"] for item in output}) == len(items)


def test_messages_have_no_empty_block_behind_a_thought(
    monkeypatch: pytest.MonkeyPatch, http: TestClient
) -> None:
    monkeypatch.setattr(f"{__name__}.SAYS", "Well. <think>a")
    events = lines(http, "/v1/messages", {"messages": ASKED, "max_tokens": 500})
    begun = [e["content_block"]["type"] for e in events if e["type"] == "content_block_start"]
    assert begun == ["text", "thinking"]


def test_messages(http: TestClient) -> None:
    body = {"messages": ASKED, "max_tokens": 500}
    thought, text = post(http, "/v1/messages", body)["content"]
    assert (thought["thinking"], text["text"]) == (THOUGHT, ANSWER)
    events = lines(http, "/v1/messages", body)
    deltas = [e for e in events if e["type"] == "content_block_delta"]
    assert "".join(e["delta"].get("thinking", "") for e in deltas) == THOUGHT
    assert "".join(e["delta"].get("text", "") for e in deltas) == ANSWER
    starts = [e["index"] for e in events if e["type"] == "content_block_start"]
    assert starts == [e["index"] for e in events if e["type"] == "content_block_stop"] == [0, 1]


def test_ollama(http: TestClient) -> None:
    message = post(http, "/api/chat", {"messages": ASKED})["message"]
    assert (message["thinking"], message["content"]) == (THOUGHT, ANSWER)
    pieces = [line["message"] for line in lines(http, "/api/chat", {"messages": ASKED})]
    assert "".join(p.get("thinking") or "" for p in pieces) == THOUGHT
    assert "".join(p["content"] for p in pieces) == ANSWER
    whole = post(http, "/api/generate", {"prompt": "How?"})
    assert (whole["thinking"], whole["response"]) == (THOUGHT, ANSWER)


@pytest.mark.parametrize(
    ("path", "body", "asked"),
    [
        ("/v1/chat/completions", {"reasoning_effort": "none"}, "off"),
        ("/v1/chat/completions", {"enable_thinking": True}, "on"),
        ("/v1/responses", {"reasoning": {"effort": "none"}}, "off"),
        ("/v1/messages", {"thinking": {"type": "enabled", "budget_tokens": 1024}}, "on"),
        ("/v1/messages", {"thinking": {"type": "adaptive"}}, ""),
        ("/v1/messages", {"output_config": {"effort": "high"}}, ""),
        ("/v1/messages", {"output_config": {"effort": "medium"}}, "medium"),
        (
            "/v1/messages",
            {"output_config": {"effort": "low"}, "thinking": {"type": "disabled"}},
            "off",
        ),
        ("/api/chat", {"think": False}, "off"),
        ("/api/chat", {"think": True}, "on"),
    ],
)
def test_how_much_is_thought_may_be_asked(
    http: TestClient, path: str, body: dict[str, Any], asked: str
) -> None:
    turns: dict[str, Any] = {"input": "?"} if "responses" in path else {"messages": ASKED}
    most = {"max_tokens": 500} if path == "/v1/messages" else {}
    post(http, path, {**body, **turns, **most})
    assert seen[-1].reasoning == asked


def test_a_level_that_the_template_has_not_is_refused_by_name(http: TestClient) -> None:
    body: dict[str, Any] = {"model": "fake", "messages": ASKED, "reasoning_effort": "low"}
    answered = http.post("/v1/chat/completions", json=body)
    assert answered.status_code == 400
    assert "only on and off" in answered.json()["error"]["message"]
    body = {"model": "fake", "messages": ASKED, "max_tokens": 9, "output_config": {"effort": "low"}}
    assert "only on and off" in http.post("/v1/messages", json=body).json()["error"]["message"]
    body = {"model": "fake", "messages": ASKED, "chat_template_kwargs": {"nothing": 1}}
    assert "does not read nothing" in http.post("/v1/chat/completions", json=body).text


def test_what_was_thought_before_comes_back_to_the_template(http: TestClient) -> None:
    spoken: dict[str, Any] = {"role": "assistant", "content": "Fine."}
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("/v1/chat/completions", {"messages": [*ASKED, {**spoken, "reasoning_content": "so"}]}),
        ("/api/chat", {"messages": [*ASKED, {**spoken, "thinking": "so"}]}),
        (
            "/v1/messages",
            {
                "max_tokens": 500,
                "messages": [
                    *ASKED,
                    {
                        "role": "assistant",
                        "content": [
                            {"type": "thinking", "thinking": "so", "signature": ""},
                            {"type": "text", "text": "Fine."},
                        ],
                    },
                    *ASKED,
                ],
            },
        ),
        (
            "/v1/responses",
            {
                "input": [
                    *ASKED,
                    {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "so"}]},
                    spoken,
                    *ASKED,
                ]
            },
        ),
    ]
    for path, body in bodies:
        post(http, path, body)
        assert seen[-1].messages[1].reasoning == "so", path
        assert seen[-1].messages[1].content == "Fine.", path
