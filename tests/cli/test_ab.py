import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import FAKE, Gateway
from tests.conftest import few_layers
from tests.report.test_html import Page
from tests.support.grids import shortest

FILES = ["ab.html", "ab.json", "ab.md"]
TWO = FAKE + '[models.other]\nbackend = "fake"\nsource = { path = "none" }\ncontext_length = 4096\n'
DUEL = ("ab", "fake", "other/shown", "fake/constrained", "-t", "mine", "-s", "scored")
DATA = ("--data", "test.csv", "--train", "train.csv")


@pytest.fixture
def two(fake: Path) -> Path:
    (fake / "models.toml").write_text(TWO)
    return fake


def test_cells_are_compared_and_the_files_hold_no_clock(gateway: Gateway, two: Path) -> None:
    for name in "ab":
        done = gateway(*DUEL, *DATA, "--store", f"{name}.sqlite", "--out", name, "-q")
        assert done.code == 0, done.err
    for name in FILES:
        assert Path("a", name).read_bytes() == Path("b", name).read_bytes()
    for said in (
        "Noise floor",
        "zero answers and zero log-probabilities differ",
        "baseline:tfidf-logreg",
        "Each cell against fake/scored/sum, the reference",
        "What the cells keep of the reference",
        "Take ",
    ):
        assert said in " ".join(done.out.split())


def test_the_page_is_whole_and_lists_every_item_that_differs(gateway: Gateway, two: Path) -> None:
    assert gateway(*DUEL, *DATA, "--store", "s.sqlite", "--out", "o").code == 0
    html = Path("o/ab.html").read_text()
    page = Page(html)
    assert not page.tags.keys() & {"script", "link", "img", "iframe"}
    assert {x.removeprefix("#") for x in page.values("href")} <= set(page.values("id"))
    found = json.loads(Path("o/ab.json").read_text())
    differing = [item_id for pair in found["pairs"] for item_id in pair["differing"]]
    assert differing
    folded = re.findall(r"<summary>[0-9]+ items?: ", html)
    assert len(folded) == sum(bool(pair["differing"]) for pair in found["pairs"])
    assert all(item_id in page.text for item_id in differing)


def test_what_was_asked_is_not_asked_again(gateway: Gateway, two: Path) -> None:
    run = ("run", "-t", "mine", "-s", "scored", "-m", "fake", *DATA, "--store", "s.sqlite")
    assert gateway(*run).code == 0
    assert gateway(*DUEL, *DATA, "--store", "s.sqlite", "--out", "a").code == 0
    assert gateway(*DUEL, *DATA, "--store", "s.sqlite", "--out", "b").code == 0
    assert Path("a/timings.json").read_bytes() == Path("b/timings.json").read_bytes()


def test_off_a_terminal_every_cell_says_when_it_is_done(gateway: Gateway, two: Path) -> None:
    done = gateway(*DUEL, *DATA, "--store", "s.sqlite")
    assert done.err.splitlines() == [
        "noise floor: 12 done",
        *(f"{cell}: 12 done" for cell in ("fake/scored", "fake/constrained", "other/shown")),
    ]
    assert gateway(*DUEL, *DATA, "--store", "s.sqlite", "-q").err == ""


def test_a_comparison_is_reported_again_by_its_id_with_the_cells_that_were_asked_for(
    gateway: Gateway, two: Path
) -> None:
    cells = ("fake/scored/sum", "other/scored/batch", "fake/constrained")
    run = ("ab", *cells, *DUEL[4:6], *DATA, "--store", "s.sqlite", "--out", "o")
    done = gateway(*run)
    assert done.code == 0, done.err
    found = json.loads(Path("o/ab.json").read_text())["report"]
    assert f"run {found['run_id']}" in done.out
    again = gateway("report", found["run_id"][:6], "--store", "s.sqlite", "--out", "r")
    assert again.code == 0, again.err
    report = json.loads(Path("r/report.json").read_text())
    scores = [{cell["name"]: cell["metrics"] for cell in each["cells"]} for each in (found, report)]
    assert scores[0] == scores[1]
    assert {name for name in scores[0] if not name.startswith("baseline")} == set(cells)


def test_stopping_early_says_where_and_what_it_saved(gateway: Gateway, two: Path) -> None:
    stop = ("--stop-early", "--margin", 0.9, "--store", "s.sqlite")
    done = gateway(*DUEL[:2], "other", *DUEL[4:], *DATA, *stop)
    assert done.code == 0, done.err
    assert "Stopped after 12 of 12 items, because every cell is decided" in done.out
    assert "interval at every look" in done.out
    assert " p " not in done.out
    assert "after 12 of 12 items: decided" in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("fake",), "only fake to compare"),
        (("fake", "nope"), "no model is called 'nope'"),
        (("fake", "other/nope"), "no strategy 'nope'"),
        (("fake", "fake/scored"), "named twice"),
        (("fake", "other", "--margin", "0"), "has to be above 0"),
        (("fake", "other", "--metric", "mae"), "not compared by 'mae'"),
        (("fake", "other", "--score-rule", "batch"), "batch calibration is fitted"),
        (("fake", "other", "--data", "absent.csv"), "absent.csv: no such file"),
        ((), "Missing argument"),
    ],
)
def test_wrong_usage_is_one_message_and_exit_2(
    gateway: Gateway, two: Path, arguments: tuple[str, ...], said: str
) -> None:
    data = () if "--data" in arguments else ("--data", "test.csv")
    done = gateway("ab", *arguments, "-t", "mine", "-s", "scored", *data, "--store", "s.sqlite")
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert not Path("s.sqlite").exists(), "nothing was asked"


def test_a_metric_that_a_cell_lacks_is_told_of_the_others(gateway: Gateway, two: Path) -> None:
    done = gateway(*DUEL, *DATA, "--metric", "log_loss", "--store", "s.sqlite")
    assert done.code == 0, done.err
    assert "not defined" in done.out
    assert "fake/constrained has no metric 'log_loss'" in " ".join(done.out.split())


def test_real_weights_under_two_names_do_not_differ_by_any_bit(
    gateway: Gateway, issue_reports: Path, tmp_path: Path
) -> None:
    _, path = few_layers("smollm2-135m")
    # Another context length is another identity, so that nothing is shared through the store.
    entries = [
        f'[models.{name}]\nsource = {{ path = "{path}" }}\ncontext_length = {length}\n'
        for name, length in (("same", 2048), ("again", 1024))
    ]
    (tmp_path / "models.toml").write_text("".join(entries))
    done = gateway(
        *("ab", "same", "again", "-t", "issue-triage", "-s", "zero_shot"),
        *(
            "--data",
            shortest(issue_reports / "test.csv", tmp_path / "few.csv", 3),
            "--models-file",
            tmp_path / "models.toml",
        ),
        *("--store", tmp_path / "s.sqlite", "--out", tmp_path),
    )
    assert done.code == 0, done.err
    found = json.loads((tmp_path / "ab.json").read_text())
    noise = found["noise"]
    assert (noise["n"], noise["answers_changed"], noise["logprobs_changed"]) == (3, 0, 0)
    assert noise["largest"] == 0.0
    assert found["fidelity"][0]["distributions"]["moved"] == found["fidelity"][0]["changed"] == 0
    assert found["sizes"]["same/zero_shot/sum"] == path.stat().st_size
    assert found["memory"]["same/zero_shot/sum"] > path.stat().st_size / 2
