"""What fine-tuning was worth, as files: worth.md and worth.json, which hold seconds as measured."""

from dataclasses import asdict
from pathlib import Path

from gateway.evaluation.worth import BeforeAfter
from gateway.report.files import write_files
from gateway.report.jsonfile import dumped
from gateway.report.pages.worth import section
from gateway.report.sections import in_markdown

FILES = ("worth.md", "worth.json")
"""What `write_worth` writes."""


def write_worth(found: BeforeAfter, out_dir: Path) -> None:
    """Write both beside the comparison's own files.

    Raises:
        StoreError: the folder or a file in it can not be written.
    """
    metric = found.outcome.metric
    tuned, prompt = found.tuned, found.best_prompt
    values = {
        "metric": metric,
        "tuned": {"cell": tuned.name, **asdict(tuned.metrics[metric])},
        "best_prompt": {
            "cell": prompt.name,
            **asdict(prompt.metrics[metric]),
        },
        "difference": asdict(found.pair.contest.difference),
        "costs": [asdict(cost) for cost in found.costs],
        "training": found.training and asdict(found.training),
        "break_even": {cost.cell: asdict(found.break_even(cost.cell)) for cost in found.costs[:-1]},
        "neutral_text": found.readings and [asdict(reading) for reading in found.readings],
    }
    files = {
        "worth.md": "\n\n".join(in_markdown(section(found))) + "\n",
        "worth.json": dumped(values),
    }
    write_files(files, out_dir)
