"""What the statistics found, in sentences for a person who has to decide.

Where a test can decide nothing the sentence says so instead of giving a p-value, and where two
cells are not told apart it says how small a difference could have been.
"""

from gateway.report.format import (
    ABSENT,
    difference,
    number,
    p_statement,
    plural,
    signed,
    signed_interval,
)
from gateway.scoring.bootstrap import FEWEST_CARRYING
from gateway.scoring.contest import Contest
from gateway.scoring.equivalence import Equivalence
from gateway.scoring.flips import Fidelity
from gateway.scoring.frontier import Candidate, Recommendation, Standing
from gateway.scoring.mcnemar import McNemar
from gateway.scoring.metrics import LOWER_IS_BETTER, metric_name
from gateway.scoring.permutation import Permutation
from gateway.scoring.power import Power
from gateway.scoring.results import Metric
from gateway.scoring.sequential import Decision, Sequential


def contest_sentences(result: Contest) -> tuple[str, ...]:
    """All of a contest, the most telling first."""
    told_apart = _excludes_zero(result.difference)
    said = [difference_sentence(result), permutation_sentence(result.permutation)]
    said.append(mcnemar_sentence(result.mcnemar, result.a, result.b))
    if result.equivalence is not None:
        said.append(equivalence_sentence(result.equivalence, result.a, result.b, result.metric))
    if not told_apart:
        said.append(power_sentence(result.power, result.metric))
    said.append(sequential_sentence(result.sequential, result.a, result.b))
    return tuple(said)


def difference_sentence(result: Contest) -> str:
    """The difference with its interval, and which cell that makes the better one."""
    name, value = metric_name(result.metric), result.difference
    figures = f"{name} of {result.a} less that of {result.b}: {difference(value)}"
    if result.n < result.total:
        figures += f" on the {plural(result.n, 'item')} of {result.total:,} that both answered"
    figures += f" ({result.method} bootstrap)"
    if result.differing < FEWEST_CARRYING:
        return f"{figures}: too narrow, because the cells differ on {_count(result.differing)}."
    if not _excludes_zero(value):
        return f"{figures}: not told apart."
    lower = result.metric in LOWER_IS_BETTER
    better = result.a if (value.value < 0) == lower else result.b
    return f"{figures}: {better} is better."


def permutation_sentence(result: Permutation) -> str:
    """The permutation test, or why it decides nothing."""
    if result.p_value is None:
        return f"Permutation test: {result.why_none}."
    ways = "all" if result.exact else "a sample of"
    return (
        f"Permutation test: {p_statement(result.p_value)} "
        f"({ways} {result.permutations:,} ways to swap {plural(result.differing, 'item')})."
    )


def mcnemar_sentence(result: McNemar, a: str, b: str) -> str:
    """Who is right alone how often, and the exact test of it or why it decides nothing."""
    counts = (
        f"Of {plural(result.n, 'item')} {result.only_a:,} are right in {a} alone and "
        f"{result.only_b:,} in {b} alone"
    )
    verdict = result.why_none or f"exact McNemar {p_statement(result.p_value)}"
    return f"{counts}: {verdict}."


def equivalence_sentence(result: Equivalence, a: str, b: str, metric: str) -> str:
    """What was shown at the margin: equivalence, non-inferiority, or neither.

    Args:
        metric: what was asked about; the result may be of accuracy in its place.
    """
    name = metric_name(result.metric)
    if result.rests_on_few:
        return (
            f"Whether {a} is worse than {b} by less than {result.margin:g} in {name} can not be "
            f"said: they differ on {_count(result.differing)}, too few to resample."
        )
    p = result.p_value if result.equivalent else result.p_worse
    level = f"{100 * (1 - 2 * result.alpha):g}%"
    figures = f"{p_statement(p)}, {level} interval {signed_interval(result.narrow)}"
    less = f"worse than {b} by less than {result.margin:g} in {name}"
    if result.equivalent:
        shown = f"{a} and {b} are equivalent within {result.margin:g} in {name}"
    elif result.not_worse:
        shown = f"{a} is {less}, if at all"
    else:
        shown = f"It is not shown that {a} is {less}"
    if result.metric != metric:
        shown += f", which stands in for {metric_name(metric)}: too few items differ to resample"
    return f"{shown} ({figures})."


def at_margin(result: Equivalence | None) -> str:
    """What was shown at the margin, in two words."""
    if result is None:
        return ABSENT
    if result.equivalent:
        return "equivalent"
    return "not worse" if result.not_worse else "not shown"


def power_sentence(result: Power, metric: str) -> str:
    """The minimum detectable difference, and what it rests on."""
    name, items = metric_name(metric), plural(result.n, "item")
    basis = "the spread of the resampled differences"
    if result.discordance is not None:
        share = f"{100 * result.discordance:.1f}%"
        basis = f"the {share} of items that are right in one cell alone here, taken for the true"
        basis += " share"
    if result.smallest is None:
        return (
            f"With {items} no difference in {name} would be found {100 * result.power:g} times in "
            f"100 (from {basis}): too few items tell the cells apart."
        )
    return (
        f"With {items} a difference in {name} of {number(result.smallest)} or more is found "
        f"{100 * result.power:g} times in 100 (from {basis})."
    )


def needed_sentence(items: int | None, wanted: float, metric: str) -> str:
    """How many items a given difference needs (`items_needed`, `items_by_error`)."""
    name = metric_name(metric)
    if items is None:
        return f"A difference in {name} of {wanted:g} can not be found with any number of items."
    return f"To find a difference in {name} of {wanted:g} takes about {plural(items, 'item')}."


