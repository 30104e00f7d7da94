"""The comparison as one HTML file that asks for nothing from anywhere."""

from collections.abc import Sequence

from gateway.evaluation.ab.outcome import Outcome
from gateway.report.html import inline, templates
from gateway.report.plots import frontier_plot
from gateway.report.sections import Section

_FOOTER = (
    "This page holds no seconds, so that the same comparison gives the same page: timings are in "
    "timings.md and timings.json. All the numbers behind it, unrounded, are in ab.json."
)


def render_html(outcome: Outcome, parts: Sequence[Section]) -> str:
    """The whole comparison. The same outcome gives the same bytes."""
    return (
        templates()
        .get_template("ab.html.j2")
        .render(
            report=outcome.report,
            title=f"{outcome.report.task}: cells against {outcome.reference}",
            footer=_FOOTER,
            parts=parts,
            headline=next(part for part in parts if part.anchor == "frontier").sentences[0],
            frontier=inline(frontier(outcome)),
        )
    )


def frontier(outcome: Outcome) -> str:
    """The plot of quality against size; "" where there is no recommendation or no size."""
    found = outcome.recommendation
    if found is None:
        return ""
    scores = {cell.name: cell.metrics[found.metric] for cell in outcome.report.cells}
    return frontier_plot(
        found.metric,
        [(name, size, scores[name]) for name, size in outcome.sizes.items()],
        [cell.name for cell in found.frontier],
        found.chosen.name,
    )
