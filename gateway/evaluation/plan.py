"""From what a person asks for on the command line to a `Plan` and its `RunRecord`."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from gateway import __version__
from gateway.core.concurrency import Counting, uncounted
from gateway.core.digests import canonical_json, digest_json
from gateway.core.errors import ConfigError, DataError
from gateway.core.lists import are
from gateway.evaluation.baselines import Encoded, baselines, encoded
from gateway.evaluation.calibration import STEP, TOLERANCE
from gateway.evaluation.clusters import SETTING, found_among
from gateway.evaluation.groups import PER, check_groups
from gateway.evaluation.label_search import searching
from gateway.evaluation.record import COSTS, RecordedCell, RecordedItem, RunRecord, rule_settings
from gateway.evaluation.run import Cell, Plan, Strategy, Watch, content_free_items, unwatched
from gateway.models.certificates import level_of
from gateway.models.environment import certificates_file, prompts_root
from gateway.scoring.rules import ScoreRule
from gateway.tasks.dataset import load_dataset
from gateway.tasks.exemplars import ExemplarSelector, dev_split, without_near_duplicates
from gateway.tasks.labels import label_warnings, together
from gateway.tasks.prompts import PromptTemplate, list_strategies, load_template
from gateway.tasks.sampling import in_seeded_order
from gateway.tasks.tables import Columns, options_of
from gateway.tasks.task import Dataset, Item, Task, label_set, load_task, metric_of

EXCERPT_CHARACTERS = 280
STRATEGIES = ("zero_shot", "few_shot", "cot")
DEV_SIZE = 48


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a run is asked for."""

    task: str
    """A folder of `prompts`."""
    data: str
    """Labelled items: a CSV, JSONL or Parquet file, or hf:NAME."""
    models: Sequence[str] = ()
    """Entries; empty: the default one."""
    strategies: Sequence[str] = STRATEGIES
    """Prompt templates of the task."""
    prompts: Path = field(default_factory=prompts_root)
    """The folder of tasks."""
    train: str | None = None
    """Training data: exemplars, calibration and the baselines come from it."""
    limit: int | None = None
    """Of items: a seeded sample of so many, stratified by label."""
    seed: int = 0
    """Of samples, exemplars and intervals."""
    exemplars: str = ""
    """Kind of exemplar selection; empty: stratified with training data, else fixed."""
    exemplar_seed: int | None = None
    """With which exemplars are chosen; None: the one of everything else."""
    rules: Sequence[str] = ()
    """How label scores become answers: names of `ScoreRule`. Empty: sum, and batch too where there
    is training data to fit it on."""
    dev_size: int | None = None
    """Training items on which batch calibration is fitted. None: at most `DEV_SIZE`, and no more
    than change something."""
    label_search: str = "auto"
    """Which of many labels are finished: see `ModelSpec.label_search`."""
    columns: Columns = None
    """Field -> name of its column, where the data calls it otherwise."""
    metric: str = ""
    """That decides which cell is best; empty: the task's own."""
    positive: str = ""
    """The label that it is of: precision, recall, f1, roc_auc, ..."""
    cluster: str = ""
    """Column of the data that says which items belong together, such as their author."""
    per: str = ""
    """Column of the data by whose values cells are scored too, such as the repository; baselines
    then learn once from all items and once from those of each group."""
    encoder: bool | None = None
    """Whether a sentence encoder is a baseline too; None: where the extra encoders brings one."""
    store: Path | None = None
    """Where answers are kept as they come; None: in the user's data folder."""
    models_file: Path | None = None
    """A models.toml whose entries add to the shipped ones."""
    watch: Watch = field(default=unwatched, repr=False, compare=False)
    counting: Counting = field(default=uncounted, repr=False, compare=False)
    """Of the texts that the encoder reads."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan and the data it was made from."""

    wanted: RunOptions
    plan: Plan
    data: Dataset
    train: Dataset | None
    clean: tuple[Item, ...] = ()
    """The training items that are not (nearly) test items."""
    encoded: Encoded | None = None
    """Of a baseline: the texts of test and training items; None: no encoder is wanted."""


def prepare(wanted: RunOptions) -> Prepared:
    """Load the task, the data and the templates; choose exemplars and the dev split. What an
    encoder has not read yet it reads here.

    Raises:
        ConfigError, DataError: before any model is loaded.
        MissingExtra, ModelLoadError, StoreError: of the encoder.
    """
    task = load_task(wanted.task, wanted.prompts)
    if not wanted.strategies:
        raise ConfigError(
            "no strategy is named",
            hint=f"known: {', '.join(list_strategies(task, wanted.prompts))}",
        )
    columns = wanted.columns or {}
    of_train = replace(options_of(columns), group=wanted.per)
    of_data = replace(of_train, cluster=wanted.cluster)
    data = load_dataset(
        wanted.data, task, columns=of_data, limit=wanted.limit, sample_seed=wanted.seed
    )
    train = load_dataset(wanted.train, task, columns=of_train) if wanted.train else None
    data, train = together(task, data, train, columns)
    clean = _clean(data, train)
    check_groups(data.items, clean if train is not None else None, wanted.per)
    labels = label_set(task, data, train)
    metric_of(task, labels, wanted.metric, wanted.positive)
    plan = plan_of(wanted, task, labels, data, train)
    vectors = _encoded(wanted, (*data.items, *clean))
    return Prepared(wanted, plan, data, train, clean, vectors)


