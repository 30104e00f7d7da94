"""What a command loads before it has done its work: nothing that it does not use."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import environment
from tests.support.grids import write_data, write_task

HEAVY = frozenset(
    (
        *("asyncio", "datasets", "fastapi", "gguf", "httpx", "jinja2", "llama_cpp", "matplotlib"),
        *("numpy", "ollama", "packaging", "pandas", "peft", "pip", "pyarrow", "pydantic"),
        *("safetensors", "scipy", "sklearn", "sqlite3", "statsmodels", "tomlkit", "torch"),
        *("transformers", "uvicorn"),
    )
)
"""Packages that take 20 ms and more to load."""

OPTIONS = "pydantic"
"""What typer reads options with."""
ENTRIES = f"{OPTIONS} packaging"
"""What reading models.toml takes."""
ASKED = f"{ENTRIES} asyncio jinja2 numpy sqlite3"
SCORED = f"{ASKED} pandas pyarrow scipy sklearn statsmodels"

MAY_LOAD = {
    "--help": "",
    "--version": "",
    "run --help": OPTIONS,
    "tune --help": OPTIONS,
    "adapters list": f"{OPTIONS} safetensors tomlkit",
    "ask -m fake --raw x": f"{ENTRIES} asyncio",
    "classify -t mine -m fake -s scored x": ASKED,
    "compare report:fake/scored/sum fake/written": f"{SCORED} asyncio",
    "data validate chat.jsonl": f"{OPTIONS} jinja2 numpy",
    "help": OPTIONS,
    "help tutorial": OPTIONS,
    "keys list --keys keys.json": OPTIONS,
    "models list": ENTRIES,
    "plan --families": f"{OPTIONS} safetensors",
    "prompts list": f"{OPTIONS} jinja2 numpy",
    "prompts show mine scored": f"{OPTIONS} jinja2 numpy",
    "quantize --levels": f"{OPTIONS} asyncio gguf jinja2 numpy",
    "run -t mine --data test.csv -s scored,written -m fake --out report": f"{SCORED} matplotlib",
    "score report": f"{OPTIONS} numpy scipy sqlite3",
}
"""A command -> those of `HEAVY` that it may load, each with what they load themselves."""

SAYING = """
import json, sys
from gateway import cli
try:
    cli.main()
finally:
    loaded = sorted({name.partition(".")[0] for name in sys.modules})
    print(json.dumps(loaded), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task, its data, a model without weights, and files that some commands read."""
    root = tmp_path_factory.mktemp("world")
    write_task(root)
    write_data(root / "test.csv")
    (root / "models.toml").write_text(
        '[models.fake]\nbackend = "fake"\nsource = { path = "none" }\ncontext_length = 4096\n'
    )
    (root / "chat.jsonl").write_text("{}\n")
    (root / "adapters").mkdir()
    loaded(root, "run -t mine --data test.csv -s scored,written -m fake --out report")
    return root


def loaded(world: Path, command: str) -> set[str]:
    """Top-level packages that are loaded when the command ends."""
    own = {
        "GATEWAY_DATA": str(world / "own"),
        "GATEWAY_MODELS": str(world / "models.toml"),
        "GATEWAY_PROMPTS": str(world / "prompts"),
        "GATEWAY_ADAPTERS": str(world / "adapters"),
    }
    done = subprocess.run(
        [sys.executable, "-c", SAYING, *command.split()],
        env={**environment(), **own, "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=world,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode in (0, 2), done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize("command", MAY_LOAD)
def test_a_command_loads_only_what_it_uses(world: Path, command: str) -> None:
    assert (loaded(world, command) & HEAVY) - set(MAY_LOAD[command].split()) == set()


@pytest.mark.needs("llama_cpp")
def test_a_model_without_an_adapter_loads_nothing_that_reads_adapters() -> None:
    code = "import gateway.backends.llama_cpp.backend, sys; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"gguf", "safetensors", "tomlkit"} & set(done.stdout.split())


def test_the_package_alone_loads_nothing() -> None:
    code = "import gateway, sys; print(sorted({n.partition('.')[0] for n in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.replace("'", " ").replace(",", " ").split())
