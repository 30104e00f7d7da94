"""Where cells part, item by item, and what a cell keeps of a reference cell.

A quantized model may have the accuracy of its reference and still answer other items rightly, or
the same items with less confidence. Counted here: whose answers change and for whom that is a
loss; by how much the labels' probabilities move; which classes suffer.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from gateway.core.columned import Columned
from gateway.core.types import Answer, TaskKind
from gateway.scoring.arrays import BoolArray, FloatArray
from gateway.scoring.items import Items, ordered
from gateway.scoring.pairing import both_answered, cell_name, matched
from gateway.scoring.results import Prediction, Status
from gateway.scoring.scores import Statistic, point_estimate, statistics
from gateway.scoring.shares import Given, Shares, in_order


@dataclass(frozen=True, slots=True)
class CellAnswer:
    """What one cell said to one item."""

    answer: str
    """As a person reads it, or the status in brackets."""
    right: bool
    probability: float | None = None
    """Of that answer, over the label set; None where no labels were scored."""
    lead: float | None = None
    """Its probability less that of the next label; None as `probability`."""


@dataclass(frozen=True, slots=True)
class Flip:
    """An item that cells answer differently, and what each of them said."""

    item_id: str
    gold: str
    excerpt: str
    said: Mapping[str, CellAnswer]
    """By cell."""


@dataclass(frozen=True, slots=True)
class ClassDamage:
    """What became of one gold class."""

    label: str
    support: int
    """Items of the class."""
    recall_reference: float | None
    """None where the class has no item."""
    recall: float | None
    right_to_wrong: int
    wrong_to_right: int

    @property
    def change(self) -> float | None:
        """Recall less that of the reference."""
        if self.recall is None or self.recall_reference is None:
            return None
        return self.recall - self.recall_reference


@dataclass(frozen=True, slots=True)
class Distributions:
    """How the probabilities of the label set moved, on the items for which both cells have them.

    Logarithms are natural: nats.
    """

    n: int
    moved: int
    """Items on which the probability of any label differs, by however little."""
    exact: bool
    """False: some log-probability behind them is a bound or an approximation."""
    kl_mean: float | None
    """Kullback-Leibler divergence of the cell from the reference, mean over the items on which it
    is finite; None where it is on none."""
    kl_infinite: int
    """Items on which the cell rules a label out that the reference does not."""
    margin_reference: float | None
    """Mean over items of ln p(best) - ln p(runner-up) in the reference; None as `margin_change`."""
    margin_change: float | None
    """Mean change of that difference, of the same two labels, in the cell: below zero is
    confidence lost. None where no item has both."""
    margin_turned: int
    """Items on which the cell prefers the reference's runner-up to its best label."""
    margin_undefined: int
    """Items on which either cell rules one of the two labels out; left out of the means."""
    ece_reference: float
    ece: float

    @property
    def ece_change(self) -> float:
        """Expected calibration error less that of the reference; above zero is worse."""
        return self.ece - self.ece_reference


@dataclass(frozen=True, slots=True)
class KeptAnswers:
    """One cell beside its reference."""

    reference: str
    cell: str
    n: int
    changed: int
    """Items whose answer, or status where there is no answer, is another."""
    right_to_wrong: int
    wrong_to_right: int
    classes: tuple[ClassDamage, ...]
    """In label order; empty where the task is no classification."""
    distributions: Distributions | None
    """None where no item has probabilities in both cells."""
    without_probabilities: int
    """Items that at least one cell has no probabilities for."""

    @property
    def wrong_to_wrong(self) -> int:
        """Changed answers that neither cell has right."""
        return self.changed - self.right_to_wrong - self.wrong_to_right

    @property
    def identical(self) -> bool:
        """Whether nothing differs: no answer, and no probability by any bit."""
        return self.changed == 0 and (self.distributions is None or not self.distributions.moved)


