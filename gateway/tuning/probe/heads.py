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
    folds: NDArray[np.int64],
    pooled: Chosen,
    choices: Sequence[Choice],
    store: StateStore,
    begin: Callable[[int], Callable[[], None]],
) -> tuple[FoundHead, ...]:
    """One for each group, in the order of their names.

    Args:
        folds: of the items, by which the pooled probe was chosen too.
        begin: told of how many fits there are; answers what is called after each.
    """
    places: dict[str, list[int]] = {}
    for at, item in enumerate(items):
        places.setdefault(item.group, []).append(at)
    groups = {group: np.array(places[group]) for group in sorted(places)}
    why = {g: _too_few(data.golds[at], data.labels, folds[at]) for g, at in groups.items()}
    tried = sum(not each for each in why.values())
    done = begin(tried * len(choices) * (int(folds.max()) + 1))
    found = []
    for group, at in groups.items():
        head = FoundHead(group, at, pooled.logprobs[at], why=why[group])
        if not why[group]:
            part, own = data.at(at), _dense(folds[at])
            scores = out_of_fold(choices, part, own, KeptScores(store, part, own), done)
            head = _shared(head, choose(scores, part.golds), part.golds)
        found.append(head)
    return tuple(found)


def _too_few(golds: Codes, labels: int, folds: NDArray[np.int64]) -> str:
    """Why a group has no head; empty: it may have one."""
    if len(golds) < FEWEST:
        return f"{plural(len(golds), 'item')}, and a head needs {FEWEST}"
    counts = np.bincount(golds, minlength=labels)
    if counts.min() < _OF_A_LABEL:
        return f"{plural(int(counts.min()), 'item')} of a label, and a head needs {_OF_A_LABEL}"
    if len(np.unique(folds)) < 2:
        return "all its items are copies of each other"
    return ""


def _dense(folds: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same folds, numbered from 0 without a gap."""
    return np.unique(folds, return_inverse=True)[1].astype(np.int64)


def _shared(head: FoundHead, own: Chosen, golds: Codes) -> FoundHead:
    """With the share that loses least; of equals the largest."""
    losses = {
        share: mean_loss(mixed(own.logprobs, head.pooled, share), golds)
        for share in (1.0, *reversed(SHARES))
    }
    share = min(losses, key=losses.__getitem__)
    why = "a head of its own says nothing more" if share == 1 else ""
    return FoundHead(head.group, head.at, head.pooled, own, share, why)
