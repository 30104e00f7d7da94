"""The API keys of a server, never themselves."""

from collections.abc import Sequence

from gateway.report.sections import Section, by_rows, numbers


def listing(rows: Sequence[tuple[str, ...]]) -> Section:
    """One row an API key: name, models, requests a minute, when it was made."""
    heads = ("key", "models", *numbers("requests a minute"), "created")
    return Section(tables=(by_rows(heads, rows),))
