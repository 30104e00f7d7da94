"""OpenAI's own Python client, unmodified, against a live server on real weights."""

import json
from typing import Annotated, Any

import httpx
import openai
import pytest
from fastapi import FastAPI
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import BaseModel, Field

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.pool import ModelPool
from gateway.server.app import create_app, service_of
from gateway.server.settings import Settings
from tests.server.conftest import CHAT, TOOLS, real_models, serving
from tests.server.waiting import wait_until

INCLUDE = ["message.output_text.logprobs"]
ASKED: list[ChatCompletionMessageParam] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Name three colours."}]},
]
REMOTE_SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "x", "schema": {"$ref": "http://example.com/schema"}},
}
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 12}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


def test_models_are_listed_and_found_by_name(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [CHAT, TOOLS]
    assert client.models.retrieve(CHAT).id == CHAT


def test_an_unknown_model_is_not_found_and_the_known_ones_are_named(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match=f"known: {CHAT}, {TOOLS}") as caught:
        client.chat.completions.create(model="gpt-4o", messages=ASKED)
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"


def test_an_answer_has_its_usage_and_the_identity_of_what_made_it(
    client: openai.OpenAI, smollm2: LlamaCppBackend
) -> None:
    done = client.chat.completions.create(model=CHAT, messages=ASKED, max_tokens=8)
    assert done.choices[0].finish_reason == "length"
    assert done.usage is not None
    assert done.usage.completion_tokens == 8
    assert done.usage.total_tokens == done.usage.prompt_tokens + 8
    assert done.system_fingerprint is not None
    assert len(done.system_fingerprint) == len(smollm2.fingerprint)


def test_without_a_limit_an_answer_may_fill_the_context() -> None:
    long: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Rain. " * 60}]
    app = create_app(ModelPool(real_models(context_length=256)), Settings(log_requests=False))
    with serving(app) as url, openai.OpenAI(base_url=f"{url}/v1", api_key="none") as client:
        done = client.chat.completions.create(
            model=CHAT, messages=long, logit_bias={"0": -100, "2": -100}, seed=5
        )
    assert done.usage is not None
    assert done.usage.prompt_tokens > 120
    assert done.usage.total_tokens == 256
    assert done.choices[0].finish_reason == "length"


def test_streamed_pieces_join_to_the_whole_answer(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model=CHAT, messages=ASKED, max_tokens=20)
    chunks = list(
        client.chat.completions.create(
            model=CHAT,
            messages=ASKED,
            max_tokens=20,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert [c.choices[0].finish_reason for c in chunks[:-1] if c.choices[0].finish_reason] == [
        whole.choices[0].finish_reason
    ]
    text = "".join(c.choices[0].delta.content or "" for c in chunks[:-1])
    assert text == whole.choices[0].message.content
    assert len(chunks) > 5


def test_several_answers_have_their_places_whether_streamed_or_not(client: openai.OpenAI) -> None:
    options: dict[str, Any] = {"temperature": 1.2, "seed": 3, "n": 3, "max_tokens": 10}
    whole = client.chat.completions.create(model=CHAT, messages=ASKED, **options)
    texts = [choice.message.content for choice in whole.choices]
    assert len(set(texts)) > 1
    streamed = ["", "", ""]
    for chunk in client.chat.completions.create(model=CHAT, messages=ASKED, stream=True, **options):
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
    assert streamed == texts
    fewer = client.chat.completions.create(model=CHAT, messages=ASKED, **{**options, "n": 1})
    assert fewer.choices[0].message.content == texts[0]


def test_log_probabilities_are_the_same_streamed_or_not(client: openai.OpenAI) -> None:
    options: dict[str, Any] = {"max_tokens": 9, "logprobs": True, "top_logprobs": 3}
    whole = client.chat.completions.create(model=CHAT, messages=ASKED, **options)
    logprobs = whole.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert len(logprobs.content) == 9
    data = b"".join(bytes(entry.bytes or []) for entry in logprobs.content)
    assert data.decode() == whole.choices[0].message.content
    assert all(len(entry.top_logprobs) == 3 for entry in logprobs.content)
    streamed = [
        entry
        for chunk in client.chat.completions.create(
            model=CHAT, messages=ASKED, stream=True, **options
        )
        if chunk.choices[0].logprobs
        for entry in chunk.choices[0].logprobs.content or []
    ]
    assert streamed == logprobs.content


def test_a_stop_text_ends_the_answer(client: openai.OpenAI) -> None:
    free = client.chat.completions.create(model=CHAT, messages=ASKED, max_tokens=20)
    text = free.choices[0].message.content or ""
    stop = text[4:7]
    cut = client.chat.completions.create(model=CHAT, messages=ASKED, max_tokens=20, stop=[stop])
    assert cut.choices[0].message.content == text[: text.index(stop)]
    assert cut.choices[0].finish_reason == "stop"


class Colour(BaseModel):
    name: Annotated[str, Field(max_length=12)]
    warm: bool


def test_a_schema_holds_the_answer_and_the_client_parses_it(client: openai.OpenAI) -> None:
    parsed = client.chat.completions.parse(
        model=CHAT, messages=ASKED, response_format=Colour, max_tokens=200
    )
    assert isinstance(parsed.choices[0].message.parsed, Colour)


def test_json_object_lets_only_an_object_out(client: openai.OpenAI) -> None:
    done = client.chat.completions.create(
        model=CHAT, messages=ASKED, response_format={"type": "json_object"}, max_tokens=300
    )
    if done.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(done.choices[0].message.content or ""), dict)
    else:
        assert (done.choices[0].message.content or "").startswith("{")


@pytest.mark.parametrize("choice", ["required", "named"])
def test_an_enforced_tool_is_called_streamed_or_not(client: openai.OpenAI, choice: str) -> None:
    options: dict[str, Any] = {
        "tools": [WEATHER],
        "tool_choice": "required"
        if choice == "required"
        else {"type": "function", "function": {"name": "weather"}},
        "parallel_tool_calls": False if choice == "required" else None,
        "max_tokens": 80,
    }
    done = client.chat.completions.create(model=TOOLS, messages=ASKED, **options)
    message = done.choices[0].message
    assert done.choices[0].finish_reason == "tool_calls"
    assert message.content is None
    assert message.tool_calls is not None
    call = message.tool_calls[0]
    assert call.type == "function"
    assert call.function.name == "weather"
    assert list(json.loads(call.function.arguments)) == ["city"]
    pieces = list(
        client.chat.completions.create(model=TOOLS, messages=ASKED, stream=True, **options)
    )
    calls = [c for p in pieces for c in p.choices[0].delta.tool_calls or []]
    assert [c.id for c in calls] == [call.id]
    assert [c.index for c in calls] == [0]
    assert calls[0].function is not None
    assert calls[0].function.arguments == call.function.arguments
    assert pieces[-1].choices[0].finish_reason == "tool_calls"


def with_one_call(client: openai.OpenAI, model: str) -> ChatCompletion:
    """An answer in which exactly one call is enforced."""
    return client.chat.completions.create(
        model=model,
        messages=ASKED,
        tools=[WEATHER],
        tool_choice="required",
        parallel_tool_calls=False,
        max_tokens=80,
    )


def test_a_called_tool_answers_and_the_conversation_goes_on(client: openai.OpenAI) -> None:
    first = with_one_call(client, TOOLS)
    calls = first.choices[0].message.tool_calls
    assert calls is not None
    said: Any = first.choices[0].message
    done = client.chat.completions.create(
        model=TOOLS,
        messages=[*ASKED, said, {"role": "tool", "tool_call_id": calls[0].id, "content": "rain"}],
        tools=[WEATHER],
        max_tokens=5,
    )
    assert done.usage is not None
    assert first.usage is not None
    assert done.usage.prompt_tokens > first.usage.prompt_tokens


def test_tools_that_the_template_does_not_show_are_in_the_system_message(
    client: openai.OpenAI,
) -> None:
    plain = client.chat.completions.create(model=CHAT, messages=ASKED, max_tokens=1)
    done = with_one_call(client, CHAT)
    (call,) = done.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert set(json.loads(call.function.arguments)) == {"city"}
    assert done.choices[0].finish_reason == "tool_calls"
    assert plain.usage is not None
    assert done.usage is not None
    assert done.usage.prompt_tokens > plain.usage.prompt_tokens + 50


@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        ("temperature", 3, "temperature"),
        ("max_tokens", 0, "max_tokens"),
        ("n", 1000, "n"),
        ("seed", -1, "seed"),
        ("logit_bias", {"99999999": 1}, "logit_bias"),
        ("logit_bias", {"x": 1}, "logit_bias"),
        ("stop", [""], "stop"),
        ("top_p", 0, "top_p"),
        ("reasoning_effort", "low", "reasoning_effort"),
        ("best_guess", True, "best_guess"),
        ("messages", [{"role": "user", "content": [{"type": "image_url"}]}], "messages"),
        ("messages", [{"role": "owl", "content": "Hu"}], "messages[0].role"),
        ("response_format", REMOTE_SCHEMA, "response_format"),
    ],
)
def test_a_field_that_can_not_be_honoured_is_refused_by_name(
    client: openai.OpenAI, field: str, value: object, param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model=CHAT, messages=ASKED, extra_body={"max_tokens": 4, field: value}
        )
    assert caught.value.type == "invalid_request_error"
    assert (caught.value.param or "").startswith(param)


