"""All that is asked of two cells on the same items: the only paired comparison there is.

Differences are a minus b, and `b` is what `a` is held against: the reference, the better cell, the
baseline. A loss is then below zero where higher is better. What a difference allows to say is
`gateway.scoring.claims`, which allows for all the comparisons that are made together.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from gateway.core.errors import ComparisonRefused
from gateway.core.types import TaskKind
from gateway.scoring.arrays import BoolArray, FloatArray, IntArray
from gateway.scoring.beside import LEVEL, agreeing, interval, joint_level
from gateway.scoring.bootstrap import FEWEST_CARRYING, Bootstrap, Method, of_values
from gateway.scoring.claims import ALPHA, Claim, claim, claim_of_looks
from gateway.scoring.equivalence import Equivalence, bootstrap_equivalence, proportion_equivalence
from gateway.scoring.family import Simultaneous, holm, simultaneous
from gateway.scoring.mcnemar import FEWEST_DECIDING, McNemar, mcnemar
from gateway.scoring.metrics import OF_LABELS, RIGHT, SHARES_OF_RIGHT, in_shares
from gateway.scoring.pairing import Entrant, Pairs, entrant, matched, pair
from gateway.scoring.permutation import DEFAULT_PERMUTATIONS, Permutation
from gateway.scoring.power import (
    Power,
    items_by_error,
    items_needed,
    smallest_by_error,
    smallest_difference,
)
from gateway.scoring.proportions import score_interval
from gateway.scoring.resampling import differences
from gateway.scoring.results import AgainstBaseline, Metric, Prediction, Verdict
from gateway.scoring.scores import DEFAULT_RESAMPLES
from gateway.scoring.selection import Winner, winner
from gateway.scoring.sequential import Sequential, scores, seeded_order, watch

_MOST_DETAILED = 36
"""Comparisons up to which it is also found what each could have shown, and after how many items it
would have been decided: that takes longer than all the rest."""


@dataclass(frozen=True, slots=True)
class Contest:
    """Cell `a` held against cell `b`; differences are a minus b."""

    a: str
    b: str
    metric: str
    n: int
    """Items the metric is compared on."""
    total: int
    """All items; McNemar's test and the sequential one are of these."""
    differing: int
    """Items on which the metric can tell the cells apart."""
    deciding: int
    """Those among them that a test goes by, or their clusters (`Pairs.deciding`)."""
    difference: Metric
    """With its 95% interval, of this comparison alone, and in agreement with its test
    (`gateway.scoring.beside`); without one where too few items decide."""
    method: str
    """How that interval is made; empty where there is none."""
    permutation: Permutation
    """Of this comparison alone."""
    mcnemar: McNemar
    evidence: Metric | None
    """The difference to decide by, with a 95% interval that holds: the bootstrap's; of a share of
    right answers the score test's, also in place of an F1 where too few items decide; else None."""
    equivalence: Equivalence | None
    """At the margin, from the same as the evidence. None where no margin was set."""
    needed: int | None
    """Items with which a difference as large as the margin would be found; None: not known."""
    power: Power | None
    """Of the metric. This and the next two are None where a comparison is one of very many."""
    accuracy_power: Power | None
    """Of McNemar's test."""
    sequential: Sequential | None
    """Had the items been looked at one by one, in a seeded order."""
    inexact: tuple[int, int]
    """Items of a and of b that rest on log-probabilities that are bounds."""

    @property
    def alone(self) -> Claim:
        """What it would allow to say of `a` if it were the only comparison."""
        return _alone(self.metric, self.permutation)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A contest that is one of several: what is said of it allows for the others."""

    contest: Contest
    claim: Claim
    """What may be said of `a`."""
    difference: Metric
    """As the contest's, with an interval that holds in all comparisons together and agrees with the
    claim: zero lies outside exactly where the two are told apart."""
    permutation_p: float | None
    """Of the metric, by max-T over all pairs. None: the test decides nothing, or items were taken
    until something was decided."""
    mcnemar_p: float | None
    """The same of right answers, by Holm's correction, in a family of its own."""
    equivalence_p: float | None
    """Of both one-sided tests at the margin, by Holm's correction over all pairs."""
    not_worse_p: float | None
    """The same of the first of them alone."""
    reach: Metric | None
    """As the contest's evidence, with an interval that holds in all pairs together."""
    flips: tuple[str, ...]
    """Ids of the items that exactly one of the two gets right."""
    differing: tuple[str, ...]
    """Ids of the items that they answer differently: the flips, and what both get wrong."""

    @property
    def equivalent(self) -> bool:
        """Whether the difference is shown to be smaller than the margin, to either side."""
        return self.equivalence_p is not None and self.equivalence_p <= ALPHA

    @property
    def not_worse(self) -> bool:
        """Whether `a` is shown to be worse by less than the margin, if it is worse at all."""
        return self.not_worse_p is not None and self.not_worse_p <= ALPHA


