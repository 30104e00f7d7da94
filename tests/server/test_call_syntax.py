"""Calls in a family's own form: streamed as the whole is read, sent back, and enforced."""

import json
import re
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.errors import InvalidRequest
from gateway.core.types import (
    Completion,
    Constraint,
    GenerationRequest,
    Message,
    Tool,
    ToolCall,
    Usage,
)
from gateway.models.families.calls import MOST_CALLS, syntax_named
from gateway.models.families.grammar import unreadable, with_tokens
from gateway.models.reasoning import part
from gateway.server.tools import Offer, Telling, enforcement, read, with_offer
from tests.support.call_forms import FORMS, GIVEN, TOOL, arguments, rendered

OTHER = Tool("other")
NOT_ENFORCED = {"elements", "gemma", "function-gemma", "solar"}
ONE_A_TURN = {"atem", "channels", "gigachat", "gigachat-turns", "bare", "typed-content"}
"""Those whose families write one call in a turn."""


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


def test_tags_may_have_a_suffix_of_the_checkpoint_s_own() -> None:
    call = re.sub(r"<(/?\w+)>", r"<\1:6124c78e>", rendered("arguments", [GIVEN, {"count": 1}]))
    text = f"Well.\n<tool_calls:6124c78e>\n{call}</tool_calls:6124c78e>"
    offer, done = Offer((TOOL,), syntax="arguments"), completion(text)
    whole, telling = read(done, offer), Telling(offer, opened=False)
    assert [json.loads(call.arguments) for call in whole.calls] == [GIVEN, {"count": 1}]
    assert whole.content == "Well."
    told = "".join(telling.add(letter).content for letter in text)
    assert told + telling.rest(done, whole).content == whole.content


@pytest.mark.parametrize(
    ("form", "key"), [("python", "first name"), ("functions", "a>b"), ("invoke", 'a"b')]
)
def test_an_argument_that_could_not_be_read_back_is_not_enforced(form: str, key: str) -> None:
    for name, refused in ((key, True), ("$ref-1.é", False)):
        schema = {"type": "object", "properties": {name: {"type": "string"}}}
        offer = Offer((Tool("f", "", json.dumps(schema)),), syntax=form, enforced=True)
        if refused:
            with pytest.raises(InvalidRequest, match="cannot be enforced"):
                enforcement(offer)
        else:
            enforcement(offer)


@pytest.mark.parametrize("form", ["deepseek", "kimi", "plamo"])
def test_a_call_outside_its_section_is_no_content_of_a_stream(form: str) -> None:
    call = rendered(form, [GIVEN])
    for tag in syntax_named(form).wrapped:
        call = call.replace(tag, "")
    offer, done = Offer((TOOL,), syntax=form), completion(f"Well.\n{call}")
    whole, telling = read(done, offer), Telling(offer, opened=False)
    assert (whole.content, len(whole.calls)) == ("Well.", 1)
    assert "".join(telling.add(letter).content for letter in done.text) == "Well."


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
_PYTHON = 'text="a", count=2, )'
WRITTEN = {
    "python": f"{_PYTHON}]<|tool_call_end|>",
    "python-lines": f"{_PYTHON}\n</function_calls>",
    "bare-python": f"{_PYTHON}]",
    "typed-content": json.dumps({"name": TOOL.name, "args": ENFORCED}),
}


@pytest.mark.needs("llguidance")
@pytest.mark.parametrize("form", [each for each in FORMS if each not in NOT_ENFORCED])
@pytest.mark.parametrize("tools", [(TOOL,), (OTHER, TOOL)], ids=["one", "several"])
def test_a_call_is_enforced_in_the_form_and_read_back(form: str, tools: tuple[Tool, ...]) -> None:
    import llguidance

    from gateway.engine.constraints import grammar_of

    offer = Offer(tools, enforced=True, syntax=form, several=False)
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


def written(form: str, count: int) -> str:
    """So many equal calls, as the family writes them in one answer."""
    syntax = syntax_named(form)
    if objects := syntax.objects:
        called = {objects.name: TOOL.name, objects.key: ENFORCED}
        called = called if objects.name else {TOOL.name: ENFORCED}
        if objects.listed:
            numbers = [{objects.number: str(n)} if objects.number else {} for n in range(count)]
            return objects.start + json.dumps([{**number, **called} for number in numbers])
        one = f"{objects.start}{json.dumps(called)}{syntax.ends}"
        return (syntax.between or "").join([one] * count)
    arguments = json.dumps(ENFORCED)
    if syntax.tags is not None:
        begun, _ = enforcement(Offer((TOOL,), enforced=True, syntax=form))
        shown, ends = rendered(form, [ENFORCED]).lstrip(), syntax.tags.behind
        arguments = (
            WRITTEN.get(form, "").partition(")")[0]
            or (shown[len(begun) : shown.rindex(ends) + len(ends)])
        )
    calls = [
        re.sub(r"\{(\d)\}", lambda found, n=n: str(int(found[1]) + n), syntax.before).replace(  # type: ignore[misc]
            "{}", TOOL.name
        )
        for n in range(count)
    ]
    between = (syntax.between or "").join(f"{call}{arguments}{syntax.ends}" for call in calls)
    return f"{syntax.around[0]}{between}{syntax.around[1]}"


def accepted(lark_or_schema: Constraint, text: str) -> bool:
    import llguidance

    from gateway.engine.constraints import grammar_of

    tokenizer = llguidance.LLTokenizer("byte")
    matcher = llguidance.LLMatcher(tokenizer, grammar_of(lark_or_schema))
    ids = tokenizer.tokenize_str(text)
    return bool(matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting())


