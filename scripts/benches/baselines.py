"""What the baselines reach on the labelled data of `../shared/data`; no model is asked.

    scripts/bench baselines [issue-reports] [banking77] [bamboo] [mesos] [moodle]

Without a name all of them. With the extra `encoders` a sentence encoder is among them, whose first
reading of the texts takes most of the time: some minutes on two cores, and nothing again.
"""

import csv
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from common import DATA
from rich.console import Console

from gateway.cli.common import show
from gateway.cli.progress import counted
from gateway.evaluation.plan import RunOptions, prepare, record
from gateway.evaluation.summary import evaluate
from gateway.report.pages.run import brief

ISSUES, BANKING = DATA / "issue-reports", DATA / "banking77"
SETS = {
    "issue-reports": partial(
        RunOptions, "issue-triage", str(ISSUES / "test.csv"), train=str(ISSUES / "train.csv"),
        per="repo",
    ),
    "banking77": partial(
        RunOptions, "intent", str(BANKING / "test.csv"), train=str(BANKING / "train.csv"),
        metric="accuracy",
    ),
}  # fmt: skip
PROJECTS = ("bamboo", "mesos", "moodle")


def parts(project: str, folder: Path) -> RunOptions:
    """A project of story points, learned from its parts train and val."""
    csv.field_size_limit(10**9)
    with (DATA / "story-points" / f"{project}.csv").open(newline="", encoding="utf-8") as file:
        names, *rows = csv.reader(file)
    at = names.index("split_mark")
    for name in ("train", "test"):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            of = [row for row in rows if (row[at] == "test") == (name == "test")]
            csv.writer(file).writerows([names, *of])
    return RunOptions("story-points", str(folder / "test.csv"), train=str(folder / "train.csv"))


@contextmanager
def options(name: str) -> Iterator[RunOptions]:
    with TemporaryDirectory() as folder:
        yield parts(name, Path(folder)) if name in PROJECTS else SETS[name]()


def main() -> None:
    console = Console(stderr=True)
    for name in sys.argv[1:] or (*SETS, *PROJECTS):
        begun = time.perf_counter()
        with options(name) as wanted:
            counting = partial(counted, "texts encoded", console=console)
            prepared = prepare(replace(wanted, strategies=("zero_shot",), counting=counting))
            found = evaluate(record(prepared, []), {}, {}, compare=False)
        print(f"\n# {name}: {len(prepared.clean):,} items learned", flush=True)
        show(brief(found))
        print(f"# {time.perf_counter() - begun:.1f} s", flush=True)


main()
