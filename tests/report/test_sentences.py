"""Facts about what a person is told of the statistics."""

from dataclasses import replace

from gateway.report.sentences import (
    baseline_sentence,
    contest_sentences,
    equivalence_sentence,
    fidelity_sentences,
    mcnemar_sentence,
    needed_sentence,
    permutation_sentence,
    power_sentence,
    recommendation_paragraph,
    sequential_sentence,
    summary_sentences,
)
from gateway.scoring.claims import Correction
from gateway.scoring.contest import Comparison, all_pairs
from gateway.scoring.flips import kept_answers
from gateway.scoring.frontier import Candidate, recommend
from gateway.scoring.mcnemar import McNemar
from gateway.scoring.permutation import Permutation
from gateway.scoring.power import Power, items_needed, smallest_difference
from gateway.scoring.results import AgainstBaseline, Metric, Prediction, Verdict
from tests.report import samples
from tests.scoring.cells import LABELS, Rows, cell, two_cells

FAR: Rows = [(LABELS[i % 3], LABELS[i % 3], LABELS[(i + (i < 60)) % 3]) for i in range(150)]
"""b is wrong on the first 60 of 150 items, a on none."""
NEAR: Rows = [
    (LABELS[i % 3], LABELS[(i + (i < 10)) % 3], LABELS[(i + (10 <= i < 19)) % 3])
    for i in range(150)
]
"""Each is wrong on about ten items, on which the other is right."""
ALIKE: Rows = [(LABELS[i % 3], LABELS[i % 3], LABELS[(i + (i < 2)) % 3]) for i in range(150)]
"""b is wrong on 2 items."""


def held(drawn: Rows, metric: str = "macro_f1") -> Comparison:
    a, b = two_cells(drawn)
    (found,) = all_pairs(
        [b, a], task_kind="classification", labels=LABELS, metric=metric, margin=0.05
    )
    return found


def named(
    a: str,
    b: str,
    right_a: list[bool],
    right_b: list[bool],
    margin: float,
    planned: int | None = None,
) -> Comparison:
    """Two cells on accuracy; where `right_b` ends, b answers as a."""
    rights_b = right_b + right_a[len(right_b) :]
    golds = ["bug"] * len(right_a)
    cells = [
        cell(name, golds, ["bug" if right else "feature" for right in rights])
        for name, rights in ((b, rights_b), (a, right_a))
    ]
    (found,) = all_pairs(
        cells,
        task_kind="classification",
        labels=LABELS,
        metric="accuracy",
        margin=margin,
        planned=planned,
    )
    return found


def numbers(a: list[Prediction], b: list[Prediction], margin: float | None = None) -> Comparison:
    (found,) = all_pairs([b, a], task_kind="number", labels=(), metric="mae", margin=margin)
    return found


def test_a_winner_is_named_and_no_word_is_said_of_what_could_have_been_found() -> None:
    said = " ".join(contest_sentences(held(FAR)))
    assert "macro-F1 of a less that of b: +0.4" in said
    assert "a is better (p < 0.001)." in said
    assert "right answers would have decided the same after" in said
    assert "items saved" in said
    assert "times in 100" not in said


def test_cells_not_told_apart_come_with_the_smallest_difference_that_was_to_be_found() -> None:
    said = " ".join(contest_sentences(held(NEAR)))
    assert "not told apart" in said
    assert "or more is found 80 times in 100" in said
    assert "It is not shown that a is worse than b by less than 0.05 in macro-F1" in said
    assert "one by one" not in said


def test_few_differing_items_are_said_instead_of_a_p_value() -> None:
    said = contest_sentences(held(ALIKE))
    text = " ".join(said)
    assert "too few items to tell them apart (only 2 items decide, and fewer than 6" in said[0]
    assert "only 2 items are decided differently" in said[1]
    assert "fewer than 6 cannot reach p < 0.05" in said[2]
    assert "which stands in for macro-F1: too few items differ to resample" in said[3]
    assert "too few items tell the cells apart" in text
    assert "p = " in said[3]
    assert "(exact McNemar p = 0.500, mid-p 0.250)" in said[2]
    assert "p = " not in " ".join(said[:2])


def test_errors_on_few_items_are_no_claim() -> None:
    golds = [1.0] * 40
    a, b = cell("a", golds, [1.0] * 40), cell("b", golds, [3.0] + [1.0] * 39)
    result = numbers(a, b, 0.5)
    said = " ".join(contest_sentences(result))
    assert "cannot be said: they differ on 1 item, too few to resample" in said


