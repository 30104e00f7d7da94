"""Models x quantizations x adapters, and what is said of a level that is not made yet."""

from pathlib import Path

import pytest

from gateway.core.errors import ConfigError, UnknownModel
from gateway.evaluation.experiment.grid import check_levels, entries_of
from gateway.models.file import Models
from gateway.models.spec import ModelSpec, PathSource


def known(*names: str) -> Models:
    return Models({name: ModelSpec(name, PathSource(Path())) for name in names}, names[0])


def test_without_levels_and_adapters_models_are_what_they_are_called() -> None:
    names = ("a", "a+x", "ollama:team/b:1b")
    assert tuple(entry.name for entry in entries_of(names, ["none"], ["none"])) == names


def test_an_entry_is_called_as_gateway_quantize_calls_it() -> None:
    (entry,) = entries_of(["a"], ["q4_k"], ["x"])
    assert (entry.base, entry.name) == ("a-q4_k_m", "a-q4_k_m+x")


@pytest.mark.parametrize(
    ("model", "levels", "adapters", "said"),
    [
        ("a+x", ["Q8_0"], ["none"], "'a+x' has an adapter, beside quantizations or adapters"),
        ("a+x", ["none"], ["y"], "'a+x' has an adapter, beside quantizations or adapters"),
        ("ollama:a", ["none", "Q8_0"], ["none"], "'ollama:a' is on a server"),
    ],
)
def test_what_can_have_no_level_or_no_further_adapter_is_refused(
    model: str, levels: list[str], adapters: list[str], said: str
) -> None:
    with pytest.raises(ConfigError, match=said.replace("+", r"\+")):
        entries_of([model], levels, adapters)


def test_all_levels_that_are_not_made_yet_are_one_command_away() -> None:
    entries = entries_of(["a", "b"], ["none", "Q8_0", "Q6_K", "Q4_0"], ["none", "x"])
    with pytest.raises(ConfigError) as refused:
        check_levels(entries, known("a", "a-q6_k", "b", "b-q8_0"))
    assert "'a-q8_0' or 'a-q4_0'" in refused.value.message
    assert refused.value.hint == "gateway quantize a --to Q8_0,Q4_0"


def test_levels_that_are_there_are_not_refused() -> None:
    check_levels(entries_of(["a"], ["none", "Q8_0"], ["none", "x"]), known("a", "a-q8_0"))


def test_a_model_that_is_not_there_is_not_one_command_away() -> None:
    with pytest.raises(UnknownModel, match="no model is called 'nope'"):
        check_levels(entries_of(["nope"], ["Q8_0"], ["none"]), known("a"))
