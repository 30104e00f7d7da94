"""The report as Markdown: for a pull request, a wiki, or a reader without a browser."""

import re
from collections.abc import Iterable, Iterator, Sequence

from gateway.report import format as fmt
from gateway.report import view
from gateway.scoring.metrics import metric_name
from gateway.scoring.results import CellScore, CellTimings, Comparison, Confusion, Report

_SPECIAL = re.compile(r"([\\`*\[\]|~#!$])|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_LIST_MARK = re.compile(r"^(\d*)([-+=.)])")


def render_markdown(report: Report) -> str:
    """The whole report but for reliability diagrams; report.html has those."""
    parts = [
        *_head(report),
        *_cells(report),
        *_comparisons(report),
        *(line for cell in view.ranked(report) for line in _cell(cell)),
        *_disagreements(report),
        *_settings(report),
    ]
    return "\n\n".join(parts) + "\n"


def render_timings(timings: Sequence[CellTimings]) -> str:
    """The measured seconds, one row a cell."""
    rows = [
        (
            escape(cell.name),
            f"{cell.n:,}",
            fmt.seconds(cell.p50_s),
            fmt.seconds(cell.p95_s),
            fmt.seconds(cell.total_s),
            fmt.seconds(cell.seconds_per_correct),
            fmt.count(cell.tokens_per_s),
        )
        for cell in timings
    ]
    header = ("cell", "n", "p50 s", "p95 s", "total s", "s per correct answer", "tokens per s")
    said = "Measured on one machine, once: another run gives other seconds."
    return "\n\n".join(("# Timings", said, table(header, rows))) + "\n"


def escape(text: str) -> str:
    """Untrusted text that Markdown shows as it is, on one line, also inside a table."""
    text = fmt.clean(text).strip()
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = _SPECIAL.sub(lambda found: "\\" + found.group(), text)
    return _LIST_MARK.sub(r"\1\\\2", text)


def _head(report: Report) -> Iterator[str]:
    yield f"# {escape(report.task)}"
    yield f"Run {escape(report.run_id)}, {fmt.plural(report.n, 'item')}, {report.kind}."
    if report.summary:
        yield bullets(report.summary)
    if report.warnings:
        yield "## Warnings"
        yield bullets(report.warnings)


def _cells(report: Report) -> Iterator[str]:
    yield "## Results"
    if not report.cells:
        yield "No cell was scored."
        return
    names = view.metric_names(report)
    best = view.best_cell(report)
    header = ("cell", *(escape(metric_name(n)) for n in names), "not ok", "tokens per correct")
    rows = []
    for cell in view.ranked(report):
        name = escape(view.shown_name(cell))
        rows.append(
            (
                f"**{name}**" if cell is best else name,
                *(fmt.estimate(cell.metrics.get(metric)) for metric in names),
                ", ".join(f"{n} {status}" for status, n in view.not_ok(cell)) or "0",
                fmt.count(cell.tokens_per_correct),
            )
        )
    yield table(header, rows)
    primary = escape(metric_name(report.primary_metric))
    yield (
        f"Cells are ordered by {primary} ({fmt.direction(report.primary_metric)}), baselines last. "
        "Brackets hold 95% bootstrap intervals. Seconds are in timings.md."
    )
    if not all(cell.exact for cell in report.cells):
        yield f"{view.BOUNDS_NOTE}."


def _comparisons(report: Report) -> Iterator[str]:
    if not report.comparisons:
        return
    yield "## The best cell against the others"
    header = (
        *("a", "b", "n", "metric", "a minus b", "test", "p"),
        *("both right", "only a", "only b", "both wrong", "flips", "note"),
    )
    yield table(header, [_comparison(comparison) for comparison in report.comparisons])
    if note := view.test_note(report.comparisons):
        yield note


def _comparison(comparison: Comparison) -> tuple[str, ...]:
    return (
        escape(comparison.a),
        escape(comparison.b),
        f"{comparison.n:,}",
        escape(metric_name(comparison.metric)),
        fmt.difference(comparison.difference),
        escape(comparison.test) or fmt.ABSENT,
        escape(fmt.p_value(comparison.p_value)),
        f"{comparison.both_right:,}",
        f"{comparison.only_a:,}",
        f"{comparison.only_b:,}",
        f"{comparison.both_wrong:,}",
        f"{len(comparison.flips):,}",
        escape(comparison.note),
    )


def _cell(cell: CellScore) -> Iterator[str]:
    yield f"## {escape(view.shown_name(cell))}"
    facts = [f"{key}: {value}" for key, value in view.details(cell)]
    if cell.kind == "model":
        facts.append(
            f"tokens: {cell.prompt_tokens:,} prompt, {cell.completion_tokens:,} completion, "
            f"{cell.tokens_evaluated:,} evaluated"
        )
    if facts or cell.verdicts:
        yield bullets((*facts, *cell.verdicts))
    if cell.per_class:
        yield "Per class:"
        yield table(
            ("label", "precision", "recall", "F1", "support"),
            [
                (
                    escape(row.label),
                    fmt.number(row.precision),
                    fmt.number(row.recall),
                    fmt.number(row.f1),
                    f"{row.support:,}",
                )
                for row in cell.per_class
            ],
        )
    if cell.confusion is not None:
        yield from _confusion(cell.confusion)


def _confusion(confusion: Confusion) -> Iterator[str]:
    if view.is_matrix(confusion):
        yield "Confusion, rows gold, columns answers:"
        yield table(
            ("gold", *map(escape, confusion.labels), "no answer"),
            [
                (escape(label), *(f"{count:,}" for count in row))
                for label, row in zip(confusion.labels, confusion.counts, strict=True)
            ],
        )
        return
    yield f"The commonest confusions of {len(confusion.labels)} labels:"
    yield table(
        ("gold", "answer", "count"),
        [
            (escape(c.gold), "no answer" if c.answer is None else escape(c.answer), f"{c.count:,}")
            for c in view.confusions(confusion)
        ],
    )


def _disagreements(report: Report) -> Iterator[str]:
    if not report.disagreements:
        return
    yield "## Where the cells disagree"
    order = [cell.name for cell in view.ranked(report)]
    rows = []
    for item in report.disagreements:
        answers = [
            f"{'✓' if group.right else '✗'} {escape(group.answer)}: "
            + ", ".join(map(escape, group.cells))
            for group in view.answer_groups(report.kind, item, order)
        ]
        rows.append(
            (escape(item.item_id), escape(item.excerpt), escape(item.gold), "<br>".join(answers))
        )
    yield table(("item", "excerpt", "gold", "answers"), rows)


def _settings(report: Report) -> Iterator[str]:
    if report.settings:
        yield "## Settings"
        rows = [(escape(key), escape(report.settings[key])) for key in sorted(report.settings)]
        yield table(("setting", "value"), rows)


def bullets(sentences: Iterable[str]) -> str:
    """A list of untrusted sentences."""
    return "\n".join(f"- {escape(sentence)}" for sentence in sentences)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts that are escaped already."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
