"""One prompt, one answer."""

import json

import pytest

from tests.cli.conftest import Gateway

pytestmark = pytest.mark.usefixtures("few")


def test_the_answer_is_what_the_model_writes_greedily(gateway: Gateway) -> None:
    asked = ("ask", "--max-tokens", 8, "Name a colour.")
    shown = gateway(*asked)
    assert shown.code == 0, shown.err
    whole = json.loads(gateway(*asked, "--json").out)
    assert shown.out == whole["text"] + "\n"
    assert len(whole["token_ids"]) == whole["usage"]["completion_tokens"] == 8
    assert "ended at its limit of 8 tokens" in shown.err


def test_a_seed_draws_another_text_and_the_same_one_again(gateway: Gateway) -> None:
    drawn = ("ask", "--max-tokens", 8, "--temperature", 1.5, "Name a colour.", "--seed")
    first, again, other = (gateway(*drawn, seed).out for seed in (1, 1, 2))
    assert first == again != other


def test_the_same_weights_in_a_server_answer_the_same(
    gateway: Gateway, ollama_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", ollama_url)
    rest = ("--system", "Answer in one word.", "--max-tokens", 8, "--seed", 42, "Name a colour.")
    own, served = gateway("ask", *rest), gateway("ask", "-m", "ollama:smollm2-135m", *rest)
    assert served.code == 0, served.err
    assert served.out == own.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((" ",), "there is no prompt"),
        (("--raw", "--system", "x", "y"), "no system prompt"),
        (("-m", "nosuch", "x"), "no model is called 'nosuch'"),
        (("-m", "gemma3-270m", "x"), "no chat template"),
    ],
)
def test_what_can_not_be_asked_is_said(
    gateway: Gateway, arguments: tuple[str, ...], said: str
) -> None:
    done = gateway("ask", *arguments)
    assert done.code == 2
    assert said in done.err
