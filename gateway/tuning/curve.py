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
from gateway.tuning.tune import Begin, Lesson, check_target, data_digest, tune

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


def lessons(lesson: Lesson, sizes: Sequence[int]) -> tuple[Lesson, ...]:
    """The lesson on seeded samples, stratified by label; a smaller one is a part of each larger.

    All have the same held-out items. The adapters are called NAME-SIZE.

    Raises:
        ConfigError: a size is too small or not below the number of items.
    """
    items = lesson.items
    for size in sizes:
        if not LEAST <= size < len(items):
            raise ConfigError(
                f"--curve {size}: a point has {LEAST} items or more, and fewer than the "
                f"{len(items)} that are learned"
            )
    made: list[Lesson] = []
    for size in sorted(set(sizes), reverse=True):
        items = tuple(stratified_sample(items, size, lesson.recipe.seed))
        target = new_folder(lesson.target.parent, f"{lesson.target.name}-{size}")
        made.append(replace(lesson, items=items, target=target))
    return tuple(reversed(made))


def learn(lesson: Lesson, begin: Begin, *, restart: bool = False) -> Point:
    """Train one; what is there already, from the same items and recipe, is not trained again.

    Raises:
        ConfigError: a folder of that name holds another adapter.
        DataError, BackendError, StoreError: as `tune`.
    """
    if not lesson.target.exists():
        tune(lesson, begin, restart=restart)
    return point(lesson)


def point(lesson: Lesson) -> Point:
    """Of a lesson that was learned.

    Raises:
        ConfigError: its folder holds another adapter.
    """
    card = read_card(lesson.target)
    if card is None or not _is_of(card, lesson):
        check_target(lesson.target)
    assert card is not None
    took = took_of(lesson.target)
    return Point(len(lesson.items), dict(card.metrics), took.seconds if took else None)


def _is_of(card: Card, lesson: Lesson) -> bool:
    return (
        card.hyperparameters == lesson.recipe.table()
        and card.seed == lesson.recipe.seed
        and card.data is not None
        and card.data.digest == data_digest(lesson.items)
        and card.prompt is not None
        and card.prompt.digest == lesson.template.digest
    )
