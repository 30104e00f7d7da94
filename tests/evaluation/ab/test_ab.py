"""What a comparison finds where the answers are known."""

import asyncio
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from gateway.backends.fake import FakeSpec
from gateway.backends.transformers.spec import TransformersSpec
from gateway.core.errors import ComparisonRefused, ConfigError
from gateway.evaluation.ab.ask import BATCH, weights_size
from gateway.evaluation.ab.margin import check_margin
from gateway.evaluation.ab.outcome import Outcome
from gateway.evaluation.ab.recommend import recommendation
from gateway.models.certificates import Level
from gateway.models.spec import ModelSpec, PathSource
from gateway.report.pages.ab import MOST_DIFFERING, sections, write
from gateway.report.pages.ab_sentences import no_recommendation, noise_sentence, pair_sentences
from gateway.scoring.frontier import Standing
from gateway.scoring.results import Metric, Verdict
from gateway.scoring.sequential import Decision
from gateway.tasks.task import load_task
from tests.evaluation.ab.duels import Duel, right, wrong_where
from tests.support.grids import write_task


def said(outcome: Outcome) -> str:
    return " ".join(s for pair in outcome.pairs for s in pair_sentences(outcome, pair))


def test_models_that_answer_alike_have_no_flips_and_no_p_value(tmp_path: Path) -> None:
    found = Duel(tmp_path, {"one": right, "two": right}).run("one", "two")
    (pair,), (kept,) = found.pairs, found.fidelity
    assert (pair.permutation_p, pair.mcnemar_p, pair.differing) == (None, None, ())
    assert kept.identical
    assert found.noise.silent
    assert found.noise.n == 25
    assert "nothing to test" in said(found)


def test_the_flips_are_the_items_that_differ_and_whose_loss_they_are(tmp_path: Path) -> None:
    lossy = wrong_where(lambda n: n in (3, 40, 41))
    found = Duel(tmp_path, {"big": right, "small": lossy}).run("big", "small")
    (pair,), (kept,) = found.pairs, found.fidelity
    assert set(pair.differing) == set(pair.flips) == {"word3", "word40", "word41"}
    assert {item.item_id for item in found.items} == set(pair.differing)
    for item in found.items:
        assert (item.said["big/written"].answer, item.said["big/written"].right) == (
            item.gold,
            True,
        )
        assert not item.said["small/written"].right
    assert (kept.right_to_wrong, kept.wrong_to_right) == (3, 0)
    assert pair.contest.difference.value == pytest.approx(-3 / 120)
    assert pair.permutation_p is None, "3 discordant items cannot decide"
    assert "fewer than 6 cannot reach p < 0.05" in said(found)


def test_nothing_is_recommended_by_a_metric_that_rewards_what_was_left_out(tmp_path: Path) -> None:
    found = Duel(tmp_path, {"one": right, "two": right}).run("one", "two")
    cells = [replace(cell, metrics={"log_loss": Metric(0.5)}) for cell in found.report.cells]
    by_loss = replace(found, metric="log_loss", report=replace(found.report, cells=tuple(cells)))
    assert recommendation(by_loss) is not None
    cells[1] = replace(cells[1], statuses={"ok": 2, "failed": cells[1].n - 2})
    silent = replace(by_loss, report=replace(by_loss.report, cells=tuple(cells)))
    assert recommendation(silent) is None
    assert "log-loss does not count what a cell left out" in no_recommendation(silent)


def test_of_very_many_items_that_differ_the_rest_is_counted(tmp_path: Path) -> None:
    lossy = wrong_where(lambda n: n in (3, 40, 41))
    found = Duel(tmp_path, {"big": right, "small": lossy}).run("big", "small")
    (pair,) = found.pairs
    many = replace(pair, differing=pair.differing * 100)
    (table,) = sections(replace(found, pairs=(many,)))[-1].tables
    assert len(table.rows) == MOST_DIFFERING
    assert table.caption.endswith(f"{300 - MOST_DIFFERING} of them are in ab.json alone")
    assert "alone" not in sections(found)[-1].tables[0].caption


def test_cells_that_are_not_told_apart_say_what_would_be_found_and_what_it_takes(
    tmp_path: Path,
) -> None:
    scripts = {"a": wrong_where(lambda n: n % 10 == 0), "b": wrong_where(lambda n: n % 10 == 1)}
    found = Duel(tmp_path, scripts).run("a", "b", margin=0.05)
    (pair,) = found.pairs
    assert pair.claim.verdict is Verdict.NOT_TOLD_APART
    assert pair.contest.needed is not None
    assert pair.contest.needed > 120
    assert "or more is found 80 times in 100" in said(found)
    assert f"takes about {pair.contest.needed:,} items" in said(found)


