"""What a model thinks is parted from what it answers."""

from itertools import cycle

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.core.types import Message, Reasoning
from gateway.models.reasoning import CLOSING, OPENING, Parting, opens, part


@pytest.mark.parametrize(
    ("text", "thought", "answer"),
    [
        ("<think>\nbug or feature?\n</think>\n\nquestion", "bug or feature?", "question"),
        ("<think></think>bug", "", "bug"),
        ("<think>a</think><think>b</think> bug", "a\nb", "bug"),
        ("Well, <think>a bug?</think>no bug", "a bug?", "Well, no bug"),
        ("bug or feature?</think>question", "bug or feature?", "question"),
        ("<think>a bug", "a bug", None),
        ("<think>a</think>\n<think>c", "a\nc", None),
        ("</think>", "", ""),
        ("<think>a <think>b</think> c</think>bug", "a\nb\nc", "bug"),
        ("<think>a <think>b</think> a bug", "a\nb\na bug", None),
        ("<think>\n<think>a</think>bug", "a", "bug"),
        ("a</think>b</think>bug", "a\nb", "bug"),
        ("<Think>a</THINK>bug", "a", "bug"),
        ("<thinking>a</thinking>bug", "a", "bug"),
        ("<thought>a</thought>bug", "a", "bug"),
        ("<reasoning>a bug", "a bug", None),
        ("<|think|>a<|/think|>bug", "a", "bug"),
        ("[THINK]a[/THINK]bug", "a", "bug"),
        ("[THINK]a bug", "a bug", None),
        ("◁think▷a◁/think▷bug", "a", "bug"),
        ("<|begin_of_thought|>a<|end_of_thought|>bug", "a", "bug"),
        ("<|START_THINKING|>a<|END_THINKING|>bug", "a", "bug"),
        (
            "<|channel|>analysis<|message|>a bug?<|end|><|start|>assistant"
            "<|channel|>final<|message|>no bug",
            "a bug?",
            "no bug",
        ),
        ("<|channel|>analysis<|message|>a bug", "a bug", None),
        ("<|channel|>analysis<|message|>a bug<|end|><|start|>assis", "a bug", None),
        ("<think>a < b</thi", "a < b", None),
        (
            "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>analysis<|message|>"
            "b<|end|><|start|>assistant<|channel|>final<|message|>no bug",
            "a\nb",
            "no bug",
        ),
        (
            "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary"
            "<|message|>I look.<|end|><|start|>assistant<|channel|>commentary to=f json<|message|>",
            "a\nI look.",
            "<|channel|>commentary to=f json<|message|>",
        ),
        (
            "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary to=f "
            "json<|message|>{}",
            "a",
            "<|channel|>commentary to=f json<|message|>{}",
        ),
        (
            "<|open|>think<|sep|>a<|close|>think<|sep|><|open|>response<|sep|>bug<|close|>response"
            "<|sep|><|close|>message<|sep|>",
            "a",
            "bug",
        ),
    ],
)
def test_a_thought_is_parted_from_the_answer(text: str, thought: str, answer: str | None) -> None:
    assert part(text) == Reasoning(thought, answer)


def test_what_was_said_before_a_thought_that_does_not_end_is_kept() -> None:
    assert part("bug <think>or") == Reasoning("or", None, "bug ")
    assert part("<think>a</think>b<think>c") == Reasoning("a\nc", None, "b")


def test_a_thought_that_the_prompt_began_ends_with_its_tag_alone() -> None:
    assert part("a bug?\n</think>\nno", opened=True) == Reasoning("a bug?", "no")
    assert part("a bug?", opened=True) == Reasoning("a bug?", None)
    assert part("<think>\na bug?</think>no", opened=True) == Reasoning("a bug?", "no")


def test_behind_a_thought_a_tag_that_ends_none_makes_no_thought_of_the_answer() -> None:
    assert part("a</think>b </think>c", opened=True) == Reasoning("a", "b c")
    assert part("<think>a</think>b </think>c") == Reasoning("a", "b c")


@pytest.mark.parametrize("text", ["<b>bug</b>", "I think: bug", "[x] bug", "<thinker>bug", "a<b"])
def test_other_brackets_are_text(text: str) -> None:
    assert part(text) is None


