import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Gateway, environment
from tests.conftest import ROOT, spec_and_path

SAMPLE = ROOT / "prompts" / "issue-triage" / "sample.csv"
COMMANDS = [
    *("run", "report", "score", "compare", "ab", "judge", "tune", "classify", "ask", "certify"),
    *("serve", "replay", "parity", "quantize", "fidelity", "plan", "help"),
    *("models", "adapters", "prompts", "data", "keys"),
]


def test_help_lists_every_command_in_its_order(gateway: Gateway) -> None:
    done = gateway("--help")
    assert done.code == 0
    words = [line.split()[1] for line in done.out.splitlines() if line.startswith("│ ")]
    assert [word for word in words if not word.startswith("-")] == COMMANDS


@pytest.mark.parametrize(
    "command",
    [
        *((name,) for name in COMMANDS),
        *(
            ("models", name)
            for name in (
                "list",
                "show",
                "pull",
                "remove",
                "import-ollama",
                "modelfile",
                "push-ollama",
            )
        ),
        *(("adapters", name) for name in ("list", "show", "check", "merge", "export")),
        *(("prompts", name) for name in ("list", "show", "render")),
        *(("data", name) for name in ("check", "split", "export", "import", "validate")),
    ],
)
def test_every_command_explains_itself(gateway: Gateway, command: tuple[str, ...]) -> None:
    done = gateway(*command, "--help")
    assert done.code == 0
    assert "Usage: gateway" in done.out


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("run",), "[default: sum, and batch where --train is given]"),
        (("run",), "[default: in your data folder]"),
        (("serve",), "[default: what is free at the start"),
        (("quantize",), "[default: Q8_0,Q6_K"),
        (("ab",), "[default: few_shot, or zero_shot without it]"),
        (("keys", "create"), "[default: in your data folder]"),
        (("adapters", "export"), "[default: adapter.gguf in the adapter's folder]"),
    ],
)
def test_what_is_taken_where_an_option_is_absent_is_said(
    gateway: Gateway, command: tuple[str, ...], said: str
) -> None:
    """In rich's markup an unescaped "[default: ...]" is a tag, and vanishes."""
    assert said in " ".join(gateway(*command, "--help").out.replace("│", " ").split())


def test_the_version_is_printed(gateway: Gateway) -> None:
    done = gateway("--version")
    assert (done.code, done.out.count(".")) == (0, 2)


def test_no_command_shows_the_help(gateway: Gateway) -> None:
    done = gateway()
    assert done.code == 2
    assert "Usage: gateway" in done.out + done.err


def test_models_are_listed_with_where_they_are(gateway: Gateway) -> None:
    done = gateway("models", "list")
    assert done.code == 0
    assert "smollm2-135m " in done.out
    assert "(default)" in done.out
    assert "gemma3-270m" in done.out


def test_a_model_is_shown_with_its_identity(gateway: Gateway) -> None:
    spec_and_path("smollm2-135m")
    done = gateway("models", "show", "smollm2-135m")
    assert done.code == 0
    for what in ("Apache-2.0", "Q4_1", "fingerprint", "identity: "):
        assert what in done.out


def test_an_unknown_model_is_never_another(gateway: Gateway) -> None:
    for command in ("show", "pull"):
        done = gateway("models", command, "smollm")
        assert done.code == 2
        assert "no model is called 'smollm'" in done.err


def test_pulling_again_fetches_nothing(gateway: Gateway) -> None:
    _, path = spec_and_path("smollm2-135m")
    done = gateway("models", "pull")
    assert (done.code, done.out.strip()) == (0, str(path))


def test_prompts_are_listed_and_shown(gateway: Gateway) -> None:
    listed = gateway("prompts", "list")
    assert listed.code == 0
    assert "issue-triage" in listed.out
    shown = gateway("prompts", "show", "issue-triage", "cot")
    assert shown.out == (ROOT / "prompts" / "issue-triage" / "cot.j2").read_text()


