"""Facts about score rules: what they divide by, what they take away, what they never do."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from gateway.core.errors import BackendError, ConfigError
from gateway.core.types import LabelScores, bounds_of
from gateway.scoring.rules import Calibrator, ScoreRule

LABELS = ("bug", "feature", "question")
FITTED = (ScoreRule.CONTEXTUAL, ScoreRule.BATCH)

log_probability = st.one_of(
    st.floats(min_value=-60.0, max_value=0.0),
    st.sampled_from([-math.inf, -1e30, -1.7e308, -1e4, -800.0, -0.0]),
)
score_vector = st.tuples(log_probability, log_probability, log_probability)
mild = st.floats(min_value=-30.0, max_value=0.0)
mild_vector = st.tuples(mild, mild, mild)


def scored(
    logprobs: tuple[float, ...],
    labels: tuple[str, ...] = LABELS,
    tokens: tuple[int, ...] = (2, 2, 3),
) -> LabelScores:
    return LabelScores(
        labels=labels,
        logprobs=logprobs,
        token_counts=tokens,
        byte_counts=tuple(len(label.encode()) for label in labels),
        tokens_evaluated=10,
        prompt_tokens=8,
        exact=True,
        fingerprint="f",
    )


def fitted(rule: ScoreRule, *material: tuple[float, ...]) -> Calibrator:
    items = [scored(vector) for vector in material] or [scored((-1.0, -2.0, -3.0))]
    return Calibrator.fit(rule, LABELS, content_free=items, dev=items)


def test_sum_normalises_over_the_label_set() -> None:
    shares = fitted(ScoreRule.SUM).probabilities(
        scored((math.log(0.2), math.log(0.1), math.log(0.1)))
    )
    assert shares == pytest.approx({"bug": 0.5, "feature": 0.25, "question": 0.25})
    assert list(shares) == list(LABELS)


def test_mean_divides_by_the_tokens_of_each_label() -> None:
    shares = fitted(ScoreRule.MEAN).probabilities(scored((-2.0, -4.0, -3.0), tokens=(1, 2, 3)))
    assert shares["bug"] == pytest.approx(shares["feature"])
    assert shares["question"] == pytest.approx(shares["bug"] * math.e)


def test_per_byte_divides_by_the_bytes_of_each_label() -> None:
    labels = ("é", "ab")
    calibrator = Calibrator.fit(ScoreRule.PER_BYTE, labels)
    shares = calibrator.probabilities(scored((-4.0, -4.0), labels, (2, 2)))
    assert shares == {"é": 0.5, "ab": 0.5}


@given(mild_vector)
def test_contextual_gives_the_content_free_input_itself_equal_shares(
    content_free: tuple[float, ...],
) -> None:
    shares = fitted(ScoreRule.CONTEXTUAL, content_free).probabilities(scored(content_free))
    assert list(shares.values()) == pytest.approx([1 / 3] * 3)


def test_contextual_divides_by_the_mean_probability_of_the_content_free_inputs() -> None:
    content_free = [
        tuple(math.log(p) for p in shares) for shares in ((0.6, 0.2, 0.2), (0.2, 0.6, 0.2))
    ]
    item = scored((math.log(0.4), math.log(0.4), math.log(0.2)))
    shares = fitted(ScoreRule.CONTEXTUAL, *content_free).probabilities(item)
    assert list(shares.values()) == pytest.approx([1 / 3] * 3)


def test_batch_divides_by_the_mean_probability_of_the_dev_items() -> None:
    """As Zhou et al. 2023 define it; the mean of log-probabilities would give other shares."""
    dev = [tuple(math.log(p) for p in shares) for shares in ((0.8, 0.1, 0.1), (0.2, 0.3, 0.5))]
    item = scored((math.log(0.5), math.log(0.2), math.log(0.3)))
    shares = fitted(ScoreRule.BATCH, *dev).probabilities(item)
    assert list(shares.values()) == pytest.approx([1 / 3] * 3)


@given(mild_vector, mild_vector)
def test_batch_of_one_item_removes_any_bias_that_it_shares(
    dev: tuple[float, ...], bias: tuple[float, ...]
) -> None:
    def biased(vector: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(value + extra for value, extra in zip(vector, bias, strict=True))

    moved = fitted(ScoreRule.BATCH, biased(dev)).probabilities(scored(biased(dev)))
    assert list(moved.values()) == pytest.approx([1 / 3] * 3)


@given(st.sampled_from(ScoreRule), st.lists(score_vector, min_size=1, max_size=4), score_vector)
def test_any_log_probability_gives_a_distribution(
    rule: ScoreRule, material: list[tuple[float, ...]], item: tuple[float, ...]
) -> None:
    shares = fitted(rule, *material).probabilities(scored(item))
    assert math.fsum(shares.values()) == pytest.approx(1.0)
    assert all(0.0 <= share <= 1.0 for share in shares.values())


@pytest.mark.parametrize("rule", ScoreRule)
def test_an_impossible_label_has_probability_zero(rule: ScoreRule) -> None:
    shares = fitted(rule).probabilities(scored((-1.0, -math.inf, -2.0)))
    assert shares["feature"] == 0.0


@pytest.mark.parametrize("rule", FITTED)
def test_a_label_that_the_fitting_material_rules_out_is_not_lifted(rule: ScoreRule) -> None:
    calibrator = fitted(rule, (-1.0, -math.inf, -1.0))
    assert calibrator.best(calibrator.probabilities(scored((-1.0, -5.0, -1.5)))) == "bug"


def test_one_dev_item_that_rules_a_label_out_does_not_decide_the_others() -> None:
    usual = [(-1.0, -1.0, -1.0)] * 9
    with_outlier = fitted(ScoreRule.BATCH, *usual, (-1.0, -math.inf, -1.0))
    shares = with_outlier.probabilities(scored((-1.0, -4.0, -2.0)))
    assert with_outlier.best(shares) == "bug"


@pytest.mark.parametrize("rule", ScoreRule)
def test_scores_without_any_possible_label_are_uniform(rule: ScoreRule) -> None:
    shares = Calibrator(rule, LABELS, (0.0, 0.0, 0.0)).probabilities(scored((-math.inf,) * 3))
    assert list(shares.values()) == pytest.approx([1 / 3] * 3)


def test_a_tie_goes_to_the_first_label_in_label_order() -> None:
    calibrator = fitted(ScoreRule.SUM)
    shares = calibrator.probabilities(scored((-3.0, -1.0, -1.0)))
    assert calibrator.best(shares) == "feature"
    assert calibrator.best(dict(reversed(shares.items()))) == "feature"


@pytest.mark.parametrize(("rule", "needed"), [("contextual", "content-free"), ("batch", "dev")])
def test_a_rule_without_its_material_is_refused_with_a_hint(rule: str, needed: str) -> None:
    with pytest.raises(ConfigError, match=needed) as caught:
        Calibrator.fit(ScoreRule(rule), LABELS)
    assert "sum" in caught.value.hint


def test_scores_of_other_labels_are_refused() -> None:
    other = scored((-1.0, -2.0, -3.0), ("bug", "question", "feature"))
    with pytest.raises(ConfigError, match="expected"):
        fitted(ScoreRule.SUM).probabilities(other)
    with pytest.raises(ConfigError, match="expected"):
        Calibrator.fit(ScoreRule.BATCH, LABELS, dev=[other])


@pytest.mark.parametrize("labels", [(), ("bug", "bug")])
def test_an_unusable_label_set_is_refused(labels: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="label set"):
        Calibrator.fit(ScoreRule.SUM, labels)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_score_that_is_no_log_probability_is_the_backends_fault(value: float) -> None:
    with pytest.raises(BackendError, match="log-probability"):
        fitted(ScoreRule.SUM).probabilities(scored((-1.0, value, -1.0)))


def test_a_label_without_bytes_can_not_be_scored_per_byte() -> None:
    with pytest.raises(ConfigError, match="0 bytes"):
        Calibrator.fit(ScoreRule.PER_BYTE, ("", "a")).probabilities(
            scored((-1.0, -1.0), ("", "a"), (1, 2))
        )


@pytest.mark.parametrize(
    ("bounds", "decided"),
    [((), True), ((False, True, True), True), ((True, False, False), False)],
)
def test_a_label_of_which_only_a_bound_is_known_can_lose_but_not_win(
    bounds: tuple[bool, ...], decided: bool
) -> None:
    rule = fitted(ScoreRule.SUM)
    scores = replace(scored((-1.0, -3.0, -4.0)), bounds=bounds, exact=not any(bounds))
    best = rule.best(rule.probabilities(scores))
    assert best == "bug"
    assert (rule.undecided(scores, best) == "") is decided


@given(st.lists(st.floats(-300, 0) | st.just(-math.inf), min_size=2, max_size=9))
def test_normalised_scores_are_scipy_s_log_softmax_to_the_last_bit(logprobs: list[float]) -> None:
    logprobs.append(0.0)
    labels = tuple(f"label {number}" for number in range(len(logprobs)))
    by_sum = Calibrator.fit(ScoreRule.SUM, labels)
    found = by_sum.probabilities(scored(tuple(logprobs), labels, (2,) * len(labels)))
    once = log_softmax(np.asarray(logprobs))
    assert list(found.values()) == np.exp(log_softmax(once)).tolist()


@given(st.lists(st.lists(st.floats(-80, 0), min_size=9, max_size=9), min_size=1, max_size=12))
def test_items_read_together_are_read_as_each_alone_to_the_last_bit(
    rows: list[list[float]],
) -> None:
    labels = tuple("abcdefghi")
    items = [scored(tuple(row), labels, (1,) * 9) for row in rows]
    rule = Calibrator.fit(ScoreRule.BATCH, labels, dev=items)
    assert rule.all_probabilities(items) == [rule.probabilities(item) for item in items]


def unfinished(*groups: tuple[int, ...], ending: float = 0.0) -> LabelScores:
    """Scores of which some are what a beginning has."""
    bounds = bounds_of(groups, 3)
    scores = replace(scored((-1.0, -3.0, -3.0)), bounds=bounds, unfinished=groups, exact=False)
    return replace(scores, ending=ending)


def test_labels_with_one_unfinished_beginning_share_its_probability() -> None:
    rule = fitted(ScoreRule.SUM)
    scores = unfinished((1, 2))
    shares = rule.probabilities(scores)
    assert shares["feature"] == shares["question"]
    assert shares["feature"] + shares["question"] == pytest.approx(rule.off_by(scores))
    assert rule.off_by(scores) == pytest.approx(math.exp(-3) / (math.exp(-1) + math.exp(-3)))


def test_an_unfinished_label_is_taken_to_end_as_the_finished_ones_do() -> None:
    rule = fitted(ScoreRule.SUM)
    certain, likely = unfinished((1, 2)), unfinished((1, 2), ending=-2.0)
    assert rule.probabilities(likely)["bug"] > rule.probabilities(certain)["bug"]
    assert rule.off_by(likely) == rule.off_by(certain), "what is proven does not rest on it"


def test_what_is_finished_is_off_by_nothing() -> None:
    assert fitted(ScoreRule.SUM).off_by(scored((-1.0, -3.0, -4.0))) == 0.0


def test_labels_that_were_left_by_one_rule_may_be_best_by_another() -> None:
    scores = unfinished((1,), (2,))
    plain = fitted(ScoreRule.SUM)
    assert plain.undecided(scores, "bug") == ""
    other = replace(plain, offset=(2.5, 0.0, 0.0))
    assert 'label_search = "full"' in other.undecided(scores, "bug")


@pytest.mark.parametrize("rule", [ScoreRule.MEAN, ScoreRule.PER_BYTE])
def test_by_length_each_unfinished_label_may_have_all_of_its_beginning(rule: ScoreRule) -> None:
    scores = replace(unfinished((1, 2)), token_counts=(1, 2, 3), byte_counts=(1, 2, 3))
    rest = math.exp(-3 / 2) + math.exp(-3 / 3)
    assert fitted(rule).off_by(scores) == pytest.approx(rest / (math.exp(-1) + rest))
    assert fitted(rule).undecided(scores, "bug"), "the third may be as good by its length"
    longer = replace(scores, token_counts=(4, 2, 3), byte_counts=(4, 2, 3))
    assert fitted(rule).undecided(longer, "bug") == ""