def plan_of(
    wanted: RunOptions, task: Task, labels: tuple[str, ...], data: Dataset, train: Dataset | None
) -> Plan:
    """What is asked about these items. Raises as `prepare`."""
    templates = [load_template(task, name, wanted.prompts) for name in wanted.strategies]
    strategies = tuple(_strategy(wanted, task, labels, t, data, train) for t in templates)
    rules = _rules(wanted, train, [t.mode for t in templates])
    dev: tuple[Item, ...] = ()
    if ScoreRule.BATCH in rules and train is not None:
        dev = _dev(wanted, strategies, labels, data, train)
    return Plan(
        task=task,
        labels=labels,
        models=tuple(wanted.models),
        strategies=strategies,
        rules=rules,
        items=data.items,
        dev=dev,
        dev_tolerance=TOLERANCE if dev and wanted.dev_size is None else None,
        label_search=searching(wanted.label_search, task.label_search),
        tell=options_of(wanted.columns).tell,
    )


def _encoded(wanted: RunOptions, items: Sequence[Item]) -> Encoded | None:
    if wanted.train is None:
        if wanted.encoder:
            raise ConfigError(
                "an encoder is a baseline, and baselines learn from training data",
                hint="give --train FILE, or leave out --encoder",
            )
        return None
    from gateway.backends.encoder import find_encoder

    encoder = find_encoder(wanted.encoder)
    return None if encoder is None else encoded(encoder, items, wanted.counting)


def _clean(data: Dataset, train: Dataset | None) -> tuple[Item, ...]:
    if train is None:
        return ()
    clean, _ = without_near_duplicates(train.items, data.items)
    if not clean:
        raise DataError(
            f"{train.path}: every training item is (nearly) a test item of {data.path}",
            hint="give training data that the test items are not part of",
        )
    return tuple(clean)


def record(prepared: Prepared, cells: Sequence[Cell]) -> RunRecord:
    """What the run consists of, baselines included, for the store and the report."""
    plan, wanted = prepared.plan, prepared.wanted
    scored = any(cell.mode == "score" for cell in cells)
    rules = tuple(rule.value for rule in plan.rules) if scored else ()
    cluster_of, clustered = found_among(plan.items, wanted.cluster)
    return RunRecord(
        task=plan.task.name,
        kind=plan.task.kind,
        primary_metric=metric_of(plan.task, plan.labels, wanted.metric, wanted.positive),
        labels=plan.labels,
        rules=rules,
        seed=wanted.seed,
        items=tuple(
            RecordedItem(i.id, i.digest, i.gold, excerpt(i), cluster_of.get(i.id, ""), i.group)
            for i in plan.items
        ),
        dev=tuple(item.digest for item in plan.dev),
        content_free=tuple(item.digest for item in content_free_items(plan.task)),
        cells=tuple(
            RecordedCell(
                name=c.name,
                model=c.model,
                strategy=c.strategy,
                digest=c.digest,
                mode=c.mode,
                fingerprint=c.fingerprint,
                warnings=c.warnings,
                level=level_of(c.fingerprint, certificates_file()).value,
                calibration=c.calibration,
                dev=c.dev,
                by_group=c.by_group,
            )
            for c in cells
        ),
        baselines=baselines(
            plan.task.kind,
            plan.labels,
            prepared.clean,
            plan.items,
            prepared.encoded,
            per=wanted.per,
        ),
        settings={
            **_settings(prepared, cells),
            SETTING: clustered,
            **({PER: wanted.per} if wanted.per else {}),
            **_costs(plan.task),
            **rule_settings(rules),
        },
        warnings=_warnings(prepared),
    )


def _costs(task: Task) -> dict[str, str]:
    return {COSTS: canonical_json(task.costs)} if task.costs else {}


def excerpt(item: Item) -> str:
    """The beginning of an item's text on one line, to recognise it by."""
    text = " ".join(" / ".join(v for v in item.fields.values() if v).split())
    return text if len(text) <= EXCERPT_CHARACTERS else text[: EXCERPT_CHARACTERS - 1] + "…"


