"""Tables on terminals of any width."""

import io
import re

import pytest
from rich.console import Console

from gateway.report.sections import Cell, Head, by_rows, numbers
from gateway.report.table import print_facts, print_table, say

NAME = "smollm2-135m-instruct-q4_k_m+adapter-no1"
NUMBERS = numbers("bits/weight", "same top token")
HEADS: tuple[Head | str, ...] = ("model", Head("source", breaks=True), *NUMBERS, "note")
ROWS = (
    (NAME, "hub:somebody/some-model/file-q4_k_m.gguf", "4.89", "82.27 ± 1.96%", "as is"),
    ("gemma3-270m", "pypi:gemma3==1.0.0", "5.2", "100.00 ± 0.00%", "from dequantized weights, so"),
)
DIGEST = "0123456789abcdef" * 4


def printed(width: int, *, terminal: bool = False, encoding: str = "utf-8") -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=stream, width=width, force_terminal=terminal, color_system=None)
    print_table(by_rows(HEADS, ROWS, "what there is"), console)
    print_facts((("name", NAME), ("digest", DIGEST), ("  a part", "of it")), console)
    stream.seek(0)
    return stream.read()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_no_word_is_cut_and_no_line_too_wide(width: int) -> None:
    assert len(NAME) == 40
    text = printed(width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    shown = set(text.replace(":", " ").replace(";", " ").split())
    for word in ("bits/weight", "token", "source", "dequantized", "5.2", "100.00", "0.00%"):
        assert word in shown
    assert (NAME in shown) == (width > 40)
    assert DIGEST in "".join(text.split())


def test_numbers_keep_their_units_beside_them() -> None:
    for width in (60, 80, 120):
        assert "82.27 ± 1.96%" in printed(width)


def test_what_does_not_fit_side_by_side_is_listed_by_its_head() -> None:
    lines = printed(60).splitlines()
    assert lines[:2] == ["what there is", f"model: {NAME}"]
    assert "  bits/weight: 4.89; same top token: 82.27 ± 1.96%" in lines
    assert "  note: from dequantized weights, so" in lines


def test_what_fits_is_a_table_with_numbers_at_the_right() -> None:
    title, head, rule, first, second, *_ = printed(200).splitlines()
    assert title == "what there is"
    assert " ".join(head.split()) == "model source bits/weight same top token note"
    assert set(rule) == {"─"}
    end = head.index("bits/weight") + len("bits/weight")
    assert (first[:end].split()[-1], second[:end].split()[-1]) == ("4.89", "5.2")


def test_a_long_head_is_wrapped_and_stands_above_its_numbers() -> None:
    console = Console(file=io.StringIO(), width=34)
    heads = ("level", *numbers("estimated memory of it", "size"))
    print_table(by_rows(heads, [("Q4", "1", "2")]), console)
    assert isinstance(console.file, io.StringIO)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    above, head, _, row = (line.split() for line in lines)
    assert (above, head) == (["estimated", "memory", "of"], ["level", "it", "size"])
    assert row == ["Q4", "1", "2"]


def test_a_value_that_is_wider_than_its_place_stands_below_its_name() -> None:
    assert re.search(rf"^digest\n  {DIGEST}$", printed(70), re.MULTILINE)
    assert re.search(rf"^digest +{DIGEST}$", printed(80), re.MULTILINE)


def test_an_empty_table_has_its_heads() -> None:
    console = Console(file=io.StringIO(), width=80)
    print_table(by_rows(HEADS, ()), console)
    assert isinstance(console.file, io.StringIO)
    assert "bits/weight" in console.file.getvalue()


def test_untrusted_text_is_no_markup_and_drives_nothing() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    rows: list[tuple[Cell | str, ...]] = [("[red]x[/]", "\x1b[31my"), (Cell("z", "bad"), "")]
    print_table(by_rows(("a", "b"), rows), console)
    print_facts((("[b]k[/]", "\x1b]0;title\x07v"),), console)
    say(console, "[i]said[/]\x1b[2J")
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    for text in ("[red]x[/]", "[b]k[/]", "[i]said[/]"):
        assert text in shown
    assert "\x1b[31my" not in shown
    assert "\x1b[2J" not in shown
    assert "\x07" not in shown
    assert "\x1b[31mz" in shown, "a style of our own is"


def test_a_stream_that_knows_only_ascii_gets_only_that() -> None:
    assert "82.27 ? 1.96%" in printed(80, encoding="ascii")


@pytest.mark.parametrize(("terminal", "lines"), [(True, 2), (False, 1)])
def test_a_sentence_is_broken_on_a_terminal_alone(terminal: bool, lines: int) -> None:
    console = Console(file=io.StringIO(), width=40, force_terminal=terminal, color_system=None)
    say(console, "words that say what is to be known of a table, and a path/that/is/not/cut")
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert len(shown.splitlines()) == lines
    assert "path/that/is/not/cut" in shown
