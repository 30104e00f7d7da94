"""Answers that are kept as columns are the answers that were put, and say the same."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import DataError
from gateway.evaluation.predictions import predictions_from
from gateway.evaluation.record import RecordedCell, RecordedItem, RunRecord
from gateway.evaluation.store import IN_MEMORY, Observation, Store, observed_of
from gateway.evaluation.summary import evaluate
from gateway.scoring.results import Status

LABELS = ("bug", "feature", "question")
NATS = st.floats(-30, 0)


@st.composite
def scored(draw: st.DrawFn) -> Observation:
    """An answer by label scores, some of them bounds or unfinished."""
    known = Observation(
        Status.OK,
        labels=LABELS,
        logprobs=tuple(draw(st.lists(NATS, min_size=3, max_size=3))),
        token_counts=(1, 2, 3),
        byte_counts=(3, 7, 8),
        retries=draw(st.integers(0, 1)),
        cached_tokens=draw(st.none() | st.integers(0, 9)),
        prompt_tokens=draw(st.integers(1, 99)),
        exemplars=("a",),
        prompt_digest=draw(st.sampled_from(["", "x", "y"])),
        shortened=draw(st.none() | st.just({"text": (9, 5)})),
    )
    if draw(st.booleans()):
        return known
    low = min(known.logprobs)
    parted = (known.logprobs[0], low, low)
    groups = draw(st.sampled_from([(), ((1, 2),)]))
    return replace(
        known, logprobs=parted, bounds=(False, True, True), unfinished=groups, exact=False
    )


WITHOUT = st.builds(
    Observation,
    status=st.sampled_from([each for each in Status if each is not Status.OK]),
    reason=st.text(max_size=3) | st.just("\ud800"),
    thought_cut=st.booleans(),
    reasoning_cut=st.just(True),
)
ANSWERS = st.lists(scored() | WITHOUT, min_size=3, max_size=9)


def kept(answers: list[Observation], cell: str = "cell") -> Store:
    store = Store(IN_MEMORY)
    for at, each in enumerate(answers):
        store.put(cell, f"d{at}", each, 0.5, 0.25)
    return store


@given(ANSWERS)
@settings(max_examples=60, deadline=None)
def test_they_are_the_answers_that_were_put(answers: list[Observation]) -> None:
    with kept(answers) as store:
        found = store.answers("cell")
        seconds = store.seconds("cell")
    keys = [f"d{at}" for at in range(len(answers))]
    assert [found[key] for key in keys] == answers
    assert repr([found[key] for key in keys]) == repr(answers)
    assert list(observed_of(found, keys[::-1])) == answers[::-1]
    assert seconds == dict.fromkeys(keys, (0.5, 0.25))
    with pytest.raises(KeyError):
        found["another"]
    assert "another" not in found


def record_of(answers: list[Observation], kind: str) -> RunRecord:
    items = tuple(
        RecordedItem(f"i{at}", f"d{at}", LABELS[at % 3], "text") for at in range(len(answers))
    )
    searched = "cal" if kind == "searched" else ""
    return RunRecord(
        task="t",
        kind="classification",
        primary_metric="macro_f1",
        labels=LABELS,
        rules=("sum", "mean", "per_byte"),
        seed=0,
        items=items,
        dev=(),
        content_free=(),
        cells=(RecordedCell("m/s", "m", "s", "cell", "score", "f", calibration=searched),),
        baselines=(),
    )


@given(ANSWERS, st.sampled_from(["plain", "searched"]))
@settings(max_examples=8, deadline=None)
def test_they_say_what_single_answers_say(answers: list[Observation], kind: str) -> None:
    record = record_of(answers, kind)
    with kept(answers) as store:
        by_column = store.answers("cell", record.cells[0].calibration)
    singly = dict(by_column)
    columns, objects = (predictions_from(record, {"cell": each}) for each in (by_column, singly))
    assert columns == objects
    reports = [
        evaluate(record, predictions, {"m/s": known})
        for predictions, known in ((columns, by_column), (objects, singly))
    ]
    assert reports[0] == reports[1]


def put_body(store: Store, item: str, body: dict[str, Any]) -> None:
    store._db.execute(
        "INSERT INTO answers VALUES (?, ?, 'ok', ?, 1, 1, '')", ("cell", item, json.dumps(body))
    )


def test_answers_of_another_version_stand_beside_those_of_this_one() -> None:
    with kept([Observation(Status.OK, text="new", retries=3)]) as store:
        put_body(store, "old", {"status": "ok", "text": "old"})
        put_body(store, "later", {"status": "ok", "text": "later", "of tomorrow": 1})
        found = store.answers("cell")
    assert {key: each.text for key, each in found.items()} == {
        "d0": "new",
        "old": "old",
        "later": "later",
    }
    assert (found["old"].retries, found["d0"].retries) == (0, 3)


def test_what_is_no_answer_is_said() -> None:
    with kept([Observation(Status.OK)]) as store:
        put_body(store, "wrong", {"status": "fine"})
        with pytest.raises(DataError, match=r"no answer: observation\.status is 'fine'"):
            store.answers("cell")


def test_a_cell_s_own_answers_go_before_those_it_is_calibrated_by() -> None:
    first, second = (Observation(Status.OK, text=text) for text in ("first", "second"))
    with kept([first, first]) as store:
        store.put("own", "d1", second, 1, 1)
        found = store.answers("own", "cell")
        assert store.answers("own", "nothing") == {"d1": second}
        assert store.answers("nothing", "cell") == {"d0": first, "d1": first}
    assert found == {"d0": first, "d1": second}
