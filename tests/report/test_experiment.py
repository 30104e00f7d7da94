"""The page of an experiment: where its cells part, every class, every cell's confidence."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.evaluation.experiment.outcome import ExperimentOutcome
from gateway.evaluation.experiment.run import ExperimentResult
from gateway.report import format as fmt
from gateway.report.html import render_html
from gateway.report.pages.experiment import brief, document, write
from gateway.report.pages.experiment_classes import without_shared_parts
from gateway.report.pages.experiment_pairs import MOST_FLIPS, MOST_ROWS, flips_a_pair
from gateway.scoring.groups import ByGroup, GroupedCell
from gateway.scoring.results import Metric
from tests.report import samples
from tests.report.experiments import NEVER, SCORED, SHOWN, WRITTEN, outcome
from tests.report.test_html import Page

WRONG = {SCORED: frozenset({1}), SHOWN: frozenset({1, 2, 5}), WRITTEN: frozenset({2, 7, 9, 10})}


@pytest.fixture(scope="module")
def three() -> ExperimentOutcome:
    return outcome(WRONG)


def page_of(found: ExperimentOutcome) -> str:
    return render_html(document(found))


def listed(html: str, found: ExperimentOutcome, a: str, b: str) -> str:
    """The text of one pair's list."""
    names = [(pair.contest.a, pair.contest.b) for pair in found.pairs]
    _, _, rest = html.partition(f'id="pair-{names.index((a, b)) + 1}"')
    return rest[: rest.index("</details>")]


def test_every_item_that_exactly_one_cell_of_a_pair_gets_right_is_listed(
    three: ExperimentOutcome,
) -> None:
    html = page_of(three)
    for pair in three.pairs:
        a, b = pair.contest.a, pair.contest.b
        rows = listed(html, three, a, b)
        expected = {f"item-{i:03d}" for i in WRONG[a] ^ WRONG[b]}
        assert set(re.findall(r"item-\d+", rows)) == expected
        assert rows.count("✓") == rows.count("✗") == len(expected)


def test_what_a_cell_said_comes_with_how_sure_it_was(three: ExperimentOutcome) -> None:
    rows = listed(page_of(three), three, SHOWN, SCORED)
    texts = re.sub(r"<[^>]*>", " ", rows[rows.index("item-002") :])
    said = r"question\s+✗\s+bug\s+p 0.500, lead 0.200\s+✓\s+question\s+p 0.500, lead 0.200"
    assert re.search(said, texts)
    written = listed(page_of(three), three, WRITTEN, SCORED)
    assert written.count("lead") == 5, "of the cell without probabilities none is shown"


def test_cells_by_group_are_shown_where_there_are_groups(three: ExperimentOutcome) -> None:
    cells = tuple(GroupedCell(name, {"x": Metric(0.5)}, Metric(0.5)) for name in WRONG)
    groups = ByGroup("repo", "accuracy", {"x": ("a", "b")}, cells)
    found = replace(three, report=replace(three.report, groups=groups))
    assert "By repo" in Page(page_of(found)).text
    assert "By repo" not in Page(page_of(three)).text
    titles = [part.title for part in brief(found).sections]
    assert "By repo" in titles


def test_counts_lead_to_the_lists_and_no_id_is_there_twice(three: ExperimentOutcome) -> None:
    page = Page(page_of(three))
    ids = page.values("id")
    assert len(set(ids)) == len(ids)
    assert {target.removeprefix("#") for target in page.values("href")} <= set(ids)
    assert {f"#pair-{n}" for n in (1, 2, 3)} <= set(page.values("href"))
    assert re.search(r"0 / 2", page.text), "few_shot against zero_shot"


def test_cells_that_never_part_have_no_list() -> None:
    page = Page(page_of(outcome({SCORED: NEVER, SHOWN: NEVER})))
    assert "0 / 0" in page.text
    assert not [target for target in page.values("href") if "pair-" in target]


