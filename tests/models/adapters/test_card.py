"""What is written in a card is read from it, and nothing else is believed."""

import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import ConfigError
from gateway.models.adapters.card import (
    CARD,
    Card,
    RecordedBase,
    RecordedData,
    RecordedPrompt,
    read_card,
    write_card,
)
from tests.conftest import ROOT
from tests.support.markdown import blocks

BASE = RecordedBase("smollm2-135m-torch", "ab" * 32, "llama", 576)
FULL = Card(
    base=BASE,
    data=RecordedData("train.csv", "cd" * 32, 300),
    prompt=RecordedPrompt("issue-triage", "zero_shot", "ef" * 32),
    hyperparameters={"rank": 8, "learning_rate": 2e-4, "schedule": "cosine", "rslora": True},
    seed=0,
    metrics={"macro_f1": 0.71, "loss": 1.0},
    versions={"peft": "0.21.2", "torch": "2.13.0"},
    created=date(2026, 1, 31),
)
HEAD = f"""
[base]
name = "b"
digest = "{"ab" * 32}"
architecture = "llama"
hidden_size = 576
"""


def test_a_full_card_comes_back_as_it_was(tmp_path: Path) -> None:
    assert write_card(tmp_path, FULL) == tmp_path / CARD
    assert read_card(tmp_path) == FULL


def test_what_is_not_said_is_unknown(tmp_path: Path) -> None:
    (tmp_path / CARD).write_text(HEAD)
    card = read_card(tmp_path)
    assert card is not None
    assert (card.data, card.prompt, card.seed, card.created) == (None, None, None, None)
    assert card == Card(RecordedBase("b", "ab" * 32, "llama", 576))


def test_no_card_is_none(tmp_path: Path) -> None:
    assert read_card(tmp_path) is None


texts = st.text(min_size=1, max_size=30)
numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(
    name=texts,
    settings=st.dictionaries(
        texts, texts | st.integers(-(2**62), 2**62) | numbers | st.booleans(), max_size=4
    ),
    metrics=st.dictionaries(texts, numbers, max_size=4),
    data=st.none() | st.builds(RecordedData, texts, st.none(), st.none() | st.integers(0, 1 << 40)),
    seed=st.none() | st.integers(0, 2**31),
    created=st.none() | st.dates(),
)
def test_any_card_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    settings: dict[str, str | int | float | bool],
    metrics: dict[str, float],
    data: RecordedData | None,
    seed: int | None,
    created: date | None,
) -> None:
    folder = tmp_path_factory.mktemp("card")
    card = Card(
        base=replace(BASE, name=name),
        hyperparameters=settings,
        metrics=metrics,
        data=data,
        seed=seed,
        created=created,
    )
    write_card(folder, card)
    assert read_card(folder) == card


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "base: "),
        (HEAD + 'colour = "red"', "unknown key 'base.colour'"),
        (HEAD + "[colours]\nred = 1", "unknown key 'colours'"),
        (HEAD.replace("576", '"576"'), "base.hidden_size: Input should be a valid integer"),
        (HEAD.replace("abab", "xyxy"), "base.digest: "),
        ('seed = "0"' + HEAD, "seed: "),
        (HEAD + '[metrics]\nf1 = "high"', "metrics.f1: "),
        (HEAD + "[metrics]\nf1 = nan", "metrics.f1: "),
        (HEAD + "[metrics]\nf1 = true", "metrics.f1: "),
        (HEAD + "[hyperparameters]\nranks = [1, 2]", "hyperparameters.ranks"),
        (HEAD + "[data]\nitems = 3", "data.source: "),
        ("created = 2026-01-31T10:00:00Z" + HEAD, "created: "),
        ("base = ", "no valid TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_file_and_key(
    tmp_path: Path, text: str, reason: str
) -> None:
    (tmp_path / CARD).write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_card(tmp_path)
    assert f"{tmp_path / CARD}: " in caught.value.message
    assert reason in caught.value.message


def test_the_card_of_the_manual_is_one(tmp_path: Path) -> None:
    text = (ROOT / "gateway" / "manual" / "configuration.md").read_text(encoding="utf-8")
    (example,) = (block for block in blocks(text, "toml") if "[base]" in block)
    whole = re.sub(r'"([0-9a-f]{4})\.\.\."', lambda found: f'"{found[1] * 16}"', example)
    (tmp_path / CARD).write_text(whole)
    card = read_card(tmp_path)
    assert card is not None
    assert None not in (card.data, card.prompt, card.seed, card.created)
    assert all((card.hyperparameters, card.metrics, card.versions))
