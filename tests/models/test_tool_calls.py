"""Which chat templates show tools in the form that is read, and tools as plain text for others."""

import json

import pytest

from gateway.core.types import Message, Tool, ToolCall
from gateway.models.chat_template import PLAIN, ChatTemplate, tool_mode
from gateway.models.tool_calls import CLOSING, OPENING, ToolMode, are_in, as_text

TURNS = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
SHOWN = "{% if tools %}{% for tool in tools %}{{ tool | tojson }}{% endfor %}{% endif %}"
HERMES = (
    SHOWN
    + "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% for c in m.tool_calls or [] %}"
    + "<tool_call>\n{{ {'name': c.function.name, 'arguments': c.function.arguments} | tojson }}\n"
    + "</tool_call>{% endfor %}{% endfor %}"
)
XML = (
    SHOWN
    + "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% for c in m.tool_calls or [] %}"
    + "<tool_call>\n<function={{ c.function.name }}>\n"
    + "{% for k, v in c.function.arguments.items() %}"
    + "<parameter={{ k }}>\n{{ v }}\n</parameter>{% endfor %}</function>\n</tool_call>"
    + "{% endfor %}{% endfor %}"
)
BARE_JSON = (
    SHOWN
    + "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% for c in m.tool_calls or [] %}"
    + "{{ {'name': c.function.name, 'parameters': c.function.arguments} | tojson }}"
    + "{% endfor %}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
)
OTHER_KEYS = HERMES.replace("'arguments':", "'parameters':")
TOLD_ONLY = (
    SHOWN + 'Answer with <tool_call>\n{"name": NAME, "arguments": OBJECT}\n</tool_call>' + TURNS
)
TOLD_XML = SHOWN + "Answer with <tool_call>\n<function=NAME></function>\n</tool_call>" + TURNS


@pytest.mark.parametrize(
    ("source", "mode"),
    [
        (HERMES, "template"),
        (TOLD_ONLY, "template"),
        (XML, "template"),
        (BARE_JSON, "template"),
        (OTHER_KEYS, "template"),
        (TOLD_XML, "fallback"),
        (TURNS, "fallback"),
        (PLAIN, "fallback"),
        ("{% if tools %}{{ raise_exception('no') }}{% endif %}" + TURNS, "fallback"),
        ("{{ broken", "off"),
        ("", "off"),
        (None, "off"),
    ],
)
def test_only_what_is_parsed_back_is_left_to_the_template(
    source: str | None, mode: ToolMode
) -> None:
    assert tool_mode("auto", source, {}) == mode
    assert tool_mode("fallback", source, {}) == "fallback"
    assert tool_mode("off", source, {}) == "off"


WEATHER = Tool("weather", "Of a city", '{"type": "object", "properties": {"city": {}}}')
CALL = ToolCall("c1", "weather", '{"city": "Rome"}')


def test_tools_stand_at_the_end_of_the_system_message() -> None:
    first, second = as_text((Message("system", "Be brief."), Message("user", "Rome?")), [WEATHER])
    assert first.content.startswith("Be brief.\n\n")
    assert json.dumps(json.loads(WEATHER.parameters)) in first.content
    assert f"{OPENING}\n" in first.content
    assert second == Message("user", "Rome?")


def test_without_a_system_message_one_is_made() -> None:
    first, second = as_text((Message("user", "Rome?"),), [WEATHER])
    assert (first.role, second.content) == ("system", "Rome?")


def test_calls_and_their_answers_are_text_in_the_turns_of_who_made_them() -> None:
    turns = (
        Message("user", "Rome?"),
        Message("assistant", "I look.", (CALL, CALL)),
        Message("tool", "rain", (), "c1"),
        Message("tool", "sun", (), "c2"),
        Message("user", "And?"),
    )
    assert are_in(turns)
    asked, called, told, more = as_text(turns, ())
    block = f'{OPENING}\n{{"name": "weather", "arguments": {{"city": "Rome"}}}}\n{CLOSING}'
    assert called == Message("assistant", f"I look.\n{block}\n{block}")
    assert told.role == "user"
    assert told.content.count("<tool_response>") == 2
    assert (asked.content, more.content) == ("Rome?", "And?")


def test_the_text_of_a_call_is_the_one_that_is_read_back() -> None:
    (turn,) = as_text((Message("assistant", "", (CALL,)),), ())
    shown = ChatTemplate(TURNS).render((turn,), special={}, begin_answer=False)
    body = shown.split(OPENING)[1].split(CLOSING)[0]
    assert json.loads(body) == {"name": "weather", "arguments": {"city": "Rome"}}
