"""What `gateway certify --fastest` chose, and what became of each candidate."""

from collections.abc import Iterator, Sequence

from gateway.models.choices import Choice, Tried
from gateway.models.purpose import Purpose
from gateway.report.format import ABSENT
from gateway.report.sections import Section, by_rows, numbers

_WORTH = 1.1
"""How many times as fast the other kernels have to be at something, to be told of."""
_FOR: dict[Purpose, str] = {"all": "", "labels": ", chosen for labels"}
_SPEEDS = ("prefill", "decode x1", "x8")


def section(made: Choice) -> Section:
    """One row a candidate, the fastest first; then what was chosen."""
    heads = ("settings", *numbers(*_SPEEDS), "what became of it")
    rows = [(each.settings.name, *_speeds(each), _became(each)) for each in made.tried]
    chosen = f"tokens a second; {made.model} here from now on: {said(made)}"
    lines = (chosen, *_evidence(made), *_other_kernels(made))
    return Section(tables=(by_rows(heads, rows),), lines=lines)


def said(made: Choice) -> str:
    """The choice and what it gains, in a line."""
    what = f"{made.settings}{_FOR[made.purpose]}"
    if not (gains := made.gains) or made.taken == made.usual:
        return f"{what}, as without a choice"
    return f"{what} (times as fast as the usual: {_times(gains)})"


def _times(gains: Sequence[float]) -> str:
    named = zip(("prefill", "decode", "of eight"), gains, strict=True)
    return ", ".join(f"{name} {gain:.2f}" for name, gain in named)


def _other_kernels(made: Choice) -> Iterator[str]:
    """What kernels that only a whole process can take would gain; nothing where they gain none."""
    gains = made.gains_of_other_kernels
    if gains and max(gains) >= _WORTH:
        other = "prefill" if made.kernels == "decode" else "decode"
        yield (
            f'kernels = "{other}" in models.toml, for all models of a process: {_times(gains)} '
            "times the usual"
        )


def _evidence(made: Choice) -> Iterator[str]:
    plans = made.taken.plans
    changed, rows = sum(plan.changed for plan in plans), sum(plan.rows for plan in plans)
    yield f"{changed} of {rows} rows changed, in {len(plans)} plans: " + ", ".join(
        plan.name for plan in plans
    )
    yield f"digest of their logits: {made.digest[:12]}"


def _speeds(tried: Tried) -> tuple[str, ...]:
    if (speed := tried.speed) is None:
        return (ABSENT,) * len(_SPEEDS)
    return tuple(f"{rate:.0f}" for rate in (speed.prefill, speed.decode, speed.decode_8))


def _became(tried: Tried) -> str:
    return tried.left or "kept: no byte changed"
