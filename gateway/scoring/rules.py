"""Raw label scores -> normalised probabilities over the label set, by a named rule.

A rule works on ln P(label and stop | prompt) and never sees a gold label. `contextual` and `batch`
remove what the prompt alone prefers; they are fitted before the first test item is scored.

Sources: `mean` as in Brown et al. 2020 ("Language Models are Few-Shot Learners", section 2.4),
`per_byte` as `acc_norm` of the LM Evaluation Harness (Gao et al. 2021), `contextual` after Zhao et
al. 2021 ("Calibrate Before Use"), `batch` as Zhou et al. 2023 ("Batch Calibration").
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, Self

import numpy as np

from gateway.core.columned import column_of
from gateway.core.errors import BackendError, ConfigError
from gateway.core.types import Length
from gateway.scoring.arrays import FloatArray

IMPOSSIBLE = -1e4
"""A label this many nats below the best one is impossible, as -inf is: a longest sensible label
stays far above it, and beyond it sums lose the digits of the other labels."""


class ScoreRule(StrEnum):
    """How the log-probabilities of a label set become comparable."""

    SUM = "sum"
    """Whole-label log-probability, as it is."""
    MEAN = "mean"
    """Divided by the label's tokens, the end of the turn included."""
    PER_BYTE = "per_byte"
    """Divided by the label's UTF-8 bytes."""
    CONTEXTUAL = "contextual"
    """Probabilities divided by those of content-free inputs."""
    BATCH = "batch"
    """Probabilities divided by their mean over a dev batch."""

    @classmethod
    def named(cls, name: str) -> Self:
        """The rule of that name.

        Raises:
            ConfigError: there is none; the hint lists the known ones.
        """
        try:
            return cls(name)
        except ValueError as exc:
            known = ", ".join(rule.value for rule in cls)
            raise ConfigError(f"unknown score rule: {exc}", hint=f"known: {known}") from exc


BY_LENGTH: Mapping[ScoreRule, Length] = {ScoreRule.MEAN: "tokens", ScoreRule.PER_BYTE: "bytes"}
"""Rules that divide by a label's length, and what that is. All labels are close to each other by
them, so that what is left unfinished may be most of the probability."""

VERSIONS: Mapping[ScoreRule, str] = {ScoreRule.BATCH: "mean of probabilities"}
"""What a rule does now that it once did otherwise: runs that were stored before lack it."""