def test_of_very_many_flips_the_rest_is_counted() -> None:
    n = MOST_FLIPS + 37
    found = outcome({SCORED: NEVER, SHOWN: frozenset(range(n))}, n=n)
    html = page_of(found)
    assert len(set(re.findall(r"item-\d+", html))) == MOST_FLIPS
    assert "And 37 more in experiment.json." in html
    assert len(found.items) == n


def test_a_page_of_many_pairs_lists_fewer_of_each() -> None:
    assert flips_a_pair(1) == flips_a_pair(0) == MOST_FLIPS
    assert flips_a_pair(190) * 190 <= MOST_ROWS
    assert flips_a_pair(10_000) > 0


def test_untrusted_text_is_shown_as_text() -> None:
    # No file that is read as UTF-8 has a lone surrogate, and ids are put in a seeded order.
    text = " ".join(each for each in samples.HOSTILE if "\ud800" not in each) + "</style><b> 你好"
    wrong = {SCORED: NEVER, SHOWN: frozenset({0, 1})}
    made, usual = (
        outcome(wrong, n=3, text=each, labels=[f"{each} {n}" for n in "abc"])
        for each in (text, "plain")
    )
    html = page_of(made)
    html.encode("utf-8")
    page, plain = Page(html), Page(page_of(usual))
    assert page.text.count(fmt.clean(text)) > 6
    assert page.tags - Counter(wbr=99) == plain.tags - Counter(wbr=99)
    assert {name for name, _ in page.attributes} == {name for name, _ in plain.attributes}
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", html)


def test_each_label_has_a_panel_that_says_in_words_what_it_shows(
    three: ExperimentOutcome,
) -> None:
    page = Page(page_of(three))
    said = [label for label in page.values("aria-label") if label.startswith("F1 of")]
    assert [each.split(":")[0] for each in said] == [f"F1 of {x}" for x in three.report.labels]
    for each in said:
        assert all(name in each for name in (*WRONG, "baseline:majority"))
    assert f"{SCORED} 0.857 [" in said[1], "one of four features is taken for a question"


def test_each_cell_with_probabilities_has_a_diagram_and_the_others_are_named(
    three: ExperimentOutcome,
) -> None:
    page = Page(page_of(three))
    said = [label for label in page.values("aria-label") if label.startswith("Reliability of")]
    assert [each.split(",")[0] for each in said] == [f"Reliability of {x}" for x in (SCORED, SHOWN)]
    # 11 and 9 of 12 are right, all with the confidence 0.5.
    assert "ECE 0.417, 12 items: 0.50 confident, 0.92 right, 12 items" in said[0]
    assert "ECE 0.250" in said[1]
    assert f"No probabilities, so nothing to show here: {WRITTEN}, baseline:majority." in page.text
    assert page.tags["svg"] == len(three.report.labels) + len(said)


def test_the_page_loads_nothing_and_holds_no_script(three: ExperimentOutcome) -> None:
    html = page_of(three)
    page = Page(html)
    assert not page.tags.keys() & {"script", "link", "img", "iframe", "object", "base"}
    assert page.values("src") == []
    assert not re.search(r"https?:|@import|url\((?!#)", html)


def test_the_same_outcome_gives_the_same_bytes_and_markdown_has_its_numbers(
    three: ExperimentOutcome, tmp_path: Path
) -> None:
    for name in "ab":
        write(ExperimentResult(three, {}), tmp_path / name)
    for file in ("experiment.html", "experiment.md", "experiment.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    text = (tmp_path / "a/experiment.md").read_text()
    for part in ("## Where cells part", "| 0 / 2 |", "## Class by class", "No probabilities"):
        assert part in text


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["m/zero/sum", "m/few/sum"], ["zero", "few"]),
        (["m/zero/sum", "n/zero/sum"], ["m", "n"]),
        (["m/zero/sum", "m/cot"], ["zero/sum", "cot"]),
        (["m/zero/sum"], ["m/zero/sum"]),
        ([], []),
    ],
)
def test_names_leave_out_what_all_share_and_stay_different(
    names: list[str], short: list[str]
) -> None:
    assert list(without_shared_parts(names).values()) == short
