"""Sentences about a comparison as a whole; those about two cells are `gateway.report.sentences`."""

from gateway.evaluation.ab.outcome import NoiseFloor, Outcome, Stopping
from gateway.report.format import plural
from gateway.report.sentences import contest_sentences, needed_sentence, sequential_sentence
from gateway.scoring.contest import Comparison, NotCompared
from gateway.scoring.metrics import metric_name

NOT_READ = "unknown"
"""Stands for joules: no meter is read."""

NO_TESTS = (
    "Items were taken until right answers were decided, so no p-value is given: it would hold for "
    "a number of items that was fixed beforehand. What decides is the interval of the difference "
    "in right answers, which holds at every look; the intervals of single cells do not allow for "
    "stopping."
)


def noise_sentence(noise: NoiseFloor) -> str:
    """How much the reference differs from itself, and what follows."""
    asked = (
        f"{noise.cell} was asked {plural(noise.n, 'item')} a second time, in another order and "
        "past all that is kept"
    )
    level = f"level of determinism: {noise.level.value}"
    if noise.silent:
        return (
            f"{asked}: zero answers and zero log-probabilities differ, by any bit ({level}). "
            "What differs between cells is the cells'."
        )
    found = (
        f"{plural(noise.answers_changed, 'answer')} and the log-probabilities of "
        f"{plural(noise.logprobs_changed, 'item')} differ, by {noise.largest:.2g} nats at most"
    )
    if noise.texts_changed:
        found += f", and {plural(noise.texts_changed, 'text')}"
    said = f"{asked}: {found} ({level}). Differences between cells below this are noise."
    if noise.broken:
        said += " At this level nothing may differ: run gateway certify again."
    return said


def stopping_sentence(stopping: Stopping) -> str:
    """Where asking stopped, and what that saved."""
    if not stopping.decided:
        return (
            f"All {plural(stopping.planned, 'item')} were asked: they do not decide every cell "
            "against the reference."
        )
    return (
        f"Stopped after {stopping.asked:,} of {plural(stopping.planned, 'item')}, because every "
        f"cell is decided against the reference: {plural(stopping.saved, 'item')} saved (they are "
        f"asked {stopping.batch} at a time)."
    )


def pair_sentences(outcome: Outcome, pair: Comparison) -> tuple[str, ...]:
    """What is said of two cells."""
    result = pair.contest
    if outcome.stopping and result.sequential is not None:
        return (sequential_sentence(pair, result.sequential),)
    said = contest_sentences(pair)
    if not pair.claim.shown and result.needed is not None:
        said += (needed_sentence(result.needed, outcome.margin, result.metric),)
    return said


def not_compared_sentence(pair: NotCompared) -> str:
    """That two cells are not compared, and why."""
    return f"{pair.a} and {pair.b} are not compared: {pair.why}."


def no_recommendation(outcome: Outcome) -> str:
    """Why there is none."""
    name = outcome.metric
    having = [c.name for c in outcome.report.cells if c.name in outcome.sizes and name in c.metrics]
    if outcome.stopping is None and len(having) == 1:
        return f"Nothing is recommended: {having[0]} alone has a {metric_name(name)}."
    if outcome.stopping is None:
        return (
            f"Nothing is recommended: {metric_name(outcome.metric)} does not count what a "
            "cell left out, and not every cell has answered every item."
        )
    return (
        f"Nothing is recommended: items were taken until right answers were decided, and a margin "
        f"of {outcome.margin:g} in {metric_name(outcome.metric)} says nothing about those."
    )