def differing(
    cells: Sequence[Sequence[Prediction]],
    kind: TaskKind,
    excerpts: Mapping[str, str] = MappingProxyType({}),
) -> Sequence[Flip]:
    """The items that any two cells answer differently, in the order of their ids.

    Args:
        cells: of the same items.
        excerpts: item id -> the beginning of its text, where it is known.
    """
    read = [ordered(cell) for cell in cells]
    if not read:
        return ()
    first = read[0]
    apart = np.zeros(len(first), dtype=np.bool_)
    for cell in read[1:]:
        apart |= cell.seen != first.seen
    rows = np.flatnonzero(apart).tolist()
    said = {cell.columns.cell[0]: _said(cell, rows, kind) for cell in read}
    ids = [first.columns.item_id[at] for at in rows]
    columns = {
        "item_id": ids,
        "gold": [answer_text(first.columns.gold[at]) for at in rows],
        "excerpt": [excerpts.get(item_id, "") for item_id in ids],
        "said": Columned(dict, said),
    }
    return Columned(_flip, columns)


def _flip(values: Mapping[str, Any]) -> Flip:
    return Flip(**values)


def of_items(flips: Sequence[Flip], ids: Collection[str]) -> dict[str, Flip]:
    """Those of some items, by their ids; of very many no other is made."""
    if isinstance(flips, Columned):
        every = flips.columns["item_id"]
    else:
        every = [flip.item_id for flip in flips]
    return {item_id: flips[at] for at, item_id in enumerate(every) if item_id in ids}


def answered(item: Prediction) -> tuple[Status, Answer | None]:
    """What tells one answer from another: the value, not the text that is shown of it."""
    return item.status, item.answer


def shown_answer(prediction: Prediction) -> str:
    """The answer as a person reads it, or the status in brackets where there is none."""
    return _shown(prediction.status, prediction.answer)


def _shown(status: Status, answer: Answer | None) -> str:
    return answer_text(answer) if status is Status.OK else f"[{status.value}]"


def answer_text(answer: Answer | None) -> str:
    """A label as it is, a number without idle digits, fields as `name=value`; "" for None."""
    if answer is None:
        return ""
    if isinstance(answer, str):
        return answer
    if isinstance(answer, Mapping):
        return ", ".join(f"{key}={answer[key]}" for key in sorted(answer))
    return f"{answer:g}"


def _said(cell: Items, rows: Sequence[int], kind: TaskKind) -> Columned[CellAnswer]:
    """What a cell said to some of its items."""
    right, of = cell.right(kind)[rows].tolist(), cell.columns
    answers, given = [of.answer[at] for at in rows], _of_rows(of.probabilities, rows)
    scored = kind == "classification" and rows and cell.of_probabilities[rows].all()
    sure = _sure(answers, given) if scored else None
    if sure is not None:
        texts = list(map(str, answers))
        columns = {"answer": texts, "right": right, "probability": sure[0], "lead": sure[1]}
        return Columned(_cell_answer, columns)
    statuses = [of.status[at] for at in rows]
    every = zip(statuses, answers, given, right, strict=True)
    found = [_answer(status, answer, shares, right=own) for status, answer, shares, own in every]
    return Columned.of(CellAnswer, found, _cell_answer)


def _cell_answer(values: Mapping[str, Any]) -> CellAnswer:
    return CellAnswer(**values)


def _of_rows(given: Sequence[Given], rows: Sequence[int]) -> Sequence[Given]:
    return given.taken(rows) if isinstance(given, Shares) else [given[at] for at in rows]


def _sure(
    answers: Sequence[Answer | None], given: Sequence[Given]
) -> tuple[list[float], list[float]] | None:
    """Probability and lead of each answer, as `_answer` has them; None where they are not all of
    the same labels.

    Args:
        given: of each some.
    """
    labels, shares = _labels_and_table(given)
    if len(labels) < 2 or not set(labels).issuperset(answers) or np.isnan(shares).any():
        return None
    places = {label: at for at, label in enumerate(labels)}
    own = shares[np.arange(len(shares)), [places[str(answer)] for answer in answers]]
    second, first = np.partition(shares, -2, axis=1)[:, -2:].T
    return own.tolist(), (own - np.where(own == first, second, first)).tolist()


def _labels_and_table(given: Sequence[Given]) -> tuple[tuple[str, ...], FloatArray]:
    """The labels that all of them have and the probabilities in their order, shape (given, labels);
    no labels where they have not all the same number of them."""
    if isinstance(given, Shares):
        return given.labels, given.table
    known = [shares for shares in given if shares is not None]
    labels = tuple(known[0])
    if len(labels) < 2 or set(map(len, known)) != {len(labels)}:
        return (), np.empty((0, 0))
    return labels, in_order(labels, known)


