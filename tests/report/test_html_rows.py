"""A row of a table on a page: every text harmless, and what comes with it in its place."""

import pytest

from gateway.report.html_rows import broken, rows
from gateway.report.sections import Cell, Head, Table, by_rows, numbers

HOSTILE = '<b> "a"&\x07\u202e\ud800\n'
SAFE = "&lt;b&gt; &#34;a&#34;&amp;\ufffd "


def test_a_row_has_a_head_and_its_entries() -> None:
    table = by_rows(("cell", *numbers("n")), [("a", "3"), ("b", "4")])
    assert rows(table) == (
        '<tr><th scope="row" class="name">a</th>\n<td class="num">3</td>\n</tr>\n'
        '<tr><th scope="row" class="name">b</th>\n<td class="num">4</td>\n</tr>\n'
    )


def test_a_row_of_texts_is_no_row_of_numbers_and_may_be_shorter_than_the_heads() -> None:
    table = by_rows(("item", "answer", "gold"), [("1", "x")])
    assert rows(table) == (
        '<tr><th scope="row" class="id">1</th>\n<td class="answer">x</td>\n</tr>\n'
    )


def test_what_a_row_is_about_is_said_and_marked() -> None:
    made = Table((Head("cell"),), ((Cell("a"),), (Cell("b"),)), kinds=("best", ""))
    first, second = rows(made).splitlines()[::2]
    assert first == (
        '<tr class="best"><th scope="row" class="id">a <span class="tag">best</span></th>'
    )
    assert second == '<tr><th scope="row" class="id">b</th>'


@pytest.mark.parametrize(
    ("cell", "head", "shown"),
    [
        (Cell("a/b"), Head("h"), '<td class="answer">a/b</td>'),
        (Cell("a/b"), Head("h", breaks=True), '<td class="answer">a/<wbr>b</td>'),
        (
            Cell("0.5 [0.4, 0.6]"),
            Head("h", right=True),
            '<td class="num">0.5<span class="interval">[0.4, 0.6]</span></td>',
        ),
        (
            Cell("x", "bad", shade=0.5),
            Head("h"),
            '<td class="answer bad shaded" style="--share: 0.500">x</td>',
        ),
        (
            Cell("x", mark=True, below="p 0.5"),
            Head("h"),
            '<td class="answer"><span class="right" title="right">✓</span> x'
            '<span class="who">p 0.5</span></td>',
        ),
        (
            Cell("x", mark=False),
            Head("h"),
            '<td class="answer"><span class="wrong" title="wrong">✗</span> x</td>',
        ),
        (
            Cell("a/b", link='c"1'),
            Head("h", right=True),
            '<td class="answer"><a href="#c&#34;1">a/<wbr>b</a></td>'.replace("answer", "num"),
        ),
    ],
)
def test_an_entry_shows_all_that_comes_with_its_text(cell: Cell, head: Head, shown: str) -> None:
    table = Table((Head("x"), head), ((Cell("1"), cell),))
    assert rows(table).splitlines()[1] == shown


def test_no_text_is_more_than_a_text() -> None:
    every = Cell(HOSTILE, below=HOSTILE, link=HOSTILE)
    others = (Cell(HOSTILE), Cell(f"{HOSTILE} [{HOSTILE}]"), every)
    table = Table(
        (Head("a"), Head("b", breaks=True), Head("c", right=True), Head("d")),
        ((Cell(HOSTILE), *others),),
    )
    text = rows(table)
    assert text.count(SAFE) == 7
    assert broken(HOSTILE) == SAFE
    for raw in ("<b>", '"a"', "\x07", "\u202e", "\ud800"):
        assert raw not in text
