"""The files of a report."""

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.core.errors import DataError, StoreError
from gateway.evaluation.saved import load_report
from gateway.report.pages.run import FILES, write
from gateway.scoring.results import Metric
from tests.report import samples


def test_five_files_are_written_and_nothing_else_is_left(tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    report = samples.classification()
    write(report, samples.timings(report), out)
    write(report, samples.timings(report), out)
    assert {file.name for file in out.iterdir()} == set(FILES)
    assert load_report((out / "report.json").read_text(encoding="utf-8")) == report


def test_lone_surrogates_can_be_written(tmp_path: Path) -> None:
    report = samples.hostile("lone \ud800")
    write(report, (), tmp_path)
    assert "\ufffd" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "\ufffd" in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert load_report((tmp_path / "report.json").read_text(encoding="utf-8")) == report


def test_a_folder_that_can_not_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="the report cannot be written"):
        write(samples.empty(), (), tmp_path / "file" / "out")


def test_a_report_that_can_not_be_rendered_leaves_the_older_one_whole(tmp_path: Path) -> None:
    write(samples.number(), (), tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    bad = replace(samples.number().cells[0], metrics={"accuracy": Metric(float("nan"))})
    with pytest.raises(DataError):
        write(replace(samples.number(), cells=(bad,)), (), tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