@pytest.mark.parametrize(
    ("command", "nothing", "first"),
    [
        (("adapters", "list"), "no adapters in", "gateway tune -n NAME"),
        (("keys", "list"), "no keys in", "gateway keys create NAME"),
        (("keys", "list", "--keys", "my.json"), "no keys in my.json", "NAME --keys my.json"),
        (("prompts", "list", "--prompts", "."), "no tasks in .", "cp -r "),
        (("models", "import-ollama"), "no models of Ollama in", "ollama pull"),
    ],
)
def test_a_list_of_nothing_says_so_and_how_to_make_the_first(
    gateway: Gateway,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    nothing: str,
    first: str,
) -> None:
    for name in ("GATEWAY_DATA", "OLLAMA_MODELS"):
        monkeypatch.setenv(name, str(tmp_path / "new"))
    monkeypatch.chdir(tmp_path)
    done = gateway(*command)
    assert done.code == 0
    ships = command == ("adapters", "list") and "issue-triage" in done.out
    assert ships or not done.out
    assert nothing in done.err
    assert "to make the first: " in done.err
    assert first in done.err


def test_what_is_no_folder_of_tasks_is_said(gateway: Gateway, fake: Path) -> None:
    one, absent = fake / "prompts" / "mine", fake / "absent"
    rubric = ROOT / "prompts" / "format"
    data = ("--data", "test.csv")
    for command in (
        ("prompts", "list"),
        ("run", "-t", "mine", *data),
        ("judge", "fake", "-r", "format", *data),
    ):
        for folder in (one, rubric):
            done = gateway(*command, "--prompts", folder)
            assert (done.code, done.out) == (2, "")
            assert f"{folder} is a task itself" in done.err
            assert f"try: --prompts {folder.parent}" in done.err
        assert f"{absent}: no such folder" in gateway(*command, "--prompts", absent).err


def test_a_task_without_a_template_is_listed(gateway: Gateway, fake: Path) -> None:
    for template in (fake / "prompts" / "mine").glob("*.j2"):
        template.unlink()
    done = gateway("prompts", "list")
    assert (done.code, "none yet" in done.out) == (0, True)


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize(
    "command",
    [
        ("models", "list"),
        ("prompts", "list"),
        ("quantize", "--levels"),
        ("plan", "--families"),
        ("plan", "llama-3.1-8b", "--memory", "24GB", "--gpus", "2", "--no-formulas"),
    ],
    ids=" ".join,
)
def test_a_narrow_terminal_gets_whole_words(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], columns: int
) -> None:
    wide = gateway(*command).out
    monkeypatch.setenv("COLUMNS", str(columns))
    narrow = gateway(*command).out
    assert "…" not in narrow
    words = re.compile(r"[A-Za-z]{3,}")
    assert set(words.findall(wide)) <= set(words.findall(narrow))


def test_the_exact_text_that_the_model_reads_is_printed(gateway: Gateway) -> None:
    spec_and_path("smollm2-135m")
    done = gateway("prompts", "render", "-t", "issue-triage", "--data", SAMPLE, "--item", "s03")
    assert done.code == 0, done.err
    assert done.out.startswith("<|im_start|>system\nYou sort the issues")
    assert done.out.endswith("<|im_start|>assistant\n\n")
    assert "item s03:" in done.err
    unknown = gateway("prompts", "render", "-t", "issue-triage", "--data", SAMPLE, "--item", "no")
    assert (unknown.code, "no item has the id 'no'" in unknown.err) == (2, True)


def test_a_package_that_a_command_needs_is_named_with_what_brings_it() -> None:
    """A None in Python's table of modules is one that it does not find."""
    code = (
        "import sys; sys.modules['ollama'] = None; sys.argv[1:] = ['models', 'list', '--ollama']\n"
        "from gateway.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=False
    )
    assert done.returncode == 2
    assert "ollama is not installed" in done.stderr
    assert 'the extra "ollama" brings it' in done.stderr
    assert "Traceback" not in done.stderr