def _strategy(
    wanted: RunOptions,
    task: Task,
    labels: tuple[str, ...],
    template: PromptTemplate,
    data: Dataset,
    train: Dataset | None,
) -> Strategy:
    if not template.exemplars:
        return Strategy(template)
    kind = wanted.exemplars or ("stratified" if train else "fixed")
    selector = ExemplarSelector.make(
        kind,
        task=task,
        labels=labels,
        count=template.exemplars,
        nearest=template.nearest,
        train=train.items if train else (),
        test=data.items,
        seed=wanted.seed if wanted.exemplar_seed is None else wanted.exemplar_seed,
        root=wanted.prompts,
    )
    return Strategy(template, selector)


def _rules(
    wanted: RunOptions, train: Dataset | None, modes: Sequence[str]
) -> tuple[ScoreRule, ...]:
    if "score" not in modes:
        return ()
    names = wanted.rules or (("sum", "batch") if train else ("sum",))
    rules = tuple(map(ScoreRule.named, dict.fromkeys(names)))
    if ScoreRule.BATCH in rules and train is None:
        raise ConfigError(
            "batch calibration is fitted on training data, never on the test items",
            hint="give --train FILE, or another --score-rule",
        )
    return rules


def _dev(
    wanted: RunOptions,
    strategies: Sequence[Strategy],
    labels: tuple[str, ...],
    data: Dataset,
    train: Dataset,
) -> tuple[Item, ...]:
    """Drawn once whatever the strategies are, so that answers to them are kept: each strategy then
    leaves its own exemplars out. Where their number is given, they are the same of all."""
    shown = {id_ for s in strategies if s.selector for id_ in s.selector.ids}
    chosen = dev_split(
        train.items,
        test=data.items,
        exclude_ids=shown if wanted.dev_size else (),
        size=wanted.dev_size or DEV_SIZE,
        seed=wanted.seed,
    )
    if wanted.dev_size:
        return chosen
    if shown.issuperset(item.id for item in chosen):
        raise DataError(
            "no training item is left to fit the calibration on: all are exemplars",
            hint="give more training data, or --score-rule sum",
        )
    return tuple(in_seeded_order(chosen, wanted.seed, "dev order"))


def _settings(prepared: Prepared, cells: Sequence[Cell]) -> dict[str, str]:
    wanted, plan = prepared.wanted, prepared.plan
    from importlib.metadata import version

    settings = {
        "gateway": __version__,
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "scikit-learn": version("scikit-learn"),
        "task digest": plan.task.digest,
        "data": Path(prepared.data.path).name,
        "data digest": prepared.data.digest,
        "items": f"{len(plan.items)}" + (f" (limit {wanted.limit})" if wanted.limit else ""),
        "seed": str(wanted.seed),
    }
    if wanted.exemplar_seed is not None:
        settings["exemplar seed"] = str(wanted.exemplar_seed)
    if prepared.train is not None:
        settings["train"] = Path(prepared.train.path).name
        settings["train digest"] = prepared.train.digest
    if prepared.encoded is not None:
        settings["encoder"] = prepared.encoded.encoder.digest
        settings["torch"] = version("torch")
    if plan.dev:
        settings["dev items"] = _dev_items(plan)
    for strategy in plan.strategies:
        settings[f"template {strategy.name}"] = strategy.template.digest
        if strategy.selector:
            chosen = strategy.selector.describe()
            settings[f"exemplars {strategy.name}"] = digest_json(chosen)
    for cell in cells:
        for name, value in cell.identity.items():
            settings[f"{cell.model} {name}"] = value
    return settings


def _dev_items(plan: Plan) -> str:
    if plan.dev_tolerance is None:
        return str(len(plan.dev))
    return (
        f"at most {len(plan.dev)}, until {STEP} more change no answer of theirs and move "
        f"{plan.dev_tolerance:g} of probability or less"
    )


def _warnings(prepared: Prepared) -> tuple[str, ...]:
    given = [data for data in (prepared.data, prepared.train) if data is not None]
    # As in the settings, without the folder: the same data elsewhere is the same run.
    said = [n.replace(data.path, Path(data.path).name) for data in given for n in data.notes]
    said += label_warnings(prepared.plan.task, prepared.data, prepared.train)
    said += [n for s in prepared.plan.strategies if s.selector for n in s.selector.notes]
    if prepared.train is not None:
        known = len(prepared.train.items)
        if copies := known - len(prepared.clean):
            said.append(
                f"{copies} of {known} training items are (nearly) test "
                "items; they are no exemplars, and neither baselines nor calibration saw them."
            )
    said += prepared.encoded.remarks if prepared.encoded is not None else ()
    empty = [i.id for i in prepared.plan.items if not any(v.strip() for v in i.fields.values())]
    if empty:
        said.append(
            f"{are(len(empty), 'item', 'has', 'have')} no text at all, {empty[0]} the first."
        )
    return tuple(dict.fromkeys(said))
