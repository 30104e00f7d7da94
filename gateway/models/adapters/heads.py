"""A probe's heads: for some groups of items, such as repositories, a probe of its own.

Each lies in a folder of its own within the adapter's, in the form that every probe has; `HEADS`
says whose it is, and how much the probe of all items has to say beside it. An item of another
group, and one whose group nobody knows, is answered by the probe of all items alone.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Le, MinLen
from pydantic import ConfigDict, TypeAdapter, ValidationError

from gateway.core.digests import digest_json
from gateway.core.errors import ConfigError, ModelLoadError
from gateway.core.files import write_atomically
from gateway.models.adapters.probe import (
    Floats,
    Probe,
    log_softmax,
    probe_digest,
    read_probe,
    write_probe,
)

HEADS = "heads.json"
_FOLDER = "heads"


@dataclass(frozen=True)
class Head:
    """What answers the items of one group."""

    probe: Probe
    """Fitted on the items of the group alone."""
    share: float
    """Of the probe of all items in what is said, from 0 to below 1."""

    def mixed(self, own: Floats, pooled: Floats) -> Floats:
        """Log-probabilities of the labels, the last axis.

        Args:
            own, pooled: as this head's probe and that of all items say them.
        """
        return mixed(own, pooled, self.share)


def mixed(own: Floats, pooled: Floats, share: float) -> Floats:
    """The weighted mean of two experts' log-probabilities, normalised again."""
    return log_softmax((1 - share) * own + share * pooled)


@dataclass(frozen=True)
class Heads:
    """All of a probe; none is a probe for all items alike."""

    column: str = ""
    """Of the data, which says the group."""
    by_group: Mapping[str, Head] = field(default_factory=dict)

    @property
    def layers(self) -> tuple[int, ...]:
        """That any of them reads, ascending."""
        return tuple(sorted({n for head in self.by_group.values() for n in head.probe.layers}))


@dataclass(frozen=True, slots=True)
class _Recorded:
    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    group: Annotated[str, MinLen(1)]
    share: Annotated[float, Ge(0), Le(1)]


@dataclass(frozen=True, slots=True)
class _About:
    __pydantic_config__ = ConfigDict(extra="forbid")

    form: Literal[1]
    column: Annotated[str, MinLen(1)]
    heads: Annotated[tuple[_Recorded, ...], MinLen(1)]


def write_heads(folder: Path, heads: Heads) -> None:
    """Save them in an adapter's folder, where there are any."""
    if not heads.by_group:
        return
    for number, head in enumerate(heads.by_group.values(), 1):
        place = folder / _FOLDER / str(number)
        place.mkdir(parents=True)
        write_probe(place, head.probe)
    said = tuple(_Recorded(group, head.share) for group, head in heads.by_group.items())
    about = asdict(_About(1, heads.column, said))
    write_atomically(folder / HEADS, json.dumps(about, ensure_ascii=False, indent=2) + "\n")


def read_heads(folder: Path, pooled: Probe) -> Heads:
    """Those of an adapter's folder.

    Args:
        pooled: the probe of all items.

    Raises:
        ModelLoadError: one is missing or damaged, or was made of another model or for other labels.
        ConfigError: what the file says is not understood.
    """
    path = folder / HEADS
    if not path.is_file():
        return Heads()
    try:
        about = TypeAdapter(_About).validate_json(path.read_bytes())
    except (ValidationError, ValueError, OSError) as exc:
        raise ConfigError(
            f"{path}: no heads that this version reads", hint="make it again: gateway tune"
        ) from exc
    found = {}
    for number, each in enumerate(about.heads, 1):
        probe = read_probe(folder / _FOLDER / str(number))
        if (probe.labels, probe.dimensions) != (pooled.labels, pooled.dimensions):
            raise ModelLoadError(f"{path}: the head of {each.group} does not go with the probe")
        found[each.group] = Head(probe, each.share)
    return Heads(about.column, found)


def whole_digest(folder: Path) -> str:
    """Of all that decides what a probe says; of one without heads that of its file."""
    path = folder / HEADS
    if not path.is_file():
        return probe_digest(folder)
    places = sorted((folder / _FOLDER).iterdir(), key=lambda place: place.name)
    heads = {place.name: probe_digest(place) for place in places if place.is_dir()}
    return digest_json([probe_digest(folder), path.read_text(encoding="utf-8"), heads])
