"""Lists and counts in a sentence."""

from collections.abc import Collection, Sequence


def plural(count: int, noun: str) -> str:
    """`1 item`, `150 items`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def part_of(count: int, total: int, noun: str, one: str, many: str) -> str:
    """`1 of 40 items has`, `3 of 40 items have`: so many of all, and the verb for them."""
    return f"{count:,} of {plural(total, noun)} {one if count == 1 else many}"


def are(count: int, noun: str, one: str = "is", many: str = "are") -> str:
    """`1 item is`, `3 items are`: so many, and the verb for them."""
    return f"{plural(count, noun)} {one if count == 1 else many}"


def first_names(names: Collection[str], most: int = 4) -> str:
    """The first of them in the order of the alphabet, and how many more there are."""
    return first_of(sorted(names), most)


def first_of(shown: Sequence[str], most: int) -> str:
    """The first of them in their own order, and how many more there are."""
    more = len(shown) - most
    return ", ".join(shown[:most]) + (f" and {more} more" if more > 0 else "")
