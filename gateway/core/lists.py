"""Lists in a sentence."""

from collections.abc import Collection


def first_names(names: Collection[str], most: int = 4) -> str:
    """The first of them in the order of the alphabet, and how many more there are."""
    first = sorted(names)[:most]
    more = len(names) - len(first)
    return ", ".join(first) + (f" and {more} more" if more else "")