def sequential_sentence(result: Sequential, a: str, b: str) -> str:
    """What was decided after how many items, and how many that saves."""
    interval = signed_interval(Metric(result.difference, result.low, result.high))
    figures = (
        f"the share of right answers differs by {signed(result.difference)}, "
        f"{100 * (1 - result.alpha):g}% interval at every look {interval}"
    )
    after = f"after {result.looked_at:,} of {plural(result.planned, 'item')}"
    verdict = {
        Decision.A_BETTER: f"{a} is better",
        Decision.B_BETTER: f"{b} is better",
        Decision.EQUIVALENT: f"equivalent within {result.margin or 0:g}",
        Decision.UNDECIDED: "undecided",
    }[result.decision]
    saved = f"; {plural(result.saved, 'item')} saved" if result.saved else ""
    return f"Looked at one by one: {verdict} {after}{saved} ({figures})."


def fidelity_sentences(result: Fidelity) -> tuple[str, ...]:
    """What the cell keeps of its reference."""
    if result.identical:
        return (_identical(result),)
    flips = (
        f"{result.cell} answers {result.changed:,} of {plural(result.n, 'item')} otherwise than "
        f"{result.reference}: {result.right_to_wrong:,} from right to wrong, "
        f"{result.wrong_to_right:,} from wrong to right, {result.wrong_to_wrong:,} from wrong to "
        "wrong."
    )
    said = [flips, *_distribution_sentences(result)]
    hurt = [row for row in result.classes if row.change is not None and row.change < 0]
    if hurt:
        worst = min(hurt, key=lambda row: row.change or 0.0)
        said.append(
            f"The class that suffers most is {worst.label}: recall {signed(worst.change)} "
            f"({worst.right_to_wrong:,} lost and {worst.wrong_to_right:,} won of "
            f"{plural(worst.support, 'item')})."
        )
    return tuple(said)


def _identical(result: Fidelity) -> str:
    same = f"{result.cell} does not differ from {result.reference}: no answer"
    if result.distributions is None:
        return f"{same}; probabilities of labels were not compared, because not both have them."
    return f"{same}, and no probability of a label by any bit."


def _distribution_sentences(result: Fidelity) -> list[str]:
    kept = result.distributions
    if kept is None:
        return []
    parts = []
    if kept.kl_mean is not None:
        parts.append(f"mean KL divergence of the labels {kept.kl_mean:.2g} nats")
    if kept.kl_infinite:
        parts.append(f"infinite on {plural(kept.kl_infinite, 'item')}")
    if kept.margin_change is not None:
        parts.append(
            f"lead of the best label {signed(kept.margin_change)} nats from "
            f"{number(kept.margin_reference)}"
        )
    if kept.margin_undefined:
        parts.append(f"lead without a number on {plural(kept.margin_undefined, 'item')}")
    parts.append(f"ECE {signed(kept.ece_change)} from {number(kept.ece_reference)}")
    bounds = "" if kept.exact else " Some log-probabilities behind this are bounds, not exact."
    missing = ""
    if result.without_probabilities:
        missing = f" Not counted: {plural(result.without_probabilities, 'item')} without them."
    return [f"Probabilities: {'; '.join(parts)}.{missing}{bounds}"]


def recommendation_paragraph(result: Recommendation) -> str:
    """Which cell to take, by which rule, at what price, and what speaks against smaller ones."""
    name = metric_name(result.metric)
    best, chosen = result.best, result.chosen
    rule = (
        f"the smallest cell whose {name} is not worse than the best one's by more than "
        f"{result.margin:g} at 95%"
    )
    said = [f"Take {chosen.name}{_size(chosen)}: {rule}."]
    if chosen is best:
        said.append(f"It is the best itself, with {number(best.quality)}.")
    else:
        gap = "" if chosen.difference is None else f", {difference(chosen.difference)} to the best"
        said.append(
            f"Its {name} is {number(chosen.quality)}{gap}, {best.name} with "
            f"{number(best.quality)}{_size(best)}.{_gain(chosen, best)}"
        )
    worse = [cell.name for cell in result.with_standing(Standing.WORSE)]
    if worse:
        said.append(f"Worse by more than that: {', '.join(worse)}.")
    open_ = [cell.name for cell in result.with_standing(Standing.OPEN)]
    if open_:
        said.append(f"Too few items to tell for: {', '.join(open_)}.")
    unknown = [c.name for c, _ in result.standings if c.size_bytes is None and c is not chosen]
    if unknown:
        said.append(f"Of unknown size, so not considered: {', '.join(unknown)}.")
    if len(result.standings) > 1:
        said.append("The best one was picked on these very items, which flatters it.")
    return " ".join(said)


def _gain(chosen: Candidate, best: Candidate) -> str:
    parts = []
    if chosen.size_bytes is not None and best.size_bytes:
        parts.append(f"{100 * chosen.size_bytes / best.size_bytes:.0f}% of its size")
    if chosen.tokens_per_s is not None and best.tokens_per_s:
        parts.append(f"{chosen.tokens_per_s / best.tokens_per_s:.2f} times its tokens a second")
    if chosen.seconds_per_correct is not None and best.seconds_per_correct:
        ratio = chosen.seconds_per_correct / best.seconds_per_correct
        parts.append(f"{ratio:.2f} times its seconds per right answer")
    return f" That is {', '.join(parts)}." if parts else ""


def _size(cell: Candidate) -> str:
    return "" if cell.size_bytes is None else f" ({cell.size_bytes / 1e6:,.0f} MB)"


def _count(items: int) -> str:
    return plural(items, "item") if items else "no item"


def _excludes_zero(value: Metric) -> bool:
    return value.low is not None and value.high is not None and (value.low > 0 or value.high < 0)
