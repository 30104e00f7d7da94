"""A document on a terminal or in a pipe: eighty columns are enough, fewer still make sense."""

from collections.abc import Iterable

from rich.console import Console

from gateway.report.sections import Document, Section
from gateway.report.table import STYLES, print_facts, print_table, say


def print_out(what: Document | Section | Iterable[Section], console: Console) -> None:
    """A document, or sections one below the other; what a page folds is left out."""
    if isinstance(what, Document):
        _print_document(what, console)
    else:
        _print_sections([what] if isinstance(what, Section) else what, console, begun=False)


def _print_document(document: Document, console: Console) -> None:
    """Title, sections, what follows from them, and what to be careful about."""
    say(console, document.title, STYLES["strong"])
    if document.about:
        say(console, document.about)
    _print_sections(document.sections, console, begun=True)
    for sentence in document.summary:
        say(console, sentence)
    for warning in document.warnings:
        say(console, f"warning: {warning}", STYLES["warning"])


def _print_sections(parts: Iterable[Section], console: Console, *, begun: bool) -> None:
    """A title keeps its distance from what stands above it, where something does."""
    for part in parts:
        if part.title:
            if begun:
                console.line()
            say(console, part.title, STYLES["strong"])
        _print_section(part, console)
        begun = True


def _print_section(part: Section, console: Console) -> None:
    style = STYLES[part.tone]
    print_facts(part.facts, console)
    for table in part.tables:
        if not table.folded:
            print_table(table, console)
    for line in part.lines:
        say(console, line, style)
    for sentence in part.sentences:
        say(console, f"- {sentence}", style)
