"""The learning curve: the same training on less and less of the data.

It says whether more labels would help: where the score still climbs at the right end, they would.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gateway.core.errors import ConfigError
from gateway.models.adapters.card import Card, read_card
from gateway.models.adapters.names import new_folder
from gateway.models.adapters.timings import took_of
from gateway.tasks.sampling import stratified_sample
from gateway.tuning.job import TrainingJob
from gateway.tuning.saving import data_digest
from gateway.tuning.tune import Begin, check_target, tune

LEAST = 4
"""Items of a point."""


@dataclass(frozen=True, slots=True)
class Point:
    """What so many items teach."""

    items: int
    metrics: dict[str, float]
    """As the adapter's card has them, of the best epoch."""
    seconds: float | None
    """Of training; None: not known."""


def smaller_jobs(job: TrainingJob, sizes: Sequence[int]) -> tuple[TrainingJob, ...]:
    """The job on seeded samples, stratified by label; a smaller one is a part of each larger.

    All have the same held-out items. The adapters are called NAME-SIZE.

    Raises:
        ConfigError: a size is too small or not below the number of items.
    """
    items = job.items
    for size in sizes:
        if not LEAST <= size < len(items):
            raise ConfigError(
                f"--curve {size}: a point has {LEAST} items or more, and fewer than the "
                f"{len(items)} that are learned"
            )
    made: list[TrainingJob] = []
    for size in sorted(set(sizes), reverse=True):
        items = tuple(stratified_sample(items, size, job.recipe.seed))
        target = new_folder(job.target.parent, f"{job.target.name}-{size}")
        made.append(replace(job, items=items, target=target))
    return tuple(reversed(made))


def train_one(job: TrainingJob, begin: Begin, *, restart: bool = False) -> Point:
    """Train one; what is there already, from the same items and recipe, is not trained again.

    Raises:
        ConfigError: a folder of that name holds another adapter.
        DataError, BackendError, StoreError: as `tune`.
    """
    if not job.target.exists():
        tune(job, begin, restart=restart)
    return point(job)


def point(job: TrainingJob) -> Point:
    """Of a job that was learned.

    Raises:
        ConfigError: its folder holds another adapter.
    """
    card = read_card(job.target)
    if card is None or not _is_of(card, job):
        check_target(job.target)
    assert card is not None
    took = took_of(job.target)
    return Point(len(job.items), dict(card.metrics), took.seconds if took else None)


def _is_of(card: Card, job: TrainingJob) -> bool:
    return (
        card.hyperparameters == job.recipe.table()
        and card.seed == job.recipe.seed
        and card.data is not None
        and card.data.digest == data_digest(job.items)
        and card.prompt is not None
        and card.prompt.digest == job.template.digest
    )
