"""What `gateway judge` prints."""

from collections import Counter
from collections.abc import Iterator

from gateway.evaluation.judge.agreement import Agreement
from gateway.evaluation.judge.judgement import Judgement
from gateway.evaluation.judge.rubric import GRADES
from gateway.report.format import ABSENT, estimate, number, plural
from gateway.report.sections import Facts, Section, by_rows, numbers
from gateway.scoring.results import Status

_SHARES = ("mean probability", "most probable for")
_SHOWN = 10
"""Reasons that are named; --json has all of them."""


def sections(made: Judgement) -> Iterator[Section]:
    """The judge, the totals, each grade's share, the agreement; last, what is to be known."""
    shares = by_rows(("grade", *numbers(*_SHARES)), _shares(made))
    yield Section("judge", "judge", facts=_judge(made))
    yield Section("answers", "answers", facts=_totals(made), tables=(shares,))
    if made.agreement is not None:
        title = "agreement with humans"
        yield Section("agreement", title, facts=_agreement(made.agreement))
    yield Section(lines=(*_reasons(made), *made.remarks()))


def _judge(made: Judgement) -> Facts:
    judge = made.judge
    return (
        ("model", judge.model),
        ("backend", judge.backend),
        ("weights", judge.weights),
        ("fingerprint", judge.fingerprint),
        ("determinism", judge.level),
        (f"rubric {judge.rubric}", judge.rubric_digest),
    )


def _totals(made: Judgement) -> Facts:
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
    return tuple(rows)


def _shares(made: Judgement) -> Iterator[tuple[str, str, str]]:
    for k in GRADES:
        share = made.mean_probabilities.get(k)
        yield k, ABSENT if share is None else number(share), str(made.most_probable[k])


def _agreement(found: Agreement) -> Facts:
    return (
        ("answers with both grades", str(found.n)),
        ("Cohen's kappa", estimate(found.kappa)),
        ("Cohen's kappa, quadratic weights", estimate(found.weighted_kappa)),
        ("Gwet's AC1", estimate(found.ac1)),
        ("Spearman's correlation", estimate(found.spearman)),
        ("mean absolute difference, in grades", estimate(found.mean_absolute_difference)),
    )


def _reasons(made: Judgement) -> Iterator[str]:
    """Why answers have no grade, each reason once."""
    without = [g for g in made.grades if g.status is not Status.OK]
    for (status, reason), count in Counter((g.status, g.reason) for g in without).most_common(
        _SHOWN
    ):
        first = next(g.item_id for g in without if (g.status, g.reason) == (status, reason))
        yield f"{plural(count, 'answer')} {status.value}, {first} the first: {reason}"
