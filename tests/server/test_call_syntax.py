"""Calls in a family's own form: streamed as the whole is read, and enforced."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import InvalidRequest
from gateway.core.types import Completion, GenerationRequest, Message, Reasoning, Tool, Usage
from gateway.models.families.calls import SYNTAXES, syntax_named
from gateway.server.tools import Offer, Telling, enforcement, read, with_offer

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "unit": {"type": "string", "enum": ["C", "F"]},
    },
    "required": ["city"],
}
WEATHER, OTHER = Tool("weather", "", json.dumps(SCHEMA)), Tool("other")
CALLS = {
    "functions": "<tool_call>\n<function=weather>\n<parameter=city>\nRome\n</parameter>\n"
    "</function>\n</tool_call>",
    "arguments": "<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Rome</arg_value>\n"
    "</tool_call>",
    "mistral-named": '[TOOL_CALLS]weather[ARGS]{"city": "Rome"}',
    "bare": '{"name": "weather", "parameters": {"city": "Rome"}}',
    "channels": '<|channel|>commentary to=functions.weather json<|message|>{"city": "Rome"}',
}


def completion(text: str, thought: Reasoning | None = None) -> Completion:
    return Completion(text, (), "stop", Usage(1, 1), "f", reasoning=thought)


@pytest.mark.parametrize("form", CALLS)
@settings(max_examples=20, deadline=None, derandomize=True)
@given(said=st.text(st.sampled_from("ab <[{t"), max_size=12), size=st.integers(1, 9))
def test_a_stream_tells_what_the_whole_answer_says(form: str, said: str, size: int) -> None:
    text = CALLS[form] if form == "bare" else said + CALLS[form]
    offer = Offer((WEATHER,), syntax=form)
    done = completion(text)
    whole = read(done, offer, "salt")
    telling = Telling(offer, opened=False)
    told = [telling.add(text[at : at + size]) for at in range(0, len(text), size)]
    told.append(telling.rest(done, whole))
    assert "".join(each.content for each in told) == whole.content
    assert [json.loads(call.arguments) for call in whole.calls] == [{"city": "Rome"}]


def test_a_call_that_a_thought_mentions_is_none() -> None:
    for form, call in CALLS.items():
        done = completion(f"<think>{call}</think>No.", Reasoning(call, "No."))
        said = read(done, Offer((WEATHER,), syntax=form), "salt")
        assert (said.content, said.calls, said.thought) == ("No.", (), call)


@pytest.mark.needs("llguidance")
@pytest.mark.parametrize("form", [each.name for each in SYNTAXES])
def test_one_tool_is_enforced_in_the_form_or_refused_by_name(form: str) -> None:
    from gateway.engine.constraints import grammar_of

    offer = Offer((WEATHER, OTHER), enforced=True, name="weather", syntax=form)
    syntax = syntax_named(form)
    if not syntax.before and form not in ("hermes", "bare"):
        with pytest.raises(InvalidRequest, match="cannot be enforced"):
            enforcement(offer)
        return
    start, constraint = enforcement(offer)
    assert grammar_of(constraint)
    written = {
        "hermes": '{"name": "weather", "arguments": {"city": "Rome"}}',
        "bare": CALLS["bare"],
        "functions": "<parameter=city>\nRome\n</parameter>\n</function>\n</tool_call>",
        "arguments": "<arg_key>city</arg_key>\n<arg_value>Rome</arg_value>\n</tool_call>",
    }.get(form, '{"city": "Rome"}')
    said = read(completion(written), offer, "salt")
    assert [(c.name, json.loads(c.arguments)) for c in said.calls] == [
        ("weather", {"city": "Rome"})
    ], start + written


@pytest.mark.needs("llguidance")
def test_a_grammar_of_tags_lets_out_what_the_schema_says() -> None:
    import llguidance

    from gateway.engine.constraints import grammar_of

    _, constraint = enforcement(Offer((WEATHER,), enforced=True, syntax="functions"))
    grammar = grammar_of(constraint)
    tokenizer = llguidance.LLTokenizer("byte")

    def accepts(text: str) -> bool:
        matcher = llguidance.LLMatcher(tokenizer, grammar)
        ids = tokenizer.tokenize_str(text)
        return bool(matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting())

    city = "<parameter=city>\nRome\nItaly\n</parameter>\n"
    end = "</function>\n</tool_call>"
    assert accepts(city + end)
    more = "<parameter=days>\n3\n</parameter>\n<parameter=unit>\nC\n</parameter>\n"
    assert accepts(city + more + end)
    for wrong in (end, f"{city}<parameter=days>\nmany\n</parameter>\n{end}", city):
        assert not accepts(wrong)


def test_several_tools_in_a_form_that_names_one_are_refused() -> None:
    request = GenerationRequest("m", (Message("user", "?"),))
    offer = Offer((WEATHER, OTHER), enforced=True, syntax="functions")
    with pytest.raises(InvalidRequest, match="one of several tools"):
        with_offer(request, offer, "template")
    one = Offer((WEATHER,), enforced=True, syntax="functions")
    asked = with_offer(request, one, "template")
    assert asked.answer_start == "<tool_call>\n<function=weather>\n"
    assert asked.answer_markup
