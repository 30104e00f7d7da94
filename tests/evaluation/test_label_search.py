"""A task of many labels: which are finished, under which identity, and how sure that is."""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gateway.core.errors import ConfigError
from gateway.core.types import EXACT_SHARE
from gateway.evaluation import plan as planning
from gateway.evaluation.plan import Prepared, RunOptions, prepare
from gateway.evaluation.record import RunRecord
from gateway.evaluation.run import run
from gateway.evaluation.store import Observation, Store
from gateway.evaluation.summary import RunResult, result_of
from tests.support.grids import ASK, FakePool

SHOWN = '{# mode = "score"\nexemplars = 1 #}' + ASK


@dataclass(frozen=True)
class Ran:
    result: RunResult
    requests: int
    answers: list[dict[str, Observation]]
    """Of each cell."""

    @property
    def record(self) -> RunRecord:
        return self.result.record


def table(path: Path, rows: int, labels: int) -> str:
    lines = [f"{path.stem}{n},label {n % labels:02},{path.stem} {n} says\n" for n in range(rows)]
    path.write_text("id,label,text\n" + "".join(lines))
    return str(path)


def task(root: Path, labels: int, more: str = "") -> Path:
    folder = root / "prompts" / "many"
    folder.mkdir(parents=True, exist_ok=True)
    named = "".join(f'[[labels]]\nname = "label {n:02}"\n' for n in range(labels))
    head = (
        f'kind = "classification"\n{more}\n[fields]\ntext = ["text"]\n[answer]\nlabel = ["label"]\n'
    )
    (folder / "task.toml").write_text(head + named)
    (folder / "scored.j2").write_text('{# mode = "score" #}' + ASK)
    (folder / "shown.j2").write_text(SHOWN)
    return root / "prompts"


def many(root: Path, labels: int = 24, *, more: str = "", **wanted: object) -> Prepared:
    root.mkdir(exist_ok=True)
    options = RunOptions(
        task="many",
        data=table(root / "test.csv", 2 * labels, labels),
        models=("fake",),
        strategies=("scored",),
        prompts=task(root, labels, more),
    )
    return prepare(replace(options, **{"label_search": "best", **wanted}))  # type: ignore[arg-type]


def ran(prepared: Prepared, store: Path, pool: FakePool | None = None) -> Ran:
    pool = pool or FakePool()
    with Store(store) as opened:
        cells = asyncio.run(run(prepared.plan, pool, opened, lambda _: None))
        record = planning.record(prepared, cells)
        answers = [dict(opened.answers(cell.digest)) for cell in cells]
        return Ran(result_of(record, opened), pool.backend.requests, answers)


def test_the_answers_of_a_search_are_those_of_the_full_tree_within_what_is_said(
    tmp_path: Path,
) -> None:
    train = table(tmp_path / "train.csv", 60, 24)
    rules = ("sum", "batch", "contextual", "mean", "per_byte")
    asked = many(tmp_path, train=train, rules=rules, label_search="best")
    full = many(tmp_path, train=train, rules=rules, label_search="full")
    found, whole = ran(asked, tmp_path / "a.sqlite"), ran(full, tmp_path / "b.sqlite")
    assert found.result.predictions.keys() == whole.result.predictions.keys()
    for name, cell in found.result.predictions.items():
        for one, other in zip(cell, whole.result.predictions[name], strict=True):
            assert one.answer == other.answer
            assert one.exact == (one.off_by <= EXACT_SHARE)
            assert (other.exact, other.off_by) == (True, 0.0)
            for label, share in (other.probabilities or {}).items():
                assert abs((one.probabilities or {})[label] - share) <= one.off_by + 1e-12
    assert any(one.off_by for one in found.result.predictions["fake/scored/sum"])
    (here,), (there,) = found.record.cells, whole.record.cells
    assert here.calibration == there.digest, "what rules are fitted on is kept once"
    assert here.digest != there.digest
    assert found.record.run_id != whole.record.run_id


@pytest.mark.parametrize(
    "wanted",
    [
        {"labels": 20},
        {"label_search": "full"},
        {"more": 'label_search = "full"'},
        {"label_search": "auto"},
    ],
    ids=str,
)
def test_few_labels_and_those_that_are_all_wanted_are_finished(
    tmp_path: Path, wanted: dict[str, object]
) -> None:
    made = ran(many(tmp_path, **wanted), tmp_path / "store.sqlite")  # type: ignore[arg-type]
    (cell,) = made.record.cells
    assert cell.calibration == ""
    assert "calibration" not in made.record.to_json()["cells"][0]
    assert not any(seen.unfinished for seen in made.answers[0].values())


