"""The report as Markdown."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.report.markdown import escape
from gateway.report.markdown import render_markdown as rendered
from gateway.report.pages import run
from gateway.report.pages import timings as seconds
from gateway.scoring.report import Report
from tests.report import samples


def render_markdown(report: Report) -> str:
    return rendered(run.document(report))


def tables(text: str) -> list[list[str]]:
    """The lines of each table."""
    blocks = [block.splitlines() for block in text.split("\n\n")]
    return [block for block in blocks if block[0].startswith("|")]


def columns(line: str) -> int:
    """Columns of a table row: bars that no backslash takes their meaning from, less one."""
    return len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) - 1


def assert_tables_are_whole(text: str) -> None:
    for table in tables(text):
        assert len({columns(line) for line in table}) == 1, table


@pytest.mark.parametrize("sample", samples.ALL, ids=lambda f: f.__name__)
def test_every_row_of_a_table_has_the_columns_of_its_header(sample: Callable[[], Report]) -> None:
    assert_tables_are_whole(render_markdown(sample()))


@pytest.mark.parametrize("text", [*samples.HOSTILE, "a\\|b", "\\", "1. x", "# x", "- x", "&lt;"])
def test_untrusted_text_breaks_no_table_and_becomes_no_markup(text: str) -> None:
    shown = render_markdown(samples.hostile(text))
    shown.encode("utf-8")
    assert_tables_are_whole(shown)
    assert escape(text) in shown
    assert not re.findall(r"<[^>]*>", shown)
    assert "\x1b" not in shown


@given(st.text(st.characters()))
def test_escaped_text_is_one_line_without_live_markup(text: str) -> None:
    escaped = escape(text)
    assert len((escaped + "x").splitlines()) == 1
    assert not re.search(r"[<>]", escaped)
    bare = re.sub(r"\\.", "", escaped)
    assert not re.search(r"[\\`*\[\]|~#!$]", bare)


def test_text_that_would_begin_a_list_does_not() -> None:
    assert escape("- x") == r"\- x"
    assert escape("12. x") == r"12\. x"
    assert escape("smollm2-135m/zero_shot/sum") == "smollm2-135m/zero_shot/sum"
    assert escape("_x_") == r"\_x\_"


def test_a_classification_report_has_all_its_parts() -> None:
    text = render_markdown(samples.classification())
    for part in (
        "# issue-triage",
        "| **smollm2-135m/few_shot/contextual** | 0.710 [0.64, 0.78] |",
        "6 unparsed, 2 truncated, 1 failed",
        "## The first cell against the others",
        "| 150 | -0.190 [-0.280, -0.110] | &lt;0.001 | 70 | 3 | 6 | 71 |",
        "corrected for every pair of cells and every baseline together",
        "| label | precision | recall | F1 | support |",
        "| gold | bug | feature | question | no answer |",
        "| ✗ question | smollm2-135m/few_shot/contextual, gemma3-270m-plain/zero_shot/sum |",
        "| seed | 0 |",
        "## Warnings",
        "timings.md",
    ):
        assert part in text


def test_a_large_confusion_matrix_becomes_a_list_of_the_commonest() -> None:
    text = render_markdown(samples.many_labels())
    assert "The commonest confusions of 77 labels" in text
    assert max(columns(line) for table in tables(text) for line in table) < 20


def test_numbers_have_no_classes_to_show() -> None:
    text = render_markdown(samples.number())
    assert "lower is better" in text
    assert "Scores per class" not in text
    assert "Confusion" not in text


def test_a_metric_that_is_absent_is_a_dash() -> None:
    rows = tables(render_markdown(samples.unanswered()))[0]
    assert rows[2].startswith("| smollm2-135m/few_shot/contextual: 2 truncated, 10 failed | – |")


def test_timings_are_a_table_of_their_own() -> None:
    text = rendered(seconds.document(samples.timings(samples.classification())))
    assert_tables_are_whole(text)
    assert "| 0.042 | 0.310 | 123 | – | 0 | – | – | 1,834 | 150 |" in text
