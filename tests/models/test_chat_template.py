"""Chat templates render as transformers renders them, and can do nothing else."""

import re

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.core.errors import ConfigError, InvalidRequest
from gateway.core.types import Message, Tool, ToolCall
from gateway.models.chat_template import PLAIN, ChatTemplate, day_of

CONVERSATION = (
    Message("system", "Be brief."),
    Message("user", '  <b>Hi</b> & "you"\n'),
    Message("assistant", "Yes?"),
    Message("user", "naïve 😀 'quotes'"),
)

TEMPLATES = {
    "blocks": """{%- for m in messages %}
    {%- if m.role == 'user' %}
U: {{ m.content | trim }}
    {% else %}
        {{ m.role }}: {{ m.content }}
    {% endif %}
{%- endfor %}
{% if add_generation_prompt %}
A:
{% endif %}""",
    "tojson": "{{ messages | tojson }}|{{ messages | tojson(indent=2) }}",
    "loop controls": (
        "{% for m in messages %}{% if loop.index == 2 %}{% continue %}{% endif %}"
        "{% if loop.index == 4 %}{% break %}{% endif %}{{ m.content }}{% endfor %}"
    ),
    "namespace": (
        "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}"
        "{% endfor %}{{ ns.n }}{{ messages[1:] | length }}{{ bos_token }}"
    ),
    "plain": PLAIN,
}


def reference(template: str) -> str:
    turns = [{"role": m.role, "content": m.content} for m in CONVERSATION]
    rendered, _ = render_jinja_template(
        conversations=[turns],
        chat_template=template,
        add_generation_prompt=True,
        bos_token="<s>",
    )
    return str(rendered[0])


@pytest.mark.parametrize("name", TEMPLATES)
def test_it_renders_as_transformers_does(name: str) -> None:
    ours = ChatTemplate(TEMPLATES[name]).render(CONVERSATION, special={"bos_token": "<s>"})
    assert ours == reference(TEMPLATES[name])


def test_the_default_model_s_own_template_renders_as_transformers_does(
    smollm2: LlamaCppBackend,
) -> None:
    source = smollm2._model.chat_template
    assert source is not None
    ours = ChatTemplate(source).render(CONVERSATION, special={})
    assert ours == reference(source)


def test_the_day_is_the_same_on_every_day() -> None:
    source = "{{ strftime_now('%d %B %Y') }}"
    assert ChatTemplate(source).render(CONVERSATION, special={}) == "01 January 2025"
    told = ChatTemplate(source, now=day_of("2026-11-24"))
    assert told.render(CONVERSATION, special={}) == "24 November 2026"


def test_what_is_no_day_is_refused() -> None:
    with pytest.raises(ConfigError, match="is no day"):
        day_of("2025-02-31")
    assert day_of("today").hour == 0


def test_a_template_may_refuse_a_conversation() -> None:
    template = ChatTemplate("{{ raise_exception('no system turn, please') }}")
    with pytest.raises(InvalidRequest, match="no system turn"):
        template.render(CONVERSATION, special={})


@pytest.mark.parametrize(
    "attack",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
    ],
)
def test_a_template_can_not_leave_the_sandbox(attack: str) -> None:
    with pytest.raises(InvalidRequest):
        ChatTemplate(attack).render(CONVERSATION, special={})


def test_a_template_that_does_not_compile_is_said_to() -> None:
    with pytest.raises(ConfigError, match="compile"):
        ChatTemplate("{% for %}")


SHOWS_TOOLS = (
    "{% for tool in tools %}{{ tool | tojson }}{% endfor %}"
    "{% for m in messages %}{{ m.content }}"
    "{% for call in m.tool_calls or [] %}{{ call.function | tojson }}{% endfor %}{% endfor %}"
)
CALLED = Message("assistant", "", (ToolCall("1", "paint", '{"colour": "red"}'),))
PAINT = Tool("paint", "Paints", '{"type": "object"}')


