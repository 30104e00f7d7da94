"""gateway adapters, and models that are named as an entry with an adapter."""

import json
import shutil
from pathlib import Path

import pytest

from gateway.backends.registry import load_models
from gateway.models.adapters.card import Card, RecordedBase, RecordedData, write_card
from tests.backends.transformers.tiny import write_adapter
from tests.cli.conftest import Gateway
from tests.conftest import spec_and_path
from tests.support.bases import facts
from tests.support.grids import write_data, write_task

ENTRIES = """
[models.tiny]
backend = "transformers"
source = {{ path = "{tiny}" }}
[models.fake]
backend = "fake"
source = {{ path = "none" }}
[models.tuned]
like = "tiny"
adapter = "mine"
"""


@pytest.fixture
def root(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Adapters of the entry "tiny": "mine" with a card, "bare" and "dora" without, "broken"."""
    (tmp_path / "models.toml").write_text(ENTRIES.format(tiny=tiny))
    root = tmp_path / "adapters"
    for name, kind in {"mine": "LORA", "bare": "IA3", "dora": "LORA, DoRA"}.items():
        write_adapter(root / name, tiny, kind)
    base = RecordedBase("tiny", facts(tiny).digest, "llama", 64)
    data = RecordedData("train.csv", items=1200)
    write_card(root / "mine", Card(base, data, metrics={"macro_f1": 0.7}))
    (root / "broken").mkdir()
    (root / "broken" / "adapter_config.json").write_text("{}")
    monkeypatch.setenv("GATEWAY_MODELS", str(tmp_path / "models.toml"))
    monkeypatch.setenv("GATEWAY_ADAPTERS", str(root))
    monkeypatch.chdir(tmp_path)
    return root


def test_adapters_are_listed_and_a_broken_one_says_why(gateway: Gateway, root: Path) -> None:
    done = gateway("adapters", "list")
    assert done.code == 0
    rows = {each.split()[0]: each for each in done.out.split("adapter: ")[1:]}
    assert list(rows) == ["bare", "broken", "dora", "mine", "issue-triage"]
    for word in ("LORA", "rank: 4", "tiny", "train.csv", "(1,200", "macro_f1 0.7", "no"):
        assert word in rows["mine"], word
    assert rows["bare"].count("unknown") == 4
    assert "broken: " in done.out
    assert "peft_type: Field required" in done.out


def test_another_folder_of_adapters_can_be_named(gateway: Gateway, root: Path) -> None:
    (root.parent / "other").mkdir()
    assert "mine" not in gateway("adapters", "list", "--adapters", "other").out
    absent = gateway("adapters", "list", "--adapters", "nowhere")
    assert (absent.code, "nowhere: no such folder" in absent.err) == (2, True)


def test_an_adapter_is_shown_with_what_is_known_of_it(gateway: Gateway, root: Path) -> None:
    done = gateway("adapters", "show", "mine")
    assert done.code == 0
    for words in (
        "tiny, llama, hidden size 64",
        "train.csv",
        "macro_f1 0.7",
        "1,792 in 8 tensors",
        "model.layers.*.self_attn.q_proj",
        "lora_A 4 x 64 F32, 2 times",
        "not exported",
    ):
        assert words in done.out, words
    assert "unknown" in gateway("adapters", "show", "bare").out
    broken = gateway("adapters", "show", "broken")
    assert (broken.code, "peft_type" in broken.err) == (2, True)


def test_check_says_whether_it_fits_by_its_exit_code_and_why_not(
    gateway: Gateway, root: Path
) -> None:
    fits = gateway("adapters", "check", "mine", "--base", "tiny")
    assert (fits.code, fits.out) == (0, "mine fits tiny\n")
    bare = gateway("adapters", "check", "bare", "--base", "tiny")
    assert bare.code == 0
    assert "which weights it was trained on is unknown" in bare.out
    spec_and_path("smollm2-135m")
    other = gateway("adapters", "check", "mine", "--base", "smollm2-135m")
    assert other.code == 1
    assert "mine is not for smollm2-135m" in other.out
    assert "is for inputs of 64, the base's are 576" in other.out
    broken = gateway("adapters", "check", "broken", "--base", "tiny")
    assert (broken.code, "peft_type" in broken.out) == (1, True)


@pytest.mark.parametrize(
    ("name", "base", "said"),
    [
        ("mines", "tiny", "no adapter is called 'mines'"),
        ("../adapters/mine", "tiny", "cannot name an adapter"),
        ("mine", "tinies", "no model is called 'tinies'"),
        ("mine", "fake", "its backend fake runs no adapters"),
        ("mine", "tuned", "a base with an adapter"),
    ],
)
def test_a_name_that_is_wrong_is_a_wrong_usage(
    gateway: Gateway, root: Path, name: str, base: str, said: str
) -> None:
    for command in (("check",), ("export",), ("merge", "--out", "merged")):
        done = gateway("adapters", *command, name, "--base", base)
        assert (done.code, said in done.err) == (2, True), done.err


def test_a_merged_adapter_comes_with_an_entry_that_can_be_pasted(
    gateway: Gateway, root: Path
) -> None:
    done = gateway("adapters", "merge", "mine", "--base", "tiny", "--out", "merged")
    assert done.code == 0, done.err
    assert "loading tiny" in done.err
    Path("more.toml").write_text(done.out)
    spec = load_models(Path("more.toml")).get("tiny-mine")
    assert (spec.backend, spec.adapter) == ("transformers", None)
    again = gateway("adapters", "merge", "mine", "--base", "tiny", "--out", "merged")
    assert (again.code, "is there already" in again.err) == (2, True)


def test_weights_other_than_the_recorded_are_noted_where_an_adapter_is_applied_to_them(
    gateway: Gateway, root: Path, tiny: Path
) -> None:
    write_card(root / "mine", Card(RecordedBase("older", "ab" * 32, "llama", 64)))
    done = gateway("adapters", "export", "mine", "--base", "tiny")
    assert done.code == 0
    assert "note: it was trained on older, contents abababababab" in done.err


def test_an_export_lies_in_the_adapter_s_folder_and_what_has_none_is_told_to_merge(
    gateway: Gateway, root: Path
) -> None:
    done = gateway("adapters", "export", "mine", "--base", "tiny")
    assert (done.code, done.out.strip()) == (0, str(root / "mine" / "adapter.gguf"))
    assert "4 tensors changed, alpha 8" in done.err
    listed = gateway("adapters", "list").out
    exported = [each.split()[0] for each in listed.split("adapter: ")[1:] if "GGUF: yes" in each]
    assert exported == ["mine"]
    dora = gateway("adapters", "export", "dora", "--base", "tiny")
    assert (dora.code, "use_dora is set" in dora.err) == (2, True)
    assert "gateway adapters merge" in dora.err


@pytest.mark.usefixtures("few")
def test_every_command_takes_a_model_with_an_adapter_by_name(
    gateway: Gateway, adapters: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(adapters["tide"], tmp_path / "adapters" / "tide")
    monkeypatch.setenv("GATEWAY_ADAPTERS", str(tmp_path / "adapters"))
    monkeypatch.setenv("GATEWAY_PROMPTS", str(write_task(tmp_path)))
    data, store = write_data(tmp_path / "test.csv"), tmp_path / "s.sqlite"
    asked = ("ask", "--raw", "--max-tokens", "1", "The answer is", "-m")
    early = gateway(*asked, "smollm2-135m+tide")
    assert (early.code, "gateway adapters export tide" in early.err) == (2, True)
    exported = gateway("adapters", "export", "tide", "--base", "smollm2-135m")
    assert exported.code == 0, exported.err
    assert gateway(*asked, "smollm2-135m").out.strip() != "tide"
    assert gateway(*asked, "smollm2-135m+tide").out.strip() == "tide"
    names = "smollm2-135m,smollm2-135m+tide"
    done = gateway(
        *("run", "-t", "mine", "-s", "scored", "-m", names, "--data", data, "--limit", "2"),
        *("--store", store, "--out", tmp_path / "out", "-q"),
    )
    assert done.code == 0, done.err
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    cells = {cell["name"] for cell in report["cells"] if cell["kind"] == "model"}
    assert {name.split("/")[0] for name in cells} == set(names.split(","))
    shown = gateway("models", "show", "smollm2-135m+tide")
    assert "identity: adapter" in shown.out
    modelfile = gateway("models", "modelfile", "smollm2-135m+tide")
    assert f"ADAPTER {tmp_path}/adapters/tide/adapter.gguf" in modelfile.out
