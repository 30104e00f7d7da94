"""Prompt, probe, adapter or baseline: what each gives beside what it needs, and what follows."""

from collections.abc import Iterator, Mapping, Sequence

from gateway.evaluation.ab.needs import BASELINES, Needs
from gateway.evaluation.ab.outcome import Outcome
from gateway.evaluation.ab.recommend import shown_not_worse
from gateway.evaluation.experiment.outcome import ExperimentOutcome
from gateway.report import format as fmt
from gateway.report import view
from gateway.report.claims import no_worse, within
from gateway.report.sections import Column, Section, by_columns
from gateway.scoring.contest import Comparison
from gateway.scoring.metrics import metric_name
from gateway.scoring.report import best_first
from gateway.scoring.results import CellScore, CellTimings

_Compared = Outcome | ExperimentOutcome

UNKNOWN = "unknown"


def needs(outcome: _Compared, timings: Sequence[CellTimings] = ()) -> Iterator[Section]:
    """One row a cell and baseline; nothing where no model was tuned.

    Args:
        timings: what was measured; a file is given none.
    """
    found = outcome.needs
    if not found:
        return
    cells = [cell for cell in view.ranked(outcome.report) if cell.name in found]
    of = [found[cell.name] for cell in cells]
    columns = [
        Column("is", tuple(each.kind for each in of)),
        Column(metric_name(outcome.metric), tuple(_score(cell, outcome) for cell in cells)),
        Column("labels", tuple(_or_unknown(each.labels) for each in of)),
        Column("training s", tuple(map(_training, of))),
        Column("perplexity", tuple(map(_perplexity, of))),
        Column("tokens an item", tuple(_tokens(cell) for cell in cells)),
    ]
    if timings:
        seconds = {each.name: fmt.seconds(each.total_s / each.n) for each in timings if each.n}
        columns.append(
            Column("s an item", tuple(seconds.get(cell.name, UNKNOWN) for cell in cells))
        )
    table = by_columns(_CAPTION, "cell", tuple(map(view.shown_name, cells)), columns)
    yield Section("needs", "What each needs", tuple(_sentences(outcome, cells)), (table,))


_CAPTION = (
    "Labels are those that were shown or learned; seconds of training as the adapter's folder has "
    "them. Perplexity is that of a neutral text after training, by that before: x1 is a model that "
    "is as it was."
)


def _score(cell: CellScore, outcome: _Compared) -> str:
    return fmt.estimate(cell.metrics.get(outcome.metric))


def _or_unknown(count: int | None) -> str:
    return UNKNOWN if count is None else fmt.count(count)


def _training(each: Needs) -> str:
    if each.seconds is None:
        return UNKNOWN
    shown = "0" if each.seconds == 0 else fmt.seconds(each.seconds)
    return f"{shown} (+ {each.kept:,} states kept)" if each.kept else shown


def _perplexity(each: Needs) -> str:
    if each.kind in BASELINES:
        return fmt.ABSENT
    return UNKNOWN if each.perplexity is None else f"x{each.perplexity:.3g}"


def _tokens(cell: CellScore) -> str:
    return fmt.count(cell.tokens_evaluated / cell.n) if cell.n else fmt.ABSENT


def _sentences(outcome: _Compared, cells: Sequence[CellScore]) -> Iterator[str]:
    """Which cell that needs less is as good as the first at the margin."""
    found, name = outcome.needs, metric_name(outcome.metric)
    models = [cell for cell in cells if cell.kind == "model" and cell.answered]
    ranked = best_first(models, outcome.metric)
    if not ranked:
        return
    best = ranked[0].name
    less = _by_needs([c.name for c in ranked[1:] if found[c.name].less_than(found[best])], found)
    if not less:
        yield f"No other cell is known to need less than {best}, the first here."
        return
    for cell in less:
        pair = _pair(outcome.pairs, cell, best)
        if pair is not None and shown_not_worse(outcome.pairs, pair, best):
            shown = within(pair, name) if pair.equivalent else no_worse(pair, cell, best, name)
            yield f"With {_labels(found[cell])} {shown}. {_costs(found, cell, best)}"
            return
    margin = f"{outcome.margin:g}"
    named = ", ".join(less)
    yield (
        f"It is not shown that a cell that needs less than {best} is within {margin} of it in "
        f"{name}; such are: {named}."
    )


def _by_needs(names: Sequence[str], found: Mapping[str, Needs]) -> list[str]:
    """Those that need least first."""
    return sorted(names, key=lambda each: (found[each].labels or 0, found[each].seconds or 0))


def _pair(pairs: Sequence[Comparison], a: str, b: str) -> Comparison | None:
    return next((p for p in pairs if {p.contest.a, p.contest.b} == {a, b}), None)


def _labels(each: Needs) -> str:
    return fmt.plural(each.labels or 0, "label")


def _costs(found: Mapping[str, Needs], cell: str, best: str) -> str:
    """What the two needed."""
    other = found[best]
    return f"{cell} {_trained(found[cell])}; {best} has {_labels(other)} and {_trained(other)}."


def _trained(each: Needs) -> str:
    if each.seconds is None:
        return "trained for a time that is not known"
    if not each.seconds:
        return "needs no training"
    before = f", {each.kept:,} states apart, which were kept" if each.kept else ""
    return f"trained for {fmt.duration(each.seconds)}{before}"
