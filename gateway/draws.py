"""Seeded choices among items that stay the same on every machine and with every library version.

An item's place in a shuffled order is a digest of the seed and its id, so what is chosen does not
depend on a generator's state, on the order of the file, or on numpy's stream of numbers.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.tasks import Item


def place(seed: int, purpose: str, name: str) -> bytes:
    """Where a name stands in the shuffled order of this seed and purpose; sort by it."""
    return hashlib.sha256(f"{purpose}\0{seed}\0{name}".encode()).digest()


def stratified_sample(
    items: Sequence[Item], count: int, seed: int, purpose: str = "limit"
) -> list[Item]:
    """`count` items in their given order, each label with its share (largest remainders).

    The sample for a smaller count lies within the one for a larger, up to rounding of the shares.
    Items whose gold value is no label are one group.
    """
    if count >= len(items):
        return list(items)
    groups: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        groups[item.gold if isinstance(item.gold, str) else ""].append(item)
    given = shares({name: len(group) for name, group in groups.items()}, count)
    chosen = {
        item.id
        for name, group in groups.items()
        for item in sorted(group, key=lambda i: place(seed, purpose, i.id))[: given[name]]
    }
    return [item for item in items if item.id in chosen]


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
