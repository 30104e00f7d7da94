"""A document as one HTML file that asks for nothing from anywhere."""

from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from gateway.report import format as fmt
from gateway.report.html_rows import broken, rows
from gateway.report.sections import Document, Figure


def render_html(document: Document) -> str:
    """The whole document. The same one gives the same bytes."""
    return _environment().get_template("page.html.j2").render(document=document)


def _environment() -> ImmutableSandboxedEnvironment:
    """The templates of this folder; whatever they put out is cleaned and escaped."""
    made = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_cleaned,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.globals.update(plural=fmt.plural, drawn=_drawn, path=broken, rows=rows)
    return made


def _cleaned(value: Any) -> Any:
    """Applied to every value that the template puts out, so that none can be forgotten."""
    return fmt.clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _drawn(figure: Figure) -> Markup:
    """The plot, as it stands in the page."""
    # matplotlib escapes the texts it draws; nothing else of this comes from outside.
    return Markup(figure.draw())
