"""What fine-tuning was worth, said; its files hold seconds as measured."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from gateway.evaluation.tuning_gain import BeforeAfter
from gateway.report import format as fmt
from gateway.report.claims import told_apart
from gateway.report.files import write_files
from gateway.report.json import dumped
from gateway.report.markdown import render_markdown
from gateway.report.sections import Column, Document, Section, by_columns
from gateway.scoring.metrics import metric_name

FILES = ("worth.md", "worth.json")
"""What `write` writes."""


def write(found: BeforeAfter, out_dir: Path) -> None:
    """Write both beside the comparison's own files.

    Raises:
        StoreError: the folder or a file in it cannot be written.
    """
    metric = found.outcome.metric
    tuned, prompt = found.tuned, found.best_prompt
    values = {
        "metric": metric,
        "tuned": {"cell": tuned.name, **asdict(tuned.metrics[metric])},
        "best_prompt": {"cell": prompt.name, **asdict(prompt.metrics[metric])},
        "difference": asdict(found.comparison.difference),
        "costs": [asdict(cost) for cost in found.costs],
        "training": found.training and asdict(found.training),
        "break_even": {cost.cell: asdict(found.break_even(cost.cell)) for cost in found.costs[:-1]},
        "neutral_text": found.readings and [asdict(reading) for reading in found.readings],
    }
    part = section(found)
    shown = render_markdown(Document(part.title, (replace(part, title=""),)))
    write_files({"worth.md": shown, "worth.json": dumped(values)}, out_dir)


def section(found: BeforeAfter) -> Section:
    """The last section of the comparison's page."""
    costs = found.costs
    table = by_columns(
        "Means an item. Evaluated are the tokens of the prompt and of all labels; a beginning that "
        "prompts have in common is kept, so that it takes no seconds again.",
        "cell",
        tuple(cost.cell for cost in costs),
        (
            Column("prompt tokens", tuple(fmt.count(cost.prompt) for cost in costs)),
            Column("evaluated", tuple(fmt.count(cost.evaluated) for cost in costs)),
            Column("seconds", tuple(fmt.seconds(cost.seconds) for cost in costs)),
        ),
    )
    return Section("worth", "What fine-tuning was worth", tuple(_sentences(found)), (table,))


def _sentences(found: BeforeAfter) -> Iterator[str]:
    tuned, prompt, pair = found.tuned, found.best_prompt, found.comparison
    result = pair.contest
    metric = found.outcome.metric
    yield (
        f"{metric_name(metric)} {fmt.estimate(tuned.metrics[metric])} against "
        f"{fmt.estimate(prompt.metrics[metric])} of {prompt.name}, the first of the prompts: "
        f"{fmt.difference(pair.difference)}; {told_apart(pair.claim, result.a, result.b)}."
    )
    for name in ("conformance", "ece"):
        if name in tuned.metrics and name in prompt.metrics:
            yield (
                f"{metric_name(name)} {fmt.number(prompt.metrics[name].value)} before, "
                f"{fmt.number(tuned.metrics[name].value)} after."
            )
    yield _forgetting(found)
    yield from _paid_back(found)


def _forgetting(found: BeforeAfter) -> str:
    if found.readings is None:
        return "What it forgot is not known: give --neutral a text from elsewhere."
    before, after = (reading.perplexity for reading in found.readings)
    change = after.value / before.value - 1
    return (
        f"Perplexity of the neutral text {before.value:.2f} ± {before.reach:.2f} before, "
        f"{after.value:.2f} ± {after.reach:.2f} after ({change:+.1%}, "
        f"{found.readings[0].tokens:,} tokens)."
    )


def _paid_back(found: BeforeAfter) -> Iterator[str]:
    if found.training is None:
        yield "What the training took is not known, so there is no break-even."
        return
    yield f"Training took {found.training.seconds:,.0f} s for {found.training.tokens:,} tokens."
    for cost in found.costs[:-1]:
        even = found.break_even(cost.cell)
        yield (
            f"Against {cost.cell} that is paid back after {_items(even.by_seconds)} by seconds, "
            f"{_items(even.by_tokens)} by tokens."
        )


def _items(count: float | None) -> str:
    return "no number of items" if count is None else fmt.plural(round(count), "item")
