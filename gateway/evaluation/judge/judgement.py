"""`gateway judge`: a model is asked for grades, and what its answers say is put together."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from gateway.backends.registry import load_models
from gateway.core.concurrency import Work, taking, then_computing
from gateway.core.lists import are, plural
from gateway.evaluation.judge.agreement import Agreement, agreement
from gateway.evaluation.judge.grading import Grade, grade
from gateway.evaluation.judge.rubric import GRADES, Rubric, load_answers, load_rubric
from gateway.evaluation.run import Cell, Plan, Strategy, Watch, ask, unwatched
from gateway.evaluation.store import Observation, Store
from gateway.models.certificates import level_of
from gateway.models.environment import certificates_file, default_store, prompts_root
from gateway.models.file import Models
from gateway.scoring.bootstrap import FEWEST_CARRYING
from gateway.scoring.intervals import of_losses
from gateway.scoring.results import Metric, Status
from gateway.scoring.rules import ScoreRule
from gateway.scoring.statistic import mean
from gateway.tasks.tables import Columns
from gateway.tasks.task import Dataset

OWN_ANSWERS = (
    "A judge favours answers of its own: a model that wrote some of these answers must not be "
    "their judge."
)
"""Panickssery et al. 2024, "LLM Evaluators Recognize and Favor Their Own Generations"; Zheng et al.
2023, "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena", section 3.3."""
UNTESTED = (
    "No human grades were given (--human), so nothing here says whether this judge can be trusted; "
    "a model of 135M parameters is no judge worth trusting without its kappa."
)

LITTLE = 0.1
"""Probability of any grade, below which a judge is said to want something else."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Who graded, and on what: two judgements compare only where all of it is the same."""

    model: str
    backend: str
    weights: str
    """Digest of their contents."""
    fingerprint: str
    level: str
    """Of determinism, as `gateway certify` measured it."""
    rubric: str
    rubric_digest: str
    identity: Mapping[str, str]
    """Everything about the model that may change a byte."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    """The grades of one file of answers."""

    judge: Judge
    data: str
    """Name of the file."""
    data_digest: str
    seed: int
    """Of the intervals and the sample."""
    grades: tuple[Grade, ...]
    mean: Metric | None
    """Of the expected grades, with its 95% bootstrap interval over answers; None without any."""
    agreement: Agreement | None
    """None without human grades, or where no answer has both."""

    @property
    def graded(self) -> tuple[Grade, ...]:
        """Those that have a grade."""
        return tuple(g for g in self.grades if g.status is Status.OK)

    @property
    def statuses(self) -> dict[str, int]:
        """Count of each status, zeros included."""
        counts = Counter(g.status for g in self.grades)
        return {status.value: counts[status] for status in Status}

    @property
    def approximated(self) -> int:
        """Grades that rest on a bound or an approximation."""
        return sum(not g.exact for g in self.graded)

    @property
    def limits(self) -> tuple[float, float] | None:
        """Between which the mean of the expected grades lies, as `Grade.limits`; None where no
        probability is a bound."""
        if not any(g.limits for g in self.graded):
            return None
        least, greatest = zip(*(g.limits or (g.expected,) * 2 for g in self.graded), strict=True)
        return float(np.mean(least)), float(np.mean(greatest))

    @property
    def mean_spread(self) -> float | None:
        """How unsure the judge is of one answer, on average."""
        return _mean([g.spread for g in self.graded if g.spread is not None])

    @property
    def mean_mass(self) -> float | None:
        """Probability, on average, that the judge answers with a grade at all."""
        return _mean([g.mass for g in self.graded if g.mass is not None])

    @property
    def mean_probabilities(self) -> dict[str, float]:
        """Of each grade, over the graded answers; their sum is 1. Empty without any."""
        graded = self.graded
        if not graded:
            return {}
        return {k: float(np.mean([g.probabilities[k] for g in graded])) for k in GRADES}

    @property
    def most_probable(self) -> dict[str, int]:
        """For how many answers each grade is the most probable one."""
        counts = Counter(g.most_probable for g in self.graded)
        return {k: counts[int(k)] for k in GRADES}

    def remarks(self) -> Iterator[str]:
        """What a reader must know beside the numbers."""
        yield OWN_ANSWERS
        if all(g.human is None for g in self.grades):
            yield UNTESTED
        elif self.agreement is None:
            yield "No answer has a grade of the judge's beside a human one: there is no kappa."
        else:
            yield from _trust(self.agreement)
        if self.mean_mass is not None and self.mean_mass < LITTLE:
            yield (
                f"On average {self.mean_mass:.3f} is the probability that this judge answers with "
                "a grade at all: it would say something else, and the grades are what is left."
            )
        if self.approximated:
            yield (
                f"{self.approximated} of {len(self.graded)} grades rest on bounds or "
                "approximations of probabilities, not on exact ones."
            )
        for name, count in _shortened(self.grades).items():
            answers = plural(len(self.grades), "answer")
            yield f"{name} was shortened in {count} of {answers} by the rubric."
        yield from self.judge.warnings


@dataclass(frozen=True, slots=True)
class JudgeOptions:
    """What a judge is asked."""

    model: str
    """The judge: name of an entry."""
    rubric: str
    """A folder of `prompts` with a rubric.toml."""
    data: str
    """Texts to grade: a CSV, JSONL or Parquet file, or hf:NAME."""
    human: str | None = None
    """Column of human grades, integers from 1 to 5."""
    limit: int | None = None
    """Of texts: a seeded sample of so many, stratified by human grade where there is one."""
    seed: int = 0
    """Of the sample and the intervals."""
    columns: Columns = None
    """Field -> name of its column, where the data calls it otherwise."""
    store: Path | None = None
    """Where answers are kept as they come; None: in the user's data folder."""
    prompts: Path = field(default_factory=prompts_root)
    models_file: Path | None = None
    watch: Watch = field(default=unwatched, repr=False, compare=False)


