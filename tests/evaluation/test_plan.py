from dataclasses import replace
from pathlib import Path

import pytest

from gateway.core.errors import ConfigError, DataError
from gateway.evaluation.plan import EXCERPT_CHARACTERS, excerpt, prepare, record
from gateway.evaluation.run import Cell
from gateway.scoring.rules import ScoreRule
from gateway.tasks.task import Item
from tests.support.grids import prepared


def test_without_training_data_only_the_plain_rule_is_used(tmp_path: Path) -> None:
    plan = prepared(tmp_path, "scored").plan
    assert plan.rules == (ScoreRule.SUM,)
    assert plan.dev == ()


def test_training_data_brings_batch_calibration_and_baselines(tmp_path: Path) -> None:
    plain, made = prepared(tmp_path, "scored"), prepared(tmp_path, "scored", "shown", train=True)
    assert made.plan.rules == (ScoreRule.SUM, ScoreRule.BATCH)
    assert made.plan.strategies[1].selector is not None
    shown = set(made.plan.strategies[1].selector.ids)
    assert len(made.plan.dev) == 8, "each strategy leaves its own exemplars out"
    named = prepare(replace(made.wanted, dev_size=8)).plan
    assert len(named.dev) == 8 - len(shown)
    assert not {item.id for item in named.dev} & shown
    assert record(plain, []).baselines == ()
    names = {p.cell for p in record(made, []).baselines}
    assert names == {"baseline:majority", "baseline:tfidf-logreg"}


def test_where_no_label_is_scored_there_is_no_rule(tmp_path: Path) -> None:
    assert prepared(tmp_path, "written", train=True).plan.rules == ()


def test_rules_are_checked_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown score rule") as caught:
        prepared(tmp_path, "scored", rules=("best",))
    assert "per_byte" in caught.value.hint
    with pytest.raises(ConfigError, match="never on the test items"):
        prepared(tmp_path, "scored", rules=("batch",))


def test_labels_of_the_data_come_from_the_whole_of_it(tmp_path: Path) -> None:
    base = prepared(tmp_path, "scored").wanted
    task = base.prompts / "mine" / "task.toml"
    task.write_text(task.read_text().split("[[labels]]")[0])
    assert prepare(replace(base, limit=1)).plan.labels == ("no", "yes")
    only = tmp_path / "only.csv"
    only.write_text("label,text\nyes,a\nyes,b\n")
    with pytest.raises(DataError, match="holds 1 labels"):
        prepare(replace(base, data=str(only)))


def test_the_record_knows_what_made_it(tmp_path: Path) -> None:
    made = prepared(tmp_path, "shown", train=True, limit=6)
    cell = Cell("fake", "shown", "d", "score", "f", {"weights": "w"})
    said = record(made, [cell])
    assert said.settings["items"] == "6 (limit 6)"
    assert said.settings["fake weights"] == "w"
    assert said.settings["data digest"] == made.data.digest
    assert {"train digest", "template shown", "exemplars shown", "seed"} <= set(said.settings)
    assert len(said.items) == 6


def test_an_excerpt_is_one_short_line() -> None:
    item = Item("i", {"title": "a\n b", "none": "", "body": "x" * 1000}, None, None, "")
    line = excerpt(item)
    assert line.startswith("a b / xxx")
    assert len(line) == EXCERPT_CHARACTERS


def test_items_without_any_text_are_reported(tmp_path: Path) -> None:
    base = prepared(tmp_path, "scored").wanted
    path = tmp_path / "empty.csv"
    path.write_text("id,label,text\na,yes,\nb,no, \nc,no,x\n")
    warnings = record(prepare(replace(base, data=str(path))), []).warnings
    assert warnings == ("2 items have no text at all, a the first.",)


def test_training_items_that_are_test_items_teach_nothing(tmp_path: Path) -> None:
    base = prepared(tmp_path, "scored", train=True).wanted
    mixed = tmp_path / "mixed.csv"
    mixed.write_text((tmp_path / "train.csv").read_text() + "x,no,AMBER amberish!\n")
    made = prepare(replace(base, train=str(mixed)))
    kept = " ".join(item.id for item in made.clean)
    assert kept == "moss nettle oak pine quartz reed sage thorn"
    assert record(made, []).warnings[0].startswith("1 of 9 training items are (nearly) test items")
    with pytest.raises(DataError, match="every training item is"):
        prepare(replace(base, train=base.data))


def test_equal_numbers_are_one_label_of_both_files_and_the_record_says_so(tmp_path: Path) -> None:
    base = prepared(tmp_path, "scored").wanted
    task = base.prompts / "open"
    task.mkdir()
    source = (base.prompts / "mine" / "task.toml").read_text().partition("[[labels]]")[0]
    (task / "task.toml").write_text(source)
    (task / "scored.j2").write_text((base.prompts / "mine" / "scored.j2").read_text())
    for name, form in (("train", "d"), ("test", ".1f")):
        lines = [f"{name}{n} of{name}{n},{format(n % 2, form)}\n" for n in range(8)]
        (tmp_path / f"{name}.csv").write_text("text,label\n" + "".join(lines))
    test, train = str(tmp_path / "test.csv"), str(tmp_path / "train.csv")
    made = prepare(replace(base, task="open", data=test, train=train))
    assert made.plan.labels == ("0", "1")
    assert {item.gold for item in made.plan.items} == {"0", "1"}
    (told,) = (w for w in record(made, []).warnings if "equal ones are one label" in w)
    assert told.startswith("test.csv: all labels are numbers")
