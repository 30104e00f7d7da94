"""Calls in a family's own form: streamed as the whole is read, sent back, and enforced."""

import json
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.errors import InvalidRequest
from gateway.core.types import Completion, GenerationRequest, Message, Tool, ToolCall, Usage
from gateway.models.families.calls import syntax_named
from gateway.models.reasoning import part
from gateway.server.tools import Offer, Telling, enforcement, read, with_offer
from tests.support.call_forms import FORMS, GIVEN, TOOL, arguments, rendered

OTHER = Tool("other")
NOT_ENFORCED = {"elements", "gemma", "function-gemma", "solar", "functools"}


def completion(text: str, *, opened: bool = False) -> Completion:
    return Completion(text, (), "stop", Usage(1, 1), "f", reasoning=part(text, opened=opened))


words = st.text(st.sampled_from("ab <[{t|c\n>A]"), max_size=12)
thoughts = st.sampled_from(
    ["", "<think>CALL</think>\n\n", "<think>a\n", "<|channel|>analysis<|message|>CALL<|end|>"]
)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_a_stream_tells_what_the_whole_answer_says(form: str, data: st.DataObject) -> None:
    calls = data.draw(st.lists(arguments, max_size=2))
    call = rendered(form, calls) if calls else ""
    thought = data.draw(thoughts).replace("CALL", call)
    header = data.draw(st.sampled_from(["", syntax_named(form).header]))
    text = thought + header + data.draw(words) + call + data.draw(words)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=9)) | {0, len(text)})
    opened = data.draw(st.booleans())
    offer = Offer((TOOL,), syntax=form)
    done = completion(text, opened=opened)
    whole = read(done, offer)
    telling = Telling(offer, opened=opened)
    told = [telling.add(text[a:b]) for a, b in pairwise(cuts)]
    told.append(telling.rest(done, whole))
    assert "".join(each.content for each in told) == whole.content
    assert "".join(each.thought for each in told) == whole.thought


@pytest.mark.parametrize("form", FORMS)
def test_a_call_that_a_thought_mentions_is_none(form: str) -> None:
    call, offer = rendered(form, [GIVEN]), Offer((TOOL,), syntax=form)
    for text, opened in ((f"<think>{call}</think>No.", False), (f"{call}</think>No.", True)):
        said = read(completion(text, opened=opened), offer)
        assert (said.content, said.calls) == ("No.", ())
        if form != "channels":
            assert said.thought == call.strip()
    if form != "channels":  # A turn to somebody ends a thought that has no end of its own.
        unfinished = read(completion(f"<think>{call}"), offer)
        assert (unfinished.content, unfinished.calls) == ("", ())
    (found,) = read(completion(f"<think>I call it.</think>{call}"), offer).calls
    assert json.loads(found.arguments) == GIVEN


@pytest.mark.parametrize("form", FORMS)
def test_what_is_read_can_be_sent_back_and_is_rendered_as_it_was(form: str) -> None:
    text = rendered(form, [GIVEN, {"count": 1}])
    calls = read(completion(text), Offer((TOOL,), syntax=form)).calls
    ids = [call.id for call in calls]
    assert rendered(form, [json.loads(call.arguments) for call in calls], ids) == text
    assert len(set(ids)) == 2


def test_an_id_that_the_conversation_has_is_not_given_again() -> None:
    text = rendered("kimi", [GIVEN])
    earlier = Message("assistant", "", (ToolCall("functions.look_up:0", "look_up", "{}"),))
    done, offer = completion(text), Offer((TOOL,), syntax="kimi")
    assert read(done, offer).calls[0].id == "functions.look_up:0"
    assert read(done, offer, [earlier]).calls[0].id.startswith("call_")
    twice = read(completion(text + text), offer).calls
    assert len({call.id for call in twice}) == 2


def test_ids_are_such_as_the_family_s_templates_take() -> None:
    for form in ("mistral", "mistral-named"):
        text = '[TOOL_CALLS]look_up[ARGS]{"count": 1}' if "-" in form else rendered(form, [GIVEN])
        (call,) = read(completion(text), Offer((TOOL,), syntax=form)).calls
        assert len(call.id) == 9
        assert call.id.isalnum()


