"""The fastest settings that certify, kept by the file, the processor and the library's build.

Which kernels sum alike for one row and for many follows from the types of a file's tensors, the
processor and the build. No table says it; `gateway certify --fastest` measures it. What was chosen
lies in fastest.json beside the certificates. A file without a choice is computed with `USUAL`.
"""

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from gateway.core.digests import digest_json
from gateway.core.errors import DataError, StoreError
from gateway.core.files import write_atomically
from gateway.core.json import Strictness, from_plain
from gateway.models.certificates import processor
from gateway.models.environment import fastest_file
from gateway.models.purpose import Purpose
from gateway.models.spec import Kernels


@dataclass(frozen=True, slots=True)
class Settings:
    """What may be chosen of the ways in which the library computes a file."""

    attention: Literal["plain", "flash", "tiled"] = "plain"
    """As an entry's key of that name."""
    repack: bool = False
    """As an entry's key of that name."""
    split: bool = False
    """As an entry's key of that name."""

    @property
    def name(self) -> str:
        """In a word or two: "plain", "repacked", "split, repacked, flash", "tiled"."""
        said = {"split": self.split, "repacked": self.repack}
        said[self.attention] = self.attention != "plain"
        return ", ".join(word for word, holds in said.items() if holds) or "plain"

    def __str__(self) -> str:
        weights = "repacked weights" if self.repack else "weights as in the file"
        weights += ", Q4_1 split," if self.split else ""
        keys = " with keys of Q8_0" * (self.attention == "flash")
        return f"{weights} and {self.attention} attention{keys}"


SPLIT_FORM = 3
"""Counts the ways in which split weights were written: each has bytes of its own."""

_OURS = Strictness(strangers=True)

_ADAPTED = "adapted"
"""What an entry with an adapter chose is its own: it can do less than its base."""

USUAL = Settings()
"""What a file is computed with for which nothing was chosen."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens a second."""

    prefill: float
    """Of a prompt, in passes of the entry's size."""
    decode: float
    """Of one sequence that generates."""
    decode_8: float
    """Of eight that generate together."""

    def best(self, other: "Speed") -> "Speed":
        """The better of each: what runs beside makes slower, never faster."""
        pairs = zip(asdict(self).values(), asdict(other).values(), strict=True)
        return Speed(*map(max, pairs))

    def ratios(self, base: "Speed") -> tuple[float, ...]:
        """Of each number to that of another."""
        return tuple(self.times(base).values())

    def times(self, base: "Speed") -> dict[str, float]:
        """The same by name."""
        its = asdict(base)
        return {name: mine / its[name] for name, mine in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class PlanTrial:
    """Passes cut or batched in one particular way, each row's logits compared by all their bits."""

    name: str
    rows: int
    """How many were compared."""
    changed: int
    """How many differ; the plan ends with the first pass in which one does."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One candidate, and what became of it."""

    settings: Settings
    speed: Speed | None
    """None: it could not be run."""
    plans: tuple[PlanTrial, ...] = ()
    """Empty: it was not tried, because it is no faster or a faster one was kept."""
    left: str = ""
    """Why it is not taken; empty: it is."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen for a file, for which machine, and the evidence."""

    model: str
    """Name of the entry that was certified."""
    file: str
    """Digest of the file."""
    kernels: Kernels
    """That the process took for K-quants."""
    processor: str
    build: str
    """Version of the library and its compile options."""
    rows: int
    """Every number of rows up to this was tried in one pass."""
    adapter: str
    """Digest of the adapter that the plans were run with too; empty: the entry has none."""
    settings: Settings
    digest: str
    """Of all logits that were compared: two machines with the same one compute the same bytes."""
    tried: tuple[Tried, ...]
    """From the fastest to the slowest."""
    other_kernels: Speed | None = None
    """With the usual settings and the kernels for K-quants that were not taken. They are of a whole
    process, so that no file can choose them. None: the file has no K-quants."""
    purpose: Purpose = "all"
    """What it is the fastest for."""
    split_form: int = 2
    """`SPLIT_FORM` of then. A choice of split weights holds for that form alone."""

    @property
    def key(self) -> str:
        """What it holds for."""
        adapted = [_ADAPTED] if self.adapter else []
        return _key(self.file, self.kernels, self.processor, self.build, *adapted)

    @property
    def taken(self) -> Tried:
        """The candidate that was chosen."""
        return self._of(self.settings)

    @property
    def usual(self) -> Tried:
        """What is computed without a choice."""
        return self._of(USUAL)

    def _of(self, settings: Settings) -> Tried:
        found = (each for each in self.tried if each.settings == settings)
        return next(found, Tried(settings, None))

    @property
    def gains(self) -> tuple[float, ...]:
        """How many times as fast as the usual settings: prefill, decode of one, of eight."""
        taken, usual = self.taken.speed, self.usual.speed
        return taken.ratios(usual) if taken and usual else ()

    @property
    def gains_of_other_kernels(self) -> tuple[float, ...]:
        """The same of the other kernels; empty: there are none."""
        other, usual = self.other_kernels, self.usual.speed
        return other.ratios(usual) if other and usual else ()


def choice_for(
    file: str, kernels: Kernels, build: str, rows: int, *, adapted: bool = False
) -> Choice | None:
    """What was chosen for a file on this processor and with this build; None: nothing, or it was
    tried with fewer rows than passes now have.

    Args:
        adapted: for an entry with an adapter, which is not computed with split weights. What it
            chose itself comes before what was chosen for its base.
    """
    path = fastest_file()
    if not path.is_file():
        return None
    known, of = _read(path), (file, kernels, processor(), build)
    keys = [_key(*of, _ADAPTED), _key(*of)] if adapted else [_key(*of)]
    found = (_choice(known.get(key), path) for key in keys)
    holds = (each for each in found if each and each.rows >= rows and _has_form(each))
    return next((each for each in holds if not (adapted and each.settings.split)), None)


def _has_form(choice: Choice) -> bool:
    return not choice.settings.split or choice.split_form == SPLIT_FORM


def _choice(found: object, path: Path) -> Choice | None:
    with suppress(DataError):
        return from_plain(Choice, found, str(path), reading=_OURS) if found else None
    return None


def save_choice(choice: Choice) -> None:
    """Keep a choice instead of an earlier one of the same thing.

    Raises:
        StoreError: the file cannot be written.
    """
    path = fastest_file()
    known = {**_read(path), choice.key: asdict(choice)}
    try:
        write_atomically(path, json.dumps(known, indent=1, sort_keys=True) + "\n")
    except OSError as exc:
        raise StoreError(f"{path}: cannot be written: {exc.strerror}") from exc


def _key(file: str, *others: str) -> str:
    return digest_json([file, *others])


def _read(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def rows_of(batch_tokens: int, parallel: int) -> int:
    """Most rows of one pass of an entry."""
    return max(batch_tokens, parallel)


def changed_in(plans: Iterable[PlanTrial]) -> str:
    """Name of the first plan in which a byte changed; empty: none did."""
    return next((plan.name for plan in plans if plan.changed), "")
