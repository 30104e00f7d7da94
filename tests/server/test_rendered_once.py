"""A served request reads its prompt once, though it is asked for to bound the answer and to give
it."""

from typing import Any

import httpx
import pytest

from gateway.engine.reader import Reader
from tests.server.conftest import CHAT, TOOLS

pytestmark = pytest.mark.needs("llama_cpp")

TOOL: dict[str, Any] = {"type": "object", "properties": {"x": {"type": "string"}}}
ASKED: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", {"messages": [], "max_tokens": 2, "n": 3}),
    ("/v1/chat/completions", {"messages": [], "max_tokens": 2, "stream": True}),
    ("/v1/completions", {"prompt": "", "max_tokens": 2, "n": 2, "echo": True}),
    ("/v1/responses", {"input": "", "max_output_tokens": 2}),
    ("/v1/messages", {"messages": [], "max_tokens": 2}),
    (
        "/v1/messages",
        {
            "model": TOOLS,
            "messages": [],
            "max_tokens": 2,
            "stream": True,
            "tools": [{"name": "f", "input_schema": TOOL}],
        },
    ),
    ("/api/chat", {"messages": [], "options": {"num_predict": 2}}),
    ("/api/generate", {"prompt": "", "options": {"num_predict": 2}}),
]


@pytest.mark.parametrize("number", range(len(ASKED)))
def test_a_prompt_is_rendered_once(url: str, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    rendered: list[Any] = []
    whole = Reader._render

    def counted(reader: Reader, request: Any) -> Any:
        rendered.append(request)
        return whole(reader, request)

    monkeypatch.setattr(Reader, "_render", counted)
    path, body = ASKED[number]
    text = f"Door number {number}"  # no other one's
    turns = {"messages": [{"role": "user", "content": text}]} if "messages" in body else {}
    texts = {key: text for key in ("prompt", "input") if key in body}
    answered = httpx.post(url + path, json={"model": CHAT, **body, **turns, **texts}, timeout=60)
    assert answered.status_code == 200, answered.text
    assert len(rendered) == 1
