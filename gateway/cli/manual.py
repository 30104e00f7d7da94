"""`gateway help`: pages of the manual, which ship with the package, in a terminal."""

import difflib
import re
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.common import out
from gateway.cli.needs import NEEDS
from gateway.core.errors import ConfigError

MANUAL = Path(__file__).parents[1] / "manual"
TOPICS = (
    *("tutorial", "data", "evaluate", "compare", "quantize", "tune", "serve", "ollama"),
    *(
        "reasoning",
        "compatibility",
        "clients",
        "fields",
        "determinism",
        "configuration",
        "python",
        "design",
    ),
    "benchmarks",
)
"""Pages in the order in which they are best read."""

_TITLE = re.compile(r"# [^:]+: (.+)")
_LINK = re.compile(r"\[([^]]+)\]\((\w+)\.md\)")


def show(
    topic: Annotated[str | None, typer.Argument(help="A page; absent: which there are.")] = None,
) -> None:
    """Show a page of the manual.

    [bold]gateway help tutorial[/] is where to begin.
    """
    if topic is None:
        _list()
    else:
        _show(_page(topic))


def _list() -> None:
    for topic in TOPICS:
        title = _TITLE.match(_page(topic))
        assert title is not None
        out.print(f"{topic:<14} {title[1]}", markup=False, highlight=False)
    out.print("\ngateway help TOPIC shows one of them.", highlight=False)


def _page(topic: str) -> str:
    """The text of a page.

    Raises:
        ConfigError: there is none of that name.
    """
    if topic not in TOPICS:
        raise ConfigError(f"the manual has no page {topic!r}", hint=_instead_of(topic))
    return (MANUAL / f"{topic}.md").read_text(encoding="utf-8")


def _instead_of(topic: str) -> str:
    """What was meant: a command's own help, or the page whose name is nearest."""
    if any(topic == command.partition(" ")[0] for command in NEEDS):
        return f"gateway {topic} --help"
    near = difflib.get_close_matches(topic.lower(), TOPICS, n=1, cutoff=0.5)
    return f"gateway help {near[0]}" if near else "gateway help"


def _show(text: str) -> None:
    from rich.markdown import Markdown

    # A page is called here by a command: in a terminal a link to a file leads nowhere.
    text = _LINK.sub(r"\1 (`gateway help \2`)", text)
    out.print(Markdown(text, hyperlinks=False))
