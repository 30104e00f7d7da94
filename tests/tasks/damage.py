"""Ways to damage the form of a table, and the tables that they damage."""

import gzip
import io
import json
import random
from collections.abc import Callable, Mapping

ROWS = 1_000
COLUMNS = ("id", "text", "storypoint", "label")
_WORDS = ("page", "crash", "café", "report", "“menu”", "scroll", "naïve", "list", "log in")
_POINTS = (1, 2, 3, 5, 8, 13)
_LABELS = ("bug", "feature", "question")

Damage = Callable[[bytes, random.Random], bytes]
"""The bytes of a file, and what chooses the place -> the bytes of a damaged one."""


def rows() -> list[dict[str, str | int]]:
    """The same 1,000 rows each time; some texts have a comma, a quote or a line end."""
    draw = random.Random(7)  # noqa: S311 - a sample, not a secret
    made: list[dict[str, str | int]] = []
    for number in range(1, ROWS + 1):
        text = " ".join(draw.choices(_WORDS, k=draw.randint(3, 9)))
        text += {0: ", then", 1: ' says "no"', 2: "\nand again"}.get(number % 40, "")
        made.append(
            {
                "id": f"item-{number}",
                "text": f"{text} {number}",
                "storypoint": draw.choice(_POINTS),
                "label": draw.choice(_LABELS),
            }
        )
    return made


def delimited(delimiter: str, *, plain: bool = False) -> bytes:
    """The rows with that delimiter, fields in quotes where they need it.

    Args:
        plain: none needs it.
    """
    made = io.StringIO()
    for cells in [COLUMNS, *(tuple(row.values()) for row in rows())]:
        made.write(delimiter.join(_cell(str(cell), delimiter, plain) for cell in cells) + "\n")
    return made.getvalue().encode()


def _cell(text: str, delimiter: str, plain: bool) -> str:
    if plain:
        return text.replace("\n", " ").replace('"', "'").replace(delimiter, " ")
    if any(character in text for character in (delimiter, '"', "\n")):
        return '"' + text.replace('"', '""') + '"'
    return text


def json_lines() -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows()).encode()


def json_list() -> bytes:
    return json.dumps(rows(), ensure_ascii=False, indent=1).encode()


def parquet() -> bytes:
    """With checksums: without them nobody knows that a letter is another one."""
    import pyarrow
    import pyarrow.parquet

    made = io.BytesIO()
    table = pyarrow.Table.from_pylist(rows())
    pyarrow.parquet.write_table(table, made, write_page_checksum=True)
    return made.getvalue()


FILES: Mapping[str, Callable[[], bytes]] = {
    "rows.csv": lambda: delimited(","),
    "plain.csv": lambda: delimited(",", plain=True),
    "semicolons.csv": lambda: delimited(";"),
    "rows.tsv": lambda: delimited("\t"),
    "plain.tsv": lambda: delimited("\t", plain=True),
    "rows.jsonl": json_lines,
    "rows.json": json_list,
    "rows.csv.gz": lambda: gzip.compress(delimited(","), mtime=0),
    "rows.parquet": parquet,
}
"""Name of a file -> its bytes."""


