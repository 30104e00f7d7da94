"""What `gateway certify` found."""

from gateway.models.certificates import Certificate
from gateway.report.sections import Section, by_rows, numbers


def section(made: Certificate) -> Section:
    """The evidence, one row a trial, and the level."""
    heads = ("trial", *numbers("requests", "texts changed", "log-probabilities changed"))
    rows = [
        (trial.name, *map(str, (trial.requests, trial.texts_changed, trial.logprobs_changed)))
        for trial in made.trials
    ]
    verdict = f"{made.model} on {made.machine}: {made.level.value}"
    return Section(tables=(by_rows(heads, rows),), lines=(verdict,))
