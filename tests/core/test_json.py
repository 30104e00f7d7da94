"""What is written of a request and its answer is all of it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import DataError
from gateway.core.json import (
    Strictness,
    completion_from_json,
    completion_to_json,
    read_json,
    reader_of,
    request_from_json,
    request_to_json,
)
from gateway.core.types import (
    Completion,
    Constraint,
    GenerationRequest,
    Message,
    Reasoning,
    Sampling,
    TokenLogprob,
    Tool,
    ToolCall,
    Usage,
)
from gateway.scoring.results import Prediction, Status

TOKENS = st.integers(0, 2**31 - 1)
CALLS = st.builds(ToolCall, st.text(), st.text(), st.text())
MESSAGES = st.builds(
    Message,
    st.sampled_from(("system", "user", "assistant", "tool")),
    st.text(),
    st.lists(CALLS, max_size=2).map(tuple),
    st.text(),
)
SAMPLING = st.builds(
    Sampling,
    temperature=st.floats(0, 100),
    seed=st.integers(0, 2**64 - 1),
    sample=st.integers(0, 2**32 - 1),
    max_tokens=st.integers(1, 1_000_000),
    stop=st.lists(st.text(min_size=1), max_size=3).map(tuple),
    top_p=st.floats(0, 1, exclude_min=True),
    top_k=st.integers(0, 1000),
    min_p=st.floats(0, 1, exclude_max=True),
    repetition_penalty=st.floats(0, 10, exclude_min=True),
    presence_penalty=st.floats(-2, 2),
    frequency_penalty=st.floats(-2, 2),
    logit_bias=st.dictionaries(TOKENS, st.floats(-100, 100), max_size=3).map(
        lambda d: tuple(d.items())
    ),
)
CONSTRAINTS = st.one_of(
    st.builds(Constraint, st.just("choices"), st.lists(st.text()).map(tuple)),
    st.builds(Constraint, st.sampled_from(("json_schema", "regex")), st.text()),
)
COMMON = {
    "answer_start": st.text(),
    "sampling": SAMPLING,
    "constraint": st.none() | CONSTRAINTS,
    "logprobs": st.none() | st.integers(0, 1000),
}
REQUESTS = st.one_of(
    st.builds(
        GenerationRequest,
        st.text(),
        messages=st.lists(MESSAGES, min_size=1, max_size=3).map(tuple),
        tools=st.lists(st.builds(Tool, st.text(), st.text(), st.text()), max_size=2).map(tuple),
        **COMMON,
    ),
    st.builds(GenerationRequest, st.text(), prompt=st.text(), **COMMON),
    st.builds(
        GenerationRequest,
        st.text(),
        prompt_tokens=st.lists(TOKENS, min_size=1, max_size=5).map(tuple),
        **COMMON,
    ),
)
LOGS = st.floats(max_value=0, allow_nan=False)
TOP = st.lists(st.tuples(TOKENS, st.text(), LOGS), max_size=2).map(tuple)
COMPLETIONS = st.builds(
    Completion,
    st.text(),
    st.lists(TOKENS, max_size=4).map(tuple),
    st.sampled_from(("stop", "length")),
    st.builds(Usage, st.integers(0), st.integers(0)),
    st.text(),
    st.none()
    | st.lists(
        st.builds(TokenLogprob, TOKENS, st.text(), LOGS, TOP, st.none() | LOGS, TOP), max_size=3
    ).map(tuple),
    reasoning=st.none() | st.builds(Reasoning, st.text(), st.none() | st.text()),
)


@given(REQUESTS)
def test_a_request_comes_back_as_it_went_in(request: GenerationRequest) -> None:
    text = request_to_json(request)
    found = request_from_json(text)
    assert found == request
    # Equality takes 0.0 for -0.0 and 1 for 1.0; the text tells them apart.
    assert request_to_json(found) == text


@given(COMPLETIONS)
def test_a_completion_comes_back_as_it_went_in(completion: Completion) -> None:
    text = completion_to_json(completion)
    found = completion_from_json(text)
    assert found == completion
    assert completion_to_json(found) == text


@pytest.mark.parametrize("where", ["request", "sampling", "message"])
def test_a_field_that_is_not_known_is_an_error(where: str) -> None:
    raw = json.loads(request_to_json(GenerationRequest("m", (Message("user", "Hi"),))))
    place = {"request": raw, "sampling": raw["sampling"], "message": raw["messages"][0]}[where]
    place["mirostat"] = 2
    with pytest.raises(DataError, match="mirostat"):
        request_from_json(json.dumps(raw))


def test_what_is_wrong_is_named_by_its_place() -> None:
    text = '{"model": "m", "sampling": {"logit_bias": [[1, 2], [3]]}}'
    with pytest.raises(
        DataError, match=r"sampling\.logit_bias\[1\] is \[3\]; expected a list of 2"
    ):
        request_from_json(text)


def test_keys_of_another_version_are_passed_over_where_that_is_asked_for() -> None:
    text = '{"prompt_tokens": 1, "completion_tokens": 2, "cached": 3}'
    assert read_json(Usage, text, "usage", reading=Strictness(strangers=True)) == Usage(1, 2)
    with pytest.raises(DataError, match=r"usage: usage has unknown keys: \['cached'\]"):
        read_json(Usage, text, "usage")


def test_a_number_is_kept_as_it_is_written() -> None:
    text = '{"answer":3,"cell":"c","gold":3.0,"item_id":"i","status":"ok"}'
    found = read_json(Prediction, text, "prediction")
    assert (repr(found.answer), repr(found.gold), found.status) == ("3", "3.0", Status.OK)


def test_objects_of_other_keys_and_types_are_read_by_what_they_are() -> None:
    read = reader_of(Sampling)
    assert read({"temperature": 1, "seed": 3}) == Sampling(temperature=1, seed=3)
    assert read({"seed": 3, "temperature": 0.5}) == Sampling(temperature=0.5, seed=3)
    for wrong in (True, None, 3.0, "3"):
        for _ in range(2):
            with pytest.raises(DataError, match=r"sampling\.seed is"):
                read({"seed": wrong})
    with pytest.raises(DataError, match="unknown keys"):
        read({"seed": 3, "sede": 4})
