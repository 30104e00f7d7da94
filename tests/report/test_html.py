"""The report as one HTML file: whole, quiet, safe, and the same every time."""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from gateway.evaluation.saved import load_report
from gateway.report import format as fmt
from gateway.report.html import render_html as rendered
from gateway.report.json import render_json
from gateway.report.pages import run
from gateway.report.sentences import summary_sentences
from gateway.report.view import TESTED
from gateway.scoring.report import Report
from tests.conftest import ROOT
from tests.report import samples

VOID = {"meta", "wbr", "path", "use"}


def render_html(report: Report) -> str:
    return rendered(run.document(report))


class Page(HTMLParser):
    """Tags, attributes, ids and text of a page; fails on a tag that closes another."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.attributes if key == name]


@pytest.mark.parametrize("sample", samples.ALL, ids=lambda f: f.__name__)
def test_tags_are_balanced_ids_unique_and_links_lead_somewhere(
    sample: Callable[[], Report],
) -> None:
    html = render_html(sample())
    page = Page(html)
    ids = page.values("id")
    assert len(set(ids)) == len(ids)
    targets = page.values("href") + page.values("xlink:href")
    targets += [f"#{found}" for found in re.findall(r"url\(#([^)]*)\)", html)]
    assert targets
    assert {target.removeprefix("#") for target in targets} <= set(ids)
    assert set(page.values("aria-labelledby")) <= set(ids)


@pytest.mark.parametrize("sample", samples.ALL, ids=lambda f: f.__name__)
def test_the_page_loads_nothing(sample: Callable[[], Report]) -> None:
    html = render_html(sample())
    page = Page(html)
    assert not page.tags.keys() & {"script", "link", "img", "iframe", "object", "base"}
    assert page.values("src") == []
    assert all(target.startswith("#") for target in page.values("href"))
    assert not re.search(r"https?:|@import|url\((?!#)", html)


@pytest.mark.parametrize("text", [*samples.HOSTILE, "</style><b>", "&amp;", "你好 👍🏽"])
def test_untrusted_text_is_shown_as_text(text: str) -> None:
    html = render_html(samples.hostile(text))
    html.encode("utf-8")
    page, usual = Page(html), Page(render_html(samples.hostile("plain")))
    assert fmt.clean(text) in page.text
    # A long name may break after a slash.
    assert page.tags - Counter(wbr=99) == usual.tags - Counter(wbr=99)
    assert {name for name, _ in page.attributes} == {name for name, _ in usual.attributes}
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", html)


def test_a_name_that_looks_like_a_colour_of_the_plots_stays_a_name() -> None:
    name = 'fill: #040404 "> x'
    cell = replace(samples.number().cells[0], name=name)
    page = Page(render_html(replace(samples.number(), cells=(cell,), conclusion=None)))
    # In the results, in the plot, and above its details.
    assert page.text.count(name) == 3


def test_rendering_twice_gives_the_same_bytes() -> None:
    assert render_html(samples.classification()) == render_html(samples.classification())


def test_a_report_from_its_json_renders_to_the_same_bytes() -> None:
    report = samples.classification()
    assert render_html(load_report(render_json(report))) == render_html(report)


def test_another_process_with_another_hash_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from gateway.report.pages.run import write;"
        "from tests.report import samples; r = samples.classification();"
        "write(r, samples.timings(r), Path(sys.argv[1]))"
    )
    (tmp_path / "matplotlibrc").write_text("axes.linewidth: 5\nsvg.fonttype: path\n")
    written = []
    for seed, rc in (("1", ""), ("2", str(tmp_path))):
        out = tmp_path / seed
        settings = {"PYTHONHASHSEED": seed} | ({"MATPLOTLIBRC": rc} if rc else {})
        subprocess.run(
            [sys.executable, "-W", "error", "-c", code, str(out)],
            cwd=ROOT,
            env={**os.environ, **settings},
            check=True,
        )
        written.append({file.name: file.read_bytes() for file in out.iterdir()})
    assert len(written[0]) == 5
    assert written[0] == written[1]
    assert written[0]["report.html"].decode() == render_html(samples.classification())


def test_a_classification_report_has_all_its_parts() -> None:
    report = samples.classification()
    page = Page(render_html(report))
    for sentence in (*summary_sentences(report), *report.warnings):
        assert sentence in page.text
    assert page.tags["svg"] == 1 + sum(bool(cell.reliability) for cell in report.cells)
    assert page.tags["caption"] >= 2 * len(report.cells)
    for part in (
        TESTED,
        "6 unparsed, 2 truncated, 1 failed",
        "timings are in timings.md",
        "Some log-probabilities of this cell are bounds",
        report.settings["data digest"],
    ):
        assert part in page.text


def test_right_and_wrong_answers_are_told_apart_without_colour() -> None:
    text = Page(render_html(samples.classification())).text
    assert re.search(r"✓\s*bug", text)
    assert re.search(r"✗\s*question", text)
    assert not re.search(r"✓\s*question", text)
    assert re.search(r"✗\s*\[unparsed\]", text)


def test_numbers_have_no_classes_to_show() -> None:
    page = Page(render_html(samples.number()))
    assert "lower is better" in page.text
    assert page.tags["svg"] == 1
    for absent in ("Scores per class", "Confusion", "Reliability"):
        assert absent not in page.text


def test_a_large_confusion_matrix_becomes_a_list_of_the_commonest() -> None:
    page = Page(render_html(samples.many_labels()))
    assert "The commonest confusions of 77 labels" in page.text
    assert page.tags["td"] < 77 * 78


def test_an_absent_metric_is_a_dash_and_no_plot_is_drawn_of_nothing() -> None:
    page = Page(render_html(samples.unanswered()))
    assert "none of them has answered an item" in page.text
    assert re.search(r"contextual\s*2 truncated, 10 failed\s*–", page.text)
    assert page.tags["svg"] == 0


def test_of_very_many_flips_the_rest_is_counted() -> None:
    report = samples.classification()
    flips = [replace(report.disagreements[0], item_id=f"issue-{i:04d}") for i in range(270)]
    first = replace(report.comparisons[0], flips=tuple(flip.item_id for flip in flips))
    many = replace(report, comparisons=(first,), disagreements=tuple(flips))
    text = Page(render_html(many)).text
    assert "270 items right in exactly one" in text
    assert "70 more are in report.json" in text
