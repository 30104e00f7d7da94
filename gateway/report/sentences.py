"""What the statistics found, in sentences for a person who has to decide.

Where a test can decide nothing the sentence says so, and where two cells are not told apart it says
how small a difference could have been found. The words for who is better are those of
`gateway.report.claims` alone.
"""

from collections.abc import Iterator, Sequence

from gateway.core.lists import are
from gateway.report import claims
from gateway.report.format import (
    difference,
    number,
    p_statement,
    p_value,
    plural,
    signed,
    signed_interval,
)
from gateway.scoring.contest import Comparison
from gateway.scoring.equivalence import Equivalence
from gateway.scoring.flips import KeptAnswers
from gateway.scoring.frontier import Candidate, Recommendation, Standing
from gateway.scoring.mcnemar import McNemar
from gateway.scoring.metrics import metric_name
from gateway.scoring.permutation import Permutation
from gateway.scoring.power import Power
from gateway.scoring.report import Conclusion, Report, best_first
from gateway.scoring.results import (
    MAJORITY,
    MEDIAN,
    AgainstBaseline,
    CellScore,
    Metric,
    Status,
    Verdict,
)
from gateway.scoring.sequential import Decision, Sequential


def summary_sentences(report: Report) -> tuple[str, ...]:
    """Which cell is first, how sure that is, what does not beat a baseline, and last what follows
    from it; nothing where the report does not compare."""
    first = report.best
    if report.conclusion is None:
        return ()
    if first is None:
        return (claims.none_best(report.cells, metric_name(report.primary_metric)),)
    said = [_first(report, first)]
    if report.against_best:
        said.append(claims.lead(report.against_best))
    said += [f"{first.name}: {sentence}" for sentence in map(baseline_sentence, first.verdicts)]
    models = [cell for cell in report.cells if cell.kind == "model"]
    said += _not_compared(report, first, models)
    said += filter(None, (claims.none_beats(models, name) for name in (MAJORITY, MEDIAN)))
    if unbeaten := claims.not_all_beaten(models):
        said.append(unbeaten)
    return (*said, _what_follows(report, first.name))


def _not_compared(report: Report, first: CellScore, models: Sequence[CellScore]) -> Iterator[str]:
    name, compared = metric_name(report.primary_metric), {c.contest.a for c in report.against_best}
    if without := [cell.name for cell in models if report.primary_metric not in cell.metrics]:
        yield f"Compared with no other, since {name} cannot be computed: {', '.join(without)}."
    others = [cell.name for cell in models if cell.name not in {first.name, *compared, *without}]
    if report.against_best and others:
        yield f"No item was answered both by {first.name} and by: {', '.join(others)}."


def _first(report: Report, first: CellScore) -> str:
    metric, name = first.metrics[report.primary_metric], metric_name(report.primary_metric)
    figures = f"{name} {number(metric.value)}{_between(metric)}, n = {report.n:,}"
    figures += _answered_so(report.primary_metric, first)
    said = f"{claims.best_of(first.name, report.against_best)}, {figures}"
    answered = first.statuses.get(Status.OK.value, report.n)
    own = first.metrics.get(f"{report.primary_metric}_answered")
    if own is not None and answered < report.n:
        said += f"; {number(own.value)} on the {plural(answered, 'item')} that it answered"
    luck = report.winner
    if luck is not None and luck.of > 1 and luck.name == first.name:
        corrected = luck.corrected
        said += (
            f"; {number(corrected.value)}{_between(corrected)} less the luck of being picked "
            f"from {luck.of}"
        )
    return f"{said}."


def _answered_so(metric: str, cell: CellScore) -> str:
    """Of how many items a precision is: it is silent about all others."""
    family, _, label = metric.partition(":")
    if family != "precision" or cell.confusion is None:
        return ""
    place = cell.confusion.labels.index(label)
    count = sum(n for _, answer, n in cell.confusion.entries_found() if answer == place)
    silent = f" and {cell.left_out:,} not answered" if cell.left_out else ""
    return f", {count:,} of them answered so{silent}"