def test_a_prompt_that_does_not_fit_is_refused_and_the_next_one_answered(
    client: openai.OpenAI,
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model=CHAT, messages=[{"role": "user", "content": "word " * 5000}]
        )
    assert caught.value.code == "context_length_exceeded"
    done = client.chat.completions.create(model=CHAT, messages=ASKED, max_tokens=1)
    assert done.choices[0].finish_reason == "length"


def test_legacy_completions_take_texts_and_tokens(client: openai.OpenAI, url: str) -> None:
    by_text = client.completions.create(model=CHAT, prompt="The sea is", max_tokens=6, logprobs=2)
    assert by_text.choices[0].logprobs is not None
    assert by_text.choices[0].logprobs.tokens is not None
    assert "".join(by_text.choices[0].logprobs.tokens) == by_text.choices[0].text
    asked = {"model": CHAT, "text": "The sea is"}
    ids = httpx.post(f"{url}/tokenize", json=asked).json()["tokens"]
    by_tokens = client.completions.create(
        model=CHAT, prompt=[ids, ids], max_tokens=6, logprobs=2, echo=False
    )
    assert [c.text for c in by_tokens.choices] == [by_text.choices[0].text] * 2
    echoed = client.completions.create(model=CHAT, prompt="The sea is", max_tokens=6, echo=True)
    assert echoed.choices[0].text == "The sea is" + by_text.choices[0].text


