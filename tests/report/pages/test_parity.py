"""What a person reads of two models' parity."""

import io

from rich.console import Console

from gateway.determinism.parity import ItemParity, LabelParity, Parity, Parting, Side
from gateway.report.pages.parity import sections
from gateway.report.terminal import print_out


def side(model: str, **identity: str) -> Side:
    return Side(model, "fake", f"{model}0123456789abcdef", identity, (), (), (), ())


def item(number: int, parting: Parting) -> ItemParity:
    labels = LabelParity(("bug", "feature"), (True, False), (0.25, 0.5))
    return ItemParity(f"i{number}", "different", (3, 4), parting, ("x y", "x z"), 1, labels)


def shown(made: Parity) -> str:
    console = Console(file=io.StringIO(), width=100)
    print_out(sections(made), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_ten_items_are_named_with_where_they_part_and_the_rest_counted() -> None:
    word = Parting(2, (5, 7), ("cat", " dog"))
    end = Parting(3, (None, 2), (None, ""))
    unknown = Parting(0, (8, 9), (None, "b"))
    items = [item(n, (word, end, unknown)[n % 3]) for n in range(12)]
    a, b = side("a", weights="1", version="1"), side("b", weights="1", version="2")
    said = shown(Parity(a, b, ("bug", "feature"), 20, 12, tuple(items)))
    assert "a0123456789" in said
    assert "a0123456789ab" not in said
    assert "A and B are two models, which differ in: version" in said
    assert "item i0: inputs part at token 2, 5 'cat' and 7 ' dog'; texts differ" in said
    assert "item i1: inputs part at token 3, the end and 2 (a control token)" in said
    assert "item i2: inputs part at token 0, 8 and 9 'b'" in said
    assert "tokens that agree: 1; labels bug and feature" in said
    assert "item i9" in said
    assert "item i10" not in said
    assert "2 items more" in said


def test_a_text_of_the_data_can_not_drive_the_terminal() -> None:
    hostile = Parting(0, (1, 2), ("\x1b[31m[bold]", "\n"))
    said = shown(Parity(side("a"), side("b"), (), 20, 1, (item(0, hostile),)))
    assert "\x1b" not in said
    assert "[bold]" in said
