from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import ConfigError, DataError
from gateway.tasks.task import Item
from gateway.tuning.checks.split import check_share, split
from tests.tuning.samples import item, items, words

GOLDS = st.lists(st.sampled_from(["bug", "feature", "question"]), min_size=12, max_size=60)
SHARES = st.floats(0.1, 0.2)


def unlike(golds: list[str]) -> list[Item]:
    return [item(f"i{n}", words(n), gold, n, body="") for n, gold in enumerate(golds)]


@settings(max_examples=15, deadline=None)
@given(GOLDS, SHARES, st.integers(0, 5))
def test_every_item_is_on_one_side_in_the_order_of_the_data(
    golds: list[str], share: float, seed: int
) -> None:
    data = unlike(golds)
    made = split(data, share, seed)
    assert [i for i in data if i in made.train] == list(made.train)
    assert [i for i in data if i in made.validation] == list(made.validation)
    assert len(made.train) + len(made.validation) == len(data)
    assert not {i.id for i in made.train} & {i.id for i in made.validation}


@settings(max_examples=15, deadline=None)
@given(GOLDS, SHARES)
def test_each_label_has_its_share_to_within_one(golds: list[str], share: float) -> None:
    made = split(unlike(golds), share)
    held, every = Counter(i.gold for i in made.validation), Counter(golds)
    assert sum(held.values()) == round(share * len(golds))
    for label in every:
        exact = round(share * len(golds)) * every[label] / len(golds)
        assert abs(held[label] - exact) < 1


@settings(max_examples=10)
@given(st.permutations(items(24)))
def test_seed_and_ids_choose_not_the_order(shuffled: list[Item]) -> None:
    want = {i.id for i in split(items(24), 0.2, 3).validation}
    assert {i.id for i in split(shuffled, 0.2, 3).validation} == want


def test_another_seed_holds_out_others() -> None:
    chosen = {tuple(i.id for i in split(items(60), 0.15, seed).validation) for seed in range(5)}
    assert len(chosen) == 5


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=20, max_size=40), st.integers(0, 3))
def test_copies_stay_on_one_side(texts: list[int], seed: int) -> None:
    data = [
        item(f"i{n}", words(t) if n % 2 else words(t).upper(), "bug", n)
        for n, t in enumerate(texts)
    ]
    try:
        made = split(data, 0.2, seed)
    except DataError:
        return  # Every family is larger than the share.
    trained = {i.fields["title"].lower() for i in made.train}
    assert not trained & {i.fields["title"].lower() for i in made.validation}


def test_numbers_are_stratified_by_fifths_and_json_by_its_values() -> None:
    numbers = [item(f"n{n}", words(n), float(n), n) for n in range(100)]
    held = [i.gold for i in split(numbers, 0.2).validation]
    assert Counter(int(gold // 20) for gold in held if isinstance(gold, float)) == dict.fromkeys(
        range(5), 4
    )
    fields = [item(f"j{n}", words(n), {"type": "ab"[n % 2]}, n) for n in range(40)]
    kinds = [i.gold["type"] for i in split(fields, 0.2).validation if isinstance(i.gold, dict)]
    assert Counter(kinds) == {"a": 4, "b": 4}


def test_what_can_not_be_split_is_refused() -> None:
    same = [item(f"i{n}", words(0)) for n in range(20)]
    for data in (items(1), same, []):
        with pytest.raises(DataError, match="cannot be held out"):
            split(data, 0.15)
    with pytest.raises(ConfigError, match="not between 0 and 1"):
        split(items(9), 1.0)


@pytest.mark.parametrize(("share", "said"), [(0.05, "no figure means much"), (0.5, "in training")])
def test_a_share_outside_the_usual_is_refused_with_the_reason(share: float, said: str) -> None:
    check_share(0.1)
    check_share(0.2)
    with pytest.raises(ConfigError, match=said) as caught:
        check_share(share)
    assert "--any-share" in caught.value.hint
