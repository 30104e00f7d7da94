"""A document as Markdown: for a pull request, a wiki, or a reader without a browser."""

import re
from collections.abc import Iterable, Iterator

from gateway.report import format as fmt
from gateway.report.sections import Cell, Document, Head, Kind, Section, Table

_SPECIAL = re.compile(r"([\\`*\[\]|~#!$])|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_LIST_MARK = re.compile(r"^(\d*)([-+=.)])")
_NUMBER = re.compile(r"[-+–\d.,%\[\] ]*")


def render_markdown(document: Document) -> str:
    """All but the plots, and what a page alone has room for."""
    said = [f"# {escape(document.title)}"]
    if document.about:
        said.append(escape(document.about))
    if document.summary:
        said.append(_bullets(document.summary))
    if document.warnings:
        said += ["## Warnings", _bullets(document.warnings)]
    for part in document.sections:
        said += _section(part, "##")
    if document.footer:
        said.append(escape(document.footer))
    return "\n\n".join(said) + "\n"


def escape(text: str) -> str:
    """Untrusted text that Markdown shows as it is, on one line, also inside a table."""
    text = fmt.clean(text).strip()
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = _SPECIAL.sub(lambda found: "\\" + found.group(), text)
    return _LIST_MARK.sub(r"\1\\\2", text)


def _section(part: Section, marks: str) -> Iterator[str]:
    if part.title:
        yield f"{marks} {escape(part.title)}"
    if part.facts:
        yield _bullets(f"{name}: {value}" for name, value in part.facts)
    for table in part.tables:
        if table.caption:
            yield escape(table.caption)
        yield _table(table)
    yield from map(escape, part.lines)
    if part.sentences:
        yield _bullets(part.sentences)
    for each in part.parts:
        if not each.long:
            yield from _section(each, f"{marks}#")


def _table(table: Table) -> str:
    rows = [[escape(head.name) for head in table.heads], ["---"] * len(table.heads)]
    for i, row in enumerate(table.rows):
        kind = table.kinds[i] if table.kinds else ""
        shown = [_text(cell, head) for cell, head in zip(row, table.heads, strict=False)]
        shown += [""] * (len(table.heads) - len(row))
        rows.append([_strong(shown[0], kind), *shown[1:]])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _text(cell: Cell, head: Head) -> str:
    """A number needs no escape; "<0.001" and what came with the data do."""
    plain = cell.plain if head.right and _NUMBER.fullmatch(cell.plain) else escape(cell.plain)
    return f"**{plain}**" if cell.tone == "strong" and plain else plain


def _strong(text: str, kind: Kind) -> str:
    return f"**{text}**" if kind == "best" else text


def _bullets(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {escape(sentence)}" for sentence in sentences)
