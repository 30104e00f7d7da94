"""Keys of an adapter's configuration that peft would leave out without changing its answers: which
are refused, and which are told."""

import pytest

from gateway.models.adapters.config_keys import (
    _OF_ALL,
    _OF_TYPE,
    moves_the_base,
    refusals,
    told,
    unknown_keys,
)
from gateway.models.adapters.kinds import SUPPORTED

LORA = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "use_dora": False, "qalora_group_size": 16}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("use_quaternions", True),
        ("lora_temperature", 0.5),
        ("layer_scales", {"0": 2.0}),
        ("scaling_mode", "squared"),
        ("skip_layers", [3]),
        ("projection_seed", 7),
        ("block_size", 4),
    ],
)
def test_what_may_change_the_arithmetic_is_refused_with_its_value(key: str, value: object) -> None:
    (said,) = refusals({**LORA, key: value})
    assert f"{key} = {value!r}" in said
    assert told({**LORA, key: value}) == ()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("author", "me"),
        ("training_dataset", ["a", "b"]),
        ("learning_rate", 1e-4),
        ("seed", 7),
        ("unsloth_fixed", True),
        ("trained_on", "2026-01-31"),
        ("remark", "of the second try"),
        ("home", "https://example.org/lora"),
    ],
)
def test_what_only_tells_of_the_training_is_told(key: str, value: object) -> None:
    assert refusals({**LORA, key: value}) == ()
    (said,) = told({**LORA, key: value})
    assert said.endswith(f": {key}")


@pytest.mark.parametrize("nothing", [None, False, 0, "", [], {}, "none"])
def test_what_asks_for_nothing_is_passed_over(nothing: object) -> None:
    assert unknown_keys({**LORA, "use_quaternions": nothing}) == ([], [])


def test_a_setting_whose_switch_is_off_changes_nothing() -> None:
    off = {**LORA, "use_rotations": False, "rotations_angle": 90}
    assert unknown_keys(off) == ([], ["rotations_angle"])
    assert unknown_keys({**off, "use_rotations": True})[1] == []


@pytest.mark.needs("peft")
def test_the_known_keys_are_those_of_peft() -> None:
    from peft import PeftType
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    assert _OF_TYPE.keys() == SUPPORTED
    for kind, keys in _OF_TYPE.items():
        fields = set(PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(kind)].__dataclass_fields__)
        assert {*_OF_ALL.split(), *keys.split()} == fields, kind


def test_a_start_that_moves_the_base_s_weights_is_known() -> None:
    assert moves_the_base({**LORA, "init_lora_weights": "pissa_niter_4"})
    assert not any(moves_the_base({**LORA, "init_lora_weights": each}) for each in (True, "eva"))
    assert "changed with it" in refusals({**LORA, "init_lora_weights": "lora_ga"})[0]


def test_an_alpha_of_zero_leaves_nothing_of_it_and_is_told() -> None:
    assert told({**LORA, "lora_alpha": 0}) == ("lora_alpha is 0: its pairs change nothing",)
    assert told(LORA) == ()
