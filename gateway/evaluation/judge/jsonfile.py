"""A judgement as JSON: its totals and, one by one, its grades.

There is no clock in it: the same judgement is the same bytes.
"""

from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from gateway import __version__
from gateway.core.digests import canonical_json
from gateway.evaluation.judge.judgement import Judgement


def totals_json(made: Judgement) -> dict[str, Any]:
    """All but the single grades, for canonical JSON."""
    return {
        "judge": asdict(made.judge),
        "data": made.data,
        "data_digest": made.data_digest,
        "seed": made.seed,
        "answers": len(made.grades),
        "statuses": made.statuses,
        "approximated": made.approximated,
        "mean": made.mean and asdict(made.mean),
        "limits": made.limits,
        "mean_spread": made.mean_spread,
        "mean_mass": made.mean_mass,
        "mean_probabilities": made.mean_probabilities,
        "most_probable": made.most_probable,
        "agreement": made.agreement and asdict(made.agreement),
        "remarks": list(made.remarks()),
        "versions": {
            "gateway": __version__,
            **{name: version(name) for name in ("numpy", "scipy", "scikit-learn")},
        },
    }


def grades_json(made: Judgement) -> list[dict[str, Any]]:
    """The single grades, in order of the data, for canonical JSON."""
    return [{**asdict(g), "status": g.status.value} for g in made.grades]


def grades_jsonl(made: Judgement) -> str:
    """One line an answer."""
    return "".join(canonical_json(line) + "\n" for line in grades_json(made))