def test_items_that_one_cell_did_not_answer_are_said() -> None:
    golds = [1.0] * 40
    a = cell("a", golds, [2.0] * 38 + [None] * 2)
    b = cell("b", golds, [float(i % 4) for i in range(40)])
    result = numbers(a, b)
    assert "on the 38 items of 40 that both answered" in contest_sentences(result)[0]


def test_where_less_is_better_the_smaller_error_wins() -> None:
    golds = [1.0] * 40
    a, b = cell("a", golds, [2.0] * 40), cell("b", golds, [4.0, 5.0] * 20)
    result = numbers(a, b)
    assert ": a is better (p < 0.001)." in contest_sentences(result)[0]


def test_each_claim_at_a_margin_has_its_own_words() -> None:
    def said(only_a: int, only_b: int, margin: float) -> str:
        answers = [True] * only_a + [False] * only_b + [True] * (300 - only_a - only_b)
        pair = named("Q4", "Q8", answers, [not x for x in answers[: only_a + only_b]], margin)
        assert pair.contest.equivalence is not None
        return equivalence_sentence(pair, pair.contest.equivalence)

    assert said(5, 5, 0.05).startswith(
        "Q4 and Q8 are equivalent within 0.05 in accuracy (p < 0.001"
    )
    assert said(40, 5, 0.02).startswith(
        "Q4 is worse than Q8 by less than 0.02 in accuracy, if at all"
    )
    assert said(10, 12, 0.01).startswith(
        "It is not shown that Q4 is worse than Q8 by less than 0.01"
    )
    assert "90% interval [-0.0" in said(10, 12, 0.01)


def test_a_test_is_said_with_what_it_rests_on() -> None:
    assert mcnemar_sentence(McNemar(200, 30, 10, 60, 0.0022), "a", "b") == (
        "Right in a alone: 30 of 300 items, in b alone: 10; exact McNemar p = 0.002, mid-p 0.001."
    )
    sampled = Permutation(0.1, 40, 10_000, False, 0.0123)
    assert permutation_sentence(sampled) == (
        "Permutation test of these two alone: p = 0.012 (a sample of 10,000 ways to swap 40 items)."
    )
    assert "(all 128 ways to swap 7 items)" in permutation_sentence(
        Permutation(0.1, 7, 128, True, 0.5)
    )


def test_power_is_said_with_the_share_it_was_taken_from() -> None:
    said = power_sentence(smallest_difference(300, 0.15), "accuracy")
    assert (
        "With 300 items a difference in accuracy of 0.064 or more is found 80 times in 100" in said
    )
    assert "15.0% of items that are right in one cell alone here, taken for the true share" in said
    assert "spread of the resampled differences" in power_sentence(
        Power(300, 0.05, None), "macro_f1"
    )


def test_how_many_items_are_needed_is_said_or_that_none_are_enough() -> None:
    assert needed_sentence(items_needed(0.1, 0.3), 0.1, "accuracy") == (
        "To find a difference in accuracy of 0.1 takes about 249 items."
    )
    assert "cannot be found" in needed_sentence(items_needed(0.4, 0.3), 0.4, "accuracy")


def test_an_early_decision_is_said_with_the_interval_that_holds_at_every_look() -> None:
    def sentence(n: int) -> str:
        pair = named("a", "b", [True] * n, [], 0.05, planned=n)
        assert pair.contest.sequential is not None
        return sequential_sentence(pair, pair.contest.sequential)

    said = sentence(300)
    assert said.startswith(
        "Looked at one by one: equivalent within 0.05 (at every look, 1 comparison together) after "
    )
    assert "95% interval at every look [-0.0" in said
    assert "items saved" in said
    assert "undecided (at every look, 1 comparison together) after 9 of 9 items (" in sentence(9)


def test_a_cell_that_differs_nowhere_is_said_in_one_sentence() -> None:
    a, b = two_cells([("bug", "bug", "bug")] * 3)
    (said,) = fidelity_sentences(kept_answers(a, b, task_kind="classification", labels=LABELS))
    assert said == (
        "b does not differ from a: no answer; probabilities of labels were not compared, because "
        "not both have them."
    )
    shares = {"bug": 0.8, "feature": 0.1, "question": 0.1}
    a, b = ([replace(item, probabilities=shares) for item in cell] for cell in (a, b))
    (said,) = fidelity_sentences(kept_answers(a, b, task_kind="classification", labels=LABELS))
    assert said == "b does not differ from a: no answer, and no probability of a label by any bit."


