"""How long a report takes: 20,000 items, 20 cells and 2 baselines, drawn from a seed.

    scripts/bench report [ITEMS] [CELLS]

run     what `gateway run` does when the last answer is there: score, compare, write the files.
score   `gateway score FOLDER`, a process of its own, from its start to its end.

Seconds of the clock and of the processor; the second are less touched by what else runs.
"""

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from common import show

from gateway.core.digests import digest_text
from gateway.evaluation.predictions import predictions_from
from gateway.evaluation.record import RecordedCell, RecordedItem, RunRecord
from gateway.evaluation.store import Observation
from gateway.evaluation.summary import RunResult, evaluate
from gateway.report.pages.run import write_run
from gateway.scoring.results import Prediction, Status

LABELS = ("bug", "feature", "question")


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


def reported(record: RunRecord, answers: dict[str, dict[str, Observation]], folder: Path) -> None:
    """As `gateway run` ends."""
    predictions = predictions_from(record, answers)
    report = evaluate(record, predictions, answers)
    write_run(RunResult(record, predictions, report, ()), folder)


def timed(who: int, what: Callable[[], object]) -> list[str]:
    begun, before = time.perf_counter(), resource.getrusage(who)
    what()
    seconds, after = time.perf_counter() - begun, resource.getrusage(who)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return [f"{seconds:.1f}", f"{used:.1f}"]


def main() -> None:
    items, cells = (int(word) for word in [*sys.argv[1:], *("20000", "20")[len(sys.argv) - 1 :]])
    record, answers = made(items, cells)
    with TemporaryDirectory() as made_here:
        folder = Path(made_here) / "report"
        run = timed(resource.RUSAGE_SELF, lambda: reported(record, answers, folder))
        command = [sys.executable, "-m", "gateway", "score", str(folder)]
        score = timed(
            resource.RUSAGE_CHILDREN,
            lambda: subprocess.run(command, check=True, capture_output=True),
        )
    title = f"A report of {items:,} items, {cells} cells and 2 baselines"
    show(title, ["", "seconds", "of processor"], [["run", *run], ["score", *score]])


if __name__ == "__main__":
    main()
