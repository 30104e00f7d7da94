"""Two templates are held against each other by what they render, not by what they are called."""

import json

import pytest

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.ollama.templates.check import (
    OwnTemplate,
    differences,
    kinds,
    own_template,
    probes,
)
from gateway.core.errors import GoTemplateError
from gateway.models.chat_template import PLAIN, ChatTemplate
from tests.conftest import recorded_exchange

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' ~ m.role ~ '\n' ~ m.content ~ '<|im_end|>\n' }}"
    "{% endfor %}{{ '<|im_start|>assistant\n' if add_generation_prompt }}"
)


def shown(name: str) -> str:
    return str(json.loads(recorded_exchange(name))["response"]["json"]["template"])


def test_ollama_s_template_for_the_default_model_loses_its_system_prompt(
    smollm2: LlamaCppBackend,
) -> None:
    own = own_template(smollm2.chat_template, smollm2._model)
    found = differences(own, shown("026-show"))
    usual = [difference for difference in found if difference.probe.usual]
    assert kinds(usual) == ["a user's message", "two questions", "three questions"]
    for difference in usual:
        assert difference.own is not None
        assert difference.go is not None
        assert difference.own.startswith("<|im_start|>system\nYou are a helpful AI assistant")
        assert difference.own.endswith(difference.go)


def test_ollama_s_template_for_a_base_model_is_another_in_everything() -> None:
    own = OwnTemplate(ChatTemplate(PLAIN), SPECIAL)
    found = differences(own, shown("109-base-model-show"))
    assert len(found) == len(probes())


def test_equal_templates_differ_only_in_what_ollama_does_before_it_renders() -> None:
    own = OwnTemplate(ChatTemplate(CHATML), SPECIAL)
    assert kinds(differences(own, shown("026-show"))) == [
        "two system messages in a row",
        "two of the user's messages in a row",
    ]


def test_a_bos_that_the_vocabulary_adds_is_not_to_stand_in_the_template() -> None:
    template = ChatTemplate("{{ bos_token }}" + CHATML)
    go = shown("026-show")
    assert kinds(differences(OwnTemplate(template, SPECIAL, added="<s>"), go)) == kinds(
        differences(OwnTemplate(template, SPECIAL), "<s>" + go)
    )
    twice = differences(OwnTemplate(template, SPECIAL, added="<s>"), "<s>" + go)
    assert len(twice) == len(probes())


def test_both_refusing_is_no_difference_and_one_refusing_is() -> None:
    refuses = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}"
    own = OwnTemplate(ChatTemplate(refuses + CHATML), SPECIAL)
    go = shown("026-show")
    found = [each for each in differences(own, go) if each.probe.usual]
    assert all(each.own is None and each.go is not None for each in found)
    assert all(each.probe.messages[0].role == "system" for each in found)
    failing = '{{ if eq (index .Messages 0).Role "system" }}{{ slice "" 1 }}{{ end }}' + go
    assert not [each for each in differences(own, failing) if each.probe.usual]


def test_the_vocabulary_says_which_tokens_it_adds(
    smollm2: LlamaCppBackend, gemma: LlamaCppBackend
) -> None:
    assert own_template(PLAIN, gemma._model).added == "<bos>"
    own = own_template(PLAIN, smollm2._model)
    assert own.added == ""
    assert own.special == {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}


def test_what_can_not_be_rendered_here_is_said() -> None:
    own = OwnTemplate(ChatTemplate(CHATML), SPECIAL)
    for source in ("{{ json .Messages }}", "{{ .Messages }}", "{{ if }}"):
        with pytest.raises(GoTemplateError, match="Go template"):
            differences(own, source)
