"""What of a conversation comes to the model."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.core.errors import ContextOverflow, InvalidRequest
from gateway.core.types import Constraint, GenerationRequest, Message, Sampling
from gateway.engine.reader import Reader
from gateway.engine.tokenizer import Segment
from gateway.models.chat_template import Written
from gateway.models.spec import ModelSpec, PathSource
from tests.support.rendering import (
    CHATML,
    CLOSES_IT_AGAIN,
    DROPS_SYSTEM,
    OPENS_A_THOUGHT,
    REFUSES_SYSTEM,
    Bytes,
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
    with pytest.raises(InvalidRequest, match="begins every answer with a thought"):
        rendering(OPENS_A_THOUGHT).reader.split_labels(ASKED, ["a", "b"])
    assert rendering(OPENS_A_THOUGHT).render(ASKED).thinking
    assert not rendering(CLOSES_IT_AGAIN).render(ASKED).thinking
    assert rendering(CLOSES_IT_AGAIN).reader.split_labels(ASKED, ["a", "b"])


def test_a_prompt_that_does_not_fit_costs_one_tokenization_whatever_the_labels() -> None:
    backend = rendering(CHATML)
    backend.vocabulary.tokenized = 0
    with pytest.raises(ContextOverflow):
        backend.reader.split_labels(ASKED, [f"label {n}" for n in range(1500)], 20)
    assert backend.vocabulary.tokenized == 1


def test_a_prompt_that_is_asked_for_again_is_rendered_once() -> None:
    backend = rendering(CHATML)
    backend.vocabulary.tokenized = 0
    first = backend.reader.render(ASKED)
    assert backend.reader.render(replace(ASKED, sampling=Sampling(max_tokens=3))) is first
    assert backend.vocabulary.tokenized == 1
    backend.reader.render(replace(ASKED, answer_start="So"))
    assert backend.vocabulary.tokenized == 2


class Words(Bytes):
    """Bytes, and three control tokens."""

    control_pattern = re.compile(r"<\|im_end\|>|<\|im_start\|>|</s>")
    end_tokens = (258,)
    _texts = ("<|im_end|>", "<|im_start|>", "</s>")

    def tokenize(self, segments: Sequence[Segment], *, add_special: bool) -> list[int]:
        text = "".join(each for each, _ in segments)
        if text in self._texts:
            return [256 + self._texts.index(text)]
        return super().tokenize(segments, add_special=add_special)

    def piece(self, token: int) -> bytes:
        return b"" if token > 255 else bytes([token])

    def token_text(self, token: int) -> str:
        return self._texts[token - 256] if token > 255 else chr(token)


def reader(template: str, **entry: Any) -> Reader:
    return Reader(ModelSpec("m", PathSource(Path()), chat_template=template, **entry), Words())


@pytest.mark.parametrize("template", [CHATML, CLOSES_IT_AGAIN])
def test_an_answer_ends_where_the_template_ends_a_turn_and_a_person_is_told(template: str) -> None:
    read = reader(template)
    assert read.turn_ends == {"<|im_end|>": 256}
    assert read.vocabulary.end_tokens == {256, 258}
    assert {256, 258} <= set(read.vocabulary.stop_ids.tolist())
    assert read.identity["turn_end"] == "<|im_end|>"
    (said,) = read.warnings
    assert "ends an answer with <|im_end|>, and its configuration with </s>" in said


@pytest.mark.parametrize(
    "template",
    [
        CHATML.replace("<|im_end|>", "</s>"),
        # An answer is put into a channel, and what ends it there does not end all.
        CHATML.replace("{{ m.role }}\n", "{{ m.role }}\n<|im_start|>final"),
        # It begins the next answer, whether asked to or not.
        "{% for m in messages %}{{ m.content }}{% endfor %}<|im_start|>",
        "plain",
        "{{ nothing.at.all }}",
    ],
)
def test_where_the_template_names_no_other_end_nothing_is_added(template: str) -> None:
    read = reader(template)
    assert read.vocabulary.end_tokens == {258}
    assert "turn_end" not in read.identity
    assert read.warnings == ()


def test_an_end_of_turn_that_is_no_token_of_the_model_is_told_with_what_to_do() -> None:
    template = CHATML.replace("<|im_end|>", "<|end_of_it|>")
    (said,) = reader(template).warnings
    assert "no token of the model" in said
    assert 'end_of_turn = "<|end_of_it|>"' in said
    assert reader(template, end_of_turn="<|end_of_it|>").warnings == ()


def test_an_entry_s_end_of_turn_may_be_a_control_token() -> None:
    assert reader("plain", end_of_turn="<|im_end|>").vocabulary.end_tokens == {256, 258}
    assert reader("plain", end_of_turn="\n").turn_ends == {}


SWITCHED = CHATML.replace(
    "assistant\n{% endif",
    "assistant\n<think>\n{% if enable_thinking is false %}\n</think>\n\n{% endif %}{% endif",
)


class Thinker(Words):
    """A vocabulary with tags."""

    _texts = ("<|im_end|>", "</think>", "<think>")
    control_pattern = re.compile(r"<\|im_end\|>|</?think>")


def thinker(template: str, **entry: Any) -> Reader:
    return Reader(ModelSpec("m", PathSource(Path()), chat_template=template, **entry), Thinker())


def test_labels_stand_behind_a_thought_that_the_template_closes() -> None:
    read = thinker(SWITCHED)
    prompt, _ = read.split_labels(ASKED, ["a", "b"])
    assert bytes(t for t in prompt if t < 256).decode().endswith("<think>\n</think>\n\n")
    assert read.identity["labels"] == "behind a closed thought"
    assert read.render(ASKED).thinking


def test_or_behind_its_end_tag_where_there_is_no_switch_but_a_token() -> None:
    read = thinker(OPENS_A_THOUGHT)
    prompt, _ = read.split_labels(ASKED, ["a", "b"])
    assert bytes(t for t in prompt if t < 256).decode().endswith("<think>\n\n</think>\n\n")
    assert "labels" not in thinker(CHATML).identity


def test_what_must_be_an_answer_is_none_within_a_thought() -> None:
    read = thinker(SWITCHED)
    assert not read.render(replace(ASKED, constraint=Constraint("regex", "a"))).thinking
    assert not read.render(replace(ASKED, answer_start="Label:")).thinking
    begun = read.render(replace(ASKED, answer_start="<think>so"))
    assert begun.thinking
    assert begun.text.endswith("<think>\n<think>so")


def test_a_thought_that_is_written_first_is_begun_and_the_rest_stands_behind_it() -> None:
    held = replace(
        ASKED,
        constraint=Constraint("regex", "a"),
        answer_start="<call>",
        thinks_first=True,
        thinking_budget=9,
    )
    for template in (SWITCHED, CHATML + "{# <think>\\n #}"):
        read = thinker(template)
        made = read.render(held)
        assert made.text.endswith("assistant\n<think>\n")
        assert made.thinking
        rules = read.thought_rules(held, opened=True)
        assert rules is not None
        assert (rules.budget, rules.first, rules.start.text) == (9, True, "<call>")
        assert rules.tokens_of(Written(rules.tags.tag, bytes(8))) == [257]


def test_a_budget_bounds_what_may_think_and_nothing_else() -> None:
    read = thinker(SWITCHED, thinking_budget=5)
    rules = read.thought_rules(ASKED, opened=True)
    assert rules is not None
    assert (rules.budget, rules.first) == (5, False)
    asked = read.thought_rules(replace(ASKED, thinking_budget=3), opened=True)
    assert asked is not None
    assert asked.budget == 3
    held = replace(ASKED, constraint=Constraint("regex", "a"))
    assert read.thought_rules(held, opened=False) is None
    assert thinker(CHATML, thinking_budget=5).thought_rules(ASKED, opened=False) is None
    assert read.identity["thinking_budget"] == "5"
    with pytest.raises(InvalidRequest, match="knows of no thought"):
        thinker(CHATML).render(replace(held, thinks_first=True))


def test_an_answer_behind_a_thought_that_was_written_stays_behind_it() -> None:
    read = thinker(SWITCHED)
    made = read.render(replace(ASKED, answer_start="because\n</think>\nLabel:"))
    assert made.text.endswith("<think>\nbecause\n</think>\nLabel:")
    assert not made.thinking
    prompt, _ = read.split_labels(replace(ASKED, answer_start="so</think>"), ["a", "b"])
    assert bytes(t for t in prompt if t < 256).decode().endswith("assistant\n<think>\nso</think>")


def test_a_request_s_word_goes_before_the_entry_s_and_both_are_told() -> None:
    read = thinker(SWITCHED, reasoning="off")
    assert read.identity["reasoning"] == "off"
    assert not read.render(ASKED).thinking
    assert read.render(replace(ASKED, reasoning="on")).thinking
    with pytest.raises(InvalidRequest, match="only on and off"):
        read.render(replace(ASKED, reasoning="low"))


def test_an_entry_that_thinks_has_its_labels_behind_a_closed_thought_too() -> None:
    prompt, _ = thinker(SWITCHED, reasoning="on").split_labels(ASKED, ["a", "b"])
    assert bytes(t for t in prompt if t < 256).decode().endswith("<think>\n\n</think>\n\n")
    effort = CHATML.replace("{{ m.content }}", "{{ reasoning_effort }}{{ m.content }}")
    assert "low" in thinker(effort, reasoning="low").render(ASKED).text


def test_a_constrained_answer_stands_behind_its_channel_s_header() -> None:
    header = "{% if m.role == 'assistant' %}<|channel|>final<|message|>{% endif %}{{ m.content }}"
    read = thinker(CHATML.replace("{{ m.content }}", header))
    held = replace(ASKED, constraint=Constraint("regex", "a"))
    assert read.render(held).text.endswith("assistant\n<|channel|>final<|message|>")
    assert read.render(ASKED).text.endswith("assistant\n")


def test_a_template_is_given_what_it_reads_and_nothing_else() -> None:
    read = thinker(SWITCHED)
    given = replace(ASKED, template_variables='{"enable_thinking": false}')
    assert not read.render(given).thinking
    for name in ("unheard_of", "messages", "add_generation_prompt"):
        with pytest.raises(InvalidRequest, match="does not read"):
            read.render(replace(ASKED, template_variables=f'{{"{name}": 1}}'))


LAST_ONLY = "{{ messages[-1]['content'] }}"
QUESTIONS_ONLY = "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "said"), [(LAST_ONLY, "the last question"), (QUESTIONS_ONLY, "earlier answers")]
)
def test_turns_that_a_template_drops_are_refused_by_name(template: str, said: str) -> None:
    turns = (Message("user", "Hi"), Message("assistant", "Yes?"), Message("user", "Go on"))
    backend = rendering(template)
    with pytest.raises(InvalidRequest, match=said) as caught:
        backend.render(GenerationRequest("m", turns if "answers" in said else turns[::2]))
    assert "chat_template" in caught.value.hint
    assert backend.render(GenerationRequest("m", turns[:1])).text == "Hi"
