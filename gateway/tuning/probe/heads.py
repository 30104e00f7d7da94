"""Heads of a probe: for each group of items, such as a repository, one that learned them alone.

How much the probe of all items has to say beside a head is chosen by cross-validation on the
group's items, as the head's own members are. A group without a head is answered by the probe of all
items: it has too few items, too few of a label, or its own say nothing more.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.core.lists import plural
from gateway.models.adapters.heads import mixed
from gateway.models.adapters.probe import Floats
from gateway.tasks.task import Item
from gateway.tuning.checks.split import folds
from gateway.tuning.probe.choose import Chosen, choose, mean_loss, out_of_fold
from gateway.tuning.probe.fit import Choice, Codes, Data
from gateway.tuning.probe.kept import KeptScores
from gateway.tuning.probe.states import StateStore

FEWEST = 30
"""Items of a group that has a head."""
_OF_A_LABEL = 5
"""Items of each label, of which a head must know all."""
SHARES = (0.0, 0.25, 0.5, 0.75)
"""Of the probe of all items in what a head says."""


@dataclass(frozen=True)
class FoundHead:
    """What became of one group."""

    group: str
    at: NDArray[np.int64]
    """Places of its items."""
    pooled: Floats
    """What the probe of all items says of them out of fold; shape (items, labels)."""
    own: Chosen | None = None
    """None: there was no head to try."""
    share: float = 1.0
    """Of the probe of all items; 1: it answers alone."""
    why: str = ""
    """Why it does; empty: it does not."""

    @property
    def logprobs(self) -> Floats:
        """What answers its items, out of fold."""
        if self.own is None or self.why:
            return self.pooled
        return mixed(self.own.logprobs, self.pooled, self.share)


def find_heads(
    data: Data,
    items: Sequence[Item],
    pooled: Chosen,
    choices: Sequence[Choice],
    store: StateStore,
    begin: Callable[[int], Callable[[], None]],
    *,
    count: int,
    seed: int,
) -> tuple[FoundHead, ...]:
    """One for each group, in the order of their names.

    Args:
        begin: told of how many fits there are; answers what is called after each.
        count, seed: of the folds of each group's items.
    """
    places: dict[str, list[int]] = {}
    for place, item in enumerate(items):
        places.setdefault(item.group, []).append(place)
    labels = np.unique(data.golds)
    asked = []
    for group in sorted(places):
        at = np.array(places[group])
        parts = folds([items[place] for place in places[group]], count, seed)
        why = _too_few(data.golds[at], labels, parts)
        asked.append((FoundHead(group, at, pooled.logprobs[at], why=why), parts))
    done = begin(sum(int(parts.max()) + 1 for head, parts in asked if not head.why) * len(choices))
    return tuple(
        head if head.why else _tried(head, data.at(head.at), parts, choices, store, done)
        for head, parts in asked
    )


def _too_few(golds: Codes, labels: Codes, parts: NDArray[np.int64]) -> str:
    """Why a group has no head; empty: it may have one.

    Args:
        labels: all that any item has.
    """
    if len(golds) < FEWEST:
        return f"{plural(len(golds), 'item')}, and a head needs {FEWEST}"
    least = min(int((golds == label).sum()) for label in labels)
    if least < _OF_A_LABEL:
        return f"{plural(least, 'item')} of a label, and a head needs {_OF_A_LABEL}"
    if any(len(np.unique(golds[parts != part])) < len(labels) for part in range(parts.max() + 1)):
        return "all items of a label are copies of each other"
    return ""


def _tried(
    head: FoundHead,
    data: Data,
    parts: NDArray[np.int64],
    choices: Sequence[Choice],
    store: StateStore,
    done: Callable[[], None],
) -> FoundHead:
    scores = out_of_fold(choices, data, parts, KeptScores(store, data, parts), done)
    return _shared(head, choose(scores, data.golds), data.golds)


def _shared(head: FoundHead, own: Chosen, golds: Codes) -> FoundHead:
    """With the share that loses least; of equals the largest."""
    losses = {
        share: mean_loss(mixed(own.logprobs, head.pooled, share), golds)
        for share in (1.0, *reversed(SHARES))
    }
    share = min(losses, key=losses.__getitem__)
    why = "a head of its own says nothing more" if share == 1 else ""
    return FoundHead(head.group, head.at, head.pooled, own, share, why)