def test_tools_and_calls_are_shown_as_transformers_shows_them() -> None:
    turns = [
        {"role": "user", "content": "Hi"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "id": "1",
                    "type": "function",
                    "function": {"name": "paint", "arguments": {"colour": "red"}},
                }
            ],
        },
    ]
    tool = {
        "type": "function",
        "function": {"name": "paint", "description": "Paints", "parameters": {"type": "object"}},
    }
    rendered, _ = render_jinja_template(
        conversations=[turns],
        chat_template=SHOWS_TOOLS,
        tools=[tool],
        add_generation_prompt=True,
    )
    mine = ChatTemplate(SHOWS_TOOLS).render(
        [Message("user", "Hi"), CALLED], special={}, tools=[PAINT]
    )
    assert [mine] == list(rendered)


def test_what_a_template_would_leave_out_is_refused_by_name() -> None:
    plain = ChatTemplate(
        "{# tools, tool_calls #}tools{% for m in messages %}{{ m.content }}{% endfor %}"
    )
    with pytest.raises(InvalidRequest) as caught:
        plain.render([Message("user", "Hi")], special={}, tools=[PAINT])
    assert caught.value.parameter == "tools"
    with pytest.raises(InvalidRequest) as caught:
        plain.render([CALLED], special={})
    assert caught.value.parameter == "messages"


CONTROL = re.compile("<end>")


def test_every_text_of_the_caller_is_known_as_his() -> None:
    tool = Tool("paint", "<end>", '{"type": "object", "title": "<end>", "enum": ["<end>"]}')
    called = Message("assistant", "<end>", (ToolCall("1", "paint", '{"<end>": ["<end>"]}'),))
    shown = ChatTemplate(SHOWS_TOOLS + "<end>").write(
        [called], special={}, control=CONTROL, tools=[tool]
    )
    assert shown.text.count("<end>") == 7
    assert len(shown.spelled(CONTROL)) == 6


CUTS = "{% for m in messages %}<end>{{ EXPRESSION }}<end>{% endfor %}"


@pytest.mark.parametrize(
    "expression",
    [
        "m.content",
        "m.content | trim | tojson(ensure_ascii=true)",
        "m.content[2:] + m.content[:40]",
        "m.content.split('é')[-1].lstrip() ~ '!'",
        "(m.content | replace('é', '<')).upper().lower()",
        "'[%s]' % m.content",
        "m.content.splitlines() | join(' ')",
        "[m.content] | join('-') | indent(2)",
        "'-'.join([m.content, 'x'])",
        "m.content | list | join",
        "{'a': m.content} | string",
        "[m.content]",
        "m.content | safe",
        "'<b>&' + (m.content | safe) + m.content + '<i>'",
        "(m.content | tojson | safe) ~ '<b>'",
        "m.content.partition('é')[2]",
        "m.content * 2",
    ],
)
def test_whatever_a_template_does_to_a_text_its_control_tokens_stay_text(expression: str) -> None:
    source = CUTS.replace("EXPRESSION", expression)
    messages = [Message("user", "  é <end> x\nb<end>")]
    shown = ChatTemplate(source).write(messages, special={}, control=CONTROL)
    theirs, all_of_them = shown.spelled(CONTROL), list(CONTROL.finditer(shown.text))
    assert [m.span() for m in theirs] == [m.span() for m in all_of_them[1:-1]]
    turns = [[{"role": m.role, "content": m.content} for m in messages]]
    assert [shown.text] == render_jinja_template(conversations=turns, chat_template=source)[0]


def test_what_is_not_followed_is_refused_only_where_a_text_spells_a_control_token() -> None:
    source = CUTS.replace("EXPRESSION", "'<end>{}'.format(m.content | e)")
    with pytest.raises(InvalidRequest, match="spells <end>"):
        ChatTemplate("<end>{{ messages[0].content.center(20) }}").write(
            [Message("user", "<end>")], special={}, control=CONTROL
        )
    shown = ChatTemplate(source).write([Message("user", "end")], special={}, control=CONTROL)
    assert not shown.spelled(CONTROL)


