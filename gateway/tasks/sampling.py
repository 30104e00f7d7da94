"""A sample of items with each label's share, by seeded places."""

from collections import defaultdict
from collections.abc import Sequence

from gateway.core.draws import seeded_rank, shares
from gateway.tasks.task import Item


def in_seeded_order(items: Sequence[Item], seed: int, purpose: str) -> list[Item]:
    """The items in an order that depends on the seed, the purpose and their ids only."""
    return sorted(items, key=lambda item: seeded_rank(seed, purpose, item.id))


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
        for item in sorted(group, key=lambda i: seeded_rank(seed, purpose, i.id))[: given[name]]
    }
    return [item for item in items if item.id in chosen]
