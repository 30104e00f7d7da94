"""Everything that is checked of labelled data before anything trains on it."""

from collections.abc import Iterator, Sequence

from gateway.core.errors import DataError
from gateway.tasks.similarity import text_of
from gateway.tasks.task import Task
from gateway.tuning.checks import labels, leakage, lengths
from gateway.tuning.checks.duplicates import Copies
from gateway.tuning.checks.findings import Finding, Findings
from gateway.tuning.checks.lengths import LengthLimit
from gateway.tuning.checks.parts import TEST, TRAIN, VALIDATION, Part, named, one_spelling, size
from gateway.tuning.checks.split import HELD_OUT, LEAST_HELD_OUT, MOST_HELD_OUT, split

ENOUGH = 100
"""Training items below which a warning is given. Google's guide to tuning Gemini: 100 to 500
examples change a model's behaviour significantly, with fewer a structured prompt is to be tried
first (ai.google.dev, "Tune a model with AI Studio"; Vertex AI says the same). OpenAI's guide sees
improvements from 50 to 100 (developers.openai.com, "Supervised fine-tuning")."""

LEAST_IMPROVING = 50
"""OpenAI's guide recommends to begin with 50 well-made ones and to look whether they help."""


def check(
    task: Task,
    parts: Sequence[Part],
    *,
    limit: LengthLimit | None = None,
    share: float = HELD_OUT,
    seed: int = 0,
) -> Findings:
    """All findings on the parts of one task's data.

    Args:
        parts: "train", and what there is of "validation", "test" and "exemplars".
        limit: how long an input may be; None: lengths are not checked, which is noted.
        share: held out of "train" where there is no "validation".
        seed: of that split.

    Raises:
        ConfigError: the share is not between 0 and 1.
    """
    parts = one_spelling(parts, task)
    items = [item for part in parts for item in part.items]
    places = [part.place(item) for part in parts for item in part.items]
    copies = Copies([text_of(item) for item in items], [p.name for p in parts for _ in p.items])
    found: list[Finding] = []
    for part in parts:
        found += [Finding("read-as", "warning", note) for note in part.notes]
        found += [Finding("lines", "note", remark) for remark in part.remarks]
        found += labels.unreadable(part)
        found += lengths.empty_inputs(part, task)
    found += leakage.leaks(copies, parts, places)
    for part in parts:
        found += leakage.told_answers(part)
    found += labels.contradictions(copies, places, items)
    found += leakage.repeats(copies, parts, places)
    found += _held_out(parts, share, seed)
    found += labels.balance(parts, task)
    found += labels.spellings(parts, task)
    if limit is not None:
        for part in parts:
            found += lengths.long_inputs(part, limit)
    found += _unchecked(parts, limit)
    return Findings.of(found, {part.name: len(part.items) for part in parts})


def _held_out(parts: Sequence[Part], share: float, seed: int) -> Iterator[Finding]:
    """How many items are trained on and how many held out."""
    train, validation = named(parts, TRAIN), named(parts, VALIDATION)
    if train is None:
        return
    trained = len(train.items)
    if validation is None:
        try:
            made = split(train.items, share, seed)
        except DataError as error:
            yield Finding("no-split", "error", error.message, error.hint)
        else:
            trained = len(made.train)
            yield Finding(
                "held-out",
                "note",
                f"no validation data: {len(made.validation):,} of {len(train.items):,} training "
                f"items would be held out (share {share:g}, stratified, seed {seed})",
                "gateway data split writes the two files",
            )
    elif trained:
        yield from _given_share(len(validation.items) / (trained + len(validation.items)))
    yield from _too_few(trained)


def _given_share(share: float) -> Iterator[Finding]:
    if not LEAST_HELD_OUT <= share <= MOST_HELD_OUT:
        yield Finding(
            "held-out-share",
            "warning",
            f"validation is {share:.0%} of what is trained on and held out; "
            f"{LEAST_HELD_OUT:.0%} to {MOST_HELD_OUT:.0%} is usual",
            "gateway data split holds out a share",
        )


def _too_few(trained: int) -> Iterator[Finding]:
    if trained >= ENOUGH:
        return
    seen = (
        "OpenAI sees improvements from 50 to 100"
        if trained >= LEAST_IMPROVING
        else "OpenAI advises to begin with 50"
    )
    yield Finding(
        "too-few",
        "warning",
        f"{size(trained, 'example')} to train on, fewer than {ENOUGH}: {seen} (guide to supervised "
        "fine-tuning), Google 100 to 500 to change a model's behaviour (guide to tuning Gemini)",
        "label more, or try exemplars first: gateway run --strategy few_shot",
    )


def _unchecked(parts: Sequence[Part], limit: LengthLimit | None) -> Iterator[Finding]:
    """What could not be looked at."""
    if named(parts, TEST) is None:
        yield Finding(
            "no-test", "note", "no test data: nothing was checked against it", "give --test"
        )
    if limit is None:
        yield Finding("no-lengths", "note", "the lengths of inputs were not checked")
