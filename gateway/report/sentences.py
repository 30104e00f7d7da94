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
from gateway.scoring.contest import Contest
from gateway.scoring.equivalence import Equivalence
from gateway.scoring.flips import KeptAnswers
from gateway.scoring.frontier import Candidate, Recommendation, Standing
from gateway.scoring.mcnemar import McNemar
from gateway.scoring.metrics import metric_name
from gateway.scoring.permutation import Permutation
from gateway.scoring.power import Power
from gateway.scoring.report import Conclusion, Report, best_first
from gateway.scoring.results import AgainstBaseline, CellScore, Metric, Verdict
from gateway.scoring.sequential import Decision, Sequential


def summary_sentences(report: Report) -> tuple[str, ...]:
    """Which cell is best, how sure that is, what does not beat a baseline, and last what follows
    from it; nothing where the report does not compare."""
    best = report.best
    if report.conclusion is None:
        return ()
    if best is None:
        return (f"No cell has a {metric_name(report.primary_metric)}: nothing was answered.",)
    metric = best.metrics[report.primary_metric]
    value = f"{metric.value:.3f}"
    if metric.low is not None and metric.high is not None:
        value += f" (95% interval {metric.low:.3f} to {metric.high:.3f})"
    name = metric_name(report.primary_metric)
    said = [f"Best here: {best.name}, {name} {value}, n = {report.n}."]
    if report.against_best:
        said.append(_lead(report))
    said += [f"{best.name}: {sentence}" for sentence in map(baseline_sentence, best.verdicts)]
    models = [cell for cell in report.cells if cell.kind == "model"]
    if beaten := sum(not _beats_all(cell) for cell in models):
        said.append(f"Cells that do not beat every baseline: {beaten} of {len(models)}.")
    return (*said, _what_follows(report, best.name))


def baseline_sentence(result: AgainstBaseline) -> str:
    """Whether a cell beats a baseline, by how much, and how sure that is."""
    if result.difference is None:
        return f"Not said to beat {result.baseline}: {result.why}."
    figures = f"{metric_name(result.metric)} differs by {difference(result.difference)}"
    if result.n < result.total:
        figures += f" on the {plural(result.n, 'item')} that both answered"
    match result.verdict:
        case Verdict.BETTER:
            return f"Beats {result.baseline}: {figures}."
        case Verdict.WORSE:
            return f"Does not beat {result.baseline}, it is worse: {figures}."
        case Verdict.TOO_FEW:
            return f"Not said to beat {result.baseline}: {figures}, but too few items differ."
        case _:
            doubt = "an interval that does not exclude zero"
            return f"Not said to beat {result.baseline}: {figures}, {doubt}."


def _lead(report: Report) -> str:
    """Which other cells the best one is told apart from."""
    found = [each.contest for each in report.against_best]
    open_ = [each.a for each in found if each.verdict is not Verdict.WORSE]
    if not open_:
        return f"Its lead over each of the other {len(found)} cells excludes zero."
    return (
        f"Its lead excludes zero over {len(found) - len(open_)} of {len(found)} "
        f"other cells; not told apart from: {', '.join(open_)}. It was picked as the best on "
        "these very items, which flatters it."
    )


def _beats_all(cell: CellScore) -> bool:
    return all(each.verdict is Verdict.BETTER for each in cell.verdicts)


def _what_follows(report: Report, best: str) -> str:
    """For somebody who reads one sentence."""
    baselines = [cell for cell in report.cells if cell.kind == "baseline"]
    rival = next((cell.name for cell in best_first(baselines, report.primary_metric)), "")
    match report.conclusion:
        case Conclusion.NO_BASELINE:
            return (
                "What follows: nothing yet, since no baseline shows what can be had without a "
                "model; --train adds them, and they cost no tokens."
            )
        case Conclusion.WORTH_IT:
            return f"What follows: {best} is worth its tokens; what costs none is worse."
        case Conclusion.NOT_WORTH_IT:
            return (
                f"What follows: no prompt here is worth its tokens, since {rival} costs none and "
                "is better; a larger model, or this one tuned, would have to beat it."
            )
        case _:
            return (
                f"What follows: {report.n} items do not show that {best} is worth its tokens; "
                f"{rival} costs none, and more items may tell the two apart."
            )


def contest_sentences(result: Contest) -> tuple[str, ...]:
    """All of a contest, the most telling first."""
    said = [difference_sentence(result), permutation_sentence(result.permutation)]
    said.append(mcnemar_sentence(result.mcnemar, result.a, result.b))
    if result.equivalence is not None:
        said.append(equivalence_sentence(result.equivalence, result.a, result.b, result.metric))
    if not result.difference.excludes_zero:
        said.append(power_sentence(result.power, result.metric))
    said.append(sequential_sentence(result.sequential, result.a, result.b))
    if any(result.inexact):
        said.append(
            f"Scores that are bounds, not exact: {result.inexact[0]:,} of {result.a}, "
            f"{result.inexact[1]:,} of {result.b}."
        )
    return tuple(said)


def difference_sentence(result: Contest) -> str:
    """The difference with its interval, and which cell that makes the better one."""
    name, value = metric_name(result.metric), result.difference
    figures = f"{name} of {result.a} less that of {result.b}: {difference(value)}"
    if result.n < result.total:
        figures += f" on the {plural(result.n, 'item')} of {result.total:,} that both answered"
    figures += f" ({result.method} bootstrap)"
    return figures + {
        Verdict.TOO_FEW: (f": too narrow, because the cells differ on {_count(result.differing)}."),
        Verdict.BETTER: f": {result.a} is better.",
        Verdict.WORSE: f": {result.b} is better.",
    }.get(result.verdict, ": not told apart.")


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
            f"Whether {a} is worse than {b} by less than {result.margin:g} in {name} cannot be "
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
        return f"A difference in {name} of {wanted:g} cannot be found with any number of items."
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


def fidelity_sentences(result: KeptAnswers) -> tuple[str, ...]:
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


def _identical(result: KeptAnswers) -> str:
    same = f"{result.cell} does not differ from {result.reference}: no answer"
    if result.distributions is None:
        return f"{same}; probabilities of labels were not compared, because not both have them."
    return f"{same}, and no probability of a label by any bit."


def _distribution_sentences(result: KeptAnswers) -> list[str]:
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
