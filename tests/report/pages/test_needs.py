"""The table of what each cell needs, and the sentence that follows."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.evaluation.ab.needs import Needs
from gateway.evaluation.ab.outcome import Outcome
from gateway.report.pages import ab as page
from gateway.report.pages import experiment
from gateway.report.pages.needs import needs
from tests.evaluation.ab.duels import Duel, right, wrong_where
from tests.report.experiments import NEVER, SCORED, SHOWN, outcome

SMALL, BIG = "small/written", "big/written"


@pytest.fixture(scope="module")
def alike(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The big one is right, the small one wrong on one item of 120."""
    scripts = {"big": right, "small": wrong_where(lambda n: n == 5)}
    return Duel(tmp_path_factory.mktemp("alike"), scripts).run("big", "small", margin=0.1)


def told(outcome: Outcome, small: Needs, big: Needs) -> str:
    (section,) = needs(replace(outcome, needs={SMALL: small, BIG: big}))
    return " ".join(section.sentences)


def test_one_that_needs_less_and_is_as_good_is_named_with_what_both_need(alike: Outcome) -> None:
    said = told(alike, Needs("probe", 745, 40.0), Needs("adapter", 745, 2_662.0, 0, 2.3))
    assert said == (
        "With 745 labels small/written and big/written are equivalent within 0.1 in accuracy. "
        "small/written trained for 40 seconds; big/written has 745 labels and trained for 44 "
        "minutes."
    )


def test_a_reference_is_no_worse_by_the_same_rule_as_another_cell(tmp_path: Path) -> None:
    scripts = {"big": right, "small": wrong_where(lambda n: n % 30 == 0)}
    found = Duel(tmp_path, scripts).run("small", "big", margin=0.09)
    (pair,) = found.pairs
    assert pair.contest.b == SMALL
    only_below = replace(found, pairs=(replace(pair, equivalence_p=0.5, not_worse_p=0.5),))
    said = told(only_below, Needs("prompt", 0, 0.0), Needs("probe", 745, 40.0))
    assert said.startswith(
        "With 0 labels small/written is worse than big/written by less than 0.09 in accuracy, if "
        "at all."
    )


def test_where_none_needs_less_that_is_said(alike: Outcome) -> None:
    said = told(alike, Needs("adapter", 745, 99.0), Needs("prompt", 0, 0.0))
    assert said == "No other cell is known to need less than big/written, the first here."


def test_what_is_not_shown_is_not_said(tmp_path: Path) -> None:
    scripts = {"big": right, "small": wrong_where(lambda n: n % 3 == 0)}
    found = Duel(tmp_path, scripts).run("big", "small")
    said = told(found, Needs("prompt", 0, 0.0), Needs("probe", 745, 40.0))
    assert said.startswith("It is not shown that a cell that needs less than big/written is within")
    assert said.endswith("such are: small/written.")


def test_unknown_is_shown_as_unknown(alike: Outcome) -> None:
    unknown = Needs("adapter", None, None, 0, None)
    found = replace(alike, needs={SMALL: unknown, BIG: Needs("probe", 745, 8.4, 745)})
    (section,) = needs(found)
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in section.tables[0].rows}
    assert rows[SMALL][2:5] == ["unknown"] * 3
    assert rows[BIG][2:5] == ["745", "8.40 (+ 745 states kept)", "x1"]


def test_without_a_tuned_cell_a_comparison_has_the_bytes_that_it_had(
    alike: Outcome, tmp_path: Path
) -> None:
    page.write(alike, (), tmp_path)
    assert "needs" not in json.loads((tmp_path / "ab.json").read_text())
    assert "What each needs" not in (tmp_path / "ab.md").read_text()
    tuned = replace(alike, needs={SMALL: Needs("probe", 745, 8.4), BIG: Needs("prompt", 0, 0.0)})
    page.write(tuned, (), tmp_path)
    assert json.loads((tmp_path / "ab.json").read_text())["needs"][SMALL]["labels"] == 745
    assert "What each needs" in (tmp_path / "ab.md").read_text()


def test_an_experiment_has_the_table_too() -> None:
    found = outcome({SCORED: NEVER, SHOWN: frozenset({1})})
    assert not any(section.anchor == "needs" for section in experiment.sections(found))
    known = {SCORED: Needs("probe", 745, 8.4), SHOWN: Needs("few-shot", 3, 0.0)}
    told = replace(found, needs=known)
    (section,) = (each for each in experiment.sections(told) if each.anchor == "needs")
    assert [row[0].text for row in section.tables[0].rows] == [SCORED, SHOWN]
    assert any(each.anchor == "needs" for each in experiment.brief(told).sections)
