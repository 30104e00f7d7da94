"""A thought ends at its budget, and an answer of a given form begins behind it."""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.types import Sampling
from gateway.engine.context import Logits
from gateway.engine.generation import generate
from gateway.engine.jobs import Generated, Job, Vocabulary
from gateway.engine.sampling import Floats
from gateway.engine.thinking import ThoughtRules
from gateway.models.chat_template import Written
from gateway.models.families.thoughts import ThoughtTags
from gateway.models.reasoning import Parting, part, tokens_in

END = 0
PIECES = (
    *("", "<think>", "</think>", "\n", "\n\n", ">\n\n", ">{", "</", "think", ">", "<b>", "{", "}"),
    *("a", "b ", '"</think>"', "<|end|>", "<|start|>", "assistant", "<|channel|>", "final"),
    *("analysis", "<|message|>", "commentary to=f ", "commentary", "to=f", " ", "stop"),
)
VOCABULARY = Vocabulary(lambda i: PIECES[i].encode(), frozenset((END,)), np.array([END]))
THINK = ThoughtTags("", "\n", "</think>", "\n\n")
CHANNELS = ThoughtTags(
    "<|channel|>analysis<|message|>",
    "",
    "<|end|><|start|>assistant<|channel|>final<|message|>",
    "",
)


def tokens_of(text: Written) -> list[int]:
    """The longest pieces that a text is made of."""
    known = sorted(filter(None, PIECES), key=len, reverse=True)
    return [PIECES.index(each) for each in re.findall("|".join(map(re.escape, known)), text.text)]


class Braces:
    """Lets out "{", then "a" or "}", and ends behind that."""

    def masked(self, logits: Floats) -> Floats:
        allowed = np.full_like(logits, -np.inf)
        for piece in ("{", "a", "}"):
            allowed[PIECES.index(piece)] = logits[PIECES.index(piece)]
        return allowed

    def finished_by(self, token: int) -> bool:
        return PIECES[token] == "}"


def written(
    script: Sequence[str],
    rules: ThoughtRules | None,
    *,
    most: int = 40,
    matcher: Braces | None = None,
    stop: Sequence[str] = (),
) -> Generated:
    """What comes of a model that wants to write these pieces, one at each place."""
    sampling = Sampling(max_tokens=most, stop=tuple(stop))
    job = generate([1], VOCABULARY, sampling, thought=rules, matcher=matcher)
    next(job)
    for place in range(most):
        row = np.zeros(len(PIECES), dtype=np.float32)
        wanted = script[place] if place < len(script) else ""
        row[PIECES.index(wanted)] = 1.0
        if (done := sent(job, row)) is not None:
            return done
    raise AssertionError("it never ends")


def sent(job: Job, row: Logits) -> Generated | None:
    """What a job gives that ends with these logits; None: it goes on."""
    try:
        job.send([row])
    except StopIteration as stopped:
        done: Generated = stopped.value
        return done
    return None


def rules(tags: ThoughtTags = THINK, **more: object) -> ThoughtRules:
    made = ThoughtRules(tags, tokens_of, opened=True)
    return replace(made, **more)  # type: ignore[arg-type]


def thought_tokens(done: Generated, *, opened: bool = True, only: bool = False) -> int:
    return tokens_in(done.text, done.ends, opened=opened, only=only)


def test_a_thought_ends_at_its_budget_and_the_answer_follows() -> None:
    done = written(["a", "b ", "a", "a", "a", "b "], rules(budget=3))
    assert done.text == "ab a\n</think>b "
    assert thought_tokens(done) == 3
    assert done.finish_reason == "stop"


def test_a_thought_within_its_budget_is_left_alone() -> None:
    script = ["a", "</think>", "\n\n", "b "]
    assert written(script, rules(budget=3)).token_ids == written(script, None).token_ids


def test_what_stands_of_the_tag_is_not_written_twice() -> None:
    done = written(["a", "</", "think", "a", "b "], rules(budget=3))
    assert done.text.startswith("a</think>")
    assert thought_tokens(done) == 1


def test_a_thought_that_the_model_begins_is_bounded_too() -> None:
    done = written(["a", "<think>", "a", "b ", "a"], rules(budget=2, opened=False))
    assert done.text.startswith("a<think>ab \n</think>")


