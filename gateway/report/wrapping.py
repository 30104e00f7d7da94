"""Breaking a text into lines: between words, and only where one is too long behind a separator."""

import re
from collections.abc import Iterator

from rich.cells import cell_len, chop_cells

_SEPARATORS = (
    re.compile(r".+?[/\\+:]+|.+"),
    re.compile(r".+?[-,;=@/\\+:]+|.+"),
    # A point within a number is none.
    re.compile(r".+?(?:[-_,;=@/\\+:]+|\.+(?!\d))|.+"),
)
"""Parts of a path or of a cell's name, parts of these, and parts of those; each with the separators
behind it."""


def wrapped(text: str, width: int, hang: int = 0) -> str:
    """The text with line breaks, so that no line takes more than `width` columns of a terminal.

    Nothing but spaces at a break is lost. A word that is wider than a line is broken behind its
    separators, and anywhere only where it has none. What is indented stays indented.

    Args:
        hang: by how many columns more the lines behind the first are indented.
    """
    begin = text[: len(text) - len(text.lstrip(" "))]
    below = begin + " " * hang
    room = max(width - len(below), 1)
    lines = [begin]
    glue = ""
    for space, piece in _pieces(text, room):
        if lines[-1].strip(" ") and cell_len(lines[-1] + space + piece) > width:
            lines.append(below + piece)
        else:
            lines[-1] += glue and space
            lines[-1] += piece
        glue = " "
    return "\n".join(lines)


def widest_word(text: str, *, breaks: bool = False) -> int:
    """Columns that the text needs at least, if no word of it is broken.

    Args:
        breaks: a word may be broken behind its separators.
    """
    words = text.split()
    parts = [part for word in words for part in _SEPARATORS[-1].findall(word)] if breaks else words
    return max(map(cell_len, parts), default=0)


def _pieces(text: str, width: int) -> Iterator[tuple[str, str]]:
    """What is not broken any further, each with what stands between it and the one before."""
    for word in text.split():
        space = " "
        for piece in _broken(word, width):
            yield space, piece
            space = ""


def _broken(
    word: str, width: int, separators: tuple[re.Pattern[str], ...] = _SEPARATORS
) -> list[str]:
    if cell_len(word) <= width:
        return [word]
    if not separators:
        return chop_cells(word, width)
    first, *finer = separators
    return [piece for part in first.findall(word) for piece in _broken(part, width, tuple(finer))]
