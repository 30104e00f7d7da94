import pytest

from gateway.evaluation.settings import other_settings, recorded_identity

PLAIN = {"backend": "llama_cpp", "weights": "w", "settings": "extra_bufts=0", "version": "1"}


def said(**changes: str) -> list[str]:
    return list(other_settings(PLAIN, {**PLAIN, **changes}, ("a", "b")))


def test_one_file_computed_in_two_ways_is_told() -> None:
    (line,) = said(settings="extra_bufts=1")
    assert line == (
        "a and b are the same weights, computed with other settings, so that bytes may differ: "
        "extra_bufts=0; extra_bufts=1"
    )
    (line,) = said(version="2")
    assert "two builds of the library" in line


@pytest.mark.parametrize(
    "changes",
    [{}, {"weights": "v", "settings": "extra_bufts=1"}, {"backend": "ollama", "settings": ""}],
)
def test_what_is_computed_alike_or_is_another_model_is_not_told(changes: dict[str, str]) -> None:
    assert said(**changes) == []


def test_what_tells_no_weights_is_not_compared() -> None:
    assert list(other_settings({}, {"settings": "x"}, ("a", "b"))) == []


def test_an_identity_is_read_from_a_report() -> None:
    settings = {"seed": "0", "m weights": "w", "m settings": "s", "m-2 settings": "t"}
    assert recorded_identity(settings, "m") == {"weights": "w", "settings": "s"}
    assert recorded_identity(settings, "") == {}
