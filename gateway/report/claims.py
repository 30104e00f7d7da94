"""The words for who is better: the one place where a report may say them.

Each is said of a claim (`gateway.scoring.claims`), and with what the claim rests on. Elsewhere a
cell has a higher or a lower value, and is first in a table.
"""

from collections.abc import Sequence

from gateway.core.lists import are
from gateway.report.format import ABSENT, in_hundred, p_statement, plural
from gateway.scoring.claims import Claim, Correction, leads
from gateway.scoring.contest import Comparison
from gateway.scoring.mcnemar import FEWEST_DECIDING
from gateway.scoring.results import AgainstBaseline, CellScore, Verdict

EQUIVALENT, NOT_WORSE, NOT_SHOWN = "equivalent", "not worse", "not shown"
BEATS_ALL = "it beats every baseline"
"""Of a cell whose every verdict is `Verdict.BETTER`."""
INTERVALS_AGREE = (
    "Intervals of differences hold for all comparisons of this report together, as the p-values do "
    "from which it follows what is said of two cells: zero lies outside exactly where they are "
    "told apart. Where too few items decide there is no interval, or zero is in it."
)


def none_best(cells: Sequence[CellScore], name: str) -> str:
    """That there is no first cell, and why.

    Args:
        name: of the metric.
    """
    answered = any(cell.kind == "model" and cell.answered for cell in cells)
    why = f"{name} of none of them can be computed" if answered else ""
    return f"No cell is best: {why or 'none of them has answered an item'}."


def told_apart(claim: Claim, a: str, b: str) -> str:
    """Which of two cells is better, if that is shown, and what it rests on."""
    match claim.verdict:
        case Verdict.BETTER:
            return f"{a} is better ({basis(claim)})"
        case Verdict.WORSE:
            return f"{b} is better ({basis(claim)})"
        case Verdict.TOO_FEW:
            return f"too few items to tell them apart ({few(claim.deciding)})"
        case _:
            return f"not told apart ({basis(claim)})"


def beats(result: AgainstBaseline, figures: str) -> str:
    """Whether a cell beats a baseline.

    Args:
        figures: of the difference.
    """
    why = _basis(result.p_value, Correction(result.correction or Correction.NONE), result.family)
    match result.verdict:
        case Verdict.BETTER:
            return f"Beats {result.baseline}: {figures} ({why})."
        case Verdict.WORSE:
            return f"Does not beat {result.baseline}, it is worse: {figures} ({why})."
        case Verdict.TOO_FEW:
            return f"Not said to beat {result.baseline}: {figures}, but {few(result.deciding)}."
        case _:
            return f"Not said to beat {result.baseline}: {figures}, not told apart ({why})."


def not_all_beaten(models: Sequence[CellScore]) -> str:
    """How many cells leave a baseline unbeaten; "" where none does."""
    count = sum(any(v.verdict is not Verdict.BETTER for v in cell.verdicts) for cell in models)
    if not count:
        return ""
    return f"Cells that do not beat every baseline: {count} of {len(models)}."


def none_beats(models: Sequence[CellScore], rival: str) -> str:
    """That no cell is shown to beat a baseline that looks at no text; "" where one is."""
    verdicts = [v.verdict for cell in models for v in cell.verdicts if v.baseline == rival]
    if not verdicts or Verdict.BETTER in verdicts:
        return ""
    return f"No cell here is shown to beat {rival}, which looks at no text."


def beaten(cell: CellScore | None) -> str:
    """Which baselines beat a cell, as its verdicts have it."""
    verdicts = cell.verdicts if cell else ()
    names = [each.baseline for each in verdicts if each.verdict is Verdict.WORSE]
    if not cell or not names:
        return "a baseline costs none"
    verb = "costs none and beats" if len(names) == 1 else "cost none and beat"
    return f"{' and '.join(names)} {verb} {cell.name}"


def within(pair: Comparison, name: str) -> str:
    """What is shown at the margin, of a metric of that name."""
    result, a, b = pair.contest.equivalence, pair.contest.a, pair.contest.b
    margin = f"{result.margin:g}" if result else ABSENT
    if pair.equivalent:
        return f"{a} and {b} are equivalent within {margin} in {name}"
    if pair.not_worse:
        return no_worse(pair, a, b, name)
    return f"It is not shown that {a} is worse than {b} by less than {margin} in {name}"