@dataclass(frozen=True, slots=True)
class NotCompared:
    """Two cells between which the metric has no difference."""

    a: str
    b: str
    why: str


@dataclass(frozen=True, slots=True)
class Held:
    """Cells held against each other and against baselines: one family of comparisons."""

    comparisons: tuple[Comparison, ...]
    """Of each cell with every one before it; the pairs of the first cell come first."""
    against: Mapping[str, tuple[AgainstBaseline, ...]]
    """Cell -> what is said of it and each baseline."""
    winner: Winner | None
    """The cell with the best value, and that value as far as it was not luck; None where no cell
    has one, or items were taken until something was decided."""
    not_compared: tuple[NotCompared, ...] = ()
    """Pairs of cells that `comparisons` lacks."""


@dataclass(frozen=True, slots=True)
class Design:
    """How cells are held against each other: the same for every pair of the family."""

    metric: str
    """A name listed at `CellScore.metrics`."""
    margin: float | None = None
    """The largest difference that would not matter, in units of the metric."""
    planned: int | None = None
    """Items in all, where they were taken in the seeded order until something was decided. A test
    for a number of items fixed beforehand then says nothing."""
    seed: int = 0
    strict: bool = False
    """Refuse a pair that cannot be compared, instead of leaving it out."""
    resamples: int = DEFAULT_RESAMPLES
    permutations: int = DEFAULT_PERMUTATIONS
    method: Method = Method.WIDENED
    """How intervals are read off the bootstrap."""
    clusters: IntArray | None = None
    """The cluster of each item, in the order of item ids; None: each is its own."""
    detailed: bool = True
    """Also what each comparison could have shown, where they are no more than `_MOST_DETAILED`."""


def hold(
    cells: Sequence[Sequence[Prediction]],
    baselines: Mapping[str, Sequence[Prediction]],
    design: Design,
    *,
    task_kind: TaskKind,
    labels: Sequence[str],
    trivial: float | None = None,
) -> Held:
    """Hold each cell against every one before it, and against every baseline.

    Args:
        cells: of the same items.
        baselines: by name.
        trivial: as `statistics`.

    Raises:
        ComparisonRefused: items or gold values differ, or a cell has no such metric.
        DataError: a cell's predictions cannot be scored (see `score_cell`).
        ConfigError: a margin is not above zero, or a task has fewer than two labels.
    """
    models, rivals = (
        [entrant(cell, task_kind=task_kind, labels=labels, trivial=trivial) for cell in some]
        for some in (cells, baselines.values())
    )
    return hold_entrants(models, rivals, design)


def hold_entrants(models: Sequence[Entrant], rivals: Sequence[Entrant], design: Design) -> Held:
    """`hold` of cells and baselines that were read already. Raises as there."""
    wanted = pairs_of(models, rivals)
    detailed = design.detailed and len(wanted) <= _MOST_DETAILED
    looked = range(len(wanted) if design.planned is not None or detailed else 0)
    required = pairs_of(models, ()) if design.strict else ()
    pairs, refused = _comparable(wanted, design.metric, required=required)
    found = _Family(design, looked).compared(pairs)
    names = {rival.name for rival in rivals}
    by_name = {(each.contest.a, each.contest.b): each for each in found}
    return Held(
        comparisons=tuple(each for each in found if each.contest.b not in names),
        against={
            model.name: tuple(
                _against(by_name.get((model.name, rival)), rival, refused, model, design)
                for rival in (each.name for each in rivals)
            )
            for model in models
        },
        winner=None if design.planned is not None else _winner(models, design),
        not_compared=tuple(
            NotCompared(a, b, why) for (a, b), why in refused.items() if b not in names
        ),
    )


def _winner(models: Sequence[Entrant], design: Design) -> Winner | None:
    return winner(
        models,
        design.metric,
        seed=design.seed,
        resamples=design.resamples,
        clusters=design.clusters,
    )


def pairs_of(models: Sequence[Entrant], rivals: Sequence[Entrant]) -> list[tuple[Entrant, Entrant]]:
    """What `hold` compares: each cell with every one before it, and with every baseline."""
    among = [(a, b) for b, a in combinations(models, 2)]
    return among + [(model, rival) for model in models for rival in rivals]


