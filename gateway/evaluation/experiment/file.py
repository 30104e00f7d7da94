"""An experiment file: what `gateway run` takes as options, written down, and more of it: models x
quantizations x adapters x strategies x exemplar seeds.

task = "issue-triage"
data = "test.csv"                       beside the file, or hf:NAME
train = "train.csv"
models = ["smollm2-135m"]
quantizations = ["none", "Q4_0"]        of each model: "none" the entry itself, Q4_0 the entry
                                        NAME-q4_0, as gateway quantize names it
adapters = ["none", "triage"]           of each of those: "none" without one, triage NAME+triage
strategies = ["zero_shot", "few_shot"]
exemplar_seeds = [0, 1, 2, 3, 4]        each chooses other exemplars; absent: `seed` alone
limit = 300
out = "report"
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.core.errors import located
from gateway.core.toml import read_toml
from gateway.core.types import Searching
from gateway.core.whole import Whole
from gateway.evaluation.ab.margin import DEFAULT_MARGIN
from gateway.evaluation.experiment.grid import NONE, Entry, entries_of
from gateway.evaluation.plan import RunOptions
from gateway.tasks.tables import Quoting, ReadOptions

_Name = Annotated[str, Field(min_length=1)]
_Seed = Annotated[Whole, Field(ge=0)]
_FROM_A_HUB = "hf:"
_LISTS = ("models", "quantizations", "adapters", "strategies", "score_rules", "exemplar_seeds")


class _File(BaseModel):
    """The file as it is written; keys that are not known are an error."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    task: _Name
    data: _Name
    train: _Name | None = None
    models: Annotated[list[_Name], Field(min_length=1)]
    quantizations: Annotated[list[_Name], Field(min_length=1)] = [NONE]
    adapters: Annotated[list[_Name], Field(min_length=1)] = [NONE]
    strategies: Annotated[list[_Name], Field(min_length=1)]
    score_rules: list[_Name] = []
    exemplars: str = ""
    exemplar_seeds: Annotated[list[_Seed], Field(min_length=1)] | None = None
    limit: Annotated[Whole, Field(ge=1)] | None = None
    seed: _Seed = 0
    dev: Annotated[Whole, Field(ge=1)] | None = None
    label_search: Searching = "auto"
    columns: dict[str, str] = {}
    delimiter: str = ""
    encoding: str = ""
    quoting: Quoting = ""
    cluster: str = ""
    per: str = ""
    encoder: bool | None = None
    metric: str = ""
    margin: Annotated[float, Field(gt=0, allow_inf_nan=False)] = DEFAULT_MARGIN
    out: str | None = None

    @model_validator(mode="after")
    def _nothing_twice(self) -> Self:
        for name in _LISTS:
            values = getattr(self, name) or []
            if len(set(values)) != len(values):
                raise ValueError(f"{name} lists something twice")
        return self


@dataclass(frozen=True, slots=True)
class Experiment:
    """What a file asks for."""

    run: RunOptions
    """Of every exemplar seed, which is left open; its models are the entries."""
    entries: tuple[Entry, ...]
    seeds: tuple[int, ...]
    """Of the exemplars, one run each; the first one stands where a single run is shown."""
    metric: str
    """Empty: the task's own."""
    margin: float
    out: Path | None


def load_experiment(path: Path, tell: Callable[[str], None] = lambda _: None) -> Experiment:
    """Read an experiment file; its paths are relative to it.

    Args:
        tell: told what is decided while its data is read.

    Raises:
        ConfigError: the file is absent or no TOML, a key is unknown or of another type, or models,
            quantizations and adapters do not go together.
    """
    found = read_toml(path, _File)
    with located(str(path)):
        entries = entries_of(found.models, found.quantizations, found.adapters)
        form = (found.delimiter, found.encoding, found.quoting)
        columns = ReadOptions(found.columns, *form, tell=tell)
    run = RunOptions(
        task=found.task,
        data=_beside(path, found.data),
        train=_beside(path, found.train) if found.train else None,
        models=tuple(entry.name for entry in entries),
        strategies=tuple(found.strategies),
        limit=found.limit,
        seed=found.seed,
        exemplars=found.exemplars,
        rules=tuple(found.score_rules),
        dev_size=found.dev,
        label_search=found.label_search,
        columns=columns,
        cluster=found.cluster,
        per=found.per,
        encoder=found.encoder,
    )
    return Experiment(
        run=run,
        entries=entries,
        seeds=tuple(found.exemplar_seeds or (found.seed,)),
        metric=found.metric,
        margin=found.margin,
        out=Path(_beside(path, found.out)) if found.out else None,
    )


def _beside(path: Path, source: str) -> str:
    if source.startswith(_FROM_A_HUB):
        return source
    return str(path.parent / Path(source).expanduser())