def _answer(
    status: Status, answer: Answer | None, given: Mapping[str, float] | None, *, right: bool
) -> CellAnswer:
    shown = _shown(status, answer)
    if given is None or not isinstance(answer, str):
        return CellAnswer(shown, right)
    own, others = given[answer], list(given.values())
    others.remove(own)
    return CellAnswer(shown, right, own, own - max(others))


def kept_answers(
    reference: Sequence[Prediction],
    cell: Sequence[Prediction],
    *,
    task_kind: TaskKind,
    labels: Sequence[str],
) -> KeptAnswers:
    """Compare a cell with its reference, item by item.

    Raises:
        ComparisonRefused: items or gold values differ.
        DataError: predictions cannot be scored (see `score_cell`).
        ConfigError: a classification task has fewer than two labels.
    """
    first, second = matched(reference, cell)
    was, is_ = first.right(task_kind), second.right(task_kind)
    scored = [
        (x, y)
        for x, y in both_answered(first, second)
        if x.probabilities is not None and y.probabilities is not None
    ]
    classification = task_kind == "classification"
    return KeptAnswers(
        reference=cell_name(first),
        cell=cell_name(second),
        n=len(first),
        changed=sum(answered(x) != answered(y) for x, y in zip(first, second, strict=True)),
        right_to_wrong=int((was & ~is_).sum()),
        wrong_to_right=int((~was & is_).sum()),
        classes=_damage(first, was, is_, labels) if classification else (),
        distributions=_distributions(scored, labels) if classification and scored else None,
        without_probabilities=len(first) - len(scored),
    )


def _damage(
    items: Sequence[Prediction], was: BoolArray, is_: BoolArray, labels: Sequence[str]
) -> tuple[ClassDamage, ...]:
    golds = np.asarray([item.gold for item in items], dtype=object)
    rows = []
    for label in labels:
        own = golds == label
        support = int(own.sum())
        rows.append(
            ClassDamage(
                label=label,
                support=support,
                recall_reference=float(was[own].mean()) if support else None,
                recall=float(is_[own].mean()) if support else None,
                right_to_wrong=int((own & was & ~is_).sum()),
                wrong_to_right=int((own & ~was & is_).sum()),
            )
        )
    return tuple(rows)


def _distributions(
    scored: Sequence[tuple[Prediction, Prediction]], labels: Sequence[str]
) -> Distributions:
    from scipy.special import rel_entr

    reference, cell = [x for x, _ in scored], [y for _, y in scored]
    # Made first: it refuses probabilities that are no distribution over the labels.
    ece_reference, ece = (
        point_estimate(_ece(items, labels), len(items)) for items in (reference, cell)
    )
    p, q = _shares(reference, labels), _shares(cell, labels)
    divergences = rel_entr(p, q).sum(axis=1)
    finite = np.isfinite(divergences)
    margin, moved = _margins(p, q)
    defined = np.isfinite(margin) & np.isfinite(moved)
    return Distributions(
        n=len(scored),
        moved=int((p != q).any(axis=1).sum()),
        exact=all(x.exact and y.exact for x, y in scored),
        kl_mean=_mean(divergences[finite]),
        kl_infinite=int((~finite).sum()),
        margin_reference=_mean(margin[defined]),
        margin_change=_mean((moved - margin)[defined]),
        margin_turned=int((moved < 0).sum()),
        margin_undefined=int((~defined).sum()),
        ece_reference=ece_reference,
        ece=ece,
    )


def _ece(items: Sequence[Prediction], labels: Sequence[str]) -> Statistic:
    return statistics("classification", labels, items)["ece"]


def _shares(items: Sequence[Prediction], labels: Sequence[str]) -> FloatArray:
    """Probabilities in label order, shape (items, labels)."""
    given: list[Mapping[str, float]] = [item.probabilities or {} for item in items]
    return np.asarray([[shares[label] for label in labels] for shares in given])


def _margins(p: FloatArray, q: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Best less runner-up of `p`, and the same two labels in `q`; nats, shape (items,) each."""
    rows = np.arange(len(p))
    # Stable, so that of equal labels the first is the best one, as it is for an answer.
    order = np.argsort(-p, axis=1, kind="stable")
    best, second = order[:, 0], order[:, 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        before, after = np.log(p), np.log(q)
        return (
            before[rows, best] - before[rows, second],
            after[rows, best] - after[rows, second],
        )


def _mean(values: FloatArray) -> float | None:
    return float(values.mean()) if values.size else None
