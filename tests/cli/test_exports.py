"""Exports of the programs that people label with: each is read by its command in the manual."""

import json
import re
import shlex
from pathlib import Path

import pytest

from gateway.models.environment import shipped
from tests.cli.conftest import FAKE, Gateway
from tests.conftest import ROOT
from tests.tasks import exports

PAGE = (ROOT / "gateway" / "manual" / "data.md").read_text(encoding="utf-8")
COMMANDS = {
    words[words.index("--data") + 1]: words[1:]
    for line in re.findall(r"^gateway run .*", PAGE.replace("\\\n", " "), re.MULTILINE)
    for words in [shlex.split(line)]
}
GOLDS = {
    "issue-triage": sorted(exports.ISSUES),
    "story-points": sorted(f"{point}.0" for point in exports.POINTS),
    "intent": sorted(exports.INTENTS),
}


@pytest.fixture(autouse=True)
def _fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exports.write_exports(tmp_path)
    (tmp_path / "models.toml").write_text(FAKE)
    monkeypatch.setenv("GATEWAY_MODELS", str(tmp_path / "models.toml"))
    monkeypatch.setenv("GATEWAY_PROMPTS", str(shipped("prompts")))
    monkeypatch.chdir(tmp_path)


def golds(gateway: Gateway, command: list[str]) -> list[str]:
    done = gateway(*command, "--store", "s.sqlite", "--out", "out", "-q")
    assert done.code == 0, done.err
    lines = [json.loads(x) for x in Path("out/predictions.jsonl").read_text().splitlines()]
    first = [line for line in lines if line["cell"] == lines[0]["cell"]]
    assert len(first) == len(exports.TITLES)
    return sorted(str(line["gold"]) for line in first)


def test_the_manual_has_a_command_for_each_export() -> None:
    assert set(COMMANDS) == {*exports.FILES, f"hf:{exports.HUB}@train"}


@pytest.mark.parametrize("name", exports.FILES)
def test_an_export_is_read_by_its_command(gateway: Gateway, name: str) -> None:
    command = COMMANDS[name]
    task = command[command.index("-t") + 1]
    assert golds(gateway, command) == GOLDS[task]


@pytest.mark.needs("datasets", "pyarrow")
def test_a_dataset_with_classes_is_read_and_one_without_labels_is_one_error(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    exports.write_hub(tmp_path)
    command = COMMANDS[f"hf:{exports.HUB}@train"]
    assert golds(gateway, command) == GOLDS["intent"]
    none = [word.replace("@train", "@unlabelled") for word in command]
    done = gateway(*none, "--store", "s.sqlite")
    assert done.code == 2
    assert "hf:messages@unlabelled:1: 'label' is -1, which means that there is no label" in done.err


def test_what_was_decided_is_told_and_stands_in_the_report_without_its_folder(
    gateway: Gateway, tmp_path: Path
) -> None:
    reports = []
    for source in ("issues.json", str(tmp_path / "issues.json")):
        command = [source if word == "issues.json" else word for word in COMMANDS["issues.json"]]
        done = gateway(*command, "--store", "s.sqlite", "--out", "out", "-q")
        assert f"{source}: 'labels[0].name' takes one of several entries in 1 row" in done.err
        reports.append(Path("out/report.json").read_bytes())
    assert reports[0] == reports[1]
    told = "issues.json: 'labels[0].name' takes one of several entries in 1 row"
    assert told in json.loads(reports[0])["warnings"]


def test_the_excel_of_another_country_is_one_error_that_names_the_encoding(
    gateway: Gateway,
) -> None:
    done = gateway(*COMMANDS["excel.csv"][:-2], "--store", "s.sqlite")
    assert done.code == 2
    assert "excel.csv:2: byte 0x93" in done.err
    assert "--encoding windows-1252" in done.err
