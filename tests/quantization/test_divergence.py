"""Perplexity and divergence against scipy, numpy and the sums of llama.cpp's tool."""

import math

import numpy as np
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from scipy.special import log_softmax as scipy_log_softmax
from scipy.special import rel_entr

from gateway.quantization.divergence import QUANTILES, Tokens, divergence, kl_divergence
from gateway.quantization.perplexity import Floats, log_softmax, mean_of, perplexity

VOCABULARY = 40


def predictions(count: int, seed: int) -> tuple[Floats, Floats, list[int]]:
    """Log-probabilities of a reference and of a model near it, and true tokens."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(0, 3, (count, VOCABULARY)).astype(np.float32)
    near = logits + draw.normal(0, 0.3, logits.shape).astype(np.float32)
    true = draw.integers(0, VOCABULARY, count).tolist()
    made = [np.array([log_softmax(row) for row in rows]) for rows in (logits, near)]
    return made[0], made[1], true


def tokens_of(reference: Floats, model: Floats, true: list[int]) -> Tokens:
    tokens = Tokens()
    for known, found, token in zip(reference, model, true, strict=True):
        tokens.add(known, found, token)
    return tokens


def tool_s_error(total: float, squares: float, count: int) -> float:
    """`mean_and_uncertainty` of llama.cpp's perplexity.cpp."""
    mean = total / count
    return math.sqrt((squares / count - mean * mean) / (count - 1))


def test_log_softmax_is_scipy_s() -> None:
    logits = np.random.default_rng(0).normal(0, 20, 1000).astype(np.float32)
    np.testing.assert_allclose(
        log_softmax(logits), scipy_log_softmax(logits.astype(np.float64)), atol=1e-12
    )


def test_perplexity_of_a_guess_among_n_is_n_without_an_error() -> None:
    found = perplexity([math.log(50)] * 30)
    assert found.value == pytest.approx(50)
    assert found.error == pytest.approx(0, abs=1e-6)


def test_perplexity_and_its_error_are_those_of_the_tool() -> None:
    losses = np.random.default_rng(0).exponential(2, 300)
    found = perplexity(losses)
    error = tool_s_error(losses.sum(), (losses**2).sum(), 300)
    assert found.value == pytest.approx(math.exp(losses.mean()))
    assert found.error == pytest.approx(found.value * error)


def test_of_one_token_there_is_no_error_and_of_none_no_mean() -> None:
    assert mean_of([2.0]).value == 2.0
    assert math.isnan(mean_of([2.0]).error)
    assert math.isnan(mean_of([]).value)


def test_kl_divergence_is_scipy_s() -> None:
    reference, model, _ = predictions(50, 1)
    for known, found in zip(reference, model, strict=True):
        expected = rel_entr(np.exp(known), np.exp(found)).sum()
        assert kl_divergence(known, found) == pytest.approx(expected, rel=1e-9)


def test_what_the_reference_holds_impossible_adds_nothing() -> None:
    known = np.log(np.array([0.5, 0.5, 1.0])) + np.array([0, 0, -np.inf])
    found = np.log(np.array([0.25, 0.25, 0.5]))
    assert kl_divergence(known, found) == pytest.approx(math.log(2))


def test_every_figure_follows_its_definition() -> None:
    reference, model, true = predictions(400, 2)
    found = divergence(tokens_of(reference, model, true))
    count = np.arange(400)
    known, loss = -reference[count, true], -model[count, true]
    kl = np.array(
        [rel_entr(np.exp(a), np.exp(b)).sum() for a, b in zip(reference, model, strict=True)]
    )
    change = np.exp(-loss) - np.exp(-known)
    assert found.tokens == 400
    assert found.kl.value == pytest.approx(kl.mean())
    assert found.kl.error == pytest.approx(tool_s_error(kl.sum(), (kl**2).sum(), 400))
    assert [found.kls[q] for q in QUANTILES] == pytest.approx(np.quantile(kl, QUANTILES).tolist())
    assert found.same_top.value == (reference.argmax(1) == model.argmax(1)).mean()
    share = found.same_top.value
    assert found.same_top.error == pytest.approx(math.sqrt(share * (1 - share) / 399))
    rms = math.sqrt((change**2).mean())
    error = tool_s_error((change**2).sum(), (change**4).sum(), 400)
    assert found.rms_change.value == pytest.approx(rms)
    assert found.rms_change.error == pytest.approx(0.5 / rms * error)
    assert found.change.value == pytest.approx(change.mean())
    assert found.changes[0.5] == pytest.approx(np.median(change))


def test_ratio_and_difference_have_the_tool_s_errors() -> None:
    """Which come from the covariance of both losses; the pairs make them small."""
    reference, model, true = predictions(400, 3)
    found = divergence(tokens_of(reference, model, true))
    count = np.arange(400)
    a, b = -model[count, true], -reference[count, true]
    error_a, error_b = (tool_s_error(x.sum(), (x**2).sum(), 400) for x in (a, b))
    covariance = ((a * b).mean() - a.mean() * b.mean()) / 399
    ratio_error = math.sqrt(error_a**2 + error_b**2 - 2 * covariance)
    ratio = math.exp(a.mean() - b.mean())
    assert found.log_ratio.value == pytest.approx(a.mean() - b.mean())
    assert found.log_ratio.error == pytest.approx(ratio_error)
    assert found.ratio.value == pytest.approx(ratio)
    assert found.ratio.error == pytest.approx(ratio * ratio_error)
    assert found.correlation == pytest.approx(covariance / (error_a * error_b))
    ppl, base = math.exp(a.mean()), math.exp(b.mean())
    difference_error = math.sqrt(
        (ppl * error_a) ** 2 + (base * error_b) ** 2 - 2 * ppl * base * covariance
    )
    assert found.difference.value == pytest.approx(ppl - base)
    assert found.difference.error == pytest.approx(difference_error)


def test_a_model_beside_itself_has_no_divergence_at_all() -> None:
    reference, _, true = predictions(30, 4)
    found = divergence(tokens_of(reference, reference, true))
    assert (found.kl.value, found.kls[1.0], found.rms_change.value) == (0.0, 0.0, 0.0)
    assert (found.same_top.value, found.ratio.value, found.difference.value) == (1.0, 1.0, 0.0)
    assert found.difference.error == 0.0


rows = st.lists(st.floats(-30, 30, width=32), min_size=5, max_size=5)


@for_all(rows, rows)
def test_kl_divergence_is_never_negative_and_zero_of_itself(a: list[float], b: list[float]) -> None:
    known, found = (log_softmax(np.array(row, np.float32)) for row in (a, b))
    assert kl_divergence(known, found) >= -1e-12
    assert kl_divergence(known, known) == 0.0
