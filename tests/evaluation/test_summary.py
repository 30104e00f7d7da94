"""From stored answers to a report, without a clock and without a model."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pytest

from gateway.core.errors import ComparisonRefused, DataError, InvalidRequest
from gateway.evaluation import plan as planning
from gateway.evaluation.predictions import (
    Predictions,
    SavedPredictions,
    answers_of,
    load_predictions,
    predictions_jsonl,
    predictions_of,
    require_same_items,
)
from gateway.evaluation.record import RunRecord
from gateway.evaluation.run import run
from gateway.evaluation.store import Observation, Store
from gateway.evaluation.summary import evaluate, result_of
from gateway.report.sentences import summary_sentences
from gateway.scoring.report import Conclusion, Report
from gateway.scoring.results import Prediction, Status, Verdict
from tests.support.grids import FakePool, prepared


@dataclass
class Ran:
    record: RunRecord
    store: Store
    predictions: Predictions
    report: Report


def ran(root: Path, *strategies: str, pool: FakePool | None = None, train: bool = True) -> Ran:
    plan = prepared(root, *strategies, train=train)
    store = Store(root / "store.sqlite")
    cells = asyncio.run(run(plan.plan, pool or FakePool(), store, lambda _: None))
    record = planning.record(plan, cells)
    predictions = predictions_of(record, store)
    answers = answers_of(record, store)
    store.close()
    return Ran(record, store, predictions, evaluate(record, predictions, answers))


def test_every_rule_is_a_cell_and_so_is_every_baseline(tmp_path: Path) -> None:
    made = ran(tmp_path, "scored", "constrained")
    names = [cell.name for cell in made.report.cells]
    assert names == [
        "fake/scored/sum",
        "fake/scored/batch",
        "fake/constrained",
        "baseline:majority",
        "baseline:tfidf-logreg",
    ]
    scored = made.predictions["fake/scored/sum"]
    assert all(sum((p.probabilities or {}).values()) == pytest.approx(1) for p in scored)
    assert all(p.probabilities is None for p in made.predictions["fake/constrained"])


def test_a_record_survives_the_store(tmp_path: Path) -> None:
    record = ran(tmp_path, "scored", "shown").record
    assert RunRecord.from_json(json.loads(json.dumps(record.to_json()))) == record
    assert RunRecord.from_json(record.to_json()).run_id == record.run_id


def test_a_run_by_another_version_of_a_rule_is_another_run_and_says_so(tmp_path: Path) -> None:
    made = ran(tmp_path, "scored")
    assert made.record.settings["rule batch"] == "mean of probabilities"
    assert made.record.older_rules == ()
    before = {k: v for k, v in made.record.settings.items() if k != "rule batch"}
    older = replace(made.record, settings=before)
    assert older.run_id != made.record.run_id
    assert older.older_rules == ("batch",)
    assert replace(older, rules=("sum",)).older_rules == ()
    with Store(tmp_path / "store.sqlite") as store:
        said = result_of(older, store).report.warnings
    assert any("The rule batch did otherwise when this run was stored" in each for each in said)


def test_the_same_answers_give_the_same_bytes(tmp_path: Path) -> None:
    made = [ran(tmp_path / name, "scored", "reasoned") for name in "ab"]
    assert made[0].report == made[1].report
    texts = [predictions_jsonl(m.record, m.predictions) for m in made]
    assert texts[0] == texts[1]
    assert len(texts[0].splitlines()) == 12 * 6


def test_predictions_are_read_back_with_the_digests_of_their_items(tmp_path: Path) -> None:
    made = ran(tmp_path, "scored")
    file = tmp_path / "predictions.jsonl"
    file.write_text(predictions_jsonl(made.record, made.predictions))
    back = load_predictions(tmp_path)
    assert set(back.cells) == {*made.predictions, "baseline:majority", "baseline:tfidf-logreg"}
    assert back.digests == {item.item_id: item.digest for item in made.record.items}
    assert back.cells["fake/scored/sum"] == made.predictions["fake/scored/sum"]


def test_items_of_one_id_and_other_contents_are_not_compared() -> None:
    one, other = (SavedPredictions({}, {"a": digest, "b": "same"}) for digest in ("x", "y"))
    require_same_items(one, SavedPredictions({}, {"b": "same", "c": "z"}))
    with pytest.raises(ComparisonRefused, match="one id for two items that are not the same: a"):
        require_same_items(one, other)


@pytest.mark.parametrize("line", ["", "{}", "[1]", "null", '{"item_digest": 3}', "{"])
def test_a_wrong_predictions_file_names_its_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "predictions.jsonl").write_text(f"{line}\n")
    with pytest.raises(DataError, match=r"predictions\.jsonl:1: no prediction"):
        load_predictions(tmp_path)


def test_a_lone_surrogate_in_an_answer_is_read(tmp_path: Path) -> None:
    made = Prediction("a", "1", Status.OK, "bug", "bug", raw_text="\ud800 and \x85 more")
    line = json.dumps({**asdict(made), "item_digest": "x"})
    (tmp_path / "predictions.jsonl").write_text(f"{line}\n")
    assert load_predictions(tmp_path).cells == {"a": [made]}


def test_absent_predictions_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        load_predictions(tmp_path)


def test_an_unfinished_run_is_not_scored(tmp_path: Path) -> None:
    plan = prepared(tmp_path, "scored")
    store = Store(tmp_path / "store.sqlite")
    cells = asyncio.run(run(plan.plan, FakePool(), store, lambda _: None))
    record = planning.record(prepared(tmp_path, "scored"), cells)
    store.close()
    empty = Store(tmp_path / "empty.sqlite")
    with pytest.raises(DataError, match="12 of 12 items have no answer"):
        predictions_of(record, empty)
    empty.close()


def is_odd(prompt: str) -> bool:
    """Whether the prompt asks for an item of which the right answer is yes."""
    return any(word in prompt for word in ("birch", "dune", "fjord", "heath", "jade", "lichen"))


def test_the_best_cell_is_named_with_its_doubt(tmp_path: Path) -> None:
    pool = FakePool(lambda prompt: "yes" if is_odd(prompt) else "no")
    report = ran(tmp_path, "written", "scored", pool=pool).report
    assert report.best is not None
    assert report.best.name == "fake/written"
    said = summary_sentences(report)
    assert said[0].startswith("Best here: fake/written, macro-F1 1.000")
    assert [c.contest.b for c in report.against_best] == ["fake/written"] * 2
    assert report.best.verdicts[0].baseline == "baseline:majority"
    assert report.best.verdicts[0].verdict is Verdict.BETTER
    assert report.conclusion is Conclusion.WORTH_IT
    assert said[-1].startswith("What follows: fake/written is worth its tokens")
    assert any("Only 12 items" in each for each in report.warnings)


def test_what_follows_where_a_model_does_not_win(tmp_path: Path) -> None:
    def concluded(name: str, answer: Callable[[str], str], *, train: bool = True) -> Report:
        return ran(tmp_path / name, "written", pool=FakePool(answer), train=train).report

    alone = concluded("alone", lambda _: "yes", train=False)
    assert alone.conclusion is Conclusion.NO_BASELINE
    assert "--train adds them" in summary_sentences(alone)[-1]
    always = concluded("always", lambda _: "yes")
    assert always.conclusion is Conclusion.NOT_SHOWN
    wrong = concluded("wrong", lambda prompt: "no" if is_odd(prompt) else "yes")
    assert wrong.conclusion is Conclusion.NOT_WORTH_IT
    assert "is worth its tokens, since baseline:" in summary_sentences(wrong)[-1]


def test_cells_are_scored_without_holding_them_against_each_other(tmp_path: Path) -> None:
    made = ran(tmp_path, "written", "scored")
    store = Store(tmp_path / "store.sqlite")
    answers = answers_of(made.record, store)
    store.close()
    scored = evaluate(made.record, made.predictions, answers, compare=False)
    assert scored.cells == made.report.cells
    assert (scored.comparisons, scored.disagreements, scored.conclusion) == ((), (), None)
    assert summary_sentences(scored) == ()


def test_items_that_cells_answer_differently_are_listed_with_every_answer(tmp_path: Path) -> None:
    made = ran(tmp_path, "written", "scored", pool=FakePool(lambda _: "who knows"), train=False)
    assert len(made.report.disagreements) == 12
    first = made.report.disagreements[0]
    assert first.said["fake/written"].answer == "[unparsed]"
    assert first.gold in ("yes", "no")
    assert first.excerpt


def test_a_cell_that_answers_nothing_is_counted_and_not_compared(tmp_path: Path) -> None:
    report = ran(tmp_path, "written", pool=FakePool(lambda _: "?"), train=False).report
    cell = report.cells[0]
    assert cell.statuses[Status.UNPARSED.value] == 12
    assert cell.metrics["coverage"].value == 0
    assert report.comparisons == ()


def test_answers_for_which_a_server_had_to_be_asked_again_are_counted(tmp_path: Path) -> None:
    made = ran(tmp_path, "constrained")
    (cell,) = made.record.cells
    store = Store(tmp_path / "store.sqlite")
    answers = answers_of(made.record, store)[cell.name]
    store.close()
    first = made.record.items[0].digest
    again = {**answers, first: replace(answers[first], retries=2)}
    report = evaluate(made.record, made.predictions, {cell.name: again})
    assert "fake/constrained: 1 answer came only after the server was asked again." in (
        report.warnings
    )
    assert not any("asked again" in warning for warning in made.report.warnings)


def test_an_item_whose_best_label_is_known_by_a_bound_alone_has_no_answer(tmp_path: Path) -> None:
    made = ran(tmp_path, "scored", train=False)
    (cell,) = made.record.cells
    store = Store(tmp_path / "bounds.sqlite")
    for item in made.record.items:
        store.put(cell.digest, item.digest, _with_bounds(made, cell.digest, item.digest), 0.1, 0.1)
    found = predictions_of(made.record, store)["fake/scored/sum"]
    store.close()
    assert {p.status for p in found} == {Status.UNPARSED}
    assert all(p.answer is None and p.probabilities is None and not p.exact for p in found)
    assert found[0].reason.startswith("undecided: of 2 of 2 labels only a bound is known")


def _with_bounds(made: Ran, cell: str, item: str) -> Observation:
    store = Store(made.store.path)
    answer = store.answers(cell)[item]
    store.close()
    return replace(answer, exact=False, bounds=(True,) * len(answer.labels))


def test_a_cell_that_answered_nothing_is_never_the_best(tmp_path: Path) -> None:
    def refuses(_: str) -> str:
        raise InvalidRequest("not today")

    alone = ran(tmp_path / "alone", "written", pool=FakePool(refuses), train=False).report
    assert alone.cells[0].metrics["macro_f1"].value == 0
    assert (alone.best, alone.conclusion) == (None, Conclusion.NOTHING_ANSWERED)
    assert "none of them has answered an item" in summary_sentences(alone)[0]
    unread = ran(tmp_path / "two", "written", "constrained", pool=FakePool(lambda _: "?")).report
    assert unread.best is not None
    assert unread.best.name == "fake/constrained"
