"""Function tools of /v1/responses, by OpenAI's own client on real weights."""

import json
from typing import Any, cast

import openai
import pytest

from tests.server.conftest import CHAT

pytestmark = pytest.mark.needs("llama_cpp")

WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "The weather in a city",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 12}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
ASKED: Any = {
    "model": CHAT,
    "input": "What is the weather in Rome?",
    "tools": [WEATHER],
    "tool_choice": "required",
    "parallel_tool_calls": False,
    "max_output_tokens": 80,
}


def test_a_call_and_what_it_gave_are_items(client: openai.OpenAI) -> None:
    first = client.responses.create(**ASKED)
    (call,) = first.output
    assert call.type == "function_call"
    assert call.name == "weather"
    assert set(json.loads(call.arguments)) == {"city"}
    assert (first.status, first.error, first.store) == ("completed", None, False)
    assert first.output_text == ""
    turns: Any = [
        {"role": "user", "content": ASKED["input"]},
        *[item.model_dump() for item in first.output],
        {"type": "function_call_output", "call_id": call.call_id, "output": "rain"},
    ]
    then = client.responses.create(model=CHAT, input=turns, tools=[WEATHER], max_output_tokens=5)
    assert then.usage is not None
    assert first.usage is not None
    assert then.usage.input_tokens > first.usage.input_tokens


def test_a_streamed_call_is_the_whole_one_in_order(client: openai.OpenAI) -> None:
    whole = client.responses.create(**ASKED)
    events = list(cast(Any, client.responses.create(**ASKED, stream=True)))
    kinds = [event.type for event in events]
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[2].item.status == "in_progress"
    assert events[-1].response.output == whole.output


def test_further_calls_may_follow_the_first(client: openai.OpenAI) -> None:
    (only,) = client.responses.create(**ASKED).output
    several = {**ASKED, "parallel_tool_calls": True, "max_output_tokens": 60}
    whole: Any = client.responses.create(**several)
    assert whole.output[0].arguments == cast(Any, only).arguments
    *_, last = cast(Any, client.responses.create(**several, stream=True))
    assert (last.response.output, last.response.status) == (whole.output, whole.status)


def test_without_a_call_the_message_is_streamed_as_before(client: openai.OpenAI) -> None:
    asked = {**ASKED, "tool_choice": "none", "max_output_tokens": 6}
    whole = client.responses.create(**asked)
    events = list(cast(Any, client.responses.create(**asked, stream=True)))
    kinds = list(dict.fromkeys(event.type for event in events))
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.incomplete",
    ]
    deltas = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert deltas == whole.output_text
    assert events[-1].response.output[0].content == cast(Any, whole.output[0]).content


def test_the_tokens_of_a_prompt_are_counted_as_an_answer_counts_them(client: openai.OpenAI) -> None:
    asked = {key: ASKED[key] for key in ("model", "input", "tools", "tool_choice")}
    counted = client.responses.input_tokens.count(**asked)
    answered = client.responses.create(**{**ASKED, "max_output_tokens": 1})
    assert answered.usage is not None
    assert counted.input_tokens == answered.usage.input_tokens


def test_a_function_in_a_namespace_is_enforced_by_both_names(client: openai.OpenAI) -> None:
    tools = [{"type": "namespace", "name": "sky", "description": "The sky.", "tools": [WEATHER]}]
    choice = {"type": "function", "name": "weather", "namespace": "sky"}
    asked: Any = {**ASKED, "tools": tools, "tool_choice": choice}
    (call,) = client.responses.create(**asked).output
    assert call.type == "function_call"
    assert (call.namespace, call.name) == ("sky", "weather")
    assert set(json.loads(call.arguments)) == {"city"}
    with pytest.raises(openai.BadRequestError, match="no tool is called 'weather'"):
        client.responses.create(**{**asked, "tool_choice": {**choice, "namespace": None}})
