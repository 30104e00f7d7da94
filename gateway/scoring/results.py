"""What a run yields: predictions, and the scores of its cells.

Plain frozen values without a clock in them, so that the same run gives the same bytes. Seconds
live apart, in `CellTimings`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from gateway.core.types import Answer

MAJORITY = "baseline:majority"
MEDIAN = "baseline:median"
"""Names of the baselines that look at no text."""


class Status(StrEnum):
    """Four things that stay four: only `OK` can be right or wrong."""

    OK = "ok"
    UNPARSED = "unparsed"
    """The model answered, and the answer could not be read."""
    TRUNCATED = "truncated"
    """The prompt did not fit the context, the answer ran into its token limit unread, or the text
    ended within the model's thought."""
    FAILED = "failed"
    """The backend gave no answer."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """One item answered by one cell of the grid."""

    cell: str
    item_id: str
    status: Status
    answer: Answer | None
    """None unless `status` is OK."""
    gold: Answer | None
    probabilities: Mapping[str, float] | None = None
    """Normalised over the label set, where the strategy scores labels."""
    raw_text: str = ""
    """What the model wrote, if it wrote anything."""
    reason: str = ""
    """Why the status is not OK."""
    exact: bool = True
    """False when a log-probability behind it is a bound or an approximation."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    tokens_evaluated: int = 0
    fingerprint: str = ""
    prompt_digest: str = ""
    off_by: float = 0.0
    """By how much a probability may be off at most, where not every label was finished."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A point estimate with its 95% interval, where one was computed."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def excludes_zero(self) -> bool:
        """Whether there is an interval and zero is not in it."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One row of the per-class table."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts, shape (labels, labels + 1): row = gold, column = answer, last column = no answer."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    def entries_found(self) -> Iterator[tuple[int, int, int]]:
        """As `SparseConfusion.entries`."""
        for gold, row in enumerate(self.counts):
            for answer, count in enumerate(row):
                if count:
                    yield gold, answer, count


@dataclass(frozen=True, slots=True)
class SparseConfusion:
    """The same of more than `MOST_DENSE` labels, of whose pairs hardly any occurs."""

    labels: tuple[str, ...]
    entries: tuple[tuple[int, int, int], ...]
    """Place of the gold label, place of the answer and how often, ascending; what is absent occurs
    never. The answer behind the last label is none."""

    def entries_found(self) -> Iterator[tuple[int, int, int]]:
        """Those that are not zero."""
        return iter(self.entries)


MOST_DENSE = 100
"""Labels whose confusion is a whole matrix."""


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Predictions whose confidence lies in (low, high]."""

    low: float
    high: float
    count: int
    mean_confidence: float
    accuracy: float


class Verdict(StrEnum):
    """What a paired comparison shows of the cell that is held against another."""

    BETTER = "better"
    WORSE = "worse"
    NOT_TOLD_APART = "not told apart"
    """The test does not show a difference."""
    TOO_FEW = "too few items differ"
    """For any test to decide."""
    NOT_COMPARED = "not compared"


@dataclass(frozen=True, slots=True)
class AgainstBaseline:
    """A cell held against one baseline."""

    baseline: str
    metric: str
    verdict: Verdict
    difference: Metric | None = None
    """The metric of the cell less that of the baseline; None where they are not compared."""
    n: int = 0
    """Items that it is of."""
    total: int = 0
    """All items; more than `n` where the metric is of those alone that both answered."""
    why: str = ""
    """Why they are not compared."""
    p_value: float | None = None
    """Corrected for all comparisons of the report; None where no test decides, or one that looks
    after every item."""
    deciding: int = 0
    """Items that the test goes by, or clusters of them."""
    correction: str = ""
    """How the p-value allows for the others (`gateway.scoring.claims.Correction`)."""
    family: int = 1
    """Comparisons that are corrected for together."""


@dataclass(frozen=True, slots=True)
class CellScore:
    """One cell of the grid (or one baseline), scored."""

    name: str
    kind: Literal["model", "baseline"]
    n: int
    statuses: Mapping[str, int]
    """Count of each Status value, zeros included."""
    metrics: Mapping[str, Metric]
    """Name to value. Classification: macro_f1, weighted_f1, accuracy, accuracy_answered, coverage,
    conformance, log_loss, brier, ece. Number: mae, mae_answered, median_ae, median_ae_answered,
    within_one, coverage, conformance. Extraction: exact_match, field:<name>, coverage, conformance.
    What each counts says `gateway.scoring.estimands`. A metric that cannot be computed (no
    probabilities, say) is absent, never zero."""
    per_class: tuple[ClassScore, ...] = ()
    confusion: SparseConfusion | Confusion | None = None
    reliability: tuple[ReliabilityBin, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0
    tokens_evaluated: int = 0
    tokens_per_correct: float | None = None
    exact: bool = True
    details: Mapping[str, str] = field(default_factory=dict)
    """model, strategy, rule, level (of determinism), fingerprint, and the like, for display."""
    verdicts: tuple[AgainstBaseline, ...] = ()
    """One a baseline."""

    @property
    def answered(self) -> bool:
        """Whether any item has an answer. Without one a metric says nothing of a model, and the
        cell is never the best."""
        return self.left_out < self.n

    @property
    def left_out(self) -> int:
        """Items without an answer."""
        return self.n - self.statuses.get(Status.OK.value, self.n)


@dataclass(frozen=True, slots=True)
class CellTimings:
    """Measured seconds of one cell; kept out of `Report` because no clock can be replayed."""

    name: str
    n: int
    p50_s: float
    p95_s: float
    total_s: float
    seconds_per_correct: float | None
    tokens_per_s: float | None
    """Tokens that went through the model, by `total_s`; None: it is not known what was cached."""
    tokens_read: int = 0
    """Of prompts, labels and answers: what a computation without any cache forwards."""
    tokens_cached: int | None = None
    """Those of them that were in memory already; None: not known of every item."""

    @property
    def tokens_forwarded(self) -> int | None:
        """Those that went through the model."""
        return None if self.tokens_cached is None else self.tokens_read - self.tokens_cached
