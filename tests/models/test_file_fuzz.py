"""Whatever bytes a models.toml has, reading it gives entries or one error with file and place."""

import random
from pathlib import Path

import pytest

from gateway.models.modelfile import parse
from tests.support.entries import outcome
from tests.tasks.test_fuzz import mutated

FILE = f"""
default = "a"
kernels = "prefill"
[models.a]
source = {{ path = "base.gguf" }}
context_length = 4096
chat_template = "mine.jinja"
system = "merge"
adapter = "adapter.gguf"
adapter_scale = 0.5
[models.a-q8]
like = "a"
parallel = 2
[models.shipped]
like = "smollm2-135m"
[models.hub]
source = {{ hub = "owner/repo", file = "x.gguf", revision = "main" }}
sha256 = "{"a" * 64}"
[models.pypi]
source = {{ pypi = ["llm-x==0.1"], parts = ["llm_x/x.gguf"] }}
[models.torch]
backend = "transformers"
source = {{ path = "folder" }}
dtype = "bfloat16"
device = "cpu"
[models.served]
backend = "ollama"
source = {{ ollama = "llama3.2:1b" }}
host = "http://127.0.0.1:11434"
route = "chat"
[models.made]
source = {{ modelfile = "Modelfile" }}
"""
MODELFILE = 'FROM ./base.gguf\nADAPTER ./a.gguf\nPARAMETER num_ctx 2048\nSYSTEM """Be\nkind"""\n'
WORDS = ("''", "nan", "1e999", "-1", "[]", "{}", '"\\u0000"', '"' + "x" * 5000 + '"', "true", "inf")


def damaged(text: str, draw: random.Random) -> bytes:
    """Half of them by bytes, half by another value, which TOML can read more often."""
    if draw.random() < 0.5:
        return mutated(text.encode(), draw)
    lines = text.split("\n")
    at = draw.choice([n for n, line in enumerate(lines) if " = " in line])
    lines[at] = lines[at].partition(" = ")[0] + " = " + draw.choice(WORDS)
    return "\n".join(lines).encode()


def test_no_models_toml_is_a_traceback(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    path = tmp_path / "models.toml"
    (tmp_path / "mine.jinja").write_text("{{ messages }}")
    (tmp_path / "base.gguf").write_bytes(b"GGUF")
    for seed in range(pytestconfig.getoption("--fuzz") // 4):
        draw = random.Random(f"models {seed}")  # noqa: S311
        (tmp_path / "Modelfile").write_bytes(
            MODELFILE.encode() if draw.random() < 0.8 else mutated(MODELFILE.encode(), draw)
        )
        path.write_bytes(damaged(FILE, draw))
        said = outcome(path)
        assert said == "" or said.startswith(str(path)), f"seed {seed}: {said}"
        assert "\n" not in said, f"seed {seed}: {said}"


def test_the_sound_file_is_read(tmp_path: Path) -> None:
    assert parse(MODELFILE).source == "./base.gguf"
    for name, text in (("models.toml", FILE), ("mine.jinja", "{{ messages }}"), ("base.gguf", "")):
        (tmp_path / name).write_text(text)
    (tmp_path / "Modelfile").write_text(MODELFILE)
    assert outcome(tmp_path / "models.toml") == ""


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff", b"\0", b"\xef\xbb\xbf[models.a]\n", b"[models]\na = 1\n", b"models = 3\n"],
)
def test_odd_files_are_one_error_or_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "models.toml").write_bytes(data)
    said = outcome(tmp_path / "models.toml")
    assert said == "" or said.startswith(str(tmp_path / "models.toml"))
