"""What of a conversation comes to the model."""

import pytest

from gateway.core.errors import ContextOverflow, InvalidRequest
from gateway.core.types import GenerationRequest, Message
from tests.support.rendering import (
    CHATML,
    CLOSES_IT_AGAIN,
    DROPS_SYSTEM,
    OPENS_A_THOUGHT,
    REFUSES_SYSTEM,
    RenderingBackend,
    rendering,
)

ASKED = GenerationRequest("m", (Message("system", "Be brief."), Message("user", "Hi")))
MERGED = "<|im_start|>user\nBe brief.\n\nHi<|im_end|>\n<|im_start|>assistant\n"
APART = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"


def shown(backend: RenderingBackend, *more: Message) -> str:
    return backend.render(GenerationRequest("m", (*ASKED.messages, *more))).text


@pytest.mark.parametrize("template", [REFUSES_SYSTEM, DROPS_SYSTEM])
def test_a_system_message_that_a_template_does_not_show_is_in_the_user_s_turn(
    template: str,
) -> None:
    assert shown(rendering(template)) == MERGED


def test_one_that_it_shows_stays_where_it_is_unless_the_entry_says_otherwise() -> None:
    assert shown(rendering(CHATML)).startswith(APART)
    assert shown(rendering(CHATML, system="merge")) == MERGED


@pytest.mark.parametrize(
    ("template", "said"),
    [(REFUSES_SYSTEM, "No system role here"), (DROPS_SYSTEM, "leaves out system messages")],
)
def test_an_entry_may_refuse_instead_in_the_template_s_own_words(template: str, said: str) -> None:
    backend = rendering(template, system="refuse")
    with pytest.raises(InvalidRequest, match=said) as caught:
        shown(backend)
    assert 'system = "merge"' in caught.value.hint
    assert backend.render(GenerationRequest("m", (Message("user", "Hi"),))).text


def test_a_template_that_shows_nothing_of_it_anywhere_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="leaves out system messages"):
        shown(rendering("{% for m in messages %}.{% endfor %}"))


def test_later_system_messages_go_to_the_next_turn_of_the_user_or_become_one() -> None:
    more = (Message("assistant", "Yes?"), Message("system", "Rhyme."))
    text = shown(rendering(DROPS_SYSTEM), *more)
    assert text.count("<|im_start|>user\n") == 2
    assert "<|im_start|>user\nRhyme.<|im_end|>" in text
    text = shown(rendering(DROPS_SYSTEM), *more, Message("user", "Go"))
    assert "<|im_start|>user\nRhyme.\n\nGo<|im_end|>" in text


def test_merging_is_part_of_the_identity_only_where_it_changes_what_is_shown() -> None:
    assert "system" not in rendering(CHATML).identity
    assert "system" not in rendering(CHATML, system="refuse").identity
    assert rendering(CHATML).fingerprint == rendering(CHATML, system="refuse").fingerprint
    assert rendering(DROPS_SYSTEM).identity["system"] == "merged"
    assert rendering(CHATML, system="merge").identity["system"] == "merged"


def test_a_template_that_does_not_compile_is_told_by_the_first_conversation() -> None:
    assert "system" not in rendering("{% for %}").identity


def test_labels_are_not_scored_inside_a_thought() -> None:
    with pytest.raises(InvalidRequest, match="begins every answer with <think>"):
        rendering(OPENS_A_THOUGHT).reader.split_labels(ASKED, ["a", "b"])
    assert rendering(OPENS_A_THOUGHT).render(ASKED).thinking
    assert not rendering(CLOSES_IT_AGAIN).render(ASKED).thinking
    assert rendering(CLOSES_IT_AGAIN).reader.split_labels(ASKED, ["a", "b"])


def test_a_prompt_that_does_not_fit_costs_one_tokenization_whatever_the_labels() -> None:
    backend = rendering(CHATML)
    with pytest.raises(ContextOverflow):
        backend.reader.split_labels(ASKED, [f"label {n}" for n in range(1500)], 20)
    assert backend.vocabulary.tokenized == 1
