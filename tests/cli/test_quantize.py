"""gateway quantize and gateway fidelity, on the default model and on small random weights."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.backends.registry import load_models
from gateway.models.writing import put_entries
from gateway.quantization import speed
from tests.cli.conftest import Gateway, environment
from tests.cli.test_interrupted import HEARING_INTERRUPTS
from tests.conftest import ROOT, spec_and_path
from tests.quantization.conftest import TEXT
from tests.quantization.tiny import write_tiny
from tests.support.grids import write_data, write_task


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's models.toml, which is not there yet."""
    spec_and_path("smollm2-135m")
    file = tmp_path / "own" / "models.toml"
    monkeypatch.setenv("GATEWAY_MODELS", str(file))
    return file


def test_a_dry_run_says_what_levels_would_hold_and_writes_nothing(
    gateway: Gateway, own: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = gateway(
        *("quantize", "smollm2-135m", "--to", "Q4_K_M,q4_1,IQ2_XXS", "--out", out, "--dry-run")
    )
    assert done.code == 0, done.err
    assert "source, Q4_1" in done.out
    assert "Q5_0 58%, Q8_0 22%, Q4_K 11%, Q6_K 9%" in done.out
    assert "rows of 576 cannot be cut into blocks of 256" in done.out
    assert "byte for byte the same: 210 from Q4_1" in done.out
    assert "IQ2_XXS: can be made only with an importance matrix" in done.out
    assert not out.exists()
    assert not own.exists()


def test_a_level_is_an_entry_that_answers_and_its_speed_is_measured(
    gateway: Gateway, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "_PROMPT", 128)
    monkeypatch.setattr(speed, "_ANSWER", 2)
    monkeypatch.setattr(speed, "_ROUNDS", 1)
    asked = ("quantize", "smollm2-135m", "--to", "Q4_0", "--out", tmp_path / "out")
    done = gateway(*asked, "--speed", "--threads", "1")
    assert done.code == 0, done.err
    assert "all levels are made of weights that were dequantized" in done.out
    assert "fastest on this machine: Q4_0 at reading prompts, Q4_0 at generating" in done.out
    entry = load_models(own).get("smollm2-135m-q4_0")
    assert entry.quantization == "Q4_0"
    answer = gateway("ask", "-m", entry.name, "--max-tokens", "3", "--json", "Hello")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["text"]
    again = gateway(*asked)
    assert again.code == 0, again.err
    assert "(there)" in again.out


LEVELS = ("small-q4_0", "small-gptq4", "small-awq4", "small-nf4", "small-int8")


@pytest.mark.needs("torch", "bitsandbytes", "llama_cpp")
def test_levels_of_all_methods_stand_side_by_side_in_one_table(
    gateway: Gateway, own: Path, tmp_path: Path
) -> None:
    pytest.importorskip("bitsandbytes", reason="needs the extra nf4")
    from tests.cli.smallest import write_small

    own.parent.mkdir()
    own.write_text("")
    write_small(tmp_path / "small.gguf", spec_and_path("smollm2-135m")[1])
    entry = {"source": {"path": str(tmp_path / "small.gguf")}, "chat_template": "plain"}
    put_entries(own, {"small": {**entry, "context_length": 128, "threads": 1}})
    text = tmp_path / "text.txt"
    text.write_text("The page crashes when I scroll down to the end of it. " * 30)
    out = ("--out", tmp_path / "out", "-q")
    made = gateway(
        *("quantize", "small", "--method", "gptq,awq,nf4,int8", "--calibration", text, *out)
    )
    assert made.code == 0, made.err
    assert "bitsandbytes" not in made.err
    assert gateway("quantize", "small", "--to", "Q4_0", *out).code == 0
    prompts, data = write_task(tmp_path), write_data(tmp_path / "test.csv")
    done = gateway(
        *(
            "ab",
            "small",
            *LEVELS,
            "-t",
            "mine",
            "-s",
            "scored",
            "--data",
            data,
            "-q",
            "--limit",
            "4",
        ),
        *("--prompts", prompts, "--store", tmp_path / "s.sqlite", "--out", tmp_path / "ab"),
    )
    assert done.code == 0, done.err
    table = re.search("^## Levels$(.*?)^## ", (tmp_path / "ab" / "ab.md").read_text(), re.M | re.S)
    assert table is not None
    rows = [line.split(" | ") for line in table[1].splitlines() if line.startswith("| small")]
    assert [row[0] for row in rows] == [f"| {name}" for name in ("small", *LEVELS)]
    assert [row[5] for row in rows] == [
        *("GGUF Q8_0", "GGUF Q4_0", "GPTQ 4 bits, groups of 64", "AWQ 4 bits, groups of 64"),
        *("nf4", "int8"),
    ]
    assert all(2 < float(row[1]) < 18 and int(row[3]) >= 0 and row[4] != "–" for row in rows[1:])
    found = json.loads((tmp_path / "ab" / "ab.json").read_text())["held"]
    assert [cell for cell, held in sorted(found.items()) if held["unpacked"]] == [
        *("small-awq4/scored/sum", "small-gptq4/scored/sum"),
    ]
    assert "unpacked as they are loaded" in table[1]


def test_every_level_s_name_is_explained(gateway: Gateway) -> None:
    done = gateway("quantize", "--levels")
    assert done.code == 0
    assert "Q4_K_M" in done.out
    assert "K-quant" in done.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("quantize",), "which model?"),
        (("quantize", "nothing"), "neither an entry nor a file"),
        (("quantize", "smollm2-135m", "--to", "Q9"), "names no quantization level"),
        (("quantize", "smollm2-135m", "--to", "IQ2_XXS"), "only with an importance matrix"),
        (("quantize", "."), "convert_hf_to_gguf.py"),
        (("quantize", "smollm2-135m", "--method", "gptq"), "--calibration FILE"),
        (("quantize", "smollm2-135m", "--method", "exl2"), "'exl2' is no method"),
        (
            ("quantize", "smollm2-135m", "--method", "nf4", "--to", "Q4_0"),
            "only with --method gguf",
        ),
        (("quantize", "smollm2-135m", "--bits", "8"), "only with --method gptq"),
        (("quantize", "nothing", "--method", "nf4"), "neither an entry nor a file"),
        (("fidelity", "smollm2-135m", "smollm2-135m", "--text", "absent.txt"), "cannot be read"),
    ],
)
def test_what_is_wrong_is_one_message_and_code_2(
    gateway: Gateway, own: Path, arguments: tuple[str, ...], said: str
) -> None:
    if arguments[0] == "fidelity":
        own.parent.mkdir()
        own.write_text("")
    done = gateway(*arguments)
    assert done.code == 2
    assert said in done.err


