"""A search of labels finds what the full tree finds, and knows how much it has left out."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import InvalidRequest
from gateway.core.types import EXACT_SHARE, LabelScores, LabelSearch, bounds_of
from gateway.engine.context import Logits
from gateway.engine.jobs import Job, Scored, Vocabulary
from gateway.engine.label_scores import score
from gateway.engine.trie import build_trie, count_nodes
from gateway.scoring.rules import BY_LENGTH, Calibrator, ScoreRule

TOKENS = 6
STOP = TOKENS
VOCABULARY = Vocabulary(lambda _: b"", frozenset({STOP}), np.array([STOP], dtype=np.intp))
PROMPT = (1, 2)

Model = Callable[[Sequence[int]], Logits]
"""What follows tokens."""

label_sets = st.lists(
    st.lists(st.integers(0, TOKENS - 1), min_size=1, max_size=5).map(tuple),
    min_size=2,
    max_size=40,
    unique=True,
)


def drawn(seed: int, spread: float, whole: bool) -> Model:
    """A model whose logits depend on the tokens before; whole ones tie often."""

    def logits(tokens: Sequence[int]) -> Logits:
        rng = np.random.default_rng([seed, *tokens])
        row = rng.normal(0.0, spread, TOKENS + 1)
        return (np.round(row) if whole else row).astype(np.float32)

    return logits


models = st.builds(drawn, st.integers(0, 10**6), st.sampled_from([0.0, 1.0, 4.0]), st.booleans())


def answered(job: Job, model: Model) -> Scored:
    """What a job finds when a model computes its steps, which are one sequence's."""
    held: list[int] = []
    step = next(job)
    while True:
        assert step.keep <= len(held), "it goes on from tokens that the sequence holds"
        del held[step.keep :]
        rows = [model([*held, *step.tokens[: n + 1]]) for n in range(len(step.tokens))]
        held += step.tokens
        try:
            step = job.send(rows[-step.outputs :])
        except StopIteration as stop:
            found = stop.value
            break
    assert isinstance(found, Scored)
    return found


def size(label: Sequence[int]) -> int:
    """UTF-8 length that stands for a label's."""
    return 2 * sum(label) + 1


def scores_of(found: Scored, labels: Sequence[Sequence[int]]) -> LabelScores:
    return LabelScores(
        labels=tuple(map(str, labels)),
        logprobs=found.logprobs,
        token_counts=tuple(len(label) + 1 for label in labels),
        byte_counts=tuple(map(size, labels)),
        tokens_evaluated=len(PROMPT) + found.forwarded,
        prompt_tokens=len(PROMPT),
        exact=True,
        fingerprint="",
        bounds=bounds_of(found.unfinished, len(labels)),
        unfinished=found.unfinished,
        ending=found.ending,
    )


def searched(
    labels: Sequence[Sequence[int]], model: Model, search: LabelSearch | None
) -> LabelScores:
    return scores_of(
        answered(score(PROMPT, labels, VOCABULARY, search, tuple(map(size, labels))), model), labels
    )


@given(
    labels=label_sets,
    model=models,
    tolerance=st.sampled_from([1.0, 0.1, EXACT_SHARE]),
    seed=st.integers(0, 100),
    rules=st.lists(
        st.sampled_from([ScoreRule.BATCH, ScoreRule.MEAN, ScoreRule.PER_BYTE]),
        min_size=1,
        max_size=3,
    ),
)
@settings(max_examples=150, deadline=None)
def test_the_best_label_of_each_rule_is_that_of_the_full_tree_and_each_share_within_its_bound(
    labels: list[tuple[int, ...]],
    model: Model,
    tolerance: float,
    seed: int,
    rules: list[ScoreRule],
) -> None:
    offsets = np.random.default_rng(seed).normal(0.0, 2.0, (len(rules), len(labels)))
    offsets[0] = 0.0
    corrections = tuple(tuple(row) for row in offsets.tolist())
    search = LabelSearch(corrections, tolerance, tuple(BY_LENGTH.get(rule, "") for rule in rules))
    whole, found = searched(labels, model, None), searched(labels, model, search)
    assert not whole.unfinished
    for rule, offset in zip(rules, search.corrections, strict=True):
        calibrator = Calibrator(rule, whole.labels, offset)
        exact, shares = calibrator.probabilities(whole), calibrator.probabilities(found)
        best = calibrator.best(shares)
        assert best == calibrator.best(exact)
        assert not calibrator.undecided(found, best)
        bound = calibrator.off_by(found)
        assert bound <= tolerance
        assert max(abs(shares[x] - exact[x]) for x in exact) <= bound + 1e-12


