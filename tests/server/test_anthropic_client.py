"""Anthropic's own Python client, unmodified, against a live server on real weights."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import anthropic
import pytest
from anthropic import beta_tool
from anthropic.types import MessageParam, ToolParam
from fastapi import FastAPI
from pydantic import BaseModel

from gateway.server.app import service_of
from tests.server.conftest import CHAT, TOOLS
from tests.server.waiting import wait_until

HELLO: list[MessageParam] = [{"role": "user", "content": "Hello, Claude"}]
WEATHER: ToolParam = {
    "name": "get_weather",
    "description": "Get the current weather in a given location",
    "input_schema": {
        "type": "object",
        "properties": {"location": {"type": "string", "maxLength": 12}},
        "required": ["location"],
    },
}


class Contact(BaseModel):
    vip: bool
    known: bool | None = None


@pytest.fixture(scope="module")
def claude(url: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=url, api_key="none", max_retries=0) as made:
        yield made


def test_a_stream_is_the_whole_answer(claude: anthropic.Anthropic) -> None:
    whole = claude.messages.create(model=CHAT, max_tokens=8, messages=HELLO)
    with claude.messages.stream(model=CHAT, max_tokens=8, messages=HELLO) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert whole.content[0].type == final.content[0].type == "text"
    assert whole.content[0].text == final.content[0].text == text
    assert (final.stop_reason, final.usage) == (whole.stop_reason, whole.usage)


def test_tokens_are_counted_as_an_answer_counts_them(claude: anthropic.Anthropic) -> None:
    counted = claude.messages.count_tokens(model=CHAT, messages=HELLO, tools=[WEATHER])
    done = claude.messages.create(model=CHAT, max_tokens=1, messages=HELLO, tools=[WEATHER])
    assert counted.input_tokens == done.usage.input_tokens


@pytest.mark.parametrize("model", [CHAT, TOOLS])
def test_a_tool_is_called_and_answered(claude: anthropic.Anthropic, model: str) -> None:
    first = claude.messages.create(
        model=model,
        max_tokens=80,
        tools=[WEATHER],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        messages=HELLO,
    )
    (call,) = first.content
    assert call.type == "tool_use"
    turns: list[MessageParam] = [
        *HELLO,
        {"role": "assistant", "content": first.content},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "rain"}],
        },
    ]
    then = claude.messages.create(model=model, max_tokens=4, tools=[WEATHER], messages=turns)
    assert then.content


def test_the_runner_of_tools_ends_its_loop(claude: anthropic.Anthropic) -> None:
    @beta_tool
    def add(a: int, b: int) -> str:
        """Add two numbers.

        Args:
            a: The first number.
            b: The second number.
        """
        return str(a + b)

    runner = claude.beta.messages.tool_runner(
        model=CHAT, max_tokens=8, tools=[add], messages=[{"role": "user", "content": "9 + 10?"}]
    )
    assert runner.until_done().stop_reason == "max_tokens"


def test_an_answer_is_parsed_into_its_model(claude: anthropic.Anthropic) -> None:
    done = claude.messages.parse(model=CHAT, max_tokens=200, messages=HELLO, output_format=Contact)
    assert isinstance(done.parsed_output, Contact)


def test_errors_are_the_client_s_own(claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="no model is called"):
        claude.messages.create(model="claude-none", max_tokens=1, messages=HELLO)
    with pytest.raises(anthropic.BadRequestError, match="images are not read"):
        claude.messages.create(
            model=CHAT,
            max_tokens=1,
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "image", "source": {"type": "url", "url": "http://a.example"}}
                    ],
                }
            ],
        )


def test_what_a_coding_agent_sends_is_answered(claude: anthropic.Anthropic) -> None:
    """Long system blocks with cache marks, many tools, no thinking, metadata, beta headers."""
    tools: list[ToolParam] = [{**WEATHER, "name": f"tool_{n}"} for n in range(8)]
    tools[-1]["cache_control"] = {"type": "ephemeral"}
    with claude.beta.messages.stream(
        model=CHAT,
        max_tokens=6,
        betas=["claude-code-20250219", "interleaved-thinking-2025-05-14"],
        metadata={"user_id": json.dumps({"session": "x"})},
        thinking={"type": "disabled"},
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        system=[
            {"type": "text", "text": "You are an agent.", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "Be brief. " * 20, "cache_control": {"type": "ephemeral"}},
        ],
        tools=tools,
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "<system-reminder>none</system-reminder>"},
                    {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}},
                ],
            }
        ],
    ) as stream:
        assert stream.get_final_message().stop_reason == "max_tokens"


def test_a_stream_that_is_left_frees_its_place(app: FastAPI, claude: anthropic.Anthropic) -> None:
    with claude.messages.stream(model=CHAT, max_tokens=2000, messages=HELLO) as stream:
        next(iter(stream))
    wait_until(lambda: service_of(app).admission.running == 0)


def test_many_clients_get_the_bytes_that_one_gets(url: str, claude: anthropic.Anthropic) -> None:
    def ask(_: int) -> list[object]:
        with anthropic.Anthropic(base_url=url, api_key="none") as own:
            return [*own.messages.create(model=CHAT, max_tokens=6, messages=HELLO).content]

    alone = [*claude.messages.create(model=CHAT, max_tokens=6, messages=HELLO).content]
    with ThreadPoolExecutor(20) as threads:
        assert list(threads.map(ask, range(20))) == [alone] * 20


def test_models_are_listed_as_anthropic_lists_them(claude: anthropic.Anthropic) -> None:
    found = list(claude.models.list())
    assert {CHAT, TOOLS} <= {model.id for model in found}
    one = claude.models.retrieve(CHAT)
    assert one in found
    assert (one.type, one.display_name, one.created_at.year) == ("model", CHAT, 1970)
