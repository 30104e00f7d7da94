"""Seeded choices that stay the same on every machine and with every library version.

A name's place in a shuffled order is a digest of the seed and the name, so what is chosen does not
depend on a generator's state or on numpy's stream of numbers."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any


def seeded_rank(seed: int, purpose: str, name: str) -> bytes:
    """Where a name stands in the shuffled order of this seed and purpose; sort by it."""
    return hashlib.sha256(f"{purpose}\0{seed}\0{name}".encode()).digest()


def shares(
    sizes: Mapping[str, int], count: int, order: Callable[[str], Any] = str
) -> dict[str, int]:
    """How many of `count` draws each group gets: largest remainders.

    Args:
        order: sorts the groups whose remainders are equal.
    """
    total = sum(sizes.values())
    given = {name: count * size // total for name, size in sizes.items()}
    remainders = sorted(sizes, key=lambda name: (-(count * sizes[name] % total), order(name)))
    for name in remainders[: count - sum(given.values())]:
        given[name] += 1
    return given