def hold_one(
    a: Entrant, b: Entrant, family: Sequence[tuple[Entrant, Entrant]], design: Design
) -> Comparison:
    """Hold `a` against `b` as the one of a family that they are, either way round; a pair that is
    none of it is alone.

    Args:
        family: pairs that are looked at together (`pairs_of`).

    Raises:
        ComparisonRefused: the two cannot be compared. Others that cannot are left out.
    """
    asked = {a.name, b.name}
    wanted = [(a, b) if {x.name, y.name} == asked else (x, y) for x, y in family]
    if (a, b) not in wanted:
        wanted = [(a, b)]
    pairs, _ = _comparable(wanted, design.metric, required=[(a, b)])
    place = next(i for i, (_, x, y) in enumerate(pairs) if (x, y) == (a, b))
    return _Family(design, range(place, place + 1)).compared(pairs)[place]


def _comparable(
    wanted: Sequence[tuple[Entrant, Entrant]],
    metric: str,
    *,
    required: Sequence[tuple[Entrant, Entrant]],
) -> tuple[list[tuple[Pairs, Entrant, Entrant]], dict[tuple[str, str], str]]:
    """The pairs that can be compared, and why others cannot; one that is required must."""
    pairs, refused = [], {}
    for a, b in wanted:
        try:
            pairs.append((pair(a, b, metric), a, b))
        except ComparisonRefused as refusal:
            if (a, b) in required:
                raise
            refused[a.name, b.name] = str(refusal)
    return pairs, refused


def all_pairs(
    cells: Sequence[Sequence[Prediction]],
    *,
    task_kind: TaskKind,
    labels: Sequence[str],
    metric: str,
    margin: float | None = None,
    planned: int | None = None,
    seed: int = 0,
    strict: bool = False,
    clusters: IntArray | None = None,
) -> tuple[Comparison, ...]:
    """Hold each cell against every one before it; the pairs of the first cell come first.

    Args, Raises: as `hold`.
    """
    design = Design(metric, margin, planned, seed, strict=strict, clusters=clusters)
    return hold(cells, {}, design, task_kind=task_kind, labels=labels).comparisons


def family_size(cells: int, baselines: int) -> int:
    """How many comparisons `hold` makes of so many."""
    return cells * (cells - 1) // 2 + cells * baselines


def contest(
    a: Sequence[Prediction],
    b: Sequence[Prediction],
    *,
    task_kind: TaskKind,
    labels: Sequence[str],
    metric: str,
    margin: float | None = None,
    planned: int | None = None,
    method: Method = Method.WIDENED,
    seed: int = 0,
    resamples: int = DEFAULT_RESAMPLES,
    permutations: int = DEFAULT_PERMUTATIONS,
    clusters: IntArray | None = None,
) -> Contest:
    """Compare two cells in every way this package knows.

    Args, Raises: as `hold`.
    """
    first, second = (entrant(cell, task_kind=task_kind, labels=labels) for cell in (a, b))
    design = Design(
        metric,
        margin,
        planned,
        seed,
        resamples=resamples,
        permutations=permutations,
        method=method,
        clusters=clusters,
    )
    (found,) = _Family(design, range(1)).compared([(pair(first, second, metric), first, second)])
    return found.contest


def one_by_one(
    a: Sequence[Prediction],
    b: Sequence[Prediction],
    *,
    task_kind: TaskKind,
    margin: float | None = None,
    planned: int | None = None,
    seed: int = 0,
    family: int = 1,
) -> Sequential:
    """Right answers compared in the seeded order of the items, up to the first decision.

    Args:
        margin: in shares of right answers.
        planned: items in all, where `a` and `b` are the first of them in that order.
        family: pairs that are looked at together; they share alpha.

    Raises:
        ComparisonRefused, DataError, ConfigError: as `contest`.
    """
    first, second = matched(a, b)
    order = looking_order([item.item_id for item in first], seed)
    item_scores = scores(first.right(task_kind), second.right(task_kind))
    return watch(item_scores[order], planned=planned, margin=margin, alpha=ALPHA / family)


def looking_order(ids: Sequence[str], seed: int) -> IntArray:
    """Positions of the items in the seeded order, shape (items,)."""
    position = {item_id: i for i, item_id in enumerate(ids)}
    return np.asarray([position[item_id] for item_id in seeded_order(position, seed)])


