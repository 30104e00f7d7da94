"""The words for who is better: the one place where a report may say them.

Each is said of a claim (`gateway.scoring.claims`), and with what the claim rests on. Elsewhere a
cell has a higher or a lower value, and is first in a table.
"""

from collections.abc import Sequence

from gateway.report.format import ABSENT, number, p_statement, plural
from gateway.scoring.claims import Claim, Correction, leads
from gateway.scoring.contest import Comparison
from gateway.scoring.mcnemar import FEWEST_DECIDING
from gateway.scoring.results import AgainstBaseline, Verdict

EQUIVALENT, NOT_WORSE, NOT_SHOWN = "equivalent", "not worse", "not shown"


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
        return f"Its lead over each of the other {len(against)} cells is shown ({how})."
    behind = sum(each.verdict is Verdict.WORSE for each in claims)
    said = [f"Its lead is shown over {behind} of {plural(len(against), 'other cell')} ({how})"]
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
    items = "1 item decides" if deciding == 1 else f"{number(float(deciding), 0)} items decide"
    return f"only {items}, and fewer than {FEWEST_DECIDING} cannot reach p < 0.05"


def _basis(p_value: float | None, correction: Correction, family: int) -> str:
    if correction is Correction.EVERY_LOOK:
        return f"at every look, {plural(family, 'comparison')} together"
    said = p_statement(p_value)
    if correction is Correction.NONE:
        return said
    return f"{said}, corrected for {plural(family, 'comparison')} by {correction.value}"