def test_a_legacy_stream_joins_to_the_whole_answer(client: openai.OpenAI) -> None:
    whole = client.completions.create(model=CHAT, prompt=["The sea", "A tree"], max_tokens=9)
    pieces = ["", ""]
    for chunk in client.completions.create(
        model=CHAT, prompt=["The sea", "A tree"], max_tokens=9, stream=True
    ):
        for choice in chunk.choices:
            pieces[choice.index] += choice.text
    assert pieces == [choice.text for choice in whole.choices]


def test_embeddings_are_equal_in_both_encodings(client: openai.OpenAI) -> None:
    texts = ["a red apple", "quantum field theory"]
    as_base64 = client.embeddings.create(model=CHAT, input=texts)
    as_floats = client.embeddings.create(model=CHAT, input=texts, encoding_format="float")
    for a, b in zip(as_base64.data, as_floats.data, strict=True):
        assert a.embedding == pytest.approx(b.embedding, rel=1e-6)
        assert sum(x * x for x in b.embedding) == pytest.approx(1.0, rel=1e-5)
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model=CHAT, input="x", dimensions=10_000)
    assert caught.value.param == "dimensions"


def test_responses_answer_in_one_piece_or_as_events(client: openai.OpenAI) -> None:
    done = client.responses.create(
        model=CHAT, instructions="Be brief.", input="Name three colours.", max_output_tokens=9
    )
    assert done.status == "incomplete"
    assert done.usage is not None
    assert done.usage.output_tokens == 9
    chat = client.chat.completions.create(model=CHAT, messages=ASKED, max_tokens=9)
    assert done.output_text == chat.choices[0].message.content
    with client.responses.stream(
        model=CHAT, instructions="Be brief.", input="Name three colours.", max_output_tokens=9
    ) as stream:
        events = list(stream)
    assert [e.sequence_number for e in events] == list(range(len(events)))
    texts = [e.delta for e in events if e.type == "response.output_text.delta"]
    assert "".join(texts) == done.output_text
    assert events[-1].type == "response.incomplete"


