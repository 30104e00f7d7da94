"""Lists in a sentence."""

from collections.abc import Collection, Sequence


def first_names(names: Collection[str], most: int = 4) -> str:
    """The first of them in the order of the alphabet, and how many more there are."""
    return first_of(sorted(names), most)


def first_of(shown: Sequence[str], most: int) -> str:
    """The first of them in their own order, and how many more there are."""
    more = len(shown) - most
    return ", ".join(shown[:most]) + (f" and {more} more" if more > 0 else "")
