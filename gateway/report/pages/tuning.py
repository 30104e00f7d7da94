"""What a training will take and what came out, in lines."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.core.sizes import readable
from gateway.report import format as fmt
from gateway.report.sections import Section, by_rows, numbers
from gateway.tuning.curve import Point
from gateway.tuning.heldout import HeldOut
from gateway.tuning.run import TuningResult
from gateway.tuning.tune import Estimate, Tuned

if TYPE_CHECKING:
    from gateway.tuning.probe.numbers import ProbedNumbers
    from gateway.tuning.probe.train import Probed


_GROUPS = 20
"""That are told one by one."""


def estimate_lines(estimate: Estimate, epochs: int) -> Iterator[str]:
    """Before the first step."""
    if estimate.from_step:
        yield f"going on from step {estimate.from_step:,}"
    yield (
        f"{estimate.trained:,} numbers are trained; an epoch is {estimate.tokens_an_epoch:,} "
        f"tokens in {estimate.steps_an_epoch:,} steps"
    )
    yield (
        f"about {fmt.duration(estimate.seconds)} for {epochs} epochs at most, at "
        f"{estimate.tokens_a_second:,.0f} tokens a second; about {readable(estimate.memory)} of "
        "memory"
    )


def epoch_line(found: HeldOut) -> str:
    """After an epoch."""
    score = "" if found.macro_f1 is None else f", macro-F1 {found.macro_f1:.3f}"
    return f"epoch {found.epoch}: held-out loss {found.loss:.3f}{score}"


def tuned_lines(tuned: "Tuned | Probed | ProbedNumbers") -> Iterator[str]:
    """When it is saved."""
    if not isinstance(tuned, Tuned):
        # It is loaded by now, and not where an adapter is trained.
        from gateway.tuning.probe.numbers import ProbedNumbers

        yield from _number_lines(tuned) if isinstance(tuned, ProbedNumbers) else _probe_lines(tuned)
        return
    best = next(e for e in tuned.state.epochs if e.epoch == tuned.state.best)
    yield f"best {epoch_line(best)}"
    yield f"adapter: {tuned.folder}"


def _number_lines(made: "ProbedNumbers") -> Iterator[str]:
    whole = made.names.total()
    for name, weight in made.names.most_common():
        yield f"{weight / whole:4.0%}  {name}"
    yield (
        f"cross-validated mean absolute error on {made.items:,} items: {made.mae:.3f}; the "
        f"median's: {made.mae_of_median:.3f}"
    )
    yield f"probe: {made.folder}, in {fmt.duration(made.seconds)}"


def _probe_lines(made: "Probed") -> Iterator[str]:
    whole = sum(made.chosen.weights.values())
    parts = Counter[str]()
    for choice, weight in made.chosen.weights.items():
        parts[str(choice)] += weight
    for name, weight in parts.most_common():
        yield f"{weight / whole:4.0%}  {name}"
    if made.rounds.tried:
        yield f"tried on all items: {made.rounds}"
    alone = ", ".join(f"{name} {score:.3f}" for name, score in made.single.items())
    yield f"cross-validated macro-F1 on {made.items:,} items: {made.macro_f1:.3f}; alone: {alone}"
    yield from _group_lines(made)
    yield f"probe: {made.folder}, in {fmt.duration(made.seconds)}"


def _group_lines(made: "Probed") -> Iterator[str]:
    """What answers each group, and how well; those that the probe of all answers are counted."""
    if not made.groups:
        return
    for each in made.groups[:_GROUPS]:
        own = "" if each.own is None else f", its own items alone {each.own:.3f}"
        said = each.why or f"head ({1 - each.share:.0%} its own) {each.answered:.3f}"
        yield (
            f"{fmt.clean(each.group)} ({fmt.plural(each.items, 'item')}): the probe of all "
            f"{each.pooled:.3f}{own}; {said}"
        )
    if (more := len(made.groups) - _GROUPS) > 0:
        yield f"and {fmt.plural(more, 'more group')}"
    left = [each for each in made.groups if each.why]
    yield (
        f"mean over {fmt.plural(len(made.groups), 'group')}: {made.mean('answered'):.3f}; by the "
        f"probe of all alone {made.mean('pooled'):.3f}"
    )
    if any(not each.why for each in made.groups):
        yield (
            "which groups have a head, and its share, was chosen on these same items, which "
            "flatters heads; items that were held out say what they gain"
        )
    if left:
        items = fmt.plural(sum(each.items for each in left), "item")
        yield (
            f"the probe of all answers {len(left)} of {fmt.plural(len(made.groups), 'group')} "
            f"({items}), and items of groups that are not here"
        )


def next_lines(made: TuningResult, strategy: str, adapters: Path | None) -> Iterator[str]:
    """What the model is called that was made, and what it needs first.

    Args:
        adapters: the folder of adapters where it is not the usual one.
    """
    if adapters is not None:
        yield f"in every command: GATEWAY_ADAPTERS={adapters.resolve()}"
    if made.needs:
        yield f"first, as llama.cpp reads another file: {made.needs}"
    yield f"{'then ' if made.needs else ''}it is the model {made.model}, with --strategy {strategy}"


def curve(points: Sequence[Point]) -> Section:
    """How the held-out score grows with the training data."""
    rows = [
        (
            f"{point.items:,}",
            fmt.number(point.metrics.get("held_out_macro_f1")),
            fmt.number(point.metrics["held_out_loss"]),
            f"{point.metrics['best_epoch']:.0f}",
            fmt.count(point.seconds),
        )
        for point in points
    ]
    heads = numbers("items", "macro-F1", "loss", "best epoch", "seconds")
    return Section("curve", "held-out score by training items", tables=(by_rows(heads, rows),))