def test_every_pair_is_in_one_family_that_is_corrected(tmp_path: Path) -> None:
    scripts = {
        "a": right,
        "b": wrong_where(lambda n: n % 4 == 0),
        "c": wrong_where(lambda n: n % 15 == 0),
    }
    found = Duel(tmp_path, scripts).run("a", "b", "c")
    names = [(pair.contest.a, pair.contest.b) for pair in found.pairs]
    assert names == [(f"{x}/written", f"{y}/written") for x, y in ("ba", "ca", "cb")]
    assert {pair.claim.family for pair in found.pairs} == {3}
    raw = [pair.contest.mcnemar.p_value for pair in found.pairs]
    held = [pair.mcnemar_p for pair in found.pairs]
    assert min(p for p in held if p is not None) == pytest.approx(
        3 * min(p for p in raw if p is not None)
    )
    for pair in found.pairs:
        alone, together = pair.contest.permutation.p_value, pair.permutation_p
        assert alone is None or (together is not None and together >= alone)


def test_the_smallest_cell_that_is_not_worse_is_recommended(tmp_path: Path) -> None:
    scripts = {
        "big": right,
        "middle": wrong_where(lambda n: n == 7),
        "small": wrong_where(lambda n: n % 3 == 0),
    }
    found = Duel(tmp_path, scripts).run("small", "big", "middle", margin=0.1)
    sizes = {"big/written": 900, "middle/written": 500, "small/written": 100}
    taken = recommendation(replace(found, sizes={name: sizes[name] for name in found.sizes}))
    assert taken is not None
    assert (taken.best.name, taken.chosen.name) == ("big/written", "middle/written")
    assert taken.standings[0][1] is Standing.WORSE
    assert [cell.name for cell in taken.frontier] == [
        f"{x}/written" for x in ("small", "middle", "big")
    ]


def test_a_clear_difference_stops_early_and_asks_no_more(tmp_path: Path) -> None:
    duel = Duel(tmp_path, {"good": right, "bad": wrong_where(lambda n: n % 4 > 0)})
    found = duel.run("good", "bad", stopping=True)
    assert found.stopping is not None
    assert (found.stopping.asked, found.stopping.planned, found.stopping.decided) == (
        BATCH,
        120,
        True,
    )
    assert found.stopping.saved == 120 - BATCH
    assert duel.backends["bad"].requests == BATCH
    look = found.pairs[0].contest.sequential
    assert look is not None
    assert (look.decision, look.planned) == (Decision.B_BETTER, 120)
    assert found.pairs[0].permutation_p is None
    assert "p =" not in said(found), "p-values of a fixed number of items do not hold"


def test_a_look_is_computed_beside_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loops = []

    def decided(*_: object) -> bool:
        loops.append(asyncio._get_running_loop())
        return True

    monkeypatch.setattr("gateway.evaluation.compare.all_decided", decided)
    Duel(tmp_path, {"a": right, "b": right}).run("a", "b", stopping=True)
    assert loops == [None]


def test_where_nothing_is_decided_all_items_are_asked(tmp_path: Path) -> None:
    found = Duel(tmp_path, {"a": right, "b": right}).run("a", "b", margin=0.001, stopping=True)
    assert found.stopping is not None
    assert (found.stopping.asked, found.stopping.saved, found.stopping.decided) == (120, 0, False)


def test_answers_do_not_depend_on_stopping_early_and_are_not_asked_for_twice(
    tmp_path: Path,
) -> None:
    scripts = {"good": right, "bad": wrong_where(lambda n: n % 4 > 0)}
    duel = Duel(tmp_path, scripts)
    duel.run("good", "bad", stopping=True)
    afterwards = duel.run("good", "bad")
    assert duel.backends["bad"].requests == 120
    assert duel.backends["good"].requests == 120 + 2 * 25, "the noise floor is asked each time"
    assert asdict(Duel(tmp_path, scripts).run("good", "bad", store="other.sqlite")) == asdict(
        afterwards
    )


def test_a_reference_that_varies_has_a_noise_floor(tmp_path: Path) -> None:
    asked: dict[int, int] = {}

    def moody(prompt: str) -> str:
        asked[len(prompt)] = times = asked.get(len(prompt), 0) + 1
        return "yes" if times % 2 else "no"

    found = Duel(tmp_path, {"moody": moody, "calm": right}).run(
        "moody", "calm", words="word1 word10"
    )
    assert (found.noise.n, found.noise.answers_changed, found.noise.silent) == (2, 2, False)
    assert not found.noise.broken, "nothing was certified"
    assert "below this are noise" in noise_sentence(found.noise)