@dataclass(frozen=True, slots=True)
class _Family:
    """Pairs that are looked at together."""

    design: Design
    detailed: range
    """Places of the pairs of which it is also found what they could have shown."""

    def compared(self, found: Sequence[tuple[Pairs, Entrant, Entrant]]) -> tuple[Comparison, ...]:
        """All of them, each allowing for the others."""
        if not found:
            return ()
        family = [pairs for pairs, _, _ in found]
        tests = simultaneous(
            family,
            seed=self.design.seed,
            permutations=self.design.permutations,
            clusters=self.design.clusters,
        )
        drawn = differences(
            family, self.design.resamples, seed=self.design.seed, clusters=self.design.clusters
        )
        order = looking_order(found[0][1].ids, self.design.seed) if self.detailed else None
        orders = [order if i in self.detailed else None for i in range(len(found))]
        contests = [
            self._contest(*each, test, _bootstrap(each[0], test, values), looks, len(found))
            for each, test, values, looks in zip(found, tests, drawn, orders, strict=True)
        ]
        return self._together(found, contests, tests, drawn)

    def _together(
        self,
        found: Sequence[tuple[Pairs, Entrant, Entrant]],
        contests: Sequence[Contest],
        tests: Sequence[Simultaneous],
        drawn: FloatArray,
    ) -> tuple[Comparison, ...]:
        fixed = self.design.planned is None
        mcnemar_p = holm([c.mcnemar.p_value if fixed else None for c in contests])
        at_margin = [c.equivalence if fixed else None for c in contests]
        equivalent = holm([e.usable(e.p_value) if e else None for e in at_margin])
        not_worse = holm([e.usable(e.p_worse) if e else None for e in at_margin])
        estimates = np.asarray([pairs.estimate for pairs, _, _ in found])
        level = joint_level(estimates, drawn)
        made = []
        for i, ((pairs, a, b), result, test) in enumerate(zip(found, contests, tests, strict=True)):
            flips = a.right != b.right
            said = self._claim(result, test, int(flips.sum()), len(found))
            made.append(
                Comparison(
                    contest=result,
                    claim=said,
                    difference=self._difference(pairs, result, test, drawn[i], said, level),
                    permutation_p=test.p_value if fixed else None,
                    mcnemar_p=mcnemar_p[i],
                    equivalence_p=equivalent[i],
                    not_worse_p=not_worse[i],
                    reach=self._reach(pairs, result, test, drawn[i], len(found)),
                    flips=_ids(a, flips),
                    differing=_ids(a, a.answers != b.answers),
                )
            )
        return tuple(made)

    def _difference(
        self,
        pairs: Pairs,
        result: Contest,
        test: Simultaneous,
        values: FloatArray,
        said: Claim,
        level: float,
    ) -> Metric:
        looks = result.sequential
        if self.design.planned is not None and looks is not None:
            return Metric(looks.difference, looks.low, looks.high)
        if said.family == 1:
            return result.difference
        resampled = _bootstrap(pairs, test, values)
        shown, _ = interval(pairs, resampled, level, self.design.method, self.design.clusters)
        return agreeing(shown, said)

    def _claim(self, result: Contest, test: Simultaneous, flips: int, family: int) -> Claim:
        if self.design.planned is not None and result.sequential is not None:
            return claim_of_looks(result.sequential, deciding=flips, family=family)
        value = result.difference.value
        return claim(
            self.design.metric, value, test.p_value, deciding=result.deciding, family=family
        )

    def _reach(
        self, pairs: Pairs, result: Contest, test: Simultaneous, values: FloatArray, family: int
    ) -> Metric | None:
        looks = result.sequential
        if self.design.planned is not None and looks is not None:
            return Metric(looks.difference, looks.low, looks.high)
        resampled = _bootstrap(pairs, test, values)
        return self._evidence(pairs, result.mcnemar, resampled, 1 - ALPHA / family)

    def _contest(
        self,
        pairs: Pairs,
        a: Entrant,
        b: Entrant,
        test: Simultaneous,
        drawn: Bootstrap,
        order: IntArray | None,
        family: int,
    ) -> Contest:
        """`order`: in which the items would be looked at; None: without the details."""
        counts = mcnemar(a.right, b.right, clustered=self.design.clusters is not None)
        enough = test.own.deciding >= FEWEST_CARRYING
        error = drawn.standard_error if enough else math.nan
        detailed, margin, alpha = order is not None, self.design.margin, ALPHA / family
        shown, how = interval(pairs, drawn, LEVEL, self.design.method, self.design.clusters)
        return Contest(
            a=pairs.a,
            b=pairs.b,
            metric=self.design.metric,
            n=pairs.n,
            total=pairs.total,
            differing=len(pairs.differing),
            deciding=test.own.deciding,
            difference=agreeing(shown, _alone(pairs.metric, test.own)),
            method=how,
            permutation=test.own,
            mcnemar=counts,
            evidence=self._evidence(pairs, counts, drawn, 0.95),
            equivalence=None if margin is None else self._equivalence(pairs, counts, drawn, margin),
            needed=None if margin is None else self._needed(counts, error, pairs.n, margin, alpha),
            power=self._power(counts, error, pairs.n, alpha) if detailed else None,
            accuracy_power=_accuracy_power(counts, alpha) if detailed else None,
            sequential=None if order is None else self._looks(a, b, order, family),
            inexact=(a.items.inexact, b.items.inexact),
        )

    def _looks(self, a: Entrant, b: Entrant, order: IntArray, family: int) -> Sequential | None:
        if not self._by_item:
            return None
        share = self.design.margin if in_shares(self.design.metric) else None
        item_scores = scores(a.right, b.right)[order]
        return watch(item_scores, planned=self.design.planned, margin=share, alpha=ALPHA / family)

    def _evidence(
        self, pairs: Pairs, counts: McNemar, drawn: Bootstrap, level: float
    ) -> Metric | None:
        if self._by_score(drawn):
            return score_interval(counts.only_a, counts.only_b, counts.n, level)
        if drawn.carrying < FEWEST_CARRYING:
            return None
        return drawn.interval(level, method=self.design.method)

    def _equivalence(
        self, pairs: Pairs, counts: McNemar, drawn: Bootstrap, margin: float
    ) -> Equivalence:
        if self._by_score(drawn):
            own = self.design.metric in SHARES_OF_RIGHT
            return proportion_equivalence(
                counts.only_a,
                counts.only_b,
                counts.n,
                margin,
                metric=self.design.metric if own else "accuracy",
            )
        return bootstrap_equivalence(
            drawn, margin, metric=self.design.metric, method=self.design.method
        )

    @property
    def _by_item(self) -> bool:
        """Whether looking at one item after the other means anything: they share no clusters. Where
        they were taken so, it is what there is."""
        return self.design.clusters is None or self.design.planned is not None

    def _by_score(self, drawn: Bootstrap) -> bool:
        """Whether the score test of right answers is what there is to go by."""
        if self.design.clusters is not None:
            return False
        few = drawn.carrying < FEWEST_CARRYING
        return self.design.metric in SHARES_OF_RIGHT or (few and self.design.metric in OF_LABELS)

    def _needed(
        self, counts: McNemar, error: float, n: int, margin: float, alpha: float
    ) -> int | None:
        """Items for the margin to be found, from what these items tell of the spread."""
        if self.design.metric in SHARES_OF_RIGHT and self.design.clusters is None:
            return items_needed(margin, counts.discordant / counts.n, alpha=alpha)
        return items_by_error(margin, error, n, alpha=alpha)

    def _power(self, counts: McNemar, error: float, n: int, alpha: float) -> Power:
        if self.design.metric in SHARES_OF_RIGHT and self.design.clusters is None:
            return _accuracy_power(counts, alpha)
        found = smallest_by_error(error, n, alpha=alpha)
        return found.no_less(FEWEST_DECIDING / n) if self.design.metric in OF_LABELS else found