def test_fidelity_is_said_with_flips_probabilities_and_the_class_that_suffers() -> None:
    a, b = two_cells(FAR)
    sure, less = (
        {"bug": 0.8, "feature": 0.1, "question": 0.1},
        {"bug": 0.6, "feature": 0.4, "question": 0.0},
    )
    a = [replace(item, probabilities=sure) for item in a]
    b = [replace(item, probabilities=less, exact=False) for item in b[:-1]] + b[-1:]
    said = fidelity_sentences(kept_answers(a, b, task_kind="classification", labels=LABELS))
    assert said[0] == (
        "b answers 60 of 150 items otherwise than a: 60 from right to wrong, 0 from wrong to "
        "right, 0 from wrong to wrong."
    )
    assert "infinite on 149 items" in said[1]
    assert "lead of the best label -1.674 nats from 2.079" in said[1]
    assert "Not counted: 1 item without them." in said[1]
    assert "bounds, not exact" in said[1]
    assert said[2].startswith(
        "The class that suffers most is bug: recall -0.400 (20 lost and 0 won"
    )


def test_a_recommendation_names_the_rule_the_price_and_what_speaks_against_the_rest() -> None:
    said = recommendation_paragraph(
        recommend(
            [
                Candidate("F16", 0.71, 270_000_000, tokens_per_s=100.0, seconds_per_correct=2.0),
                Candidate(
                    "Q8_0", 0.705, 145_000_000, None, 150.0, 1.5, Metric(-0.005, -0.015, 0.01)
                ),
                Candidate("Q4_0", 0.69, 90_000_000, difference=Metric(-0.02, -0.06, 0.02)),
                Candidate("Q2_K", 0.4, 60_000_000, difference=Metric(-0.31, -0.4, -0.2)),
                Candidate("remote", 0.7, None, difference=Metric(-0.01, -0.015, 0.01)),
            ],
            metric="macro_f1",
            margin=0.02,
        )
    )
    assert said == (
        "Take Q8_0 (145 MB): the smallest cell whose macro-F1 is shown to be not worse than that "
        "of the first by more than 0.02 (95%, all pairs together). Its macro-F1 is 0.705, -0.005 "
        "[-0.015, +0.010] to the first, F16 with 0.710 (270 MB). That is 54% of its size, 1.50 "
        "times its tokens a second, 0.75 times its seconds per right answer. Shown to be below by "
        "more than that: Q2_K. Too few items to tell for: Q4_0. Of unknown size, so not "
        "considered: remote. The first was picked on these very items, which flatters it."
    )


def test_the_best_itself_is_recommended_as_such() -> None:
    only = recommend([Candidate("F16", 0.71, 270_000_000)], metric="macro_f1", margin=0.02)
    said = recommendation_paragraph(only)
    assert said.endswith("It is the first itself, with 0.710.")


def test_each_verdict_against_a_baseline_has_its_own_words() -> None:
    def said(verdict: Verdict, difference: Metric | None = None, n: int = 150) -> str:
        return baseline_sentence(
            AgainstBaseline(
                "words",
                "mae",
                verdict,
                difference,
                n,
                150,
                "why",
                p_value=0.012,
                deciding=4,
                correction=Correction.MAX_T.value,
                family=12,
            )
        )

    gain = Metric(-0.5, -0.61, -0.4)
    figures = "MAE differs by -0.500 [-0.610, -0.400]"
    sure = "(p = 0.012, corrected for 12 comparisons by max-T)"
    assert said(Verdict.BETTER, gain) == f"Beats words: {figures} {sure}."
    assert said(Verdict.WORSE, gain) == f"Does not beat words, it is worse: {figures} {sure}."
    few = "but only 4 items decide, and fewer than 6 cannot reach p < 0.05."
    assert said(Verdict.TOO_FEW, gain).endswith(few)
    doubt = said(Verdict.NOT_TOLD_APART, gain, 140)
    assert doubt.startswith(f"Not said to beat words: {figures} on the 140 items that both")
    assert doubt.endswith(f", not told apart {sure}.")
    assert said(Verdict.NOT_COMPARED) == "Not said to beat words: why."


def test_a_summary_says_what_leads_what_does_not_and_what_follows() -> None:
    report = samples.classification()
    best, lead, *verdicts, beaten, follows = summary_sentences(report)
    assert best.startswith("First here: smollm2-135m/few_shot/contextual, macro-F1 0.710 (95%")
    assert lead == (
        "Its lead is shown over 3 of 4 other cells (at 5%, 20 comparisons together by max-T); too "
        "few items to tell it apart from: smollm2-135m/few_shot/sum."
    )
    assert [each.split(": ")[1].split()[0] for each in verdicts] == ["Beats", "Not"]
    assert beaten == "Cells that do not beat every baseline: 5 of 5."
    assert follows.startswith("What follows: 150 items do not show that")
    assert summary_sentences(replace(report, conclusion=None)) == ()
    (nothing,) = summary_sentences(samples.unanswered())
    assert nothing == "No cell is best: none of them has answered an item."
