"""Modelfiles are read as Ollama reads them; what is wrong is named with its line."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import ConfigError
from gateway.models.modelfile import Modelfile, left_out, parse
from tests.conftest import recorded_exchange

WRITTEN = '''# comment
FROM ./model.gguf
adapter lora.gguf
TEMPLATE """{{ if .System }}{{ .System }}
{{ end }}# {{ .Prompt }}"""
System "Be "brief" now
and kind."
PARAMETER num_ctx 1024
PARAMETER stop "<|im_end|>"
parameter stop User:
LICENSE """
Apache
"""
MESSAGE user hello there
'''


def test_every_instruction_is_read() -> None:
    assert parse(WRITTEN) == Modelfile(
        source="./model.gguf",
        adapters=("lora.gguf",),
        template="{{ if .System }}{{ .System }}\n{{ end }}# {{ .Prompt }}",
        system='Be "brief" now\nand kind.',
        parameters=(("num_ctx", "1024"), ("stop", "<|im_end|>"), ("stop", "User:")),
        others=("message",),
    )
    assert parse(WRITTEN.replace("\n", "\r\n")) == parse(WRITTEN)
    assert parse(WRITTEN).last("num_ctx") == "1024"
    assert parse(WRITTEN).last("seed") == ""


@pytest.mark.parametrize("name", ["026-show", "028-show-adapter", "029-show-derived"])
def test_what_a_real_server_writes_says_what_the_server_says(name: str) -> None:
    shown = json.loads(recorded_exchange(name))["response"]["json"]
    read = parse(shown["modelfile"])
    assert "/blobs/sha256-" in read.source
    assert read.template == shown["template"]
    assert read.system == shown.get("system", "")
    lines = (line.split(maxsplit=1) for line in shown["parameters"].splitlines())
    assert sorted(read.parameters) == sorted((key, text.strip('"')) for key, text in lines)
    assert len(read.adapters) == (name == "028-show-adapter")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "FROM"),
        ("SYSTEM hello", "FROM"),
        ("FROM x\nFORM y", "line 2: 'FORM'"),
        ("FROM x\n\nSYSTEM", "line 3"),
        ("FROM x\nPARAMETER seed", "line 2"),
        ("FROM \nSYSTEM x", "FROM"),
        ('FROM x\nSYSTEM """open', "line 2"),
        ('FROM x\nSYSTEM "open', "line 2"),
    ],
)
def test_what_is_wrong_is_named(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert said in str(caught.value)


@given(st.text(alphabet='FROM x"#\n\r\t \0é', max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ConfigError):
        assert parse(text).source == parse(text + "\n").source


@given(template=st.text(max_size=30), system=st.text(max_size=30))
def test_values_in_three_quotes_come_back(template: str, system: str) -> None:
    if '"' in template + system or "\r" in template + system:
        return
    read = parse(f'FROM m\nTEMPLATE """{template}"""\nSYSTEM """{system}"""\n')
    assert (read.template, read.system) == (template, system)


def test_what_is_left_out_is_said() -> None:
    assert not list(left_out("", "", ()))
    said = " ".join(left_out("{{ .Prompt }}", "Be brief.", ("top_k", "stop", "stop")))
    assert "template" in said
    assert "'Be brief.'" in said
    assert "parameters stop, top_k;" in said
