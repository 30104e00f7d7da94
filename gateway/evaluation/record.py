"""What a run asked: the record that a report is made from, without a model."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

from gateway.core.digests import canonical_json, digest_json, digest_text
from gateway.core.json import from_plain, plain_values
from gateway.core.types import Answer, TaskKind
from gateway.models.certificates import Level
from gateway.scoring.results import Prediction
from gateway.scoring.rules import VERSIONS
from gateway.tasks.task import Item

COSTS = "costs"
"""Of the settings: the task's table of costs, as JSON."""


def costs_in(settings: Mapping[str, str]) -> dict[str, dict[str, float]] | None:
    """Gold label -> answer -> what it costs, as a run's settings have it; None: they do not."""
    found = settings.get(COSTS)
    return None if found is None else cast(dict[str, dict[str, float]], json.loads(found))


def rule_settings(rules: Iterable[str]) -> dict[str, str]:
    """Of the settings: what the run's rules do, where they once did otherwise. A run by another
    version of a rule is another run."""
    return {f"rule {name}": does for name, does in VERSIONS.items() if name.value in set(rules)}


@dataclass(frozen=True, slots=True)
class RecordedItem:
    """A test item, as far as a report needs it."""

    item_id: str
    digest: str
    gold: Answer | None
    excerpt: str
    cluster: str = ""
    """The same for items that belong together; empty: it is a cluster of its own."""
    group: str = ""
    """That it is scored by; empty: there are no groups."""


def answer_key(item: Item | RecordedItem, *, by_group: bool) -> str:
    """Under which a cell keeps its answer to an item.

    Args:
        by_group: whether the model says something else to the same text of another group.
    """
    return digest_json([item.digest, item.group]) if by_group and item.group else item.digest


@dataclass(frozen=True, slots=True)
class RecordedCell:
    """A cell, as far as a report needs it."""

    name: str
    model: str
    strategy: str
    digest: str
    mode: str
    fingerprint: str
    warnings: tuple[str, ...] = ()
    level: str = Level.UNVERIFIED.value
    """Of determinism: what `gateway certify` had measured when the run ended."""
    calibration: str = ""
    """As `gateway.evaluation.run.Cell.calibration`."""
    dev: tuple[str, ...] = ()
    """As `gateway.evaluation.run.Cell.dev`."""
    by_group: bool = False
    """As `gateway.evaluation.run.Cell.by_group`."""

    def key(self, item: Item | RecordedItem) -> str:
        """Under which its answer to an item is kept."""
        return answer_key(item, by_group=self.by_group)

    def keys(self, items: Sequence[RecordedItem]) -> list[str]:
        """Under which its answers to items are kept."""
        return [self.key(item) for item in items] if self.by_group else [i.digest for i in items]


@dataclass(frozen=True)
class RunRecord:
    """What a run consists of. Kept in the store beside the answers.

    It has no slots, so that its text and its id are made once: of many items each takes a second.
    """

    task: str
    kind: TaskKind
    primary_metric: str
    labels: tuple[str, ...]
    rules: tuple[str, ...]
    seed: int
    items: tuple[RecordedItem, ...]
    dev: tuple[str, ...]
    """Digests of the items on which batch calibration is fitted."""
    content_free: tuple[str, ...]
    """Digests of the content-free inputs."""
    cells: tuple[RecordedCell, ...]
    baselines: tuple[Prediction, ...]
    settings: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    reported: tuple[str, ...] = ()
    """Names of the cells that were asked for, each with its rule, where not every cell is read by
    every rule; empty: all."""

    @cached_property
    def text(self) -> str:
        """Canonical JSON of all this."""
        return canonical_json(self.to_json())

    @cached_property
    def run_id(self) -> str:
        """Twelve digits of the digest of all this: the same run has the same id."""
        return digest_text(self.text)[:12]

    @property
    def costs(self) -> dict[str, dict[str, float]] | None:
        """Gold label -> answer -> what it costs; None where the task has no such table."""
        return costs_in(self.settings)

    @property
    def older_rules(self) -> tuple[str, ...]:
        """Rules that did otherwise when the run was stored: its figures by them were others."""
        return tuple(
            name.removeprefix("rule ")
            for name, does in rule_settings(self.rules).items()
            if self.settings.get(name) != does
        )

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        # Not `asdict`, which copies each text of thousands of items.
        raw = cast(dict[str, Any], plain_values(self))
        # What was not there when older runs were stored must not change their ids.
        if not self.reported:
            del raw["reported"]
        for cell in raw["cells"]:
            for name in ("calibration", "dev", "by_group"):
                if not cell[name]:
                    del cell[name]
        for prediction in raw["baselines"]:
            del prediction["off_by"]  # Every label of a baseline is known.
        for item in raw["items"]:
            for name in ("cluster", "group"):
                if not item[name]:
                    del item[name]
        return raw

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "RunRecord":
        """The inverse of `to_json`.

        Raises:
            DataError: it is no record of a run.
        """
        return from_plain(cls, raw, "no record of a run")
