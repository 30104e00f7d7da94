"""What an entry is warned of is said by every command that loads it."""

from pathlib import Path

import pytest

from tests.cli.conftest import Gateway
from tests.support.chat_folder import write_chat_folder
from tests.support.grids import write_task

ENTRY = """
default = "tiny"
[models.tiny]
backend = "transformers"
source = { path = "base" }
context_length = 256
deterministic = "off"
threads = 1
"""
SAID = "warning: tiny: its chat template ends an answer with <|im_end|>"


@pytest.mark.needs("torch")
def test_ask_and_classify_say_where_an_answer_ends(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_chat_folder(tmp_path / "base")
    (tmp_path / "models.toml").write_text(ENTRY)
    monkeypatch.setenv("GATEWAY_PROMPTS", str(write_task(tmp_path)))
    monkeypatch.setenv("GATEWAY_MODELS", str(tmp_path / "models.toml"))
    asked = gateway("ask", "--max-tokens", 2, "5")
    assert asked.code == 0, asked.err
    classified = gateway("classify", "-t", "mine", "-s", "scored", "5")
    assert classified.code == 0, classified.err
    for done in (asked, classified):
        assert SAID in " ".join(done.err.split())
        assert "runs with deterministic" not in done.err
        assert "warning" not in done.out