def no_worse(pair: Comparison, cell: str, other: str, name: str) -> str:
    """That one cell of a pair is shown to be no worse than the other by more than the margin."""
    result = pair.contest.equivalence
    margin = f"{result.margin:g}" if result else ABSENT
    return f"{cell} is worse than {other} by less than {margin} in {name}, if at all"


def beyond_margin(pair: Comparison, name: str) -> str:
    """How sure it is, by these two cells alone, that one is better by more than the margin."""
    result, a, b = pair.contest.equivalence, pair.contest.a, pair.contest.b
    if result is None:
        return ""
    of_a, of_b = (in_hundred(p) for p in (result.p_better, result.p_worse))
    return (
        f"By these two alone the chances in 100 of being better by more than {result.margin:g} in "
        f"{name} are {of_a} for {a} and {of_b} for {b}."
    )


def margin_open(pair: Comparison, name: str, differing: str) -> str:
    """That nothing can be said at the margin, because so few items differ."""
    result, a, b = pair.contest.equivalence, pair.contest.a, pair.contest.b
    margin = f"{result.margin:g}" if result else ABSENT
    return (
        f"Whether {a} is worse than {b} by less than {margin} in {name} cannot be said: they "
        f"differ on {differing}, too few to resample."
    )


def best_of(name: str, against: Sequence[Comparison]) -> str:
    """How the first cell of a table is called: the best where that is shown of all others.

    Args:
        against: the comparisons in which it is `b`.
    """
    if leads([each.claim for each in against]):
        return f"Best here: {name}"
    return f"First here: {name}"


def lead(against: Sequence[Comparison]) -> str:
    """Over which other cells the first one leads, over which not, and which lead it.

    Args:
        against: the comparisons in which it is `b`; at least one.
    """
    claims = [each.claim for each in against]
    how = basis_of_all(claims)
    if leads(claims):
        each = "the other cell" if len(against) == 1 else f"each of the other {len(against)} cells"
        some = [_with_items(each) for each in against if each.contest.n < each.contest.total]
        on = f"; {', '.join(some)}" if some else ""
        return f"Its lead over {each} is shown ({how}{on})."
    behind = sum(each.verdict is Verdict.WORSE for each in claims)
    over = f"over {behind} of {len(against)} other cells" if behind else "over no other cell"
    said = [f"Its lead is shown {over} ({how})"]
    for verdict, words in (
        (Verdict.NOT_TOLD_APART, "not told apart from"),
        (Verdict.TOO_FEW, "too few items to tell it apart from"),
        (Verdict.BETTER, "worse than"),
    ):
        names = [_with_items(each) for each in against if each.claim.verdict is verdict]
        if names:
            said.append(f"{words}: {', '.join(names)}")
    return "; ".join(said) + "."


def _with_items(each: Comparison) -> str:
    """The name of `a`, and on how many items it was compared where those are not all."""
    result = each.contest
    if result.n == result.total:
        return result.a
    return f"{result.a} (on the {plural(result.n, 'item')} that both answered)"


def at_margin(pair: Comparison) -> str:
    """What was shown at the margin, in two words."""
    if pair.contest.equivalence is None:
        return ABSENT
    if pair.equivalent:
        return EQUIVALENT
    return NOT_WORSE if pair.not_worse else NOT_SHOWN


def basis(claim: Claim) -> str:
    """The p-value of a claim, and what it allows for."""
    return _basis(claim.p_value, claim.correction, claim.family)


def basis_of_all(claims: Sequence[Claim]) -> str:
    """What several claims of one family allow for."""
    first = claims[0]
    level = "at 5%"
    if first.correction is Correction.NONE:
        return f"{level}, the only comparison"
    if first.correction is Correction.EVERY_LOOK:
        return f"{level} at every look, {plural(first.family, 'comparison')} together"
    return f"{level}, {plural(first.family, 'comparison')} together by {first.correction.value}"


def few(deciding: int) -> str:
    """That so few items cannot decide."""
    if deciding == 0:
        return "no item decides"
    items = are(deciding, "item", "decides", "decide")
    return f"only {items}, and fewer than {FEWEST_DECIDING} cannot reach p < 0.05"


def _basis(p_value: float | None, correction: Correction, family: int) -> str:
    if correction is Correction.EVERY_LOOK:
        return f"at every look, {plural(family, 'comparison')} together"
    said = p_statement(p_value)
    if correction is Correction.NONE:
        return said
    return f"{said}, corrected for {plural(family, 'comparison')} by {correction.value}"
