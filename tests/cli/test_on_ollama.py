"""Commands on the models of an Ollama server; the gateway's own /api in another process is one."""

import json
import signal
import threading
from pathlib import Path

import pytest

from gateway.evaluation.store import Store
from tests.cli.conftest import Gateway
from tests.conftest import ROOT, WHOLE, entries_of_few_layers
from tests.support.grids import write_data, write_task
from tests.support.ollama_server import mortal_process

TRIAGE = ROOT / "prompts" / "issue-triage"
MODEL = "ollama:smollm2-135m"


@pytest.fixture
def host(few: None, ollama_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("OLLAMA_HOST", ollama_url)
    return ollama_url


def test_the_server_s_models_are_listed_by_the_names_that_commands_take(
    gateway: Gateway, host: str
) -> None:
    done = gateway("models", "list", "--ollama")
    assert done.code == 0, done.err
    assert f"{MODEL}:latest" in done.out
    assert "Q4_1" in done.out
    assert host in done.out


def test_a_model_of_the_server_is_shown_with_what_makes_its_identity(
    gateway: Gateway, host: str
) -> None:
    done = gateway("models", "show", MODEL)
    assert done.code == 0, done.err
    for what in ("identity: model", "identity: route", "identity: version", "0.33"):
        assert what in done.out


def test_a_text_is_classified_by_a_model_without_an_entry(gateway: Gateway, host: str) -> None:
    few = ("-s", "few_shot", "It crashes when I scroll")
    served = gateway("classify", "-m", f"ollama:{WHOLE}", "--json", *few)
    own = gateway("classify", "-m", WHOLE, "--json", *few)
    assert served.code == own.code == 0, served.err
    theirs, ours = json.loads(served.out), json.loads(own.out)
    assert theirs["answer"] == ours["answer"]
    assert theirs["probabilities"] == pytest.approx(ours["probabilities"], abs=0.01)
    assert theirs["fingerprint"] != ours["fingerprint"]


def test_bounds_make_no_label(gateway: Gateway, host: str) -> None:
    """After a prompt without examples the labels are not among the 20 most likely tokens."""
    done = gateway("classify", "-m", MODEL, "--json", "It crashes when I scroll")
    said = json.loads(done.out)
    assert (said["status"], said["answer"], said["exact"]) == ("unparsed", None, False)
    assert "undecided" in said["reason"]


def test_the_same_items_through_the_server_and_in_process_agree(
    gateway: Gateway, host: str
) -> None:
    done = gateway(
        *("parity", WHOLE, f"ollama:{WHOLE}", "-t", "issue-triage", "-s", "few_shot", "--json"),
        *("--data", TRIAGE / "sample.csv", "--train", TRIAGE / "sample_train.csv", "--limit", 2),
    )
    assert done.code == 0, done.err
    totals = json.loads(done.out)["totals"]
    assert totals["inputs_equal"] == totals["texts_equal"] == totals["labels_agree"] == 2
    assert totals["max_difference"] < 1e-4


@pytest.mark.parametrize("command", ["classify", "models show", "certify"])
def test_a_model_that_the_server_lacks_is_an_error_that_says_how_to_get_it(
    gateway: Gateway, host: str, command: str
) -> None:
    model = ("-m", "ollama:nosuch", "text") if command == "classify" else ("ollama:nosuch",)
    done = gateway(*command.split(), *model)
    assert done.code in (1, 2)
    assert "nosuch" in done.err


@pytest.mark.needs("ollama")
def test_no_server_is_an_error_that_says_what_to_start(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    for command in (("models", "list", "--ollama"), ("classify", "-m", MODEL, "text")):
        done = gateway(*command)
        assert done.code == 1
        assert "no Ollama server answers at http://127.0.0.1:9" in done.err
        assert "ollama serve" in done.err


@pytest.mark.parametrize("name", ["ollama:", "ollama:../x", "ollama:a b"])
def test_what_is_no_name_of_a_model_is_refused(gateway: Gateway, name: str) -> None:
    done = gateway("models", "show", name)
    assert done.code == 2
    assert "no name of an Ollama model" in done.err


@pytest.mark.needs("ollama")
def test_an_entry_of_this_machine_is_not_removed_from_a_server(gateway: Gateway) -> None:
    done = gateway("models", "remove", "smollm2-135m", "--yes")
    assert done.code == 2
    assert "no model of an Ollama server" in done.err


def test_a_run_whose_server_dies_goes_on_with_the_next_one(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = entries_of_few_layers("smollm2-135m")
    prompts, data = write_task(tmp_path), write_data(tmp_path / "test.csv")
    monkeypatch.setenv("GATEWAY_PROMPTS", str(prompts))
    store = tmp_path / "runs.sqlite"
    run = ("run", "-t", "mine", "-s", "short", "--data", data, "-m", MODEL, "--store")
    (prompts / "mine" / "short.j2").write_text(
        '{# mode = "generate"\nmax_tokens = 40 #}{% block user %}{{ text }}{% endblock %}'
    )
    with mortal_process(models, tmp_path) as (url, process):
        monkeypatch.setenv("OLLAMA_HOST", url)
        killer = threading.Thread(target=lambda: _after_answers(store, 2, process.kill))
        killer.start()
        died = gateway(*run, store)
        killer.join()
        assert process.wait(timeout=60) == -signal.SIGKILL
    assert died.code == 1
    assert "Ollama server" in died.err
    before = answered(store)
    assert 2 <= len(before) < 12
    with mortal_process(models, tmp_path) as (url, _):
        monkeypatch.setenv("OLLAMA_HOST", url)
        done = gateway(*run, store)
        assert done.code == 0, done.err
        whole = gateway(*run, tmp_path / "whole.sqlite")
    after = answered(store)
    assert len(after) == 12
    assert before.items() <= after.items()
    assert after == answered(tmp_path / "whole.sqlite")
    assert whole.code == 0


def _after_answers(path: Path, count: int, act: object) -> None:
    pause = threading.Event()
    for _ in range(3000):
        if path.exists() and len(answered(path)) >= count:
            break
        pause.wait(0.02)
    assert callable(act)
    act()


def answered(path: Path) -> dict[str, str]:
    """Texts of the only cell's answers, by item."""
    store = Store(path)
    try:
        rows = store._db.rows("SELECT DISTINCT cell FROM answers")
        return {
            item: answer.text for (cell,) in rows for item, answer in store.answers(cell).items()
        }
    finally:
        store.close()
