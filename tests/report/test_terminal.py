"""The report on a terminal and in a pipe."""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import pytest
from rich.console import Console

from gateway.report import format as fmt
from gateway.report.pages import compare, run
from gateway.report.pages import timings as seconds
from gateway.report.sections import Section
from gateway.report.sentences import summary_sentences
from gateway.report.terminal import print_out
from gateway.scoring.report import Report
from gateway.scoring.results import CellTimings
from tests.report import samples

SAMPLES = [samples.classification, samples.number, samples.extraction, samples.many_labels]


def printed(show: Callable[[Console], None], width: int = 80, *, terminal: bool = False) -> str:
    stream = io.StringIO()
    colors: Literal["truecolor"] | None = "truecolor" if terminal else None
    show(Console(file=stream, width=width, color_system=colors, force_terminal=terminal))
    return stream.getvalue()


def report_text(report: Report, width: int = 80) -> str:
    return printed(lambda console: print_out(run.brief(report), console), width)


def comparison_text(report: Report, number: int, width: int) -> str:
    found = compare.sections(report.comparisons[number], report.disagreements)
    return printed(lambda console: print_out(found, console), width)


def timings_text(timings: Sequence[CellTimings], width: int = 80) -> str:
    return printed(lambda console: print_out(seconds.document(timings), console), width)


@pytest.mark.parametrize("width", [30, 50, 80, 200])
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda f: f.__name__)
def test_no_line_is_wider_than_the_terminal(sample: Callable[[], Report], width: int) -> None:
    report = sample()
    timings = samples.timings(report)

    def show(console: Console) -> None:
        print_out(run.brief(report, timings), console)
        print_out(compare.sections(report.comparisons[0], report.disagreements), console)

    text = re.sub(r"\x1b\[[0-9;]*m", "", printed(show, width, terminal=True))
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("width", [48, 60, 80])
def test_no_part_of_a_name_or_of_the_primary_metric_is_lost_to_a_narrow_terminal(
    width: int,
) -> None:
    report = samples.classification()
    table = report_text(report, width).split("too narrow")[0]
    squeezed = "".join(table.split())
    for cell in report.cells:
        for part in cell.name.split("/"):
            assert part in squeezed
        assert fmt.interval(cell.metrics["macro_f1"]) in table
    assert "…" not in table


def test_what_a_narrow_terminal_leaves_out_is_named() -> None:
    report = samples.classification()
    assert "too narrow to show" not in report_text(report, 120)
    narrow = " ".join(report_text(report, 80).split())
    assert "too narrow to show coverage, log-loss, ECE" in narrow


def test_a_wide_terminal_shows_probabilities_where_there_are_any() -> None:
    assert "log-loss" in report_text(samples.classification(), 120)
    assert "log-loss" not in report_text(samples.number(), 120)


def test_baselines_come_last_and_the_best_cell_is_marked() -> None:
    lines = report_text(samples.classification(), 120).splitlines()
    rows = [line for line in lines if ("[" in line and "/" in line) or "baseline:" in line]
    assert rows[0].startswith("*  smollm2-135m/few_shot/contextual")
    assert [line.startswith("   baseline:") for line in rows[:7]] == [False] * 5 + [True] * 2


def test_unanswered_items_are_counted_by_status() -> None:
    text = report_text(samples.classification(), 120)
    assert "smollm2-135m/chain_of_thought: 6 unparsed, 2 truncated, 1 failed of 150" in text
    assert "0.940" in text


def test_summary_and_warnings_are_said() -> None:
    text = report_text(samples.classification(), 400)
    for sentence in summary_sentences(samples.classification()):
        assert sentence in text
    assert "warning: smollm2-135m: the chat template" in text


def test_reports_with_nothing_in_them_can_be_printed() -> None:
    assert "none of them has answered an item" in report_text(samples.unanswered())
    assert "nothing · n = 0" in report_text(samples.empty())
    assert run.brief(samples.empty(), ()).sections == run.brief(samples.empty()).sections


@pytest.mark.parametrize("text", samples.HOSTILE)
def test_untrusted_text_is_shown_as_it_is_and_drives_nothing(text: str) -> None:
    report = samples.hostile(text)
    for shown in (report_text(report, 300), comparison_text(report, 0, 300)):
        assert fmt.clean(text) in shown
        assert "\x1b" not in shown
        assert "\x07" not in shown
        shown.encode("utf-8")


def test_on_a_terminal_only_our_own_styles_are_sent() -> None:
    report = samples.hostile("\x1b[31mred [blink]x[/blink]")
    document = run.brief(report)
    shown = printed(lambda console: print_out(document, console), 300, terminal=True)
    assert "\x1b[1m" in shown
    assert "\x1b[31m" not in shown
    assert "\x1b[5m" not in shown
    assert "[blink]x[/blink]" in shown


def test_a_stream_that_knows_only_ascii_gets_only_that() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    report = samples.hostile("Grüße 你好")
    console = Console(file=stream, width=80)
    print_out(run.brief(report, samples.timings(report)), console)
    print_out(compare.sections(report.comparisons[0], report.disagreements), console)
    stream.seek(0)
    assert "Gr??e ??" in stream.read()


def test_a_comparison_says_difference_test_counts_and_flips() -> None:
    text = comparison_text(samples.classification(), 1, 300)
    assert "-0.190 [-0.280, -0.110] (95% in 20 comparisons together, widened" in text
    assert "smollm2-135m/few_shot/contextual is better" in text
    assert "Permutation test of these two alone: p < 0.001" in text
    assert "Right in smollm2-135m/zero_shot/sum alone: 3 of 150 items, in" in text
    assert "issue-0008" in text
    few = comparison_text(samples.classification(), 0, 300)
    assert "Permutation test: only 5 items are decided differently" in few


def test_of_many_flips_the_first_are_listed_and_the_others_counted() -> None:
    report = samples.classification()
    (first, *_), (item, *_) = report.comparisons, report.disagreements
    flips = tuple(replace(item, item_id=f"issue-{i:04d}") for i in range(45))
    many = replace(first, flips=tuple(flip.item_id for flip in flips))
    text = comparison_text(replace(report, comparisons=(many,), disagreements=flips), 0, 200)
    assert text.count("issue-0") == 20
    assert "and 25 more" in text
    none = replace(report, comparisons=(replace(first, flips=()),))
    assert "No item is right in exactly one" in comparison_text(none, 0, 200)


def test_a_title_keeps_its_distance_from_what_stands_above_and_what_is_folded_is_left_out() -> None:
    parts = (
        Section("a", "first", lines=("  indented",)),
        Section("b", "second", ("a sentence",), parts=(Section("c", "folded"),)),
    )
    shown = printed(lambda console: print_out(parts, console))
    assert shown.splitlines() == ["first", "  indented", "", "second", "- a sentence"]