def test_noise_at_the_bitwise_level_is_a_fault(tmp_path: Path) -> None:
    found = Duel(tmp_path, {"one": right, "two": right}).run("one", "two").noise
    noisy = replace(found, level=Level.BITWISE, logprobs_changed=1, largest=1e-6)
    assert noisy.broken
    assert "certify again" in noise_sentence(noisy)


def test_log_probabilities_count_in_the_noise_floor(tmp_path: Path) -> None:
    found = Duel(tmp_path, {"one": right, "two": right}).run(
        "one", "two/constrained", strategy="scored"
    )
    assert (found.noise.cell, found.noise.logprobs_changed, found.noise.largest) == (
        "one/scored/sum",
        0,
        0,
    )


def test_a_metric_that_no_cell_has_compares_none(tmp_path: Path) -> None:
    with pytest.raises(ComparisonRefused, match="no cell has a metric 'log_loss': two/written has"):
        Duel(tmp_path, {"one": right, "two": right}).run("one", "two", metric="log_loss")


def test_of_one_cell_that_has_the_metric_nothing_is_recommended(tmp_path: Path) -> None:
    duel = Duel(tmp_path, {"a": right, "b": right})
    found = duel.run("a/scored", "b/constrained", metric="log_loss", margin=0.5)
    assert (found.recommendation, found.pairs) == (None, ())
    assert no_recommendation(found) == "Nothing is recommended: a/scored/sum alone has a log-loss."
    write(found, (), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "ab.json").read_text())["recommendation"] is None


@pytest.mark.parametrize("lacking", [0, 1, 2])
def test_a_cell_without_the_metric_is_left_out_of_what_the_others_say(
    tmp_path: Path, lacking: int
) -> None:
    strategies = ["scored", "scored", "scored"]
    strategies[lacking] = "constrained"
    names = [f"{name}/{how}" for name, how in zip(("a", "b", "c"), strategies, strict=True)]
    duel = Duel(tmp_path, dict.fromkeys("abc", right))
    found = duel.run(*names, metric="log_loss", margin=0.5)
    told = [n if n.endswith("constrained") else f"{n}/sum" for n in names]
    without = told.pop(lacking)
    (pair,) = found.pairs
    assert (pair.contest.b, pair.contest.a) == tuple(told)
    assert {(each.a, each.b) for each in found.not_compared} == {
        tuple(sorted((without, name), reverse=True)) for name in told
    }
    assert all(
        each.why.startswith(f"{without} has no metric 'log_loss'") for each in found.not_compared
    )
    assert found.recommendation is not None
    assert [cell.name for cell, _ in found.recommendation.standings] == told
    write(found, (), tmp_path / "out")
    text = (tmp_path / "out" / "ab.md").read_text()
    assert "not defined" in text
    assert "are not compared" in text


@pytest.mark.parametrize(
    ("metric", "margin"),
    [
        ("accuracy", 0.0),
        ("accuracy", 1.0),
        ("accuracy", float("nan")),
        ("log_loss", -1),
        ("mae", 1),
    ],
)
def test_what_can_not_be_asked_is_refused_at_once(
    tmp_path: Path, metric: str, margin: float
) -> None:
    task = load_task("mine", write_task(tmp_path))
    with pytest.raises(ConfigError):
        check_margin(metric, margin, task)


def test_a_margin_of_a_metric_in_other_units_may_be_large(tmp_path: Path) -> None:
    check_margin("log_loss", 1.5, load_task("mine", write_task(tmp_path)))


def test_the_weights_of_a_folder_and_an_adapter_are_counted_together(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x" * 70)
    (tmp_path / "tokenizer.json").write_bytes(b"x" * 1000)
    adapter = tmp_path / "adapter.gguf"
    adapter.write_bytes(b"x" * 7)
    folder = TransformersSpec("m", PathSource(tmp_path))
    assert weights_size(folder) == 77
    one = ModelSpec("m", PathSource(tmp_path / "model.safetensors"), adapter=adapter)
    assert weights_size(one) == 77
    assert weights_size(FakeSpec("m", PathSource(Path()))) is None


def test_an_outcome_can_be_written_as_json(tmp_path: Path) -> None:
    found = Duel(tmp_path, {"one": right, "two": right}).run(
        "one", "two/constrained", strategy="scored"
    )
    assert json.loads(json.dumps(asdict(found), allow_nan=False))["reference"] == "one/scored/sum"
