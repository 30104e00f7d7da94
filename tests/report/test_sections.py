"""A document is data: whatever its texts are, each form shows them and is driven by none."""

import io
import re
from collections import Counter
from dataclasses import replace

import pytest
from rich.console import Console

from gateway.report import format as fmt
from gateway.report.html import render_html
from gateway.report.markdown import escape, render_markdown
from gateway.report.sections import (
    Cell,
    Column,
    Document,
    Figure,
    Section,
    by_columns,
    by_rows,
    numbers,
    settings,
)
from gateway.report.terminal import print_out
from tests.conftest import ROOT
from tests.report import samples
from tests.report.test_html import Page


def everywhere(text: str) -> Document:
    """A document with the text in every place that takes one."""
    cell = Cell(text, "bad", mark=True, below=text, shade=0.5)
    ranked = by_columns(text, text, (cell, text), (Column(text, (text, cell)),))
    listed = by_rows((text, *numbers(text)), [(Cell(text, link="a"), text), (cell, cell)], text)
    figure = Figure(lambda: "<svg></svg>", text, text)
    inner = Section("b", text, (text,), (ranked,), figures=(figure,), tone="warning")
    whole = Section(
        *("a", text, (text,), (ranked, listed, replace(listed, folded=True))),
        facts=((text, text),),
        lines=(text,),
        figures=(figure, replace(figure, title=text)),
        legend=text,
        parts=(inner, replace(inner, anchor="c", long=True)),
    )
    made = (whole, *settings({text: text}))
    return Document(text, made, about=text, summary=(text, text), warnings=(text,), footer=text)


@pytest.mark.parametrize("text", [*samples.HOSTILE, "</style><b>", "&amp;", "你好 👍🏽"])
def test_a_page_shows_any_text_as_text(text: str) -> None:
    html = render_html(everywhere(text))
    html.encode("utf-8")
    page, usual = Page(html), Page(render_html(everywhere("plain")))
    assert page.text.count(fmt.clean(text)) >= usual.text.count("plain")
    # A long name may break after a slash.
    assert page.tags - Counter(wbr=99) == usual.tags - Counter(wbr=99)
    assert {name for name, _ in page.attributes} == {name for name, _ in usual.attributes}
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", html)


@pytest.mark.parametrize("text", [*samples.HOSTILE, "a\\|b", "1. x", "# x", "- x", "&lt;"])
def test_markdown_makes_no_markup_of_any_text(text: str) -> None:
    shown = render_markdown(everywhere(text))
    shown.encode("utf-8")
    assert escape(text) in shown
    assert not re.search(r"[<\x1b]", shown)
    assert len(shown.splitlines()) == len(render_markdown(everywhere("plain")).splitlines())


@pytest.mark.parametrize("width", [20, 80, 200])
@pytest.mark.parametrize("text", samples.HOSTILE)
def test_a_terminal_is_driven_by_no_text(text: str, width: int) -> None:
    stream = io.StringIO()
    print_out(everywhere(text), Console(file=stream, width=width, color_system=None))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", stream.getvalue())
    stream.getvalue().encode("utf-8")


def test_a_terminal_leaves_out_what_a_page_folds_and_markdown_what_is_too_long() -> None:
    part = Section("b", "a part", ("of a page",))
    made = Document("title", (Section("a", "whole", ("said",), parts=(part,)),))
    stream = io.StringIO()
    print_out(made, Console(file=stream, width=80))
    assert stream.getvalue() == "title\n\nwhole\n- said\n"
    assert "### a part" in render_markdown(made)
    long = Section("a", "whole", parts=(replace(part, long=True),))
    assert "a part" not in render_markdown(replace(made, sections=(long,)))
    assert "of a page" in render_html(replace(made, sections=(long,)))


def test_what_builds_a_document_prints_nothing() -> None:
    for path in (ROOT / "gateway" / "report" / "pages").glob("*.py"):
        code = path.read_text(encoding="utf-8")
        assert not re.search(r"^\s*(from|import) rich|console|print\(", code, re.MULTILINE), path