def _a_line(data: bytes, draw: random.Random) -> tuple[list[bytes], int]:
    lines = data.splitlines(keepends=True)
    return lines, draw.randrange(len(lines) // 4, len(lines) // 2)


def _separators(line: bytes) -> list[int]:
    return [at for at, byte in enumerate(line) if byte in b",;\t"]


def one_quote(data: bytes, draw: random.Random) -> bytes:
    """A quote where a field begins."""
    lines, at = _a_line(data, draw)
    places = [0, *(place + 1 for place in _separators(lines[at]))]
    place = draw.choice(places)
    lines[at] = lines[at][:place] + b'"' + lines[at][place:]
    return b"".join(lines)


def two_quotes(data: bytes, draw: random.Random) -> bytes:
    """One where a field begins, and one where the same field ends in the next line."""
    lines, at = _a_line(data, draw)
    first, second = _separators(lines[at]), _separators(lines[at + 1])
    if min(len(first), len(second)) < 2:
        return one_quote(data, draw)
    lines[at] = lines[at][: first[0] + 1] + b'"' + lines[at][first[0] + 1 :]
    lines[at + 1] = lines[at + 1][: second[1]] + b'"' + lines[at + 1][second[1] :]
    return b"".join(lines)


def a_lost_quote(data: bytes, draw: random.Random) -> bytes:
    """One of the quotes of the file is missing."""
    places = [at for at, byte in enumerate(data) if byte == ord('"')] or [len(data) // 2]
    place = draw.choice(places)
    return data[:place] + data[place + 1 :]


def a_delimiter(data: bytes, draw: random.Random) -> bytes:
    """One delimiter is another character."""
    lines, at = _a_line(data, draw)
    place = draw.choice(_separators(lines[at]) or [len(lines[at]) // 2])
    lines[at] = lines[at][:place] + b"|" + lines[at][place + 1 :]
    return b"".join(lines)


def a_width(data: bytes, draw: random.Random) -> bytes:
    """A row has lost its last field."""
    lines, at = _a_line(data, draw)
    place = (_separators(lines[at]) or [len(lines[at]) // 2])[-1]
    lines[at] = lines[at][:place] + b"\n"
    return b"".join(lines)


def a_wider_row(data: bytes, draw: random.Random) -> bytes:
    """A row has one delimiter more."""
    lines, at = _a_line(data, draw)
    place = draw.choice(_separators(lines[at]) or [len(lines[at]) // 2])
    lines[at] = lines[at][:place] + lines[at][place : place + 1] + lines[at][place:]
    return b"".join(lines)


def windows_1252(data: bytes, draw: random.Random) -> bytes:
    return data.decode("utf-8", errors="replace").encode("windows-1252", errors="replace")


def utf_16(data: bytes, draw: random.Random) -> bytes:
    return data.decode("utf-8", errors="replace").encode("utf-16")


def utf_16_unmarked(data: bytes, draw: random.Random) -> bytes:
    return data.decode("utf-8", errors="replace").encode("utf-16-le")


def utf_32_unmarked(data: bytes, draw: random.Random) -> bytes:
    return data.decode("utf-8", errors="replace").encode("utf-32-be")


def a_mark_within(data: bytes, draw: random.Random) -> bytes:
    """A byte order mark where a line begins, as of two files joined."""
    lines, at = _a_line(data, draw)
    return b"".join([*lines[:at], b"\xef\xbb\xbf", *lines[at:]])


def a_spare_delimiter(data: bytes, draw: random.Random) -> bytes:
    """One more at the end of each row, and none at the end of the header."""
    first, *lines = data.splitlines(keepends=True)
    return b"".join([first, *(line[:-1] + b"," + line[-1:] for line in lines)])


def a_cut(data: bytes, draw: random.Random) -> bytes:
    """The end is missing, somewhere within a row."""
    end = draw.randrange(len(data) // 2, len(data) - 2)
    while data[end - 1 : end] == b"\n":
        end -= 1
    return data[:end]


def a_merged_line(data: bytes, draw: random.Random) -> bytes:
    """A line end is missing."""
    lines, at = _a_line(data, draw)
    lines[at] = lines[at].rstrip(b"\r\n")
    return b"".join(lines)


def a_nul(data: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(data) // 4, len(data) // 2)
    return data[:place] + b"\0" + data[place:]


def a_mark(data: bytes, draw: random.Random) -> bytes:
    """A byte order mark, twice, as of two programs one after the other."""
    return b"\xef\xbb\xbf\xef\xbb\xbf" + data


def a_header_again(data: bytes, draw: random.Random) -> bytes:
    """Two files joined: the first line stands in the middle once more."""
    lines, at = _a_line(data, draw)
    return b"".join([*lines[:at], lines[0], *lines[at:]])


def mixed_line_ends(data: bytes, draw: random.Random) -> bytes:
    """Every third line ends as on Windows, every fifth as on an old Macintosh."""
    lines = data.splitlines(keepends=True)
    ends = {0: b"\r\n", 5: b"\r", 10: b"\r"}
    return b"".join(
        line.rstrip(b"\r\n") + ends.get(number % 15, line[len(line.rstrip(b"\r\n")) :])
        for number, line in enumerate(lines)
    )


DAMAGES: Mapping[str, Damage] = {
    damage.__name__: damage
    for damage in (
        one_quote,
        two_quotes,
        a_lost_quote,
        a_delimiter,
        a_width,
        a_wider_row,
        windows_1252,
        utf_16,
        utf_16_unmarked,
        utf_32_unmarked,
        a_mark_within,
        a_spare_delimiter,
        a_cut,
        a_merged_line,
        a_nul,
        a_mark,
        a_header_again,
        mixed_line_ends,
    )
}
