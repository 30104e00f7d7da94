"""What `gateway judge` prints."""

from collections import Counter
from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.judging.agreement import Agreement
from gateway.judging.judgement import Judgement
from gateway.judging.rubric import GRADES
from gateway.report.format import ABSENT, clean, estimate, number, plural
from gateway.results import Status

_SHOWN = 10
"""Reasons that are named; --json has all of them."""


def judgement_tables(made: Judgement, console: Console) -> None:
    """The judge, the totals, each grade's share, the agreement; below, what is to be known."""
    console.print(_judge(made))
    console.print(_totals(made))
    console.print(_shares(made))
    if made.agreement is not None:
        console.print(_agreement(made.agreement))
    for line in (*_reasons(made), *made.remarks()):
        console.print(clean(line), markup=False, highlight=False, soft_wrap=True)


def _judge(made: Judgement) -> Table:
    judge = made.judge
    table = Table("judge")
    # Folded, not cut: a digest of which a part is missing is of no use.
    table.add_column("value", overflow="fold")
    for name, value in (
        ("model", judge.model),
        ("backend", judge.backend),
        ("weights", judge.weights),
        ("fingerprint", judge.fingerprint),
        ("determinism", judge.level),
        (f"rubric {judge.rubric}", judge.rubric_digest),
    ):
        table.add_row(escape(name), escape(clean(value)))
    return table


def _totals(made: Judgement) -> Table:
    limits = made.limits
    rows = [
        ("answers", str(len(made.grades))),
        *((f"  {status}", str(count)) for status, count in made.statuses.items()),
        ("  of the ok, approximated", str(made.approximated)),
        ("mean expected grade, 1 to 5", estimate(made.mean)),
        ("mean standard deviation of one grade", number(made.mean_spread)),
        ("mean probability of a grade at all", number(made.mean_mass)),
    ]
    if limits is not None:
        between = f"{number(limits[0])} to {number(limits[1])}"
        rows.append(("  the mean, whatever bounds stand for", between))
    return _two_columns("fact", rows)


def _shares(made: Judgement) -> Table:
    table = Table("grade")
    for name in ("mean probability", "most probable for"):
        table.add_column(name, justify="right")
    for k in GRADES:
        share = made.mean_probabilities.get(k)
        table.add_row(k, ABSENT if share is None else number(share), str(made.most_probable[k]))
    return table


def _agreement(found: Agreement) -> Table:
    rows = [
        ("answers with both grades", str(found.n)),
        ("Cohen's kappa", estimate(found.kappa)),
        ("Cohen's kappa, quadratic weights", estimate(found.weighted_kappa)),
        ("Spearman's correlation", estimate(found.spearman)),
        ("mean absolute difference, in grades", estimate(found.mean_absolute_difference)),
    ]
    return _two_columns("agreement with humans", rows)


def _two_columns(title: str, rows: list[tuple[str, str]]) -> Table:
    table = Table(title)
    table.add_column("value", justify="right")
    for name, value in rows:
        table.add_row(escape(name), escape(value))
    return table


def _reasons(made: Judgement) -> Iterator[str]:
    """Why answers have no grade, each reason once."""
    without = [g for g in made.grades if g.status is not Status.OK]
    for (status, reason), count in Counter((g.status, g.reason) for g in without).most_common(
        _SHOWN
    ):
        first = next(g.item_id for g in without if (g.status, g.reason) == (status, reason))
        yield f"{plural(count, 'answer')} {status.value}, {first} the first: {reason}"