@then_computing
@taking(JudgeOptions)
def judge(options: JudgeOptions) -> Work[Callable[[], Judgement]]:
    """Have a model grade texts on a rubric.

    Raises:
        ConfigError, DataError: before the model is loaded.
        BackendError: the model failed. What was answered is kept.
    """
    models = load_models(options.models_file).serving([options.model])
    models.get(options.model)
    rubric = load_rubric(options.rubric, options.prompts)
    answers = load_answers(
        options.data,
        rubric,
        columns=options.columns,
        human=options.human,
        limit=options.limit,
        seed=options.seed,
    )
    return _judge(rubric, answers, models, options)


async def _judge(
    rubric: Rubric, answers: Dataset, models: Models, options: JudgeOptions
) -> Callable[[], Judgement]:
    plan = plan_of(rubric, answers, options.model)
    with Store(options.store or default_store()) as store:
        (cell,) = await ask(plan, models, store, options.watch)
        seen = store.answers(cell.digest)
    level = level_of(cell.fingerprint, certificates_file()).value
    return partial(judgement, rubric, answers, cell, level, seen, seed=options.seed)


def plan_of(rubric: Rubric, data: Dataset, model: str) -> Plan:
    """What the run's own loop is to ask; grades are kept in its store."""
    return Plan(
        task=rubric.task,
        labels=GRADES,
        models=(model,),
        strategies=(Strategy(rubric.template),),
        rules=(ScoreRule.SUM,),
        items=data.items,
    )


def judgement(
    rubric: Rubric,
    data: Dataset,
    cell: Cell,
    level: str,
    seen: Mapping[str, Observation],
    *,
    seed: int = 0,
) -> Judgement:
    """Everything that follows from what the judge said.

    Args:
        cell: the judge, as it was asked.
        level: of its determinism.
        seen: item digest -> what was observed, for every item of the data.
    """
    grades = tuple(grade(item, seen[item.digest]) for item in data.items)
    return Judgement(
        judge=Judge(
            model=cell.model,
            backend=cell.identity.get("backend", ""),
            weights=cell.identity.get("weights", ""),
            fingerprint=cell.fingerprint,
            level=level,
            rubric=rubric.name,
            rubric_digest=rubric.digest,
            identity=dict(cell.identity),
            warnings=cell.warnings,
        ),
        data=Path(data.path).name,
        data_digest=data.digest,
        seed=seed,
        grades=grades,
        mean=_mean_grade(grades),
        agreement=_agreement(grades),
    )


def _mean_grade(grades: Sequence[Grade]) -> Metric | None:
    values = np.asarray([g.expected for g in grades if g.expected is not None])
    if not values.size:
        return None
    low, high = of_losses(mean(values - 1.0), worst=float(len(GRADES) - 1))
    if low is None or high is None:
        return Metric(float(values.mean()))
    return Metric(float(values.mean()), low + 1.0, min(float(len(GRADES)), high + 1.0))


def _agreement(grades: Sequence[Grade]) -> Agreement | None:
    both = [(g.expected, g.human) for g in grades if g.expected is not None and g.human is not None]
    if not both:
        return None
    expected, human = zip(*both, strict=True)
    return agreement(expected, human)


def _trust(found: Agreement) -> Iterator[str]:
    """What the agreement allows to be said of the judge."""
    if found.n < FEWEST_CARRYING:
        yield f"{are(found.n, 'answer')} graded by both: too few for any interval to hold."
    kappa = found.weighted_kappa
    if kappa is None:
        yield "Judge and humans give all answers the same grade: nothing tells them from chance."
    elif kappa.low is None or kappa.low <= 0:
        yield (
            "The interval of the weighted kappa holds zero: that this judge agrees with humans "
            "beyond chance is not shown. Nothing should rest on its grades."
        )


def _shortened(grades: Sequence[Grade]) -> dict[str, int]:
    return dict(sorted(Counter(name for g in grades for name in g.shortened).items()))


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