@given(labels=label_sets, model=models)
@settings(max_examples=50, deadline=None)
def test_what_is_finished_has_the_same_bits_and_what_is_not_is_bounded(
    labels: list[tuple[int, ...]], model: Model
) -> None:
    whole = searched(labels, model, None)
    found = searched(labels, model, LabelSearch(((0.0,) * len(labels),), 1.0))
    left = {i for group in found.unfinished for i in group}
    assert [x for i, x in enumerate(found.logprobs) if i not in left] == [
        x for i, x in enumerate(whole.logprobs) if i not in left
    ]
    for group in found.unfinished:
        together = math.log(math.fsum(math.exp(whole.logprobs[i]) for i in group))
        assert all(together <= found.logprobs[i] + 1e-9 for i in group)
    assert sum(map(len, found.unfinished)) == len(left), "no label is left out twice"
    assert found.tokens_evaluated <= whole.tokens_evaluated


def test_all_nodes_are_forwarded_once_where_nothing_is_left_out() -> None:
    labels = [(0, 1, 2), (0, 1, 3), (0, 1), (4, 5)]
    found = searched(labels, drawn(0, 1.0, False), None)
    assert found.tokens_evaluated == len(PROMPT) + count_nodes(build_trie(labels))


def test_a_label_behind_an_unlikely_beginning_is_not_looked_at() -> None:
    def model(tokens: Sequence[int]) -> Logits:
        return np.array([30, 0, 0, 0, 0, 0, 20], dtype=np.float32)

    labels = [(0,), (1, 2, 3), (1, 2, 4), (5, 5, 5, 5)]
    found = searched(labels, model, LabelSearch(((0.0,) * 4,), EXACT_SHARE))
    assert found.tokens_evaluated == len(PROMPT) + 1
    assert sorted(found.unfinished) == [(1, 2), (3,)]
    assert found.bounds == (False, True, True, True)


def test_a_correction_that_favours_an_unlikely_label_has_it_looked_at() -> None:
    def model(tokens: Sequence[int]) -> Logits:
        return np.array([30, 0, 0, 0, 0, 0, 20], dtype=np.float32)

    labels = [(0,), (1,), (2,)]
    found = searched(labels, model, LabelSearch(((0.0, 0.0, 0.0), (0.0, -50.0, 0.0))))
    assert found.bounds == (False, False, True)


def test_a_looser_bound_never_costs_more() -> None:
    labels = [(a, b, c) for a in range(4) for b in range(4) for c in range(3)]
    model = drawn(3, 3.0, False)
    costs = [
        searched(labels, model, LabelSearch(((0.0,) * len(labels),), tolerance)).tokens_evaluated
        for tolerance in (1e-9, 1e-6, 1e-3, 0.1, 0.9, 1.0)
    ]
    assert all(a >= b for a, b in pairwise(costs))


@pytest.mark.parametrize("corrections", [(), ((0.0,),), ((0.0, math.nan),), ((0.0, math.inf),)])
def test_corrections_that_are_not_of_the_labels_are_refused(
    corrections: tuple[tuple[float, ...], ...],
) -> None:
    with pytest.raises(InvalidRequest):
        LabelSearch(corrections).check(("a", "b"))


@pytest.mark.parametrize("other", [(0, STOP), (0,)], ids=["goes on with an end", "same tokens"])
def test_labels_that_can_both_be_answered_are_all_finished(other: tuple[int, ...]) -> None:
    def model(tokens: Sequence[int]) -> Logits:
        return np.array([30, 0, 0, 0, 0, 0, 20], dtype=np.float32)

    found = searched([(0,), other, (1, 2)], model, LabelSearch(((0.0,) * 3,)))
    assert not found.unfinished
