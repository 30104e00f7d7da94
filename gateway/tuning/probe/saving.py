"""A probe's folder: its file, its card, what each member said in cross-validation, what it took."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from gateway import __version__
from gateway.core.files import write_atomically
from gateway.models.adapters.card import (
    Card,
    RecordedBase,
    RecordedData,
    RecordedPrompt,
    Scalar,
    write_card,
)
from gateway.models.adapters.timings import TIMINGS, Took, timings_csv
from gateway.tuning.job import TrainingJob
from gateway.tuning.probe.recipe import ProbeRecipe
from gateway.tuning.saving import data_digest, new_adapter

SCORES = "cross-validation.csv"
"""One row a member that was tried."""


def card_of(
    job: TrainingJob,
    recipe: ProbeRecipe,
    base: RecordedBase,
    members: Sequence[str],
    *,
    more: Mapping[str, Scalar],
    metrics: Mapping[str, float],
) -> Card:
    """The card of a probe.

    Args:
        members: each in a few words.
        more: hyperparameters that a probe of its kind has beside the others.
    """
    items = (*job.items, *job.held_out)
    return Card(
        base=base,
        data=RecordedData(job.source, data_digest(items), len(items)),
        prompt=RecordedPrompt(job.task.name, job.template.strategy, job.template.digest),
        hyperparameters={
            "method": "probe",
            "folds": recipe.folds,
            "words": recipe.words,
            **more,
            **{f"member_{number}": said for number, said in enumerate(members, 1)},
        },
        seed=job.recipe.seed,
        metrics=metrics,
        versions={
            "local-model-gateway": __version__,
            **{name: version(name) for name in ("llama-cpp-python", "scikit-learn")},
        },
        created=datetime.now(tz=UTC).date(),
    )


def save(
    target: Path,
    write: Callable[[Path], None],
    card: Card,
    heads: str,
    rows: Iterable[Sequence[object]],
    took: Took,
) -> None:
    """Write the folder; a reader never meets half of it.

    Args:
        write: writes the probe itself into a folder.
        heads: of the columns of `rows`, with commas between.
        rows: one a member that was tried.
    """
    table = "".join(",".join(map(str, row)) + "\n" for row in rows)
    with new_adapter(target) as folder:
        write(folder)
        write_card(folder, card)
        write_atomically(folder / SCORES, f"{heads}\n{table}")
        write_atomically(folder / TIMINGS, timings_csv(took))