@pytest.mark.parametrize(("more", "count"), [({"include": INCLUDE}, 0), ({"top_logprobs": 2}, 2)])
def test_responses_tell_log_probabilities_as_chat_does(
    client: openai.OpenAI, more: dict[str, Any], count: int
) -> None:
    chat = client.chat.completions.create(
        model=CHAT, messages=ASKED, max_tokens=6, logprobs=True, top_logprobs=count
    )
    assert chat.choices[0].logprobs is not None
    told = [each.model_dump() for each in chat.choices[0].logprobs.content or []]
    told_to = {"instructions": "Be brief.", "input": "Name three colours."}
    asked: Any = {"model": CHAT, **told_to, "max_output_tokens": 6, **more}
    done = client.responses.create(**asked)
    assert done.top_logprobs == count
    assert logprobs_of(done) == told
    events: list[Any] = list(client.responses.create(**asked, stream=True))
    pieces = [e.logprobs for e in events if e.type == "response.output_text.delta"]
    assert [each.model_dump() for piece in pieces for each in piece] == told
    assert logprobs_of(events[-1].response) == told


def test_responses_tell_none_where_none_are_asked_for(client: openai.OpenAI) -> None:
    include: Any = ["reasoning.encrypted_content", "web_search_call.results"]
    done = client.responses.create(model=CHAT, input="Hi", max_output_tokens=2, include=include)
    assert logprobs_of(done) == []


def logprobs_of(done: Any) -> list[Any]:
    """Of the one text of an answer."""
    return [each.model_dump() for each in done.output[0].content[0].logprobs]


def test_responses_hold_a_schema(client: openai.OpenAI) -> None:
    parsed = client.responses.parse(
        model=CHAT, input="Name a colour.", text_format=Colour, max_output_tokens=200
    )
    assert isinstance(parsed.output_parsed, Colour)


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


UNREADABLE: dict[str, dict[str, Any]] = {
    "deep": nested(150),
    "deeper": nested(300),
    "a lone surrogate": {"type": "object", "properties": {"\ud800": {"type": "string"}}},
    "no type": {"type": "colour"},
    "a missing definition": {"$ref": "#/$defs/Nothing"},
    "a pattern that is none": {"type": "string", "pattern": "("},
}


@pytest.mark.parametrize("name", UNREADABLE)
@pytest.mark.parametrize("place", ["response_format", "tools"])
def test_a_schema_that_can_not_be_enforced_is_refused_by_name(
    url: str, client: openai.OpenAI, name: str, place: str
) -> None:
    schema = UNREADABLE[name]
    body: dict[str, Any] = {"model": TOOLS, "messages": ASKED, "max_tokens": 4}
    if place == "tools":
        function = {"name": "f", "parameters": schema}
        body |= {"tools": [{"type": "function", "function": function}], "tool_choice": "required"}
    else:
        form = {"name": "f", "schema": schema, "strict": True}
        body |= {"response_format": {"type": "json_schema", "json_schema": form}}
    headers = {"content-type": "application/json"}
    answer = httpx.post(
        f"{url}/v1/chat/completions", content=json.dumps(body), headers=headers, timeout=60
    )
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"].startswith(place)
    done = client.chat.completions.create(model=CHAT, messages=ASKED, max_tokens=1)
    assert done.choices[0].finish_reason == "length"


def test_a_stream_that_is_closed_frees_its_sequence(app: FastAPI, client: openai.OpenAI) -> None:
    admission = service_of(app).admission
    streams = [
        client.chat.completions.create(
            model=CHAT,
            messages=[{"role": "user", "content": f"Story {number}"}],
            stream=True,
            logit_bias={"0": -100, "2": -100},
        )
        for number in range(4)
    ]
    for stream in streams:
        next(iter(stream))
    assert admission.running == 4
    for stream in streams:
        stream.close()
    wait_until(lambda: admission.running == 0)
    done = client.chat.completions.create(model=CHAT, messages=ASKED, max_tokens=1)
    assert done.choices[0].finish_reason == "length"
