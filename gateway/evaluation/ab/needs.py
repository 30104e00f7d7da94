"""What the cells of a comparison needed before they answered: labels, and seconds of training.

It comes from the run and from what adapters' folders record. What neither says is unknown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from gateway.evaluation.ab.cells import CellName
from gateway.evaluation.plan import Prepared
from gateway.evaluation.run import Strategy
from gateway.models.adapters.card import read_card
from gateway.models.adapters.names import is_probe
from gateway.models.adapters.timings import took_of
from gateway.models.file import Models
from gateway.models.spec import ModelSpec

Kind = Literal["prompt", "few-shot", "probe", "adapter", "encoder", "words", "constant"]

TUNED = ("probe", "adapter")
BASELINES = ("encoder", "words", "constant")
_ENCODER, _CONSTANT = "encoder", ("baseline:majority", "baseline:median")


@dataclass(frozen=True, slots=True)
class Needs:
    """Of one cell or baseline. None: not known."""

    kind: Kind
    labels: int | None
    """Labelled items that it was shown or learned."""
    seconds: float | None
    """Of training."""
    kept: int = 0
    """Items whose hidden states had been read before, in seconds that are not counted: what is
    needed from nothing is more than that."""
    perplexity: float | None = 1.0
    """Of a neutral text after by before; 1: the model is as it was."""

    def less_than(self, other: "Needs") -> bool:
        """Whether it is known to need fewer labels, or as many and less training."""
        if self.labels is None or other.labels is None:
            return False
        if self.labels != other.labels:
            return self.labels < other.labels
        if self.seconds is None or other.seconds is None or self.kept:
            return False
        return self.seconds < other.seconds


def needs_of(
    prepared: Prepared, cells: Sequence[CellName], baselines: Sequence[str], models: Models
) -> dict[str, Needs]:
    """By name of the cell; empty where none of them was tuned.

    Args:
        baselines: their names.
    """
    strategies = {each.name: each for each in prepared.plan.strategies}
    found = {
        cell.name: _needs(models.get(cell.model), strategies[cell.strategy], prepared)
        for cell in cells
    }
    if not any(each.kind in TUNED for each in found.values()):
        return {}
    return found | {name: _of_baseline(name, len(prepared.clean)) for name in baselines}


def _needs(spec: ModelSpec, strategy: Strategy, prepared: Prepared) -> Needs:
    shown = _shown(strategy, prepared)
    folder = spec.learned_in
    if folder is None:
        return Needs("few-shot" if shown else "prompt", shown, 0.0)
    card, took = read_card(folder), took_of(folder)
    learned = card.data.items if card and card.data else None
    probe = is_probe(folder)
    return Needs(
        "probe" if probe else "adapter",
        None if learned is None else learned + shown,
        took.seconds if took else None,
        took.kept if took else 0,
        1.0 if probe else None,
    )


def _shown(strategy: Strategy, prepared: Prepared) -> int:
    """Labelled items that a strategy chooses its exemplars from, or shows."""
    if strategy.selector is None:
        return 0
    if strategy.selector.ids:
        return len(strategy.selector.ids)
    return len(prepared.train.items) if prepared.train else 0


def _of_baseline(name: str, learned: int) -> Needs:
    if name in _CONSTANT:
        return Needs("constant", learned, None)
    return Needs("encoder" if _ENCODER in name else "words", learned, None)


def with_perplexity(needs: Mapping[str, Needs], cell: str, factor: float) -> dict[str, Needs]:
    """The same with what a neutral text has said of one cell."""
    return {**needs, cell: replace(needs[cell], perplexity=factor)}
