"""gateway plan, as a person meets it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.tuning.recipe import Recipe
from tests.cli.conftest import Gateway
from tests.conftest import ROOT, spec_and_path


def test_a_family_s_plan_shows_every_table_with_its_formulas(gateway: Gateway) -> None:
    done = gateway("plan", "llama-3.1-8b", "--memory", "24GB")
    assert done.code == 0, done.err
    for words in (
        "8,030,261,248 parameters",
        "k_proj = 32 x 16 x (4,096 + 1,024) = 2,621,440",
        "41,943,040",
        "base weights in NF4 = 6,979,321,856 x 0.515869",
        "logits = 512 x 128,256 x 3 x 4 = 788,004,864 bytes",
        "loss = base weights + LoRA weights",
        "keys and values, 4,096 tokens = 2 x 32 x 4,096 x 8 x 128 x 2",
        "ZeRO 3 divides states, gradients and weights",
        "if you fine-tune, with: LoRA: it fits",
        "learning rate",
        "--goal labels|format|style|knowledge",
    ):
        assert words in done.out, words
    short = gateway("plan", "llama-3.1-8b", "--no-formulas")
    assert "k_proj = " not in short.out
    assert "41,943,040" in short.out


def test_answers_sharpen_the_advice(gateway: Gateway) -> None:
    done = gateway(
        *("plan", "--goal", "labels", "--examples", "900", "--best-prompt", "0.51"),
        *("--needed", "0.75", "--changes", "never", "--latency", "free"),
    )
    assert done.code == 0, done.err
    assert "advice: fine-tune\n" in done.out
    assert "what would sharpen it" not in done.out
    assert "285 steps = 5 x ceil(900 / (1 x 16 x 1))" in done.out


def test_a_task_and_its_data_answer_for_themselves(gateway: Gateway, fake: Path) -> None:
    asked = ("plan", "--task", "mine", "--train", "train.csv", "--json")
    found = json.loads(gateway(*asked).out)
    assert (found["answers"]["goal"], found["answers"]["examples"]) == ("labels", 8)
    own = json.loads(gateway(*asked, "--goal", "style", "--examples", "70").out)
    assert (own["answers"]["goal"], own["answers"]["examples"]) == ("style", 70)


def test_a_model_can_be_an_entry_a_gguf_or_a_config(gateway: Gateway, tmp_path: Path) -> None:
    path = spec_and_path("gemma3-270m-plain")[1]
    for name in ("gemma3-270m-plain", path, "gemma-3-270m", "google/gemma-3-270m"):
        found = json.loads(gateway("plan", name, "--json").out)
        assert found["model"]["parameters"]["total"] == 268_098_176


def test_the_setup_changes_what_it_takes(gateway: Gateway) -> None:
    def size(*options: str) -> float:
        done = gateway("plan", "qwen3-0.6b", "--json", *options)
        assert done.code == 0, done.err
        return float(json.loads(done.out)["model"]["training"]["LoRA"]["total"])

    usual = size()
    assert size("--context", "4096") > usual
    assert size("--batch", "4", "--no-checkpointing") > size("--batch", "4")
    assert size("--rank", "64") > usual > size("--targets", "qv")
    assert size("--gpus", "4", "--zero", "3") < usual
    assert size("--optimizer", "sgd") < usual


def test_the_families_are_listed(gateway: Gateway) -> None:
    done = gateway("plan", "--families")
    assert done.code == 0
    assert "134,515,008" in done.out
    assert "Phi-3-mini" in "".join(done.out.split()), "it may be parted at a hyphen"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("llama-3.1-9b",), "near: llama-3.1-8b"),
        (("qwen3-8b", "--rank", "0"), "rank is 0"),
        (("qwen3-8b", "--context", "0"), "context is 0"),
        (("qwen3-8b", "--targets", "w1"), "no linear layers called w1"),
        (("qwen3-8b", "--optimizer", "adam"), "known: adamw"),
        (("qwen3-8b", "--zero", "4"), "no stage 4"),
        (("qwen3-8b", "--memory", "much"), "'much' is no size"),
        (("--goal", "fame"), "one of labels"),
        (("--train", "x.csv"), "--train is data of a task"),
        (("--task", "nothing"), "no task is called 'nothing'"),
    ],
)
def test_what_is_wrong_is_one_message_and_code_2(
    gateway: Gateway, arguments: tuple[str, ...], said: str
) -> None:
    done = gateway("plan", *arguments)
    assert (done.code, said in done.err) == (2, True), done.err


def test_a_config_that_lacks_a_key_is_named_with_it(gateway: Gateway, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"model_type": "llama", "hidden_size": 64}')
    done = gateway("plan", path)
    assert (done.code, "num_attention_heads is absent" in done.err) == (2, True), done.err


def test_planning_needs_neither_torch_nor_a_backend() -> None:
    code = (
        "import sys\n"
        "sys.argv = ['gateway', 'plan', 'llama-2-7b']\n"
        "from gateway.cli import main\n"
        "try:\n    main()\n"
        "finally:\n"
        "    heavy = {'torch', 'transformers', 'peft', 'llama_cpp', 'bitsandbytes'}\n"
        "    print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_the_command_s_defaults_are_those_of_training(gateway: Gateway) -> None:
    setup = json.loads(gateway("plan", "qwen3-0.6b", "--json").out)["model"]["setup"]
    recipe = Recipe()
    assert setup["batch"] * setup["accumulate"] == recipe.batch
    assert (setup["rank"], setup["dropout"]) == (recipe.rank, recipe.dropout)
    assert setup["context"] == recipe.max_tokens
    asked = json.loads(gateway("plan", "qwen3-0.6b", "--json", "--targets", "query-value").out)
    assert [each["name"] for each in asked["model"]["setup"]["targets"]] == ["q_proj", "v_proj"]