def test_a_token_put_together_of_two_texts_is_theirs_as_well() -> None:
    shown = ChatTemplate("{{ messages[0].content ~ messages[1].content }}<end>").write(
        [Message("user", "<e"), Message("user", "nd>")], special={}, control=CONTROL
    )
    assert [m.start() for m in shown.spelled(CONTROL)] == [0]


STRIPS = (
    "{% for m in messages %}[{{ m.role }}]{% set c = m.content %}"
    "{% if m.role == 'assistant' and '</think>' in c %}{% set c = c.split('</think>')[-1] %}"
    "{% endif %}{{ c }}{% endfor %}"
)


def test_the_thought_of_an_earlier_turn_is_stripped_where_the_template_does() -> None:
    turns = [Message("user", "Hi"), Message("assistant", "<think>secret</think>A")]
    control = re.compile("</?think>")
    shown = ChatTemplate(STRIPS).write(turns, special={}, control=control)
    assert shown.text == "[user]Hi[assistant]A"


def test_a_thought_beside_the_answer_has_the_name_that_the_template_reads() -> None:
    turns = [Message("assistant", "A", reasoning="so")]
    for name in ("reasoning_content", "thinking", "reasoning"):
        source = "{% for m in messages %}{{ m." + name + " }}{{ m.content }}{% endfor %}"
        assert ChatTemplate(source).render(turns, special={}) == "soA"


def test_a_whole_turn_with_a_thought_is_as_transformers_has_it() -> None:
    source = "{{ messages | tojson }}"
    turn = {"role": "assistant", "content": "A", "reasoning_content": "so"}
    theirs = render_jinja_template(conversations=[[turn]], chat_template=source)[0]
    ours = ChatTemplate(source).render([Message("assistant", "A", reasoning="so")], special={})
    assert [ours] == theirs


def test_tools_that_are_a_field_of_messages_are_not_shown() -> None:
    source = "{% for m in messages %}{% if 'tools' in m %}{{ m['tools'] }}{% endif %}{% endfor %}"
    assert ChatTemplate(source).shows_tools({}) is False


def test_generation_blocks_change_no_text_and_have_their_own_scope() -> None:
    source = "{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}{{ x }}"
    assert ChatTemplate(source).render(CONVERSATION, special={}) == "21"


def test_what_is_not_given_is_none_as_transformers_has_it() -> None:
    source = "{{ tools is none }}{{ documents is none }}{{ bos_token is defined }}"
    assert ChatTemplate(source).render(CONVERSATION, special={}) == "TrueTrueFalse"


def test_a_tool_is_shown_as_its_caller_wrote_it() -> None:
    tool = Tool("paint", "", "{}", '{"strict": true, "name": "paint"}')
    shown = ChatTemplate("{{ tools[0].function | tojson }}").render(
        CONVERSATION, special={}, tools=[tool]
    )
    assert shown == '{"strict": true, "name": "paint"}'
    bare = ChatTemplate("{{ tools[0].function | tojson }}").render(
        CONVERSATION, special={}, tools=[Tool("paint")]
    )
    assert bare == '{"name": "paint", "parameters": {}}'


def test_the_answer_of_a_tool_has_its_name() -> None:
    turns = [CALLED, Message("tool", "done", (), "1")]
    source = "{% for m in messages %}{{ m.name }}{{ m.tool_calls is defined }}{% endfor %}"
    assert ChatTemplate(source).render(turns, special={}) == "TruepaintFalse"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{{ raise_exception('roles must alternate') }}", "refuses .*roles must alternate"),
        ("\n{{ messages[0].content.split('') }}", r"ValueError: empty separator \(line 2"),
        ("{{ 1 / (messages | length - 4) }}", "ZeroDivisionError"),
        ("{{ nothing.at.all }}", "'nothing' is undefined"),
        ("{{ messages[9].content.x }}", "has no element 9"),
        ("{{ messages | tojson | int + 'x' }}", "TypeError"),
    ],
)
def test_however_a_template_fails_it_is_told_in_its_own_words(source: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        ChatTemplate(source).render(CONVERSATION, special={})
