import pytest

from gateway.core.errors import ConfigError
from gateway.tuning.recipe import Recipe


def test_the_defaults_are_those_of_the_field() -> None:
    recipe = Recipe()
    assert (recipe.rank, recipe.alpha, recipe.learning_rate) == (16, 32.0, 2e-4)
    assert recipe.table()["targets"] == "all-linear"
    assert "seed" not in recipe.table(), "a card has a line of its own for it"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rank": 0}, "--rank 0 is not between 1 and 1024"),
        ({"learning_rate": float("nan")}, "--learning-rate nan"),
        ({"held_out": 0.9}, "--held-out 0.9"),
        ({"max_tokens": 4}, "--max-tokens 4"),
        ({"dtype": "float8"}, "--dtype float8"),
        ({"quantize": "int3"}, "--quantize int3"),
    ],
)
def test_what_is_out_of_bounds_is_named_as_the_option(
    changes: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        Recipe(**changes)  # type: ignore[arg-type]