def _between(metric: Metric) -> str:
    if metric.low is None or metric.high is None:
        return ""
    return f" (95% interval {number(metric.low)} to {number(metric.high)})"


def baseline_sentence(result: AgainstBaseline) -> str:
    """Whether a cell beats a baseline, by how much, and how sure that is."""
    if result.difference is None:
        return f"Not said to beat {result.baseline}: {result.why}."
    figures = f"{metric_name(result.metric)} differs by {difference(result.difference)}"
    if result.n < result.total:
        figures += f" on the {plural(result.n, 'item')} that both answered"
    return claims.beats(result, figures)


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
            return f"What follows: {best} is worth its tokens; {claims.BEATS_ALL}."
        case Conclusion.NOT_WORTH_IT:
            return (
                f"What follows: no prompt here is worth its tokens, since "
                f"{claims.beaten(report.best)}; a larger model, or this one tuned, may do more."
            )
        case _ if not rival:
            name = metric_name(report.primary_metric)
            return (
                f"What follows: nothing by {name}, which cannot be computed of any baseline; by "
                f"another metric {best} may be worth its tokens."
            )
        case _:
            return (
                f"What follows: {are(report.n, 'item', 'does', 'do')} not show that {best} is "
                f"worth its tokens; {rival} costs none, and more items may tell the two apart."
            )


def contest_sentences(pair: Comparison) -> tuple[str, ...]:
    """All of a comparison, the most telling first."""
    result = pair.contest
    said = [difference_sentence(pair), permutation_sentence(result.permutation)]
    said.append(mcnemar_sentence(result.mcnemar, result.a, result.b))
    if result.equivalence is not None:
        said.append(equivalence_sentence(pair, result.equivalence))
    if not pair.claim.shown and result.power is not None:
        said.append(power_sentence(result.power, result.metric))
    if sentence := saved_sentence(pair):
        said.append(sentence)
    if any(result.inexact):
        said.append(
            f"Scores that are bounds, not exact: {result.inexact[0]:,} of {result.a}, "
            f"{result.inexact[1]:,} of {result.b}."
        )
    return tuple(said)


def difference_sentence(pair: Comparison) -> str:
    """The difference with its interval, and what it allows to say of the two."""
    result = pair.contest
    name = metric_name(result.metric)
    figures = f"{name} of {result.a} less that of {result.b}: {difference(pair.difference)}"
    if result.n < result.total:
        figures += f" on the {plural(result.n, 'item')} of {result.total:,} that both answered"
    figures += f" ({_how(pair)})"
    return f"{figures}: {claims.told_apart(pair.claim, result.a, result.b)}."


def _how(pair: Comparison) -> str:
    """What the interval of the difference is."""
    if pair.difference.low is None:
        return "no interval"
    family = pair.claim.family
    level = "95%" if family == 1 else f"95% in {plural(family, 'comparison')} together"
    return f"{level}, {pair.contest.method}"


def permutation_sentence(result: Permutation) -> str:
    """The permutation test, or why it decides nothing."""
    if result.p_value is None:
        return f"Permutation test: {result.why_none}."
    ways = "all" if result.exact else "a sample of"
    return (
        f"Permutation test of these two alone: {p_statement(result.p_value)} "
        f"({ways} {result.permutations:,} ways to swap {plural(result.differing, 'item')})."
    )


def mcnemar_sentence(result: McNemar, a: str, b: str) -> str:
    """Who is right alone how often, and the exact test of it or why it decides nothing."""
    counts = (
        f"Right in {a} alone: {result.only_a:,} of {plural(result.n, 'item')}, in {b} alone: "
        f"{result.only_b:,}"
    )
    verdict = f"exact McNemar {p_statement(result.exact_p)}, mid-p {p_value(result.mid_p)}"
    if result.p_value is None:
        alone = result.clustered or not result.discordant
        verdict = result.why_none if alone else f"{result.why_none} ({verdict})"
    return f"{counts}; {verdict}."


