"""A plot as a file of its own."""

import re
from xml.etree import ElementTree

import pytest

from gateway.report import plots
from gateway.report.plots import as_file, frontier_plot, reliability_diagram
from gateway.scoring.results import Metric, ReliabilityBin

CELLS = [
    ("small", 90_000_000, Metric(0.3, 0.2, 0.4)),
    ("large & <slow>", 140_000_000, Metric(0.5, 0.4, 0.6)),
    ("on a server", None, Metric(0.6, 0.5, 0.7)),
]


def test_a_plot_stands_alone_with_every_colour_that_it_names() -> None:
    text = as_file(frontier_plot("macro_f1", CELLS, ["small", "large & <slow>"], "small"))
    root = ElementTree.fromstring(text)  # noqa: S314  # Our own text.
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    named = set(re.findall(r"var\((--[a-z-]+)\)", text))
    defined = set(re.findall(r"(--[a-z-]+):", text))
    assert named
    assert named <= defined
    assert "prefers-color-scheme: dark" in text
    drawn = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"1", "2", "size of the weights in MB"} <= set(drawn)
    assert "3" not in drawn, "whose size is not known has no dot"


def test_without_sizes_there_is_no_plot() -> None:
    assert frontier_plot("macro_f1", CELLS[2:], [], "on a server") == ""


BINS = [ReliabilityBin(k / 5, k / 5 + 0.2, 3 * k + 1, k / 5 + 0.1, 0.9 - k / 6) for k in range(5)]


def test_a_diagram_is_the_same_whatever_was_drawn_before() -> None:
    drawn = [reliability_diagram(BINS, "a"), reliability_diagram(BINS[3:], "b")]
    again = [reliability_diagram(BINS[3:], "b"), reliability_diagram(BINS, "a")]
    plots._unit_square.cache_clear()
    assert [reliability_diagram(BINS[3:], "b"), drawn[0]] == again
    assert drawn == again[::-1]


def test_a_diagram_that_fails_leaves_nothing_behind() -> None:
    first = reliability_diagram(BINS, "a")
    with pytest.raises(TypeError):
        reliability_diagram([*BINS, ReliabilityBin(0, 1, "x", 0.5, 0.5)], "a")  # type: ignore[arg-type]
    assert reliability_diagram(BINS, "a") == first
