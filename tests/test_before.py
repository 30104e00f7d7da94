"""Nothing that a user has breaks: files of commit 29efcf3, in tests/fixtures/before, are read.

Every model of them is the fake backend, also the one that has an adapter. What it answered then is
in the store, so nothing is asked here, and what follows from the same answers is the same.
"""

import json
import re
import shutil
import sqlite3
from pathlib import Path

import pytest

from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.backends.ollama.spec import OllamaSpec
from gateway.backends.registry import KINDS, load_models
from gateway.backends.transformers.spec import TransformersSpec
from gateway.evaluation.predictions import load_predictions, predictions_of
from gateway.evaluation.record import RunRecord
from gateway.evaluation.saved import load_report
from gateway.evaluation.store import Store
from gateway.models import certificates
from gateway.models.adapters.card import read_card
from gateway.models.adapters.folder import read_adapter
from gateway.models.certificates import Level, level_of
from gateway.models.spec import HubSource, OllamaSource, PathSource, PypiSource
from tests.cli.conftest import Done, Gateway, gateway
from tests.support.imports import ROOT

__all__ = ["gateway"]

BEFORE = ROOT / "tests" / "fixtures" / "before"
_LEARNED = "--data test.csv --train train.csv"
COMMANDS = {
    "run": f"run -t issue-triage -m fake {_LEARNED} --dev 3 --out new",
    "ab": f"ab fake/zero_shot fake/few_shot -t issue-triage {_LEARNED} --dev 3",
    "worth": f"adapters compare mine --base base {_LEARNED}",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the files of then, in which commands work."""
    shutil.copytree(BEFORE, tmp_path / "before")
    monkeypatch.chdir(tmp_path / "before")
    for variable, name in {
        "GATEWAY_DATA": "data",
        "GATEWAY_MODELS": "models.toml",
        "GATEWAY_PROMPTS": "prompts",
        "GATEWAY_ADAPTERS": "adapters",
    }.items():
        monkeypatch.setenv(variable, str(tmp_path / "before" / name))
    for what in ("implementation", "extra"):
        monkeypatch.setattr(KINDS["llama_cpp"], what, getattr(KINDS["fake"], what))
    return tmp_path / "before"


def answers(folder: Path) -> list[tuple[object, ...]]:
    """All of the store's, with the time at which each was committed."""
    store = sqlite3.connect(folder / "store.sqlite")
    try:
        return store.execute("SELECT * FROM answers ORDER BY cell, item").fetchall()
    finally:
        store.close()


def asked(gateway: Gateway, command: str) -> Done:
    done = gateway(*command.split(), "--store", "store.sqlite", "-q")
    assert done.code == 0, done.err
    return done


def same_predictions(new: Path, old: Path) -> None:
    """Byte for byte; of a baseline, which a library computes, its answers.

    The rule `batch` is another one now: of its cells all is the same but what the rule says.
    """
    made, known = ((each / "predictions.jsonl").read_text().splitlines() for each in (new, old))
    assert len(made) == len(known) > 0
    for now, then in zip(made, known, strict=True):
        if now != then:
            one, other = json.loads(now), json.loads(then)
            by_batch = one["cell"].endswith("/batch")
            assert by_batch or one["cell"].startswith("baseline:")
            ruled = {"probabilities": 0, **({"answer": 0} if by_batch else {})}
            assert one | ruled == other | ruled


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_takes_its_answers_of_then(gateway: Gateway, folder: Path, name: str) -> None:
    known = answers(folder)
    done = asked(gateway, COMMANDS[name])
    assert answers(folder) == known
    found = re.search(r"run ([0-9a-f]{12})", done.out)
    assert found is not None, done.out
    gateway("report", found[1], "--store", "store.sqlite", "--out", "again")
    same_predictions(folder / "again", folder / name)


def test_an_experiment_takes_its_answers_of_then(gateway: Gateway, folder: Path) -> None:
    known = answers(folder)
    shutil.move(folder / "experiment", folder / "then")
    asked(gateway, "run experiment.toml")
    assert answers(folder) == known
    for seed in ("seed-0", "seed-1"):
        same_predictions(folder / "experiment" / seed, folder / "then" / seed)


def test_runs_of_then_are_read(folder: Path) -> None:
    store = Store(folder / "store.sqlite")
    runs = (folder / "runs.txt").read_text().split()
    assert len(runs) == 5
    for run in runs:
        record = RunRecord.from_json(store.run(run)[1])
        assert record.run_id == run
        assert predictions_of(record, store)
    store.close()


def test_a_report_and_its_predictions_are_scored_and_compared(
    gateway: Gateway, folder: Path
) -> None:
    report = load_report((folder / "run" / "report.json").read_text())
    done = gateway("score", "run", "--json")
    assert done.code == 0, done.err
    again = {cell["name"]: cell for cell in json.loads(done.out)["cells"]}
    for cell in report.cells:
        assert again[cell.name]["metrics"]["accuracy"]["value"] == cell.metrics["accuracy"].value
    assert set(again) == set(load_predictions(folder / "run").cells)
    assert gateway("compare", "run:fake/zero_shot/sum", "fake/few_shot/sum").code == 0


def test_an_entry_of_each_kind_is_read() -> None:
    models = load_models(BEFORE / "entries.toml")
    kinds = {name: type(spec.source) for name, spec in models.specs.items() if "-" in name}
    assert set(kinds.values()) == {HubSource, OllamaSource, PathSource, PypiSource}
    torch, card, server = (models.get(f"of-{name}") for name in ("torch", "card", "server"))
    assert isinstance(torch, TransformersSpec)
    assert (torch.dtype, torch.device, torch.adapter_merged) == ("bfloat16", "cuda:1", True)
    assert isinstance(card, LlamaCppSpec)
    assert (card.gpu_layers, card.main_gpu, card.tensor_split) == ("auto", 1, (0.5, 0.5))
    assert isinstance(server, OllamaSpec)
    assert (server.host, server.route, server.parallel) == ("http://far:11434", "chat", 2)
    assert models.default == "of-path"


def test_a_certificate_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    file = BEFORE / "certificates.json"
    ((key, _),) = json.loads(file.read_text()).items()
    fingerprint, _, machine = key.partition("|")
    monkeypatch.setattr(certificates, "machine", lambda: machine)
    assert level_of(fingerprint, file) is Level.BITWISE


def test_a_card_and_its_adapter_are_read() -> None:
    card = read_card(BEFORE / "adapters" / "mine")
    assert card is not None
    assert card.data is not None
    assert card.prompt is not None
    assert (card.data.items, card.prompt.strategy) == (9, "brief")
    assert read_adapter(BEFORE / "adapters" / "mine").card == card


def test_what_is_kept_of_then_is_small() -> None:
    assert sum(file.stat().st_size for file in BEFORE.rglob("*") if file.is_file()) < 300_000
