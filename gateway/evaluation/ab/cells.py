"""Which cells are compared: `MODEL`, `MODEL/STRATEGY` or `MODEL/STRATEGY/RULE`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.backends.registry import made_by_name
from gateway.core.errors import ConfigError
from gateway.models.file import Models
from gateway.scoring.rules import ScoreRule
from gateway.tasks.prompts import list_strategies, load_template
from gateway.tasks.task import Task

_FIRST_CHOICE = ("few_shot", "zero_shot")
_RULES = frozenset(rule.value for rule in ScoreRule)


@dataclass(frozen=True, slots=True)
class CellName:
    """A cell as a person named it, with the defaults filled in."""

    model: str
    strategy: str
    rule: ScoreRule | None
    """None where the strategy writes its answer, so that there are no label scores."""

    @property
    def name(self) -> str:
        """As predictions and reports call the cell."""
        parts = (self.model, self.strategy, *((self.rule.value,) if self.rule else ()))
        return "/".join(parts)


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a cell's name may leave out. An empty strategy: few_shot, or zero_shot without it."""

    strategy: str = ""
    rule: str = ScoreRule.SUM.value


def read_cells(
    names: Sequence[str], models: Models, task: Task, prompts: Path, defaults: Defaults
) -> tuple[CellName, ...]:
    """The cells of a comparison, the reference first.

    Raises:
        ConfigError: a part of a name is not known, a rule is given to a strategy without label
            scores, or there are not two different cells.
    """
    cells = tuple(_read(name, models, task, prompts, defaults) for name in names)
    if len(cells) < 2:
        raise ConfigError(
            f"only {' and '.join(names) or 'no cell'} to compare",
            hint="name two cells or more; the first is the reference",
        )
    twice = sorted({cell.name for cell in cells if cells.count(cell) > 1})
    if twice:
        raise ConfigError(
            f"{twice[0]} is named twice",
            hint="the reference is compared with itself in any case: that is the noise floor",
        )
    return cells


def model_in(name: str, strategies: Sequence[str]) -> str:
    """The part of a cell's name that is the model's.

    Names of entries have no slash. Those of models on a server may, so that there only what is
    known as a rule or a strategy is taken off the end.
    """
    if made_by_name(name) is None:
        return name.partition("/")[0]
    parts = name.split("/")
    if len(parts) > 2 and parts[-1] in _RULES and parts[-2] in strategies:
        return "/".join(parts[:-2])
    return "/".join(parts[:-1]) if parts[-1] in strategies else name


def _read(name: str, models: Models, task: Task, prompts: Path, defaults: Defaults) -> CellName:
    strategies = list_strategies(task, prompts)
    model = model_in(name, strategies)
    models.get(model)
    rest = name[len(model) + 1 :].split("/") if len(name) > len(model) else []
    if len(rest) > 2 or not all(rest):
        raise ConfigError(
            f"{name!r} is no cell", hint="MODEL, MODEL/STRATEGY or MODEL/STRATEGY/RULE"
        )
    strategy = rest[0] if rest else defaults.strategy or _default_strategy(task, strategies)
    mode = load_template(task, strategy, prompts).mode
    if mode == "score":
        return CellName(model, strategy, ScoreRule.named(rest[1] if rest[1:] else defaults.rule))
    if rest[1:]:
        raise ConfigError(
            f"{name}: {strategy} writes its answer, so there are no label scores to apply "
            f"{rest[1]!r} to",
            hint=f"{model}/{strategy}",
        )
    return CellName(model, strategy, None)


def _default_strategy(task: Task, strategies: Sequence[str]) -> str:
    for name in _FIRST_CHOICE:
        if name in strategies:
            return name
    raise ConfigError(
        f"{task.name} has no strategy {' or '.join(_FIRST_CHOICE)}",
        hint=f"name one, -s with one of: {', '.join(strategies) or 'none'}",
    )
