"""A number together with how it was computed."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a plan."""

    name: str
    value: float
    """Bytes, or a count; the name says of what."""
    formula: str
    """With the numbers put in: "2 x 134,515,008"."""


def total(figures: Iterable[Figure]) -> float:
    """The sum of their values."""
    return sum(figure.value for figure in figures)


def times(*factors: float) -> str:
    """A product as it is written: `times(2, 4096)` is "2 x 4,096"."""
    return " x ".join(number(factor) for factor in factors)


def number(value: float) -> str:
    """With thousands separated; as many digits as it has."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.6g}"
