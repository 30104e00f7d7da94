"""Where two cells part: the items that exactly one of them gets right."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from gateway.core.types import TaskKind
from gateway.evaluation.predictions import Predictions
from gateway.evaluation.record import RunRecord
from gateway.scoring.comparison import answer_text, shown_answer
from gateway.scoring.results import Prediction
from gateway.scoring.scores import is_right


@dataclass(frozen=True, slots=True)
class Said:
    """What one cell said to one item."""

    answer: str
    """Or its status in brackets."""
    right: bool
    probability: float | None
    """Of that answer, over the label set; None where no labels were scored."""
    lead: float | None
    """Its probability less that of the next label; None as `probability`."""


@dataclass(frozen=True, slots=True)
class FlippedItem:
    """An item that some cells get right and others do not."""

    item_id: str
    gold: str
    excerpt: str
    said: Mapping[str, Said]
    """By cell."""


def flips(a: Sequence[Prediction], b: Sequence[Prediction], kind: TaskKind) -> tuple[str, ...]:
    """Ids of the items that exactly one of two cells gets right.

    Args:
        a, b: of the same items in the same order.
    """
    return tuple(
        x.item_id
        for x, y in zip(a, b, strict=True)
        if (is_right(x, kind) is True) != (is_right(y, kind) is True)
    )


def flipped_items(
    record: RunRecord, predictions: Predictions, cells: Sequence[str], ids: Collection[str]
) -> tuple[FlippedItem, ...]:
    """What the cells said to these items, in the order of their ids."""
    by_cell = {name: {p.item_id: p for p in predictions[name]} for name in cells}
    return tuple(
        FlippedItem(
            item_id=item.item_id,
            gold=answer_text(item.gold),
            excerpt=item.excerpt,
            said={name: _said(by_cell[name][item.item_id], record.kind) for name in cells},
        )
        for item in sorted(record.items, key=lambda item: item.item_id)
        if item.item_id in ids
    )


def _said(prediction: Prediction, kind: TaskKind) -> Said:
    probability, lead = _confidence(prediction)
    return Said(
        answer=shown_answer(prediction),
        right=is_right(prediction, kind) is True,
        probability=probability,
        lead=lead,
    )


def _confidence(prediction: Prediction) -> tuple[float | None, float | None]:
    """The answer's probability, and its lead over the next label."""
    if prediction.probabilities is None or not isinstance(prediction.answer, str):
        return None, None
    others = [p for label, p in prediction.probabilities.items() if label != prediction.answer]
    own = prediction.probabilities[prediction.answer]
    return own, own - max(others)
