from pathlib import Path

import pytest

from gateway.core.errors import ConfigError, DataError
from gateway.models.environment import shipped
from gateway.tasks.exemplars import ExemplarSelector, dev_split, without_near_duplicates
from gateway.tasks.task import Item, load_task

SHIPPED = shipped("prompts")
TASK = load_task("issue-triage", SHIPPED)
LABELS = ("bug", "feature", "question")
WORDS = "amber birch cedar dune elm fjord grove heath iris jade kelp lichen moss nettle oak".split()  # noqa: SIM905


def item(name: str, text: str, label: str) -> Item:
    return Item(name, {"title": text, "body": ""}, label, None, f"digest of {text}")


TRAIN = [
    item(f"t{n}", f"{word} {word}ish thing {n}", LABELS[n % 3]) for n, word in enumerate(WORDS)
]


def make(
    kind: str, test: list[Item], *, train: list[Item] = TRAIN, **more: int
) -> ExemplarSelector:
    settings = {"count": 2, "nearest": 4, "seed": 0, **more}
    return ExemplarSelector.make(
        kind, task=TASK, labels=LABELS, train=train, test=test, root=SHIPPED, **settings
    )


def test_stratified_exemplars_are_so_many_of_each_label_and_the_same_for_all() -> None:
    asked = [item("q1", "something else", "bug"), item("q2", "and another", "bug")]
    selector = make("stratified", asked)
    shown = selector.select(asked[0])
    assert shown == selector.select(asked[1])
    golds = [exemplar.gold for exemplar in shown]
    assert {label: golds.count(label) for label in LABELS} == dict.fromkeys(LABELS, 2)
    assert tuple(e.item_id for e in shown) == selector.ids == tuple(selector.describe()["ids"])


def test_the_seed_decides_choice_and_order_and_nothing_else_does() -> None:
    asked = [item("q", "something", "bug")]
    first = make("stratified", asked)
    assert make("stratified", asked, train=TRAIN[::-1]).ids == first.ids
    assert make("stratified", asked, seed=1).ids != first.ids
    assert make("stratified", asked, seed=1).digest != first.digest


@pytest.mark.parametrize("kind", ["stratified", "nearest"])
def test_no_test_item_and_no_near_duplicate_is_ever_shown(kind: str) -> None:
    copies = [item(f"c{i.id}", f"{i.fields['title'].upper()}!", str(i.gold)) for i in TRAIN[:6]]
    selector = make(kind, [*TRAIN[6:9], *copies], nearest=50)
    for asked in copies:
        shown = {exemplar.item_id for exemplar in selector.select(asked)}
        assert shown
        assert f"t{asked.id[2:]}" not in shown
        assert not shown & {"t6", "t7", "t8"}


def test_the_nearest_comes_last() -> None:
    asked = item("q", "jade jadeish question", "bug")
    shown = make("nearest", [asked]).select(asked)
    assert len(shown) == 4
    assert shown[-1].item_id == "t9"
    assert make("nearest", [asked]).ids == ()


def test_fixed_exemplars_come_in_the_order_of_their_file() -> None:
    selector = make("fixed", [], train=[])
    assert selector.ids == ("x1", "x2", "x3", "x4", "x5", "x6")
    assert selector.notes == ()


def test_a_fixed_exemplar_that_is_asked_about_is_left_out_and_said_so() -> None:
    first = make("fixed", [], train=[]).select(TRAIN[0])[0]
    text = "\n".join(first.fields.values())
    selector = make("fixed", [item("q", text, "bug")], train=[])
    assert "x1" not in selector.ids
    assert "x1" in selector.notes[0]


def test_what_can_not_be_chosen_is_an_error() -> None:
    with pytest.raises(ConfigError, match="come from training data"):
        make("nearest", [], train=[])
    with pytest.raises(ConfigError, match="cannot be chosen by 'random'"):
        make("random", [])
    with pytest.raises(DataError, match="has 5 items of 'bug'"):
        make("stratified", [], count=6)


def test_fixed_exemplars_need_their_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"exemplars\.jsonl: no such file"):
        ExemplarSelector.make(
            "fixed",
            task=TASK,
            labels=LABELS,
            count=1,
            nearest=1,
            train=(),
            test=(),
            seed=0,
            root=tmp_path,
        )


def test_the_dev_split_holds_no_exemplar_and_no_test_item() -> None:
    asked = [TRAIN[0], item("q", TRAIN[1].fields["title"] + "?", "bug")]
    dev = dev_split(TRAIN, test=asked, exclude_ids={"t2", "t3"}, size=9, seed=0)
    assert len(dev) == 9
    assert not {i.id for i in dev} & {"t0", "t1", "t2", "t3"}
    golds = [i.gold for i in dev]
    assert {golds.count(label) for label in LABELS} <= {2, 3, 4}


def test_a_dev_split_of_nothing_is_an_error() -> None:
    with pytest.raises(DataError, match="no training item is left"):
        dev_split(TRAIN[:2], test=TRAIN, exclude_ids=(), size=2, seed=0)


def test_nothing_is_near_an_empty_set() -> None:
    assert without_near_duplicates(TRAIN, []) == (TRAIN, [])
    assert without_near_duplicates([], TRAIN) == ([], [])