def test_interrupted_it_leaves_whole_files_and_ends_its_child(own: Path, tmp_path: Path) -> None:
    source = write_tiny(tmp_path / "large.gguf", 768)
    out = tmp_path / "out"
    command = [sys.executable, "-c", HEARING_INTERRUPTS, "-m", "gateway", "quantize", str(source)]
    command += ["--out", str(out), "--to", "Q8_0,IQ4_NL", "--threads", "1"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(GATEWAY_MODELS=str(own)), stderr=subprocess.PIPE
    ) as child:
        deadline = time.monotonic() + 120
        while not (out / "large.ladder.json").exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        while not list(out.glob(".large-IQ4_NL*")) and time.monotonic() < deadline:
            time.sleep(0.005)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=60)
    assert child.returncode == 130
    assert b"files that are whole are kept" in said
    assert {path.name for path in out.iterdir()} == {"large-Q8_0.gguf", "large.ladder.json"}
    assert not own.exists()


def test_fidelity_to_itself_is_exact_in_every_figure(
    gateway: Gateway, own: Path, tmp_path: Path
) -> None:
    own.parent.mkdir()
    own.write_text("")
    asked = ("fidelity", "smollm2-135m", "smollm2-135m", "--text", TEXT, "--threads", "1")
    shown = gateway(*asked, "--context", "16", "--chunks", "1")
    assert shown.code == 0, shown.err
    assert "7 tokens evaluated, the second half of each chunk: 1 of 16" in shown.out
    found = json.loads(gateway(*asked, "--context", "16", "--chunks", "2", "--json").out)
    assert found["tokens"] == 14
    (model,) = found["models"]
    assert model["kl"] == {"value": 0.0, "error": 0.0, "reach": 0.0}
    assert model["perplexity"] == found["perplexity"]
    assert model["kls"]["0.99"] == 0.0
    assert model["same_top"]["value"] == 1.0
