"""Ollama's own Python client, unmodified, against a live server on real weights."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import ollama
import pytest
from fastapi import FastAPI

from gateway.server.app import service_of
from tests.server.conftest import CHAT, TOOLS
from tests.server.waiting import wait_until

ASKED = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Name three colours."},
]
STORY = [{"role": "user", "content": "Write a long story."}]
SHORT = {"num_predict": 8}
COLOUR = {
    "type": "object",
    "properties": {"colour": {"type": "string", "enum": ["red", "blue"]}},
    "required": ["colour"],
    "additionalProperties": False,
}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[ollama.Client]:
    with ollama.Client(url) as made:
        yield made


def test_an_answer_has_its_reason_counts_and_durations(client: ollama.Client) -> None:
    done = client.chat(CHAT, ASKED, options=SHORT)
    assert done.message.role == "assistant"
    assert done.message.content
    assert (done.done, done.done_reason, done.eval_count) == (True, "length", 8)
    assert done.prompt_eval_count is not None
    assert done.prompt_eval_count > 8
    parts = (done.load_duration, done.prompt_eval_duration, done.eval_duration)
    assert all(part is not None and part > 0 for part in parts)
    assert done.total_duration is not None
    assert done.total_duration >= sum(part or 0 for part in parts)


def test_an_answer_that_the_model_ends_says_stop(client: ollama.Client) -> None:
    assert client.chat(CHAT, ASKED, format=COLOUR).done_reason == "stop"


def test_streamed_pieces_join_to_the_whole_answer(client: ollama.Client) -> None:
    whole = client.chat(CHAT, ASKED, options={"num_predict": 20})
    parts = list(client.chat(CHAT, ASKED, options={"num_predict": 20}, stream=True))
    assert "".join(part.message.content or "" for part in parts) == whole.message.content
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    assert len(parts) > 5
    counted = ("done_reason", "prompt_eval_count", "eval_count")
    assert [parts[-1][key] for key in counted] == [whole[key] for key in counted]


def test_generate_with_a_system_text_is_chat_with_a_system_turn(client: ollama.Client) -> None:
    chat = client.chat(CHAT, ASKED, options=SHORT)
    whole = client.generate(CHAT, "Name three colours.", system="Be brief.", options=SHORT)
    parts = client.generate(
        CHAT, "Name three colours.", system="Be brief.", options=SHORT, stream=True
    )
    assert whole.response == chat.message.content
    assert "".join(part.response or "" for part in parts) == whole.response


def test_log_probabilities_are_the_same_streamed_or_not(client: ollama.Client) -> None:
    asked: dict[str, Any] = {"options": SHORT, "logprobs": True, "top_logprobs": 3}
    whole = client.chat(CHAT, ASKED, **asked).logprobs
    assert whole is not None
    assert len(whole) == 8
    assert all(len(entry.top_logprobs or ()) == 3 for entry in whole)
    parts = client.chat(CHAT, ASKED, stream=True, **asked)
    assert [entry for part in parts for entry in part.logprobs or ()] == list(whole)


def test_without_top_logprobs_an_entry_has_no_alternatives(client: ollama.Client) -> None:
    entries = client.generate(CHAT, "Hi", options=SHORT, logprobs=True).logprobs
    assert entries
    assert all(entry.top_logprobs is None for entry in entries)


def test_a_schema_holds_the_answer(client: ollama.Client) -> None:
    said = client.chat(CHAT, ASKED, format=COLOUR).message.content
    assert json.loads(said or "")["colour"] in ("red", "blue")
    said = client.generate(CHAT, "Red or blue?", format=COLOUR).response
    assert json.loads(said or "")["colour"] in ("red", "blue")


def test_the_format_json_lets_only_an_object_out(client: ollama.Client) -> None:
    done = client.chat(CHAT, ASKED, format="json", options={"num_predict": 200})
    text = done.message.content or ""
    assert text.startswith("{")
    if done.done_reason == "stop":
        assert isinstance(json.loads(text), dict)


def test_a_stop_text_ends_the_answer(client: ollama.Client) -> None:
    text = client.chat(CHAT, ASKED, options=SHORT).message.content or ""
    stop = text[4:7]
    cut = client.chat(CHAT, ASKED, options={**SHORT, "stop": [stop]})
    assert cut.message.content == text[: text.index(stop)]
    assert cut.done_reason == "stop"


@pytest.mark.parametrize("options", [{}, {"num_predict": -1}, {"num_predict": 1000}])
def test_num_ctx_limits_prompt_and_answer_together(
    client: ollama.Client, options: dict[str, int]
) -> None:
    done = client.chat(CHAT, STORY, options={**options, "num_ctx": 64})
    assert (done.prompt_eval_count or 0) + (done.eval_count or 0) == 64
    assert done.done_reason == "length"


def test_a_prompt_larger_than_num_ctx_is_refused_and_not_cut(client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError, match="context") as caught:
        client.generate(CHAT, "word " * 100, options={"num_ctx": 64})
    assert caught.value.status_code == 400


def test_a_num_ctx_above_the_model_s_context_is_an_upper_bound(client: ollama.Client) -> None:
    shown = client.show(CHAT).modelinfo or {}
    assert shown["llama.context_length"] == 2048
    options = {"num_predict": 4}
    plain = client.generate(CHAT, "Hi", options=options)
    assert client.generate(CHAT, "Hi", options={**options, "num_ctx": 8192}).response == (
        plain.response
    )
    assert client.generate(CHAT, "", options={"num_ctx": 8192}).done_reason == "load"


def test_a_name_with_the_tag_latest_is_the_same_model(client: ollama.Client) -> None:
    plain = client.chat(CHAT, ASKED, options=SHORT)
    tagged = client.chat(f"{CHAT}:latest", ASKED, options=SHORT)
    assert tagged.message == plain.message
    assert tagged.model == f"{CHAT}:latest"


def test_an_unknown_model_is_not_found_whatever_is_asked_of_it(client: ollama.Client) -> None:
    for name in ("nosuch", "nosuch:latest", f"{CHAT}:q4", f"{CHAT}:latest:latest"):
        asked: list[Callable[[], object]] = [
            partial(client.chat, name, ASKED),
            partial(list, client.chat(name, ASKED, stream=True)),
            partial(client.generate, name, "Hi"),
            partial(client.embed, name, "Hi"),
            partial(client.embeddings, name, "Hi"),
            partial(client.show, name),
        ]
        for ask in asked:
            with pytest.raises(ollama.ResponseError) as caught:
                ask()
            assert caught.value.status_code == 404
            assert caught.value.error == f"model '{name}' not found"


@pytest.fixture
def whole(whole_url: str) -> Iterator[ollama.Client]:
    with ollama.Client(whole_url) as made:
        yield made


def test_a_tool_is_shown_and_its_call_read_back_streamed_or_not(whole: ollama.Client) -> None:
    turns: list[dict[str, Any]] = []
    for city, sky in (("Rome", "sun"), ("Oslo", "snow"), ("Bern", "fog")):
        call = {"function": {"name": "weather", "arguments": {"city": city}}}
        turns += [
            {"role": "user", "content": f"What is the weather in {city}?"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_name": "weather", "content": sky},
            {"role": "assistant", "content": sky},
        ]
    turns.append({"role": "user", "content": "What is the weather in Paris?"})
    asked: dict[str, Any] = {"tools": [WEATHER], "options": {"num_predict": 60}}
    done = whole.chat(TOOLS, turns, **asked)
    assert done.message.tool_calls
    called = done.message.tool_calls[0].function
    assert (called.name, called.arguments) == ("weather", {"city": "Paris"})
    parts = list(whole.chat(TOOLS, turns, stream=True, **asked))
    calls = [call for part in parts for call in part.message.tool_calls or ()]
    assert calls == list(done.message.tool_calls)
    assert "".join(part.message.content or "" for part in parts) == done.message.content
    assert parts[-1].done


def test_tools_that_the_template_does_not_show_are_in_the_system_message(
    client: ollama.Client,
) -> None:
    options = {"num_predict": 1}
    plain = client.chat(CHAT, ASKED, options=options)
    shown = client.chat(CHAT, ASKED, tools=[WEATHER], options=options)
    assert (shown.prompt_eval_count or 0) > (plain.prompt_eval_count or 0) + 50
    assert "tools" in (client.show(CHAT).capabilities or [])


def test_a_tool_may_answer_though_the_client_left_the_call_out(client: ollama.Client) -> None:
    turns = [*ASKED, {"role": "tool", "tool_name": "weather", "content": "rain"}]
    done = client.chat(TOOLS, turns, options={"num_predict": 1})
    assert done.eval_count == 1


def test_vectors_are_of_unit_length_and_the_same_alone_or_with_others(
    client: ollama.Client,
) -> None:
    both = client.embed(CHAT, ["The harbour was quiet.", "Two boats came in."])
    assert len(both.embeddings) == 2
    assert all(abs(sum(x * x for x in vector) - 1) < 1e-5 for vector in both.embeddings)
    alone = client.embed(CHAT, "Two boats came in.")
    assert list(alone.embeddings[0]) == list(both.embeddings[1])
    assert list(client.embeddings(CHAT, "Two boats came in.").embedding) == list(both.embeddings[1])
    assert (both.prompt_eval_count or 0) > (alone.prompt_eval_count or 0) > 0
    assert list(client.embed(CHAT, []).embeddings) == []


def test_texts_that_can_not_be_embedded_as_asked_are_refused(client: ollama.Client) -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({"input": "word " * 3000}, "exceeds the context length"),
        ({"input": "word " * 100, "options": {"num_ctx": 64}}, "exceeds the context length"),
        ({"input": "word " * 3000, "truncate": True}, "exceeds the context length"),
        ({"input": "Hi", "dimensions": 10_000}, "dimensions"),
        ({"input": "Hi", "options": {"temperature": 1}}, "options"),
        ({"input": [""]}, "empty"),
    ]
    for asked, said in refused:
        with pytest.raises(ollama.ResponseError, match=said) as caught:
            client.embed(CHAT, **asked)
        assert caught.value.status_code == 400


def test_models_are_not_changed_by_clients(client: ollama.Client) -> None:
    asked: list[Callable[[], object]] = [
        partial(client.pull, "x"),
        partial(list, client.pull("x", stream=True)),
        partial(client.push, "x"),
        partial(client.create, "x", from_=CHAT),
        partial(client.copy, CHAT, "x"),
        partial(client.delete, CHAT),
    ]
    for ask in asked:
        with pytest.raises(ollama.ResponseError, match="is not enabled on this server") as caught:
            ask()
        assert caught.value.status_code == 403


@pytest.mark.parametrize("kind", ["chat", "generate"])
def test_a_client_that_stops_reading_frees_the_work(
    client: ollama.Client, app: FastAPI, kind: str
) -> None:
    admission = service_of(app).admission
    parts: Any = (
        client.chat(CHAT, STORY, options={"num_predict": 1500}, stream=True)
        if kind == "chat"
        else client.generate(CHAT, "Write a long story.", stream=True)
    )
    next(parts)
    assert admission.running == 1
    parts.close()
    wait_until(lambda: admission.running == 0)
    assert client.chat(CHAT, ASKED, options=SHORT).done