def equivalence_sentence(pair: Comparison, result: Equivalence) -> str:
    """What was shown at the margin: equivalence, non-inferiority, or neither."""
    name, metric = metric_name(result.metric), pair.contest.metric
    if result.rests_on_few:
        return claims.margin_open(pair, name, _count(result.differing))
    p = pair.equivalence_p if pair.equivalent else pair.not_worse_p
    level = f"{100 * (1 - 2 * result.alpha):g}%"
    family = pair.claim.family
    for_all = f", corrected for {plural(family, 'comparison')} by Holm" if family > 1 else ""
    figures = f"{p_statement(p)}{for_all}"
    if family == 1:
        figures += f", {level} interval {signed_interval(result.narrow)}"
    shown, chances = claims.within(pair, name), claims.beyond_margin(pair, name)
    if result.metric != metric:
        shown += f", which stands in for {metric_name(metric)}: too few items differ to resample"
    return f"{shown} ({figures}). {chances}"


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


def saved_sentence(pair: Comparison) -> str:
    """How many items would have been enough for what is said of the two; "" where that is nothing,
    or they would not have been."""
    looks = pair.contest.sequential
    wanted = {Verdict.BETTER: Decision.A_BETTER, Verdict.WORSE: Decision.B_BETTER}
    if looks is None or not pair.claim.shown or looks.decision is not wanted[pair.claim.verdict]:
        return ""
    return (
        f"Looked at one by one, right answers would have decided the same after "
        f"{looks.looked_at:,} of {plural(looks.planned, 'item')}; {plural(looks.saved, 'item')} "
        "saved."
    )


def sequential_sentence(pair: Comparison, result: Sequential) -> str:
    """What was decided after how many items, and how many that saves."""
    interval = signed_interval(Metric(result.difference, result.low, result.high))
    level = number(100 * (1 - result.alpha), 2).rstrip("0").rstrip(".")
    figures = (
        f"the share of right answers differs by {signed(result.difference)}, "
        f"{level}% interval at every look {interval}"
    )
    after = f"after {result.looked_at:,} of {plural(result.planned, 'item')}"
    verdict = claims.told_apart(pair.claim, pair.contest.a, pair.contest.b)
    if result.decision is Decision.EQUIVALENT:
        verdict = f"{claims.EQUIVALENT} within {result.margin or 0:g} ({claims.basis(pair.claim)})"
    elif result.decision is Decision.UNDECIDED:
        verdict = f"undecided ({claims.basis(pair.claim)})"
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
        f"the smallest cell whose {name} is shown to be {claims.NOT_WORSE} than that of the first "
        f"by more than {result.margin:g} (95%, all pairs together)"
    )
    said = [f"Take {chosen.name}{_size(chosen)}: {rule}."]
    if chosen is best:
        said.append(f"It is the first itself, with {number(best.quality)}.")
    else:
        gap = "" if chosen.difference is None else f", {difference(chosen.difference)} to the first"
        said.append(
            f"Its {name} is {number(chosen.quality)}{gap}, {best.name} with "
            f"{number(best.quality)}{_size(best)}.{_gain(chosen, best)}"
        )
    worse = [cell.name for cell in result.with_standing(Standing.WORSE)]
    if worse:
        said.append(f"Shown to be below by more than that: {', '.join(worse)}.")
    open_ = [cell.name for cell in result.with_standing(Standing.OPEN)]
    if open_:
        said.append(f"Too few items to tell for: {', '.join(open_)}.")
    unknown = [c.name for c, _ in result.standings if c.size_bytes is None and c is not chosen]
    if unknown:
        said.append(f"Of unknown size, so not considered: {', '.join(unknown)}.")
    if len(result.standings) > 1:
        said.append("The first was picked on these very items, which flatters it.")
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
