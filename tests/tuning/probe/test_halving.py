"""Which members are tried on all items, where to try each on them is much work."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gateway.tuning.probe.choose import POOLINGS, candidates
from gateway.tuning.probe.fit import Choice, Data
from gateway.tuning.probe.halving import Halving, Rounds, part_of, work
from gateway.tuning.probe.states import StateStore

ITEMS, LABELS, TOLD = 180, 3, 4


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    with StateStore(tmp_path / "states.sqlite", "a model") as opened:
        yield opened


@pytest.fixture(scope="module")
def data() -> Data:
    """Of four layers, of which the last alone tells the label."""
    draws = np.random.default_rng(0)
    golds = np.arange(ITEMS) % LABELS
    states = {
        layer: draws.normal(size=(ITEMS, 2, 6)).astype(np.float32) for layer in range(1, TOLD + 1)
    }
    states[TOLD][:, :, 0] += 3.0 * golds[:, None]
    return Data(states, ["sun elm"] * ITEMS, golds, LABELS)


FOLDS = np.arange(ITEMS) // LABELS % 3
CHOICES = candidates(range(1, TOLD + 1), words=True)


def halving(data: Data, store: StateStore, share: float, said: list[str] | None = None) -> Halving:
    """One that may do a share of the whole work without a round."""

    def begin(what: str, _: int) -> object:
        (said if said is not None else []).append(what)
        return lambda: None

    most = share * work(CHOICES, data, 3)
    return Halving(data, FOLDS, store, begin, most_work=most)  # type: ignore[arg-type]


def test_little_work_is_done_without_a_round(data: Data, store: StateStore) -> None:
    said: list[str] = []
    assert halving(data, store, 1.0, said).worth_trying(CHOICES) == (CHOICES, Rounds())
    assert not said


def test_what_tells_something_is_left_of_each_pooling_and_words_always(
    data: Data, store: StateStore
) -> None:
    left, rounds = halving(data, store, 0.4).worth_trying(CHOICES)
    assert {choice.layer for choice in left} == {0, TOLD}
    assert {choice.pooling for choice in left if choice.layer} == set(POOLINGS)
    assert [c for c in left if not c.layer] == [c for c in CHOICES if not c.layer]
    assert rounds.left == len(left) < rounds.tried == len(CHOICES)
    assert rounds.items == (30, 60), "ten of each label at least, then a third of all"


def test_work_that_no_number_of_rounds_makes_little_ends_all_the_same(
    data: Data, store: StateStore
) -> None:
    said: list[str] = []
    left, rounds = halving(data, store, 0.0, said).worth_trying(CHOICES)
    assert len(rounds.items) == len(said) == 4
    assert {choice.pooling for choice in left if choice.layer} == set(POOLINGS)


def test_where_a_part_is_all_items_none_is_left_out(data: Data, store: StateStore) -> None:
    few = np.arange(10 * LABELS)
    begun = halving(data, store, 0.0)
    all_few = Halving(data.at(few), FOLDS[few], store, begun.begin, most_work=0.0)
    assert all_few.worth_trying(CHOICES) == (CHOICES, Rounds())


def test_rounds_are_kept_and_chosen_alike_again(data: Data, store: StateStore) -> None:
    first = halving(data, store, 0.4).worth_trying(CHOICES)
    assert halving(data, store, 0.4).worth_trying(CHOICES) == first


def test_a_part_has_each_label_and_lies_in_a_larger_part() -> None:
    golds = np.array([0] * 300 + [1] * 30 + [2] * 3)
    small, large = part_of(golds, 1 / 9, 0), part_of(golds, 1 / 3, 0)
    assert np.bincount(golds[small]).tolist() == [34, 10, 3]
    assert set(small) < set(large)
    assert (np.diff(small) > 0).all()


def test_what_was_left_out_is_said_in_a_line() -> None:
    assert str(Rounds(93, 15, (1_111, 3_334))) == (
        "15 of 93 members; the others lost more on 1,111 and then 3,334 items"
    )


def test_work_counts_the_states_that_a_member_reads(data: Data) -> None:
    last, both = Choice(1, "last"), Choice(1, "both")
    assert work([both], data, 3) == 2 * work([last], data, 3) == ITEMS * 12 * LABELS * 3
    assert work([Choice(0)], data, 3) == 0
