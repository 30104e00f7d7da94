"""Models x quantizations x adapters, as names of entries."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from gateway.backends.registry import made_by_name
from gateway.core.errors import ConfigError
from gateway.models.file import Models
from gateway.models.spec import WITH
from gateway.quantization.names import Level, level_entry, parse_level

NONE = "none"
"""A model as its entry has it; an entry without an adapter."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of an experiment, at one level and with one adapter."""

    model: str
    level: Level | None
    """None: as the entry of the model has it."""
    adapter: str
    """Empty: none beside what the entry may have."""

    @property
    def base(self) -> str:
        """The entry's name without the adapter."""
        return level_entry(self.model, self.level) if self.level else self.model

    @property
    def name(self) -> str:
        """As `Models.serving` takes it."""
        return f"{self.base}{WITH}{self.adapter}" if self.adapter else self.base


def entries_of(
    models: Sequence[str], quantizations: Sequence[str], adapters: Sequence[str]
) -> tuple[Entry, ...]:
    """All combinations, those of one model one after the other.

    Raises:
        ConfigError: a quantization is no level, a model can have no level or no further adapter,
            or an entry comes out twice.
    """
    levels = [None if name == NONE else parse_level(name) for name in quantizations]
    shown = ["" if name == NONE else name for name in adapters]
    for model in models:
        _check(model, leveled=any(levels), adapted=any(shown))
    made = tuple(Entry(*each) for each in product(models, levels, shown))
    names = [entry.name for entry in made]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"models, quantizations and adapters come to {twice[0]!r} twice")
    return made


def check_levels(entries: Sequence[Entry], models: Models) -> None:
    """Whether there is an entry for each level.

    Raises:
        UnknownModel: no entry has a model's own name.
        ConfigError: a level has no entry; the hint is the command that makes it.
    """
    for model in dict.fromkeys(entry.model for entry in entries if entry.level):
        models.get(model)
        absent = {
            entry.base: entry.level.name
            for entry in entries
            if entry.model == model and entry.level and entry.base not in models.specs
        }
        if absent:
            raise ConfigError(
                f"no entry is called {' or '.join(map(repr, absent))}: a level of {model} that is "
                "not made yet",
                hint=f"gateway quantize {model} --to {','.join(absent.values())}",
            )


def _check(model: str, *, leveled: bool, adapted: bool) -> None:
    if WITH in model and (leveled or adapted):
        raise ConfigError(
            f"models: {model!r} has an adapter, beside quantizations or adapters",
            hint=f"models = [{model.partition(WITH)[0]!r}], and the adapter in adapters",
        )
    kind = made_by_name(model)
    if leveled and kind is not None and kind.can.on_a_server:
        raise ConfigError(
            f"quantizations: {model!r} is on a server, which has its own",
            hint="name its tags in models",
        )
