"""Chat templates of known families are said in Go's language, and what cannot be is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.ollama.templates.check import (
    OwnTemplate,
    conversation,
    differences,
    kinds,
    probes,
)
from gateway.backends.ollama.templates.families import translate
from gateway.backends.ollama.templates.go.ollama import OllamaTemplate
from gateway.core.errors import ConfigError
from gateway.models.chat_template import PLAIN, ChatTemplate
from tests.support.go_oracle import Go

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}

EACH = "{% for m in messages %}{{ "
THEN = " }}{% endfor %}{{ "
BEGIN = " if add_generation_prompt }}"
ALTERNATING = (
    "{% for m in messages %}{% if (m.role == 'user') == (loop.index % 2 == 0) %}"
    "{{ raise_exception('roles alternate') }}{% endif %}{% endfor %}"
)
WITHOUT_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}"
SYSTEM_APART = (
    "{% set system = messages[0].content if messages[0].role == 'system' else none %}"
    "{% set messages = messages if system is none else messages[1:] %}"
)
DEFAULT = (
    "{% if messages[0].role != 'system' %}"
    "{{ '<|im_start|>system\nBe {{kind}} and \"brief\".<|im_end|>\n' }}{% endif %}"
)

CHATML = (
    EACH
    + r"'<|im_start|>' ~ m.role ~ '\n' ~ m.content ~ '<|im_end|>\n'"
    + THEN
    + r"'<|im_start|>assistant\n'"
    + BEGIN
)
LLAMA_3 = (
    "{{ bos_token }}"
    + EACH
    + r"'<|start_header_id|>' ~ m.role ~ '<|end_header_id|>\n\n' ~ m.content | trim ~ '<|eot_id|>'"
    + THEN
    + r"'<|start_header_id|>assistant<|end_header_id|>\n\n'"
    + BEGIN
)
GEMMA = (
    "{{ bos_token }}{% for m in messages %}"
    "{% set who = 'model' if m.role == 'assistant' else m.role %}"
    r"{{ '<start_of_turn>' ~ who ~ '\n' ~ ((system or '') if loop.first else '') }}"
    r"{{ m.content | trim ~ '<end_of_turn>\n'" + THEN + r"'<start_of_turn>model\n'" + BEGIN
)
PHI_3 = (
    EACH
    + r"'<|' ~ m.role ~ '|>\n' ~ m.content ~ '<|end|>\n'"
    + THEN
    + r"'<|assistant|>\n' if add_generation_prompt else eos_token }}"
)
PHI_3_WITHOUT_SYSTEM = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}"
    r"{{ '<|user|>\n' ~ m.content ~ '<|end|>\n<|assistant|>\n' }}"
    r"{% elif m.role == 'assistant' %}{{ m.content ~ '<|end|>\n' }}{% endif %}{% endfor %}"
)
ZEPHYR = (
    EACH
    + r"'<|' ~ m.role ~ '|>\n' ~ m.content ~ eos_token ~ '\n'"
    + THEN
    + (r"'<|assistant|>\n'" + BEGIN)
)
LLAMA_2 = (
    SYSTEM_APART
    + ALTERNATING
    + (
        "{% for m in messages %}{% if m.role == 'user' %}"
        r"{% set before = '<<SYS>>\n' ~ system ~ '\n<</SYS>>\n\n' if system is not none else '' %}"
        "{% set text = (before if loop.first else '') ~ m.content %}"
        "{{ bos_token ~ '[INST] ' ~ text | trim ~ ' [/INST]' }}"
        "{% else %}{{ ' ' ~ m.content | trim ~ ' ' ~ eos_token }}{% endif %}{% endfor %}"
    )
)
MISTRAL = ALTERNATING + (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}"
    "{{ '[INST] ' ~ m.content ~ ' [/INST]' }}{% else %}{{ m.content ~ eos_token }}{% endif %}"
    "{% endfor %}"
)
MISTRAL_SYSTEM_LAST = (
    SYSTEM_APART
    + ALTERNATING
    + (
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}"
        r"{% set before = system ~ '\n\n' if loop.last and system is not none else '' %}"
        "{{ '[INST] ' ~ before ~ m.content ~ '[/INST]' }}"
        "{% else %}{{ ' ' ~ m.content ~ eos_token }}{% endif %}{% endfor %}"
    )
)

FAMILIES = {
    "ChatML": (CHATML, "<|im_end|>\n"),
    "ChatML with a system prompt of its own": (DEFAULT + CHATML, "<|im_end|>\n"),
    "Llama 3": (LLAMA_3, "<|eot_id|>"),
    "Gemma": (WITHOUT_SYSTEM + ALTERNATING + GEMMA, "<end_of_turn>\n"),
    "Gemma that takes a system message": (
        SYSTEM_APART.replace("messages[0].content", r"messages[0].content ~ '\n\n'") + GEMMA,
        "<end_of_turn>\n",
    ),
    "Phi 3": (PHI_3, "<|end|>\n"),
    "Phi 3 without system": (PHI_3_WITHOUT_SYSTEM, "<|end|>\n"),
    "Zephyr": (ZEPHYR, "</s>\n"),
    "Llama 2": (LLAMA_2, " </s>"),
    "Mistral": (MISTRAL, "</s>"),
    "Mistral with system last": (MISTRAL_SYSTEM_LAST, "</s>"),
    "plain": (PLAIN, "\n\n"),
}
"""A template of the family, and what stands behind an answer."""


BOTH_WAYS = pytest.mark.parametrize("added", ["<s>", ""])


@BOTH_WAYS
@pytest.mark.parametrize("family", FAMILIES)
def test_both_templates_make_the_same_text(family: str, added: str) -> None:
    source, answer_end = FAMILIES[family]
    made = translate(source, SPECIAL, added)
    assert made.answer_end == answer_end
    own = OwnTemplate(ChatTemplate(source), SPECIAL, added)
    for difference in differences(own, made.source):
        assert not difference.probe.usual or difference.own is None or difference.only_space
        assert not difference.only_space or made.strips


@BOTH_WAYS
@pytest.mark.parametrize("family", FAMILIES)
def test_go_itself_renders_the_template_so(go: Go, family: str, added: str) -> None:
    made = translate(FAMILIES[family][0], SPECIAL, added)
    template = OllamaTemplate(made.source)
    for probe in probes():
        if probe.usual:
            theirs = go(made.source, probe.messages)
            if not theirs.error:
                assert theirs.text == template.render(probe.messages)
            else:
                assert "takes no system message" in theirs.error


def test_plain_texts_make_plain_templates() -> None:
    made = translate(CHATML, SPECIAL, "")
    assert made.source == (
        "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
        "<|im_start|>assistant\n"
    )
    assert (
        translate(LLAMA_3, SPECIAL, "").source == "<s>" + translate(LLAMA_3, SPECIAL, "<s>").source
    )


def test_what_is_not_the_same_is_said() -> None:
    chatml = translate(CHATML, SPECIAL, "")
    rows = ("two system messages in a row", "two of the user's messages in a row")
    assert (chatml.otherwise, chatml.strips, chatml.refused) == (rows, False, ())
    assert chatml.alike == len(probes()) - 2
    gemma = translate(FAMILIES["Gemma"][0], SPECIAL, "<s>")
    assert gemma.strips
    assert "a system message and a user's" in gemma.refused
    assert "an assistant's message at the beginning" in gemma.rendered_only_here
    assert translate(PHI_3_WITHOUT_SYSTEM, SPECIAL, "").loses_system
    assert not translate(PHI_3, SPECIAL, "").loses_system


def test_the_default_model_keeps_its_own_system_prompt(smollm2: LlamaCppBackend) -> None:
    made = translate(smollm2.chat_template, {"bos_token": "<|im_start|>"}, "")
    asked = OllamaTemplate(made.source).render(conversation("u", ["Hi"]))
    assert asked.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    told = OllamaTemplate(made.source).render(conversation("su", ["", "Hi"]))
    assert told == "<|im_start|>system\n<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n" + (
        "<|im_start|>assistant\n"
    )


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{% for %}", "compile"),
        ("{{ strftime_now('%d') }}" + CHATML, "date"),
        ("{{ raise_exception('never') }}", "does not render"),
        ("{{ messages[-1].content }}", "does not render"),
        (CHATML.replace("m.content", "m.content | upper"), "differs for a user's"),
        (CHATML.replace("m.role", "loop.index"), "differs for a system message and two questions"),
    ],
)
def test_what_go_can_not_say_is_refused(source: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        translate(source, SPECIAL, "")


PIECE = st.text(alphabet="{}\"'-\\<|> \nab.é", max_size=6)


@given(default=PIECE, before=PIECE, after=PIECE, behind=PIECE)
@settings(max_examples=150, deadline=None)
def test_any_texts_around_messages_are_found(
    default: str, before: str, after: str, behind: str
) -> None:
    turn = f"{before!r} ~ m.role ~ {after!r} ~ m.content ~ {behind!r}"
    begin = f"{before!r} ~ 'assistant' ~ {after!r}"
    first = "{{ " + repr(default) + " if messages[0].role != 'system' }}"
    source = first + EACH + turn + THEN + f"({begin})" + BEGIN
    made = translate(source, SPECIAL, "")
    found = differences(OwnTemplate(ChatTemplate(source), SPECIAL), made.source)
    assert not [kind for kind in kinds(found) if "in a row" not in kind]
