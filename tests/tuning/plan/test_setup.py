"""What is planned is what `gateway tune` does: one list of targets, the same defaults."""

import pytest

from gateway.core.errors import ConfigError
from gateway.tuning.adapter import linear_names
from gateway.tuning.plan.architecture import families
from gateway.tuning.plan.hyperparameters import WARM_SHARE, ranges, steps
from gateway.tuning.plan.parameters import targets_of
from gateway.tuning.plan.setup import Setup
from gateway.tuning.recipe import TARGETS, Recipe, targeted
from tests.tuning.plan.building import build

CHOICES = (*TARGETS, "q_proj,v_proj", "qkv_proj", "attention,mlp", "qv,down_proj", "nothing", "")
DEFAULT = Recipe()


@pytest.mark.parametrize("name", families())
def test_the_same_layers_are_planned_for_and_trained(name: str) -> None:
    a = families()[name]
    linear = linear_names(build(a, 1))
    for text in CHOICES:
        try:
            trained = targeted(linear, text)
        except ConfigError:
            with pytest.raises(ConfigError, match="--targets"):
                targets_of(a, text)
        else:
            assert sorted(x.name for x in targets_of(a, text)) == trained


def test_a_plan_begins_with_the_recipe_s_defaults() -> None:
    setup = Setup("lora", targets=targets_of(families()["llama-3.1-8b"], DEFAULT.targets))
    assert (setup.rank, setup.dropout) == (DEFAULT.rank, DEFAULT.dropout)
    assert setup.context == DEFAULT.max_tokens
    assert steps(100, setup).epochs == DEFAULT.epochs
    assert DEFAULT.warmup == WARM_SHARE
    begin = {each.name: each.begin for each in ranges(setup)}
    told = [begin[name] for name in ("rank", "alpha", "dropout", "learning rate", "epochs")]
    recipe = (DEFAULT.rank, DEFAULT.alpha, DEFAULT.dropout, DEFAULT.learning_rate, DEFAULT.epochs)
    assert [float(text) for text in told] == list(recipe)
    assert (begin["sequences in a step"], begin["target matrices"]) == ("16", DEFAULT.targets)
    assert begin["numbers of the base"] == DEFAULT.dtype
    assert begin["warm-up"] == f"{DEFAULT.warmup:.0%}"