def _alone(metric: str, test: Permutation) -> Claim:
    return claim(metric, test.difference, test.p_value, deciding=test.deciding, family=1)


def _bootstrap(pairs: Pairs, test: Simultaneous, values: FloatArray) -> Bootstrap:
    return of_values(pairs.estimate, values, carrying=test.own.deciding)


def _accuracy_power(counts: McNemar, alpha: float) -> Power:
    return smallest_difference(counts.n, counts.discordant / counts.n, alpha=alpha)


def _against(
    found: Comparison | None,
    baseline: str,
    refused: Mapping[tuple[str, str], str],
    model: Entrant,
    design: Design,
) -> AgainstBaseline:
    metric = design.metric
    if found is None:
        why = refused[model.name, baseline]
        return AgainstBaseline(baseline, metric, Verdict.NOT_COMPARED, why=why)
    result, said = found.contest, found.claim
    difference, n = found.difference, result.n
    if design.planned is not None and result.sequential is not None:
        looks = result.sequential
        metric, n = RIGHT[model.kind], result.total
        difference = Metric(looks.difference, looks.low, looks.high)
    return AgainstBaseline(
        baseline,
        metric,
        said.verdict,
        difference,
        n,
        result.total,
        p_value=said.p_value,
        deciding=said.deciding,
        correction=said.correction.value,
        family=said.family,
    )


def _ids(cell: Entrant, which: BoolArray) -> tuple[str, ...]:
    return tuple(cell.items.ids[which].tolist())
