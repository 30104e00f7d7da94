"""How templates leave a thought out, by what they do and not by their names."""

import pytest

from gateway.core.errors import InvalidRequest
from gateway.models.chat_template import ChatTemplate
from gateway.models.families.thoughts import Thoughts, ThoughtTags, Variables

TURNS = "{% for m in messages %}[{{ m.role }}]{{ m.content }}[end]{% endfor %}"
BEGINS = "{% if add_generation_prompt %}[assistant]BEGUN{% endif %}"


def thoughts(begun: str, answer: str = "") -> Thoughts:
    """Of a template that begins an answer so, and writes a text before an earlier one."""
    turns = (
        TURNS.replace("{{ m.content }}", answer + "{{ m.content }}")
        if not answer
        else (
            TURNS.replace(
                "{{ m.content }}",
                "{% if m.role == 'assistant' %}" + answer + "{% endif %}{{ m.content }}",
            )
        )
    )
    return Thoughts(ChatTemplate(turns + BEGINS.replace("BEGUN", begun)), {})


def switch(condition: str) -> str:
    return "{% if " + condition + " %}<think></think>{% else %}<think>{% endif %}"


@pytest.mark.parametrize(
    ("begun", "off"),
    [
        (switch("enable_thinking is defined and not enable_thinking"), {"enable_thinking": False}),
        (switch("thinking is defined and not thinking"), {"thinking": False}),
        (switch("thinking_mode == 'disabled'"), {"thinking_mode": "disabled"}),
        (switch("thinking_budget == 0"), {"thinking_budget": 0}),
        (switch("reasoning_effort == 'no_think'"), {"reasoning_effort": "no_think"}),
        (switch("not (enable_thinking | default(false))"), {}),
        ("<think>", {}),
        ("", {}),
    ],
)
def test_a_switch_is_found_by_what_it_does(begun: str, off: Variables) -> None:
    found = thoughts(begun)
    assert found.off == off
    text, tag = found.closing(off)
    opens = begun == "<think>"
    assert (text, tag) == (("</think>", "</think>") if opens else ("", ""))


def test_an_effort_that_is_only_a_word_of_the_prompt_is_no_switch() -> None:
    told = "Effort: {{ reasoning_effort | default('medium') }}."
    found = Thoughts(ChatTemplate(told + TURNS + BEGINS.replace("BEGUN", "")), {})
    assert found.off == {}
    assert found.variables("low") == {"reasoning_effort": "low"}


@pytest.mark.parametrize(
    ("begun", "answer", "closing"),
    [
        ("", "<|channel|>final<|message|>", "<|channel|>final<|message|>"),
        ("", "<think>\n\n</think>\n\n", "<think>\n\n</think>\n\n"),
        ("<think>\n", "<think>\n\n</think>\n\n", "\n</think>\n\n"),
        ("<think>", "</think>", "</think>"),
        ("<think>\n", "", "\n</think>\n\n"),
        ("[THINK]", "", "[/THINK]"),
        ("<seed:think>", "", "</seed:think>"),
        ("<|START_THINKING|>", "<|START_TEXT|>", "<|END_THINKING|><|START_TEXT|>"),
        ("<|START_THINKING|><|END_THINKING|>", "<|START_TEXT|>", "<|START_TEXT|>"),
        ("<think></think>", "", ""),
        ("<think></think>", "</think>", ""),
        ("", "", ""),
        ("", " ", ""),
    ],
)
def test_an_answer_begins_where_the_template_has_it(begun: str, answer: str, closing: str) -> None:
    assert thoughts(begun, answer).closing({})[0] == closing


def test_what_a_template_does_not_know_is_refused() -> None:
    plain = thoughts("")
    assert not plain.known
    assert plain.variables("off") == plain.variables("") == {}
    for asked in ("on", "low"):
        with pytest.raises(InvalidRequest, match="thoughts"):
            plain.variables(asked)
    with pytest.raises(InvalidRequest, match="only on and off"):
        thoughts(switch("not (enable_thinking | default(true))")).variables("high")


CHANNEL = "<|channel|>analysis<|message|>"


@pytest.mark.parametrize(
    ("begun", "answer", "tags"),
    [
        ("<think>\n", "", ("", "\n", "</think>", "\n\n")),
        ("<think>", "<think></think>", ("", "", "</think>", "")),
        (
            "{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}",
            "",
            ("<think>\n", "\n", "</think>", "\n\n"),
        ),
        (
            "{# " + CHANNEL + " #}",
            "<|channel|>final<|message|>",
            (CHANNEL, "", "<|end|><|start|>assistant<|channel|>final<|message|>", ""),
        ),
        (
            "{% if not enable_thinking %}<|channel>thought\n<channel|>{% endif %}",
            "",
            ("<|channel>thought\n", "\n", "<channel|>", ""),
        ),
        (
            "{% if not enable_thinking %}<|START_THINKING|><|END_THINKING|>{% endif %}",
            "<|START_TEXT|>",
            ("<|START_THINKING|>", "", "<|END_THINKING|>", "<|START_TEXT|>"),
        ),
        (
            "{# <|begin|>assistant<|think|> #}",
            "<|content|>",
            ("<|think|>", "", "<|end|><|begin|>assistant<|content|>", ""),
        ),
        ("<think></think>", "", None),
        ("", "", None),
    ],
)
def test_what_stands_around_a_thought(
    begun: str, answer: str, tags: tuple[str, str, str, str] | None
) -> None:
    found = thoughts(begun, answer)
    asked = {"enable_thinking": True} if "enable_thinking" in begun else {}
    assert found.tags(asked) == (None if tags is None else ThoughtTags(*tags))