class Scored(Protocol):
    """What a rule reads of one item: `LabelScores`, or an answer in the store that holds them. What
    each is says `LabelScores`."""

    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def logprobs(self) -> tuple[float, ...]: ...
    @property
    def token_counts(self) -> tuple[int, ...]: ...
    @property
    def byte_counts(self) -> tuple[int, ...]: ...
    @property
    def bounds(self) -> tuple[bool, ...]: ...
    @property
    def unfinished(self) -> tuple[tuple[int, ...], ...]: ...
    @property
    def ending(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Calibrator:
    """A rule with all it needs; made by `fit`. The same scores always give the same bytes."""

    rule: ScoreRule
    labels: tuple[str, ...]
    offset: tuple[float, ...]
    """Nats subtracted from each label's score, shape (labels,); zeros where a rule fits nothing."""

    @classmethod
    def fit(
        cls,
        rule: ScoreRule,
        labels: Sequence[str],
        *,
        content_free: Sequence[Scored] = (),
        dev: Sequence[Scored] = (),
    ) -> Self:
        """Fit `rule` for `labels`.

        Args:
            content_free: scores of inputs without content ("N/A", "", ...); read by `contextual`,
                which averages their probabilities.
            dev: scores of unlabelled dev items, never of test items; read by `batch`.

        Raises:
            ConfigError: there are no labels, one occurs twice, the rule's material is missing, or
                it was scored for other labels.
            BackendError: a score is not a log-probability.
        """
        names = tuple(labels)
        if not names or len(set(names)) != len(names):
            raise ConfigError(
                f"the label set {names!r} is empty or repeats a label",
                hint="name every label once",
            )
        offset = _offset(rule, names, content_free=content_free, dev=dev)
        return cls(rule, names, tuple(offset.tolist()))

    def probabilities(self, scores: Scored) -> dict[str, float]:
        """As `all_probabilities`, of one item."""
        return self.all_probabilities([scores])[0]

    def all_probabilities(self, items: Sequence[Scored]) -> list[dict[str, float]]:
        """Probabilities of the labels of each item, in label order, with sum 1.

        An impossible label gets 0. Where every label is impossible the scores tell nothing and
        the answer is uniform.

        Raises:
            ConfigError: scores are of other labels, or a label has no length to divide by.
            BackendError: a score is not a log-probability.
        """
        rows = self.decided(items)[1].tolist()
        return [dict(zip(self.labels, row, strict=True)) for row in rows]

    def decided(self, items: Sequence[Scored]) -> tuple[list[str], FloatArray]:
        """The best label of each item, as `best`, and its probabilities, as `all_probabilities`,
        shape (items, labels).

        Raises: as there.
        """
        if not items:
            return [], np.empty((0, len(self.labels)))
        raw = _rule_scores(self.rule, self.labels, items)
        shares = np.exp(_normalised(_normalised(raw) - np.asarray(self.offset)))
        return list(map(self.labels.__getitem__, shares.argmax(axis=1).tolist())), shares

    def undecided(self, scores: Scored, best: str) -> str:
        """Why `best` is not known to be the best label; empty where it is.

        A bound may stand for anything below it: it can lose, but not win.
        """
        if not scores.bounds:
            return ""
        count, at = sum(scores.bounds), scores.labels.index(best)
        if scores.bounds[at]:
            return (
                f"undecided: of {count} of {len(scores.labels)} labels only a bound is known, and "
                'the largest of all is one; a strategy of mode "constrained" asks for the label '
                "itself"
            )
        if scores.unfinished and self._reach(scores) >= self._corrected(scores)[at]:
            return (
                f"undecided: {count} of {len(scores.labels)} labels are unfinished, and by this "
                'rule one may be better; label_search = "full" finishes all'
            )
        return ""

    def _reach(self, scores: Scored) -> float:
        """What no unfinished label's score exceeds."""
        corrected = self._corrected(scores)
        return max(float(corrected[i]) for group in scores.unfinished for i in group)

    def _corrected(self, scores: Scored) -> FloatArray:
        """The rule's score of each label; of one that is a bound, what it does not exceed."""
        logprobs = np.asarray([scores.logprobs], dtype=np.float64)
        corrected = _divided(self.rule, self.labels, [scores], logprobs) - np.asarray(self.offset)
        of_item: FloatArray = corrected[0]
        return of_item

    def off_by(self, scores: Scored) -> float:
        """By how much a probability may be off at most, because labels are unfinished.

        With V the sum of the finished ones' and U what the others have at most, a finished label's
        share lies between w / (V + U) and w / V, and that of all others is at most U / (V + U).
        Labels with one beginning have no more than it together, unless each is divided by its
        length.
        """
        if not scores.unfinished:
            return 0.0
        corrected = self._corrected(scores)
        shares = np.exp(corrected - corrected.max())
        together = np.sum if self.rule in BY_LENGTH else np.max
        most = sum(float(together(shares[list(group)])) for group in scores.unfinished)
        rest = float(shares[~np.asarray(scores.bounds)].sum()) if scores.bounds else 0.0
        return most / (rest + most)

    def best(self, probabilities: Mapping[str, float]) -> str:
        """The most probable label; of several equally probable ones the first in label order."""
        return max(self.labels, key=probabilities.__getitem__)


def _offset(
    rule: ScoreRule,
    labels: tuple[str, ...],
    *,
    content_free: Sequence[Scored],
    dev: Sequence[Scored],
) -> FloatArray:
    match rule:
        case ScoreRule.CONTEXTUAL:
            return _prior(
                _material(rule, labels, content_free, "the scores of a content-free input")
            )
        case ScoreRule.BATCH:
            return _prior(_material(rule, labels, dev, "the scores of a dev split"))
        case _:
            return np.zeros(len(labels))


def _material(
    rule: ScoreRule, labels: tuple[str, ...], items: Sequence[Scored], needed: str
) -> FloatArray:
    """Normalised log-probabilities, shape (items, labels)."""
    if not items:
        raise ConfigError(
            f"the score rule {rule.value!r} needs {needed} and got none",
            hint="provide it, or choose sum, mean or per_byte, which fit nothing",
        )
    return _normalised(_rule_scores(rule, labels, items))


def _prior(table: FloatArray) -> FloatArray:
    """Logarithms of the mean probabilities, shape (labels,); 0 for a label that no item allows.

    Such a label shows no bias to take away; dividing by its zero would make it win everywhere.

    Args:
        table: log-probabilities, shape (items, labels).
    """
    best = table.max(axis=0)
    possible = np.isfinite(best)
    # Relative to the best, so that no share is too small for a number; scipy loads for seconds.
    shares = np.exp(table - np.where(possible, best, 0.0)).mean(axis=0)
    return np.where(possible, best + np.log(np.where(possible, shares, 1.0)), 0.0)


def _rule_scores(rule: ScoreRule, labels: tuple[str, ...], items: Sequence[Scored]) -> FloatArray:
    """The rule's score of each label before any offset, shape (items, labels)."""
    _require_labels(labels, items)
    given: Sequence[Sequence[float]] = column_of(items, "logprobs")
    if any(column_of(items, "unfinished")):
        given = [_apart(scores) for scores in items]
    logprobs = np.asarray(given, dtype=np.float64)
    wrong = (np.isnan(logprobs) | np.isposinf(logprobs)).any(axis=1)
    if wrong.any():
        raise _no_log_probabilities(items[int(wrong.argmax())])
    return _divided(rule, labels, items, logprobs)


def _require_labels(labels: tuple[str, ...], items: Sequence[Scored]) -> None:
    """Raise for the first item that was scored for others, or not for each."""
    every, given = column_of(items, "labels"), column_of(items, "logprobs")
    for at, (own, logprobs) in enumerate(zip(every, given, strict=True)):
        if own != labels:
            raise ConfigError(
                f"scores of the labels {own!r} were given where {labels!r} were expected",
                hint="score the same labels in the same order",
            )
        if len(logprobs) != len(labels):
            raise _no_log_probabilities(items[at])


def _divided(
    rule: ScoreRule, labels: tuple[str, ...], items: Sequence[Scored], logprobs: FloatArray
) -> FloatArray:
    """Log-probabilities, shape (items, labels), as the rule divides them."""
    match rule:
        case ScoreRule.MEAN:
            return logprobs / _lengths(labels, column_of(items, "token_counts"), "token")
        case ScoreRule.PER_BYTE:
            return logprobs / _lengths(labels, column_of(items, "byte_counts"), "byte")
        case _:
            return logprobs


def _apart(scores: Scored) -> Sequence[float]:
    """A log-probability a label. Unfinished ones are taken to go on as certain and to end as the
    finished ones do, and have equal parts of it where they have one beginning: what they have
    together stays within its bound.

    Against all labels this is off by 0.02 of the best label's probability, where no estimate is by
    0.04 and the bound itself by 0.46 (SmolLM2 135M, 77 labels, zero-shot, 8 items).
    """
    if not scores.unfinished:
        return scores.logprobs
    parted = list(scores.logprobs)
    for group in scores.unfinished:
        for i in group:
            parted[i] += scores.ending - math.log(len(group))
    return parted


def _no_log_probabilities(scores: Scored) -> BackendError:
    return BackendError(
        f"the label scores {scores.logprobs!r} are not one log-probability a label",
        hint="this is a fault of the backend, not of the data",
    )


def _lengths(labels: tuple[str, ...], counts: Sequence[tuple[int, ...]], unit: str) -> FloatArray:
    lengths = np.asarray(counts, dtype=np.float64)
    if (lengths < 1).any():
        item, at = np.argwhere(lengths < 1)[0].tolist()
        raise ConfigError(
            f"the label {labels[at]!r} has {counts[item][at]} {unit}s and cannot be scored per "
            f"{unit}",
            hint="choose the rule sum, or a label that is not empty",
        )
    return lengths


def _normalised(logits: FloatArray) -> FloatArray:
    """Log-softmax of each row, in which impossible labels are -inf, and uniform if all are."""
    best = logits.max(axis=1, keepdims=True)
    none = np.isneginf(best)
    relative = logits - np.where(none, 0.0, best)
    possible = np.where(relative < IMPOSSIBLE, -np.inf, relative)
    # The largest is 0, so this is scipy's log_softmax to the last bit; scipy loads for seconds.
    sums = np.exp(possible).sum(axis=1, keepdims=True)
    normalised = possible - np.log(np.where(none, 1.0, sums))
    return np.where(none, -np.log(logits.shape[1]), normalised)
