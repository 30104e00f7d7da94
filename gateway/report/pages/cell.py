"""One cell in full: a part of the page of its run."""

from collections.abc import Iterator
from dataclasses import replace

from gateway.report import format as fmt
from gateway.report import view
from gateway.report.pages.cells import missing
from gateway.report.sections import Cell, Figure, Section, Table, by_rows, numbers
from gateway.report.sentences import baseline_sentence
from gateway.scoring.results import CellScore, Confusion, SparseConfusion

_OVERCONFIDENT = "Dots below the dashed line are overconfident; larger dots hold more items."


def part(cell: CellScore, number: int, *, opened: bool) -> Section:
    """What it is, its classes, confusion and confidence, and what baselines show of it."""
    bounds = "Some log-probabilities of this cell are bounds or approximations."
    return Section(
        f"cell-{number}",
        view.shown_name(cell),
        tuple(map(baseline_sentence, cell.verdicts)),
        tuple(_tables(cell)),
        facts=tuple(_facts(cell)),
        lines=() if cell.exact else (bounds,),
        figures=tuple(_reliability(cell, number)),
        opened=opened,
    )


def _facts(cell: CellScore) -> Iterator[tuple[str, str]]:
    yield from view.details(cell)
    answered = f"{cell.statuses.get('ok', 0):,} of {cell.n:,}"
    without = missing(cell)
    yield "answered", f"{answered}, {without}" if without else answered
    if cell.kind == "model":
        yield (
            "tokens",
            f"{cell.prompt_tokens:,} prompt, {cell.completion_tokens:,} completion, "
            f"{cell.tokens_evaluated:,} evaluated",
        )


def _tables(cell: CellScore) -> Iterator[Table]:
    if cell.per_class:
        rows = [
            (row.label, *map(fmt.number, (row.precision, row.recall, row.f1)), f"{row.support:,}")
            for row in cell.per_class
        ]
        heads = ("label", *numbers("precision", "recall", "F1", "support"))
        yield by_rows(heads, rows, "Scores per class")
    if cell.confusion is not None:
        yield _confusion(cell.confusion)
    if cell.reliability:
        bins = [
            (
                f"({fmt.number(b.low)}, {fmt.number(b.high)}]",
                f"{b.count:,}",
                fmt.number(b.mean_confidence),
                fmt.number(b.accuracy),
            )
            for b in cell.reliability
        ]
        heads = ("confidence in", *numbers("items", "mean", "accuracy"))
        yield replace(by_rows(heads, bins, "Reliability, the bins as numbers"), folded=True)


def _confusion(confusion: Confusion | SparseConfusion) -> Table:
    if isinstance(confusion, Confusion) and len(confusion.labels) <= view.MOST_MATRIX_LABELS:
        return _matrix(confusion)
    return _commonest(confusion)


def _matrix(confusion: Confusion) -> Table:
    rows: list[tuple[Cell | str, ...]] = [
        (label, *(_count(count, sum(counts), right=i == j) for j, count in enumerate(counts)))
        for i, (label, counts) in enumerate(zip(confusion.labels, confusion.counts, strict=True))
    ]
    heads = ("gold", *numbers(*confusion.labels, "no answer"))
    return by_rows(heads, rows, "Confusion: rows gold, columns answers")


def _count(count: int, total: int, *, right: bool) -> Cell:
    shade = (count / total) ** 0.5 if total else 0.0
    return Cell(f"{count:,}", "" if right else "bad" if count else "faint", shade=shade)


def _commonest(confusion: Confusion | SparseConfusion) -> Table:
    rows = [
        (c.gold, "no answer" if c.answer is None else c.answer, f"{c.count:,}")
        for c in view.confusions(confusion)
    ]
    caption = (
        f"The commonest confusions of {len(confusion.labels)} labels; report.json has the whole "
        "matrix"
    )
    return by_rows(("gold", "answer", *numbers("count")), rows, caption)


def _reliability(cell: CellScore, number: int) -> Iterator[Figure]:
    if cell.reliability:
        count = fmt.plural(sum(b.count for b in cell.reliability), "item")
        yield Figure(
            lambda: reliability(cell, f"cell-{number}"),
            "Reliability diagram: accuracy against mean confidence. The table has the numbers.",
            f"Reliability, {count}, ECE {_value(cell, 'ece')}, where a perfect model would show "
            f"{_value(cell, 'ece_perfect')}. {_OVERCONFIDENT}",
        )


def _value(cell: CellScore, name: str) -> str:
    found = cell.metrics.get(name)
    return fmt.number(found.value if found else None)


def reliability(cell: CellScore, salt: str) -> str:
    """The diagram of a cell that has probabilities."""
    from gateway.report.plots import reliability_diagram

    return reliability_diagram(cell.reliability, salt)
