"""The folder of a finished run: scored again and compared, from its files alone."""

import json
from pathlib import Path

import pytest

import gateway
from gateway.core.errors import ComparisonRefused, DataError
from gateway.evaluation.predictions import load_predictions
from gateway.evaluation.saved import load_run
from tests.support.grids import write_data, write_task

FAKE = '[models.fake]\nbackend = "fake"\nsource = { path = "none" }\ncontext_length = 4096\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two strategies with baselines."""
    root = tmp_path_factory.mktemp("run")
    (root / "models.toml").write_text(FAKE)
    found = gateway.run(
        "mine",
        write_data(root / "test.csv"),
        models=["fake"],
        strategies=["scored", "written"],
        prompts=write_task(root),
        train=write_data(root / "train.csv", "moss nettle oak pine quartz reed sage thorn"),
        rules=["sum"],
        store=root / "store.sqlite",
        models_file=root / "models.toml",
    )
    gateway.write_run(found, root / "out")
    return root / "out"


def test_a_run_scored_again_has_its_own_scores_and_verdicts(folder: Path) -> None:
    report, scored = load_run(folder).report, gateway.score(folder)
    was = {cell.name: cell for cell in report.cells}
    again = {cell.name: cell for cell in scored.cells}
    assert again.keys() == was.keys()
    for name, cell in again.items():
        assert cell == was[name]
    assert scored.conclusion == report.conclusion
    assert scored.winner == report.winner
    assert [c.claim for c in scored.comparisons] == [c.claim for c in report.comparisons]


def test_stored_predictions_keep_how_far_they_may_be_off(folder: Path, tmp_path: Path) -> None:
    lines = (folder / "predictions.jsonl").read_text().splitlines()
    some = [json.dumps(json.loads(line) | {"off_by": 0.25}) for line in lines[:3]]
    (tmp_path / "predictions.jsonl").write_text("\n".join([*some, *lines[3:]]))
    found = load_predictions(tmp_path).cells
    bounds = [one.off_by for cell in found.values() for one in cell]
    assert bounds == [0.25] * 3 + [0.0] * (len(lines) - 3)


def test_what_is_a_baseline_is_said_by_the_report_and_not_by_a_name(
    folder: Path, tmp_path: Path
) -> None:
    for name in ("report.json", "predictions.jsonl"):
        text = (folder / name).read_text()
        (tmp_path / name).write_text(text.replace("baseline:majority", "the commonest label"))
    kinds = {cell.name: cell.kind for cell in gateway.score(tmp_path).cells}
    assert kinds["the commonest label"] == "baseline"
    assert kinds["fake/written"] == "model"


def test_two_cells_are_compared_and_the_second_may_be_of_the_first_folder(folder: Path) -> None:
    whole = gateway.compare_saved(f"{folder}:fake/scored/sum", f"{folder}:fake/written")
    assert gateway.compare_saved(f"{folder}:fake/scored/sum", "fake/written") == whole
    contest = whole.comparison.contest
    assert (contest.a, contest.b, contest.n) == ("fake/scored/sum", "fake/written", 12)
    assert {item.item_id for item in whole.items} >= set(whole.comparison.flips)


def test_two_cells_of_a_run_are_said_to_differ_as_its_report_says(folder: Path) -> None:
    report = load_run(folder).report
    assert report.comparisons
    for known in report.comparisons:
        a, b = known.contest.a, known.contest.b
        assert gateway.compare_saved(f"{folder}:{a}", b).comparison == known
        turned = gateway.compare_saved(f"{folder}:{b}", a).comparison
        assert turned.claim.family == known.claim.family > 1
        assert turned.permutation_p == known.permutation_p
        assert turned.contest.difference.value == -known.contest.difference.value


def test_a_cell_and_a_baseline_of_a_run_are_said_to_differ_as_its_report_says(
    folder: Path,
) -> None:
    for cell in load_run(folder).report.cells:
        for verdict in cell.verdicts:
            found = gateway.compare_saved(f"{folder}:{cell.name}", verdict.baseline).comparison
            assert found.difference == verdict.difference
            assert found.claim.verdict == verdict.verdict
            assert found.claim.p_value == verdict.p_value
            assert found.claim.family == verdict.family


def test_what_a_report_does_not_compare_is_alone(folder: Path) -> None:
    names = [cell.name for cell in load_run(folder).report.cells if cell.kind == "baseline"]
    found = gateway.compare_saved(f"{folder}:{names[0]}", names[1]).comparison
    assert found.claim.family == 1


def test_one_cell_of_two_runs_is_told_apart_by_its_folder(folder: Path) -> None:
    same = gateway.compare_saved(f"{folder}:fake/written", f"{folder}/:fake/written")
    assert same.items == ()
    assert same.comparison.contest.a == f"{folder}:fake/written"


def test_runs_of_other_labels_are_not_compared(folder: Path, tmp_path: Path) -> None:
    raw = json.loads((folder / "report.json").read_text())
    (tmp_path / "report.json").write_text(json.dumps({**raw, "labels": ["yes", "no", "maybe"]}))
    (tmp_path / "predictions.jsonl").write_text((folder / "predictions.jsonl").read_text())
    with pytest.raises(ComparisonRefused, match="differ in their labels"):
        gateway.compare_saved(f"{folder}:fake/written", f"{tmp_path}:fake/written")


@pytest.mark.parametrize(
    ("cell", "said"),
    [("nothing", "no cell is called 'nothing'"), ("", "name a cell")],
)
def test_a_cell_that_is_not_there_says_which_are(folder: Path, cell: str, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        load_run(folder).cell(cell)
    assert "fake/written" in caught.value.hint


def test_what_is_no_folder_of_a_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        gateway.compare_saved(str(tmp_path / "absent"), "x")
    with pytest.raises(DataError, match="cannot be read") as caught:
        gateway.score(tmp_path)
    assert caught.value.hint == "name the folder given to gateway run --out"


def test_few_items_of_a_class_are_said_again_and_a_table_of_clusters_replaces_what_was_said(
    folder: Path, tmp_path: Path
) -> None:
    rare = "Of some classes there are fewer than 10 items"
    for name in ("report.json", "predictions.jsonl"):
        text = (folder / name).read_text()
        (tmp_path / name).write_text(text.replace(rare, "Of a run that did not say it"))
    ids = [each.item_id for each in load_run(folder).predictions.cells["fake/written"]]
    table = tmp_path / "clusters.csv"

    def said(groups: int) -> str:
        rows = [f"{each},k{n % groups}" for n, each in enumerate(ids)]
        table.write_text("\n".join(["item_id,cluster", *rows]))
        return " ".join(gateway.score(tmp_path, cluster=str(table)).warnings)

    assert said(3).count(rare) == 1
    assert "form 3 clusters, fewer than 10" in said(3)
    assert "form 2 clusters" in said(2)
    assert "form 3 clusters" not in said(2)
