"""Sizes as people write them, and what is left to models."""

import pytest

from gateway.core.errors import ConfigError
from gateway.core.sizes import default_budget, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("800MB", 800_000_000),
        ("1.5 GB", 1_500_000_000),
        ("4gib", 4 << 30),
        ("2M", 2_000_000),
        ("25769803776", 24 << 30),
    ],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "much", "0", "-1GB", "0.0001KB", "1TBB", "nan", "1e9"])
def test_what_is_no_size_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match="no size"):
        parse_size(text)


@pytest.mark.parametrize("text", ["24", " 1.5 ", "999999"])
def test_a_number_that_has_lost_its_unit_is_asked_for_one(text: str) -> None:
    with pytest.raises(ConfigError, match="has no unit") as raised:
        parse_size(text)
    assert f"{text.strip()}GB" in raised.value.hint


def test_the_default_leaves_a_tenth_or_512_megabytes() -> None:
    assert default_budget(20_000_000_000) == 18_000_000_000
    assert default_budget(2_000_000_000) == 1_488_000_000
    assert default_budget(100_000_000) == 0