@given(st.text())
def test_without_a_tag_there_is_no_thought(text: str) -> None:
    if "<" not in text and "[" not in text and "◁" not in text:
        assert part(text) is None


@given(st.lists(st.sampled_from([OPENING, CLOSING, "a ", "bug ", "\n"])).map("".join))
def test_no_tag_is_left_and_nothing_else_is_lost(text: str) -> None:
    found = part(text)
    whole = text if found is None else f"{found.text} {found.answer or ''}"
    assert OPENING not in whole
    assert CLOSING not in whole
    if found is None or found.answer is not None:
        assert len(whole.split()) == len(text.replace(OPENING, " ").replace(CLOSING, " ").split())


def test_a_message_that_ends_with_the_tag_begins_no_thought() -> None:
    said = (Message("user", "What does <think>"),)
    assert opens("user: hi\nassistant: <think>\n", (Message("user", "hi"),))
    assert not opens("user: What does <think>", said)
    assert opens("assistant: [THINK]", (Message("user", "hi"),))
    assert not opens("user: hi\nassistant: <think>\n\n</think>\n\n", (Message("user", "hi"),))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize(
    ("text", "opened"),
    [
        ("  Just <b>text</b> [1] < 2\n", False),
        ("<think>\nfirst\n\nsecond\n</think>\n\nThe answer", False),
        ("so it is\n</think>\nYes", True),
        ("<think>so it is\n</think>\nYes", True),
        ("never ends", True),
        ("[THINK]a [b] c[/THINK]d", False),
        (
            "<|channel|>analysis<|message|>a<|start|>assistant<|channel|>final<|message|>b",
            False,
        ),
        ("<think>a</think>b <think>c</think> d", False),
        ("<|open|>think<|sep|>a<|close|>think<|sep|><|open|>response<|sep|>b", False),
        ("<|open|>response<|sep|>b<|close|>response<|sep|><|close|>message<|sep|>", False),
        ("<|start|>assistant<|channel|>commentary to=f json<|message|>{}<|call|>", False),
        ("<think>a</think>b <think>never ends", False),
        ("b <think>never ends", True),
    ],
)
def test_a_text_that_grows_is_parted_as_the_whole_is(text: str, opened: bool, size: int) -> None:
    parting = Parting(opened=opened)
    whole = part(text, opened=opened)
    wanted = (whole.text, whole.answer or whole.before) if whole else ("", text)
    told = [parting.add(text[at : at + size]) for at in range(0, len(text), size)]
    told.append(parting.rest(*wanted))
    assert ("".join(t for t, _ in told), "".join(a for _, a in told)) == wanted


PIECES = (
    *(
        OPENING,
        CLOSING,
        f'"{CLOSING}"',
        "[THINK]",
        "[/THINK]",
        "<|open|>think<|sep|>",
        "<|close|>response<|sep|>",
    ),
    *("<|channel|>analysis<|message|>", "<|end|>", "<|start|>assistant", "<|channel|>final"),
    *("<|message|>", "<|channel|>commentary to=f", " to=", "a", "b ", "\n", "<", "Here are my"),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    pieces=st.lists(st.sampled_from(PIECES), max_size=8),
    cuts=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    opened=st.booleans(),
)
def test_however_it_is_cut_a_stream_parts_as_the_whole(
    pieces: list[str], cuts: list[int], opened: bool
) -> None:
    text = "".join(pieces)
    parting, sizes, at = Parting(opened=opened), cycle(cuts), 0
    told = []
    while at < len(text):
        size = next(sizes)
        told.append(parting.add(text[at : at + size]))
        at += size
    whole = part(text, opened=opened)
    wanted = (whole.text, whole.answer or whole.before) if whole else ("", text)
    # A tag that ends what none began makes a thought of what was told as an answer.
    begun = opened and " to=" not in text
    assume(begun or "".join(answer for _, answer in told) in wanted[1])
    told.append(parting.rest(*wanted))
    assert ("".join(t for t, _ in told), "".join(a for _, a in told)) == wanted
