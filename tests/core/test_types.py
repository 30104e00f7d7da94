"""Requests that make no sense cannot be built."""

import math

import pytest

from gateway.core.errors import (
    ConfigError,
    ContextOverflow,
    GatewayError,
    InvalidRequest,
    UnknownModel,
)
from gateway.core.types import GenerationRequest, Message, Sampling, Timings


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("seed", -1),
        ("seed", 2**64),
        ("max_tokens", 0),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("top_k", -1),
        ("min_p", 1.0),
        ("stop", ("",)),
        ("repetition_penalty", 0.0),
        ("presence_penalty", 2.1),
        ("frequency_penalty", math.nan),
        ("logit_bias", ((0, 101.0),)),
        ("logit_bias", ((-1, 1.0),)),
        ("logit_bias", ((0, 1.0), (0, 2.0))),
    ],
)
def test_a_sampling_field_outside_its_range_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(InvalidRequest, match=field) as caught:
        Sampling(**{field: value})  # type: ignore[arg-type]
    assert caught.value.parameter == field


def test_the_defaults_are_greedy_and_seeded() -> None:
    assert (Sampling().temperature, Sampling().seed) == (0.0, 0)


def test_a_request_has_messages_or_a_prompt_and_not_both() -> None:
    with pytest.raises(InvalidRequest):
        GenerationRequest("m")
    with pytest.raises(InvalidRequest):
        GenerationRequest("m", (Message("user", "hi"),), prompt="hi")


def test_an_error_shows_what_to_do() -> None:
    assert str(GatewayError("it broke", hint="mend it")) == "it broke (mend it)"
    assert str(GatewayError("it broke")) == "it broke"
    assert issubclass(UnknownModel, ConfigError)
    assert "700" in str(ContextOverflow(700, 512))


def test_total_time_is_the_sum_of_its_parts() -> None:
    assert Timings(queue_s=1.0, prefill_s=2.0, decode_s=3.0).total_s == 6.0