def test_answers_with_all_labels_finished_answer_a_search_and_none_of_its_own_is_replaced(
    tmp_path: Path,
) -> None:
    store, fresh = tmp_path / "store.sqlite", tmp_path / "fresh.sqlite"
    some, everything = many(tmp_path, label_search="full", limit=10), many(tmp_path)
    whole = ran(some, store)
    told: list[str] = []
    plan = replace(everything.plan, tell=told.append)
    found = ran(replace(everything, plan=plan), store)
    assert found.requests == len(everything.plan.items) - 10
    assert told == ["fake/scored: 10 stored answers with all labels finished, taken as they are"]
    (seen,), (kept,) = found.answers, whole.answers
    assert all(seen[item] == answer for item, answer in kept.items())
    first, again = ran(everything, fresh), ran(some, fresh)
    assert again.requests == 10, "an answer with labels unfinished is none to a run that wants all"
    assert ran(everything, fresh).answers == first.answers, "what a report was made of stays"
    assert found.record.run_id == first.record.run_id


def test_an_entry_can_say_that_all_labels_are_finished(tmp_path: Path) -> None:
    pool = FakePool()
    pool.backend.spec = replace(pool.backend.spec, label_search="full")
    (cell,) = ran(many(tmp_path), tmp_path / "store.sqlite", pool).record.cells
    assert cell.calibration == ""


def test_how_labels_are_searched_is_refused_where_nobody_knows_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="label_search: 'fast'"):
        many(tmp_path, label_search="fast")


def test_a_report_says_how_many_labels_were_finished(tmp_path: Path) -> None:
    made = ran(many(tmp_path), tmp_path / "store.sqlite")
    (cell,) = [cell for cell in made.result.report.cells if cell.kind == "model"]
    assert cell.details["labels finished"].endswith(" of 24 an item; the best is certain")
    assert not cell.exact
    assert "(median)" in cell.details["probabilities off by at most"]
    assert "log-loss is estimated" in cell.details["gold label unfinished"]


def test_another_rule_is_another_search_and_asks_its_calibration_once(tmp_path: Path) -> None:
    train, store = table(tmp_path / "train.csv", 60, 24), tmp_path / "store.sqlite"
    first = ran(many(tmp_path, train=train, rules=("batch",), label_search="best"), store)
    again = ran(many(tmp_path, train=train, rules=("batch",), label_search="best"), store)
    other = ran(many(tmp_path, train=train, rules=("sum", "batch"), label_search="best"), store)
    assert again.requests == 0
    assert again.record.run_id == first.record.run_id
    assert other.requests == len(first.record.items), "the items; not what batch is fitted on"


def test_a_calibration_is_fitted_on_no_more_items_than_change_something(tmp_path: Path) -> None:
    train = table(tmp_path / "train.csv", 120, 2)
    made = ran(many(tmp_path, 2, train=train, rules=("batch",)), tmp_path / "store.sqlite")
    (cell,) = made.record.cells
    assert 16 <= len(cell.dev) < 48
    assert len(cell.dev) % 8 == 0
    assert made.requests == len(cell.dev) + len(made.record.items)
    (report,) = [each for each in made.result.report.cells if each.kind == "model"]
    assert report.details["calibrated on"] == f"{len(cell.dev)} of 48 training items"
    assert made.record.settings["dev items"].startswith("at most 48, until 8 more")


def test_a_named_number_of_items_is_asked_whatever_they_change(tmp_path: Path) -> None:
    train = table(tmp_path / "train.csv", 120, 2)
    plan = many(tmp_path, 2, train=train, rules=("batch",), dev_size=30)
    made = ran(plan, tmp_path / "store.sqlite")
    assert made.requests == 30 + len(made.record.items)
    assert made.record.cells[0].dev == ()
    assert made.record.settings["dev items"] == "30"


def test_strategies_share_one_draw_and_none_is_fitted_on_what_it_shows(tmp_path: Path) -> None:
    train = table(tmp_path / "train.csv", 60, 2)
    both = many(tmp_path, 2, train=train, rules=("batch",), strategies=("scored", "shown"))
    alone = many(tmp_path, 2, train=train, rules=("batch",))
    assert both.plan.dev == alone.plan.dev
    shown = {id_ for s in both.plan.strategies if s.selector for id_ in s.selector.ids}
    made = ran(both, tmp_path / "store.sqlite")
    by_digest = {item.digest: item.id for item in both.plan.dev}
    assert not {by_digest[digest] for digest in made.record.cells[1].dev} & shown


def test_items_that_are_equal_once_rendered_are_asked_once(tmp_path: Path) -> None:
    prepared = many(tmp_path, 2)
    template = tmp_path / "prompts" / "many" / "scored.j2"
    template.write_text('{# mode = "score" #}{% block user %}{{ text | lower }}{% endblock %}')
    data = tmp_path / "same.csv"
    rows = ["a,label 00,One text\n", "b,label 01,one TEXT\n", "c,label 00,Another\n"]
    data.write_text("id,label,text\n" + "".join(rows))
    prepared = prepare(replace(prepared.wanted, data=str(data)))
    made = ran(prepared, tmp_path / "store.sqlite")
    assert made.requests == 2
    a, b, _ = sorted(made.result.predictions["fake/scored/sum"], key=lambda p: p.item_id)
    assert (a.probabilities, a.prompt_digest) == (b.probabilities, b.prompt_digest)
    (report,) = [each for each in made.result.report.cells if each.kind == "model"]
    assert report.details["different prompts"] == "2 of 3"