@pytest.mark.parametrize(
    ("script", "text"),
    [
        (["a", "</think>", "?", "{", "a", "}"], "a</think>\n\n{a}"),
        (["a", "</think>", "{", "{", "a", "}"], "a</think>\n\n{a}"),
        (["a", "</", "think", ">\n\n", "{", "a", "}"], "a</think>\n\n{a}"),
        (["a", "</", "think", ">{", "\n\n", "{", "}"], "a</think>\n\n{}"),
        (["a", "", "?", "?", "{", "}"], "a\n</think>\n\n{}"),
        (["</think>", "?", "{", "}"], "</think>\n\n{}"),
        (["<think>", "a", "</think>", "?", "{", "}"], "<think>a</think>\n\n{}"),
    ],
)
def test_a_form_holds_behind_the_closed_thought(script: list[str], text: str) -> None:
    script = ["b " if each == "?" else each for each in script]
    done = written(script, rules(first=True), matcher=Braces())
    assert done.text == text
    said = part(done.text, opened=True, only=True)
    assert said is not None
    assert said.answer == text.partition("</think>")[2].strip()


def test_a_channel_ends_with_its_first_token_and_the_answer_has_its_own() -> None:
    script = ["a", "<|end|>", *["b "] * 5, "{", "}"]
    done = written(script, rules(CHANNELS, first=True), matcher=Braces())
    assert done.text == "a<|end|><|start|>assistant<|channel|>final<|message|>{}"
    said = part(done.text, opened=True, only=True)
    assert said is not None
    assert (said.text, said.answer) == ("a", "{}")


def test_the_beginning_of_a_call_stands_behind_the_thought() -> None:
    start = Written("<b>", bytes(3))
    script = ["a", "</think>", "b ", "b ", "{", "}"]
    done = written(script, rules(first=True, start=start), matcher=Braces())
    assert done.text == "a</think>\n\n<b>{}"


def test_an_unfinished_thought_has_no_answer() -> None:
    done = written(["a"] * 9, rules(first=True), most=5, matcher=Braces())
    assert (done.text, done.finish_reason, thought_tokens(done)) == ("aaaaa", "length", 5)
    said = part(done.text, opened=True, only=True)
    assert said is not None
    assert said.answer is None


def test_a_stop_text_ends_a_thought_and_the_answer_with_it() -> None:
    done = written(["a", "stop", "b "], rules(first=True), matcher=Braces(), stop=["stop"])
    assert (done.text, done.finish_reason) == ("a", "stop")


SCRIPTS = st.lists(st.sampled_from(PIECES[1:]), max_size=12)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(SCRIPTS, st.integers(1, 5), st.booleans(), st.sampled_from([THINK, CHANNELS]), st.booleans())
def test_no_thought_is_longer_than_its_budget_and_every_form_is_kept(
    script: list[str], budget: int, first: bool, tags: ThoughtTags, stops: bool
) -> None:
    bounded = rules(tags, budget=budget, first=first)
    matcher = Braces() if first else None
    done = written([*script, *"{a}"], bounded, matcher=matcher, stop=["stop"] if stops else [])
    assert len(done.ends) == len(done.token_ids)
    assert thought_tokens(done, only=first) <= budget
    said = part(done.text, opened=True, only=first)
    assert said is not None
    if first and done.finish_reason == "stop" and said.answer is not None and not stops:
        assert re.fullmatch(r"[a{]*\}", said.answer), done.text


@settings(max_examples=150, deadline=None, derandomize=True)
@given(SCRIPTS, st.booleans(), st.booleans(), st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_a_stream_parts_as_the_whole_does_where_there_is_one_thought(
    script: list[str], opened: bool, begins: bool, sizes: list[int]
) -> None:
    text = ("<think>" if begins else "") + "".join(script)
    ends = list(accumulate(sizes * len(text)))
    cuts = [0, *(end for end in ends if end < len(text)), len(text)]
    parting = Parting(opened=opened, only=True)
    told = [parting.add(text[a:b]) for a, b in pairwise(cuts)]
    whole = part(text, opened=opened, only=True)
    wanted = (whole.text, whole.answer or whole.before) if whole else ("", text)
    told.append(parting.rest(*wanted))
    assert ("".join(t for t, _ in told), "".join(a for _, a in told)) == wanted


@pytest.mark.parametrize(
    ("pieces", "opened", "count"),
    [
        (["a", "b ", "</think>", "a"], True, 2),
        (["<think>", "a", "</think>", "b "], False, 1),
        (["<think>", "\n", "a", "\n", "</", "think", ">\n\n", "b "], False, 1),
        (["<think>", "</think>", "a"], False, 0),
        (["a", "b "], False, 0),
        (["a", "b "], True, 2),
    ],
)
def test_the_tokens_of_a_thought_are_counted_without_its_tags(
    pieces: list[str], opened: bool, count: int
) -> None:
    ends = list(accumulate(map(len, pieces)))
    assert tokens_in("".join(pieces), ends, opened=opened) == count