@pytest.mark.needs("llguidance")
@pytest.mark.parametrize("form", [e for e in FORMS if e not in NOT_ENFORCED | ONE_A_TURN])
@pytest.mark.parametrize("tools", [(TOOL,), (OTHER, TOOL)], ids=["one", "several"])
def test_several_calls_are_enforced_bounded_and_read_back(
    form: str, tools: tuple[Tool, ...]
) -> None:
    offer = Offer(tools, enforced=True, syntax=form)
    start, constraint = enforcement(offer)
    for count in (1, 2, MOST_CALLS):
        text = written(form, count)
        assert text.startswith(start)
        assert accepted(constraint, text[len(start) :]), text
        said = read(completion(text[len(start) :]), offer)
        assert [json.loads(call.arguments) for call in said.calls] == [ENFORCED] * count
        assert len({call.id for call in said.calls}) == count
        assert said.content == ""
    assert not accepted(constraint, written(form, MOST_CALLS + 1)[len(start) :])
    for single in (replace(offer, several=False), replace(offer, name=TOOL.name)):
        start, constraint = enforcement(single)
        assert not accepted(constraint, written(form, 2)[len(start) :])


@pytest.mark.parametrize("form", sorted(ONE_A_TURN))
def test_a_family_that_calls_once_in_a_turn_is_not_made_to_call_more(form: str) -> None:
    offer = Offer((TOOL, OTHER), enforced=True, syntax=form)
    assert enforcement(offer) == enforcement(replace(offer, several=False))


def test_an_answer_that_is_cut_within_a_further_call_says_so() -> None:
    offer = Offer((TOOL,), enforced=True, syntax="hermes")
    start, _ = enforcement(offer)
    text = written("hermes", 2)[len(start) : -30]
    said = read(replace(completion(text), finish_reason="length"), offer)
    assert (len(said.calls), said.content, said.cut) == (1, "", True)
    assert not read(completion(text), offer).cut


@pytest.mark.parametrize("form", FORMS)
def test_where_one_call_is_asked_for_the_answer_ends_behind_the_first(form: str) -> None:
    text = rendered(form, [GIVEN, {"count": 1}])
    only = read(completion(f"{text}\nMore."), Offer((TOOL,), syntax=form, several=False))
    if not only.calls:
        assert form in ("bare", "bare-python")  # An answer that is more than calls is none.
        only = read(completion(text), Offer((TOOL,), syntax=form, several=False))
    assert [json.loads(call.arguments) for call in only.calls] == [GIVEN]
    assert (only.content.strip(), only.left_out) == ("", 1)


@pytest.mark.needs("llguidance")
def test_control_tokens_stand_in_the_grammar_where_the_vocabulary_has_them() -> None:
    import llguidance

    ids = {"</arg_value>": 256, "</tool_call>": 257, "<tool_call>": 258}
    schema = '{"properties": {"text": {"type": "string"}}, "required": ["text"]}'
    offer = Offer((Tool("f", "", schema),), enforced=True, syntax="arguments")
    _, constraint = enforcement(offer)
    tokenizer = llguidance.LLTokenizer("byte")
    lark = with_tokens(str(constraint.value), ids.get)
    grammar = llguidance.LLMatcher.grammar_from_lark(lark)

    def tokens(text: str) -> list[int]:
        parts = re.split("(" + "|".join(ids) + ")", text)
        each = ([ids[part]] if part in ids else tokenizer.tokenize_str(part) for part in parts)
        return [token for part in each for token in part]

    one = "<arg_key>text</arg_key>\n<arg_value>a</b></arg_value>\n</tool_call>"
    for text in (one, one + "\n<tool_call>f\n" + one):
        matcher = llguidance.LLMatcher(tokenizer, grammar)
        assert matcher.try_consume_tokens(tokens(text)) == len(tokens(text))
        assert matcher.is_accepting()
        spelled = llguidance.LLMatcher(tokenizer, grammar)
        spelled.try_consume_tokens(tokenizer.tokenize_str(text))
        assert not spelled.is_accepting()


def test_what_a_caller_names_is_no_control_token() -> None:
    kind = {"type": "string", "enum": ["</tool_call>"]}
    for form in (each for each in FORMS if each not in NOT_ENFORCED):
        is_refused = unreadable(syntax_named(form), [("f", {"properties": {"<|im_end|>": kind}})])
        schema = {"properties": {"end" if is_refused else "<|im_end|>": kind, "": {}}}
        tools = (Tool("</tool_call>", "", json.dumps(schema)), Tool('a"\n<x>'), Tool("a"))
        lark = str(enforcement(Offer(tools, enforced=True, syntax=form))[1].value)
        marks = re.findall(r'^mark\d+: "(.*)"$', lark, re.MULTILINE)
        called = [each for each in marks if each in ("<|im_end|>", "</tool_call>", "<x>")]
        assert called in ([], ["</tool_call>"]), form
        if called:
            assert "</tool_call>" in syntax_named(form).ends
            assert with_tokens(lark, lambda _: 5).count("<[5]>") == len(marks)


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
    one = Offer((TOOL,), enforced=True, syntax="functions", several=False)
    asked = with_offer(request, one, "template")
    assert asked.answer_start == "<tool_call>\n<function=look_up>\n"
    assert asked.answer_markup
