"""Whether two cells are as good as each other, within a margin that a person sets.

Not being told apart is not being equal: few items tell nothing apart. Equivalence is shown by
rejecting both that `a` is worse than `b` by the margin or more and that it is better by as much:
two one-sided tests (TOST: Schuirmann 1987; for models Lakens 2017). Non-inferiority, "no more than
2 points worse", is the first of the two alone. At level alpha both are read off the central
1 - 2 alpha interval: it lies within the margin exactly where both tests reject.
"""

from dataclasses import dataclass

from scipy.special import ndtr

from gateway.core.errors import ConfigError
from gateway.scoring.bootstrap import FEWEST_CARRYING, Bootstrap, Method
from gateway.scoring.metrics import LOWER_IS_BETTER
from gateway.scoring.proportions import score, score_interval
from gateway.scoring.results import Metric

DEFAULT_ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Equivalence:
    """Both one-sided tests of `a` against `b` at a margin, and the intervals behind them."""

    metric: str
    """What is compared: `accuracy` also where it stands in for another (`contest`)."""
    margin: float
    """In units of the metric; more than zero."""
    alpha: float
    difference: Metric
    """a minus b with its 95% interval."""
    narrow: Metric
    """a minus b with its central 1 - 2 alpha interval, 90% for an alpha of 0.05."""
    p_worse: float
    """Of "a is worse by the margin or more"; small speaks for non-inferiority. As a confidence
    distribution has it, also the chance that `a` is (Schweder and Hjort 2002, "Confidence and
    likelihood"): with nothing known beforehand, its probability."""
    p_better: float
    """Of "a is better by the margin or more", alike."""
    differing: int
    """Items on which the cells differ at all: what the intervals rest on."""
    method: Method | None
    """How the bootstrap was read; None: a score test."""

    @property
    def p_value(self) -> float:
        """Of both tests together: the larger one."""
        return max(self.p_worse, self.p_better)

    def usable(self, p_value: float) -> float | None:
        """A p-value of these tests; None where they rest on too few items to show anything."""
        return None if self.rests_on_few else p_value

    @property
    def not_worse(self) -> bool:
        """Whether `a` is shown to be worse by less than the margin, if it is worse at all."""
        return self.p_worse <= self.alpha and not self.rests_on_few

    @property
    def equivalent(self) -> bool:
        """Whether the difference is shown to be smaller than the margin, to either side."""
        return self.p_value <= self.alpha and not self.rests_on_few

    @property
    def rests_on_few(self) -> bool:
        """Whether a bootstrap resampled so few differing items that it shows nothing.

        A score test allows for what did not occur and never does.
        """
        return self.method is not None and self.differing < FEWEST_CARRYING


def proportion_equivalence(
    only_a: int,
    only_b: int,
    n: int,
    margin: float,
    *,
    metric: str = "accuracy",
    alpha: float = DEFAULT_ALPHA,
) -> Equivalence:
    """Compare shares of right answers by score tests.

    Args:
        metric: what that share is called: accuracy, exact_match, within_one.
        only_a, only_b: items of `n` that are right in exactly that cell.

    Raises:
        ConfigError: the margin or alpha is out of its range.
    """
    _require(margin, alpha)
    return Equivalence(
        metric=metric,
        margin=margin,
        alpha=alpha,
        difference=score_interval(only_a, only_b, n),
        narrow=score_interval(only_a, only_b, n, 1 - 2 * alpha),
        p_worse=float(ndtr(-score(only_a, only_b, n, -margin))),
        p_better=float(ndtr(score(only_a, only_b, n, margin))),
        differing=only_a + only_b,
        method=None,
    )


def bootstrap_equivalence(
    drawn: Bootstrap,
    margin: float,
    *,
    metric: str,
    alpha: float = DEFAULT_ALPHA,
    method: Method = Method.WIDENED,
) -> Equivalence:
    """Compare any metric by the bootstrap of its difference a minus b.

    Args:
        drawn: with the items on which the cells differ as those that carry the value.
        metric: says which way is better (`gateway.scoring.metrics`).
        method: how the bootstrap is read.

    Raises:
        ConfigError: the margin or alpha is out of its range, or no resample has a value.
    """
    _require(margin, alpha)
    if not drawn.values.size:
        raise ConfigError(
            "the difference is defined in no resample, so nothing can be said about a margin",
            hint="look at the reasons of the items without an answer",
        )
    lower_is_better = metric in LOWER_IS_BETTER
    above, below = drawn.p_above(-margin, method=method), drawn.p_below(margin, method=method)
    return Equivalence(
        metric=metric,
        margin=margin,
        alpha=alpha,
        difference=drawn.interval(method=method),
        narrow=drawn.interval(1 - 2 * alpha, method=method),
        p_worse=below if lower_is_better else above,
        p_better=above if lower_is_better else below,
        differing=drawn.carrying,
        method=drawn.usable(method),
    )


def _require(margin: float, alpha: float) -> None:
    # Written so that a NaN fails too.
    if not margin > 0:
        raise ConfigError(
            f"a margin of {margin:g} leaves no difference small enough",
            hint="give the largest loss that would not matter, such as 0.02 for 2 points",
        )
    if not 0 < alpha < 0.5:
        raise ConfigError(
            f"an error rate of {alpha:g} is none that a test could hold",
            hint="give one between 0 and 0.5, such as 0.05",
        )
