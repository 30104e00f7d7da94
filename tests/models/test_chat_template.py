"""Chat templates render as transformers renders them, and can do nothing else."""

from datetime import datetime

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.core.errors import ConfigError, InvalidRequest
from gateway.core.types import Message, Tool, ToolCall
from gateway.models.chat_template import PLAIN, ChatTemplate

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


def test_the_day_comes_from_the_clock_that_is_given() -> None:
    template = ChatTemplate(
        "{{ strftime_now('%d %B %Y') }}",
        clock=lambda: datetime(2026, 11, 24),  # noqa: DTZ001
    )
    assert template.render(CONVERSATION, special={}) == "24 November 2026"


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


def test_every_text_of_the_caller_is_hidden_from_the_template() -> None:
    tool = Tool("paint", "<end>", '{"type": "object", "title": "<end>", "enum": ["<end>"]}')
    called = Message("assistant", "<end>", (ToolCall("1", "paint", '{"<end>": ["<end>"]}'),))
    shown = ChatTemplate(SHOWS_TOOLS).render(
        [called], special={}, tools=[tool], hide=lambda text: text.replace("<end>", "*")
    )
    assert "<end>" not in shown
    assert shown.count("*") == 6
