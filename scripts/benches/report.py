"""How long a report takes: 20,000 items, 20 cells and 2 baselines, drawn from a seed.

    scripts/bench report [ITEMS] [CELLS]

read    the answers of all cells, from their store.
run     what `gateway run` does then: score, compare, write the files.
both    one after the other.
report  `gateway report RUN`, which does the same: a process of its own, from its start to its end.
score   `gateway score FOLDER`, likewise.

Seconds of the clock and of the processor; the second are less touched by what else runs.
"""

import gc
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np
from common import show

from gateway.core.collecting import uncollected
from gateway.core.digests import canonical_json, digest_text
from gateway.evaluation.predictions import predictions_from
from gateway.evaluation.record import RecordedCell, RecordedItem, RunRecord
from gateway.evaluation.store import Observation, Store
from gateway.evaluation.summary import RunResult, evaluate
from gateway.report.pages.run import write_run
from gateway.scoring.results import Prediction, Status

LABELS = ("bug", "feature", "question")
Made = TypeVar("Made")


def made(items: int, cells: int) -> tuple[RunRecord, dict[str, dict[str, Observation]]]:
    """A run and its answers: each cell is right more often than the one before it."""
    generator = np.random.default_rng(0)
    golds = generator.integers(len(LABELS), size=items)
    recorded = tuple(
        RecordedItem(f"i{at}", digest_text(str(at)), LABELS[gold], f"text {at}")
        for at, gold in enumerate(golds.tolist())
    )
    names = [f"m{at}/zero_shot" for at in range(cells)]
    answers = {}
    for at, name in enumerate(names):
        scores = generator.gumbel(size=(items, len(LABELS)))
        scores[np.arange(items), golds] += 1 + at / cells
        answers[name] = {
            item.digest: Observation(
                Status.OK,
                labels=LABELS,
                logprobs=tuple(row),
                token_counts=(1,) * len(LABELS),
                byte_counts=tuple(map(len, LABELS)),
                prompt_tokens=100,
                tokens_evaluated=103,
                fingerprint=name,
                prompt_digest=item.digest,
            )
            for item, row in zip(recorded, scores.tolist(), strict=True)
        }
    shares = dict.fromkeys(LABELS, 1 / len(LABELS))
    baselines = tuple(
        Prediction(name, item.item_id, Status.OK, LABELS[answer], item.gold, shares)
        for name in ("baseline:majority", "baseline:tfidf-logreg")
        for item, answer in zip(
            recorded, generator.integers(len(LABELS), size=items).tolist(), strict=True
        )
    )
    record = RunRecord(
        task="issue-triage",
        kind="classification",
        primary_metric="macro_f1",
        labels=LABELS,
        rules=("sum",),
        seed=0,
        items=recorded,
        dev=(),
        content_free=(),
        cells=tuple(RecordedCell(name, name, "zero_shot", name, "score", name) for name in names),
        baselines=baselines,
        settings={"clusters": f"{items} of {items} items, by near-copies"},
    )
    return record, answers


Answers = Mapping[str, Mapping[str, Observation]]


def stored(record: RunRecord, answers: Answers, path: Path) -> None:
    """Put all into a store, with one commit: with one an answer it takes longer than the rest."""
    with Store(path) as store:
        store.put_run(record.run_id, record.task, record.text)
    rows = (
        (cell, item, "ok", canonical_json(asdict(observation)), 0.5, 0.25, "")
        for cell, said in answers.items()
        for item, observation in said.items()
    )
    with closing(sqlite3.connect(path)) as database, database:
        database.executemany("INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)", rows)


@uncollected()
def read(record: RunRecord, path: Path) -> Answers:
    """As `gateway run` reads what the store has."""
    with Store(path) as store:
        return {cell.name: store.answers(cell.digest) for cell in record.cells}


def reported(record: RunRecord, answers: Answers, folder: Path) -> None:
    """As `gateway run` ends."""
    predictions = predictions_from(record, answers)
    report = evaluate(record, predictions, answers)
    write_run(RunResult(record, predictions, report, ()), folder)


@dataclass(frozen=True)
class Took:
    """Seconds of the clock and of the processor."""

    clock: float
    processor: float

    def row(self, name: str) -> list[str]:
        return [name, f"{self.clock:.1f}", f"{self.processor:.1f}"]


def timed(what: Callable[[], Made], who: int = resource.RUSAGE_SELF) -> tuple[Made, Took]:
    begun, before = time.perf_counter(), resource.getrusage(who)
    found = what()
    seconds, after = time.perf_counter() - begun, resource.getrusage(who)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return found, Took(seconds, used)


def command(*words: str | Path) -> Took:
    """How long a command of the gateway takes."""
    line = [sys.executable, "-m", "gateway", *map(str, words)]
    return timed(
        lambda: subprocess.run(line, check=True, capture_output=True), resource.RUSAGE_CHILDREN
    )[1]


def main() -> None:
    items, cells = (int(word) for word in [*sys.argv[1:], *("20000", "20")[len(sys.argv) - 1 :]])
    with TemporaryDirectory() as made_here:
        store, folder = Path(made_here) / "store.sqlite", Path(made_here) / "report"
        record, answers = made(items, cells)
        stored(record, answers, store)
        # What made them would be looked at again and again by the garbage collector.
        del answers
        gc.collect()
        known, reading = timed(lambda: read(record, store))
        _, run = timed(lambda: reported(record, known, folder))
        both = Took(reading.clock + run.clock, reading.processor + run.processor)
        again = Path(made_here) / "again"
        report = command("report", record.run_id, "--store", store, "--out", again)
        score = command("score", folder)
    took = {"read": reading, "run": run, "both": both, "report": report, "score": score}
    title = f"A report of {items:,} items, {cells} cells and 2 baselines"
    show(title, ["", "seconds", "of processor"], [each.row(name) for name, each in took.items()])


if __name__ == "__main__":
    main()