def test_half_a_character_in_an_argument_is_escaped() -> None:
    text = '<tool_call>{"name": "look_up", "arguments": {"text": "é\\ud83d"}}</tool_call>'
    (call,) = read(completion(text), Offer((TOOL,), syntax="hermes")).calls
    assert call.arguments.encode()
    assert json.loads(call.arguments) == {"text": "é\ud83d"}


def test_what_is_said_to_everybody_is_the_content() -> None:
    for tools in ((TOOL,), ()):
        offer = Offer(tools, syntax="recipients")
        assert read(completion("all\nHello"), offer).content == "Hello"
        telling = Telling(offer, opened=False)
        said = [telling.add(piece).content for piece in ("a", "ll", "\nHel", "lo")]
        assert "".join(said) == "Hello"
    both = read(
        completion('all\nI look.\n>>>look_up\n{"count": 1}'), Offer((TOOL,), syntax="recipients")
    )
    assert (both.content, len(both.calls)) == ("I look.", 1)


ENFORCED = {"text": "a", "count": 2}
WRITTEN = {"python": 'text="a", count=2, )]<|tool_call_end|>'}


@pytest.mark.needs("llguidance")
@pytest.mark.parametrize("form", [each for each in FORMS if each not in NOT_ENFORCED])
@pytest.mark.parametrize("tools", [(TOOL,), (OTHER, TOOL)], ids=["one", "several"])
def test_a_call_is_enforced_in_the_form_and_read_back(form: str, tools: tuple[Tool, ...]) -> None:
    import llguidance

    from gateway.engine.constraints import grammar_of

    offer = Offer(tools, enforced=True, syntax=form)
    start, constraint = enforcement(offer)
    one, _ = enforcement(Offer((TOOL,), enforced=True, syntax=form))
    shown = rendered(form, [ENFORCED]).removeprefix("\n")
    if form == "actions":
        shown = shown.replace('{"tool_name"', '{"tool_call_id": "0", "tool_name"')
    if form in WRITTEN or not shown.startswith(one):
        shown = one + WRITTEN.get(form, json.dumps(ENFORCED))
    assert shown.startswith(start)
    tokenizer = llguidance.LLTokenizer("byte")
    matcher = llguidance.LLMatcher(tokenizer, grammar_of(constraint))
    ids = tokenizer.tokenize_str(shown.removeprefix(start))
    taken = matcher.try_consume_tokens(ids)
    assert matcher.is_accepting(), tokenizer.decode_str(ids[:taken])
    said = read(completion(tokenizer.decode_str(ids[:taken])), offer)
    assert [(c.name, json.loads(c.arguments)) for c in said.calls] == [("look_up", ENFORCED)]
    assert said.content == ""


@pytest.mark.parametrize("form", sorted(NOT_ENFORCED))
def test_what_cannot_be_enforced_is_refused_by_name(form: str) -> None:
    with pytest.raises(InvalidRequest, match="cannot be enforced") as caught:
        enforcement(Offer((TOOL,), enforced=True, syntax=form))
    assert caught.value.parameter == "tool_choice"


@pytest.mark.needs("llguidance")
def test_a_grammar_of_tags_lets_out_what_the_schema_says() -> None:
    import llguidance

    from gateway.engine.constraints import grammar_of

    schema = {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer"},
            "unit": {"type": "string", "enum": ["C", "F"]},
        },
        "required": ["city"],
    }
    tool = Tool("weather", "", json.dumps(schema))
    _, constraint = enforcement(Offer((tool,), enforced=True, syntax="functions"))
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


def test_how_an_enforced_answer_begins_is_read_as_control_tokens() -> None:
    request = GenerationRequest("m", (Message("user", "?"),))
    one = Offer((TOOL,), enforced=True, syntax="functions")
    asked = with_offer(request, one, "template")
    assert asked.answer_start == "<tool_call>\n<function=look_up>\n"
    assert asked.answer_markup
